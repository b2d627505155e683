"""Animated GLBs are what others read: Khronos' validator, Blender, three.js in Chromium.

Validator and three.js come from npm. Blender is the `bpy` of PyPI in a Python of its own, which
``POSETX_BPY_PYTHON`` names.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from posetx.files.targets import read_target
from posetx.files.targets.clip_write import write_clip
from tests.files.dressed import EXAMPLE
from tests.files.player import keys, played
from tests.files.test_clips import morph_clip, placed, scene, skeleton_clip
from tests.report.browser import Browser, find_browser

pytestmark = pytest.mark.slow

BLENDER = os.environ.get("POSETX_BPY_PYTHON", "")
#: share of the size that vertices may be off by
CLOSE = 1e-4
VALIDATE = """
const validator = require('gltf-validator'), fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[2])))
  .then((report) => console.log(JSON.stringify(report)));
"""
IMPORT = """
import json, sys
import bpy

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.context.scene.render.fps = 24
bpy.ops.import_scene.gltf(filepath=sys.argv[1])
frame = float(sys.argv[2]) * 24
bpy.context.scene.frame_set(int(frame), subframe=frame - int(frame))
graph = bpy.context.evaluated_depsgraph_get()
found = []
for item in bpy.data.objects:
    if item.type == "MESH" and not item.name.startswith("Icosphere"):  # a bone's shape
        shown = item.evaluated_get(graph)
        for vertex in shown.to_mesh().vertices:
            x, y, z = item.matrix_world @ vertex.co
            found.append([x, z, -y])
open(sys.argv[3], "w").write(json.dumps(found))
"""
THREE = """
import { AnimationMixer, Vector3 } from 'three';
import { GLTFLoader } from 'three/examples/jsm/loaders/GLTFLoader.js';
window.play = async (text, seconds) => {
  const data = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const file = await new GLTFLoader().parseAsync(data, '');
  const mixer = new AnimationMixer(file.scene);
  mixer.clipAction(file.animations[0]).play();
  mixer.setTime(seconds);
  file.scene.updateMatrixWorld(true);
  const found = [], at = new Vector3();
  file.scene.traverse((mesh) => {
    if (!mesh.isMesh) return;
    for (let i = 0; i < mesh.geometry.attributes.position.count; i++) {
      mesh.getVertexPosition(i, at).applyMatrix4(mesh.matrixWorld);
      found.push([at.x, at.y, at.z]);
    }
  });
  return found;
};
document.documentElement.dataset.ready = '1';
"""
KINDS = ["skeleton", "morphs", "placed skeleton", "placed morphs", "example skeleton",
         "example morphs"]  # fmt: skip


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the validator and a page that has three.js in it."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not there")
    folder = tmp_path_factory.mktemp("npm")
    wanted = ["gltf-validator", "three", "esbuild"]
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", *wanted]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    except (subprocess.SubprocessError, OSError):
        pytest.skip("the packages cannot be had from npm")
    (folder / "validate.js").write_text(VALIDATE)
    (folder / "entry.js").write_text(THREE)
    bundle = ["npx", "esbuild", "entry.js", "--bundle", "--format=iife", "--outfile=play.js"]
    subprocess.run(bundle, check=True, capture_output=True, cwd=folder, timeout=300)
    (folder / "play.html").write_text("<!doctype html><script src=play.js></script>")
    return folder


def written(tmp_path: Path, kind: str) -> Path:
    output = tmp_path / "o.glb"
    if kind.startswith("example"):
        target = read_target(EXAMPLE)
    else:
        matrix = placed() if kind.startswith("placed") else None
        (tmp_path / "t.glb").write_bytes(scene(matrix).glb())
        target = read_target(tmp_path / "t.glb")
    half = slice(len(target.vertices) // 2, None)
    if kind.endswith("morphs"):
        write_clip(output, target, morph_clip(target, half))
    else:
        still = np.arange(len(target.vertices)) >= half.start
        write_clip(output, target, skeleton_clip(target, still))
    return output


def same(found: np.ndarray, meant: np.ndarray) -> None:
    size = float(np.ptp(meant, axis=0).max())
    for one, other in ((found, meant), (meant, found)):
        assert cKDTree(one).query(other)[0].max() < CLOSE * size


@pytest.mark.parametrize("kind", KINDS)
def test_every_clip_is_valid(tmp_path: Path, npm: Path, kind: str) -> None:
    command = ["node", str(npm / "validate.js"), str(written(tmp_path, kind))]
    done = subprocess.run(command, check=True, capture_output=True, cwd=npm, timeout=120)
    report: dict[str, Any] = json.loads(done.stdout)
    # a mesh may hang on a node that stands elsewhere, which a skin overrules
    allowed = {"GLB_UNKNOWN_CHUNK_TYPE"}  # which the scene has from the start
    if kind.startswith("placed"):
        allowed.add("NODE_SKINNED_MESH_LOCAL_TRANSFORMS")
    wrong = [m for m in report["issues"]["messages"] if m["severity"] < 2]
    assert {m["code"] for m in wrong} <= allowed and report["issues"]["numErrors"] == 0, wrong
    assert report["info"]["animationCount"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_blender_plays_what_was_meant(tmp_path: Path, kind: str) -> None:
    if not BLENDER:
        pytest.skip("POSETX_BPY_PYTHON names no Python with bpy")
    output, answer = written(tmp_path, kind), tmp_path / "found.json"
    seconds = str(keys(output)[3])
    command = [BLENDER, "-c", IMPORT, str(output), seconds, str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    same(np.array(json.loads(answer.read_text())), played(output, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_three_plays_what_was_meant(tmp_path: Path, npm: Path, kind: str) -> None:
    if not find_browser():
        pytest.skip("no Chromium here")
    output = written(tmp_path, kind)
    text = base64.b64encode(output.read_bytes()).decode()
    with Browser() as browser:
        browser.open(npm / "play.html")
        found = browser.value(f"play({json.dumps(text)}, {keys(output)[3]})")
    same(np.array(found), played(output, 3))
