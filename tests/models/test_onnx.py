"""Networks as ONNX files: the same as torch, at any sizes, for every network of the registry."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import posetx.models.onnx
from posetx.bodies.body import on_device
from posetx.cli import app
from posetx.errors import MissingError, PosetxError
from posetx.models.checkpoint import save_model
from posetx.models.mesh_model import with_count
from posetx.models.onnx import LARGEST_DIFFERENCE, LIBRARIES, as_function, compare, export_onnx
from posetx.models.registry import CONFIGS, build, config_named, config_of

TINY = {"width": 32, "code": 32, "depth": 1, "decoder_width": 16, "decoder_blocks": 1}
SIZES = {"posemae": TINY, "corenet": {"width": 8}, "mapconnet": {"width": 8}}
needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in LIBRARIES), reason="needs posetx[onnx]"
)


def small(name: str):
    torch.manual_seed(0)
    network = build(config_named(name, **SIZES.get(name, {"width": 32}))).eval()
    with torch.no_grad():
        for value in network.parameters():  # some layers begin at nought, which would hide them
            if not value.any():
                value.normal_(std=0.05)
    return network


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_every_network_is_the_same_in_onnx(name: str, tmp_path: Path) -> None:
    """At sizes that were not traced, each an input's own; twice, as a cache once broke the next."""
    network = small(name)
    exported = export_onnx(network, {"sha256": "of the weights"})
    assert 0 < exported.difference <= max(LARGEST_DIFFERENCE, 2 * exported.rounding)
    assert 0 < exported.rounding < 1e-4
    assert exported.inputs["pose"] == ["batch", "pose_points", 3]
    assert exported.inputs["points"] == ["batch", "points", 3]

    import onnx
    import onnxruntime

    model = onnx.load_from_string(exported.data)
    onnx.checker.check_model(model)
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["network"] == name and told["sha256"] == "of the weights"
    assert config_of(told["architecture"], json.loads(told["config"])) == network.config
    session = onnxruntime.InferenceSession(exported.data)
    assert {i.name: [*map(str, i.shape)] for i in session.get_inputs()} == {
        name: [*map(str, shape)] for name, shape in exported.inputs.items()
    }

    # what is compared tells another network from this one
    with torch.no_grad():
        next(network.parameters()).mul_(1.01)
    with pytest.raises(PosetxError, match="from torch's"):
        compare(exported.data, as_function(network))


@needs_onnx
@pytest.mark.slow
def test_the_command_writes_what_it_compared(tmp_path: Path) -> None:
    network, path = small("npt-mp"), tmp_path / "m.safetensors"
    save_model(path, network.config, network.state_dict(), {})
    arguments = ["models", "export", str(path), "-o", str(tmp_path / "m.onnx"), "--json"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert told["difference"] <= LARGEST_DIFFERENCE
    assert told["bytes"] == (tmp_path / "m.onnx").stat().st_size
    assert "exists already" in CliRunner().invoke(app, arguments).stderr


def test_without_the_extra_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posetx.models.onnx, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"pip install 'posetx\[onnx\]'"):
        export_onnx(small("npt-mp"))


WITHOUT = """
import importlib, pkgutil, sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None  # an import of it fails
import posetx
names = [m.name for m in pkgutil.walk_packages(posetx.__path__, "posetx.")]
for name in names:
    if not name.startswith(("posetx.files.blender", "posetx.__main__")):  # Blender's own
        importlib.import_module(name)
from posetx.cli import app
try:
    app(sys.argv[2:])
except SystemExit as ended:
    sys.exit(ended.code)
"""


def test_all_else_works_without_the_extra(standing: Path, tmp_path: Path) -> None:
    arguments = ["transfer", standing / "scan.npy", standing / "target.obj", "--no-refine"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(LIBRARIES), *map(str, arguments)]
        + ["-o", str(tmp_path / "o.obj")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.obj").stat().st_size > 100_000


def test_a_traced_constant_is_not_kept() -> None:
    kept = on_device((1, 2, 4), torch.device("cpu"))
    assert on_device((1, 2, 4), torch.device("cpu")) is kept

    class Picked(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, on_device((2, 0, 3), x.device)]

    x = torch.rand(2, 5)
    program = torch.export.export(Picked(), (x,), strict=False)
    after = on_device((2, 0, 3), torch.device("cpu"))
    assert type(after) is torch.Tensor and after.tolist() == [2, 0, 3]
    assert torch.equal(program.module()(x), x[:, [2, 0, 3]])


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9])
def test_a_cloud_of_another_count_begins_anew(count: int) -> None:
    cloud = torch.rand(2, 4, 3)
    assert torch.equal(with_count(cloud, count), cloud[:, np.arange(count) % 4])
