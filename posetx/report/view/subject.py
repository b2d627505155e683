"""What a page of :mod:`posetx.report.view.page` shows: subjects, their frames, values by colour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from posetx.arrays import Floats, Indices, Mask
from posetx.files.looks import Looks

#: What a subject is; the page colours plain ones by it.
Role = Literal["scan", "target", "result", "mesh"]

#: Of what is said of a result, how it is coloured.
Tone = Literal["good", "doubtful", "bad", "plain"]


@dataclass
class Frame:
    """Where a subject's vertices are at one moment: ``points`` (n, 3), named as it is shown."""

    name: str
    points: Floats


@dataclass
class Skin:
    """How J joints move n vertices through M moments: by linear blend skinning.

    Attributes
    ----------
    joints, shares : (n, 4) which joints move a vertex, and how much each; shares have the sum 1
    maps : (M, J, 3, 4) where each joint takes a place of the subject's one frame, in its frame
    moments : M names
    """

    joints: NDArray[np.uint8]
    shares: Floats
    maps: Floats
    moments: list[str]


@dataclass
class Subject:
    """One mesh or cloud on the page, at one moment or several.

    Attributes
    ----------
    name : as it is shown: its file's name
    role : what it is
    frames : at least one; all have n points in one order. The page's slider goes through them, and
        blends those next to each other
    apart : whether they are not blended; then each frame of a cloud may have points of its own, and
        ``colors`` and a layer's values are those of all frames, one frame after the other
    times : of frames that stand apart, (f,) each one's share of the slider; evenly spread without
    skin : moves the one frame instead
    faces : (m, 3) triangles, or None for a cloud
    looks : how they are painted
    colors : (n, 3) uint8 or None, its own
    left_out : (n,) what cleaning took out of a cloud; hidden at first. None where nothing was
    rotation : (3, 3) from its axes to upright, facing +z
    metre : an adult's metre in its unit; None where that is not known
    family : subjects of one family keep their places to each other: theirs is one frame
    note : what is shown below the name
    begin : which share of the way through its frames is shown at first
    """

    name: str
    role: Role
    frames: list[Frame]
    faces: Indices | None = None
    looks: Looks | None = None
    colors: NDArray[np.uint8] | None = None
    left_out: Mask | None = None
    rotation: Floats = field(default_factory=lambda: np.eye(3))
    metre: float | None = None
    family: int = 0
    note: str = ""
    begin: float = 1.0
    apart: bool = False
    times: list[float] | None = None
    skin: Skin | None = None

    @property
    def count(self) -> int:
        """How many vertices or points it has."""
        return len(self.frames[0].points)


@dataclass
class Layer:
    """Values that subjects can be coloured by.

    Attributes
    ----------
    name, unit : as the legend shows them
    values : of some subjects, by their places on the page, (n,) each
    between : of others the distance that two of their frames are apart, by the frames' places
    scale : distances are multiplied with it to be in the unit
    ends : the values of the colours' blue and red ends; without, 0 and about the largest
    """

    name: str
    unit: str
    values: dict[int, Floats] = field(default_factory=dict)
    between: dict[int, tuple[Floats, Floats]] = field(default_factory=dict)
    scale: float = 1.0
    ends: tuple[float, float] | None = None


@dataclass
class Fact:
    """A line about what was done: a label, what is said, and whether that is good."""

    label: str
    value: str
    tone: Tone = "plain"


@dataclass
class View:
    """All that a page shows.

    ``layer`` is the layer that it begins with, None its own colours; ``seconds`` how long the
    slider plays, None as it likes. ``way`` (M, 3) is how far all subjects, which are then of one
    family, have gone at M moments, evenly over the slider, in their files' frame: the page can
    keep them in the middle, and does from the beginning where ``far``.
    """

    title: str
    subjects: list[Subject]
    layers: list[Layer] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    layer: int | None = None
    seconds: float | None = None
    way: Floats | None = None
    far: bool = False
