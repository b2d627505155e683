"""A quick look at poses that no training saw: the training gauge PMD on three kinds of batch.

It takes seconds, needs nothing but torch, and is no protocol: bodies are as varied as in training
and points as few. :mod:`posetx.evaluation` measures what models are compared by.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank
from posetx.data.stream import BodyStream, StreamSettings
from posetx.models.registry import Network
from posetx.training.losses import frame_pmd

#: what differs from a clean pose source and a target at rest
CASES: dict[str, dict[str, float]] = {
    "clean": {},
    "scan": {"scan_share": 1.0, "object_share": 0.0, "more_share": 0.0},
    "reposed": {"reposed_share": 1.0},
    "dressed": {"dressed_share": 1.0, "stylised_share": 0.5},
    "characters": {"dressed_identity_share": 1.0, "stylised_share": 0.5},
}
#: shares that are nought in all of them but where they say so
ADDED = ("scan", "noise", "reposed", "dressed", "dressed_identity", "stylised")
SEED = 4711
BATCH = 256


class PlainBank(PoseBank):
    """A bank whose poses come as they are, also where varied ones are asked for."""

    def draw_varied(self, count: int, generator: torch.Generator) -> Tensor:
        return self.draw(count, generator)


@torch.no_grad()
def validate(
    model: Network,
    weights: dict[str, Tensor],
    body: BodyModel,
    poses: PoseBank,
    settings: StreamSettings,
    samples: int = 1024,
    cases: Iterable[str] = tuple(CASES),
) -> dict[str, float]:
    """PMD (m², see :func:`frame_pmd`) of each of ``cases``, over ``samples`` (whole BATCHes).

    The samples are always the same on the same kind of device.

    Parameters
    ----------
    model, weights : the network, put into eval mode, and what it is called with instead of its
        own weights.
    poses : the unseen poses.
    settings : the training's; of them, numbers of points and the heading's range are kept.
    cases : names of CASES.
    """
    model.eval()
    plain = replace(settings, **{f"{name}_share": 0.0 for name in ADDED})  # type: ignore[arg-type]
    stream = BodyStream(body, PlainBank(poses.local), plain)
    rounds = max(samples // BATCH, 1)
    figures = {}
    for name in cases:
        stream.settings = replace(plain, **CASES[name])  # type: ignore[arg-type]
        stream.generator.manual_seed(SEED)
        total = torch.zeros((), device=body.template.device)
        for _ in range(rounds):
            batch = stream.draw(min(samples, BATCH))
            inputs = (batch.pose, batch.queries, batch.identity.shape[1])
            output = torch.func.functional_call(model, weights, inputs)
            total += frame_pmd(output.positions, batch)
        figures[name] = float(total) / rounds
    return figures
