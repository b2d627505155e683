"""What a forward pass costs: time and memory, each in a process of its own.

    python -m posetx.studies.bench.cost NETWORK VERTICES

prints one JSON line. Pose and identity have so many vertices each, batch 1, fp32, the papers'
sizes. A PoseMAE looks at a fixed sample of the pose, whose choice (transfer's preparation) is not
counted, and passes over the identity chunk by chunk.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from typing import Any

import torch

from posetx.errors import PosetxError

#: what torch and numpy say
OUT_OF_MEMORY = re.compile(
    r"not enough memory|out of memory|an(?:'t|not) allocate memory|"
    r"Unable to allocate|MemoryError"
)
#: passes that are timed after the first one, unless they take longer than LONG seconds
REPEATS, LONG = 3, 10.0


def forward_cost(name: str, vertices: int, seconds: float, threads: int) -> dict[str, Any]:
    """``ms`` and ``peak_mib`` of one forward pass, or ``failed``: why there are none.

    ``processor_ms`` are those of the processor, which other work on the machine does not change.

    A network that is out of memory or of patience is a result; PosetxError is for all else.
    """
    command = [sys.executable, "-m", "posetx.studies.bench.cost", name, str(vertices), str(threads)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"over {seconds:.0f} s"}
    if done.returncode == -signal.SIGKILL or OUT_OF_MEMORY.search(done.stderr):
        return {"failed": "out of memory"}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise PosetxError(f"{name} at {vertices} vertices: {''.join(last)}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(name: str, vertices: int) -> dict[str, float]:
    """See :func:`forward_cost`; in this process."""
    from posetx.models.predictor import pose_points, predictor_of
    from posetx.models.registry import CONFIGS, build
    from posetx.system.hardware import peak_memory, resident_memory

    torch.manual_seed(0)
    config, device = CONFIGS[name], torch.device("cpu")
    predictor = predictor_of(build(config).eval(), device)
    mesh = 0.3 * torch.randn(vertices, 3).double().numpy()
    seen = pose_points(config.pose_points) if name == "posemae" else vertices
    pose, shown = torch.randn(1, seen, 3), torch.randn(1, config.identity_points, 3)
    before = resident_memory()
    times: list[float] = []
    spent: list[float] = []
    while len(times) < 1 + REPEATS and sum(times) < LONG:
        started, begun = time.perf_counter(), time.process_time()
        predictor.move(pose, mesh, shown)
        times.append(time.perf_counter() - started)
        spent.append(time.process_time() - begun)
    return {
        "ms": 1000 * min(times),
        "processor_ms": 1000 * min(spent),
        "peak_mib": 1024 * (peak_memory(device) - before),
    }


def main(name: str, vertices: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    sys.stdout.write(json.dumps(measure(name, int(vertices))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
