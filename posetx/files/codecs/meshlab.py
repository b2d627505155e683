"""What only MeshLab reads: DAE, 3DS, X3D, VRML, 3MF and CTM, through pymeshlab in a child process.

pymeshlab crashes or hangs on some damaged files, and on import on some machines. In a process of
its own that is one line and not the end of ours. The child (this module, run) answers with points,
faces and colours as an NPZ file, which our own reader checks.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from posetx.errors import MissingError
from posetx.files.checks import check_archive, problem, truncated
from posetx.files.codecs.arrays import decode_npz
from posetx.files.raw import Raw
from posetx.system.child import Ended, answer_stream, ending, limit, run_module

SUFFIXES = (".dae", ".3ds", ".x3d", ".x3dv", ".wrl", ".3mf", ".ctm")
"""Formats that load whole and true; see docs/dependencies.md for those that do not."""

PACKED = ".3mf"
"""Of these, zip archives."""

SECONDS, SECONDS_PER_MEGABYTE = 120.0, 2.0
"""When a child is ended: a cold start, and for a megabyte over ten times the 0.04 (DAE) to 0.16 s
(CTM) that MeshLab needs for one."""

PROCESSOR, PROCESSOR_PER_MEGABYTE = 5, 2
"""Processor seconds of a child, the same without waiting: a kilobyte can name a part of it a
million times."""
MEMORY, MEMORY_PER_BYTE = 1 << 30, 100
"""Bytes of a child, and for each byte of the file."""

SIGXCPU = getattr(signal, "SIGXCPU", 0)  # which Windows has not
STARTED = "posetx: pymeshlab is imported"
REFUSED = "posetx: refused: "
"""What the child says, on lines of their own amid whatever MeshLab prints."""


def scan(data: bytes, path: Path) -> Raw:
    """What MeshLab reads, as a scan."""
    arrays = decode_meshlab(data, path)
    return Raw(arrays["points"], colors=arrays.get("colors"), faces=arrays.get("faces"))


def decode_meshlab(data: bytes, path: Path) -> dict[str, np.ndarray]:
    """Points (n, 3) in the file's unit and axes, faces (m, 3), and colors where the file has them.

    Parameters
    ----------
    data : bytes
        the file's content; only its size counts, MeshLab opens files by name
    path : Path
        with one of `SUFFIXES`

    Raises
    ------
    MissingError
        pymeshlab is not installed or does not work on this machine
    PosetxError
        the file cannot be read, or pymeshlab crashed or hung on it
    """
    kind = path.suffix[1:].upper()
    if path.suffix.lower() == PACKED:
        try:
            check_archive(zipfile.ZipFile(io.BytesIO(data)).infolist(), len(data), path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise truncated(path, "it is no zip archive") from error
    seconds = SECONDS + SECONDS_PER_MEGABYTE * len(data) / 1e6
    try:
        # As an absolute name: MeshLab changes the folder that it works in.
        child = run_module(__name__, str(path.resolve()), seconds=seconds, without=("DISPLAY",))
    except subprocess.TimeoutExpired:
        raise problem(
            path,
            f"pymeshlab, which reads {kind}, did not end within {seconds:.0f} s",
            "the file may be damaged; export it as PLY, OBJ or GLB",
        ) from None
    lines = child.said.splitlines()
    if STARTED not in lines:
        raise _no_library(path, kind, child)
    refused = [line for line in lines if line.startswith(REFUSED)]
    if child.code == 1 and refused:
        reason = refused[-1][len(REFUSED) :]
        raise problem(
            path,
            f"cannot be read as {kind} ({reason})",
            "check that the file is whole, or export it as PLY, OBJ or GLB",
        )
    if child.code == -SIGXCPU:
        raise problem(
            path,
            f"keeps pymeshlab, which reads {kind}, busy for longer than its size justifies",
            "apply instances, and export it as PLY, OBJ or GLB",
        )
    if child.code != 0 or not child.answer:
        raise problem(
            path,
            f"pymeshlab, which reads {kind}, crashed on it ({ending(child.code)})",
            "the file may be damaged; export it as PLY, OBJ or GLB",
        )
    return decode_npz(child.answer, path)


def _no_library(path: Path, kind: str, child: Ended) -> MissingError:
    said = child.said.strip().splitlines()
    reason = said[-1] if said and child.code == 1 else ending(child.code)
    if "ModuleNotFoundError" in reason:
        what, remedy = "is not installed", "pip install 'posetx[formats]'"
    else:
        what, remedy = f"does not work here ({reason})", "see `posetx doctor`"
    line = f"{path}: {kind} files need pymeshlab, which {what}; {remedy}, or export it as PLY"
    return MissingError("".join(c if c.isprintable() else " " for c in line))


def convert(path: str) -> int:
    """In the child: read `path` and answer; the exit code, 1 where MeshLab says no."""
    stream = answer_stream()
    size = os.path.getsize(path)
    limit(MEMORY + MEMORY_PER_BYTE * size, PROCESSOR + PROCESSOR_PER_MEGABYTE * (size >> 20))
    import pymeshlab

    sys.stderr.write(f"\n{STARTED}\n")
    sys.stderr.flush()
    meshes = pymeshlab.MeshSet()
    try:
        meshes.load_new_mesh(path)
    except pymeshlab.PyMeshLabException as error:
        # Its last line has the reason, the first the name of the file, which is known.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1].removeprefix("Error details:").strip() if lines else "no word"
        sys.stderr.write(f"\n{REFUSED}{reason[:120]}\n")
        return 1
    points, faces, colors, count = [], [], [], 0
    for mesh in meshes:
        place = mesh.transform_matrix()
        points.append(mesh.vertex_matrix() @ place[:3, :3].T + place[:3, 3])
        faces.append(mesh.face_matrix().astype(np.int64).reshape(-1, 3) + count)
        if mesh.has_vertex_color():
            colors.append(np.round(255.0 * mesh.vertex_color_matrix()[:, :3]).astype(np.uint8))
        count += len(points[-1])
    arrays = {"points": np.concatenate(points), "faces": np.concatenate(faces)}
    if sum(map(len, colors)) == count:
        arrays["colors"] = np.concatenate(colors)
    packed = io.BytesIO()
    np.savez(packed, **arrays)  # type: ignore[arg-type]
    with stream:
        stream.write(packed.getbuffer())
    return 0


if __name__ == "__main__":
    raise SystemExit(convert(*sys.argv[1:]))
