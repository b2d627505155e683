"""An evaluation from its options: a network of any kind on protocols, by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posetx.errors import FieldError
from posetx.evaluation.alone import figures_alone
from posetx.evaluation.attack_grid import AttackGrid
from posetx.evaluation.card import write_figures
from posetx.evaluation.causes import failures
from posetx.evaluation.protocol_table import EXTRA, PROTOCOLS
from posetx.evaluation.run import Evaluator
from posetx.evaluation.subjects import Subjects
from posetx.files.atomic import write_text_atomic
from posetx.models.checkpoint import load_network
from posetx.models.predictor import Predictor, predictor_of
from posetx.system.device import resolve_device


@dataclass(frozen=True)
class EvaluateOptions:
    """Which model is measured, on what, and where the figures go; see `posetx evaluate --help`."""

    model: str
    #: all but EXTRA where none are named
    protocols: tuple[str, ...] = ()
    mocap: Path | None = None
    pairs: int = 400
    restored: int = 40
    refine: bool = True
    #: write the figures into the model's card
    update_card: bool = False
    #: write every pair's figures into this file
    details: Path | None = None
    device: str = "auto"
    seed: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The protocols that are measured."""
        return self.protocols or tuple(name for name in PROTOCOLS if name not in EXTRA)


def evaluate(options: EvaluateOptions, on_pair: Callable[[str], None]) -> dict[str, Any]:
    """Measure a model; what comes back has its figures by protocol, and what they are of.

    ``on_pair`` hears the protocol's name after each pair (of a baseline, after each protocol).
    Raises as :func:`load_network`, and FieldError for details of a baseline.
    """
    found, details = measured(options, on_pair)
    if options.details:
        write_text_atomic(options.details, json.dumps(details, indent=1) + "\n")
    if options.update_card:
        write_figures(options.model, found["figures"], found["poses"], found["refine"])
    return found


def measured(
    options: EvaluateOptions, on_pair: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """As :func:`evaluate`, with every pair's figures by protocol, and nothing is written."""
    where = resolve_device(options.device)
    network, card = load_network(options.model, where)
    predictor = predictor_of(network, where)
    fitted = options.refine and isinstance(predictor, Predictor)
    figures: dict[str, dict[str, float]] = {}
    details: dict[str, Any] = {}
    if isinstance(predictor, Predictor):
        evaluator = Evaluator(predictor, options.mocap, options.seed, fitted)
        for name in options.names:

            def done(name: str = name) -> None:
                on_pair(name)

            figures[name] = evaluator.protocol(name, options.pairs, options.restored, done)
        details = evaluator.details
    elif options.details:
        raise FieldError("details", options.details, "of a baseline there are means only")
    else:
        grid = AttackGrid(predictor, Subjects(options.mocap, options.seed))
        for name in options.names:
            figures[name] = figures_alone(grid, name, options.pairs)
            on_pair(name)
    found = {
        "model": options.model,
        "sha256": card.get("sha256"),
        "poses": "clips" if options.mocap else "prior",
        "seed": options.seed,
        "refine": fitted,
        "figures": figures,
        "failures": failures(details),
    }
    return found, details
