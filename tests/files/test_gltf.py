"""glTF targets: node transforms, shared meshes, skins, textures, buffers of every kind."""

from __future__ import annotations

import base64
import copy
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetx.errors import PosetxError, UsageError
from posetx.files.codecs.glb import encode_glb
from posetx.files.codecs.gltf import Gltf
from posetx.files.scans import read_scan
from posetx.files.targets import Target, read_target

ROTATION = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]], dtype="<f4")
FACES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], dtype="<u2")
NORMALS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0]], dtype="<f4")


class Scene:
    """Puts a document together, array by array."""

    def __init__(self) -> None:
        self.binary = bytearray()
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "tést"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [],
            "meshes": [],
            "accessors": [],
            "bufferViews": [],
            "extras": {"kept": [1, 2.5, "x"]},
        }

    def add(self, array: np.ndarray, kind: str) -> int:
        code = {"f4": 5126, "u2": 5123, "u1": 5121, "i2": 5122}[array.dtype.str[1:]]
        self.binary.extend(b"\0" * (-len(self.binary) % 4))
        views, accessors = self.document["bufferViews"], self.document["accessors"]
        views.append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": array.nbytes})
        self.binary.extend(array.tobytes())
        entry = {
            "bufferView": len(views) - 1,
            "componentType": code,
            "count": len(array),
            "type": kind,
        }
        if kind == "VEC3" and code == 5126:
            entry |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        accessors.append(entry)
        return len(accessors) - 1

    def glb(self) -> bytes:
        document = self.document | {"buffers": [{"byteLength": len(self.binary)}]}
        return encode_glb(document, self.binary, [(0x12345678, b"more")])


def tetra(scene: Scene, **attributes: int) -> dict[str, Any]:
    return {
        "attributes": {"POSITION": scene.add(POINTS, "VEC3"), "NORMAL": scene.add(NORMALS, "VEC3")}
        | attributes,
        "indices": scene.add(FACES.reshape(-1, 1), "SCALAR"),
    }


def read(tmp_path: Path, data: bytes, name: str = "t.glb") -> Target:
    (tmp_path / name).write_bytes(data)
    return read_target(tmp_path / name)


def moved_and_read(target: Target, tmp_path: Path, name: str = "o.glb") -> Target:
    """Save with every vertex turned and shifted, and read again; the positions must agree."""
    new = target.vertices @ ROTATION.T + [1, 2, 3]
    target.save(tmp_path / name, new)
    again = read_target(tmp_path / name)
    np.testing.assert_allclose(again.vertices, new, atol=2e-5)
    assert (again.faces == target.faces).all()
    return again


def test_node_transforms(tmp_path: Path) -> None:
    scene = Scene()
    scene.document["nodes"] = [
        {"children": [1], "scale": [2, 2, 2], "rotation": [0, 0, 0.70710678, 0.70710678]},
        {"mesh": 0, "translation": [1, 0, 0]},
    ]
    scene.document["meshes"] = [{"primitives": [tetra(scene)]}]
    target = read(tmp_path, scene.glb())
    np.testing.assert_allclose(
        target.vertices, [[0, 2, 0], [0, 4, 0], [-2, 2, 0], [0, 2, 2]], atol=1e-6
    )
    again = moved_and_read(target, tmp_path)
    data = (tmp_path / "o.glb").read_bytes()
    after = Gltf(data, tmp_path / "o.glb")
    local = after.floats(0)
    assert after.document["accessors"][0]["min"] == pytest.approx(local.min(axis=0))
    assert after.document["accessors"][0]["max"] == pytest.approx(local.max(axis=0))
    assert after.document["extras"] == scene.document["extras"]
    assert after.chunks == [(0x12345678, b"more")]
    # Only the bytes of positions and normals differ.
    assert after.buffers[0][96:] == bytes(scene.binary)[96:]
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    world = after.floats(1) @ turn.T
    np.testing.assert_allclose(world, NORMALS @ turn.T @ ROTATION.T, atol=1e-5)
    again.save(tmp_path / "same.glb", again.vertices)
    assert (tmp_path / "same.glb").read_bytes() == data


