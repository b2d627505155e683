"""A target made ready for poses: how it stands in its file, its own pose and its parts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from posetx.arrays import Floats, Indices, Mask
from posetx.errors import PosetxError
from posetx.files.targets import Target
from posetx.geometry.axes import axis
from posetx.geometry.mesh import surface_area
from posetx.geometry.outer import covered_area, layers, outer_faces
from posetx.geometry.restore import Kept
from posetx.geometry.rig import Rig
from posetx.models.predictor import IdentityFrame
from posetx.reading.reader import PoseReader
from posetx.target.belonging import belonging
from posetx.target.islands import without_islands
from posetx.target.person import Person, Watcher
from posetx.target.pieces import Pieces
from posetx.target.prepared import Prepared, TargetFit, prepared

#: vertices that the roughest figure has: a box for each of trunk, head, arms and legs
FEWEST = 30
#: a surface that a line crosses so often has something below it that nobody sees: see `layers`
LAYERED = 2.2
#: ... and that has so many times the area that it covers has copies of itself in itself
COPIED = 1.5


@dataclass
class ReadyTarget:
    """A target as the model takes it, and the way back to its file's frame.

    Attributes
    ----------
    target : the mesh as it was read
    up : the axis of its file that is up
    rotation : (3, 3) from the file's axes to upright, facing +z
    distance : of its surface to what the model makes of it, see `Orientation`
    frame : its normalised frame's place in the file's
    ready : its vertices in that frame, own pose, joints and skinning weights
    moves : (n,) which of its vertices are the figure's; the others stay where they are
    faces : (m, 3) the figure's triangles
    seen : (s, 3) those of them that the body is measured by, as its frame is
    notes : what a user should know about what was taken for the figure
    rig : the file's own skeleton that moves the figure; None where it has none that can be posed
    no_rig : why a file with skins has none
    seconds : how long preparing took, by stage
    kept : what restoring its detail needs whatever the pose
    """

    target: Target
    up: str
    rotation: Floats
    distance: float
    frame: IdentityFrame
    ready: Prepared
    moves: Mask
    faces: Indices
    seen: Indices
    notes: list[str]
    rig: Rig | None = None
    no_rig: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept)

    def to_file(self, vertices: Floats) -> Floats:
        """Vertices (n, 3) of the normalised frame, upright, in the file's; others where they were.

        Theirs of what is not the figure are not looked at.
        """
        placed = self.frame.from_normal(vertices @ self.rotation)
        return np.where(self.moves[:, None], placed, self.target.vertices)


def ready_target(
    swift: PoseReader,
    thorough: PoseReader | None,
    fit: TargetFit | None,
    target: Target,
    up: str = "auto",
    front: str = "auto",
) -> ReadyTarget:
    """Find how a target stands, its own pose and its parts.

    Parameters
    ----------
    swift : a reader without fits, whose network is asked
    thorough, fit : a reader with fits and what fits bodies to targets; both None for the network
        alone
    up, front : an axis of the target's file such as "z" or "-y", or "auto"

    Raises
    ------
    PosetxError : the target's surface has no area, or it has fewer vertices than any character
    UsageError : an axis that is none, or the same axis twice
    """
    predictor = swift.predictor
    if not surface_area(target.vertices, target.faces) > 0:
        raise PosetxError(
            f"{target.path}: the target's surface has no area; it needs triangles or polygons"
        )
    places = len(target.welds()[0])
    if places < FEWEST:
        raise PosetxError(
            f"{target.path}: has {places} vertices, too few for arms and legs; give a character"
        )
    pieces = Pieces.of(target)
    watcher = Watcher(swift, thorough, up, front)
    person, figure = _figure(watcher, pieces)
    found = person.found
    faces = target.faces[figure[pieces.of_face]]
    seen = faces
    if not person.measured[person.core].all():
        seen = target.faces[person.measured[pieces.of_face]]
    copies = 1.0
    if layers(target.vertices, seen) > LAYERED:
        seen = seen[outer_faces(target.vertices, seen)]
        copies = surface_area(target.vertices, seen) / covered_area(target.vertices, seen)
    frame = IdentityFrame.of(target.vertices, seen)
    if copies > COPIED:
        frame.unit /= float(np.sqrt(copies))
    normal = frame.to_normal(target.vertices) @ found.rotation.T
    ready = prepared(predictor, fit, normal, seen)
    if ready.weights is not None:
        ready.weights = without_islands(ready.weights, target.welds()[1], faces)
    return ReadyTarget(
        target,
        found.up,
        found.rotation,
        found.distance,
        frame,
        ready,
        figure[pieces.of_vertex],
        faces,
        seen,
        _notes(pieces, figure),
        *target.rig(figure[pieces.of_vertex]),
    )


def _figure(watcher: Watcher, pieces: Pieces) -> tuple[Person, Mask]:
    """The person, and which pieces (p,) are the figure's.

    What is left when other things are taken away is looked at anew, until it is all of one figure:
    so a tree beside it has no say in how it stands and what of it is the body.
    """
    figure = np.ones(len(pieces.area), dtype=bool)
    while True:
        person = watcher.person(pieces, figure)
        up = axis(person.found.up, "up")
        own = figure & belonging(pieces, person.core, up)
        if (person.core & ~own).any():
            own = figure & belonging(pieces, person.core, up, watcher.legs(pieces, person))
        if (own == figure).all():
            return person, figure
        figure = own


def _notes(pieces: Pieces, figure: Mask) -> list[str]:
    """What stays where it is, by its name where the file has one."""
    others = pieces.names(~figure)
    if not others:
        return []
    return [f"not of the figure, and left as it is: {', '.join(others)}"]
