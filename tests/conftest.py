"""Fixtures that several test files use."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from posetx.bodies.body import BodyModel
    from posetx.data.poses import PoseBank
    from posetx.data.stream import Batch

# One thread a test process: there is a process a core.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def data() -> tuple[BodyModel, PoseBank]:
    """What a network learns from: the body model and the training poses, half a second's work."""
    from posetx.bodies.body import BodyModel
    from posetx.data.splits import training_poses

    body = BodyModel.load()
    return body, training_poses(body, None)


@pytest.fixture(scope="session")
def all_banks(data: tuple[BodyModel, PoseBank]) -> dict[str, PoseBank]:
    """All poses of each split of the shipped prior."""
    from posetx.data.splits import unseen_poses

    return {"train": data[1], "unseen": unseen_poses(data[0], None)}


@pytest.fixture(scope="session")
def banks(all_banks: dict[str, PoseBank]) -> dict[str, PoseBank]:
    """The first 500 of them."""
    from posetx.data.poses import PoseBank

    return {split: PoseBank(bank.local[:500]) for split, bank in all_banks.items()}


@pytest.fixture(scope="module")
def batch(data: tuple[BodyModel, PoseBank]) -> Batch:
    """Eight samples of 128 points, clean, of targets at rest."""
    from posetx.data.stream import BodyStream, StreamSettings

    clean = StreamSettings(128, 128, scan_share=0.0, noise_share=0.0, reposed_share=0.0)
    return BodyStream(*data, clean, seed=0).draw(8)


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the mean body as `scan.npy` and as `target.obj`, to be copied from."""
    import numpy as np

    from posetx.bodies.body import BodyModel

    folder, body = tmp_path_factory.mktemp("standing"), BodyModel.load()
    points = body.template.double().numpy()
    np.save(folder / "scan.npy", points)
    lines = ["v {:.6f} {:.6f} {:.6f}\n".format(*p) for p in points.tolist()]
    lines += ["f {} {} {}\n".format(*f) for f in (body.faces.numpy() + 1).tolist()]
    (folder / "target.obj").write_text("".join(lines))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that $POSETX_HOME names; the shipped weights are out of sight."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("POSETX_HOME", str(folder))
    monkeypatch.setattr("posetx.system.paths.weights_dir", lambda: tmp_path / "none")
    return folder


@pytest.fixture
def add_model(home: Path) -> Callable[..., Path]:
    """Puts a model with a card into `home`; its weights are no weights, which no list reads."""

    def add(name: str, content: bytes = b"weights", sha256: str | None = None) -> Path:
        path = home / f"{name}.safetensors"
        path.write_bytes(content)
        card = {
            "sha256": sha256 or hashlib.sha256(content).hexdigest(),
            "figures": {"seen": {"pmd": 3.1e-4, "mpjpe": 12.0}, "unseen": {"pmd": 4.2e-4}},
        }
        path.with_suffix(".json").write_text(json.dumps(card))
        return path

    return add
