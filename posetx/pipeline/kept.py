"""Poses of a sequence kept in a folder, a file a frame, for a run that was stopped to go on."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posetx.errors import DAMAGED, PosetxError
from posetx.files.atomic import write_bytes_atomic
from posetx.files.checks import read_bytes
from posetx.pipeline.sequence import Frame
from posetx.reading.start import Start


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
        asked=np.array(_stamp(frame.scan, asked)),
    )
    write_bytes_atomic(path, stream.getvalue())


def kept(path: Path, scan: Path, asked: Mapping[str, Any]) -> Frame | None:
    """The frame of a scan that an earlier run kept; None if none did, of this scan and options.

    Raises PosetxError for a file that is something else.
    """
    if not path.exists():
        return None
    try:
        with np.load(io.BytesIO(read_bytes(path)), allow_pickle=False) as found:
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
        shapes = body.rotations.shape == (19, 3, 3) and body.root.shape == (3,)
        if not shapes or body.turn.shape != (3, 3) or body.shape.ndim != 1:
            raise ValueError
        confidence, misfit = (None if np.isnan(number) else number for number in numbers)
        frame = Frame(scan, body, confidence, misfit, bool(arrays["restarted"]))
    except (*DAMAGED, EOFError, zipfile.BadZipFile):
        raise PosetxError(
            f"{path}: is no pose that an earlier run kept; name another folder for `poses`"
        ) from None
    return frame if same else None


def _stamp(scan: Path, asked: Mapping[str, Any]) -> str:
    """The options, and which state of the scan's file."""
    state = scan.stat()
    return json.dumps({**asked, "bytes": state.st_size, "changed": state.st_mtime_ns})
