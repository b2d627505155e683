"""A rig's pose in which its skin comes nearest to a wanted surface of the same vertices.

First down the hierarchy: each joint gets the turn that takes the vertices it moves to where they
are wanted, by weighted Procrustes. That knows nothing of how weights blend, of the place that
the parents leave the joint at, and of joints that share their vertices; Gauss-Newton steps
(Levenberg-Marquardt) on all turns and the roots' places then make the distance of the whole skin
least.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.transform import Rotation

from posetx.arrays import Floats, Indices, Mask
from posetx.geometry.polar import nearest_rotations
from posetx.geometry.rig import Rig, RigPose

#: what a joint's turn by one radian costs, in squared shares of the size, the whole skin counting
#: 1: twist bones share a turn between them, and joints of a few vertices, as of fingers, stay as
#: they are where nothing tells
STIFF = 1e-7
#: vertices that the steps look at, as a joint is told by few; of more every so many is taken
MOST = 6000
#: joints that move a smaller share of the skin, as of faces, stay as they are in their parents; and
#: so many turn at most, those that move most
LEAST, JOINTS = 2e-4, 300
#: steps at most, and the gain of one, as a share of the distance squared, that ends them
STEPS, GAIN = 30, 1e-4
#: damping at the beginning, when a step is taken, when it is not, and where it is given up; as a
#: share of the curvature
DAMPING, EASED, RAISED, HARDEST = 1e-4, 0.2, 10.0, 1e6


def fit_rig(rig: Rig, wanted: Floats, weight: Floats, begin: RigPose | None = None) -> RigPose:
    """The pose of least distance.

    Parameters
    ----------
    rig : its nodes' frames can be undone, those of joints and what is above them
    wanted : (n, 3)
        where its vertices should be; of those that follow no node nothing is asked
    weight : (n,)
        how much each counts, such as its area; some count more than nothing
    begin : a pose near by, such as that of the frame before; looked for without
    """
    size = float(np.ptp(wanted[rig.moved], axis=0).max())
    counts = np.where(rig.moved, weight, 0.0)
    aim = _thinned(_Aim(rig, wanted, counts / counts.sum(), max(size, 1e-300)))
    aim = replace(aim, rig=replace(aim.rig, joints=_told(aim)))
    start = RigPose(begin.turns.copy(), begin.shifts.copy()) if begin else _walked(aim)
    return _refined(aim, start)


@dataclass(frozen=True)
class _Aim:
    """What is wanted of a rig: places (n, 3), each vertex' share (n,) of 1, and the size."""

    rig: Rig
    wanted: Floats
    share: Floats
    size: float


