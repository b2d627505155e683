"""The documents' tables of attacks on a model, made anew by one command.

What was found is kept, a table at a time, so that a study goes on; the same file of another model
is refused. In documents they stand between `<!-- attacks: NAME -->` and `<!-- /attacks -->`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from posetx.errors import PosetxError, UsageError
from posetx.evaluation.attack_dataset import DatasetAttack, attack_protocol
from posetx.evaluation.attack_tables import markdown, parts_markdown, title
from posetx.files.atomic import (
    check_can_be_folder,
    check_distinct,
    check_free,
    check_outputs,
)
from posetx.files.unfinished import sweep
from posetx.models.checkpoint import load_network
from posetx.models.predictor import Predictor, predictor_of
from posetx.studies.attack_catalogue import TABLES, TableOf
from posetx.studies.documents import has_place, put_tables
from posetx.studies.results import read, save, understood
from posetx.system.device import resolve_device

#: left out of documents: it differs from machine to machine
LEFT_OUT = ("ms_per_scan",)
#: of the marks in documents
KIND = "attacks"


@dataclass(frozen=True)
class TablesOptions:
    """Whose tables are made, where the figures are kept, and which documents get them."""

    file: Path
    model: str
    #: names of TABLES; all without any
    tables: tuple[str, ...] = ()
    pairs: int = 16
    mocap: Path | None = None
    documents: tuple[Path, ...] = ()
    overwrite: bool = False
    device: str = "auto"
    seed: int = 0

    def check(self) -> None:
        """Raises PosetxError for what cannot be written, and documents that have no place."""
        documents: dict[str, Path | None] = {f"into {path}": path for path in self.documents}
        check_distinct({"file": self.file, **documents}, [])
        check_can_be_folder(self.file.parent)
        check_free(self.file, overwrite=True)
        check_outputs(documents, [], overwrite=True)
        sweep(self.file.parent)
        for path in self.documents:
            if not has_place(path, KIND):
                raise PosetxError(f"{path}: no place for a table; mark one <!-- {KIND}: NAME -->")


def make_tables(options: TablesOptions, on_step: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Attack what was not attacked yet, and put the tables into the documents.

    ``on_step`` hears how many steps of a table are done, of how many, and the table's name. Of a
    baseline there is no table of the pipeline, which does not use it. Raises as
    :meth:`TablesOptions.check` and :func:`load_network`, and UsageError for a file of another
    model, other pairs, poses or seed.
    """
    options.check()
    where = resolve_device(options.device)
    network, card = load_network(options.model, where)
    whole = isinstance(predictor_of(network, where), Predictor)
    setup = {
        "model": options.model,
        "model_sha256": card.get("sha256"),
        "pairs": options.pairs,
        "poses": "clips" if options.mocap else "prior",
        "seed": options.seed,
    }
    found = None if options.overwrite else read(options.file, "attack tables")
    if found is not None and any(found.get(key) != value for key, value in setup.items()):
        raise UsageError(f"{options.file}: tables of another model or setup; pass `overwrite`")
    found = found or {**setup, "tables": {}}
    with understood(options.file, "attack tables"):
        tables_markdown(found)
    for name in options.tables or TABLES:
        if name in found["tables"] or (TABLES[name].more.get("whole") and not whole):
            continue
        attack = _attack(TABLES[name], options)
        step = _counting(on_step, attack.steps, name)
        found["tables"][name] = attack_protocol(attack, step)
        save(options.file, found)
    shown = tables_markdown(found)
    for path in options.documents:
        put_tables(path, KIND, shown)
    return found


def _attack(table: TableOf, options: TablesOptions) -> DatasetAttack:
    return DatasetAttack(
        protocol=table.protocol,
        settings=tuple(replace(one, seed=options.seed) for one in table.settings),
        model=options.model,
        pairs=max(round(options.pairs * table.share), 1),
        mocap=options.mocap,
        device=options.device,
        seed=options.seed,
        **table.more,
    )


def _counting(
    on_step: Callable[[int, int, str], None], total: int, name: str
) -> Callable[[], None]:
    """Tells ``on_step`` how many steps are done: none at once, then one more each time."""
    done = count()

    def step() -> None:
        on_step(next(done), total, name)

    step()
    return step


def tables_markdown(found: dict[str, Any]) -> dict[str, str]:
    """The tables that are there, by name, each under a line that says what it is of."""
    shown = {}
    for name, document in found["tables"].items():
        sha = str(document["model_sha256"])[:12]
        document = {**document, "model": f"{document['model']} (sha256 {sha}…)"}
        if TABLES[name].by_part:
            shown[name] = f"{title(document)}\n\n{parts_markdown(document['rows'][-1])}"
        else:
            shown[name] = markdown(document, LEFT_OUT)
    return shown
