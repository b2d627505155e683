"""NPY and NPZ: numpy arrays, never pickles, and never larger than the file can justify."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from posetx.files.checks import check_archive, only_posetx_errors, problem, truncated
from posetx.files.raw import Raw

POINT_KEYS = ("points", "vertices", "xyz", "verts", "v", "pts")


def decode_npy(data: bytes, path: Path) -> np.ndarray:
    """The array in the bytes of an NPY file."""
    with only_posetx_errors(path, "NPY"):
        return _array(data, path)


def decode_npz(data: bytes, path: Path) -> dict[str, np.ndarray]:
    """Points and what belongs to them from an NPZ file.

    Returns
    -------
    dict of str to array
        "points", and where the file has them "faces", "normals" and "colors"
    """
    with only_posetx_errors(path, "NPZ"):
        try:
            archive = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile as error:
            raise truncated(path, "it is no zip archive") from error
        members = {
            info.filename[:-4]: info for info in archive.infolist() if info.filename[-4:] == ".npy"
        }
        check_archive(members.values(), len(data), path)
        key = next((k for k in POINT_KEYS if k in members), None)
        found: dict[str, np.ndarray] = {}
        if key is not None:
            found["points"] = _array(archive.read(members[key]), path)
        else:
            for name in members:
                try:
                    array = _array(archive.read(members[name]), path)
                except ValueError:  # text and objects are not what we look for
                    continue
                if array.ndim == 2 and array.shape[1] == 3:
                    found["points"] = array
                    break
        if "points" not in found:
            raise problem(path, "holds no (n, 3) array", "name the array 'points'")
        for name in ("faces", "normals", "colors"):
            if name in members:
                found[name] = _array(archive.read(members[name]), path)
        return found


def _array(data: bytes, path: Path) -> np.ndarray:
    """One array; its header is compared with the size of the data before anything is allocated."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    if dtype.hasobject or dtype.kind not in "fiub":
        raise ValueError("no array of numbers")
    count = 1
    for size in shape:
        count *= size
    if count < 0 or count * dtype.itemsize > len(data) - stream.tell():
        raise truncated(path, f"an array of shape {shape} does not fit into it")
    flat = np.frombuffer(data, dtype, count, stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def scan(data: bytes, path: Path) -> Raw:
    """An NPY or NPZ file as a scan; the suffix says which."""
    if path.suffix.lower() != ".npz":
        return _from_array(decode_npy(data, path), path)
    arrays = decode_npz(data, path)
    raw = _from_array(arrays["points"], path)
    raw.normals, raw.colors = arrays.get("normals"), arrays.get("colors")
    faces = arrays.get("faces")
    if faces is not None and faces.ndim == 2 and faces.shape[1] == 3 and faces.dtype.kind in "iu":
        raw.faces = faces
    return raw


def _from_array(array: np.ndarray, path: Path) -> Raw:
    """Points from (n, 3), (n, more), an organised (h, w, 3) or a transposed (3, n) array."""
    notes = []
    if array.ndim > 2 and array.shape[-1] == 3:
        array = array.reshape(-1, 3)
    if array.ndim == 2 and array.shape[0] == 3 and array.shape[1] > 3:
        array = array.T
        notes.append("the array is (3, n): read as n points")
    if array.ndim != 2 or array.shape[1] < 3:
        raise problem(path, f"holds an array of shape {array.shape}", "save (n, 3) points")
    return Raw(array[:, :3], notes=notes)
