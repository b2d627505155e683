"""posetx: the pose of a raw human scan, on any human-like mesh."""

__version__ = "0.1.0"
