"""The full state of a training run on disk: written beside its name, then renamed into place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from posetx.errors import PosetxError


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, strings, dicts, lists); a kill leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint; executes no code from it. Raises PosetxError when it is none."""
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        return state
    except FileNotFoundError:
        raise PosetxError(f"{path}: no checkpoint here; start without `resume`") from None
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise PosetxError(f"{path}: not a posetx checkpoint ({reason})") from None
