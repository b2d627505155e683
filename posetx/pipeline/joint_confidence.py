"""How likely each joint of a pose is right, from what the scan shows of the body about it.

A joint is right whose place, and the ends of the bones that begin there, are within 5 cm of the
truth. Four things say it of each part of the body, and one of the whole:

* which share of its skin has points of the scan beside it that the network takes for this part: a
  limb that is not in the scan may lie in the fitted body's trunk, whose points are not the limb's;
* how far the points that are nearest to it are from it, in the mean;
* how much of the scan the network takes for it, relative to its share of the body's skin;
* which error the network expects of its word on those points;
* the confidence of the whole pose.

Their logarithms (of the last the logit) go into a logistic curve, one for fitted bodies and one for
the network alone. `python -m posetx.studies.joint_confidence` fits the curves to simulated scans
whose truth is known: whole, noisy, from one and two sides, with things that touch the body,
dressed, and with limbs taken away. What they were worth there stands in docs/pose.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel
from posetx.bodies.skeleton import JOINTS
from posetx.geometry.mesh import vertex_areas
from posetx.geometry.sampling import voxel_thin
from posetx.models.encoder import PointFeatures

#: a joint is right that is, with the bones from it on, within so many metres of an adult
RIGHT = 0.05
#: skin counts as shown by 1/e whose nearest point is so far (metres of an adult)
SHOWN = 0.03
#: points of a cloud are thinned to one in each voxel of this size (metres of an adult)
VOXEL = 0.01
#: added to shares before their logarithm is taken
LEAST = 0.02
#: samples next to a point that tell whose it is to the network
ABOUT = 3
#: of a part without points, how far they are (metres of an adult)
NONE_NEAR = 0.05
#: where a network has no word on its error: what it usually is
USUAL_SPREAD = 0.05
#: the confidence of a whole pose counts as nought or one no nearer than this, and so much without
EDGE, UNKNOWN = 0.005, 0.5
#: the curves: a constant, then what the logarithms of `Evidence` and the last logit count
FITTED = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
NETWORK = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass
class Evidence:
    """Of each part (19,): see the module's docstring; lengths in metres of an adult."""

    shown: Floats
    near: Floats
    mass: Floats
    spread: Floats

    def inputs(self, overall: float | None) -> Floats:
        """What a curve's numbers are multiplied with (19, 6)."""
        trust = min(max(UNKNOWN if overall is None else overall, EDGE), 1 - EDGE)
        said = [
            np.log(self.shown + LEAST),
            np.log(self.near / NONE_NEAR),
            np.log(self.mass + LEAST),
            np.log(self.spread / USUAL_SPREAD),
            np.full(len(JOINTS), math.log(trust / (1 - trust))),
        ]
        return np.stack([np.ones(len(JOINTS)), *said], 1)


@dataclass
class Word:
    """What the network says of an even sample of a scan.

    ``samples`` (P, 3) in the scan's frame, ``shares`` (P, 19) of whose each is, ``spread`` (P,) the
    error that it expects of that, in metres.
    """

    samples: Floats
    shares: Floats
    spread: Floats

    @classmethod
    def of(cls, samples: Floats, features: PointFeatures) -> Word:
        """By the features of the samples."""
        shares = features.shares[0].detach().double().cpu().numpy()
        spread = np.full(len(samples), USUAL_SPREAD)
        if features.places is not None:
            spread = features.places.spread[0, :, 0].detach().double().cpu().numpy()
        return cls(samples, shares, spread)


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
    part = body.weights.argmax(1).cpu().numpy()
    own = part[:, None] == np.arange(len(JOINTS))
    areas = vertex_areas(vertices, body.faces.cpu().numpy())
    area = np.maximum(own.T @ areas, 1e-300)
    near_by = cKDTree(word.samples).query(points, k=min(ABOUT, len(word.samples)))[1]
    said = word.shares[near_by].mean(1)  # (k, 19)
    away, vertex = cKDTree(vertices).query(points)
    mine = said[np.arange(len(points)), part[vertex]]
    apart, point = cKDTree(points).query(vertices)
    shown = np.exp(-((apart / (SHOWN * metre)) ** 2)) * said[point, part]
    weight = np.bincount(part[vertex], weights=mine, minlength=len(JOINTS))
    summed = np.bincount(part[vertex], weights=mine * away / metre, minlength=len(JOINTS))
    mass = word.shares.sum(0)
    return Evidence(
        shown=(own.T @ (areas * shown)) / area,
        near=np.where(weight > 0.5, summed / np.maximum(weight, 0.5), NONE_NEAR).clip(1e-4),
        mass=mass / len(word.shares) / (area / area.sum()),
        spread=((word.spread @ word.shares) / np.maximum(mass, 1e-9)).clip(1e-4),
    )


def joint_confidence(found: Evidence, overall: float | None, fitted: bool) -> Floats:
    """The likelihood (19,) that each joint is right, 0 to 1.

    ``overall`` is that of the whole pose, None of an uncalibrated model; ``fitted`` whether a body
    was fitted.
    """
    score = found.inputs(overall) @ np.array(FITTED if fitted else NETWORK)
    likely: Floats = 1 / (1 + np.exp(-score.clip(-50, 50)))
    return likely
