"""How long a transfer takes, and how much memory, by the size of the target.

    python -m examples.make.sizes [--sizes 100 1000 ...] [--keep FOLDER]

The example's target is decimated and subdivided to each size, and the example's scan gives it its
pose, in a process of its own. The table has processor seconds, which other work on the machine
does not change, and the largest memory of the process. ``--keep`` keeps the meshes and results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.progress import track

from posetx.files.scans import read_scan
from posetx.files.targets import read_target

EXAMPLES = Path(__file__).resolve().parents[1]
SIZES = [100, 1_000, 10_000, 100_000, 1_000_000]


def resized(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The example's target with about ``count`` vertices: (n, 3) and triangles (m, 3)."""
    import pymeshlab
    import trimesh

    target = read_target(EXAMPLES / "target.obj")
    times = 0
    while count / 4**times > len(target.vertices):
        times += 1
    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(pymeshlab.Mesh(target.vertices, target.faces))
    meshes.meshing_decimation_quadric_edge_collapse(targetfacenum=2 * count // 4**times)
    mesh = meshes.current_mesh()
    vertices, faces = mesh.vertex_matrix(), mesh.face_matrix().astype(np.int64)
    for _ in range(times):
        vertices, faces = trimesh.remesh.subdivide(vertices, faces)
    return vertices, faces


def write_obj(path: Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    """A plain OBJ."""
    with path.open("w") as stream:
        np.savetxt(stream, vertices, "v %.5f %.5f %.5f")
        np.savetxt(stream, faces + 1, "f %d %d %d")


def measure(target: Path, output: Path) -> None:
    """Prints, as JSON, processor seconds and peak memory (MiB) by stage of one transfer."""
    import torch

    from posetx.pipeline.pipeline import Pipeline
    from posetx.system.hardware import peak_memory

    marks: list[tuple[str, float, float]] = []

    def on_stage(name: str) -> None:
        marks.append((name, time.process_time(), 1024 * peak_memory(torch.device("cpu"))))

    on_stage("files")
    raw, mesh = read_scan(EXAMPLES / "scan.ply"), read_target(target)
    on_stage("load")
    torch.manual_seed(0)
    result = Pipeline.load().transfer(raw, mesh, None, on_stage)
    on_stage("write")
    mesh.save(output, result.vertices)
    on_stage("end")
    stages = pairwise(marks)
    sys.stdout.write(
        json.dumps(
            {
                "vertices": len(mesh.vertices),
                "seconds": {a[0]: round(b[1] - a[1], 2) for a, b in stages},
                "total": marks[-1][1],
                "memory": {b[0]: round(b[2]) for b in marks},
                "edge": result.report.edge_distortion,
                "notes": result.warnings,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser("python -m examples.make.sizes")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--keep", type=Path, help="folder for the meshes and the results")
    parser.add_argument("--measure", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(*arguments.measure)
        return
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for size in track(arguments.sizes, "sizes"):
            target, output = folder / f"target-{size}.obj", folder / f"out-{size}.obj"
            write_obj(target, *resized(size))
            child = [sys.executable, "-m", "examples.make.sizes", "--measure", target, output]
            rows.append(json.loads(subprocess.run(child, check=True, stdout=-1).stdout))
    names = list(rows[0]["seconds"])
    lines = ["| vertices | " + " | ".join(names) + " | all | GiB | edge |"]
    lines.append("|" + "---:|" * (len(names) + 4))
    for row in rows:
        seconds = [f"{row['seconds'][name]:.1f}" for name in names]
        cells = [f"{row['vertices']:,}", *seconds, f"{row['total']:.1f}"]
        cells += [f"{row['memory']['end'] / 1024:.1f}", f"{row['edge']:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
        sys.stderr.writelines(f"{row['vertices']}: {note}\n" for note in row["notes"])
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
