"""Every network that can be trained, attacked and measured: by name, and from a file.

A new one is a file beside this one, with a frozen dataclass of sizes and a class that takes it, and
a line in each of the two tables; how it learns is told in :mod:`posetx.training.learners`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from posetx.errors import UsageError
from posetx.models.core_net import CoreNet, CoreNetConfig
from posetx.models.gc_transformer import GCTransformer, GCTransformerConfig
from posetx.models.mapconnet import MAPConNet, MAPConNetConfig
from posetx.models.mesh_model import MeshModel
from posetx.models.npt import NPT, NPTConfig
from posetx.models.pose_mae import PoseMAE, PoseMAEConfig

#: a network of any kind
Network = PoseMAE | MeshModel
Config = Any

#: what files call a network, its class and its sizes
ARCHITECTURES: dict[str, tuple[type[PoseMAE] | type[MeshModel], type]] = {
    "PoseMAE": (PoseMAE, PoseMAEConfig),
    "NPT": (NPT, NPTConfig),
    "GCTransformer": (GCTransformer, GCTransformerConfig),
    "CoreNet": (CoreNet, CoreNetConfig),
    "MAPConNet": (MAPConNet, MAPConNetConfig),
}

#: what people call it, with the papers' sizes
CONFIGS: dict[str, Config] = {
    "posemae": PoseMAEConfig(),
    "npt": NPTConfig(),
    "npt-mp": NPTConfig(pool=True),
    "gc-transformer": GCTransformerConfig(),
    "corenet": CoreNetConfig(),
    "mapconnet": MAPConNetConfig(),
}

#: sizes of files from before these were invented
BEFORE: dict[str, dict[str, Any]] = {"PoseMAE": {"refine": False, "clutter": False}}


def config_named(name: str, **sizes: Any) -> Config:
    """A network's sizes, some of them changed. Raises UsageError for unknown names and sizes."""
    if name not in CONFIGS:
        raise UsageError(f"{name}: no such network; known are {', '.join(CONFIGS)}")
    config = CONFIGS[name]
    strange = sizes.keys() - {field.name for field in fields(config)}
    if strange:
        raise UsageError(f"{name} has no {' or '.join(sorted(strange))}")
    return replace(config, **sizes)


def config_of(architecture: str, sizes: dict[str, Any]) -> Config:
    """The sizes that a file tells. Raises KeyError or TypeError for those of no network."""
    return ARCHITECTURES[architecture][1](**{**BEFORE.get(architecture, {}), **sizes})


def architecture_of(config: Config) -> str:
    """What files call the network of these sizes."""
    return next(name for name, (_, sizes) in ARCHITECTURES.items() if sizes is type(config))


def name_of(config: Config) -> str:
    """What people call it."""
    if isinstance(config, NPTConfig) and config.pool:
        return "npt-mp"
    return next(name for name, usual in CONFIGS.items() if type(usual) is type(config))


def build(config: Config) -> Network:
    """A network of these sizes with random weights."""
    return ARCHITECTURES[architecture_of(config)][0](config)
