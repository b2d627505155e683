"""What is written is what others read: Khronos' validator of glTF, and Blender.

The validator comes from npm. Blender is the `bpy` of PyPI in a Python of its own, which
``POSETX_BPY_PYTHON`` names.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from posetx.files.targets import Target, read_target
from tests.files.dressed import EXAMPLE, checks, clothed, converted, dress_of, stored
from tests.files.elsewhere import validated, with_validator
from tests.files.test_textures import bumpy, grey, square, textured_ply

pytestmark = pytest.mark.slow

BLENDER = os.environ.get("POSETX_BPY_PYTHON", "")
LOOK = """
import json, sys
import bpy

bpy.ops.wm.read_factory_settings(use_empty=True)
path = sys.argv[1]
if path.endswith(".glb"):
    bpy.ops.import_scene.gltf(filepath=path)
elif path.endswith(".ply"):
    bpy.ops.wm.ply_import(filepath=path, forward_axis="NEGATIVE_Z", up_axis="Y")
else:
    bpy.ops.wm.obj_import(filepath=path)
found = {"corners": [], "images": {}, "objects": [], "materials": {}}
for item in bpy.data.objects:
    if item.type != "MESH":
        continue
    found["objects"].append(item.name)
    layer = item.data.uv_layers.active
    for loop in item.data.loops:
        x, y, z = item.matrix_world @ item.data.vertices[loop.vertex_index].co
        u, v = layer.data[loop.index].uv if layer else (0.0, 1.0)
        found["corners"].append([x, z, -y, u, 1.0 - v])
for image in bpy.data.images:
    if image.size[0]:
        found["images"][image.name] = list(image.size)
for material in bpy.data.materials:
    linked = []
    for node in material.node_tree.nodes:
        if node.type == "BSDF_PRINCIPLED":
            linked = [x.name for x in node.inputs if x.is_linked]
    found["materials"][material.name] = linked
