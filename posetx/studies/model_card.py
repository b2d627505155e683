"""All that a model's card and the documents say of it, measured anew by one command.

The whole pipeline and the network alone on the protocols, the confidence from the pairs of scans,
and the tables of attacks. What was measured is kept in a folder after each protocol, so that a
study goes on; the same folder of another model is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from posetx.errors import PosetxError, UsageError
from posetx.evaluation.card import write_figures
from posetx.evaluation.causes import failures
from posetx.evaluation.command import EvaluateOptions, measured
from posetx.evaluation.tables import failures_markdown, figures_markdown
from posetx.files.alone import alone_in
from posetx.files.atomic import check_outputs
from posetx.models.checkpoint import load_network
from posetx.models.pose_mae import PoseMAE
from posetx.studies.attack_tables import KIND as ATTACKS
from posetx.studies.attack_tables import TablesOptions, make_tables
from posetx.studies.calibrate import calibrate_pairs, markdown, of_scans
from posetx.studies.documents import has_place, put_tables
from posetx.studies.results import read, save, understood
from posetx.system.device import resolve_device
from posetx.system.paths import find_model

#: of the marks in documents
KIND = "card"
PIPELINE, NETWORK, RELIABILITY, FAILURES = "pipeline", "network", "reliability", "failures"


@dataclass(frozen=True)
class Measurement:
    """A protocol on so many pairs, so many of them restored, by the pipeline or the network."""

    protocol: str
    pairs: int
    restored: int = 0
    by: str = PIPELINE

    @property
    def name(self) -> str:
        return f"{self.by} {self.protocol}"


MEASUREMENTS = (
    *(
        Measurement(protocol, 120, 20, NETWORK)
        for protocol in ("seen", "unseen", "reposed", "noise", "scan", "front", "objects")
    ),
    Measurement("dressed", 120, by=NETWORK),
    Measurement("characters", 120, by=NETWORK),
    Measurement("attack", 64, by=NETWORK),
    Measurement("attack-pgd", 32, by=NETWORK),
    Measurement("unseen", 100),
    Measurement("noise", 100),
    Measurement("reposed", 40),
    Measurement("scan", 100, 40),
    Measurement("turned", 100),
    Measurement("front", 100),
    Measurement("objects", 100),
    Measurement("dressed", 100),
    Measurement("characters", 60),
)


@dataclass(frozen=True)
class CardOptions:
    """Whose card is made, where what was measured is kept, and which documents get tables."""

    folder: Path
    model: str
    mocap: Path | None = None
    #: of any protocol at most; None: as many as :data:`MEASUREMENTS` has
    pairs: int | None = None
    #: of each table of attacks; none are made with 0
    attacked: int = 16
    documents: tuple[Path, ...] = ()
    overwrite: bool = False
    device: str = "auto"
    seed: int = 0


def make_card(options: CardOptions, on_pair: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Measure what was not measured yet, write the card and put the tables into the documents.

    ``on_pair`` hears how many pairs or steps are done, of how many, and of what. Raises as
    :func:`load_network`, PosetxError for a baseline and for documents without a place for a
    table, and UsageError for a folder of another model, other pairs, poses or seed.
    """
    network, card = load_network(options.model, resolve_device(options.device))
    if not isinstance(network, PoseMAE):
        raise PosetxError(f"{options.model}: a baseline; `evaluate` and `attack-tables` do those")
    for path in options.documents:
        if not (has_place(path, KIND) or has_place(path, ATTACKS)):
            raise PosetxError(f"{path}: no place for a table; mark one <!-- {KIND}: NAME -->")
    written = {f"into {path}": path for path in options.documents}
    written["model"] = find_model(options.model).with_suffix(".json")
    check_outputs(written, [], overwrite=True)
    with alone_in(options.folder):
        return _made(options, card.get("sha256"), on_pair)


