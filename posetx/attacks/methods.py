"""The attacks within a budget, by name."""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.attacks.ascent import Attacked
from posetx.attacks.budget import Budget
from posetx.attacks.fgm import fgm
from posetx.attacks.ifgm import ifgm
from posetx.attacks.igsm import igsm
from posetx.attacks.mifgm import mifgm
from posetx.attacks.nes import nes
from posetx.attacks.objective import Objective
from posetx.attacks.pgd import pgd

METHODS = ("fgm", "ifgm", "mifgm", "pgd", "igsm", "nes")
"""One more is a module of its own, a name here and a line below."""


def perturbed(
    method: str,
    objective: Objective,
    clouds: Tensor,
    budget: Budget,
    generator: torch.Generator,
    steps: int,
    restarts: int = 1,
) -> Attacked:
    """``clouds`` (B, P, 3) after one of METHODS.

    ``steps`` are those of iterative ones, ``restarts`` those of ones that begin at random. Raises
    ValueError for a norm that the method does not have.
    """
    if method == "fgm":
        return fgm(objective, clouds, budget)
    if method == "pgd":
        return pgd(objective, clouds, budget, generator, steps, restarts)
    if method == "nes":
        return nes(objective, clouds, budget, generator, steps)
    climbing = {"ifgm": ifgm, "mifgm": mifgm, "igsm": igsm}[method]
    return climbing(objective, clouds, budget, steps)