def _thinned(aim: _Aim) -> _Aim:
    """With at most MOST vertices, of each node its part of them."""
    rig = aim.rig
    counted = aim.share[rig.vertex] > 0
    strongest = np.zeros(rig.count)
    np.maximum.at(strongest, rig.vertex, rig.weight)
    leads = counted & (rig.weight == strongest[rig.vertex])
    order = np.argsort(rig.node[leads], kind="stable")
    vertices = np.array(list(dict.fromkeys(rig.vertex[leads][order].tolist())))
    kept = np.sort(vertices[:: -(-len(vertices) // MOST)])
    rows = np.full(rig.count, -1)
    rows[kept] = np.arange(len(kept))
    pairs = rows[rig.vertex] >= 0
    few = replace(
        rig,
        count=len(kept),
        vertex=rows[rig.vertex[pairs]],
        node=rig.node[pairs],
        weight=rig.weight[pairs],
        place=rig.place[pairs],
    )
    share = aim.share[kept]
    return _Aim(few, aim.wanted[kept], share / share.sum(), aim.size)


def _told(aim: _Aim) -> Mask:
    """(k,) the joints that move enough to be told by it; roots all do."""
    rig = aim.rig
    own = np.bincount(rig.node, aim.share[rig.vertex] * rig.weight, len(rig.parents))
    held = own @ rig.below
    enough = max(LEAST, float(np.sort(held[rig.joints])[-JOINTS:][0]))
    return rig.roots | rig.joints & (held >= enough)


def _walked(aim: _Aim) -> RigPose:
    """Each joint turned as the vertices it moves ask for, parents first."""
    rig = aim.rig
    before = rig.worlds(rig.still)
    shown = rig.skinned(before)
    pull = aim.share[rig.vertex] * rig.weight
    k = len(rig.parents)
    # A root without a skin of its own, as one above hips and skirt, stands for all that it moves.
    own = csr_array((pull, (rig.node, rig.vertex)), shape=(k, rig.count)).toarray()
    bare = rig.roots & (own.sum(axis=1) <= 0)
    own[bare] = rig.below[:, bare].T @ own
    mass = own.sum(axis=1)
    safe = np.where(mass > 0, mass, 1.0)[:, None]
    here, there = own @ shown / safe, own @ aim.wanted / safe
    outer = np.einsum("ni,nj->nij", aim.wanted, shown).reshape(-1, 9)
    spread = (own @ outer).reshape(k, 3, 3) - mass[:, None, None] * (
        there[:, :, None] * here[:, None, :]
    )
    pose = rig.still
    worlds = np.empty_like(before)
    for row in range(k):
        worlds[row] = rig.world(row, pose, worlds)
        if not (rig.joints[row] and mass[row] > 0):
            continue
        inherited = nearest_rotations((worlds[row, :3, :3] @ _undone(before[row]))[None])[0]
        turn = nearest_rotations((spread[row] / aim.size**2 + STIFF * inherited)[None])[0]
        above = rig.above(row, worlds)
        asked = np.linalg.solve(above, turn @ before[row, :3, :3]) @ _undone(rig.local[row])
        pose.turns[row] = nearest_rotations(asked[None])[0]
        if rig.roots[row]:
            at = there[row] + turn @ (before[row, :3, 3] - here[row])
            pose.shifts[row] = np.linalg.solve(above, at - worlds[row, :3, 3])
        worlds[row] = rig.world(row, pose, worlds)
    return pose


def _undone(frame: Floats) -> Floats:
    """(3, 3) the inverse of a frame's (4, 4) linear part."""
    return np.asarray(np.linalg.inv(frame[:3, :3]))


def _refined(aim: _Aim, pose: RigPose) -> RigPose:
    """Levenberg-Marquardt from a pose on."""
    rig = aim.rig
    joints, roots = np.flatnonzero(rig.joints), np.flatnonzero(rig.roots)
    damping = DAMPING
    cost = _cost(aim, pose)
    for _ in range(STEPS):
        normal, right = _equations(aim, pose, joints, roots)
        before = cost
        while damping < HARDEST:
            damped = normal + damping * np.diag(np.diag(normal))
            step = np.asarray(np.linalg.lstsq(damped, -right, rcond=None)[0], dtype=np.float64)
            tried = _stepped(pose, step, joints, roots, aim.size)
            found = _cost(aim, tried)
            if found < cost:
                pose, cost = tried, found
                damping *= EASED
                break
            damping *= RAISED
        if before - cost <= GAIN * before:
            break
    return pose


def _cost(aim: _Aim, pose: RigPose) -> float:
    """The mean squared distance of the skin, and what the turns cost."""
    off = (aim.rig.skinned(aim.rig.worlds(pose)) - aim.wanted) / aim.size
    angles = _vectors(pose.turns[aim.rig.joints])
    return float(aim.share @ (off**2).sum(axis=1) + STIFF * (angles**2).sum())


def _vectors(turns: Floats) -> Floats:
    """(k, 3) axes times angles of rotations (k, 3, 3)."""
    return np.asarray(Rotation.from_matrix(turns).as_rotvec())


def _stepped(pose: RigPose, step: Floats, joints: Indices, roots: Indices, size: float) -> RigPose:
    """A pose with all joints turned and all roots shifted further."""
    by = 3 * len(joints)
    turns, shifts = pose.turns.copy(), pose.shifts.copy()
    further = Rotation.from_rotvec(step[:by].reshape(-1, 3)).as_matrix()
    # Kept a rotation to the last bit, however many steps there are.
    turns[joints] = nearest_rotations(further @ turns[joints])
    shifts[roots] += size * step[by:].reshape(-1, 3)
    return RigPose(turns, shifts)


def _equations(aim: _Aim, pose: RigPose, joints: Indices, roots: Indices) -> tuple[Floats, Floats]:
    """The normal equations' matrix (u, u) and gradient (u,): three a joint, three a root.

    A joint's turn by w in its parent's frame P moves what hangs on it, z from the joint in that
    frame, by P (w x z).
    """
    rig = aim.rig
    worlds = rig.worlds(pose)
    off = (rig.skinned(worlds) - aim.wanted) / aim.size
    share = np.sqrt(aim.share)
    # For each vertex and joint: the weight that hangs on the joint, and its places' mean times it.
    hanging = rig.below[:, joints].astype(np.float64)
    carried = rig.carried(worlds)
    pairs = rig.node, rig.vertex
    shape = len(rig.parents), rig.count
    held = csr_array((rig.weight, pairs), shape=shape).T @ hanging  # (n, j)
    arms = np.stack(
        [
            csr_array((rig.weight * carried[:, i], pairs), shape=shape).T @ hanging
            - held * worlds[joints, i, 3]
            for i in range(3)
        ],
        axis=-1,
    )  # (n, j, 3), in the world
    arms *= share[:, None, None] / aim.size
    above = np.stack([rig.above(row, worlds) for row in joints])
    z = np.einsum("jab,njb->nja", np.linalg.inv(above), arms)
    columns = [
        np.einsum("jab,njb->anj", above, np.cross(axis, z)) for axis in np.eye(3)
    ]  # of each axis (3, n, j)
    turned = np.stack(columns, axis=-1).reshape(3 * rig.count, -1)
    place = {int(row): i for i, row in enumerate(joints)}
    shifted = [
        np.einsum("ab,n->anb", above[place[int(row)]], share * held[:, place[int(row)]])
        for row in roots
    ]
    jacobian = np.concatenate([turned, *(s.reshape(3 * rig.count, 3) for s in shifted)], axis=1)
    residual = (share[:, None] * off).T.ravel()
    normal, right = jacobian.T @ jacobian, jacobian.T @ residual
    bent = np.arange(3 * len(joints))
    normal[bent, bent] += STIFF
    right[bent] += STIFF * _vectors(pose.turns[joints]).ravel()
    return normal, right
