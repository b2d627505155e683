"""The target as the network needs to know it: which pose it is in, and what moves each vertex.

A target is a whole, clean surface, so a body can be fitted to it as to a scan. The fitted body
tells the target's own pose and joints better than the network's glance at a few points, and lends
its skinning weights to the vertices near it; where no body is near (hair, wings, a large hat) the
network's weights stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional as F

from posetx.arrays import Floats, Indices
from posetx.bodies.body import BodyModel, forward_kinematics, relative_rotations, skin
from posetx.bodies.skeleton import LEG_BONES, TRUNK
from posetx.fit.cloud import BodyFit, FitSettings
from posetx.fit.dense import DenseFit, DenseSettings
from posetx.fit.figure import Figure
from posetx.fit.seen import Seen, lifts, lifts_at
from posetx.fit.surface import outward
from posetx.geometry.mesh import area_centroid, cross_of_faces, vertex_normals
from posetx.geometry.sampling import sample_surface
from posetx.models.pose_mae import PoseCode
from posetx.models.predictor import Predictor, pose_sample
from posetx.models.refine import Estimate

#: points of the surface that the body is fitted to, before they are thinned to the pose's number,
#: and every how many of them the fit's last stage takes
SURFACE, EVERY = 8192, 2
#: standard deviation of a surface about the body fitted to it from which on the network's decoder
#: gives the pose; docs/how-it-works.md has the table
FAR = 0.02
#: body vertices that lend their weights to a vertex; each the less, the farther it is on the scale
#: of WIDTH, and the less the network sees its part there: a hand on a thigh is no thigh
NEIGHBOURS, WIDTH, LEAST_WORD = 24, 0.02, 0.02
#: where an arm lies against the ribs, or in them, the nearest vertex may be of either; the normal
#: tells. A lender's share goes with ((1 + cosine) / 2) ** FACING, which is at least LEAST_FACING
FACING, LEAST_FACING = 4, 0.02
#: distance from the body at which its word counts for 1/e; in the identity's frame, ~1.3 m
TRUST = 0.06
CHUNK = 32_768
#: standard deviation of a surface about its body from which on it is no bare body's, and bulges in
#: ways that draw a fit: one at rest then is in the pose that the network sees. Of 16 `characters`
#: the fit alone has a median PMD of 15e-4, the network's word on them 8e-4; bare ones have 0.002.
#: Its word on what moves with what counts alone then, too: 0.1 % of the triangles flip, not 0.2 %
PLAIN = 0.003
#: characters rarely have a limb where the network does not see it, and a whole, clean surface has
#: no point far from it: of 20 targets of `reposed` those that are understood have at most 0.001 of
#: their points as far, and those with a hand or more elsewhere 0.002 or twice as much of the body
SETTINGS = FitSettings(rounds=1, margin=0.03, away=0.045, clear=(0.0015, 0.01))
#: ... and proportions that no body has: with the early stages' end counted as much as it is for
#: scans (0.12) 11 of `characters` had a mean of 21e-4 for 18e-4, and bare bodies are the same. (The
#: network's word counted ten times as much then, which takes arms of `reposed` where they are not.)
END = DenseSettings(early=0.06)


#: joints that are hardly bent at rest (degrees), wherever the arms are
STRAIGHT, FOREARMS = (*TRUNK, *(joint for joint, _ in LEG_BONES)), (7, 11)
BENT, BENT_FOREARM = 25.0, 45.0


@dataclass
class Prepared:
    """A target in its normalised frame, upright; what decoding it in any pose needs."""

    vertices: Floats  # (N, 3)
    sample: Tensor  # (1, I, 3)
    estimate: Estimate | None = None  # the network's own without
    weights: NDArray[np.float32] | None = None  # (N, 19) the network's own without
    faces: Indices | None = None  # (F, 3) of its triangles; these and the noise of a fitted body:
    noise: float | None = None  # of its surface about that, as `Ended`
    missed: float | None = None  # the share of that body that is far from it, see `Misfit`


def give(
    predictor: Predictor, pose: PoseCode, target: Prepared, noise: float | None = None
) -> Floats:
    """The target's vertices (N, 3) in the pose, in its normalised frame.

    Where a body was fitted to both the scan and the target, its parts' turns are all there is to
    give: plain skinning. The network's decoder, which can make up for what a fit is off by, comes
    in where one of them is far from a body; ``noise`` is that of the scan about its fitted one.
    """
    if max(_far(noise), _far(target.noise)) < FAR:
        return _skinned(pose.estimate, target)
    context = predictor.context(pose, target.sample, target.estimate)
    vertices: Floats = predictor.decode(context, target.vertices, target.weights)[0]
    return vertices


def _far(noise: float | None) -> float:
    return np.inf if noise is None else noise


def _skinned(pose: Estimate, target: Prepared) -> Floats:
    """By linear blend skinning alone; about the middle of its area, as the decoder has it."""
    own, weights, faces = target.estimate, target.weights, target.faces
    assert own is not None and weights is not None and faces is not None  # as its noise is there
    turns = pose.rotations @ own.rotations.transpose(-1, -2)
    placed = forward_kinematics(own.joints, turns)
    vertices = torch.as_tensor(target.vertices, dtype=torch.float32, device=turns.device)[None]
    by = torch.as_tensor(weights, device=turns.device)
    moved: Floats = skin(vertices, by, own.joints, placed, turns)[0].double().cpu().numpy()
    return moved - area_centroid(moved, faces)


def prepared(
    predictor: Predictor, fit: TargetFit | None, vertices: Floats, faces: Indices
) -> Prepared:
    """A target (N, 3) in its normalised frame made ready, by the network alone without a fit."""
    if fit is None:
        return Prepared(vertices, predictor.identity_sample(vertices, faces))
    return fit.prepare(vertices, faces)


def at_rest(rotations: Tensor) -> bool:
    """Whether a pose, global rotations (1, 19, 3, 3), is one that characters are made in.

    They stand straight, in an A- or a T-pose or with their arms hanging.
    """
    local = relative_rotations(rotations)[0]
    cosine = (local.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    bent = torch.rad2deg(cosine.clamp(-1, 1).acos())
    straight = bent[list(STRAIGHT)].max() < BENT
    return bool(straight and bent[list(FOREARMS)].max() < BENT_FOREARM)


class TargetFit:
    """Fits a body to targets."""

    def __init__(self, predictor: Predictor, body: BodyModel, settings: FitSettings = SETTINGS):
        self.predictor, self.body, self.fit = predictor, body, BodyFit(body, settings)
        self.end = DenseFit(body, settings.components, END)

    def prepare(self, vertices: Floats, faces: Indices) -> Prepared:
        """Fit a body to a target (N, 3) in its normalised frame, upright and facing +z."""
        predictor = self.predictor
        sample = predictor.identity_sample(vertices, faces)
        surface, of, _ = sample_surface(vertices, faces, SURFACE)
        few, every = pose_sample(surface, predictor.model.config.pose_points), surface[::EVERY]
        cloud = torch.as_tensor(few[None], dtype=torch.float32, device=predictor.device)
        code = predictor.look_at_identity(sample, cloud)
        # what is cloth or hair the other side of the network knows, as of a scan
        code.features.places = predictor.encode_pose(cloud).features.places
        figure = self.fit.figures(cloud, code)
        normals = cross_of_faces(vertices, faces[of[::EVERY]])
        lift = lifts_at(every, few, lifts(code.features)[0].double().cpu().numpy())
        ended = self.end.ended(figure, every, normals, lift=lift)
        figure = ended.figure
        worn = ended.noise > PLAIN and at_rest(code.estimate.rotations)
        estimate = code.estimate
        if not worn:
            estimate = Estimate(figure.rotations, self.fit.fine.place(figure).joints)
        weights = predictor.part_weights(sample, estimate, vertices)
        if not worn:
            normals = vertex_normals(vertices, faces)
            weights = self._weights(figure, vertices, normals, weights)
        seen = Seen.of(cloud, code.features)
        missed = float(self.fit.search.misfit(figure, seen).body)
        return Prepared(vertices, sample, estimate, weights, faces, ended.noise, missed)

    @torch.no_grad()
    def _surface(self, figure: Figure) -> Floats:
        """The fitted body's vertices (V, 3)."""
        fixed = len(self.body.components) - figure.shape.shape[1]
        surface = self.body.pose(F.pad(figure.shape, (0, fixed)), figure.rotations)
        return (figure.size * surface + figure.where)[0].double().cpu().numpy()

    def _weights(
        self, figure: Figure, vertices: Floats, normals: Floats, own: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Skinning weights (N, 19) of the vertices; ``own`` are the network's."""
        surface = self._surface(figure)
        tree = cKDTree(surface)
        outside = vertex_normals(surface, self.body.faces.cpu().numpy())
        facing = outward(normals, outside[tree.query(vertices)[1]])
        lent = self.body.weights.cpu().numpy()
        out = np.empty_like(own)
        for start in range(0, len(vertices), CHUNK):
            rows = slice(start, start + CHUNK)
            distance, index = tree.query(vertices[rows], k=NEIGHBOURS)
            lenders = lent[index]  # (n, NEIGHBOURS, 19)
            word = np.einsum("nkj,nj->nk", lenders, own[rows]) + LEAST_WORD
            if facing is not None:
                cosine = np.einsum("nkj,nj->nk", outside[index], facing[rows])
                word *= (0.5 * (1 + cosine)) ** FACING + LEAST_FACING
            nearness = distance**2 - distance[:, :1] ** 2
            share = np.exp(-0.5 * nearness / WIDTH**2) * word
            share /= share.sum(1, keepdims=True)
            trust = np.exp(-((distance[:, :1] / TRUST) ** 2))
            mixed = np.einsum("nk,nkj->nj", share, lenders)
            out[rows] = trust * mixed + (1 - trust) * own[rows]
        return out
