"""How targets are painted: materials, images, and what of them is damaged or not to be read."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from posetx.errors import PosetxError
from posetx.files.looks import GREY, byte_colors, srgb
from posetx.files.targets import read_target
from posetx.report.view.images import LARGEST_SIDE, page_image
from tests.report.pages import sphere, write_obj

ROOT = Path(__file__).parents[2]


def test_an_obj_s_materials() -> None:
    target = read_target(ROOT / "examples" / "target.obj")
    looks = target.looks()
    assert looks is not None and looks.corner_uv is not None and not looks.notes
    assert looks.images == [(ROOT / "examples" / "target.png").read_bytes()]
    used = {looks.materials[i].color for i in np.unique(looks.face_material)}
    assert used == {(255, 255, 255), (204, 158, 56)}
    assert looks.face_material.shape == (len(target.faces),)
    assert looks.corner_uv.shape == (*target.faces.shape, 2)
    assert looks.corner_uv.min() >= 0 and looks.corner_uv.max() <= 1


def test_an_obj_s_corners_have_their_places(tmp_path: Path) -> None:
    points, faces, uv = sphere(5, 6)
    write_obj(tmp_path / "a.obj", points, faces, uv)
    looks = read_target(tmp_path / "a.obj").looks()
    assert looks is not None and looks.corner_uv is not None
    assert np.abs(looks.corner_uv - uv[faces]).max() < 1e-5


def test_counted_back_and_missing_places(tmp_path: Path) -> None:
    lines = ["mtllib skin.mtl", "v 0 0 0", "v 1 0 0", "v 0 1 0", "vt 0.25 0.25", "vt 1 1"]
    lines += ["usemtl skin", "f 1/-1 2/-2 3/1", "f 1/9 2 3//", "usemtl unknown", "f 1 2 3"]
    points, faces, uv = sphere(5, 6)
    write_obj(tmp_path / "skin.obj", points, faces, uv)  # for its image
    (tmp_path / "a.obj").write_text("\n".join(lines))
    looks = read_target(tmp_path / "a.obj").looks()
    assert looks is not None and looks.corner_uv is not None
    assert looks.corner_uv[0].tolist() == [[1, 0], [0.25, 0.75], [0.25, 0.75]]
    assert (looks.corner_uv[1:] == 0).all()
    assert looks.materials[looks.face_material[2]].color == GREY


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname.png", ".hidden.png", "gone.png"])
def test_images_that_are_not_read(tmp_path: Path, name: str) -> None:
    inner = tmp_path / "in"
    inner.mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    points, faces, uv = sphere(5, 6)
    write_obj(inner / "a.obj", points, faces, uv)
    (inner / "skin.mtl").write_text(f"newmtl skin\nKd 0.5 nan 9\nmap_Kd -s 1 1 1 {name}\n")
    looks = read_target(inner / "a.obj").looks()
    assert looks is not None and looks.images == [] and name in looks.notes[0]
    assert looks.materials[1].color == (128, 0, 255) and looks.corner_uv is None


def test_a_glb_s_materials(tmp_path: Path) -> None:
    scene = trimesh.load(ROOT / "examples" / "target.obj")
    scene.export(tmp_path / "a.glb")
    target = read_target(tmp_path / "a.glb")
    looks = target.looks()
    assert looks is not None and looks.corner_uv is not None and looks.images
    assert looks.face_material.shape == (len(target.faces),)
    assert any(m.image < 0 for m in looks.materials) and any(m.image >= 0 for m in looks.materials)
    # the same places in the image as the OBJ has, somewhere
    obj = read_target(ROOT / "examples" / "target.obj").looks()
    assert obj is not None and obj.corner_uv is not None
    assert looks.corner_uv.max((0, 1)) == pytest.approx(obj.corner_uv.max((0, 1)), abs=1e-3)


def edited_gltf(folder: Path, **changes: object) -> Path:
    """A triangle with a material, whose document says something else in places."""
    buffer = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
    buffer += np.array([[0, 0], [1, 0], [0, 1]], "<f4").tobytes()
    (folder / "a.bin").write_bytes(buffer)
    Image.new("RGB", (4, 4), (9, 9, 9)).save(folder / "a.png")
    texture = {"baseColorTexture": {"index": 0}, "baseColorFactor": [1, 0.2158605, 0, 1]}
    document = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "material": 0}]}
        ],
        "materials": [{"pbrMetallicRoughness": texture, "alphaMode": "MASK"}],
        "textures": [{"source": 0}],
        "images": [{"uri": "a.png"}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 3},
            {"bufferView": 1, "componentType": 5126, "type": "VEC2", "count": 3},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 24},
        ],
        "buffers": [{"uri": "a.bin", "byteLength": 60}],
        **changes,
    }
    (folder / "a.gltf").write_text(json.dumps(document))
    return folder / "a.gltf"


def test_a_gltf_s_image_beside_it(tmp_path: Path) -> None:
    looks = read_target(edited_gltf(tmp_path)).looks()
    assert looks is not None and looks.corner_uv is not None
    (material,) = looks.materials
    assert material.color == (255, 128, 0) and material.image == 0 and material.cut
    assert looks.images == [(tmp_path / "a.png").read_bytes()]
    assert looks.corner_uv[0].tolist() == [[0, 0], [1, 0], [0, 1]]


def test_a_texture_that_is_turned_and_shifted(tmp_path: Path) -> None:
    change = {"offset": [0.5, 0], "scale": [2, 1], "rotation": np.pi / 2}
    texture = {"index": 0, "extensions": {"KHR_texture_transform": change}}
    materials = [{"pbrMetallicRoughness": {"baseColorTexture": texture}}]
    looks = read_target(edited_gltf(tmp_path, materials=materials)).looks()
    assert looks is not None and looks.corner_uv is not None
    # as the extension has it: (u, v) becomes (u cos + v sin, -u sin + v cos)
    assert np.allclose(looks.corner_uv[0], [[0.5, 0], [0.5, -2], [1.5, 0]])


@pytest.mark.parametrize(
    "changes",
    [
        {"materials": []},
        {"materials": [{"pbrMetallicRoughness": {"baseColorFactor": ["x", 1, 1]}}]},
        {"materials": [{"pbrMetallicRoughness": {"baseColorTexture": {}}}]},
        {"materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 7}}}]},
        {"textures": [{"source": 9}]},
        {"images": [{"bufferView": 0.5}]},
    ],
)
def test_damaged_looks_are_one_error(tmp_path: Path, changes: dict[str, object]) -> None:
    target = read_target(edited_gltf(tmp_path, **changes))
    with pytest.raises(PosetxError, match=r"a\.gltf: ") as caught:
        target.looks()
    assert "\n" not in str(caught.value)


VIEWS = [{"buffer": 0, "byteLength": 36}, {"buffer": 0, "byteOffset": 36, "byteLength": 24}]
BEYOND = [*VIEWS, {"buffer": 0, "byteOffset": 50, "byteLength": 36}]


@pytest.mark.parametrize("image", [{"uri": "../a.png"}, {"uri": "b.png"}, {"bufferView": 2}])
def test_images_of_a_gltf_that_cannot_be_had(tmp_path: Path, image: dict[str, object]) -> None:
    looks = read_target(edited_gltf(tmp_path, images=[image], bufferViews=BEYOND)).looks()
    assert looks is not None and not looks.images and len(looks.notes) == 1


def test_images_are_made_small_enough() -> None:
    assert page_image(b"no image") is None

    def stored(image: Image.Image, kind: str) -> bytes:
        stream = io.BytesIO()
        image.save(stream, format=kind)
        return stream.getvalue()

    small = stored(Image.new("RGB", (8, 8)), "PNG")
    kept, cut = page_image(small), page_image(small[:40])
    assert kept is not None and kept["kind"] == "image/png" and cut is None
    other = page_image(stored(Image.new("RGB", (8, 8)), "TGA"))
    assert other is not None and other["kind"] == "image/jpeg"
    clear = page_image(stored(Image.new("RGBA", (LARGEST_SIDE + 8, 8)), "PNG"))
    assert clear is not None and clear["kind"] == "image/png"


def test_colours_of_vertices(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0 1\nf 1 2 3\n")
    colors = read_target(tmp_path / "a.obj").colors()
    assert colors is not None and colors.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert byte_colors(np.array([[0.0, 300.0, np.nan]])).tolist() == [[0, 255, 0]]  # type: ignore[union-attr]
    assert byte_colors(None) is None and byte_colors(np.zeros((2, 1))) is None
    assert [srgb(x) for x in (0.0, 0.2158605, 1.0, 7.0, float("nan"))] == [0, 128, 255, 255, 0]
