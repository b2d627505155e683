"""An attack on a protocol from its options: every method, budget and view in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetx.attacks.methods import METHODS
from posetx.attacks.settings import AttackSettings
from posetx.errors import FieldError, UsageError
from posetx.evaluation.attack_grid import AttackGrid, Crowd
from posetx.evaluation.protocol_table import PLAIN
from posetx.evaluation.run import Evaluator
from posetx.evaluation.subjects import Subjects
from posetx.evaluation.whole import WholePipeline
from posetx.models.checkpoint import load_network
from posetx.models.predictor import NetworkPredictor, Predictor, predictor_of
from posetx.system.device import resolve_device

#: settings that are told as they are, where a method takes them
TAKEN = ("steps", "restarts", "share")


@dataclass(frozen=True)
class DatasetAttack:
    """What is attacked in which ways; see `posetx attack-dataset --help`."""

    protocol: str
    settings: tuple[AttackSettings, ...]
    model: str
    pairs: int = 64
    #: numbers of cameras; without any the protocol's own
    views: tuple[int, ...] = ()
    #: degrees by which the attacker wants the own pose turned; without any he wants any harm
    turns: tuple[float, ...] = ()
    #: also what the whole pipeline makes of the attacked scans
    whole: bool = False
    mocap: Path | None = None
    #: whose gradients are taken instead of the model's own
    surrogate: str | None = None
    device: str = "auto"
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError for what does not exist or does not go together."""
        if self.protocol not in PLAIN:
            raise UsageError(f"{self.protocol}: no protocol to attack; use {', '.join(PLAIN)}")
        for one in self.settings:
            one.check()
            if METHODS[one.method].wanted and not self.turns:
                raise FieldError("method", one.method, "wants a pose; give a `turn`")

    @property
    def steps(self) -> int:
        """How often :func:`attack_protocol` will say that something is done."""
        cells = max(len(self.views), 1) * (1 + len(self.settings) * max(len(self.turns), 1))
        return cells * (1 + self.pairs * self.whole)


def attack_protocol(
    options: DatasetAttack, on_step: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Attack the pairs in every way: the figures as a JSON document, whose ``rows`` are flat.

    ``on_step`` is called ``options.steps`` times. Raises as :meth:`DatasetAttack.check` and
    :func:`load_network`, and FieldError for a baseline's whole pipeline, which it has not.
    """
    options.check()
    where = resolve_device(options.device)
    network, card = load_network(options.model, where)
    attacker, attacker_card = network, card
    if options.surrogate:
        attacker, attacker_card = load_network(options.surrogate, where)
    predictor = predictor_of(network, where)
    subjects = _subjects(options, predictor, card)
    grid = AttackGrid(predictor, subjects, predictor_of(attacker, where))
    rows: list[dict[str, Any]] = []
    for views in options.views or (None,):
        crowd = grid.crowd(options.protocol, options.pairs, views)
        whole = WholePipeline(subjects, crowd, on_step) if isinstance(subjects, Evaluator) else None
        begin = {"protocol": options.protocol, "views": views, "pairs": options.pairs}
        for row in _rows(options, grid, crowd, whole):
            rows.append({**begin, **row})
            on_step()
    return {
        "model": options.model,
        "model_sha256": card.get("sha256"),
        "surrogate": options.surrogate,
        "attacker_sha256": attacker_card.get("sha256"),
        "protocol": options.protocol,
        "pairs": options.pairs,
        "poses": subjects.poses,
        "seed": options.seed,
        "success": options.settings[0].success,
        "device": str(where),
        "rows": rows,
    }


def _subjects(
    options: DatasetAttack, predictor: NetworkPredictor, card: Mapping[str, Any]
) -> Subjects:
    """The bodies, with a pipeline where the whole of it is measured."""
    if not options.whole:
        return Subjects(options.mocap, options.seed)
    if not isinstance(predictor, Predictor):
        raise FieldError("whole", "", f"{options.model} is a baseline, which no pipeline uses")
    return Evaluator(predictor, options.mocap, options.seed, refine=True, card=card)


def _rows(
    options: DatasetAttack, grid: AttackGrid, crowd: Crowd, whole: WholePipeline | None
) -> Iterator[dict[str, Any]]:
    """What is without an attack, then each attack."""
    clean = {"method": "none", **grid.figures(crowd)}
    yield clean | whole.figures() if whole else clean
    for one in options.settings:
        for degrees in options.turns or (None,):
            figures = grid.cell(crowd, one, degrees, whole.figures if whole else None)
            yield {**_told(one), "turn_degrees": degrees, **figures}


def _told(settings: AttackSettings) -> dict[str, Any]:
    """Of an attack's settings those that its method listens to."""
    takes = METHODS[settings.method].takes
    told: dict[str, Any] = {"method": settings.method, "seed": settings.seed}
    if "budget" in takes:
        told |= {"norm": settings.norm, "epsilon": settings.epsilon}
    told |= {name: getattr(settings, name) for name in TAKEN if name in takes}
    if settings.defence:
        told |= {"defence": settings.defence, "adaptive": settings.adaptive}
    return told
