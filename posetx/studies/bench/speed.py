"""How long each stage of a transfer takes, and how that grows with the target and with the scan.

The pipeline itself is timed, by what it announces: a body's template, decimated or subdivided to
so many vertices, takes the pose of points drawn from another body. Processor seconds stand beside
those of a clock, as other work on the machine does not change them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyvista
import torch
import trimesh

from posetx.bodies.body import BodyModel
from posetx.errors import PosetxError
from posetx.files.scan_write import write_scan
from posetx.files.scans import Scan, read_scan
from posetx.files.sources import array_scan
from posetx.files.targets import read_target
from posetx.pipeline.pipeline import Pipeline
from posetx.pipeline.stages import READ
from posetx.studies.bench.cost import forward_cost
from posetx.system.hardware import describe, peak_memory

#: of targets, and of scans: from what is laid by hand to what scanners put out
VERTICES = (1_000, 10_000, 100_000, 1_000_000)
POINTS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
#: points of the scan whose pose targets take, vertices of the target that takes the scans' poses
SCAN, TARGET = 50_000, 10_000
#: of a scan's points off the surface, in metres
NOISE = 0.003
#: the size from which on growth is fitted, below which what every call costs is most of it; and the
#: processor seconds of a stage, below which the clock's own are
LARGE, SHORTEST = 10_000, 0.01
#: what there is besides the pipeline's own stages
READ_FILE, WRITE_FILE, ALL = "read file", "write file", "all"
SCAN_FILE, TARGET_FILE = "scan.ply", "target.obj"

What = Literal["vertices", "points", "forward"]
#: hears what is measured now
OnStep = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """A stage at one size: ``seconds`` by the clock and of the processor."""

    what: What
    size: int
    stage: str
    seconds: float
    processor: float


class Clock:
    """What hears of stages; a stage ends where the next one begins."""

    def __init__(self, device: torch.device):
        self.device = device
        self.marks: list[tuple[str, float, float]] = []

    def __call__(self, stage: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.marks.append((stage, time.perf_counter(), time.process_time()))

    def rows(self, what: What, size: int) -> Iterator[Row]:
        """The stages that have ended, and all of them together; those of one name are one."""
        spent: dict[str, tuple[float, float]] = {}
        whole = (ALL, *self.marks[0][1:]), self.marks[-1]
        for (stage, *begun), (_, *ended) in [*pairwise(self.marks), whole]:
            before = spent.get(stage, (0.0, 0.0))
            passed = [b - a for a, b in zip(begun, ended, strict=True)]
            spent[stage] = (before[0] + passed[0], before[1] + passed[1])
        for stage, (seconds, processor) in spent.items():
            yield Row(what, size, stage, seconds, processor)


def measure(
    pipeline: Pipeline,
    vertices: Iterable[int] = VERTICES,
    points: Iterable[int] = POINTS,
    networks: Iterable[str] = (),
    patience: float = 60.0,
    on_step: OnStep = lambda told: None,
) -> dict[str, Any]:
    """All that can be said of this machine's speed, for JSON.

    ``networks`` are the field's to compare a forward pass with, at each number of vertices, for
    ``patience`` seconds at most, on the CPU.
    """
    rows: list[Row] = []
    peaks = []
    vertices, points = tuple(vertices), tuple(points)
    with tempfile.TemporaryDirectory(prefix="posetx-") as folder:
        scratch = Path(folder)
        of_targets(pipeline, 1_000, scratch)  # whose first calls load libraries
        for size in vertices:
            on_step(f"target of {size:,} vertices")
            rows += of_targets(pipeline, size, scratch)
            peaks.append({"vertices": size, "peak_gib": peak_memory(pipeline.device)})
        for size in points:
            on_step(f"scan of {size:,} points")
            rows += of_scans(pipeline, size, scratch)
            peaks.append({"points": size, "peak_gib": peak_memory(pipeline.device)})
        on_step("the command")
        command = of_command(scratch)
    passes = list(of_networks(vertices, networks, patience, on_step))
    forward = [
        Row("forward", row["vertices"], row["network"], row["ms"] / 1e3, row["processor_ms"] / 1e3)
        for row in passes
        if "failed" not in row
    ]
    return {
        "machine": describe(pipeline.device),
        "threads": torch.get_num_threads(),
        "rows": [asdict(row) for row in rows],
        "memory": peaks,
        "growth": growth([*rows, *forward]),
        "command": command,
        "networks": passes,
    }


def of_targets(pipeline: Pipeline, size: int, scratch: Path) -> list[Row]:
    """A target of so many vertices: read, made ready, given a pose, written."""
    write_target(scratch / TARGET_FILE, size)
    scan, clock = scan_of(SCAN), Clock(pipeline.device)
    clock(READ_FILE)
    target = read_target(scratch / TARGET_FILE)
    result = pipeline.transfer(scan, target, on_stage=clock)
    clock(WRITE_FILE)
    result.save(scratch / "out.obj")
    clock(ALL)
    # what is done to the scan, which is the same for all of them, is in the sum alone
    return [row for row in clock.rows("vertices", size) if row.stage not in READ]


def of_scans(pipeline: Pipeline, size: int, scratch: Path) -> list[Row]:
    """A scan of so many points: read, cleaned, turned, fitted."""
    write_scan(scratch / SCAN_FILE, scan_of(size))
    clock = Clock(pipeline.device)
    clock(READ_FILE)
    pipeline.read(read_scan(scratch / SCAN_FILE), on_stage=clock)
    clock(ALL)
    return list(clock.rows("points", size))


def of_command(scratch: Path) -> dict[str, float]:
    """The command from its start to its end, libraries loaded: seconds, and of the processor."""
    write_target(scratch / TARGET_FILE, TARGET)
    write_scan(scratch / SCAN_FILE, scan_of(SCAN))
    command = [sys.executable, "-m", "posetx", "transfer", SCAN_FILE, TARGET_FILE, "-o", "done.obj"]
    begun, before = time.perf_counter(), os.times()
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    passed, after = time.perf_counter() - begun, os.times()
    if done.returncode:
        raise PosetxError(f"posetx transfer: {done.stderr.strip()}")
    return {
        "points": SCAN,
        "vertices": TARGET,
        "seconds": passed,
        "processor": sum(after[2:4]) - sum(before[2:4]),
    }


def of_networks(
    sizes: Iterable[int], names: Iterable[str], patience: float, on_step: OnStep
) -> Iterator[dict[str, Any]]:
    """A forward pass of each network and of 3D-PoseMAE, and how often the latter goes into it."""
    given_up = set()
    for size in sizes:
        own = 0.0
        for name in ("posemae", *names):
            if name in given_up:
                continue
            on_step(f"{name} at {size:,} vertices")
            cost = forward_cost(name, size, patience, torch.get_num_threads())
            row = {"network": name, "vertices": size, **cost}
            if "failed" in cost:
                given_up.add(name)
            elif name == "posemae":
                own = cost["processor_ms"]
            elif own:
                row["ratio"] = cost["processor_ms"] / own
            yield row


def growth(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """By what is varied and stage the exponent k of seconds ~ size ** k, of the processor's.

    Fitted to the sizes that are LARGE, and to stages that take a hundredth of a second there.
    """
    found: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row.size >= LARGE and row.processor >= SHORTEST:
            found.setdefault(row.what, {}).setdefault(row.stage, []).append(row)
    exponents: dict[str, dict[str, float]] = {}
    for what, stages in found.items():
        for stage, of in stages.items():
            if len({row.size for row in of}) > 1:
                size, spent = np.log([[row.size, row.processor] for row in of]).T
                exponents.setdefault(what, {})[stage] = float(np.polyfit(size, spent, 1)[0])
    return exponents


def write_target(path: Path, vertices: int) -> None:
    """An OBJ of a body at rest of about so many vertices."""
    body = BodyModel.load()
    mesh, faces = body.template.double().numpy(), body.faces.numpy()
    times = 0
    while vertices / 4**times > len(mesh):  # a triangle becomes four, so does a vertex
        times += 1
    share = 1 - vertices / 4**times / len(mesh)
    thinned = pyvista.PolyData.from_regular_faces(mesh, faces).decimate(share)
    mesh, faces = np.asarray(thinned.points), thinned.regular_faces
    for _ in range(times):
        mesh, faces = trimesh.remesh.subdivide(mesh, faces)
    with path.open("w") as stream:
        np.savetxt(stream, mesh, "v %.5f %.5f %.5f")
        np.savetxt(stream, faces + 1, "f %d %d %d")


def scan_of(points: int) -> Scan:
    """A body's surface in an A pose, with noise: so many points, the same each time."""
    body = BodyModel.load()
    vertices = body.rest(body.bank[:1])[0][0].double().numpy()
    mesh = trimesh.Trimesh(vertices, body.faces.numpy(), process=False)
    drawn = trimesh.sample.sample_surface(mesh, points, seed=0)[0]
    drawn = drawn + np.random.default_rng(0).normal(0.0, NOISE, drawn.shape)
    return array_scan(drawn)
