"""Which tables of attacks the documents have: no torch here, the command's help lists the names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from posetx.attacks.choices import DEFENCES
from posetx.attacks.settings import AttackSettings, settings_grid
from posetx.evaluation.protocol_table import EPSILON, PGD_STEPS

#: 3D-PoseMAE's budget, and one that a scanner's noise comes near to
BUDGETS = (0.02, EPSILON)
STANDARD = AttackSettings(epsilon=EPSILON, steps=PGD_STEPS)
SMALL = AttackSettings(epsilon=0.02, steps=10)


@dataclass(frozen=True)
class TableOf:
    """What a table shows; ``share`` of the pairs are attacked, where an attack takes long."""

    protocol: str
    settings: tuple[AttackSettings, ...]
    more: dict[str, Any] = field(default_factory=dict)
    share: float = 1.0
    by_part: bool = False


TABLES = {
    "strength": TableOf(
        "seen",
        settings_grid(
            STANDARD, ("noise", "fgm", "ifgm", "mifgm", "pgd"), None, BUDGETS, (PGD_STEPS,)
        ),
    ),
    "views": TableOf(
        "scan",
        settings_grid(SMALL, ("igsm",), None, (0.005, 0.01, 0.02, 0.04, 0.08), (1, 10)),
        {"views": (1, 2, 4)},
    ),
    "wanted": TableOf(
        "seen",
        settings_grid(SMALL, ("igsm-t",), None, (0.02, 0.05, 0.1), (1, 10, 20, 100)),
        {"turns": (10.0, 30.0)},
        share=0.5,
    ),
    "defences": TableOf(
        "seen",
        tuple(
            replace(SMALL, defence=defence, adaptive=adaptive)
            for adaptive in (False, True)
            for defence in DEFENCES
        ),
    ),
    "parts": TableOf("seen", (SMALL,), by_part=True),
    "whole": TableOf(
        "scan",
        settings_grid(STANDARD, ("noise", "fgm", "pgd"), None, BUDGETS, (PGD_STEPS,)),
        {"whole": True},
        share=0.5,
    ),
}
