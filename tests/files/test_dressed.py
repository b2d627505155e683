"""OBJ to GLB and back with all that they wear: places in images, materials, names, colours."""

from __future__ import annotations

import io
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posetx.files.codecs.mtl import mtl_entries
from posetx.files.codecs.pictures import kind_of, png_or_jpeg, transparency
from posetx.files.dress import BLEND, MASK, OPAQUE, to_linear, to_srgb
from posetx.files.targets import read_target
from tests.files.dressed import (
    EXAMPLE,
    by_trimesh,
    checks,
    clothed,
    converted,
    corner_rows,
    document_of,
    dress_of,
    images_in,
    named_triangles,
    stored,
)

TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
COLOURED = "v 0 0 0 1 0 0\nv 1 0 0 0 0.5 0\nv 0 1 0 0 0 0.25\nv 1 1 0 1 1 1\nf 1 2 3\nf 2 4 3\n"


# --- OBJ to GLB ------------------------------------------------------------------------------


def test_an_obj_s_dress_is_in_the_glb(tmp_path: Path) -> None:
    source = clothed(tmp_path / "in")
    target = read_target(source)
    glb, notes = converted(source, tmp_path / "o.glb")
    assert notes == ["written as .glb, without: quads and larger polygons, vertices of no triangle"]
    before, after = dress_of(target), dress_of(glb)
    assert np.array_equal(corner_rows(target, before), corner_rows(glb, after))
    assert named_triangles(target, before) == named_triangles(glb, after)
    assert [(p.name, p.mode) for p in after.paints] == [
        ("red cloth", OPAQUE), ("lace", MASK), ("glass", BLEND), ("never described", OPAQUE),
    ]  # fmt: skip
    assert images_in(tmp_path / "o.glb") == [p.data for p in before.pictures]
    assert [p.name for p in after.pictures] == ["cloth one", "lace"]
    factor = document_of(tmp_path / "o.glb").entries("materials")[2]["pbrMetallicRoughness"]
    assert factor["baseColorFactor"] == pytest.approx([0.214041, 0.214041, 1, 0.25], abs=1e-6)
    assert factor["metallicFactor"] == 0


def test_the_glb_is_what_trimesh_reads(tmp_path: Path) -> None:
    glb, _ = converted(clothed(tmp_path / "in"), tmp_path / "o.glb", shift=1.0)
    scene = by_trimesh(tmp_path / "o.glb")
    assert set(scene.graph.nodes_geometry) >= {"the body", "lamp"} or len(scene.geometry) == 4
    corners = [g.vertices[g.faces].reshape(-1, 9) for g in scene.geometry.values()]
    rows = np.round(np.concatenate(corners), 4)
    mine = np.round(glb.vertices[glb.faces].reshape(-1, 9), 4)
    assert np.array_equal(rows[np.lexsort(rows.T)], mine[np.lexsort(mine.T)])
    by_name = {g.visual.material.name: g.visual for g in scene.geometry.values()}
    assert set(by_name) == {"red cloth", "lace", "glass", "never described"}
    assert by_name["lace"].material.alphaMode == "MASK"
    assert by_name["red cloth"].material.baseColorTexture.size == (8, 8)
    assert by_name["glass"].material.baseColorFactor[3] == 64
    uv = by_name["lace"].uv  # trimesh counts upward, as an OBJ does
    assert {(0.625, 0.25), (1.0, 0.0), (1.0, 1.0)} <= {tuple(x) for x in uv.tolist()}


def test_vertices_are_split_at_seams_only(tmp_path: Path) -> None:
    glb, _ = converted(clothed(tmp_path / "in"), tmp_path / "o.glb")
    # The image splits one of the body and two of the lamp, normals split one of the body.
    positions = [document_of(tmp_path / "o.glb").floats(p["attributes"]["POSITION"])
                 for m in document_of(tmp_path / "o.glb").entries("meshes")
                 for p in m["primitives"]]  # fmt: skip
    assert [len(p) for p in positions] == [8, 8, 7, 7]
    assert len(glb.welds()[0]) == 11  # the vertex that nothing uses is not there


