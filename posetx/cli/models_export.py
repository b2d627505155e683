"""`posetx models export`: a network as a file for programs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posetx.cli.common import (
    JsonOption,
    OverwriteOption,
    QuietOption,
    VerboseOption,
    emit_json,
)
from posetx.errors import UsageError
from posetx.files.atomic import check_outputs
from posetx.system.console import say
from posetx.system.paths import find_model

SUFFIX = ".onnx"


def models_export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, or a .safetensors file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file: ONNX.")],
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a network as ONNX, for programs without torch; takes minutes.

    Batch, pose points and the identity's points are free. What is written was run by onnxruntime
    at other sizes than it was made with, and gives what torch gives.
    """
    if output.suffix.lower() != SUFFIX:
        raise UsageError(f"-o {output}: a network is written as {SUFFIX}")
    check_outputs({"output": output}, [find_model(model)], overwrite)
    from posetx.files.atomic import write_bytes_atomic
    from posetx.models.checkpoint import load_network
    from posetx.models.onnx import check_libraries, export_onnx

    check_libraries()
    say(f"{output}: begun, takes minutes")
    network, card = load_network(model)
    exported = export_onnx(network, card)
    write_bytes_atomic(output, exported.data)
    if as_json:
        emit_json(
            {
                "output": output,
                "model": model,
                "bytes": len(exported.data),
                "inputs": exported.inputs,
                "difference": exported.difference,
                "rounding": exported.rounding,
            }
        )
    inputs = ", ".join(f"{k} ({', '.join(map(str, v))})" for k, v in exported.inputs.items())
    say(
        f"{output}: {len(exported.data) / 2**20:.1f} MiB, takes {inputs}; "
        f"at most {exported.difference:.1g} from torch, which rounds by {exported.rounding:.1g}"
    )
