"""How each network learns: by which loss, and by which optimiser.

Baselines have their papers' losses. Optimiser, learning rate and schedule are this tool's for all:
with the papers' Adam (at ten times their rates, which are for batches of 2 to 8 and millions of
samples) NPT, NPT-MP and 3D-CoreNet were at a PMD of 292, 226 and 238e-4 after 3,200 samples, with
Muon and AdamW at 245, 193 and 179e-4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from posetx.data.stream import Batch
from posetx.errors import UsageError
from posetx.models.gc_transformer import central_geodesic_loss
from posetx.models.mapconnet import MAPConNet, MAPConNetConfig
from posetx.models.mesh_model import Moved
from posetx.models.registry import Config, Network, architecture_of, build, name_of
from posetx.training.contrastive import TERMS, TRIPLET, supervised_terms
from posetx.training.losses import WEIGHTS, frame_pmd, rebuilt_terms, training_loss
from posetx.training.optimizer import make_optimizers
from posetx.training.unsupervised import WEIGHTS as WITHOUT_TRUTH
from posetx.training.unsupervised import UnpairedBatch, unsupervised_loss

#: the central geodesic term's share, next to the mean squared error
GEODESIC = 5e-4

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Learner:
    """What learns, what it is told and by which rule: :mod:`posetx.studies.trials` changes it."""

    network: Callable[[Any], Network] = build
    #: the loss and its terms, of a network's output
    loss: Callable[[Any, Batch], tuple[Tensor, Terms]] = training_loss
    #: of a network, at a learning rate
    optimizers: Callable[[nn.Module, float], list[torch.optim.Optimizer]] = make_optimizers

    def objective(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Terms]:
        """The loss of a step and its terms; ``pmd``, the gauge that is shown, is one of them."""
        return self.judged(model(batch.pose, batch.queries, batch.identity.shape[1]), batch)

    def judged(self, output: Any, batch: Batch) -> tuple[Tensor, Terms]:
        """:meth:`objective` of what the network has put out already."""
        loss, terms = self.loss(output, batch)
        return loss, {**terms, "pmd": frame_pmd(output.positions.detach(), batch)}


@dataclass(frozen=True)
class Unsupervised(Learner):
    """MAPConNet without ground truth: all that is used of a batch is its identities.

    Each is there in two poses, ``queries`` and ``truth``; ``pmd`` is that of cross-consistency.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: WITHOUT_TRUTH)

    def objective(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Terms]:
        assert isinstance(model, MAPConNet)  # the only one with the features for it
        loss, terms = unsupervised_loss(model, UnpairedBatch.of(batch), self.weights)
        return loss, {**terms, "pmd": terms["cross_position"] * batch.metres.square().mean()}


def mesh_loss(
    output: Moved, batch: Batch, more: Callable[[Any, Batch], Terms] | None = None
) -> tuple[Tensor, Terms]:
    """Squared error and edge lengths, as all baselines have them; ``more`` terms are weighted."""
    terms = rebuilt_terms(output.positions, batch.truth, batch.queries)
    loss = terms["position"] + WEIGHTS["edge"] * terms["edge"]
    for name, term in (more(output, batch) if more else {}).items():
        loss, terms[name] = loss + term, term
    return loss, {name: term.detach() for name, term in terms.items()}


def _geodesic(output: Moved, batch: Batch) -> Terms:
    loss = central_geodesic_loss(output.positions, batch.queries, batch.truth)
    return {"geodesic": GEODESIC * loss}


def _contrast(output: Any, batch: Batch) -> Terms:
    return {name: TRIPLET * term for name, term in supervised_terms(output).items()}


#: of those that learn otherwise, by what files call the network
LEARNERS: dict[str, Learner] = {
    "PoseMAE": Learner(),
    "GCTransformer": Learner(loss=partial(mesh_loss, more=_geodesic)),
    "MAPConNet": Learner(loss=partial(mesh_loss, more=_contrast)),
}


def learner_of(
    config: Config, unsupervised: bool = False, contrastive: tuple[str, ...] = TERMS
) -> Learner:
    """How a network of these sizes learns; without ground truth, by these contrastive terms.

    Raises UsageError for one that needs ground truth.
    """
    if not unsupervised:
        return LEARNERS.get(architecture_of(config)) or Learner(loss=mesh_loss)
    if not isinstance(config, MAPConNetConfig):
        raise UsageError(f"{name_of(config)} needs ground truth; without it learns: mapconnet")
    dropped = set(TERMS) - set(contrastive)
    return Unsupervised(weights={k: v for k, v in WITHOUT_TRUTH.items() if k not in dropped})
