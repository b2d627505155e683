"""Every attack, in one table: where it is, what it listens to, what it can do.

One more is a module of its own with a function of the same name, and a line in METHODS; nothing
else names it. The table imports no attack, and not torch either, so that a command's help and a
shell's completion can list names quickly.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posetx.attacks.choices import NORMS, Norm

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from posetx.attacks.ascent import Attacked
    from posetx.attacks.budget import Budget
    from posetx.attacks.objective import Objective


@dataclass(frozen=True)
class Method:
    """An attack of the table.

    ``module`` in this package has the function of the same name. After the objective and the
    clouds it is given what ``takes`` names, of: ``budget``, ``steps``, ``restarts``, ``share``,
    ``goal`` (the objective's value that counts as success) and ``generator``. The first of
    ``norms`` is the usual one. ``wanted``: it needs a pose that is wanted. ``gradients``: it asks
    for them, not for the objective alone. ``training``: cheap enough for every step of a training.
    """

    module: str
    takes: tuple[str, ...] = ("budget",)
    norms: tuple[Norm, ...] = NORMS
    wanted: bool = False
    gradients: bool = True
    training: bool = False

    @property
    def function(self) -> Any:
        return getattr(importlib.import_module(f"posetx.attacks.{self.module}"), self.module)


METHODS: dict[str, Method] = {
    "fgm": Method("fgm", training=True),
    "ifgm": Method("ifgm", ("budget", "steps")),
    "mifgm": Method("mifgm", ("budget", "steps")),
    "pgd": Method("pgd", ("budget", "generator", "steps", "restarts"), training=True),
    "igsm": Method("igsm", ("budget", "steps"), norms=("linf",)),
    "igsm-t": Method("igsm", ("budget", "steps"), norms=("linf",), wanted=True),
    "cw": Method("cw", ("budget", "goal", "steps")),
    "drop": Method("drop", ("share",)),
    "nes": Method("nes", ("budget", "generator", "steps"), gradients=False),
    "noise": Method("noise", ("budget", "generator"), gradients=False),
}
#: the attack that goes on from step to step of a training, see
#: :class:`posetx.training.adversarial.Attacker`
FREE = "free"
#: attacks that training may use: within the global budget, and cheap enough for every step
TRAINING = (*(name for name, method in METHODS.items() if method.training), FREE)


def perturbed(
    method: str,
    objective: Objective,
    clouds: Tensor,
    budget: Budget,
    generator: torch.Generator,
    steps: int,
    restarts: int = 1,
) -> Attacked:
    """``clouds`` (B, P, 3) after a method that needs no more than these.

    ``steps`` are those of iterative ones, ``restarts`` those of ones that begin at random. Raises
    ValueError for a norm that the method does not have.
    """
    told = {"budget": budget, "generator": generator, "steps": steps, "restarts": restarts}
    return attack(method, objective, clouds, told)[0]


def attack(
    method: str, objective: Objective, clouds: Tensor, told: dict[str, Any]
) -> tuple[Attacked, Tensor]:
    """Clouds (B, P, 3) after one of METHODS, and which of their points are left (B, P)."""
    row = METHODS[method]
    found = row.function(objective, clouds, **{name: told[name] for name in row.takes})
    if isinstance(found, tuple):
        return found
    return found, clouds.new_ones(clouds.shape[:2]).bool()
