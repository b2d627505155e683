"""A rig in a wanted pose: exact where its skin can be there, near where it cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posetx.geometry.rig import Rig, RigPose
from posetx.geometry.rig_fit import fit_rig

#: joints of each arm of a star, vertices around each joint
LONG, ROUND = 3, 40


def star(arms: int = 4, scales: np.ndarray | None = None, seed: int = 0) -> Rig:
    """Chains of joints from one root, with vertices around each that two joints share.

    `scales` (3,) of the node above the root, under which nothing is at right angles any more.
    """
    random = np.random.default_rng(seed)
    parents, local = [-1, 0], [np.eye(4), np.eye(4)]
    local[0][:3, :3] = np.diag(np.ones(3) if scales is None else scales)
    for _ in range(arms):
        above = 1
        for _ in range(LONG):
            frame = np.eye(4)
            frame[:3, :3] = Rotation.random(random_state=random.integers(99)).as_matrix()
            frame[:3, 3] = 0.3 * random.normal(size=3) + [0.1, 0.4, 0]
            parents.append(above)
            local.append(frame)
            above = len(parents) - 1
    k = len(parents)
    joints = np.arange(k) > 0
    roots = np.arange(k) == 1
    of = np.repeat(np.arange(1, k), ROUND)
    shared = random.random(len(of)) * 0.5
    count = len(of)
    empty = np.zeros(0)
    rig = Rig(
        np.arange(k), np.array(parents), np.array(local), joints, roots, count,
        np.tile(np.arange(count), 2), np.concatenate([of, np.maximum(np.array(parents)[of], 1)]),
        np.concatenate([1 - shared, shared]), empty,
    )  # fmt: skip
    worlds = rig.worlds(rig.still)
    shown = worlds[of, :3, 3] + 0.15 * random.normal(size=(count, 3))
    back = np.linalg.inv(worlds)[rig.node]
    place = np.einsum("eij,ej->ei", back[:, :3, :3], shown[rig.vertex]) + back[:, :3, 3]
    return replace(rig, place=place)


def bent(rig: Rig, by: float, seed: int = 1) -> RigPose:
    """Every joint turned, and the roots shifted."""
    random = np.random.default_rng(seed)
    turns, shifts = rig.still.turns, rig.still.shifts
    which = np.flatnonzero(rig.joints)
    turns[which] = Rotation.from_rotvec(by * random.uniform(-1, 1, (len(which), 3))).as_matrix()
    shifts[rig.roots] = random.normal(size=(int(rig.roots.sum()), 3))
    return RigPose(turns, shifts)


def test_a_still_rig_shows_what_it_was_made_of() -> None:
    rig = star()
    shown = rig.skinned(rig.worlds(rig.still))
    again = rig.skinned(rig.worlds(fit_rig(rig, shown, np.ones(rig.count))))
    np.testing.assert_allclose(again, shown, atol=1e-5)


@pytest.mark.parametrize("scales", [None, [0.01, 0.01, 0.01], [-1, 1, 1], [1, 0.6, 1.5]])
@pytest.mark.parametrize("by", [0.3, 1.0])
def test_a_pose_that_the_skin_can_have_is_found(scales, by: float) -> None:
    rig = star(scales=scales and np.array(scales))
    wanted = rig.skinned(rig.worlds(bent(rig, by)))
    found = fit_rig(rig, wanted, np.ones(rig.count))
    size = np.ptp(wanted, axis=0).max()
    off = np.linalg.norm(rig.skinned(rig.worlds(found)) - wanted, axis=1) / size
    assert off.mean() < 2e-3
    turned = np.linalg.det(found.turns)
    np.testing.assert_allclose(turned, 1.0)
    np.testing.assert_allclose(found.turns @ found.turns.transpose(0, 2, 1), rig.still.turns,
                               atol=1e-12)  # fmt: skip
    assert not found.shifts[~rig.roots].any(), "no bone is longer or shorter"
    assert (found.turns[~rig.joints] == np.eye(3)).all()


def test_roots_that_do_not_hang_together_go_each_their_way() -> None:
    one, other = star(), star(seed=5)
    k, n = len(one.parents), one.count
    both = Rig(
        np.arange(2 * k),
        np.concatenate([one.parents, np.where(other.parents < 0, -1, other.parents + k)]),
        *(np.concatenate([getattr(one, key), getattr(other, key)])
          for key in ("local", "joints", "roots")),
        2 * n,
        *(np.concatenate([getattr(one, key), getattr(other, key) + by])
          for key, by in (("vertex", n), ("node", k), ("weight", 0), ("place", 0))),
    )  # fmt: skip
    wanted = both.skinned(both.worlds(bent(both, 0.5)))
    wanted[n:] += [3, 0, 0]
    off = both.skinned(both.worlds(fit_rig(both, wanted, np.ones(2 * n)))) - wanted
    assert np.abs(off).mean() < 0.01


def test_joints_that_nothing_tells_of_stay_as_they_are() -> None:
    """A leaf without vertices, and one whose vertices count nothing."""
    rig = star()
    last = len(rig.parents) - 1
    pairs = (rig.node != last) | (rig.weight <= 0)
    bare = replace(rig, **{key: getattr(rig, key)[pairs]
                           for key in ("vertex", "node", "weight", "place")})  # fmt: skip
    wanted = bare.skinned(bare.worlds(bent(rig, 0.5)))
    found = fit_rig(bare, wanted, np.ones(rig.count))
    np.testing.assert_allclose(found.turns[last], np.eye(3), atol=1e-9)


def test_far_more_vertices_than_are_looked_at_give_the_same_pose(monkeypatch) -> None:
    rig = star()
    wanted = rig.skinned(rig.worlds(bent(rig, 0.8)))
    wanted += 0.01 * np.random.default_rng(3).normal(size=wanted.shape)
    every = fit_rig(rig, wanted, np.ones(rig.count))
    monkeypatch.setattr("posetx.geometry.rig_fit.MOST", rig.count // 3)
    few = fit_rig(rig, wanted, np.ones(rig.count))
    shown = [rig.skinned(rig.worlds(pose)) for pose in (every, few)]
    assert 0 < np.linalg.norm(shown[0] - shown[1], axis=1).mean() < 0.01
