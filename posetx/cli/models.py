"""`posetx models`: which weights are here, whether they are whole, and how good they measured."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from posetx.cli.common import JsonOption, QuietOption, VerboseOption, emit_json, emit_table
from posetx.errors import MissingError, PosetxError
from posetx.models.shipped import ShippedModel, shipped_models
from posetx.system.paths import HOME_VARIABLE, weights_dir


def models(
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List the weights that are here, with hashes and figures.

    They are looked for in the folder $POSETX_HOME, then among those shipped. `posetx models export`
    writes one of them as ONNX.
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
    """One column a model, which leaves figures room; one row for each protocol of any card."""
    protocols = list(dict.fromkeys(name for model in found for name in model.figures))
    table = Table(caption="PMD ×1e-4 (m²) of the network alone" if protocols else None)
    table.add_column("")
    for model in found:
        table.add_column(model.name, justify="right", overflow="fold")
    colour = {"ok": "green", "BAD": "bold red"}
    table.add_row("size", *(f"{model.size / 2**20:.1f} MiB" for model in found))
    table.add_row(
        "sha256",
        *(Text(model.check, colour.get(model.check, "yellow")) for model in found),
        end_section=True,
    )
    for protocol in protocols:
        figures = [model.figures.get(protocol) for model in found]
        table.add_row(protocol, *("–" if f is None else f"{f * 1e4:.2f}" for f in figures))
    return table