def test_the_example_keeps_its_corners(tmp_path: Path) -> None:
    target = read_target(EXAMPLE)
    moved = target.vertices @ TURN.T + [3.0, 2.0, 1.0]
    target.save(tmp_path / "o.glb", moved)
    glb = read_target(tmp_path / "o.glb")
    assert len(glb.vertices) < 1.1 * len(target.vertices)
    assert len(glb.welds()[0]) == len(target.welds()[0])
    before, after = target.dress(moved), dress_of(glb)
    assert before is not None and before.normals is not None and after.normals is not None
    # Both are ordered by object, group and material, and stay in order within.
    keys = (before.face_paint, before.face_group, before.face_object)
    order = np.lexsort(keys)  # type: ignore[arg-type]
    assert np.abs(glb.vertices[glb.faces] - moved[target.faces][order]).max() < 1e-5 * 200
    assert np.abs(after.corner_uv - before.corner_uv[order]).max() < 1e-6  # type: ignore[index]
    wanted = before.normals[before.corner_normal][order]  # type: ignore[index]
    wanted /= np.linalg.norm(wanted, axis=-1, keepdims=True)
    assert np.abs(after.normals[after.corner_normal] - wanted).max() < 1e-5  # type: ignore[index]
    looks = glb.looks()
    assert looks is not None and looks.images == [EXAMPLE.with_suffix(".png").read_bytes()]
    assert {m.color for m in looks.materials} == {(255, 255, 255), (204, 158, 56)}


def test_normals_turn_with_what_is_around_them(tmp_path: Path) -> None:
    """One `vn` of two vertices far from each other, of which one part turns."""
    lines = ["v 0 0 0", "v 1 0 0", "v 0 1 0", "v 5 0 0", "v 6 0 0", "v 5 1 0", "vn 0 0 1"]
    lines += ["f 1//1 2//1 3//1", "f 4//1 5//1 6//1"]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    target = read_target(tmp_path / "a.obj")
    moved = target.vertices.copy()
    moved[3:] = moved[3:] @ TURN.T
    dress = target.dress(moved)
    assert dress is not None and dress.normals is not None and dress.corner_normal is not None
    corners = dress.normals[dress.corner_normal]
    assert np.allclose(corners[0], [0, 0, 1]) and np.allclose(corners[1], TURN[:, 2])


