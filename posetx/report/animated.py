"""The picture of an animation: a strip of its frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posetx.report.preview import RESULT_COLOR, Column, render_meshes

if TYPE_CHECKING:
    from posetx.pipeline.animated import Animated

#: frames that are drawn, evenly spread, and pixels of each
SHOWN, CELL = 7, (230, 330)


def draw_animated(path: Path, animated: Animated) -> None:
    """Write a PNG with a few frames of the target, from the front and from the side.

    Raises MissingError if pyvista is not here, or cannot draw on this machine.
    """
    ready, motion = animated.animator.ready, animated.motion
    frames = np.unique(np.linspace(0, len(motion) - 1, SHOWN).round().astype(int))
    columns = [
        Column(
            f"{frame / motion.fps:.2f} s",
            animated.vertices(int(frame)) @ ready.rotation.T,
            ready.target.faces,
            color=RESULT_COLOR,
        )
        for frame in frames
    ]
    render_meshes(path, columns, cell=CELL)
