"""Poses of a sequence kept in a folder, a file a frame, for a run that was stopped to go on."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posetx.arrays import Floats
from posetx.bodies.skeleton import JOINTS
from posetx.errors import DAMAGED, PosetxError
from posetx.files.atomic import write_bytes_atomic
from posetx.files.checks import LARGEST_COORDINATE, read_bytes
from posetx.fit.cloud import FitSettings
from posetx.geometry.axes import AXES
from posetx.pipeline.sequence import Frame
from posetx.reading.start import Start

#: bytes of a kept pose, unpacked: it has some 5 kB
LARGEST = 1 << 20
#: a matrix whose columns are off the perpendicular, or off length 1, by more is no rotation
UNSQUARE = 1e-3


def keep(path: Path, frame: Frame, asked: Mapping[str, Any]) -> None:
    """Write a frame that has a body; ``asked`` are the options that it was read with."""
    body = frame.body
    assert body is not None
    stream = io.BytesIO()
    np.savez(
        stream,
        turn=body.turn,
        up=np.array(body.up),
        rotations=body.rotations,
        root=body.root,
        shape=body.shape,
        scale=np.array(body.scale),
        confidence=np.array(np.nan if frame.confidence is None else frame.confidence),
        misfit=np.array(np.nan if frame.misfit is None else frame.misfit),
        restarted=np.array(frame.restarted),
        joints=np.full(len(JOINTS), np.nan) if frame.joints is None else frame.joints,
        asked=np.array(_stamp(frame.scan, asked)),
    )
    write_bytes_atomic(path, stream.getvalue())


def kept(path: Path, scan: Path, asked: Mapping[str, Any]) -> Frame | None:
    """The frame of a scan that an earlier run kept; None if none did, of this scan and options.

    Raises PosetxError for a file that is something else.
    """
    if not path.exists():
        return None
    data = read_bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > LARGEST:
                raise ValueError
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        body = Start(
            arrays["turn"],
            str(arrays["up"]),
            arrays["rotations"],
            arrays["root"],
            arrays["shape"],
            float(arrays["scale"]),
        )
        numbers = [float(arrays[name]) for name in ("confidence", "misfit")]
        same = str(arrays["asked"]) == _stamp(scan, asked)
        _check(body)
        confidence, misfit = (None if np.isnan(number) else number for number in numbers)
        joints = _joints(arrays["joints"]) if "joints" in arrays else None
        frame = Frame(scan, body, confidence, misfit, bool(arrays["restarted"]), joints=joints)
    except (*DAMAGED, EOFError, MemoryError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error):
        raise PosetxError(
            f"{path}: is no pose that an earlier run kept; name another folder for `poses`"
        ) from None
    return frame if same else None


def _joints(values: Floats) -> Floats | None:
    """How likely each joint is right; None where it was not known. Raises ValueError for others."""
    if values.shape != (len(JOINTS),):
        raise ValueError
    if np.isnan(values).any():
        return None
    return np.clip(values.astype(np.float64), 0.0, 1.0)


def _check(body: Start) -> None:
    """Raises ValueError for a body that no reading can have found."""
    shapes = (body.turn.shape, body.rotations.shape, body.root.shape)
    if shapes != ((3, 3), (len(JOINTS), 3, 3), (3,)):
        raise ValueError
    if body.shape.shape not in ((0,), (FitSettings().components,)):  # of the network's word none
        raise ValueError
    numbers = np.concatenate([body.root, body.shape, [body.scale, 1 / body.scale]])
    turns = np.concatenate([body.turn[None], body.rotations])
    off = np.abs(turns @ turns.swapaxes(1, 2) - np.eye(3)).max()
    if not (np.abs(numbers) < LARGEST_COORDINATE).all() or not off < UNSQUARE or body.scale < 0:
        raise ValueError
    if body.up.lower().lstrip("+") not in AXES:
        raise ValueError


def _stamp(scan: Path, asked: Mapping[str, Any]) -> str:
    """The options, and which state of the scan's file."""
    state = scan.stat()
    return json.dumps({**asked, "bytes": state.st_size, "changed": state.st_mtime_ns})
