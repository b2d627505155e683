"""Poses of training and evaluation, by motion subject: of clips, or of the shipped prior."""

from __future__ import annotations

from pathlib import Path

from posetx.bodies.body import BodyModel
from posetx.data.poses import PoseBank

#: poses drawn from the prior where there are no clips
PRIOR_POSES = 16384


def pose_banks(body: BodyModel, mocap: Path | None, seed: int = 0) -> dict[str, PoseBank]:
    """Training and unseen subjects' poses: from a folder of clips, or from the shipped prior."""
    return {split: _bank(split, body, mocap, seed) for split in ("train", "unseen")}


def training_poses(body: BodyModel, mocap: Path | None, seed: int = 0) -> PoseBank:
    """What `posetx train` draws from: the training subjects' half of :func:`pose_banks`."""
    return _bank("train", body, mocap, seed)


def unseen_poses(body: BodyModel, mocap: Path | None, seed: int = 0) -> PoseBank:
    """What no training draws from: the unseen subjects' half of :func:`pose_banks`."""
    return _bank("unseen", body, mocap, seed)


def _bank(split: str, body: BodyModel, mocap: Path | None, seed: int) -> PoseBank:
    if mocap is not None:
        return PoseBank.from_bvh(mocap, body, split)
    from posetx.data.prior import draw_prior

    return draw_prior(split, PRIOR_POSES, seed)
