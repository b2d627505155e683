"""An adversarial scan of a scan, and what it does to a transfer: before, attack, after.

The whole pipeline runs twice, on the scan and on the adversarial one, with cleaning,
orientation and fits: what harms the network on its sample need not harm the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posetx.arrays import Floats, Indices
from posetx.attacks.budget import NORMS, Budget
from posetx.attacks.scan import SampleAttack, attack_sample, moved_along, victim_of
from posetx.attacks.settings import AttackSettings
from posetx.attacks.victim import Victim, turned
from posetx.bodies.body import BodyModel
from posetx.bodies.metrics import (
    half_head,
    joint_metrics,
    joint_regressor,
    position_metrics,
)
from posetx.cleaning.measured import part
from posetx.errors import UsageError
from posetx.files.scans import Scan
from posetx.files.targets import Target
from posetx.geometry.frames import normalise_pose
from posetx.geometry.mesh import area_centroid
from posetx.models.checkpoint import load_model
from posetx.models.predictor import IdentityFrame, Predictor, pose_sample
from posetx.pipeline.options import Options
from posetx.pipeline.pipeline import Pipeline
from posetx.pipeline.results import Reading, Transfer
from posetx.pipeline.stages import OnStage, unheard
from posetx.target.ready import ReadyTarget

#: a targeted attack succeeds where it comes at least halfway, which is a quarter of the square
HALFWAY = 0.25


@dataclass
class Wanted:
    """The pose a targeted attack is after: another scan's, or this one's, turned about upright."""

    scan: Scan | None = None
    turn_degrees: float = 0.0


def scan_of_clip(path: Path, frame: int, body: BodyModel) -> Scan:
    """A body in a pose of a BVH clip, as if it had been scanned: what a targeted attack may want.

    Raises PosetxError for a file that is no clip, UsageError for a frame that it has not.
    """
    from posetx.data.bvh import read_bvh

    rotations = read_bvh(path, body.joint_template.cpu().numpy())
    if not -len(rotations) <= frame < len(rotations):
        raise UsageError(f"{path}: has {len(rotations)} frames, and no frame {frame}")
    turned_by = torch.from_numpy(rotations[frame]).to(body.template.device)
    vertices = body.pose(torch.zeros_like(body.bank[:1]), turned_by[None])[0]
    points, faces = vertices.cpu().double().numpy(), body.faces.cpu().numpy()
    return Scan(points, None, None, faces, path)


@dataclass
class Adversarial:
    """An adversarial scan, in the frame of the scan's file, and its harm.

    ``perturbation`` (n,) in metres of an adult, of the points of ``scan``; ``damage`` (V,) of the
    target's vertices, likewise, between the results ``before`` and ``after``.
    """

    scan: Scan
    before: Transfer
    after: Transfer
    perturbation: Floats
    damage: Floats
    report: dict[str, Any]


@dataclass
class _Seen:
    """What the network was shown of a scan in a transfer."""

    body: Indices  # (n,) the scan's points that were taken for the body
    sample: Floats  # (S, 3) in the scan's frame
    rotation: Floats  # (3, 3) to upright
    metre: float  # an adult's, in the scan's unit

    @property
    def upright(self) -> Floats:
        """The sample (S, 3), upright, about its middle, in metres of an adult."""
        turned: Floats = (self.sample - self.sample.mean(0)) @ self.rotation.T
        return turned / self.metre


class Adversary:
    """Attacks scans on their way through a :class:`Pipeline`.

    ``surrogate`` names another model, which the attack is made with: a black box. Raises as
    :func:`load_model`.
    """

    def __init__(self, pipeline: Pipeline, surrogate: str | None = None):
        self.pipeline, self.attacker = pipeline, pipeline.predictor
        self.attacker_card: Mapping[str, Any] = pipeline.card
        if surrogate:
            network, self.attacker_card = load_model(surrogate, pipeline.device)
            self.attacker = Predictor(network, pipeline.device)

    def attack(
        self,
        scan: Scan,
        target: Target,
        settings: AttackSettings,
        options: Options | None = None,
        wanted: Wanted | None = None,
        on_stage: OnStage = unheard,
    ) -> Adversarial:
        """Make the adversarial scan, and pose ``target`` by both.

        Raises as :meth:`Pipeline.transfer`, and ValueError for a norm the method has not.
        """
        o = options or Options()
        o.check()
        on_stage("before")
        ready = self.pipeline.prepare(target, o.target_up, o.target_front, o.refine)

        def result_of(some: Scan) -> Transfer:
            read = self.pipeline.read(some, o.up, o.front, o.clean, o.refine)
            return self.pipeline.give(read, ready, o.heading, o.restore, bake=True)

        before = result_of(scan)
        seen, metre = self._seen(before.reading), self._metre()
        on_stage("attack")
        normal = ready.ready.vertices
        judge = victim = victim_of(self.pipeline.predictor, normal, ready.faces, settings.seed)
        if self.attacker is not self.pipeline.predictor:
            victim = victim_of(self.attacker, normal, ready.faces, settings.seed)
        aim = None if wanted is None else self._aim(judge, seen, wanted, o)
        done = attack_sample(victim, seen.upright, settings, metre, aim, judge)
        moved, kept = _whole(scan, seen, done)
        on_stage("after")
        after = result_of(moved)

        first, second = (
            (v - area_centroid(v, ready.faces)) * metre / ready.frame.unit
            for v in (before.vertices, after.vertices)
        )
        damage = np.linalg.norm(second - first, axis=1)
        perturbation = np.linalg.norm(moved.points - scan.points[kept], axis=1) / seen.metre
        harm = done.harm["attacked"]
        report = {
            "scan": str(scan.path),
            "target": str(target.path),
            "model_sha256": self.pipeline.card.get("sha256"),
            "attacker_sha256": self.attacker_card.get("sha256"),
            **asdict(settings),
            "truth": "the wanted pose" if wanted else "the clean prediction",
            "points_in": len(scan.points),
            "points_out": len(moved.points),
            "points_of_body": len(seen.body),
            "sample": _on_sample(seen, done),
            "success": harm <= HALFWAY * done.harm["clean"] if wanted else harm >= settings.success,
            "perturbation_mm": {
                "mean": float(1000 * perturbation[np.isin(kept, seen.body)].mean()),
                "max": float(1000 * perturbation.max()),
            },
            "transfer": {
                **position_metrics(second, first),
                **self._joints(ready, second, first),
                "confidence_before": before.confidence,
                "confidence_after": after.confidence,
            },
        }
        return Adversarial(moved, before, after, perturbation, damage, report)

    def _seen(self, read: Reading) -> _Seen:
        body = np.unique(read.kept)
        size = self.pipeline.predictor.model.config.pose_points
        sample = pose_sample(read.scan.points[body], size)
        metre = float(normalise_pose(torch.as_tensor(sample - sample.mean(0))[None])[2])
        return _Seen(body, sample, read.orientation.rotation, metre)

    def _aim(self, judge: Victim, seen: _Seen, wanted: Wanted, options: Options) -> torch.Tensor:
        """Where the attacker wants the vertices (1, V, 3), in the identity's frame."""
        if wanted.scan is not None:
            o = options
            seen = self._seen(self.pipeline.read(wanted.scan, o.up, o.front, o.clean, o.refine))
        cloud = torch.as_tensor(seen.upright, dtype=torch.float32, device=judge.predictor.device)
        return turned(judge.predicted(cloud[None]), wanted.turn_degrees)

    def _joints(self, target: ReadyTarget, after: Floats, before: Floats) -> dict[str, float]:
        """MPJPE and JDR of the target's joints, which its skinning weights tell."""
        ready, predictor = target.ready, self.pipeline.predictor
        weights = ready.weights
        if weights is None:  # without fits: the network's own
            estimate = predictor.look_at_identity(ready.sample, ready.sample).estimate
            weights = predictor.part_weights(ready.sample, estimate, ready.vertices)
        shares = weights.astype(np.float64)
        regressor = joint_regressor(shares)
        return joint_metrics(regressor @ after, regressor @ before, half_head(shares, before))

    def _metre(self) -> float:
        """The identity frame's unit (square root of the surface) of a grown body, in metres."""
        body = self.pipeline.body
        vertices = body.template.cpu().double().numpy()
        return IdentityFrame.of(vertices, body.faces.cpu().numpy()).unit


def _whole(scan: Scan, seen: _Seen, done: SampleAttack) -> tuple[Scan, Indices]:
    """The whole scan after the attack, and which of its points (k,) are still there."""
    displacement = (done.moved - seen.upright) @ seen.rotation * seen.metre
    points = scan.points.copy()
    points[seen.body], still = moved_along(points[seen.body], seen.sample, displacement, done.left)
    every = np.arange(len(points))
    if still.all():
        return replace(scan, points=points), every
    left = np.setdiff1d(every, seen.body[~still])
    return part(scan, left), left


def _on_sample(seen: _Seen, done: SampleAttack) -> dict[str, Any]:
    """What the network alone makes of the sample; lengths in mm of an adult, PMD in m²."""
    displacement = torch.as_tensor(done.moved - seen.upright)[None]
    whole = bool(done.left.all())
    return {
        "points": len(done.left),
        "points_left": int(done.left.sum()),
        "displacement_mm": {
            norm: 1000 * float(Budget(norm, 1.0).size(displacement)[0]) for norm in NORMS
        }
        if whole
        else None,
        "pmd": done.harm,
        "pmd_on_the_way": done.trace,
        "queries": done.queries,
    }
