"""Targets that only MeshLab reads: read, and written in one of the formats that posetx writes."""

from __future__ import annotations

from pathlib import Path

from posetx.files.codecs.meshlab import decode_meshlab
from posetx.files.targets.base import Target


class MeshlabTarget(Target):
    """A mesh from a file whose format is not written."""

    def __init__(self, data: bytes, path: Path) -> None:
        arrays = decode_meshlab(data, path)
        super().__init__(path, arrays["points"], arrays["faces"])
        suffix = path.suffix.lower()
        self.extras.append(f"materials, textures and whatever else the {suffix} file has")

    def _write(self, path: Path, vertices: object) -> list[str]:
        raise NotImplementedError("there is no suffix of its own to write")


def read(data: bytes, path: Path) -> Target:
    """The target in a file that MeshLab reads."""
    return MeshlabTarget(data, path)
