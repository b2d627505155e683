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
    from posetx.data.poses import PoseBank
    from posetx.data.stream import Batch

# One thread a test process: there is a process a core.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def banks() -> dict[str, PoseBank]:
    """The first 500 poses of each split of the shipped prior."""
    from posetx.bodies.body import BodyModel
    from posetx.data.poses import PoseBank
    from posetx.data.splits import pose_banks

    banks = pose_banks(BodyModel.load(), None)
    return {split: PoseBank(bank.local[:500]) for split, bank in banks.items()}


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Eight samples of 128 points, clean, of targets at rest."""
    from posetx.bodies.body import BodyModel
    from posetx.data.splits import training_poses
    from posetx.data.stream import BodyStream, StreamSettings

    body = BodyModel.load()
    clean = StreamSettings(128, 128, scan_share=0.0, noise_share=0.0, reposed_share=0.0)
    return BodyStream(body, training_poses(body, None), clean, seed=0).draw(8)


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
