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
class Subject:
    """One mesh or cloud on the page, at one moment or several.

    Attributes
    ----------
    name : as it is shown: its file's name
    role : what it is
    frames : at least one; all have n points in one order. The page's slider goes through them
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
    """

    name: str
    unit: str
    values: dict[int, Floats] = field(default_factory=dict)
    between: dict[int, tuple[Floats, Floats]] = field(default_factory=dict)
    scale: float = 1.0


@dataclass
class Fact:
    """A line about what was done: a label, what is said, and whether that is good."""

    label: str
    value: str
    tone: Tone = "plain"


@dataclass
class View:
    """All that a page shows. ``layer`` is the layer that it begins with, None its own colours."""

    title: str
    subjects: list[Subject]
    layers: list[Layer] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    layer: int | None = None
