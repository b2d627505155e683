"""`posetx models`: which weights are here, whether they are whole, and how good they measured."""

from __future__ import annotations

from rich.table import Table

from posetx.cli.common import JsonOption, QuietOption, VerboseOption, emit_json, emit_table
from posetx.errors import MissingError, PosetxError
from posetx.paths import HOME_VARIABLE, weights_dir
from posetx.shipped import ShippedModel, shipped_models


def models(
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List the weights that are here, with hashes and figures.

    They are looked for in the folder $POSETX_HOME, then among those shipped.
    """
    found = shipped_models()
    if as_json:
        emit_json({"models": [as_dict(model, verbose) for model in found]})
    elif found:
        emit_table(models_table(found))
    if not found:
        raise MissingError(f"no model weights in {weights_dir()} or ${HOME_VARIABLE}")
    bad = [model for model in found if model.check == "BAD"]
    if bad:
        names = ", ".join(str(model.path) for model in bad)
        raise PosetxError(f"{names}: not the file its card describes (sha256); install it anew")


def as_dict(model: ShippedModel, whole_card: bool) -> dict[str, object]:
    """What `--json` says of a model; with `-v`, all of its card."""
    entry: dict[str, object] = {
        "name": model.name,
        "path": str(model.path),
        "bytes": model.size,
        "sha256": model.sha256,
        "check": model.check,
        "figures": model.figures,
    }
    return {**entry, "card": model.card} if whole_card else entry


def models_table(found: list[ShippedModel]) -> Table:
    """One row a model; one column for each protocol that any card has a figure of."""
    protocols = list(dict.fromkeys(name for model in found for name in model.figures))
    table = Table(caption="PMD ×1e-4 (m²), lower is better" if protocols else None)
    table.add_column("model", style="bold", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("sha256", no_wrap=True)
    for protocol in protocols:
        table.add_column(protocol, justify="right")
    colour = {"ok": "green", "BAD": "bold red"}
    for model in found:
        row = [model.name, f"{model.size / 2**20:.1f} MiB"]
        row.append(f"[{colour.get(model.check, 'yellow')}]{model.check}[/]")
        for protocol in protocols:
            pmd = model.figures.get(protocol)
            row.append("–" if pmd is None else f"{pmd * 1e4:.2f}")
        table.add_row(*row)
    return table