def test_two_primitives_share_positions(tmp_path: Path) -> None:
    scene = Scene()
    first = tetra(scene)
    second = copy.deepcopy(first)
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [{"primitives": [first, second]}]
    target = read(tmp_path, scene.glb())
    assert target.vertices.shape == (4, 3) and target.faces.shape == (8, 3)
    moved_and_read(target, tmp_path)


@pytest.mark.parametrize("second_moves", [True, False])
def test_instances_get_their_own_shape(tmp_path: Path, second_moves: bool) -> None:
    scene = Scene()
    scene.document["scenes"] = [{"nodes": [0, 1, 2]}]
    scene.document["nodes"] = [
        {"mesh": 0},
        {"mesh": 0, "translation": [5, 0, 0], "scale": [-1, 1, 1]},
        {"mesh": 0, "translation": [9, 0, 0]},
    ]
    scene.document["meshes"] = [{"primitives": [tetra(scene)]}]
    target = read(tmp_path, scene.glb())
    assert target.vertices.shape == (12, 3)
    shift = np.zeros((12, 3))
    shift[:, 1] = 1
    target.save(tmp_path / "together.glb", target.vertices + shift)
    together = read_target(tmp_path / "together.glb")
    np.testing.assert_allclose(together.vertices, target.vertices + shift, atol=1e-6)
    assert len(json_of(tmp_path / "together.glb")["meshes"]) == 1

    shift[4:8] = [0, 0, 2] if second_moves else 0
    target.save(tmp_path / "apart.glb", target.vertices + shift)
    apart = read_target(tmp_path / "apart.glb")
    np.testing.assert_allclose(apart.vertices, target.vertices + shift, atol=1e-6)


def json_of(path: Path) -> dict[str, Any]:
    return Gltf(path.read_bytes(), path).document


def test_accessor_with_two_meanings(tmp_path: Path) -> None:
    """A unit shape whose exporter stored its normals and positions once."""
    scene = Scene()
    primitive = tetra(scene)
    primitive["attributes"]["NORMAL"] = primitive["attributes"]["POSITION"]
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [{"primitives": [primitive]}]
    target = read(tmp_path, scene.glb())
    moved_and_read(target, tmp_path)
    after = Gltf((tmp_path / "o.glb").read_bytes(), tmp_path / "o.glb")
    attributes = after.document["meshes"][0]["primitives"][0]["attributes"]
    np.testing.assert_allclose(after.floats(attributes["NORMAL"]), POINTS @ ROTATION.T, atol=1e-5)


def test_interleaved_quantised_and_sparse(tmp_path: Path) -> None:
    scene = Scene()
    primitive = tetra(scene)
    both = np.concatenate([POINTS, NORMALS], axis=1)
    scene.add(both, "VEC3")
    scene.document["accessors"].pop()
    view = scene.document["bufferViews"][-1]
    view["byteStride"] = 24
    number = len(scene.document["bufferViews"]) - 1
    for entry, offset in ((0, 0), (1, 12)):
        scene.document["accessors"][entry] |= {"bufferView": number, "byteOffset": offset}
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [{"primitives": [primitive]}]
    target = read(tmp_path, scene.glb())
    np.testing.assert_array_equal(target.vertices, POINTS)
    moved_and_read(target, tmp_path)
    after = Gltf((tmp_path / "o.glb").read_bytes(), tmp_path / "o.glb")
    np.testing.assert_allclose(after.floats(1), NORMALS @ ROTATION.T, atol=1e-5)

    short = np.zeros((4, 4), dtype="<i2")
    short[:, :3] = POINTS * 32767
    index = scene.add(short, "VEC3")
    scene.document["bufferViews"][-1]["byteStride"] = 8
    scene.document["accessors"][index]["normalized"] = True
    primitive["attributes"]["POSITION"] = index
    target = read(tmp_path, scene.glb())
    np.testing.assert_allclose(target.vertices, POINTS, atol=1e-6)
    moved_and_read(target, tmp_path)

    rows = scene.add(np.array([[3]], dtype="<u2"), "SCALAR")
    values = scene.add(np.array([[0, 0, 7]], dtype="<f4"), "VEC3")
    views = [scene.document["accessors"].pop()["bufferView"] for _ in (rows, values)][::-1]
    scene.document["accessors"][0]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": views[0], "componentType": 5123},
        "values": {"bufferView": views[1]},
    }
    primitive["attributes"]["POSITION"] = 0
    target = read(tmp_path, scene.glb())
    assert target.vertices[3].tolist() == [0, 0, 7]
    moved_and_read(target, tmp_path)


