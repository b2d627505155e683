"""How likely each joint of a pose is right, from what the scan shows of the body about it.

A joint is right whose place, and the ends of the bones that begin there, are within 5 cm of the
truth. For that its part has to be in the scan, and the body has to lie in what is there; the
likelihood is the product of two logistic curves. Of the first, that the part is seen, the inputs
are

* which share of its skin has points of the scan beside it that the network takes for this part,
  relative to what is usual: a limb that is not in the scan may lie in the fitted body's trunk,
  whose points are not the limb's;
* the least such share of all parts from it up to the pelvis;
* that of the part at the end of its bone, where that is less: an elbow whose hand is not there;
* how far the network's first estimate of the part's direction was turned as it looked again.

Of the second, that the body is close, they are how far the points that are nearest to the part, and
are taken for it, are from it in the mean, and the confidence of the whole pose.

`python -m examples.make.joints` fits the curves, those of fitted bodies and those of the network
alone, to simulated scans whose truth is known: whole, noisy, from one and two sides, with things
that touch the body, dressed, and with limbs taken away. What they were worth there stands in
docs/pose.md. Tried and of no more use: how much of the scan the network takes for the part, the
error that it expects of its word, how far the fit turned the part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel
from posetx.bodies.skeleton import BONE_END, JOINTS, PARENTS
from posetx.geometry.mesh import vertex_areas
from posetx.geometry.sampling import voxel_thin
from posetx.models.pose_mae import PoseCode

#: a joint is right that is, with the bones from it on, within so many metres of an adult
RIGHT = 0.05
#: skin counts as shown by 1/e whose nearest point is so far (metres of an adult)
SHOWN = 0.02
#: points of a cloud are thinned to one in each voxel of this size (metres of an adult)
VOXEL = 0.01
#: samples next to a point that tell whose it is to the network
ABOUT = 3
#: the share of each part's skin that is shown in half of the study's scans
USUAL = (
    0.38, 0.40, 0.45, 0.31, 0.59,
    0.21, 0.41, 0.42, 0.55, 0.21, 0.41, 0.42, 0.55,
    0.46, 0.51, 0.61, 0.46, 0.51, 0.61,
)  # fmt: skip
#: added to shares, and to angles (radians), before their logarithm is taken
LEAST_SHARE, LEAST_TURN = 0.02, 0.05
#: a part is no closer than this (metres of an adult), and one without points so far
CLOSEST, NONE_NEAR = 0.008, 0.05
#: the confidence of a whole pose counts as nought or one no nearer than this, and so much without
EDGE, UNKNOWN = 0.005, 0.5
#: the curves: of being seen a constant and four slopes, of being close a constant and two
FITTED = (1.728, 0.402, 0.539, 0.851, -1.439, -8.570, -2.530, 0.376)
NETWORK = (1.232, 0.117, 0.448, 1.456, -0.612, -3.168, -1.488, 0.666)
#: so many of them are the first curve's
SEEN = 5


@dataclass
class Evidence:
    """Of each part (19,), see the module's docstring.

    ``shown`` is a share, ``looked`` an angle in radians, ``near`` in metres of an adult.
    """

    shown: Floats
    looked: Floats
    near: Floats

    def inputs(self, overall: float | None) -> Floats:
        """What the curves' numbers are multiplied with (19, 8)."""
        trust = min(max(UNKNOWN if overall is None else overall, EDGE), 1 - EDGE)
        ones = np.ones(len(JOINTS))
        usual = np.array(USUAL)
        shown = np.log((self.shown + LEAST_SHARE) / (usual + LEAST_SHARE))
        above = shown.copy()
        for joint, parent in enumerate(PARENTS[1:], 1):  # a parent comes before its children
            above[joint] = min(above[joint], above[parent])
        end = shown.copy()
        for joint, last in BONE_END.items():
            end[joint] = min(end[joint], shown[last])
        looked = np.log(self.looked + LEAST_TURN)
        near = np.log(np.maximum(self.near, CLOSEST))
        whole = math.log(trust / (1 - trust)) * ones
        return np.stack([ones, shown, above, end, looked, ones, near, whole], 1)


def likelihood(inputs: Floats, curves: Floats) -> Floats:
    """Of inputs (n, 8) and curves (8,): (n,), 0 to 1."""
    seen, close = inputs[:, :SEEN] @ curves[:SEEN], inputs[:, SEEN:] @ curves[SEEN:]
    likely: Floats = 1 / (1 + np.exp(-seen.clip(-40, 40))) / (1 + np.exp(-close.clip(-40, 40)))
    return likely


@dataclass
class Word:
    """What the network says of an even sample of a scan.

    ``samples`` (P, 3) in the scan's frame, ``shares`` (P, 19) of whose each is; ``looked`` (19,)
    how far its looks turned each part, in radians.
    """

    samples: Floats
    shares: Floats
    looked: Floats

    @classmethod
    def of(cls, samples: Floats, code: PoseCode) -> Word:
        """By the code of the samples."""
        shares = code.features.shares[0].detach().double().cpu().numpy()
        first = code.first.rotations[0].detach().double().cpu().numpy()
        last = code.looks[-1].estimate if code.looks else code.first
        turned = np.einsum("jab,jab->j", first, last.rotations[0].detach().double().cpu().numpy())
        return cls(samples, shares, np.arccos(np.clip((turned - 1) / 2, -1, 1)))


def evidence(
    body: BodyModel, word: Word, vertices: Floats, points: Floats, metre: float
) -> Evidence:
    """What a scan shows of a body's parts.

    Parameters
    ----------
    body : the body model
    word : the network's, on the scan
    vertices : (V, 3) of the body fitted to it
    points : (k, 3) the scan's
    metre : an adult's, in the unit of all of them
    """
    points = points[voxel_thin(points, VOXEL * metre)]
    part, count = body.weights.argmax(1).cpu().numpy(), len(JOINTS)
    areas = vertex_areas(vertices, body.faces.cpu().numpy())
    near_by = cKDTree(word.samples).query(points, k=min(ABOUT, len(word.samples)))[1]
    said = word.shares[near_by.reshape(len(points), -1)].mean(1)  # (k, 19)
    apart, point = cKDTree(points).query(vertices)
    shown = np.exp(-((apart / (SHOWN * metre)) ** 2)) * said[point, part]
    area = np.bincount(part, weights=areas, minlength=count)
    away, vertex = cKDTree(vertices).query(points)
    of_point = part[vertex]
    mine = said[np.arange(len(points)), of_point]
    weight = np.bincount(of_point, weights=mine, minlength=count)
    summed = np.bincount(of_point, weights=mine * away / metre, minlength=count)
    return Evidence(
        shown=np.bincount(part, weights=areas * shown, minlength=count) / np.maximum(area, 1e-300),
        looked=word.looked,
        near=np.where(weight > 0.5, summed / np.maximum(weight, 0.5), NONE_NEAR),
    )


def joint_confidence(found: Evidence, overall: float | None, fitted: bool) -> Floats:
    """The likelihood (19,) that each joint is right, 0 to 1.

    ``overall`` is that of the whole pose, None of an uncalibrated model; ``fitted`` whether a body
    was fitted.
    """
    return likelihood(found.inputs(overall), np.array(FITTED if fitted else NETWORK))
