"""Animations of a glTF: keys at an even rate, a channel for each thing that moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from posetx.arrays import Floats
from posetx.files.targets.gltf_edit import GltfEdit

_KINDS = {"rotation": "VEC4", "translation": "VEC3", "weights": "SCALAR"}


@dataclass(frozen=True)
class Channel:
    """What a node does: its "rotation" (F, 4), "translation" (F, 3) or "weights" (F, K)."""

    node: int
    path: str
    values: Floats


def add_animation(edit: GltfEdit, name: str, fps: float, channels: list[Channel]) -> None:
    """Put an animation before the others of the file: viewers play the first one."""
    count = len(channels[0].values)
    times = (np.arange(count) / fps).astype("<f4")[:, None]
    clock = edit.add(times, "SCALAR", bounds=True)
    samplers: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for channel in channels:
        kind = _KINDS[channel.path]
        values = channel.values.astype("<f4")
        if kind == "SCALAR":
            values = values.reshape(-1, 1)
        samplers.append(
            {"input": clock, "output": edit.add(values, kind), "interpolation": "LINEAR"}
        )
        target = {"node": channel.node, "path": channel.path}
        entries.append({"sampler": len(samplers) - 1, "target": target})
    animation = {"name": name, "channels": entries, "samplers": samplers}
    edit.document["animations"] = [animation, *(edit.document.get("animations") or [])]


def continuous(turns: Floats) -> Floats:
    """Quaternions (F, ..., 4), each on the side of the one before it: the way between is short."""
    flips = (turns[1:] * turns[:-1]).sum(-1) < 0
    sign = np.ones(turns.shape[:-1])
    sign[1:] = np.where(np.cumsum(flips, axis=0) % 2, -1.0, 1.0)
    return turns * sign[..., None]
