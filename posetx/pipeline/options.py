"""What a user can set of a transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from posetx.errors import FieldError
from posetx.geometry.axes import check_axes
from posetx.pipeline.stages import GIVE, PREPARE, READ

#: where a result faces: as the target did, or as the scan stands
Heading = Literal["target", "scan"]
#: where the workers of a batch are: on this machine, or on all those of a Ray cluster
Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class Options:
    """What a user can set. Axes are "x", "-z", ... or "auto".

    ``refine`` fits the network's pose to the scan, ``restore`` brings the target's detail back,
    ``bake`` moves the vertices of a target that has a skeleton of its own, which else turns.
    """

    up: str = "auto"
    front: str = "auto"
    target_up: str = "auto"
    target_front: str = "auto"
    heading: Heading = "target"
    clean: bool = True
    refine: bool = True
    restore: bool = True
    bake: bool = False

    def check(self) -> None:
        """Raises UsageError for what is impossible; for callers to ask before the work starts."""
        check_axes(self.up, self.front)
        check_axes(self.target_up, self.target_front, "target_")
        if self.heading not in get_args(Heading):
            raise FieldError("heading", self.heading, "use " + " or ".join(get_args(Heading)))

    def stages(self) -> list[str]:
        """The names of the stages that :meth:`Pipeline.transfer` will announce, in order."""
        left_out = {"restore"} if not self.restore else set()
        if self.bake:
            left_out.add("skeleton")
        return [*PREPARE, *self.read_stages(), *(name for name in GIVE if name not in left_out)]

    def read_stages(self) -> list[str]:
        """Those that :meth:`Pipeline.read` will announce."""
        left_out = set() if self.refine else {"surface"}
        if not (self.refine and self.clean):
            left_out.add("furniture")
        return [name for name in READ if name not in left_out]