def test_skin_stands_where_its_joints_put_it(tmp_path: Path) -> None:
    scene = Scene()
    joints = np.array([[0, 1, 0, 0]] * 4, dtype="u1")
    weights = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 0]], dtype="<f4")
    primitive = tetra(
        scene, JOINTS_0=scene.add(joints, "VEC4"), WEIGHTS_0=scene.add(weights, "VEC4")
    )
    inverse = np.tile(np.eye(4, dtype="<f4").ravel(), (2, 1))
    scene.document["scenes"] = [{"nodes": [0, 1]}]
    scene.document["nodes"] = [
        {"mesh": 0, "skin": 0, "translation": [100, 0, 0]},
        {"translation": [0, 1, 0], "children": [2]},
        {"translation": [0, 0, 4]},
    ]
    scene.document["meshes"] = [{"primitives": [primitive]}]
    scene.document["skins"] = [
        {"joints": [1, 2], "inverseBindMatrices": scene.add(inverse, "MAT4")}
    ]
    target = read(tmp_path, scene.glb())
    np.testing.assert_allclose(
        target.vertices, [[0, 1, 0], [1, 1, 4], [0, 2, 2], [0, 0, 1]], atol=1e-6
    )
    notes = target.save(tmp_path / "m.glb", target.vertices + 1)
    assert any("skinned" in note for note in notes)
    moved_and_read(target, tmp_path)


