"""Which way is up and front on a raw scan: the network tries, the best explained candidate wins.

Candidate rotations of the cloud go through the network as one batch, each with a neutral body as
identity. Every candidate's prediction is laid over its cloud by the joints that the encoder sees
in it; the candidate whose prediction lies closest to the points is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel
from posetx.geometry.axes import AXES, axis, check_axes, upright
from posetx.geometry.frames import normalise_pose
from posetx.geometry.rotations import matrix_from_yaw, turn_between
from posetx.geometry.sampling import sample_surface
from posetx.models.pose_mae import PoseCode, PoseMAE
from posetx.models.predictor import IdentityFrame, Predictor

HEADINGS = 16
BODY_POINTS = 384
#: share of the scan's points, nearest first, that the distance is the mean of: clutter is no body
TRIM = 0.9
BATCH = 32
#: sets of pose points that the candidates are compared on
COARSE_SETS = 2
#: other directions that are named as rivals: at most so many, at most so much worse
RIVALS, RIVAL_MARGIN = 3, 0.2
#: a body is flat that is lower than this share of its length; sides that it may lie on
FLAT, SIDES = 0.65, 8
#: cosine of the angle at which two directions differ
APART = math.cos(math.radians(45))


@dataclass
class Orientation:
    """``upright = rotation @ point``: y up, the body facing +z.

    ``distance`` is the mean distance of the scan's points to the aligned prediction, as a share
    of the body's size (the square root of its surface area); ``margin`` by how much the best
    other direction (more than 45 degrees away) is worse, as a share of ``distance``. ``rivals``
    are those other directions that are little worse, best first. ``up`` is the scan's own axis; of
    a person who lies it is not the body's. The less ``habit``, the more usual is the direction.
    ``badness`` is how badly a body fitted in this direction explains the scan, as the network's
    distance and the misfit together say; 0 where none was fitted.
    """

    rotation: Floats  # (3, 3)
    up: str
    distance: float
    margin: float
    rivals: tuple[Orientation, ...] = ()
    habit: float = 1.0
    badness: float = 0.0

    @property
    def tilt(self) -> Floats:
        """The least turn (3, 3) that lays the upright body down as it lies; else the identity."""
        was = torch.as_tensor(self.rotation @ axis(self.up, "up"))
        return turn_between(was, torch.tensor(AXES["y"], dtype=torch.float64)).numpy()


class NeutralBody:
    """A mean body's surface in its normalised frame, the identity that candidates are tried on."""

    def __init__(self, body: BodyModel, predictor: Predictor):
        vertices = body.template.cpu().double().numpy()
        faces = body.faces.cpu().numpy()
        frame = IdentityFrame.of(vertices, faces)
        normal = frame.to_normal(vertices)
        self.sample = predictor.identity_sample(normal, faces)
        points, _, _ = sample_surface(normal, faces, BODY_POINTS, seed=1)
        self.points = torch.as_tensor(points, dtype=torch.float32, device=predictor.device)


@torch.inference_mode()
def explain(
    predictor: Predictor, neutral: NeutralBody, clouds: Tensor, pose: PoseCode | None = None
) -> tuple[Tensor, PoseCode]:
    """How far clouds (B, P, 3) lie from the predictions made of them.

    Returns the trimmed mean distance (B,) as a share of the body's size, and the pose codes: those
    given, if they are known.
    """
    model: PoseMAE = predictor.model
    pose = pose or predictor.encode_pose(clouds)
    normal, _, _ = normalise_pose(clouds)
    context = predictor.context(pose, neutral.sample)
    body = model.decode(context, neutral.points.expand(len(clouds), -1, -1))
    # similarity (scale and shift) from the neutral body's joints to those seen in the cloud
    seen, placed = pose.joints, context.motion.placed
    seen_mean, placed_mean = seen.mean(1, keepdim=True), placed.mean(1, keepdim=True)
    spread = (placed - placed_mean).square().sum((1, 2))
    scale = ((seen - seen_mean) * (placed - placed_mean)).sum((1, 2)) / spread
    scale = scale.clamp_min(1e-3).view(-1, 1, 1)
    body = seen_mean + scale * (body - placed_mean)
    for _ in range(3):  # proportions differ: let the prediction slide to where the points are
        distance, index = torch.cdist(normal, body).min(2)
        near = distance <= distance.quantile(TRIM, dim=1, keepdim=True)
        match = body.gather(1, index.unsqueeze(-1).expand(-1, -1, 3))
        move = ((normal - match) * near.unsqueeze(-1)).sum(1) / near.sum(1, keepdim=True)
        body = body + move.unsqueeze(1)
    distance = torch.cdist(normal, body).min(2).values
    near = distance <= distance.quantile(TRIM, dim=1, keepdim=True)
    trimmed = (distance * near).sum(1) / near.sum(1)
    return trimmed / scale.view(-1), pose


