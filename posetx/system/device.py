"""The `--device` option: from its text to a torch device that is really there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from posetx.errors import MissingError, UsageError

if TYPE_CHECKING:
    import torch

#: torch counts devices in a byte, without zeros before the number
DEVICE_PATTERN = re.compile(r"auto|cpu|mps|cuda(:(0|[1-9][0-9]?))?")


def resolve_device(name: str = "auto") -> torch.device:
    """The device called `name`: auto, cpu, cuda, cuda:N or mps.

    `auto` takes the first of cuda, mps and cpu that works here.

    Raises
    ------
    UsageError
        If the name is none of these, or this machine has no such device.
    """
    name = name.strip().lower()
    if not DEVICE_PATTERN.fullmatch(name):
        raise UsageError(f"--device {name}: not a device; use auto, cpu, cuda, cuda:N or mps")
    try:
        import torch
    except ImportError as error:
        raise MissingError(f"torch does not load ({error}); `posetx doctor` tells more") from error

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: torch finds no Apple GPU here; use --device cpu")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise UsageError(f"--device {name}: torch finds no CUDA GPU here; use --device cpu")
        if (device.index or 0) >= count:
            raise UsageError(f"--device {name}: this machine has {count} CUDA GPU(s), from cuda:0")
    return device


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 products are faster than float32 ones on this device."""
    import torch

    if device.type == "cuda":
        fast: bool = torch.cuda.is_bf16_supported()
        return fast
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
