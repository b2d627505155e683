"""A target made ready for poses: how it stands in its file, its own pose and its parts."""

from __future__ import annotations

from dataclasses import dataclass, field

from posetx.arrays import Floats
from posetx.errors import PosetxError
from posetx.files.targets import Target
from posetx.geometry.sampling import sample_surface
from posetx.models.predictor import IdentityFrame, pose_sample
from posetx.reading.orient import distance_to_prediction, orient
from posetx.reading.reader import PoseReader
from posetx.target.prepared import Prepared, TargetFit, prepared

#: points of a target's surface that its own orientation is found from
TARGET_SAMPLES = 4096
#: vertices that the roughest figure has: a box for each of trunk, head, arms and legs
FEWEST = 30
#: characters mostly face where their format's programs have the front: see `orient`
HABIT = 0.9


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
    seconds : how long preparing took, by stage
    """

    target: Target
    up: str
    rotation: Floats
    distance: float
    frame: IdentityFrame
    ready: Prepared
    seconds: dict[str, float] = field(default_factory=dict)

    def to_file(self, vertices: Floats) -> Floats:
        """Vertices (n, 3) of the normalised frame, upright, in the file's."""
        return self.frame.from_normal(vertices @ self.rotation)


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
    try:
        frame = IdentityFrame.of(target.vertices, target.faces)
        surface, _, _ = sample_surface(target.vertices, target.faces, TARGET_SAMPLES)
    except (ValueError, PosetxError) as error:
        raise PosetxError(f"{target.path}: {error}") from None
    places = len(target.welds()[0])
    if places < FEWEST:
        raise PosetxError(
            f"{target.path}: has {places} vertices, too few for arms and legs; give a character"
        )
    sample = pose_sample(surface, predictor.model.config.pose_points)
    found = orient(
        predictor, swift.neutral, sample, up, front, headings=4, refine=False, habit=HABIT
    )
    distance = found.distance
    if thorough is not None and found.rivals:
        found, _ = thorough.settled(sample, found)
        distance = distance_to_prediction(predictor, swift.neutral, sample, found.rotation)
    normal = frame.to_normal(target.vertices) @ found.rotation.T
    ready = prepared(predictor, fit, normal, target.faces)
    return ReadyTarget(target, found.up, found.rotation, distance, frame, ready)
