"""Axes by name, as users give them and files have them, and the turn that makes one upright."""

from __future__ import annotations

import numpy as np

from posetx.arrays import Floats
from posetx.errors import FieldError, UsageError

AXES = {
    "x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0),
    "-x": (-1.0, 0.0, 0.0), "-y": (0.0, -1.0, 0.0), "-z": (0.0, 0.0, -1.0),
}  # fmt: skip


def axis(text: str, field: str) -> Floats:
    """The unit vector of "x", "-z", ... Raises FieldError for anything else."""
    if text.lower().lstrip("+") not in AXES:
        raise FieldError(field, text, f"not an axis; use one of {', '.join(AXES)}, or auto")
    return np.array(AXES[text.lower().lstrip("+")])


def check_axes(up: str, front: str, prefix: str = "") -> None:
    """Raises FieldError for an axis that is none, or the same one twice; "auto" is always right."""
    given = [axis(up, f"{prefix}up")] if up != "auto" else []
    given += [axis(front, f"{prefix}front")] if front != "auto" else []
    if len(given) == 2 and abs(given[0] @ given[1]) > 0.5:
        raise FieldError(f"{prefix}front", front, "the same axis as up; give two different ones")


def upright(up: Floats, front: Floats | None = None) -> Floats:
    """The rotation (3, 3) that takes ``up`` to +y and ``front`` to +z.

    Without ``front``: +z, or -y for files whose z is up, as most programs have it.
    """
    up = up / np.linalg.norm(up)
    if front is None:
        front = np.array(AXES["-y"] if abs(up[2]) > 0.5 else AXES["z"])
    front = front - (front @ up) * up
    if np.linalg.norm(front) < 1e-6:
        raise UsageError("up and front are the same axis; give two different ones")
    front = front / np.linalg.norm(front)
    return np.stack([np.cross(up, front), up, front])
