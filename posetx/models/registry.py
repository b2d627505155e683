"""Every network that can be trained, attacked and measured: by name, and from a file.

A new one is a line in :data:`posetx.models.known.KNOWN`. It learns by squared error and edge
lengths;
a loss of its own is told in :mod:`posetx.training.learners`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_args, get_type_hints

from posetx.errors import UsageError
from posetx.models.known import KNOWN as KNOWN
from posetx.models.mesh_model import MeshModel
from posetx.models.pose_mae import PoseMAE

#: a network of any kind
Network = PoseMAE | MeshModel
Config = Any


#: what files call a network, its class and its sizes
ARCHITECTURES: dict[str, tuple[type[Network], type]] = {
    entry.network: entry.classes() for entry in KNOWN.values()
}

#: what people call it, with the papers' sizes
CONFIGS: dict[str, Config] = {
    name: ARCHITECTURES[entry.network][1](**entry.sizes) for name, entry in KNOWN.items()
}

#: more points, channels and layers than any network has; layers are sizes whose names end so.
#: What is no whole number lies between 0 and 1.
MOST_POINTS, MOST_CHANNELS, MOST_REPEATED = 65_536, 8_192, 100
REPEATED = ("depth", "blocks", "scales", "iterations", "looks")


def config_named(name: str, **sizes: Any) -> Config:
    """A network's sizes, some of them changed.

    Raises UsageError for unknown names and sizes, and for values beyond any sense.
    """
    if name not in CONFIGS:
        raise UsageError(f"{name}: no such network; known are {', '.join(CONFIGS)}")
    config = CONFIGS[name]
    strange = sizes.keys() - {field.name for field in fields(config)}
    if strange:
        raise UsageError(f"{name} has no {' or '.join(sorted(strange))}")
    changed = replace(config, **sizes)
    try:
        check_sizes(changed)
    except ValueError as error:
        raise UsageError(f"{name}: {error}, which no network has") from None
    return changed


def config_of(architecture: str, sizes: dict[str, Any]) -> Config:
    """The sizes that a file tells. Raises KeyError, TypeError or ValueError for those of none."""
    config = ARCHITECTURES[architecture][1](**sizes)
    check_sizes(config)
    return config


def check_sizes(config: Config) -> None:
    """Raises ValueError for values beyond any sense, before a network of them is built."""
    kinds = get_type_hints(type(config))
    for size in fields(config):
        if not _sensible(size.name, getattr(config, size.name), kinds[size.name]):
            raise ValueError(f"{size.name} is {getattr(config, size.name)!r}")


def _sensible(name: str, value: Any, kind: Any) -> bool:
    """Whether a field of this name and type can have the value."""
    if choices := get_args(kind):
        return value in choices
    if kind is bool or isinstance(value, bool):
        return kind is type(value)
    if kind is float:
        return isinstance(value, (int, float)) and 0 <= value <= 1
    points, repeated = name.endswith("points"), name.endswith(REPEATED)
    most = MOST_POINTS if points else MOST_REPEATED if repeated else MOST_CHANNELS
    return isinstance(value, int) and (1 if points else 0) <= value <= most


def architecture_of(config: Config) -> str:
    """What files call the network of these sizes."""
    return next(name for name, (_, sizes) in ARCHITECTURES.items() if sizes is type(config))


def name_of(config: Config) -> str:
    """What people call it."""

    def likeness(name: str) -> int:
        sizes = KNOWN[name].sizes
        alike = all(getattr(config, size) == value for size, value in sizes.items())
        return len(sizes) if alike else -1

    architecture = architecture_of(config)
    return max((n for n, entry in KNOWN.items() if entry.network == architecture), key=likeness)


def build(config: Config) -> Network:
    """A network of these sizes with random weights."""
    return ARCHITECTURES[architecture_of(config)][0](config)
