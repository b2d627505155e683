"""The networks' names and where each is: without torch, for the command line's help.

A new one is a file beside this one, with a class and a frozen dataclass of its sizes, and a line
in :data:`KNOWN`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """Where a network is; its sizes are the dataclass beside it, called as it and ``Config``."""

    #: below posetx.models
    module: str
    #: the class, by whose name files call it
    network: str
    #: those that are not the dataclass's own
    sizes: Mapping[str, Any] = field(default_factory=dict)

    def classes(self) -> tuple[type, type]:
        """The network's and its sizes'."""
        module = importlib.import_module(f"posetx.models.{self.module}")
        return getattr(module, self.network), getattr(module, f"{self.network}Config")


#: what people call a network, in the order of the papers, the subject of all this last; sizes are
#: the papers'
KNOWN = {
    "npt": Entry("npt", "NPT"),
    "npt-mp": Entry("npt", "NPT", {"pool": True}),
    "corenet": Entry("core_net", "CoreNet"),
    "gc-transformer": Entry("gc_transformer", "GCTransformer"),
    "mapconnet": Entry("mapconnet", "MAPConNet"),
    "posemae": Entry("pose_mae", "PoseMAE"),
}
