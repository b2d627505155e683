"""The add-on for Blender of `examples/blender`, in Blender without a window.

Blender is the `bpy` of PyPI in a Python of its own, which ``POSETX_BPY_PYTHON`` names.
"""

from __future__ import annotations

import json
import stat
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

import posetx
from examples.make.rigged import Convention, write_skinned
from posetx.bodies.body import BodyModel
from tests.files.blender_made import PYTHON, blender
from tests.pipeline.test_own_skeleton import HOW, of_body, scan  # noqa: F401, a fixture

ROOT = Path(__file__).parents[2]
ADDON = ROOT / "examples" / "blender" / "posetx_blender"

needs_blender = pytest.mark.skipif(not PYTHON, reason="POSETX_BPY_PYTHON names no Python with bpy")

#: The add-on registered as Blender does it, a character in the scene; then what a test does.
BEGIN = """
import json, os, sys
import bpy

folder, addon, glb, answer = sys.argv[1:5]
sys.path.insert(0, os.path.dirname(addon))
bpy.ops.wm.read_factory_settings(use_empty=True)
import posetx_blender
posetx_blender.register()
bpy.ops.import_scene.gltf(filepath=glb, disable_bone_shape=True)
rig = next(o for o in bpy.data.objects if o.pose)
rig.animation_data_clear()
part = next(o for o in bpy.data.objects if o.type == "MESH")

def places():
    graph = bpy.context.evaluated_depsgraph_get()
    shown = part.evaluated_get(graph)
    return [list(shown.matrix_world @ v.co) for v in shown.to_mesh().vertices]

def run(command, active, **more):
    bpy.context.view_layer.objects.active = active
    try:
        return list(bpy.ops.posetx.transfer(filepath=folder + "/scan.npy", command=command, **more))
    except RuntimeError as error:
        return str(error)

def tell(told):
    with open(answer, "w") as stream:
        stream.write(json.dumps(told))

before = len(bpy.data.objects)
"""
ARMATURE = """
found = run(folder + "/posetx", part, refine=False, keyframe=True)
told = {
    "found": found,
    "places": places(),
    "keys": len(rig.animation_data.action.fcurves),
    "more": len(bpy.data.objects) - before,
}
tell(told)
"""
MESH = """
part.modifiers.clear()
part.parent = None
matrix = part.matrix_world.copy()
bpy.data.objects.remove(rig)
part.scale = [2 * x for x in part.scale]
bpy.context.view_layer.update()
found = run(folder + "/posetx", part, refine=False)
keys = [k.name for k in part.data.shape_keys.key_blocks]
tell({"found": found, "places": places(), "keys": keys})
"""
TROUBLE = """
import time
told = {
    "missing": run("/no/such/posetx", rig),
    "failing": run(folder + "/failing", rig),
    "nothing": run(folder + "/failing", None),
}
begin = time.monotonic()
bpy.context.view_layer.objects.active = rig
job = posetx_blender.Job(folder + "/sleeping", folder + "/scan.npy", rig)
told["running"] = job.running()
told["seconds"] = time.monotonic() - begin
place = job.folder.name
told["there"] = os.path.isdir(place)
job.end()
told["stopped"] = not job.running() and not os.path.exists(place)
tell(told)
"""


def command(path: Path, code: str) -> None:
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(code)}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def in_blender(script: str, folder: Path, how: Convention = HOW) -> dict:
    """What a script of the add-on answers; the folder has the scan and the commands."""
    write_skinned(folder / "hero.glb", of_body(), how)
    command(
        folder / "posetx",
        f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from posetx.__main__ import main
        sys.exit(main())
        """,
    )
    answer = folder / "answer.json"
    blender(BEGIN + script, folder, ADDON, folder / "hero.glb", answer)
    found: dict = json.loads(answer.read_text())
    return found


@pytest.mark.slow
@needs_blender
def test_an_armature_takes_the_pose(scan, tmp_path: Path) -> None:  # noqa: F811
    """As `posetx transfer` gives it to the file, on the scene's own bones, keyed."""
    np.save(tmp_path / "scan.npy", scan)
    found = in_blender(ARMATURE, tmp_path)
    assert found["found"] == ["FINISHED"] and found["more"] == 0 and found["keys"] > 100
    poser = posetx.load(refine=False)
    result = poser.give(poser.read(scan), poser.prepare(tmp_path / "hero.glb"))
    meant = result.vertices[:, [0, 2, 1]] * [1, -1, 1]
    size = np.ptp(meant, axis=0).max()
    assert cKDTree(np.array(found["places"])).query(meant)[0].max() < 1e-3 * size


@pytest.mark.slow
@needs_blender
def test_a_mesh_gets_a_shape_key(scan, tmp_path: Path) -> None:  # noqa: F811
    np.save(tmp_path / "scan.npy", scan)
    found = in_blender(MESH, tmp_path, Convention("plain"))
    assert found["found"] == ["FINISHED"] and found["keys"] == ["Basis", "posetx"]
    places = np.array(found["places"])
    rest = 2 * BodyModel.load().template.numpy()[:, [0, 2, 1]] * [1, -1, 1]
    poser = posetx.load(refine=False)
    result = poser.give(poser.read(scan), poser.prepare((rest, BodyModel.load().faces.numpy())))
    size = np.ptp(result.vertices, axis=0).max()
    assert np.abs(places - result.vertices).max() < 5e-3 * size
    assert np.abs(places - rest).max() > 0.1 * size


@pytest.mark.slow
@needs_blender
def test_trouble_is_a_report_and_leaves_nothing(scan, tmp_path: Path) -> None:  # noqa: F811
    np.save(tmp_path / "scan.npy", scan)
    command(tmp_path / "failing", "import sys; sys.exit('error: no body in it')")
    command(tmp_path / "sleeping", "import time; time.sleep(100)")
    told = in_blender(TROUBLE, tmp_path)
    assert "there is no command '/no/such/posetx'; set its path" in told["missing"]
    assert "error: no body in it" in told["failing"]
    assert "make a mesh or an armature the active object" in told["nothing"]
    assert told["running"] and told["there"] and told["stopped"] and told["seconds"] < 30


def test_it_can_be_installed() -> None:
    """What Blender asks of an extension's manifest; the folder's files are all that a zip needs."""
    tomllib = pytest.importorskip("tomllib")  # of Python 3.11
    manifest = tomllib.loads((ADDON / "blender_manifest.toml").read_text())
    wanted = {"schema_version", "id", "version", "name", "tagline", "maintainer", "type"}
    assert wanted | {"blender_version_min", "license"} <= manifest.keys()
    assert manifest["type"] == "add-on" and manifest["license"] == ["SPDX:Apache-2.0"]
    assert len(manifest["tagline"]) <= 64 and manifest["tagline"][-1].isalnum()
    assert manifest["id"] == ADDON.name