def test_textured_glb_by_trimesh(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    image = pytest.importorskip("PIL.Image")
    mesh = trimesh.creation.box()
    mesh.visual = trimesh.visual.TextureVisuals(
        uv=np.random.default_rng(0).random((len(mesh.vertices), 2)),
        material=trimesh.visual.material.PBRMaterial(
            baseColorTexture=image.new("RGB", (4, 4), (255, 0, 9))
        ),
    )
    scene = trimesh.Scene()
    frame = trimesh.transformations.euler_matrix(0.3, 0.2, 0.1)
    frame[:3, 3] = [1, 2, 3]
    scene.add_geometry(mesh, transform=frame)
    target = read(tmp_path, scene.export(file_type="glb"))
    assert target.extras == ["materials"]
    again = moved_and_read(target, tmp_path)
    loaded = trimesh.load(tmp_path / "o.glb")
    np.testing.assert_allclose(
        sorted(loaded.to_geometry().vertices.tolist()), sorted(again.vertices.tolist()), atol=1e-5
    )
    before, after = json_of(tmp_path / "t.glb"), json_of(tmp_path / "o.glb")
    for key in ("images", "textures", "materials", "nodes", "meshes"):
        assert before[key] == after[key]


@pytest.mark.parametrize("inline", [True, False])
def test_gltf_with_buffers_outside(tmp_path: Path, inline: bool) -> None:
    scene = Scene()
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [{"primitives": [tetra(scene)]}]
    scene.document["images"] = [{"uri": "skin%20a.png"}, {"uri": "../up.png"}]
    uri = "data:;base64," + base64.b64encode(scene.binary).decode() if inline else "a%20b.bin"
    scene.document["buffers"] = [{"byteLength": len(scene.binary), "uri": uri}]
    (tmp_path / "a b.bin").write_bytes(scene.binary)
    (tmp_path / "skin a.png").write_bytes(b"image")
    data = json.dumps(scene.document).encode()
    target = read(tmp_path, data, "t.gltf")
    target.save(tmp_path / "same.gltf", target.vertices)
    assert (tmp_path / "same.gltf").read_bytes() == data
    out = tmp_path / "out"
    out.mkdir()
    (out / "o.bin").write_bytes(b"somebody else's")
    new = target.vertices + 1
    notes = target.save(out / "o.gltf", new)
    assert (out / "o.bin").read_bytes() == b"somebody else's"
    assert (out / "skin a.png").read_bytes() == b"image"
    assert len(notes) == 1 and "up.png" in notes[0]
    np.testing.assert_allclose(read_target(out / "o.gltf").vertices, new)
    assert (tmp_path / "a b.bin").read_bytes() == bytes(scene.binary)
    # And packed into one file, and back.
    target.save(out / "p.glb", new)
    packed = read_target(out / "p.glb")
    np.testing.assert_allclose(packed.vertices, new)
    packed.save(out / "q.gltf", new + 1)
    np.testing.assert_allclose(read_target(out / "q.gltf").vertices, new + 1)


def test_refusals(tmp_path: Path) -> None:
    scene = Scene()
    primitive = tetra(scene)
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [{"primitives": [primitive]}]
    good = scene.glb()

    primitive["extensions"] = {"KHR_draco_mesh_compression": {}}
    with pytest.raises(PosetxError, match="Draco"):
        read(tmp_path, scene.glb())
    with pytest.raises(PosetxError, match="Draco"):
        read_scan(tmp_path / "t.glb")
    del primitive["extensions"]

    scene.document["accessors"][0]["count"] = 10**12
    with pytest.raises(PosetxError, match="truncated"):
        read(tmp_path, scene.glb())
    scene.document["accessors"][0]["count"] = 3
    with pytest.raises(PosetxError, match="not among 3"):
        read(tmp_path, scene.glb())
    scene.document["accessors"][0]["count"] = 4
    primitive["mode"] = 0
    with pytest.raises(PosetxError, match="no mesh with triangles"):
        read(tmp_path, scene.glb())
    scan = read_scan(tmp_path / "t.glb")
    assert len(scan.points) == 4 and scan.faces is None
    with pytest.raises(PosetxError, match="truncated"):
        read(tmp_path, good[:-9])
    with pytest.raises(PosetxError, match="glTF 1"):
        read(tmp_path, good[:4] + struct.pack("<I", 1) + good[8:])
    scene.document["nodes"] = [{"mesh": 0, "children": [0], "scale": [0, 0, 0]}]
    primitive["mode"] = 4
    with pytest.raises(PosetxError, match="no mesh"):
        read(tmp_path, scene.glb())
    text = b'{"asset":{"version":"2.0"},"buffers":[{"byteLength":9,"uri":"/etc/passwd"}]}'
    with pytest.raises(PosetxError, match="names the buffer"):
        read(tmp_path, text, "t.gltf")
    with pytest.raises(PosetxError, match="is missing"):
        read(tmp_path, text.replace(b"/etc/passwd", b"no.bin"), "t.gltf")


def stout(scene: Scene, weights: dict[str, Any], sparse: bool = False) -> np.ndarray:
    """A tetrahedron with a morph target that is twice as wide; what a weight of 1 adds."""
    added = np.zeros((4, 3), dtype="<f4")
    added[1, 0] = 1.0
    primitive = tetra(scene)
    primitive["targets"] = [{"POSITION": scene.add(added, "VEC3")}]
    if sparse:
        entry = scene.document["accessors"][-1]
        entry["sparse"] = {
            "count": 1,
            "indices": {"bufferView": scene.document["accessors"][scene.add(
                np.array([[1]], dtype="u1"), "SCALAR")]["bufferView"], "componentType": 5121},
            "values": {"bufferView": scene.document["accessors"][scene.add(
                added[1:2], "VEC3")]["bufferView"]},
        }  # fmt: skip
        del entry["bufferView"]
    scene.document["meshes"] = [{"primitives": [primitive]} | weights]
    scene.document["nodes"] = [{"mesh": 0, "scale": [2, 2, 2]}]
    return added


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("weights", "of_node", "shown"),
    [({"weights": [1.0]}, None, 1.0), ({"weights": [1.0]}, [0.25], 0.25), ({}, [0.5], 0.5),
     ({"weights": [0.0]}, None, 0.0), ({}, None, 0.0)],
)  # fmt: skip
def test_default_morph_weights_are_shown(
    tmp_path: Path, weights: dict[str, Any], of_node: list[float] | None, shown: float, sparse: bool
) -> None:
    scene = Scene()
    added = stout(scene, weights, sparse)
    if of_node:
        scene.document["nodes"][0]["weights"] = of_node
    target = read(tmp_path, scene.glb())
    np.testing.assert_allclose(target.vertices, 2 * (POINTS + shown * added))
    np.testing.assert_allclose(read_scan(tmp_path / "t.glb").points, target.vertices)
    moved_and_read(target, tmp_path)
    target.save(tmp_path / "same.glb", target.vertices)
    assert (tmp_path / "same.glb").read_bytes() == (tmp_path / "t.glb").read_bytes()


