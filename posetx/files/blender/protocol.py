"""What a process of ours and the Blender that it starts say to each other.

Both ways go arrays as an NPZ file, with one that is the JSON of all that is no array. Blender
prints on stdout before the child begins, so the answer follows a mark.
"""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

STARTED = "posetx: Blender has started"
REFUSED = "posetx: refused: "
"""What the child says, on lines of their own amid whatever Blender prints."""

ANSWER = b"\nposetx: the answer follows\n"

TASK = "task"
"""The array that is JSON."""

Arrays = dict[str, np.ndarray]


class Refused(Exception):
    """What is asked for cannot be done; the message is why, in a few words."""


def packed(told: dict[str, Any], arrays: Arrays) -> bytes:
    """A task or an answer as bytes."""
    text = np.frombuffer(json.dumps(told).encode(), dtype=np.uint8)
    stream = io.BytesIO()
    np.savez(stream, **{TASK: text, **arrays})  # type: ignore[arg-type]
    return stream.getvalue()


def unpacked(data: bytes) -> tuple[dict[str, Any], Arrays]:
    """What :func:`packed` made. Raises what Python and numpy raise at damaged data."""
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}
    told: dict[str, Any] = json.loads(arrays.pop(TASK).tobytes())
    return told, arrays