def _made(
    options: CardOptions, sha256: str | None, on_pair: Callable[[int, int, str], None]
) -> dict[str, Any]:
    """As :func:`make_card`, with the folder for itself."""
    found = _measured(options, sha256, on_pair)
    figures = {by: _figures(found, by) for by in (PIPELINE, NETWORK)}
    for by, of_protocols in figures.items():
        write_figures(options.model, of_protocols, found["setup"]["poses"], by == PIPELINE)
    reliability: list[dict[str, float]] = []
    # the last one is what the documents show
    for by in (NETWORK, PIPELINE):
        if scans := _scans(found, by):
            reliability = calibrate_pairs(options.model, scans)
    tables = {by: figures_markdown(of_protocols) for by, of_protocols in figures.items()}
    tables[RELIABILITY] = markdown(reliability)
    kept = _measurements(found, PIPELINE)
    failed = failures({protocol: one["details"] for protocol, one in kept.items()})
    tables[FAILURES] = failures_markdown(failed)
    if options.attacked:
        make_tables(_attacks(options), on_pair)
    for path in options.documents:
        put_tables(path, KIND, tables)
    return {**found["setup"], "figures": figures, FAILURES: failed, RELIABILITY: reliability}


def _measured(
    options: CardOptions, sha256: str | None, on_pair: Callable[[int, int, str], None]
) -> dict[str, Any]:
    """What the folder has, with all measurements that it did not have."""
    kept = options.folder / "figures.json"
    setup = {
        "model": options.model,
        "model_sha256": sha256,
        "pairs": options.pairs,
        "poses": "clips" if options.mocap else "prior",
        "seed": options.seed,
    }
    found = None if options.overwrite else read(kept, "a model's figures")
    if found is not None and found.get("setup") != setup:
        raise UsageError(f"{kept}: figures of another model or setup; pass `overwrite`")
    found = found or {"setup": setup, "measured": {}}
    with understood(kept, "a model's figures"):
        for by in (PIPELINE, NETWORK):
            figures_markdown(_figures(found, by))
            _scans(found, by)
    for one in MEASUREMENTS:
        if one.name in found["measured"]:
            continue
        pairs = min(one.pairs, options.pairs or one.pairs)
        done = count(1)
        result, details = measured(
            EvaluateOptions(
                model=options.model,
                protocols=(one.protocol,),
                mocap=options.mocap,
                pairs=pairs,
                restored=min(one.restored, pairs),
                refine=one.by == PIPELINE,
                device=options.device,
                seed=options.seed,
            ),
            lambda _, pairs=pairs, done=done, name=one.name: on_pair(next(done), pairs, name),  # type: ignore[misc]
        )
        found["measured"][one.name] = {
            "figures": result["figures"][one.protocol],
            "details": details[one.protocol],
        }
        save(kept, found)
    return found


def _measurements(found: dict[str, Any], by: str) -> dict[str, dict[str, Any]]:
    """What was measured by the pipeline or the network, by protocol."""
    kept = found["measured"]
    mine = [one for one in MEASUREMENTS if one.by == by and one.name in kept]
    return {one.protocol: kept[one.name] for one in mine}


def _scans(found: dict[str, Any], by: str) -> list[dict[str, Any]]:
    """The pairs of scans, which have a confidence."""
    measured = _measurements(found, by).values()
    return [pair for one in measured for pair in of_scans(one["details"])]


def _figures(found: dict[str, Any], by: str) -> dict[str, dict[str, float]]:
    """The figures by protocol."""
    return {name: one["figures"] for name, one in _measurements(found, by).items()}


def _attacks(options: CardOptions) -> TablesOptions:
    return TablesOptions(
        file=options.folder / "attacks.json",
        model=options.model,
        pairs=options.attacked,
        mocap=options.mocap,
        documents=tuple(path for path in options.documents if has_place(path, ATTACKS)),
        overwrite=options.overwrite,
        device=options.device,
        seed=options.seed,
    )