def orient(
    predictor: Predictor,
    neutral: NeutralBody,
    samples: Floats,
    up: str = "auto",
    front: str = "auto",
    *,
    headings: int = HEADINGS,
    refine: bool = True,
    lying: bool = False,
    habit: float = 1.0,
) -> Orientation:
    """Find, or take from the user, up and front of a scan or a character.

    Parameters
    ----------
    samples : (P, 3) an even sample of the cleaned scan, see :func:`pose_sample`.
    up, front : an axis such as "z" or "-y", or "auto".
    headings : directions tried about each up.
    refine : whether the best heading is then improved continuously; a character stands along
        its file's axes, a scan anywhere.
    lying : whether a body that is flat along a given ``up`` may also lie.
    habit : what the distances of the two usual directions, y up and facing +z or z up and facing
        -y, are multiplied with, and those with another axis up divided by, twice.

    Raises
    ------
    FieldError : an axis that is none, or the same axis twice.
    """
    check_axes(up, front)
    rotations, names = directions(up, front, headings)
    weight = np.array([1.0 if name in ("y", "z") else habit**-2 for name in names])
    if front == "auto":
        weight[[names.index(name) for name in ("y", "z") if name in names]] *= habit
        if lying and up != "auto" and is_flat(samples, axis(up, "up")):
            laid = _lying(axis(up, "up"))
            rotations, names = np.concatenate([rotations, laid]), names + [up] * len(laid)
            weight = np.concatenate([weight, np.ones(len(laid))])
    few = samples[: COARSE_SETS * predictor.model.config.pose_points]
    raw, heading = _try(predictor, neutral, few, rotations)
    distance = weight * raw
    picked = _distinct(rotations, distance)
    best = picked[0]
    if front == "auto" and refine:
        # the network says how far the pelvis still is from facing front; go there if the points
        # agree
        faced = matrix_from_yaw(torch.as_tensor(-heading[picked])).numpy() @ rotations[picked]
        pair, _ = _try(predictor, neutral, samples, np.stack([rotations[best], faced[0]]))
        agreed = pair[1] < 1.1 * pair[0]
        final = float(pair[int(agreed)])
        if not agreed:
            faced[0] = rotations[best]
    else:
        faced = rotations[picked]
        final = distance_to_prediction(predictor, neutral, samples, faced[0])
    margin = float(distance[picked[1]] / distance[best] - 1) if len(picked) > 1 else math.inf
    rivals = tuple(
        Orientation(turn, names[k], float(raw[k]), 0.0, habit=float(weight[k]))
        for turn, k in zip(faced[1:], picked[1:], strict=True)
        if distance[k] <= (1 + RIVAL_MARGIN) * distance[best]
    )
    return Orientation(faced[0], names[best], final, margin, rivals, float(weight[best]))


def directions(up: str, front: str, headings: int) -> tuple[Floats, list[str]]:
    """Rotations (N, 3, 3) to upright and facing +z, and the axis that is up in each.

    About an axis that may be up there are so many ``headings``, the usual one first.
    """
    turns, names = [], []
    for name in AXES if up == "auto" else [up]:
        vector = axis(name, "up")
        if front == "auto":
            turns += list(about(headings) @ upright(vector))
            names += [name] * headings
        elif abs((facing := axis(front, "front")) @ vector) < 0.5:
            turns.append(upright(vector, facing))
            names.append(name)
    return np.stack(turns), names


def is_flat(points: Floats, up: Floats) -> bool:
    """Whether a body (n, 3) is so low along ``up`` (3,) that it may lie."""
    level = points @ (about(HEADINGS) @ upright(up))[:, 2].T
    low, high = np.quantile(np.column_stack([points @ up, level]), [0.02, 0.98], axis=0)
    return bool(high[0] - low[0] < FLAT * (high - low)[1:].max())


def about(headings: int) -> Floats:
    """Turns about y (headings, 3, 3), evenly spread, the identity first."""
    return matrix_from_yaw(torch.arange(headings).double() * (2 * math.pi / headings)).numpy()


def _lying(up: Floats) -> Floats:
    """Rotations (N, 3, 3) for bodies that lie, their heads in all directions, on all sides."""
    heads = (about(HEADINGS) @ upright(up))[:, 2]
    return np.concatenate([about(SIDES) @ upright(head, up) for head in heads])


def distance_to_prediction(
    predictor: Predictor, neutral: NeutralBody, samples: Floats, rotation: Floats
) -> float:
    """The ``distance`` of an :class:`Orientation` with this rotation (3, 3)."""
    return float(_try(predictor, neutral, samples, rotation[None])[0][0])


def _distinct(rotations: Floats, distance: Floats) -> list[int]:
    """Indices of the best rotation, and of the best of those that are unlike all better ones."""
    picked: list[int] = []
    for k in np.argsort(distance):
        cosine = (np.einsum("nij,ij->n", rotations[picked], rotations[k]) - 1) / 2
        if (cosine < APART).all():
            picked.append(int(k))
        if len(picked) > RIVALS:
            break
    return picked


def _try(
    predictor: Predictor, neutral: NeutralBody, samples: Floats, rotations: Floats
) -> tuple[Floats, Floats]:
    """Distances (N,) and pelvis headings (N,) in radians of the sample under each rotation."""
    cloud = torch.as_tensor(samples - samples.mean(0), dtype=torch.float32)
    cloud = cloud / cloud.square().sum(1).mean().sqrt()
    turns = torch.as_tensor(rotations, dtype=torch.float32)
    return explain_many(predictor, neutral, torch.einsum("nij,pj->npi", turns, cloud))


def explain_many(
    predictor: Predictor, neutral: NeutralBody, clouds: Tensor
) -> tuple[Floats, Floats]:
    """Distances (N,), see `explain`, and pelvis headings (N,) in radians of clouds (N, P, 3)."""
    distances, headings = [], []
    for part in clouds.to(predictor.device).split(BATCH):
        distance, pose = explain(predictor, neutral, part)
        forward = pose.rotations[:, 0, :, 2]
        distances.append(distance.cpu())
        headings.append(torch.atan2(forward[:, 0], forward[:, 2]).cpu())
    return torch.cat(distances).double().numpy(), torch.cat(headings).double().numpy()
