"""A network of any kind on the protocols, its heading told: how baselines are measured.

None of the field's networks finds out how a scan is turned, so that all of them, PoseMAE too where
it is compared with them, are told; nothing is fitted and nothing restored.
"""

from __future__ import annotations

from posetx.attacks.settings import AttackSettings
from posetx.evaluation.attack_grid import AttackGrid, Crowd
from posetx.evaluation.protocol_table import EPSILON, PGD_STEPS
from posetx.evaluation.protocols import PAIRS, PROTOCOLS


def figures_alone(
    grid: AttackGrid, name: str, count: int = PAIRS, crowd: Crowd | None = None
) -> dict[str, float]:
    """Mean figures of one protocol over ``count`` pairs, which are ``crowd`` where it is known."""
    method = PROTOCOLS[name].attack
    if crowd is None:
        crowd = grid.crowd(name, count)
    if method:
        settings = AttackSettings(method, epsilon=EPSILON, steps=PGD_STEPS, seed=grid.seed)
        return {"pairs": count, **grid.figures(crowd, grid.attacked(crowd, settings))}
    return {"pairs": count, **grid.figures(crowd)}
