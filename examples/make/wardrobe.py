"""Makes the picture of dressed figures in docs, the same each time.

    python -m examples.make.wardrobe [docs/wardrobe.png]

They are what training and the protocols `dressed` and `characters` draw, in poses of the shipped
prior that no training sees. Each piece has a colour of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from posetx.bodies.body import BodyModel
from posetx.data.splits import pose_banks
from posetx.data.wardrobe.wardrobe import Wardrobe
from posetx.evaluation.dressed import Dressed, dressed
from posetx.evaluation.protocols import eligible_bodies
from posetx.geometry.mesh import connected_parts
from posetx.report.crowd import render_crowd
from posetx.report.stage import Column

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "wardrobe.png"
FIGURES, SEED = 48, 5
SKIN = (214, 178, 150)


def colors(who: Dressed) -> np.ndarray:
    """A colour for each vertex (V, 3): skin's, or its piece's own."""
    figure = who.figure
    count, part = connected_parts(figure.faces.numpy(), len(figure.points))
    palette = np.random.default_rng(count).uniform(70, 225, (count, 3)).astype(np.uint8)
    return np.where(figure.lift.numpy()[:, None] > 0, palette[part], np.uint8(SKIN))


def main() -> None:
    body = BodyModel.load()
    wardrobe, rows = Wardrobe(body), eligible_bodies(body)
    generator = torch.Generator().manual_seed(SEED)
    rotations = pose_banks(body, None)["unseen"].draw(FIGURES, generator)
    picked = rows[torch.randint(len(rows), (FIGURES,), generator=generator)]
    columns = []
    for index in range(FIGURES):
        who = dressed(wardrobe, body.bank[picked[index]], 100 * SEED + index)
        vertices = who.pose(rotations[index]).numpy()
        columns.append(Column("", vertices, who.figure.faces.numpy(), colors=colors(who)))
    render_crowd(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE, columns)


if __name__ == "__main__":
    main()
