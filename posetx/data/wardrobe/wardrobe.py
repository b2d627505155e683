"""Dressed figures on a body model's device, drawn one at a time."""

from __future__ import annotations

from functools import cached_property

import torch

from posetx.bodies.body import BodyModel
from posetx.data.surface import Figure, Surface, area_samples
from posetx.data.wardrobe.chart import Chart
from posetx.data.wardrobe.outfit import dress


class Wardrobe:
    """What a body model can wear. The chart is drawn when the first one dresses."""

    def __init__(self, body: BodyModel):
        self.body = body

    @cached_property
    def chart(self) -> Chart:
        """The body as a tailor sees it."""
        return Chart(self.body)

    def figure(self, generator: torch.Generator) -> Figure:
        """A random dressed figure; ``generator`` is on the CPU."""
        piece = dress(self.chart, generator).to(self.body.template.device)
        return Figure(self.body, piece.points, piece.faces, piece.weights, piece.anchors)

    def draw(self, samples: int, generator: torch.Generator) -> tuple[Figure, Surface]:
        """A random dressed figure, and so many samples of its surface."""
        figure = self.figure(generator)
        faces, places = area_samples(figure.face_area.cpu(), samples, generator)
        device = self.body.template.device
        return figure, figure.sample(faces.to(device), places.to(device))
