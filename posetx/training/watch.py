"""Early stopping of an adversarial stage: which of its weights withstand a strong attack best.

What a training by one step of FGM gains against FGM says nothing of its worth, and its worth can
be lost within minutes. So every now and then the averaged weights are measured on a few samples of
poses that no training saw: clean, under FGM and under PGD of 20 steps. The weights with the lowest
PGD-20 among those that cost little on clean poses are the run's result.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from posetx.attacks.budget import Budget
from posetx.attacks.methods import perturbed
from posetx.attacks.objective import damage_of
from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank
from posetx.data.stream import StreamSettings
from posetx.geometry.frames import normalise_pose
from posetx.models.registry import Network
from posetx.training.losses import frame_pmd
from posetx.training.validation import SEED, unseen_stream

#: of one look, which takes 6.6 seconds of one core for the shipped network; steps of PGD
SAMPLES, STEPS = 64, 20
#: what robustness may cost: of the PMD of clean poses at the stage's beginning
CLEAN_COST = 0.1
#: a look comes after this many times what the last one took: with those at both ends looks are a
#: twentieth of a stage of eighty times what one takes, and less of a longer one
PATIENCE = 40
#: FGM fell to less than this share of what it was and PGD-20 did not: catastrophic overfitting
#: (3D-PoseMAE's Table 2, which has no PGD, tells of a fall to 0.22)
HARMLESS = 0.5


@dataclass(frozen=True)
class Look:
    """PMD (m², :func:`frame_pmd`) of the weights after so many ``samples`` of the run."""

    samples: int
    clean: float
    fgm: float
    pgd: float

    @property
    def text(self) -> str:
        figures = {"clean": self.clean, "FGM": self.fgm, f"PGD-{STEPS}": self.pgd}
        return ", ".join(f"{name} {value * 1e4:.1f}" for name, value in figures.items())


class Watch:
    """The looks at one adversarial stage, and the weights that are to be kept of it.

    Parameters
    ----------
    model : the network; a copy of it is what is measured.
    poses : unseen ones; with the training's ``stream`` settings they make the samples.
    epsilon : of both attacks, in the norm of training (``l2``).
    """

    def __init__(
        self,
        model: Network,
        body: BodyModel,
        poses: PoseBank,
        stream: StreamSettings,
        epsilon: float,
    ):
        self.network = copy.deepcopy(model).eval().requires_grad_(False)
        self.batch = unseen_stream(body, poses, stream).draw(SAMPLES)
        self.epsilon = epsilon
        self.looks: list[Look] = []
        self.kept: Look | None = None
        self.weights: dict[str, Tensor] = {}
        self._due = 0.0

    def due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() > self._due

    def look(self, weights: dict[str, Tensor], samples: int) -> None:
        """Measure ``weights``, those after so many samples; keep a copy if they are the best.

        Once is enough: the same weights have the same figures.
        """
        if self.looks and self.looks[-1].samples == samples:
            return
        start = time.monotonic()
        look = Look(samples, *self._measured(weights))
        self._due = time.monotonic() + PATIENCE * (time.monotonic() - start)
        self.looks.append(look)
        dear = look.clean > (1 + CLEAN_COST) * self.looks[0].clean
        if self.kept is None or (look.pgd < self.kept.pgd and not dear):
            self.kept = look
            self.weights = {name: value.detach().clone() for name, value in weights.items()}

    def _measured(self, weights: dict[str, Tensor]) -> tuple[float, float, float]:
        """Of the samples as they are, after FGM and after PGD."""
        self.network.load_state_dict(weights)
        batch, device = self.batch, self.batch.pose.device
        move = self.network.mover(batch.queries, batch.identity.shape[1])
        harm, budget = damage_of(move, batch.truth), Budget("l2", self.epsilon)

        def pmd(clouds: Tensor) -> float:
            with torch.no_grad():
                return float(frame_pmd(move(normalise_pose(clouds)[0]), batch))

        def attacked(method: str) -> Tensor:
            generator = torch.Generator(device=device).manual_seed(SEED)
            return perturbed(method, harm, batch.pose, budget, generator, STEPS).clouds

        return pmd(batch.pose), pmd(attacked("fgm")), pmd(attacked("pgd"))

    def terms(self) -> dict[str, float]:
        """The last look's figures, beside a step's terms."""
        last = self.looks[-1]
        return {"unseen": last.clean, "unseen_fgm": last.fgm, "unseen_pgd": last.pgd}

    @property
    def overfitted(self) -> bool:
        """Whether the training has learnt to mislead FGM instead of withstanding attacks."""
        first, last = self.looks[0], self.looks[-1]
        return last.fgm < HARMLESS * first.fgm and last.pgd > HARMLESS * first.pgd

    def summary(self) -> dict[str, Any]:
        """For a card: before and after the stage, and of the weights that are kept."""
        assert self.kept is not None
        return {
            "what": f"PMD (m²) of {SAMPLES} samples of unseen poses in the training's frame",
            "epsilon": self.epsilon,
            "before": asdict(self.looks[0]),
            "after": asdict(self.looks[-1]),
            "kept": asdict(self.kept),
            "looks": len(self.looks),
            "overfitted": self.overfitted,
        }

    def tell(self, say: Callable[[str], None]) -> None:
        """Say, in a line each, what came of the stage."""
        assert self.kept is not None
        say(f"PMD x1e-4 on unseen poses before: {self.looks[0].text}; after: {self.looks[-1].text}")
        if self.kept is not self.looks[-1]:
            say(
                f"kept are the weights after {self.kept.samples} samples ({self.kept.text}): the "
                f"lowest PGD-{STEPS} at a clean cost of at most {CLEAN_COST:.0%}"
            )
        if self.overfitted:
            say(
                f"catastrophic overfitting: FGM has become harmless and PGD-{STEPS} has not; train "
                "with `adversarial` pgd, or with `adversarial_alignment`"
            )

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        kept = self.looks.index(self.kept) if self.kept else -1
        return {"looks": [asdict(x) for x in self.looks], "kept": kept, "weights": self.weights}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.looks = [Look(**look) for look in state["looks"]]
        self.kept = self.looks[state["kept"]] if self.looks else None
        self.weights = state["weights"]
