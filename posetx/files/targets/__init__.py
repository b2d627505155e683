"""Targets: meshes that are written back as they were read, but for where their vertices are."""

from posetx.files.targets.base import Target, read_target

__all__ = ["Target", "read_target"]
