"""A motion given to a target: a skeleton that moves it, new or its own, or shapes to mix.

A clip is plain skinning: the turns from the target's own pose to each frame's, by the weights that
the body fitted to the target lends it. The network's decoder, which transfers of a single scan fall
back to where a body fits badly, has a word on each frame by itself, and those would flicker.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from posetx.arrays import Floats
from posetx.bodies.body import forward_kinematics, relative_rotations
from posetx.bodies.skeleton import BVH_WRITTEN, FEET, LEG_BONES, PARENTS
from posetx.errors import PosetxError
from posetx.files.targets.clip import MorphClip, Skeleton, SkeletonClip
from posetx.geometry.restore import restore_detail
from posetx.geometry.rig import Rig, RigPose
from posetx.models.predictor import Predictor
from posetx.pipeline.feet import locked
from posetx.pipeline.motion import Motion
from posetx.target.ready import ReadyTarget
from posetx.target.skeleton import by_skeleton

#: how far a mixture of shapes may be from what was meant, as a share of the target's size
CLOSE = 8e-5
#: columns that are taken to double precision at a time
CHUNK = 65_536
#: about so many vertices tell where the ground is
GROUND = 20_000
#: numbers that all frames of a clip of morph targets may have together: 4 GB
MOST = 1_000_000_000


@dataclass(frozen=True)
class Track:
    """A target's joints in F frames, in its normalised frame: upright, facing +z."""

    motion: Motion
    rotations: Floats  # (F, 19, 3, 3) global, of the neutral body's axes
    places: Floats  # (F, 19, 3)

    def __len__(self) -> int:
        return len(self.rotations)