def test_nodes_with_weights_of_their_own_stop_sharing_a_mesh(tmp_path: Path) -> None:
    scene = Scene()
    added = stout(scene, {"weights": [1.0]})
    scene.document["nodes"].append({"mesh": 0, "weights": [0.5], "translation": [5, 0, 0]})
    scene.document["scenes"][0]["nodes"] = [0, 1]
    target = read(tmp_path, scene.glb())
    np.testing.assert_allclose(target.vertices[4:], POINTS + 0.5 * added + [5, 0, 0])
    moved_and_read(target, tmp_path)


def test_a_matrix_that_is_no_rotation_scale_and_shift_is_refused(tmp_path: Path) -> None:
    scene = Scene()
    matrix = np.eye(4)
    matrix[3, :3] = 0.5, 0, 0
    scene.document["nodes"] = [{"mesh": 0, "matrix": matrix.T.ravel().tolist()}]
    scene.document["meshes"] = [{"primitives": [tetra(scene)]}]
    for reader in (read_scan, read_target):
        (tmp_path / "t.glb").write_bytes(scene.glb())
        with pytest.raises(PosetxError, match="node 0 has a matrix"):
            reader(tmp_path / "t.glb")
    matrix[3, :3] = 1e-7, 0, 0  # rounding
    scene.document["nodes"][0]["matrix"] = matrix.T.ravel().tolist()
    np.testing.assert_allclose(read(tmp_path, scene.glb()).vertices, POINTS, atol=1e-6)


def test_a_vrm_is_a_glb_by_another_name(tmp_path: Path) -> None:
    scene = Scene()
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [{"primitives": [tetra(scene)]}]
    scene.document["extensions"] = {"VRM": {"specVersion": "0.0"}}
    (tmp_path / "a.vrm").write_bytes(scene.glb())
    assert len(read_scan(tmp_path / "a.vrm").points) == 4
    target = read_target(tmp_path / "a.vrm")
    target.save(tmp_path / "b.vrm", target.vertices + 1)
    assert Gltf((tmp_path / "b.vrm").read_bytes(), tmp_path / "b.vrm").document["extensions"] == {
        "VRM": {"specVersion": "0.0"}
    }
    np.testing.assert_allclose(read_target(tmp_path / "b.vrm").vertices, POINTS + 1)
    with pytest.raises(UsageError, match=r"\.glb cannot be written as \.vrm"):
        read(tmp_path, scene.glb()).save(tmp_path / "c.vrm", target.vertices)


@pytest.mark.parametrize(
    "damage",
    [{"images": [4]}, {"images": {"uri": "a"}}, {"images": [{"uri": 4}]}, {"buffers": "none"},
     {"nodes": [None]}, {"materials": [1]}, {"animations": [{"samplers": [{"input": 0}]}]}],
)  # fmt: skip
def test_what_cannot_be_written_again_is_one_line_before_anything_is_there(
    tmp_path: Path, damage: dict[str, Any]
) -> None:
    scene = Scene()
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [{"primitives": [tetra(scene)]}]
    data = scene.glb()
    length = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20 : 20 + length]) | damage
    (tmp_path / "t.glb").write_bytes(encode_glb(document, scene.binary, []))
    for suffix in (".glb", ".gltf"):
        with pytest.raises(PosetxError, match=r"t\.glb"):
            target = read_target(tmp_path / "t.glb")
            target.save(tmp_path / f"o{suffix}", target.vertices + 1)
    assert [p.name for p in tmp_path.iterdir()] == ["t.glb"]
