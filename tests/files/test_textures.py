"""Textures beside that of colour, and those of PLY files: from one format to another and back."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from posetx.files.codecs.pictures import holds_normals, with_opacity
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
    stored,
)

SQUARE = "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0 0 1\n"
SQUARE += "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl a\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\nf 1/1 2/2 5/4\n"


def square(folder: Path, library: str, **images: Image.Image) -> Path:
    """An OBJ with a material of its own and images `NAME.png`."""
    folder.mkdir(exist_ok=True)
    (folder / "a.obj").write_text(SQUARE)
    (folder / "a.mtl").write_text(f"newmtl a\n{library}\n")
    for name, image in images.items():
        (folder / f"{name}.png").write_bytes(stored(image))
    return folder / "a.obj"


def bumpy() -> Image.Image:
    """Directions that lean about, as an image has them."""
    across = np.linspace(-3, 3, 32)
    lean = np.stack(np.meshgrid(0.4 * np.sin(across), 0.3 * np.cos(across)), axis=-1)
    normals = np.concatenate([lean, np.sqrt(1 - (lean**2).sum(-1, keepdims=True))], axis=-1)
    return Image.fromarray(np.round((normals + 1) * 127.5).astype(np.uint8))


def grey() -> Image.Image:
    values = np.zeros((4, 8), np.uint8)
    values[:, 4:] = 255
    values[0, 0] = 100
    return Image.fromarray(values)


def opened(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image)


# --- opacity ---------------------------------------------------------------------------------


def test_opacity_of_an_image_of_its_own(tmp_path: Path) -> None:
    source = square(tmp_path / "in", "map_Kd c.png\nmap_d d.png", c=checks(), d=grey())
    glb, notes = converted(source, tmp_path / "o.glb")
    assert notes == []
    made = opened(images_in(glb.path)[0])
    color = np.array(checks())
    assert (made[..., :3] == color).all() and len(images_in(glb.path)) == 1
    shares = made[..., 3]
    assert (shares[:, :3] < 128).all() and (shares[:, 5:] > 128).all() and 0 in shares
    material = document_of(glb.path).entries("materials")[0]
    assert material["alphaMode"] in ("MASK", "BLEND") and material["name"] == "a"
    (mesh,) = by_trimesh(glb.path).geometry.values()
    assert np.array(mesh.visual.material.baseColorTexture).shape == (8, 8, 4)
    obj, notes = converted(glb.path, tmp_path / "o.obj")
    lines = (tmp_path / "o.mtl").read_text().splitlines()
    assert {"map_Kd o_c_d.png", "map_d o_c_d.png"} <= set(lines)
    assert (tmp_path / "o_c_d.png").read_bytes() == images_in(glb.path)[0]
    np.testing.assert_array_equal(corner_rows(obj, dress_of(obj)), corner_rows(glb, dress_of(glb)))


def test_opacity_without_colour(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (2, 2), (9, 9, 9, 255))
    clear.putpixel((0, 1), (9, 9, 9, 40))
    source = square(tmp_path / "in", "Kd 1 0 0\nmap_d d.png", d=clear)
    glb, _ = converted(source, tmp_path / "o.glb")
    made = opened(images_in(glb.path)[0])
    assert (made[..., :3] == 255).all() and made[..., 3].tolist() == [[255, 255], [40, 255]]
    assert dress_of(glb).paints[0].color == pytest.approx((1, 0, 0), abs=1e-6)


def test_opacity_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    source = square(tmp_path / "in", "map_Kd c.png\nmap_d d.png", c=checks(), d=grey())
    (tmp_path / "in" / "d.png").write_bytes(b"\x89PNG\r\n\x1a\nno image")
    glb, notes = converted(source, tmp_path / "o.glb")
    assert notes == ["written as .glb, without: textures of opacity alone"]
    assert images_in(glb.path) == [stored(checks())]
    assert with_opacity(b"no image", stored(grey())) is None


# --- normals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["norm n.png", "map_Bump -bm 0.5 n.png", "bump n.png"])
def test_normals_of_an_image(tmp_path: Path, line: str) -> None:
    source = square(tmp_path / "in", f"map_Kd c.png\n{line}", c=checks(), n=bumpy())
    glb, notes = converted(source, tmp_path / "o.glb")
    assert notes == []
    document = document_of(glb.path)
    bumps = document.entries("materials")[0]["normalTexture"]
    place = document.entries("textures")[bumps["index"]]["source"]
    assert images_in(glb.path)[place] == stored(bumpy())
    strength = 0.5 if "-bm" in line else 1.0
    assert bumps["scale"] == strength
    (mesh,) = by_trimesh(glb.path).geometry.values()
    assert np.array_equal(np.array(mesh.visual.material.normalTexture), np.array(bumpy()))
    obj, notes = converted(glb.path, tmp_path / "o.obj")
    assert notes == []
    lines = (tmp_path / "o.mtl").read_text().splitlines()
    assert {"norm o_n.png", f"map_Bump -bm {strength:g} o_n.png"} <= set(lines)
    assert (tmp_path / "o_n.png").read_bytes() == stored(bumpy())
    paint = dress_of(obj).paints[0]
    assert dress_of(obj).pictures[paint.normal_image].data == stored(bumpy())
    assert paint.bump == strength


def test_heights_are_no_normals(tmp_path: Path) -> None:
    source = square(tmp_path / "in", "map_Bump -bm 2 h.png", h=grey())
    glb, notes = converted(source, tmp_path / "o.glb")
    assert notes == ["written as .glb, without: textures of heights"]
    assert "normalTexture" not in document_of(glb.path).entries("materials")[0]
    blue_cloth = Image.new("RGB", (8, 8), (40, 60, 120))
    assert holds_normals(stored(bumpy())) and not holds_normals(b"no image")
    assert not any(map(holds_normals, map(stored, (grey(), checks(), blue_cloth))))


# --- PLY -------------------------------------------------------------------------------------

POINTS = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 0, 0), (2, 1, 0)]
UV = [(0, 0), (0.5, 0), (0.5, 1), (0, 1), (1, 0), (1, 1)]
FACES = [(0, 1, 2, 3), (1, 4, 5), (1, 5, 2)]


def textured_ply(
    folder: Path, kind: str, by: str = "face", images: int = 1, polygons: bool = True
) -> Path:
    """A PLY whose places in images are of faces or, under some names, of vertices."""
    folder.mkdir(exist_ok=True)
    faces = FACES if polygons else [(0, 1, 2), (0, 2, 3), *FACES[1:]]
    lines = ["ply", f"format {kind} 1.0"]
    lines += [f"comment TextureFile skin {i}.png" for i in range(images)]
    lines += [f"element vertex {len(POINTS)}", *(f"property float {a}" for a in "xyz")]
    lines += [f"property float {name}" for name in by.split()] if by != "face" else []
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    lines += ["property list uchar float texcoord"] * (by == "face")
    lines += ["property int texnumber"] * (images > 1)
    for i in range(images):
        (folder / f"skin {i}.png").write_bytes(stored(checks(clear=255 if i == 0 else 90)))
    order = ">" if "big" in kind else "<"
    rows: list[tuple[str, list[float]]] = []
    for point, uv in zip(POINTS, UV, strict=True):
        rows.append(
            (f"{order}{3 if by == 'face' else 5}f", [*point, *(uv if by != "face" else ())])
        )
    for number, face in enumerate(faces):
        form, values = f"{order}B{len(face)}i", [len(face), *face]
        if by == "face":
            form += f"B{2 * len(face)}f"
            values += [2 * len(face), *(x for corner in face for x in UV[corner])]
        if images > 1:
            form, values = f"{form}i", [*values, number % images]
        rows.append((form, values))
    head = "\n".join([*lines, "end_header", ""]).encode()
    if kind == "ascii":
        body = "\n".join(" ".join(f"{x:g}" for x in values) for _, values in rows).encode() + b"\n"
    else:
        body = b"".join(struct.pack(form, *values) for form, values in rows)
    (folder / "a.ply").write_bytes(head + body)
    return folder / "a.ply"


KINDS = [
    ("ascii", "face", 1, True),
    ("ascii", "face", 2, True),
    ("ascii", "s t", 2, True),
    ("ascii", "u v", 1, False),
    ("binary_little_endian", "face", 2, False),
    ("binary_little_endian", "texture_u texture_v", 1, True),
    ("binary_big_endian", "face", 1, True),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", ["o.glb", "o.obj"])
def test_a_textured_ply_and_back(tmp_path: Path, kind: tuple, output: str) -> None:
    source = textured_ply(tmp_path / "in", *kind)
    there, notes = converted(source, tmp_path / output)
    assert notes == (["written as " + output[1:] + ", without: quads and larger polygons"]
                     if kind[3] else [])  # fmt: skip
    own = read_target(source)
    wears = dress_of(own)
    assert wears.corner_uv is not None
    at = np.array(UV)[[POINTS.index(tuple(p)) for p in own.vertices.tolist()]]
    np.testing.assert_allclose(wears.corner_uv, at[own.faces] * [1, -1] + [0, 1], atol=1e-6)
    np.testing.assert_array_equal(corner_rows(own, wears), corner_rows(there, dress_of(there)))
    first = [stored(checks()), stored(checks(clear=90))][: kind[2]]
    assert [p.data for p in dress_of(there).pictures] == first
    (tmp_path / "back").mkdir()
    back, notes = converted(there.path, tmp_path / "back" / "b.ply")
    assert notes[0].startswith("written as .ply, without: ") and "for their images" in notes[0]
    np.testing.assert_allclose(
        corner_rows(own, wears)[:, :15], corner_rows(back, dress_of(back))[:, :15], atol=1e-4
    )
    assert [p.data for p in dress_of(back).pictures] == first
    assert len(back.vertices) == len(POINTS)
    looks = back.looks()
    assert looks is not None and looks.images == first
    painted = [looks.materials[i].image for i in looks.face_material]
    assert sorted(painted) == sorted(dress_of(own).paints[i].image for i in wears.face_paint)  # type: ignore[union-attr]


def test_others_read_the_ply(tmp_path: Path) -> None:
    """trimesh and MeshLab: the same corners at the same places of the image."""
    ply, notes = converted(EXAMPLE, tmp_path / "o.ply")
    assert notes[0].endswith("materials but for their images")
    pymeshlab = pytest.importorskip("pymeshlab")
    meshes = pymeshlab.MeshSet()
    meshes.load_new_mesh(str(ply.path))
    its = meshes.current_mesh()
    uv = np.asarray(its.wedge_tex_coord_matrix()).reshape(-1, 3, 2) * [1, -1] + [0, 1]
    np.testing.assert_allclose(uv, dress_of(ply).corner_uv, atol=1e-6)
    np.testing.assert_array_equal(its.face_matrix(), ply.faces)
    assert its.texture_number() == 1
    found = trimesh.load(ply.path, process=False)
    assert found.visual.kind == "texture" and found.visual.material.image.size == (1024, 1024)


def test_a_ply_s_images_go_along(tmp_path: Path) -> None:
    source = textured_ply(tmp_path / "in", "ascii")
    (tmp_path / "out").mkdir()
    target = read_target(source)
    assert target.beside(tmp_path / "out" / "a.ply") == {
        tmp_path / "in" / "skin 0.png", tmp_path / "out" / "skin 0.png"
    }  # fmt: skip
    assert target.save(tmp_path / "out" / "a.ply", target.vertices + 1) == []
    assert (tmp_path / "out" / "skin 0.png").read_bytes() == stored(checks())
    glb = read_target(converted(clothed(tmp_path / "clothed"), tmp_path / "c.glb")[0].path)
    assert {p.name for p in glb.beside(tmp_path / "o.ply")} == {"o_cloth_one.png", "o_lace.png"}


def test_what_a_textured_ply_lacks(tmp_path: Path) -> None:
    source = textured_ply(tmp_path / "in", "ascii", "face", 2)
    text = source.read_text().replace("skin 1.png", "../skin.png")
    text = text.replace("8 0 0 0.5 0 0.5 1 0 1", "4 0 0 0.5 nan", 1)
    source.write_text(text)
    target = read_target(source)
    _, notes = converted(source, tmp_path / "o.glb")
    assert notes[1:] == ["../skin.png lies outside the folder"]
    dress = dress_of(target)
    assert dress.corner_uv is not None and np.isfinite(dress.corner_uv).all()
    assert (dress.face_paint == [0, 0, -1, 0]).all()
    with_colours = tmp_path / "colours.obj"
    with_colours.write_text("v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0.5 1\nf 1 2 3\n")
    ply, notes = converted(with_colours, tmp_path / "o.ply")
    assert notes == [] and ply.colors().tolist() == [[255, 0, 0], [0, 255, 0], [0, 128, 255]]  # type: ignore[union-attr]
