"""Damaged cards, summaries, details, studies, checkpoints and folders that a command goes on with.

Whatever happened to them: it goes on, or says in one line which file it is. Files of points and
meshes are in tests/files/test_fuzz.py.
"""

from __future__ import annotations

import copy
import json
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from posetx.cli.summary import Summary
from posetx.data.folder import FolderStream, MeshFolder
from posetx.data.groups import GroupStream, MeshGroups
from posetx.data.stream import StreamSettings
from posetx.errors import PosetxError
from posetx.evaluation.card import write_figures
from posetx.models.checkpoint import load_network, save_model
from posetx.models.registry import build, config_named
from posetx.pipeline.confidence import check_curves, confidence
from posetx.studies.attack_tables import TablesOptions, make_tables
from posetx.studies.bench.presets import NETWORKS, PRESETS
from posetx.studies.bench.study import Study
from posetx.studies.bench.tables import markdown as bench_markdown
from posetx.studies.calibrate import calibrate_card
from posetx.studies.results import understood
from posetx.studies.trials.catalogue import TRIALS
from posetx.studies.trials.results import Plan, Results, Run, setup
from posetx.studies.trials.table import KINDS, table
from posetx.training.checkpoint import load_state
from tests.files.mutants import mutations, spoil
from tests.files.test_fuzz import ends_well, limit_memory, no_hang
from tests.files.test_targets import CUBE

FEW, MANY = 15, 300
CPU = torch.device("cpu")
TINY = {"width": 16, "pose_points": 32, "identity_points": 32}


