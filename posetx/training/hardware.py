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
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux's ru_maxrss begins with what the parent process had
        high = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.MULTILINE)
        if high:
            return int(high[1]) / 2**20
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


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
