"""A skeleton of nodes and the skin that hangs on it, by linear blend skinning, as files have them.

It is whatever a file holds: any number of nodes with any scale, several roots, joints without a
skin, parts that hang on a joint as a whole. What a pose may change of it is what animation
programs change: turns of joints, and where the skeleton as a whole stands. No bone gets longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from posetx.arrays import Floats, Indices, Mask


@dataclass(frozen=True)
class RigPose:
    """What a pose changes of a rig's k nodes.

    Attributes
    ----------
    turns : (k, 3, 3)
        rotations in the parent's frame, applied after the node's own rotation and scale
    shifts : (k, 3)
        added to the node's own translation, in the parent's frame
    """

    turns: Floats
    shifts: Floats


@dataclass(frozen=True)
class Rig:
    """Nodes, parents first, and which of n vertices they move by how much.

    Attributes
    ----------
    numbers : (k,)
        the nodes' numbers in their file
    parents : (k,)
        rows; -1 of those that stand in the world
    local : (k, 4, 4)
        each node's frame in its parent's: rotation, scale and shift, or any affine map
    joints, roots : (k,) bool
        which of them a pose may turn; which of these it may shift too
    count : int
        n
    vertex, node : (e,)
        which vertex follows which node, a row for each pair
    weight : (e,)
        how much; those of a vertex have the sum 1
    place : (e, 3)
        where the vertex is in the node's frame
    """

    numbers: Indices
    parents: Indices
    local: Floats
    joints: Mask
    roots: Mask
    count: int
    vertex: Indices
    node: Indices
    weight: Floats
    place: Floats

    @cached_property
    def moved(self) -> Mask:
        """(n,) which vertices follow any node."""
        moved = np.zeros(self.count, dtype=bool)
        moved[self.vertex] = True
        return moved

    @cached_property
    def below(self) -> Mask:
        """(k, k) whether a node, the row, is another one, the column, or hangs on it."""
        below = np.eye(len(self.parents), dtype=bool)
        for row, parent in enumerate(self.parents):
            if parent >= 0:
                below[row] |= below[parent]
        return below

    @property
    def still(self) -> RigPose:
        """The pose that changes nothing."""
        k = len(self.parents)
        return RigPose(np.tile(np.eye(3), (k, 1, 1)), np.zeros((k, 3)))

    def world(self, row: int, pose: RigPose, worlds: Floats) -> Floats:
        """(4, 4) a node's frame in the world, where ``worlds`` (k, 4, 4) has its parent's."""
        own = self.local[row].copy()
        own[:3, :3] = pose.turns[row] @ own[:3, :3]
        own[:3, 3] += pose.shifts[row]
        parent = self.parents[row]
        return own if parent < 0 else np.asarray(worlds[parent] @ own)

    def worlds(self, pose: RigPose) -> Floats:
        """(k, 4, 4) all nodes' frames in the world."""
        worlds = np.empty_like(self.local)
        for row in range(len(worlds)):
            worlds[row] = self.world(row, pose, worlds)
        return worlds

    def above(self, row: int, worlds: Floats) -> Floats:
        """(3, 3) the linear part of a node's parent's frame in the world."""
        parent = self.parents[row]
        return np.eye(3) if parent < 0 else np.asarray(worlds[parent, :3, :3])

    def carried(self, worlds: Floats) -> Floats:
        """(e, 3) where each node alone would take each of its vertices."""
        maps = worlds[self.node]
        return np.asarray(np.einsum("eij,ej->ei", maps[:, :3, :3], self.place) + maps[:, :3, 3])

    def skinned(self, worlds: Floats) -> Floats:
        """(n, 3) the vertices, by linear blend skinning; 0 where a vertex follows no node."""
        shares = self.weight[:, None] * self.carried(worlds)
        sums = [np.bincount(self.vertex, shares[:, i], self.count) for i in range(3)]
        return np.stack(sums, axis=1)
