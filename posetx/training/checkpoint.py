"""The full state of a training run on disk, whole or not at all."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from posetx.errors import DAMAGED, PosetxError
from posetx.files.atomic import write_bytes_atomic

#: what every checkpoint has
KEYS = {"model_config", "settings", "stream_settings", "model", "ema", "optimizers", "samples"}


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, strings, dicts, lists); a kill leaves the old file.

    Raises PosetxError, which names the file, where the disk is full or may not be written to.
    """
    stream = io.BytesIO()
    torch.save(state, stream)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomic(path, stream.getbuffer())


def load_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint; executes no code from it. Raises PosetxError when it is none."""
    try:
        with warnings.catch_warnings():
            # a damaged one makes torch warn of its own old formats
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise PosetxError(f"{path}: no checkpoint here; start without `resume`") from None
    except Exception:
        # Not torch's words: they advise to load it in a way that executes what is in it.
        raise PosetxError(f"{path}: not a posetx checkpoint, or damaged; start anew") from None
    if not isinstance(state, dict) or not state.keys() >= KEYS:
        raise PosetxError(f"{path}: not a checkpoint of posetx; start anew")
    return state


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a run is made of a checkpoint is the checkpoint's fault."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (*DAMAGED, RuntimeError) as error:  # torch's own is the latter
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PosetxError(f"{path}: of another posetx, or damaged ({reason}); start anew") from None