def test_colours_of_vertices_go_both_ways(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(COLOURED)
    glb, notes = converted(tmp_path / "a.obj", tmp_path / "o.glb")
    assert (
        notes == [] and glb.vertices.tolist() == read_target(tmp_path / "a.obj").vertices.tolist()
    )
    colours = read_target(tmp_path / "a.obj").colors()
    assert glb.colors().tolist() == colours.tolist()  # type: ignore[union-attr]
    # Shares of light, as the format has them.
    stored_ones = document_of(tmp_path / "o.glb").floats(1)
    assert stored_ones[1] == pytest.approx([0, 0.215861, 0, 1], abs=1e-4)
    obj, notes = converted(tmp_path / "o.glb", tmp_path / "o.obj")
    assert notes == []
    assert obj.colors().tolist() == colours.tolist()  # type: ignore[union-attr]
    assert not (tmp_path / "o.mtl").exists() or "Kd 1 1 1" in (tmp_path / "o.mtl").read_text()


@pytest.mark.parametrize("output", ["o.glb", "o.obj"])
def test_a_ply_s_colours_and_normals(tmp_path: Path, output: str) -> None:
    head = "ply\nformat ascii 1.0\nelement vertex 3\n"
    head += "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
    head += "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))
    head += "property float quality\n"
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    rows = ["0 0 0 0 0 1 255 0 0 9", "1 0 0 0 0 2 0 128 0 9", "0 1 0 0 0 0 7 8 9 9", "3 0 1 2"]
    (tmp_path / "a.ply").write_text(head + "\n".join(rows) + "\n")
    after, notes = converted(tmp_path / "a.ply", tmp_path / output)
    assert notes == [f"written as {output[1:]}, without: other vertex properties"]
    assert after.colors().tolist() == [[255, 0, 0], [0, 128, 0], [7, 8, 9]]  # type: ignore[union-attr]
    normals = dress_of(after).normals
    assert normals is not None and np.allclose(normals[0], [0, 0, 1])
    if output == "o.glb":  # of length 1, the one of none the triangle's
        assert np.allclose(np.abs(normals[:, 2]), 1)


def test_a_texture_that_is_missing_is_told(tmp_path: Path) -> None:
    source = clothed(tmp_path / "in")
    (source.parent / "tex" / "lace.png").unlink()
    (source.parent / "tex" / "cloth one.png").write_bytes(b"\x89PNG\r\n\x1a\nno image at all")
    glb, notes = converted(source, tmp_path / "o.glb")
    assert notes[1:] == [
        "tex/lace.png is missing",
        "the texture cloth one is no image that can be read: left out",
    ]
    after = dress_of(glb)
    assert {p.name for p in after.paints} >= {"red cloth", "lace"} and not after.pictures
    assert after.corner_uv is not None and all(p.image < 0 for p in after.paints)


def test_damaged_numbers_of_what_it_wears_are_told(tmp_path: Path) -> None:
    source = clothed(tmp_path / "in")
    source.write_text(CLOTHED_WRONG := source.read_text().replace("vt 0.625 0.25", "vt a b"))
    assert "vt a b" in CLOTHED_WRONG
    glb, notes = converted(source, tmp_path / "o.glb")
    assert len(glb.faces) == len(read_target(source).faces)
    assert any("positions and triangles" in note for note in notes)
    assert any("cannot be read as OBJ" in note for note in notes)


def test_images_of_other_kinds_become_png(tmp_path: Path) -> None:
    source = clothed(tmp_path / "in")
    text = (source.parent / "wardrobe.mtl").read_text()
    text = text.replace("cloth one.png", "c.tga").replace("tex/lace.png", "l.jpg")
    (source.parent / "wardrobe.mtl").write_text(text)
    (source.parent / "tex" / "c.tga").write_bytes(stored(checks(clear=9), "TGA"))
    jpeg = stored(checks(), "JPEG")
    (source.parent / "l.jpg").write_bytes(jpeg)
    _, notes = converted(source, tmp_path / "o.glb")
    assert notes == [
        "written as .glb, without: quads and larger polygons, textures of opacity alone, "
        "vertices of no triangle"
    ]
    first, second = images_in(tmp_path / "o.glb")
    assert second == jpeg
    assert kind_of(first)[0] == kinds_in(tmp_path / "o.glb")[0] == "image/png"
    with Image.open(io.BytesIO(first)) as one, Image.open(source.parent / "tex" / "c.tga") as other:
        assert one.tobytes() == other.convert("RGBA").tobytes()


def kinds_in(glb: Path) -> list[str]:
    """What a GLB says of its images' kinds."""
    return [entry["mimeType"] for entry in document_of(glb).entries("images")]


def test_without_anything_to_wear(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nf 1 2 3\nf 2 4 3\n")
    glb, notes = converted(tmp_path / "a.obj", tmp_path / "o.glb")
    assert notes == [] and glb.faces.tolist() == [[0, 1, 2], [1, 3, 2]]
    obj, notes = converted(tmp_path / "o.glb", tmp_path / "o.obj")
    assert obj.vertices.tolist() == glb.vertices.tolist()


@pytest.mark.parametrize(
    "name",
    ["../../x", "a\\", "# no", "/etc/passwd", "\ud83d\ude00 " * 90, "ümläut", "a\u2028b", "CON"],
)
def test_names_of_any_kind(tmp_path: Path, name: str) -> None:
    name = name.encode("utf-16", "surrogatepass").decode("utf-16")
    clothed(tmp_path / "in")
    glb, _ = converted(tmp_path / "in" / "clothed.obj", tmp_path / "o.glb")
    data = (tmp_path / "o.glb").read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + length])
    for key in ("materials", "nodes", "meshes", "images"):
        for entry in document[key]:
            entry["name"] = name + entry.get("name", "")[:1] * (key != "images")
    text = json.dumps(document, ensure_ascii=key == "a").encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    (tmp_path / "hostile.glb").write_bytes(head + text + rest)
    out = tmp_path / "out"
    out.mkdir()
    obj, notes = converted(tmp_path / "hostile.glb", out / "o.obj")
    assert sorted(os.listdir(tmp_path)) == ["hostile.glb", "in", "o.glb", "out"], notes
    beside = sorted(os.listdir(out))
    assert len(beside) == 4 and all(len(n) < 99 and n.startswith("o") for n in beside)
    before, after = dress_of(read_target(tmp_path / "hostile.glb")), dress_of(obj)
    assert len(after.paints) == len(before.paints) and len(obj.faces) == len(glb.faces)
    assert sorted(p.data for p in after.pictures) == sorted(p.data for p in before.pictures)


# --- GLB to OBJ ------------------------------------------------------------------------------


def test_a_glb_s_dress_is_in_the_obj(tmp_path: Path) -> None:
    source = clothed(tmp_path / "in")
    glb, _ = converted(source, tmp_path / "g.glb")
    out = tmp_path / "out"
    out.mkdir()
    obj, notes = converted(tmp_path / "g.glb", out / "o.obj")
    assert notes == ["written as .obj, without: where opacity is cut off"]
    assert sorted(os.listdir(out)) == ["o.mtl", "o.obj", "o_cloth_one.png", "o_lace.png"]
    before, after = dress_of(glb), dress_of(obj)
    assert np.array_equal(corner_rows(glb, before), corner_rows(obj, after))
    assert [p.mode for p in after.paints] == [p.mode for p in before.paints]
    assert [p.data for p in after.pictures] == [p.data for p in before.pictures]
    assert after.objects == ["", "the body", "lamp"] and "trousers" in after.groups
    assert len(obj.vertices) == 11  # those that the seams repeat are one again
    text = (out / "o.obj").read_text()
    assert text.count("\nvt ") == 7 and text.count("\nvn ") <= 3
    again, _ = converted(out / "o.obj", tmp_path / "again.glb")
    assert np.array_equal(corner_rows(again, dress_of(again)), corner_rows(glb, before))