class Animator:
    """A target that takes motions."""

    def __init__(self, predictor: Predictor, ready: ReadyTarget) -> None:
        self.ready = ready
        prepared = ready.ready
        own, weights = prepared.estimate, prepared.weights
        if own is None or weights is None:  # no body was fitted: the network's word
            own = predictor.own_pose(prepared.sample)
            weights = predictor.part_weights(prepared.sample, own, prepared.vertices)
        self.rest: Floats = own.rotations[0].double().cpu().numpy()
        self.joints: Floats = own.joints[0].double().cpu().numpy()
        self.weights = np.where(ready.moves[:, None], weights, 0.0).astype(np.float64)

    @cached_property
    def legs(self) -> float:
        """Mean length of the target's legs, hip to ankle, in its normalised frame."""
        bones = [self.joints[end] - self.joints[start] for start, end in LEG_BONES]
        return float(np.linalg.norm(bones, axis=1).sum()) / 2

    def track(self, motion: Motion, hold_feet: bool = True) -> Track:
        """The target's joints as they go with a motion; with ``hold_feet`` feet that stand stay.

        The pelvis of the first frame is where the target's own is, and goes as far as the motion's,
        as its legs are longer or shorter; the lowest place that any frame reaches is on the
        target's own ground.
        """
        turns = torch.as_tensor(motion.rotations @ self.rest.swapaxes(1, 2))
        joints = torch.as_tensor(self.joints).expand(len(motion), -1, -1)
        places: Floats = forward_kinematics(joints, turns).numpy()
        ratio = self.legs / motion.legs if motion.legs > 0 else 0.0
        way = ratio * (motion.roots - motion.roots[0])
        places = places + way[:, None]
        rotations = motion.rotations
        if hold_feet and ratio > 0:
            ankles = [ratio * motion.joints[:, foot] for foot in FEET]
            rotations, places = locked(rotations, places, ankles, self.legs, motion.fps)
        track = Track(motion, rotations, places)
        used = np.unique(self.ready.faces)
        used = used[:: max(len(used) // GROUND, 1)]
        ground = self.ready.ready.vertices[used, 1].min()
        lowest = self._skinned(track, used, slice(1, 2)).min()
        return Track(motion, rotations, places + [0.0, ground - lowest, 0.0])

    def skeleton(self) -> Skeleton:
        """That of the target as it stands, in its file's frame."""
        turn, frame = self.ready.rotation.T, self.ready.frame
        places = frame.from_normal(self.joints @ turn.T)
        return Skeleton(BVH_WRITTEN, PARENTS, turn @ self.rest, places, self.weights)

    def skeleton_clip(self, name: str, track: Track) -> SkeletonClip:
        """The skeleton in all frames."""
        turn, frame = self.ready.rotation.T, self.ready.frame
        local: Floats = relative_rotations(torch.as_tensor(track.rotations)).numpy()
        local = np.concatenate([turn @ local[:, :1], local[:, 1:]], axis=1)
        roots = frame.from_normal(track.places[:, 0] @ turn.T)
        return SkeletonClip(name, track.motion.fps, self.skeleton(), local, roots)

    def rig_poses(
        self, rig: Rig, track: Track, on_frame: Callable[[], None] = lambda: None
    ) -> tuple[list[RigPose], float]:
        """The target's own skeleton in all frames, and how near its skin comes to them.

        That is the mean distance of the figure's surface, as a share of the target's height. Each
        frame is begun at the one before it; ``on_frame`` is called with each done.
        """
        poses: list[RigPose] = []
        off = 0.0
        for f in range(len(track)):
            wanted = self.vertices(track, slice(f, f + 1), False)[0]
            posed = by_skeleton(self.ready, rig, wanted, poses[-1] if poses else None)
            poses.append(posed.pose)
            off += posed.report.distance / len(track)
            on_frame()
        return poses, off

    def vertices(self, track: Track, frames: slice, restore: bool) -> Floats:
        """The target's vertices (f, n, 3) in some frames, in its file's frame and unit.

        With ``restore`` its own surface detail is put back in each.
        """
        every = np.arange(len(self.weights))
        part = Track(track.motion, track.rotations[frames], track.places[frames])
        moved = self._skinned(part, every, slice(0, 3))
        rest, kept = self.ready.ready.vertices, self.ready.kept
        out = np.empty((len(part), len(every), 3))
        for i, frame in enumerate(moved):
            frame[~self.ready.moves] = rest[~self.ready.moves]
            if restore:
                frame = restore_detail(rest, self.ready.faces, frame, kept=kept).vertices
            out[i] = self.ready.to_file(frame)
        return out

    def morph_clip(
        self,
        name: str,
        track: Track,
        restore: bool,
        on_frame: Callable[[], None] = lambda: None,
    ) -> MorphClip:
        """The fewest shapes that all frames are mixtures of, as closely as CLOSE.

        ``on_frame`` is called with each frame done. Raises PosetxError where the frames together
        are too many numbers.
        """
        rest = self.ready.target.vertices
        if len(track) * rest.size > MOST:
            raise PosetxError(
                f"{self.ready.target.path}: {len(track)} frames of {len(rest):,} vertices are too "
                "many for morph targets; take fewer `frames`, or a skeleton"
            )
        away = np.empty((len(track), rest.size), np.float32)
        for f in range(len(track)):
            moved = self.vertices(track, slice(f, f + 1), restore)[0]
            away[f] = (moved - rest).ravel()
            on_frame()
        size = float(np.ptp(rest[np.unique(self.ready.faces)], axis=0).max())
        weights, shapes = fewest_shapes(away, CLOSE * size)
        return MorphClip(name, track.motion.fps, shapes.reshape(-1, *rest.shape), weights)

    def maps(self, track: Track) -> Floats:
        """Where each part takes what hangs on it, (F, 19, 3, 4), in the target's file's frame."""
        turn, frame = self.ready.rotation, self.ready.frame
        maps = self._maps(track)
        turns = turn.T @ maps[..., :3] @ turn
        shift = frame.centre + frame.unit * maps[..., 3] @ turn - turns @ frame.centre
        return np.concatenate([turns, shift[..., None]], axis=3)

    def _maps(self, track: Track) -> Floats:
        """The same in the normalised frame."""
        turns = track.rotations @ self.rest.swapaxes(1, 2)
        shift = track.places - np.einsum("fjik,jk->fji", turns, self.joints)
        return np.concatenate([turns, shift[..., None]], axis=3)

    def _skinned(self, track: Track, rows: np.ndarray, axes: slice) -> Floats:
        """Vertices (F, r, axes) by linear blend skinning alone, in the normalised frame.

        Skinning is linear in the joints' matrices, so that of all frames is one product.
        """
        points = self.ready.ready.vertices[rows]
        ones = np.concatenate([points, np.ones((len(rows), 1))], axis=1)
        blend = (self.weights[rows, :, None] * ones[:, None]).reshape(len(rows), -1)
        maps = self._maps(track)[:, :, axes]
        flat = maps.transpose(1, 3, 0, 2).reshape(blend.shape[1], -1).astype(np.float32)
        moved = blend.astype(np.float32) @ flat
        out: Floats = moved.reshape(len(rows), len(track), -1).transpose(1, 0, 2)
        return out.astype(np.float64)


def fewest_shapes(away: NDArray[np.float32], close: float) -> tuple[Floats, NDArray[np.float32]]:
    """Weights (F, K), 0 to 1, of K shapes (K, 3 n) that are F displacements (F, 3 n) of n places.

    Principal components, as many as bring each place within ``close`` of where it goes; where that
    is no fewer than there are frames, the frames themselves.
    """
    products = np.zeros((len(away), len(away)))
    for begin in range(0, away.shape[1], CHUNK):  # in double precision, or little ones are lost
        part = away[:, begin : begin + CHUNK].astype(np.float64)
        products += part @ part.T
    vectors = np.linalg.eigh(products)[1][:, ::-1]

    def far(count: int) -> float:
        mixed = vectors[:, :count].astype(np.float32)
        error = away - mixed @ (mixed.T @ away)
        return math.sqrt(float(np.square(error.reshape(len(away), -1, 3)).sum(-1).max()))

    low, high = 1, len(away)
    while low < high:
        middle = (low + high) // 2
        if far(middle) <= close:
            high = middle
        else:
            low = middle + 1
    if low + 1 >= len(away):
        return np.eye(len(away)), away
    mixture = vectors[:, :low]
    shapes = mixture.T.astype(np.float32) @ away
    # Blender holds weights to 0 to 1: each is stretched to that, and what they are at 0 is a shape
    # of its own, which is always there
    least, most = mixture.min(axis=0), mixture.max(axis=0)
    spread = np.maximum(most - least, 1e-12)
    always = least.astype(np.float32) @ shapes
    weights = np.column_stack([np.ones(len(away)), (mixture - least) / spread])
    return weights, np.vstack([always, shapes * spread[:, None].astype(np.float32)])
