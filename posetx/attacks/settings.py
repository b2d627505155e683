"""What can be set of an attack, and the attack that was set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from posetx.attacks.choices import DEFENCES, NORMS
from posetx.attacks.methods import METHODS, attack
from posetx.errors import FieldError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from posetx.attacks.ascent import Attacked
    from posetx.attacks.budget import Budget
    from posetx.attacks.objective import Objective


def usual_norm(method: str) -> str:
    """The norm of a method that is told none. Raises FieldError for a method that is none."""
    _check_known("method", method, METHODS)
    return METHODS[method].norms[0]


@dataclass(frozen=True)
class AttackSettings:
    """What can be set of an attack.

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
        """Raises FieldError for what does not exist or does not go together."""
        _check_known("method", self.method, METHODS)
        _check_known("norm", self.norm, NORMS)
        norms = METHODS[self.method].norms
        if self.norm not in norms:
            raise FieldError("norm", self.norm, f"{self.method} takes {' or '.join(norms)} alone")
        if self.defence:
            _check_known("defence", self.defence, DEFENCES)
        elif self.adaptive:
            raise FieldError("defence", "", "adaptive to which one?")
        for field in ("epsilon", "success", "share"):
            if not math.isfinite(getattr(self, field)):
                raise FieldError(field, getattr(self, field), "give a finite number")
        if self.epsilon < 0:
            raise FieldError("epsilon", self.epsilon, "give a distance of 0 or more")
        if self.success <= 0:
            raise FieldError("success", self.success, "give a PMD above 0")
        if not 0 < self.share < 1:
            raise FieldError("share", self.share, "give a number between 0 and 1")

    @property
    def budget(self) -> Budget:
        from posetx.attacks.budget import Budget

        return Budget(self.norm, self.epsilon)

    def run(
        self, objective: Objective, clouds: Tensor, generator: torch.Generator, goal: float
    ) -> tuple[Attacked, Tensor]:
        """Adversarial clouds (B, S, 3), and which of their points are left (B, S).

        ``goal`` is the objective's value at the PMD of ``success``.
        """
        told = {"steps": self.steps, "restarts": self.restarts, "share": self.share}
        more = {"budget": self.budget, "generator": generator, "goal": goal}
        return attack(self.method, objective, clouds, {**told, **more})


def settings_grid(
    common: AttackSettings,
    methods: Sequence[str],
    norm: str | None,
    epsilons: Sequence[float],
    steps: Sequence[int],
) -> tuple[AttackSettings, ...]:
    """Every combination of what a method listens to. Raises FieldError for one that is none."""
    return tuple(
        replace(common, method=name, norm=norm or usual_norm(name), epsilon=epsilon, steps=count)
        for name in methods
        for count in steps[: None if "steps" in METHODS[name].takes else 1]
        for epsilon in epsilons[: None if "budget" in METHODS[name].takes else 1]
    )


def _check_known(field: str, value: str, known: Iterable[str]) -> None:
    names = tuple(known)
    if value not in names:
        raise FieldError(field, value, f"use {', '.join(names)}")
