"""Model files: fp16 safetensors with the configuration inside, a JSON card beside.

Weights come from safetensors only, so that no file can execute code; a file whose sha256 is not
its card's is refused, and nothing ever falls back to random weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from posetx.errors import MissingError, PosetxError
from posetx.files.atomic import written
from posetx.models.pose_mae import PoseMAE
from posetx.models.registry import (
    ARCHITECTURES,
    Config,
    Network,
    architecture_of,
    build,
    config_of,
    name_of,
)
from posetx.models.shipped import file_sha256, read_card
from posetx.system.paths import find_model


def save_model(path: Path, config: Config, weights: dict[str, Tensor], card: dict[str, Any]) -> str:
    """Write ``path`` (.safetensors, fp16) and its card (.json); returns the sha256.

    The card is ``card`` with architecture, config, parameter count and sha256 added.
    """
    half = {name: value.detach().cpu().half().contiguous() for name, value in weights.items()}
    metadata = {"architecture": architecture_of(config), "config": json.dumps(asdict(config))}
    data = _sorted_header(save(half, metadata=metadata))
    sha256 = hashlib.sha256(data).hexdigest()
    document = {
        "name": path.stem,
        "architecture": architecture_of(config),
        "config": asdict(config),
        "parameters": sum(value.numel() for value in half.values()),
        "sha256": sha256,
        **card,
    }
    text = json.dumps(document, indent=2) + "\n"
    with written({path: data, path.with_suffix(".json"): text.encode()}):
        return sha256  # a card of another file would have the model refused


def _sorted_header(data: bytes) -> bytes:
    """A safetensors file with its metadata in order: the same tensors are the same bytes."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def read_model(name: str) -> tuple[Config, dict[str, Tensor], dict[str, Any]]:
    """The sizes, weights (fp32, on the CPU) and card of a model by name or path.

    Raises
    ------
    MissingError : no such model, or its file is not the one that its card describes.
    PosetxError : the file is no posetx model.
    """
    path = find_model(name)
    card = read_card(path.with_suffix(".json"))
    if card is not None and card.get("sha256") != file_sha256(path):
        raise MissingError(f"{path}: not the file its card describes (sha256); install it anew")
    with _refused(path):
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            weights = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        config = json.loads(metadata.get("config", "null"))
    strange = [name for name, value in weights.items() if not bool(value.isfinite().all())]
    if strange:
        raise PosetxError(f"{path}: its {strange[0]!r} holds what is no number; train it anew")
    architecture = metadata.get("architecture")
    if architecture not in ARCHITECTURES or not isinstance(config, dict):
        raise PosetxError(f"{path}: safetensors, but not a posetx model; see `posetx models`")
    with _refused(path):
        return config_of(architecture, config), weights, card or {}


def load_network(name: str, device: torch.device | str = "cpu") -> tuple[Network, dict[str, Any]]:
    """A network of any kind in eval mode and its card, by name or path. Raises as read_model."""
    config, weights, card = read_model(name)
    with _refused(find_model(name)):
        with torch.device("meta"):  # nothing is allocated for sizes that are not the weights'
            build(config).load_state_dict({k: v.to("meta") for k, v in weights.items()})
        model = build(config)
        model.load_state_dict(weights)
    return model.to(device).eval(), card


def load_model(name: str, device: torch.device | str = "cpu") -> tuple[PoseMAE, dict[str, Any]]:
    """As :func:`load_network`, of what transfer needs: raises PosetxError for a baseline."""
    model, card = load_network(name, device)
    if not isinstance(model, PoseMAE):
        raise PosetxError(
            f"{name}: {name_of(model.config)} finds neither directions nor joints; it can be "
            "trained, evaluated and attacked (attack-dataset), for transfer take a posemae"
        )
    return model, card


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file is read as a model is the file's fault."""
    try:
        yield
    except (PosetxError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PosetxError(f"{path}: not a usable posetx model ({reason})") from None
