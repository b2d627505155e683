"""Arrays as a page holds them: little-endian, as few bytes as do, base64; each one once."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetx.arrays import Floats
from posetx.report.stage import without_far

#: Steps of a 16-bit grid.
STEPS = 65535

#: A grid must have so many steps along the body; strays that stretch it more cost 32 bits.
FINE = 20_000


class Packer:
    """Collects arrays and says how a page finds them again.

    ``buffers`` are the page's: a kind (u8, u16, u32, f32) and base64. What is packed twice, the
    same array, is there once.
    """

    def __init__(self) -> None:
        self.buffers: list[dict[str, str]] = []
        self._places: dict[bytes, int] = {}

    def array(self, values: NDArray[Any]) -> int:
        """The place of an array of bytes, whole numbers from 0 on or floats; any shape, flat."""
        if values.dtype.kind == "f":
            kind, plain = "f32", values.astype("<f4")
        elif values.dtype == np.uint8:
            kind, plain = "u8", values
        elif not values.size or values.max() <= STEPS:
            kind, plain = "u16", values.astype("<u2")
        else:
            kind, plain = "u32", values.astype("<u4")
        data = plain.tobytes()
        key = kind.encode() + data
        if key not in self._places:
            self._places[key] = len(self.buffers)
            self.buffers.append({"kind": kind, "data": base64.b64encode(data).decode("ascii")})
        return self._places[key]

    def positions(self, points: Floats) -> dict[str, Any]:
        """Points (n, 3): a place, and the step and origin that make them of its whole numbers.

        The grid is the same along all axes, 65,535 steps along the longest. Where strays make that
        too coarse for the rest, the numbers are floats from the middle on.
        """
        low, high = points.min(axis=0), points.max(axis=0)
        step = float((high - low).max()) / STEPS or 1.0
        body = without_far(points)
        size = float(np.ptp(body, axis=0).max()) if len(body) else 0.0
        if size / step >= FINE or size == 0.0:
            grid = np.round((points - low) / step).astype(np.uint16)
            return {"buffer": self.array(grid), "step": step, "origin": low.tolist()}
        middle = np.median(points, axis=0)
        return {"buffer": self.array(points - middle), "step": 1.0, "origin": middle.tolist()}

    def shares(self, values: Floats) -> dict[str, Any]:
        """Values (n, k) on a 16-bit grid from the least to the largest of each column."""
        low = values.min(axis=0)
        step = np.ptp(values, axis=0) / STEPS
        grid = np.round((values - low) / np.where(step > 0, step, 1.0)).astype(np.uint16)
        return {"buffer": self.array(grid), "step": step.tolist(), "origin": low.tolist()}


def unpacked(buffer: dict[str, str]) -> NDArray[Any]:
    """The flat array of one of the page's buffers: what the page itself does in JavaScript."""
    kinds = {"u8": "u1", "u16": "<u2", "u32": "<u4", "f32": "<f4"}
    return np.frombuffer(base64.b64decode(buffer["data"]), dtype=kinds[buffer["kind"]])
