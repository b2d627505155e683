"""Every network of the registry learns eight pairs by heart, as `posetx train` would teach it."""

from __future__ import annotations

import pytest
import torch

from posetx.bodies.body import BodyModel
from posetx.data.stream import Batch
from posetx.models.registry import CONFIGS, config_named
from posetx.training.learners import learner_of
from posetx.training.losses import frame_pmd
from posetx.training.optimizer import learning_rate_factor

#: steps that are enough, and sizes. Without a mask: that is a slice of points in random order, of
#: eight clouds that never change always the same ones.
SIZES = {
    "npt": (600, {"width": 128}),
    "npt-mp": (400, {"width": 128}),
    "corenet": (300, {"width": 8}),
    "gc-transformer": (600, {"width": 128}),
    "mapconnet": (300, {"width": 8}),
    "posemae": (400, {"mask_ratio": 0.0}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_eight_pairs_by_heart(name: str, batch: Batch) -> None:
    steps, sizes = SIZES[name]
    torch.manual_seed(0)
    config = config_named(name, **sizes)
    learner = learner_of(config)
    model = learner.network(config)
    model.begin_on(BodyModel.load())
    optimizers = learner.optimizers(model, 2e-3)
    groups = [(g, g["lr"]) for optimizer in optimizers for g in optimizer.param_groups]
    for step in range(steps):
        loss, _ = learner.objective(model, batch)
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group, rate in groups:
            group["lr"] = rate * learning_rate_factor(step / steps)
        for optimizer in optimizers:
            optimizer.step()
    model.eval()
    with torch.no_grad():
        moved = model(batch.pose, batch.queries, batch.identity.shape[1])
    assert frame_pmd(moved.positions, batch) < 1e-4