print("FOUND" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the validator in it."""
    return with_validator(tmp_path_factory.mktemp("validator"))


def written(tmp_path: Path, what: str) -> Path:
    """A GLB of each kind."""
    output = tmp_path / "o.glb"
    if what == "example":
        target = read_target(EXAMPLE)
        target.save(output, target.vertices)
        return output
    if what == "clothed":
        return converted(clothed(tmp_path / "in"), output, shift=1.0)[0].path
    if what == "missing":
        source = clothed(tmp_path / "in")
        (source.parent / "tex" / "lace.png").unlink()
        (source.parent / "tex" / "cloth one.png").write_bytes(b"BMP or not")
        return converted(source, output)[0].path
    if what == "tga":
        source = clothed(tmp_path / "in")
        (source.parent / "tex" / "lace.tga").write_bytes(stored(checks(clear=77), "TGA"))
        library = source.parent / "wardrobe.mtl"
        library.write_text(library.read_text().replace("lace.png", "lace.tga"))
        return converted(source, output)[0].path
    if what == "normals":
        library = "map_Kd c.png\nmap_d d.png\nmap_Bump -bm 0.5 n.png"
        source = square(tmp_path / "in", library, c=checks(), d=grey(), n=bumpy())
        return converted(source, output)[0].path
    if what == "no places":
        source = square(tmp_path / "in", "map_Kd c.png\nnorm n.png", c=checks(), n=bumpy())
        lines = [x for x in source.read_text().splitlines() if not x.startswith("vt")]
        source.write_text(re.sub(r"/\d", "", "\n".join(lines)))
        return converted(source, output)[0].path
    if what == "ply":
        return converted(textured_ply(tmp_path / "in", "ascii", images=2), output)[0].path
    lines = ["v 0 0 0 1 0 0", "v 1 0 0 0 1 0", "v 0 1 0 0 0 1", "v 1 1 0 1 1 1", "vn 0 0 0"]
    lines += {
        "colours": ["f 1//1 2//1 3//1", "f 2 4 3"],
        "flat": ["vt 1e300 nan", "f 1/1 2/1 2/1", "f 2/1 4/1 3/1", "f 1//1 1//1 1//1"],
    }[what]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    return converted(tmp_path / "a.obj", output)[0].path


#: what the validator calls less than a warning, and its warning where a viewer has to find out in
#: which way an image of normals lies; glTF says how
INFORMATION, NO_TANGENTS = 2, {"MESH_PRIMITIVE_GENERATED_TANGENT_SPACE"}
#: those that have textures in the end, and those that have none
TEXTURED = ("example", "clothed", "tga", "normals", "ply")
PLAIN = ("missing", "colours", "flat", "no places")


@pytest.mark.parametrize("what", [*TEXTURED, *PLAIN])
def test_every_glb_is_valid(tmp_path: Path, validator: Path, what: str) -> None:
    glb = written(tmp_path, what)
    report = validated(validator, glb)
    issues = report["issues"]
    said = {message["code"] for message in issues["messages"] if message["severity"] < INFORMATION}
    assert said == (NO_TANGENTS if what == "normals" else set()), issues["messages"]
    assert report["info"]["hasTextures"] == (what in TEXTURED)


def in_blender(path: Path) -> dict[str, Any]:
    """What Blender finds in a file; positions with y up, images' v down."""
    if not BLENDER:
        pytest.skip("POSETX_BPY_PYTHON names no Python with bpy")
    command = [BLENDER, "-c", LOOK, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    line = next(line for line in done.stdout.splitlines() if line.startswith("FOUND"))
    found: dict[str, Any] = json.loads(line[5:])
    return found


def same_corners(found: dict[str, Any], target: Target) -> None:
    """Each of Blender's corners is one of ours, and the other way, in place and in its image."""
    uv = dress_of(target).corner_uv
    assert uv is not None
    mine = np.concatenate([target.vertices[target.faces], uv], axis=-1).reshape(-1, 5)
    size = float(np.ptp(target.vertices, axis=0).max())
    scale = np.array([1 / size] * 3 + [1.0, 1.0])
    its = np.array(found["corners"])
    assert len(its) == len(mine)
    for one, other in ((mine, its), (its, mine)):
        distance, _ = cKDTree(one * scale).query(other * scale)
        assert distance.max() < 1e-4


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_blender_shows_the_example(tmp_path: Path, suffix: str) -> None:
    target = read_target(EXAMPLE)
    target.save(tmp_path / "o.glb", target.vertices + 1.0)
    path = tmp_path / f"o{suffix}"
    if suffix == ".obj":
        converted(tmp_path / "o.glb", path)
    found = in_blender(path)
    same_corners(found, read_target(tmp_path / "o.glb"))
    assert list(found["images"].values()) == [[1024, 1024]]
    assert set(found["materials"]) == {"cloth_and_skin", "eyes", "leather", "brass"}
    for name, linked in found["materials"].items():
        assert ("Base Color" in linked) == (name != "brass"), (name, linked)
    assert {"Body", "eye_left", "hat", "belt", "buckle"} <= set(found["objects"])


def test_blender_shows_what_is_see_through(tmp_path: Path) -> None:
    glb, _ = converted(clothed(tmp_path / "in"), tmp_path / "o.glb")
    found = in_blender(glb.path)
    same_corners(found, glb)
    assert sorted(found["images"].values()) == [[8, 8], [8, 8]]
    assert "Alpha" in found["materials"]["lace"] and "Alpha" not in found["materials"]["red cloth"]


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_blender_has_normals_and_opacity(tmp_path: Path, suffix: str) -> None:
    library = "map_Kd c.png\nmap_d d.png\nnorm n.png"
    source = square(tmp_path / "in", library, c=checks(), d=grey(), n=bumpy())
    made, notes = converted(source, tmp_path / "o.glb")
    assert notes == []
    if suffix == ".obj":
        made, notes = converted(made.path, tmp_path / "o.obj")
        assert notes == ["written as .obj, without: where opacity is cut off"]
    found = in_blender(made.path)
    same_corners(found, made)
    assert set(found["materials"]["a"]) == {"Base Color", "Alpha", "Normal"}
    assert sorted(found["images"].values())[0] == [8, 8] and [32, 32] in found["images"].values()


def test_blender_s_textured_ply(tmp_path: Path) -> None:
    """What it reads of such a file posetx reads, too."""
    source = textured_ply(tmp_path / "in", "binary_little_endian", "s t", polygons=False)
    same_corners(in_blender(source), read_target(source))
