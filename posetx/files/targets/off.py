"""OFF targets: only the numbers of positions and normals change."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.files.atomic import write_bytes_atomic
from posetx.files.codecs.off import Off, decode_off
from posetx.files.codecs.tokens import format_rows, position_format, splice
from posetx.files.targets.base import Target
from posetx.files.targets.normals import turned


class OffTarget(Target):
    """A mesh from an OFF file."""

    own_suffixes = (".off",)

    def __init__(self, off: Off, path: Path) -> None:
        super().__init__(path, off.vertices, off.faces)
        self._off = off
        if len(off.sizes) and off.sizes.max() > 3:
            self.extras.append("quads and larger polygons")
        if off.has_colours:
            self.extras.append("vertex colours")

    def _write(self, path: Path, vertices: np.ndarray) -> list[str]:
        off = self._off
        moved = np.flatnonzero((vertices != self.vertices).any(axis=1))
        texts = format_rows(vertices[moved], position_format(vertices))
        starts, ends = off.starts[moved], off.ends[moved]
        if len(off.normals):
            normals = turned(off.normals, self.faces, self.faces, self.vertices, vertices)
            which = np.flatnonzero((normals != off.normals).any(axis=1))
            texts += format_rows(normals[which], "%.6f")
            starts = np.concatenate([starts, off.normal_starts[which]])
            ends = np.concatenate([ends, off.normal_ends[which]])
        write_bytes_atomic(path, splice(off.data, starts, ends, texts))
        return []


def read(data: bytes, path: Path) -> Target:
    """The target in the bytes of an OFF file."""
    return OffTarget(decode_off(data, path), path)
