"""The skeleton that moves a figure in a file which Blender reads."""

from __future__ import annotations

import numpy as np

from posetx.files.codecs.blender import Look
from posetx.files.targets.rig_rules import below_roots, roots_of, too_many, unfit
from posetx.geometry.rig import Rig

#: The number of an armature among the nodes of a rig, whose bones have their own in the file.
ARMATURE = -1
#: The volume that a frame's axes span, as a share of their length's cube, of one that is flat.
FLAT = 1e-9


def rig_of(look: Look, figure: np.ndarray) -> tuple[Rig | None, str]:
    """The bones that move a figure; or None and why not, "" in a file without bones.

    Parameters
    ----------
    look : what Blender said of the file
    figure : (n,) bool
        which vertices are the figure's
    """
    if not look.bones:
        return None, ""
    ends = np.cumsum([count for _, count in look.parts])
    of_part = np.searchsorted(ends, np.arange(len(figure)), side="right")
    part_skeleton = np.array(look.skeletons)
    used = np.unique(part_skeleton[np.unique(of_part[figure])])
    entries = np.isin(look.bone_armature[look.bone], used[used >= 0])
    vertex, bone = look.vertex[entries], look.bone[entries]
    if not len(vertex):
        return None, "its bones move nothing of the figure"
    needed = np.zeros(len(look.bones), dtype=bool)
    needed[bone] = True
    for row in range(len(needed) - 1, -1, -1):
        if needed[row] and look.bone_parent[row] >= 0:
            needed[look.bone_parent[row]] = True
    armatures = np.unique(look.bone_armature[needed])
    kept = np.flatnonzero(needed)
    if why := too_many(len(armatures) + len(kept)):
        return None, why
    row_of = np.full(len(look.bones), -1)
    row_of[kept] = len(armatures) + np.arange(len(kept))
    above = np.searchsorted(armatures, look.bone_armature[kept])
    hangs = look.bone_parent[kept] >= 0
    above[hangs] = row_of[look.bone_parent[kept][hangs]]
    parents = np.concatenate([np.full(len(armatures), -1), above])
    worlds = np.concatenate([look.armature_frames[armatures], look.bone_frames[kept]])
    linear = worlds[:, :3, :3]
    flat = np.abs(np.linalg.det(linear)) <= FLAT * np.abs(linear).max(axis=(1, 2)) ** 3
    if not np.isfinite(worlds).all() or flat.any():
        return None, "a node of its skeleton is scaled to nothing"
    local = worlds.copy()
    local[parents >= 0] = np.linalg.solve(worlds[parents[parents >= 0]], worlds[parents >= 0])
    joint = np.arange(len(parents)) >= len(armatures)
    row = row_of[bone]
    roots = roots_of(parents, joint, np.isin(np.arange(len(parents)), row))
    total = np.bincount(vertex, look.weight[entries], len(figure))
    into = np.linalg.inv(worlds)[row]
    rig = Rig(
        np.concatenate([np.full(len(armatures), ARMATURE), kept]),
        parents,
        local,
        joint & below_roots(parents, roots),
        roots,
        len(figure),
        vertex,
        row,
        look.weight[entries] / total[vertex],
        np.einsum("eij,ej->ei", into[:, :3, :3], look.points[vertex]) + into[:, :3, 3],
    )
    return (None, why) if (why := unfit(rig, figure)) else (rig, "")
