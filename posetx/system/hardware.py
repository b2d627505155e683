"""What a training ran on, for its model card."""

from __future__ import annotations

import math
import os
import platform
import re
import sys
from pathlib import Path

import torch


def peak_memory(device: torch.device) -> float:
    """The most memory in GiB that this process has had at a time: the GPU's where it has one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if sys.platform == "win32":
        return math.nan
    # Linux's ru_maxrss begins with what the parent process had
    high = _of_process("VmHWM")
    if high is not None:
        return high
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def resident_memory() -> float:
    """The memory in GiB that this process has now; where the system does not say, its peak."""
    now = _of_process("VmRSS")
    return peak_memory(torch.device("cpu")) if now is None else now


def _of_process(field: str) -> float | None:
    """A size in GiB from what Linux says of this process."""
    status = Path("/proc/self/status")
    found = status.is_file() and re.search(rf"^{field}:\s*(\d+) kB", status.read_text(), re.M)
    return int(found[1]) / 2**20 if found else None


def describe(device: torch.device) -> str:
    """A line such as "2 threads of AMD EPYC" or "NVIDIA H200"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' * (threads > 1)} of {name} ({os.cpu_count()} cores)"
