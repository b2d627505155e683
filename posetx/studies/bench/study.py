"""Trains and measures all networks alike; what is done is kept, so that a study goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from posetx.bodies.body import BodyModel
from posetx.data.stream import StreamSettings
from posetx.errors import PosetxError, UsageError
from posetx.evaluation.alone import figures_alone
from posetx.evaluation.attack_grid import AttackGrid, Crowd
from posetx.evaluation.classic import figures_of_deformation_transfer
from posetx.evaluation.protocols import PROTOCOLS, Protocol
from posetx.evaluation.subjects import Subjects
from posetx.models.checkpoint import load_network
from posetx.models.predictor import predictor_of
from posetx.models.registry import CONFIGS, build, config_named
from posetx.studies.bench.cost import forward_cost
from posetx.studies.bench.presets import CLEAN, NETWORKS, Preset
from posetx.studies.results import as_kept, parameters, read, save
from posetx.studies.trained import Learning, trained
from posetx.system.hardware import describe
from posetx.training.adversarial import AdversarialSettings
from posetx.training.export import export
from posetx.training.loop import Progress, TrainSettings

#: how a network is trained, by what is added to its name: settings of its :class:`TrainSettings`
KINDS: dict[str, dict[str, Any]] = {
    "": {},
    # half of each batch is attacked, from the first step on
    "-adv": {"adversarial": AdversarialSettings()},
}
#: MAPConNet alone can learn without ground truth: with both of its contrastive terms, one, none
WITHOUT_TRUTH: dict[str, dict[str, Any]] = {
    "-unsupervised": {"unsupervised": True},
    "-unsupervised-mesh": {"unsupervised": True, "contrastive": ("mesh",)},
    "-unsupervised-point": {"unsupervised": True, "contrastive": ("point",)},
    "-unsupervised-neither": {"unsupervised": True, "contrastive": ()},
}
#: what a folder's results are of; another study does not go on with them
SETUP = ("preset", "seed", "poses")
CLASSIC = "deformation transfer"

#: is told how far a long step is
Tell = Callable[[str], None]


class Study:
    """A folder with a run for each network, and ``bench.json``, which holds what was measured.

    Raises UsageError where the folder holds a study of another setup.
    """

    def __init__(
        self, folder: Path, preset: Preset, mocap: Path | None, seed: int, device: torch.device
    ):
        self.folder, self.preset, self.mocap = folder, preset, mocap
        self.seed, self.device = seed, device
        self.body = BodyModel.load(device)
        self.crowds: dict[Protocol, Crowd] = {}
        self.results: dict[str, Any] = {
            "preset": as_kept(asdict(preset)),
            "seed": seed,
            "poses": "clips" if mocap else "prior",
            "hardware": describe(device),
            "trained": {},
            "figures": {},
            "cost": {},
        }
        old = read(self.path, "a bench")
        if old is not None:
            for name in SETUP:
                if old.get(name) != self.results[name]:
                    raise UsageError(f"{folder}: a study with another {name}; name a new folder")
            if not all(isinstance(old.get(k), dict) for k in ("trained", "figures", "cost")):
                raise PosetxError(f"{self.path}: not a file of a bench; move it away")
            self.results = old

    @property
    def path(self) -> Path:
        return self.folder / "bench.json"

    @cached_property
    def subjects(self) -> Subjects:
        return Subjects(self.mocap, self.seed)

    def steps(self, names: tuple[str, ...] = NETWORKS) -> list[tuple[str, Callable[[Tell], None]]]:
        """What is still to do, by what it is called; each saves what it found."""
        todo: list[tuple[str, Callable[[Tell], None]]] = []
        # all clean ones first: after a while there is a whole table
        runs = [(name, kind) for kind in KINDS for name in names]
        runs += [("mapconnet", kind) for kind in WITHOUT_TRUTH if "mapconnet" in names]
        for name, kind in runs:
            run = f"{name}{kind}"
            if run not in self.results["trained"]:
                todo.append((f"train {run}", partial(self._train, name, kind)))
            known = self.results["figures"].get(run, {})
            wanted = CLEAN if kind in WITHOUT_TRUTH else self.preset.protocols
            missing = [p for p in self.preset.protocols if p in wanted and p not in known]
            todo += [(f"{run} on {p}", partial(self._measure, run, p)) for p in missing]
        if CLASSIC not in self.results["figures"]:
            todo.append((CLASSIC, self._classic))
        for name in names:
            for size in self.preset.sizes:
                if str(size) not in self.results["cost"].get(name, {}):
                    told = f"forward pass of {name} at {size}"
                    todo.append((told, partial(self._cost, name, size)))
        return todo

    def _train(self, name: str, kind: str, tell: Tell) -> None:
        """One network, on clean poses, adversarially or without ground truth."""
        run = f"{name}{kind}"
        preset, folder, change = self.preset, self.folder / run, {**KINDS, **WITHOUT_TRUTH}[kind]
        settings = TrainSettings(
            preset.minutes, preset.samples, preset.batch, seed=self.seed, **change
        )
        poses = self.subjects.banks["train"].to(self.device)
        sizes = {"width": preset.widths[name]} if name in preset.widths else {}
        points = {"pose_points": preset.points, "identity_points": preset.points}
        learning = Learning(
            settings,
            config_named(name, **points, **sizes),
            StreamSettings(preset.points, preset.points),
        )

        def show(progress: Progress) -> None:
            tell(f"{progress.samples} samples, {progress.samples_per_second:.0f}/s")

        trainer, _ = trained(folder, learning, self.body, poses, self.device, show)
        sha256 = export(trainer, self._model(run), self.results["poses"])
        self.results["trained"][run] = {
            "samples": trainer.samples,
            "minutes": trainer.seconds / 60,
            "parameters": parameters(trainer.model),
            "sha256": sha256,
        }
        self._save()

    def _model(self, run: str) -> Path:
        return self.folder / run / f"{run}.safetensors"

    def _measure(self, run: str, protocol: str, tell: Tell) -> None:
        network, _ = load_network(str(self._model(run)), self.device)
        grid = AttackGrid(predictor_of(network, self.device), self.subjects)
        # networks of equally many points have the same cases, attacked or not
        like = replace(PROTOCOLS[protocol], attack="", text="")
        if like not in self.crowds:
            self.crowds[like] = grid.crowd(protocol, self.preset.pairs)
        figures = figures_alone(grid, protocol, self.preset.pairs, self.crowds[like])
        self.results["figures"].setdefault(run, {})[protocol] = figures
        self._save()

    def _classic(self, tell: Tell) -> None:
        found = figures_of_deformation_transfer(self.subjects, self.preset.pairs, self.seed)
        self.results["figures"][CLASSIC] = found
        self._save()

    def _cost(self, name: str, size: int, tell: Tell) -> None:
        threads = torch.get_num_threads()
        found = {"threads": threads, **forward_cost(name, size, self.preset.patience, threads)}
        network = build(CONFIGS[name])
        found["parameters"] = parameters(network)
        self.results["cost"].setdefault(name, {})[str(size)] = found
        self._save()

    def _save(self) -> None:
        save(self.path, self.results)
