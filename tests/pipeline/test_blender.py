"""A BVH in Blender: the same joints. Blender is a Python package of its own, `bpy`.

It is not among what posetx needs: POSETX_BPY_PYTHON names a Python that has it.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import posetx
from posetx.bodies.skeleton import BVH_WRITTEN
from posetx.geometry.rotations import matrix_from_yaw
from posetx.pipeline.pose import Pose, write_poses

EXAMPLES = Path(__file__).parents[2] / "examples"
PYTHON = os.environ.get("POSETX_BPY_PYTHON", "")
#: what the bar asks for: metres
BAR = 1e-3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="POSETX_BPY_PYTHON names no Python with bpy"),
]

IMPORT = """
import json, sys
import bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_anim.bvh(filepath=sys.argv[1])
figure = bpy.context.object
first, last = figure.animation_data.action.frame_range
frames = []
for frame in range(int(first), int(last) + 1):
    bpy.context.scene.frame_set(frame)
    heads = {bone.name: list(figure.matrix_world @ bone.head) for bone in figure.pose.bones}
    frames.append(heads)
open(sys.argv[2], "w").write(json.dumps(frames))
"""


def in_blender(path: Path) -> np.ndarray:
    """Joints (F, 19, 3) of a BVH that Blender imports with its usual settings."""
    answer = path.with_suffix(".blender.json")
    done = subprocess.run(
        [PYTHON, "-c", IMPORT, path, answer], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    frames = json.loads(answer.read_text())
    return np.array([[frame[name] for name in BVH_WRITTEN] for frame in frames])


@pytest.fixture(scope="module")
def pose() -> Pose:
    return posetx.load(refine=False).read(EXAMPLES / "scan.ply").pose


def test_a_scan_with_z_up_has_its_pose_where_it_is(pose: Pose, tmp_path: Path) -> None:
    pose.save(tmp_path / "a.bvh")
    found = in_blender(tmp_path / "a.bvh")
    assert pose.up == "z" and pose.unit.name == "mm"
    assert np.abs(found[0] - pose.joints).max() / pose.unit.metre < BAR


def test_frames_turn_and_move(pose: Pose, tmp_path: Path) -> None:
    """About the scan's z, in steps of 50 degrees, in metres."""
    small = replace(pose, joints=pose.joints / 1000, scale=pose.scale / 1000)
    poses = []
    for step in range(8):
        y_up = matrix_from_yaw(torch.tensor(step * 0.87)).double().numpy()
        turn = pose.turn.T @ y_up @ pose.turn
        moved = small.joints @ turn.T + [step, 0, 0.1 * step]
        poses.append(replace(small, joints=moved, rotations=turn @ small.rotations))
    write_poses(tmp_path / "a.bvh", poses)
    found = in_blender(tmp_path / "a.bvh")
    assert found.shape == (8, 19, 3)
    assert np.abs(found - np.stack([p.joints for p in poses])).max() < BAR


def test_a_scan_with_y_up_stands_upright(pose: Pose, tmp_path: Path) -> None:
    y_up = pose.joints @ pose.turn.T
    turned = replace(pose, up="y", joints=y_up, rotations=pose.turn @ pose.rotations)
    turned.save(tmp_path / "a.bvh")
    found = in_blender(tmp_path / "a.bvh")
    assert np.abs(found[0] - pose.joints).max() / pose.unit.metre < BAR
