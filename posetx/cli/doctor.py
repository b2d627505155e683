"""`posetx doctor`: what is installed and whether it works; made to be pasted into a bug report."""

from __future__ import annotations

import platform
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.table import Table
from rich.text import Text

from posetx import __version__
from posetx.cli.common import JsonOption, QuietOption, VerboseOption, emit_json, emit_table
from posetx.errors import MissingError, PosetxError
from posetx.models.shipped import ShippedModel, shipped_models
from posetx.system.console import console
from posetx.system.diagnosis import DEPENDENCIES, Finding, probe, probe_blender
from posetx.system.paths import HOME_VARIABLE, weights_dir

COLOURS = {"ok": "green", "missing": "yellow", "fails": "red", "BAD": "red", "no card": "yellow"}


def doctor(
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Say what is installed and whether it works.

    Every heavy library is imported in a child process, so that one that
    crashes or hangs is found out, too.
    """
    # Two at a time: an import is mostly reading files, and a third would only slow the others.
    with console.status("importing each library in a child process"), ThreadPoolExecutor(2) as pool:
        blender = pool.submit(probe_blender)
        findings = [*pool.map(probe, DEPENDENCIES), blender.result()]
    models = shipped_models()
    temp_error = temp_trouble()

    if as_json:
        emit_json(as_dict(findings, models, temp_error))
    else:
        emit_table(report_table(findings, models, temp_error))

    unusable = [f.dependency.name for f in findings if f.dependency.required and f.state != "ok"]
    if unusable:
        raise MissingError(f"posetx cannot work without {', '.join(unusable)}; see above")
    if not models:
        raise MissingError(f"no model weights in {weights_dir()} or ${HOME_VARIABLE}")
    if any(model.check == "BAD" for model in models):
        raise PosetxError("some weights are not the files their cards describe; `posetx models`")
    if temp_error:
        raise PosetxError(f"no file can be written to {tempfile.gettempdir()}: {temp_error}")


def temp_trouble() -> str:
    """Why nothing can be written to the folder for temporary files; empty if it can."""
    try:
        with tempfile.TemporaryFile() as stream:
            stream.write(b"posetx")
            stream.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def torch_devices(findings: list[Finding]) -> str:
    return next((f.detail for f in findings if f.dependency.name == "torch" and f.detail), "none")


def as_dict(findings: list[Finding], models: list[ShippedModel], temp_error: str) -> dict[str, Any]:
    return {
        "posetx": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "devices": torch_devices(findings),
        "dependencies": {
            f.dependency.name: {
                "required": f.dependency.required,
                "state": f.state,
                "version": f.version,
                "seconds": f.seconds,
                "trouble": f.trouble,
                "hint": f.hint,
            }
            for f in findings
        },
        "models": {model.name: {"path": model.path, "check": model.check} for model in models},
        "temp": {"path": tempfile.gettempdir(), "writable": not temp_error, "trouble": temp_error},
    }


def report_table(findings: list[Finding], models: list[ShippedModel], temp_error: str) -> Table:
    def state(told: str) -> Text:
        return Text(told, COLOURS[told])

    table = Table("", "state", "version", "notes", box=None, pad_edge=False)
    table.add_row("posetx", state("ok"), __version__, str(weights_dir().parent))
    table.add_row("python", state("ok"), platform.python_version(), platform.platform())
    for finding in findings:
        name = Text(finding.dependency.name)
        if not finding.dependency.required:
            name.append(" (optional)", "dim")
        notes = "\n".join(filter(None, [finding.detail, finding.trouble, finding.hint]))
        table.add_row(name, state(finding.state), finding.version, notes)
    for model in models:
        row = (state(model.check), model.sha256[:12], str(model.path))
        table.add_row(f"weights {model.name}", *row)
    if not models:
        table.add_row("weights", state("missing"), "", f"{weights_dir()} or ${HOME_VARIABLE}")
    found = state("fails" if temp_error else "ok")
    table.add_row("temporary files", found, "", temp_error or tempfile.gettempdir())
    return table