class Subject:
    """A file that something goes on with: what is in it when it is whole, and who reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.path = self.make()
        self.whole = self.path.read_bytes()

    def make(self) -> Path:
        raise NotImplementedError

    def use(self) -> object:
        raise NotImplementedError

    def mutants(self, count: int, seed: int) -> Iterator[bytes]:
        """Of bytes; of JSON also with values exchanged."""
        yield from mutations(self.whole, count // 3, seed)
        if self.path.suffix != ".json":
            yield from mutations(self.whole, count - count // 3, seed + 1)
            return
        generator = np.random.default_rng(seed)
        for _ in range(count - count // 3):
            document = copy.deepcopy(json.loads(self.whole))
            for _ in range(int(generator.integers(1, 3))):
                if document:
                    spoil(document, generator)
            yield json.dumps(document).encode()


def a_model(folder: Path) -> Path:
    torch.manual_seed(0)
    config = config_named("npt", **TINY)
    save_model(folder / "m.safetensors", config, build(config).state_dict(), {})
    return folder / "m.safetensors"


class Card(Subject):
    """Of a model: its curves are used, and figures and curves are put into it."""

    def make(self) -> Path:
        self.model = a_model(self.folder)
        path = self.model.with_suffix(".json")
        card = json.loads(path.read_text())
        curve = {"curve": [1.0, -2.0, -3.0], "farthest": 0.1}
        card["confidence"] = {"fitted": curve, "network": {"curve": [1.0, -2.0], "farthest": 0.1}}
        card["figures"] = card["figures_refined"] = {"seen": {"pmd": 1e-4, "jdr": 1}}
        card["reliability"] = {"fitted": [{"from": 0, "to": 1}]}
        path.write_text(json.dumps(card))
        self.details = self.folder / "pairs.json"
        pairs = [{"pmd": i % 3 * 2e-3, "distance": 0.02, "missed": 0.1} for i in range(6)]
        self.details.write_text(json.dumps({"scan": pairs}))
        return path

    def use(self) -> object:
        _, card = load_network(str(self.model))
        try:
            check_curves(card)
            assert 0 <= (confidence(card, 0.02, 0.1) or 0) <= 1
            assert 0 <= (confidence(card, 0.5, None) or 0) <= 1
        except ValueError:  # the pipeline makes a line of it, which names the card
            pass
        write_figures(str(self.model), {"unseen": {"pmd": 1e-3}}, "prior")
        return calibrate_card(str(self.model), [self.details])


class Details(Card):
    """Of `evaluate --details`; what is made of them is a card that can be used."""

    def make(self) -> Path:
        self.card = super().make()
        return self.details

    def use(self) -> object:
        before = self.card.read_text()
        try:
            calibrate_card(str(self.model), [self.details])
            check_curves(json.loads(self.card.read_text()))
            return True
        finally:
            self.card.write_text(before)


class BatchSummary(Subject):
    """Of many scans, which a second run goes on with."""

    def make(self) -> Path:
        path = self.folder / "s.json"
        row = {"scan": "a.ply", "output": "r/a.obj", "status": "done", "confidence": 0.9}
        path.write_text(json.dumps({"asked": {"up": "z"}, "results": [row], "failed": 0}))
        return path

    def use(self) -> object:
        summary = Summary(self.path, {"up": "y", "seed": 3}, overwrite=False)
        return summary.difference(), summary.document([])


class TrialsFile(Subject):
    """Runs that were done."""

    def make(self) -> Path:
        self.plan = Plan(160, 8, 0, 4, "prior", "a machine")
        runs = [
            Run(trial.name, equal, self.plan, setup(trial), 160, 2.0, 1000,
                dict.fromkeys(KINDS, 1e-3), "2026-01-01")
            for trial in TRIALS[:2] for equal in ("samples", "minutes")
        ]  # fmt: skip
        path = self.folder / "trials.json"
        path.write_text(json.dumps({"runs": [asdict(run) for run in runs]}))
        return path

    def use(self) -> object:
        results = Results(self.path, self.plan, TRIALS)
        for trial in TRIALS[:2]:
            results.at_equal_minutes(trial)
        with understood(self.path, "trials"):
            return results.find(results.baseline, "samples") and table(results, "posetx trials")


class BenchFile(Subject):
    """What a bench measured."""

    def make(self) -> Path:
        study = Study(self.folder, PRESETS["small"], None, 0, CPU)
        for name in ("npt", "mapconnet", "npt-adv", "mapconnet-unsupervised"):
            study.results["trained"][name] = {"samples": 9, "minutes": 1.0, "parameters": 9}
            row = {"pmd": 1e-3, "mpjpe_mm": 2.0, "edge": 0.1}
            study.results["figures"][name] = dict.fromkeys(study.preset.protocols, row)
        cost = {"threads": 1, "ms": 2.0, "peak_mib": 3.0, "parameters": 9}
        study.results["cost"]["npt"] = {str(size): cost for size in study.preset.sizes}
        study._save()
        return study.path

    def use(self) -> object:
        study = Study(self.folder, PRESETS["small"], None, 0, CPU)
        with understood(study.path, "a bench"):
            return bench_markdown(study.results), study.steps(NETWORKS)


class TablesFile(Subject):
    """Tables of attacks, one of which was made; the model has a card to be told from others."""

    def make(self) -> Path:
        self.options = TablesOptions(
            self.folder / "a.json", str(a_model(self.folder)), ("strength",), pairs=1
        )
        make_tables(self.options, lambda *_: None)
        return self.options.file

    def use(self) -> object:
        return make_tables(self.options, lambda *_: None)


class Checkpoint(Subject):
    """A torch file; what a run makes of it is in tests/training."""

    def make(self) -> Path:
        path = self.folder / "checkpoint.pt"
        names = ("model_config", "settings", "stream_settings", "model", "ema", "optimizers")
        state = {name: {"a": torch.ones(3), "b": [1, "x"]} for name in names}
        torch.save({**state, "samples": 3}, path)
        return path

    def use(self) -> object:
        return load_state(self.path, CPU)


class Meshes(Subject):
    """One mesh of a `--data` folder."""

    def make(self) -> Path:
        for i in range(2):
            for j in range(2):
                (self.folder / f"id{i}_{j}.obj").write_text(CUBE)
        return self.folder / "id0_0.obj"

    def use(self) -> object:
        settings = StreamSettings(pose_points=32, identity_points=32)
        batch = FolderStream(MeshFolder.read(self.folder), settings).draw(4)
        assert all(x.isfinite().all() for x in (batch.pose, batch.identity, batch.truth))
        groups = GroupStream(MeshGroups.read(self.folder), settings)
        return groups.draw(4)


SUBJECTS: list[type[Subject]] = [
    Card, Details, BatchSummary, TrialsFile, BenchFile, TablesFile, Checkpoint, Meshes,
]  # fmt: skip


def check(subject: Subject, count: int, seed: int) -> Counter[str]:
    """How many mutants were gone on with, and how many refused in a line."""
    with no_hang():
        subject.use()  # the whole one
    ends: Counter[str] = Counter()
    for data in subject.mutants(count, seed):
        subject.path.write_bytes(data)
        try:
            with no_hang():
                subject.use()
            ends["gone on"] += 1
        except PosetxError as error:
            assert "\n" not in str(error) and error.exit_code in (1, 2, 3), error
            assert str(subject.folder) in str(error), error
            assert "memory" not in str(error), error
            ends["refused"] += 1
        subject.path.write_bytes(subject.whole)
    return ends


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("kind", SUBJECTS, ids=lambda kind: kind.__name__)
def test_a_damaged_file_is_gone_on_with_or_named(tmp_path: Path, kind: type[Subject]) -> None:
    assert check(kind(tmp_path / "here"), FEW, 1)["refused"]


def at_length(name: str) -> None:
    """In a process with MEMORY more than it has when the whole file was used."""
    warnings.simplefilter("error", RuntimeWarning)
    kind = next(kind for kind in SUBJECTS if kind.__name__ == name)
    with tempfile.TemporaryDirectory() as folder:
        subject = kind(Path(folder))
        subject.use()
        limit_memory()
        sys.stdout.write(f"{name}: {dict(check(subject, MANY, 2))}\n")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the limits of Linux")
@pytest.mark.parametrize("kind", SUBJECTS, ids=lambda kind: kind.__name__)
def test_damaged_at_length(kind: type[Subject]) -> None:
    ends_well(__file__, kind.__name__)


if __name__ == "__main__":
    at_length(sys.argv[1])