def test_the_obj_is_what_trimesh_reads(tmp_path: Path) -> None:
    target = read_target(EXAMPLE)
    target.save(tmp_path / "g.glb", target.vertices)
    converted(tmp_path / "g.glb", tmp_path / "o.obj")
    scene = by_trimesh(tmp_path / "o.obj")
    corners = np.concatenate([g.triangles.reshape(-1, 9) for g in scene.geometry.values()])
    mine = target.vertices[target.faces].reshape(-1, 9)
    corners, mine = np.round(corners, 3) + 0.0, np.round(mine, 3) + 0.0
    order, other = np.lexsort(np.round(corners, 2).T), np.lexsort(np.round(mine, 2).T)
    assert np.abs(corners[order].sum(0) - mine[other].sum(0)).max() < 1
    assert len(corners) == len(mine)
    textured = [g for g in scene.geometry.values() if getattr(g.visual.material, "image", None)]
    assert textured and (tmp_path / "o_target.png").read_bytes() == (
        EXAMPLE.with_suffix(".png").read_bytes()
    )


def test_files_that_are_there_stay(tmp_path: Path) -> None:
    converted(clothed(tmp_path / "in"), tmp_path / "g.glb")
    (tmp_path / "o.mtl").write_text("mine")
    (tmp_path / "o_lace.png").symlink_to(tmp_path / "elsewhere.png")
    obj, _ = converted(tmp_path / "g.glb", tmp_path / "o.obj")
    names = set(os.listdir(tmp_path))
    assert (tmp_path / "o.mtl").read_text() == "mine" and "elsewhere.png" not in names
    assert len(dress_of(obj).pictures) == 2 and not dress_of(obj).notes
    converted(tmp_path / "g.glb", tmp_path / "o.obj", shift=1.0)
    assert set(os.listdir(tmp_path)) == names, "the same files again"


def test_nothing_is_left_of_what_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted(clothed(tmp_path / "in"), tmp_path / "g.glb")
    out = tmp_path / "out"
    out.mkdir()
    target = read_target(tmp_path / "g.glb")
    link = os.link

    def full(source: object, there: object, **how: object) -> None:
        if str(there).endswith("o.obj"):
            raise OSError(28, "No space left on device")
        link(source, there, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(Exception, match="disk is full"):
        target.save(out / "o.obj", target.vertices)
    assert os.listdir(out) == []


def test_what_an_obj_cannot_hold_is_told(tmp_path: Path) -> None:
    target = read_target(EXAMPLE)
    target.save(tmp_path / "g.glb", target.vertices)
    data = (tmp_path / "g.glb").read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + length])
    document["materials"][0] |= {"occlusionTexture": {"index": 0}, "emissiveFactor": [1, 0, 0]}
    document["materials"][0]["pbrMetallicRoughness"]["metallicFactor"] = 1
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    (tmp_path / "g.glb").write_bytes(head + text + rest)
    _, notes = converted(tmp_path / "g.glb", tmp_path / "o.obj")
    others = "other textures than of colour and normals"
    assert notes == [f"written as .obj, without: {others}, metal, light of its own"]


# --- what they are made of -------------------------------------------------------------------


def test_materials_of_a_library() -> None:
    text = (
        "Kd 9 9 9\nnewmtl a\nKs 0 0 0\nKd 0.5 nan 9\nd -halo 0.25\nNs 90\nmap_Ks s.png\nKe 0 0 0\n"
    )
    text += "newmtl b c\nTr 0.25\nmap_Kd -o 0.5 0 0 -clamp on x y.png\nKe 1 0 0\nd\n"
    first, second = mtl_entries(text)
    assert (first.name, first.color, first.opacity) == ("a", (0.5, 0.0, 1.0), 0.25)
    assert first.shine == 90 and first.lost == ["other textures than of colour and normals"]
    assert (second.name, second.opacity, second.image) == ("b c", 0.75, "x y.png")
    assert second.lost == ["how a texture is shifted, scaled or cut", "light of its own"]


def test_what_of_an_image_is_see_through() -> None:
    assert transparency(stored(checks())) == OPAQUE
    assert transparency(stored(checks(clear=0))) == MASK
    assert transparency(stored(checks(clear=99))) == BLEND
    opaque = Image.new("RGBA", (4, 4), (1, 2, 3, 255))
    assert transparency(stored(opaque)) == transparency(b"no image") == OPAQUE
    assert png_or_jpeg(b"no image") is None and png_or_jpeg(stored(opaque)) == stored(opaque)


def test_light_and_srgb_are_each_other_s_inverse() -> None:
    values = np.linspace(0, 1, 256)
    assert np.abs(to_srgb(to_linear(values)) - values).max() < 1e-6
    assert to_linear(np.array([np.nan, 7.0])).tolist() == [0, 1]
