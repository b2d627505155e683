"""What can be set of an attack, and the attack that was set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posetx.attacks.ascent import Attacked
from posetx.attacks.budget import NORMS, Budget
from posetx.attacks.cw import cw
from posetx.attacks.defences import DEFENCES
from posetx.attacks.drop import drop
from posetx.attacks.methods import METHODS, perturbed
from posetx.attacks.objective import Objective
from posetx.errors import UsageError

#: those within a budget, those with a goal of their own, and what all have to beat
NAMES = (*METHODS, "igsm-t", "cw", "drop", "noise")


def usual_norm(method: str) -> str:
    """The norm of a method that is told none: sign steps move coordinates."""
    return "linf" if method.startswith("igsm") else "l2"


@dataclass(frozen=True)
class AttackSettings:
    """What `posetx attack` can set of an attack.

    ``epsilon`` is in metres of an adult: a scan's unit is not known, a body's size is. ``success``
    is the PMD (m²) from which on the result counts as another one; C&W's goal. ``share`` is that
    of the points that ``drop`` takes. ``defence`` stands before the network; the attack knows of
    it if ``adaptive``.
    """

    method: str = "pgd"
    norm: str = "l2"
    epsilon: float = 0.02
    steps: int = 20
    restarts: int = 1
    seed: int = 0
    success: float = 1e-3
    share: float = 0.1
    defence: str | None = None
    adaptive: bool = False

    def check(self) -> None:
        """Raises UsageError for what does not exist or does not go together."""
        for name, value, known in (("method", self.method, NAMES), ("norm", self.norm, NORMS)):
            if value not in known:
                raise UsageError(f"--{name} {value}: use one of {', '.join(known)}")
        if usual_norm(self.method) == "linf" != self.norm:
            raise UsageError(
                f"--method {self.method} moves coordinates: its --norm is linf, not {self.norm}"
            )
        if self.defence and self.defence not in DEFENCES:
            raise UsageError(f"--defence {self.defence}: use one of {', '.join(DEFENCES)}")
        if self.adaptive and not self.defence:
            raise UsageError("--adaptive: adaptive to which --defence?")
        if self.success <= 0:
            raise UsageError(f"--success {self.success}: give a PMD above 0")
        if not 0 < self.share < 1:
            raise UsageError(f"--share {self.share}: give a number between 0 and 1")

    @property
    def budget(self) -> Budget:
        return Budget(self.norm, self.epsilon)

    def run(
        self, objective: Objective, clouds: Tensor, generator: torch.Generator, goal: float
    ) -> tuple[Attacked, Tensor]:
        """Adversarial clouds (B, S, 3), and which of their points are left (B, S).

        ``goal`` is the objective's value at the PMD of ``success``.
        """
        every = torch.ones(clouds.shape[:2], dtype=torch.bool, device=clouds.device)
        if self.method == "drop":
            return drop(objective, clouds, self.share)
        if self.method == "cw":
            return cw(objective, clouds, self.budget, goal, self.steps), every
        if self.method == "noise":
            moved = clouds + self.budget.random(clouds, generator)
            return Attacked(moved, clouds.new_zeros(0, len(clouds)), 0), every
        method = self.method.removesuffix("-t")
        result = perturbed(
            method, objective, clouds, self.budget, generator, self.steps, self.restarts
        )
        return result, every
