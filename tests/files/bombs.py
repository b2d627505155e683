"""Little files that ask for much: gigabytes, or minutes."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from posetx.bodies.skeleton import BVH_NAMES, PARENTS
from tests.files.test_gltf import Scene, tetra

TRIANGLES = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\nf 1/1 2/1 3/1\nf 1/1 2/1 4/1\n"


def skinned_instances() -> bytes:
    scene = Scene()
    joints = scene.add(np.array([[0, 1, 0, 0]] * 4, dtype="u1"), "VEC4")
    weights = scene.add(np.full((4, 4), 0.25, dtype="<f4"), "VEC4")
    scene.document["nodes"] = [{"mesh": 0, "skin": i % 500} for i in range(2000)]
    scene.document["scenes"] = [{"nodes": list(range(2000))}]
    scene.document["skins"] = [{"joints": [i, i + 1]} for i in range(500)]
    scene.document["meshes"] = [{"primitives": [tetra(scene, JOINTS_0=joints, WEIGHTS_0=weights)]}]
    return scene.glb()


def instances_of(count: int, vertices: int) -> bytes:
    scene = Scene()
    points = scene.add(np.zeros((vertices, 3), dtype="<f4"), "VEC3")
    primitive: dict[str, Any] = {"attributes": {"POSITION": points}}
    scene.document["nodes"] = [{"mesh": 0} for _ in range(count)]
    scene.document["scenes"] = [{"nodes": list(range(count))}]
    scene.document["meshes"] = [{"primitives": [primitive]}]
    return scene.glb()


def many_primitives() -> bytes:
    scene = Scene()
    primitive = tetra(scene)
    scene.document["nodes"] = [{"mesh": 0} for _ in range(2000)]
    scene.document["scenes"] = [{"nodes": list(range(2000))}]
    scene.document["meshes"] = [{"primitives": [primitive] * 2000}]
    return scene.glb()


def sparse() -> bytes:
    scene = Scene()
    primitive = tetra(scene)
    scene.document["accessors"] += [
        {"componentType": 5126, "type": "VEC3", "count": 2_000_000,
         "sparse": {"count": 0, "indices": {"bufferView": 2, "componentType": 5123},
                    "values": {"bufferView": 0}}}
    ] * 300  # fmt: skip
    begin = len(scene.document["accessors"]) - 300
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [
        {"primitives": [{**primitive, "attributes": {"POSITION": begin + i}} for i in range(300)]}
    ]
    return scene.glb()


def overlapping() -> bytes:
    scene = Scene()
    scene.add(np.zeros((20_000, 3), dtype="<f4"), "VEC3")
    scene.document["accessors"] = [
        {"bufferView": 0, "byteOffset": 4 * i, "componentType": 5126, "type": "VEC3",
         "count": 19_000}
        for i in range(900)
    ]  # fmt: skip
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [
        {"primitives": [{"attributes": {"POSITION": i}} for i in range(900)]}
    ]
    return scene.glb()


def packed_npz() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, points=np.zeros((20_000_000, 3)))
    return stream.getvalue()


def libraries(count: int) -> dict[str, bytes]:
    spelt = "".join(f"mtllib {'./' * (i % 60)}m.mtl\n" for i in range(count))
    cube = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n"
    textures = "".join(f"map_Kd t{i}.png\n" for i in range(20_000))
    return {"a.obj": (spelt + cube).encode(), "m.mtl": textures.encode()}


def one_triangle() -> tuple[Scene, dict[str, Any]]:
    """A scene of one node, and its primitive."""
    scene = Scene()
    primitive = tetra(scene)
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["scenes"] = [{"nodes": [0]}]
    scene.document["meshes"] = [{"primitives": [primitive]}]
    return scene, primitive


def skeletons_that_merge(count: int) -> bytes:
    """Each skin is one skeleton with all that came before it."""
    scene, _ = one_triangle()
    scene.document["nodes"] = [{"mesh": 0, "skin": 0}, *({} for _ in range(count))]
    single = [{"joints": [count - i]} for i in range(count - 1)]
    scene.document["skins"] = single + [{"joints": [i, i + 1]} for i in range(count - 1, 0, -1)]
    return scene.glb()


def accessors_of_one_view(count: int) -> bytes:
    scene, primitive = one_triangle()
    accessors = scene.document["accessors"]
    begin, position = len(accessors), accessors[primitive["attributes"]["POSITION"]]
    accessors += [dict(position) for _ in range(count)]
    scene.document["meshes"] = [
        {"primitives": [{**primitive, "attributes": {"POSITION": begin + i}} for i in range(count)]}
    ]
    return scene.glb()


def nodes_of_one_mesh(count: int) -> bytes:
    scene, _ = one_triangle()
    scene.document["nodes"] = [{"mesh": 0, "translation": [i, 0, 0]} for i in range(count)]
    scene.document["scenes"] = [{"nodes": list(range(count))}]
    return scene.glb()


def buffers_of_one_file(count: int) -> dict[str, bytes]:
    scene, _ = one_triangle()
    data = scene.glb()
    document = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    document["buffers"] = [{"uri": "b.bin", "byteLength": 500_000}] * count
    return {"a.gltf": json.dumps(document).encode(), "b.bin": bytes(500_000)}


def images_of_one_file(count: int) -> dict[str, bytes]:
    scene, primitive = one_triangle()
    uv = scene.add(np.zeros((4, 2), dtype="<f4"), "VEC2")
    attributes = {**primitive["attributes"], "TEXCOORD_0": uv}
    scene.document["images"] = [{"uri": "./" * (i % 9) + "a.png"} for i in range(count)]
    scene.document["textures"] = [{"source": i} for i in range(count)]
    scene.document["materials"] = [
        {"pbrMetallicRoughness": {"baseColorTexture": {"index": i}}} for i in range(count)
    ]
    scene.document["meshes"][0]["primitives"] = [
        {**primitive, "attributes": attributes, "material": i} for i in range(count)
    ]
    return {"a.glb": scene.glb(), "a.png": png(500) + bytes(600_000)}


def png(size: int, mode: str = "RGBA") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (size, size)).save(stream, "PNG")
    return stream.getvalue()


def ply_of_one_image(count: int) -> dict[str, bytes]:
    names = "".join(f"comment TextureFile {'./' * (i % 9)}a.png\n" for i in range(count))
    columns = "".join(f"property float {name}\n" for name in "xyzst")
    header = f"ply\nformat ascii 1.0\n{names}element vertex 3\n{columns}element face 1\n"
    header += "property list uchar int vertex_indices\nend_header\n"
    return {"a.ply": (header + "0 0 0 0 0\n1 0 0 0 0\n0 1 0 0 0\n3 0 1 2\n").encode(),
            "a.png": png(600)}  # fmt: skip


def materials_of_one_image(count: int) -> dict[str, bytes]:
    used = "".join(f"usemtl m{i}\nf 1/1 2/1 3/1\n" for i in range(count))
    library = "".join(f"newmtl m{i}\nmap_Kd {'./' * (i % 9)}a.png\nbump a.png\n"
                      for i in range(count))  # fmt: skip
    return {"a.obj": f"mtllib m.mtl\n{TRIANGLES}{used}".encode(), "m.mtl": library.encode(),
            "a.png": png(1000)}  # fmt: skip


def images_in_pairs(count: int) -> dict[str, bytes]:
    """Every image of colours with every one of opacity."""
    both = [(i, j) for i in range(count) for j in range(count)]
    used = "".join(f"usemtl m{i}_{j}\nf 1/1 2/1 3/1\n" for i, j in both)
    library = "".join(f"newmtl m{i}_{j}\nmap_Kd c{i}.png\nmap_d o{j}.png\n" for i, j in both)
    images = {f"{kind}{i}.png": png(300) for kind in "co" for i in range(count)}
    files = {"a.obj": f"mtllib m.mtl\n{TRIANGLES}{used}", "m.mtl": library}
    return {name: text.encode() for name, text in files.items()} | images


def one_cleaned_name(count: int) -> dict[str, bytes]:
    """Materials whose names are different, and become one word."""
    names = [chr(0x2190 + i % 200) + chr(0x2500 + i // 200) for i in range(count)]
    used = "".join(f"usemtl {name}\nf 1/1 2/1 3/1\n" for name in names)
    return {"a.obj": (TRIANGLES + used).encode()}


def libraries_named_often(count: int) -> dict[str, bytes]:
    lines = f"mtllib {'m.mtl ' * count}\n"
    lines += "".join(f"mtllib {'./' * (i % 40)}m.mtl n{i}.mtl\n" for i in range(count))
    materials = "".join(f"newmtl {i}\n" for i in range(5000))
    return {"a.obj": (lines + TRIANGLES).encode(), "m.mtl": materials.encode()}


def packed_3mf() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("3D/3dmodel.model", b'<vertex x="0" y="0" z="0"/>' * 4_000_000)
    return stream.getvalue()


def groups_of_groups(depth: int) -> bytes:
    """X3D: a triangle, ten times for each step of depth."""
    text = "<Shape><IndexedFaceSet coordIndex='0 1 2 -1'>"
    text += "<Coordinate point='0 0 0 1 0 0 0 1 0'/></IndexedFaceSet></Shape>"
    text = f"<Group DEF='g0'>{text}</Group>"
    for i in range(1, depth):
        text += f"<Group DEF='g{i}'>" + f"<Group USE='g{i - 1}'/>" * 10 + "</Group>"
    return f"<X3D profile='Interchange' version='3.0'><Scene>{text}</Scene></X3D>".encode()


def options_of_an_image(count: int) -> dict[str, bytes]:
    line = f"newmtl a\nmap_Kd {'-o 1 ' * count}a.png\n"
    return {"a.obj": f"mtllib m.mtl\n{TRIANGLES}usemtl a\nf 1 2 3\n".encode(),
            "m.mtl": line.encode()}  # fmt: skip


def frames_of_two_bytes(count: int) -> bytes:
    """A clip whose skeleton is whole, and whose root alone moves, by one number."""

    def joint(index: int) -> str:
        word, channels = ("ROOT", "1 Xrotation") if index == 0 else ("JOINT", "0")
        below = "".join(joint(i) for i, parent in enumerate(PARENTS) if parent == index)
        below = below or "End Site\n{\nOFFSET 0 1 0\n}\n"
        name = BVH_NAMES[index][0]
        return f"{word} {name}\n{{\nOFFSET 0 1 0\nCHANNELS {channels}\n{below}}}\n"

    head = f"HIERARCHY\n{joint(0)}MOTION\nFrames: {count}\nFrame Time: 0.01\n"
    return (head + "0\n" * count).encode()


GRID = "0\n0\n" + "0\n" * 4 + "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
BOMBS: dict[str, Callable[[], dict[str, bytes]]] = {
    "skins": lambda: {"a.glb": skinned_instances()},
    "instances": lambda: {"a.glb": instances_of(3000, 10_000)},
    "primitives": lambda: {"a.glb": many_primitives()},
    "sparse": lambda: {"a.glb": sparse()},
    "overlapping": lambda: {"a.glb": overlapping()},
    "libraries": lambda: libraries(1000),
    "npz": lambda: {"a.npz": packed_npz()},
    "gzip": lambda: {"a.xyz.gz": gzip.compress(b"0 0 0\n" * 30_000_000, 9)},
    "continued": lambda: {"a.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf " + b"1 \\\n" * 200_000 + b"2\n"},
    "merging": lambda: {"a.glb": skeletons_that_merge(8000)},
    "accessors": lambda: {"a.glb": accessors_of_one_view(3000)},
    "nodes of a mesh": lambda: {"a.glb": nodes_of_one_mesh(5000)},
    "buffers": lambda: buffers_of_one_file(3000),
    "images": lambda: images_of_one_file(2000),
    "images of a ply": lambda: ply_of_one_image(30_000),
    "materials": lambda: materials_of_one_image(500),
    "pairs": lambda: images_in_pairs(20),
    "pixels": lambda: {
        "a.obj": f"mtllib m.mtl\n{TRIANGLES}usemtl a\nf 1 2 3\n".encode(),
        "m.mtl": b"newmtl a\nmap_Kd a.png\nmap_d a.png\n",
        "a.png": png(9400, "1"),
    },
    "names": lambda: one_cleaned_name(4000),
    "libraries again": lambda: libraries_named_often(5000),
    "options": lambda: options_of_an_image(100_000),
    "3mf": lambda: {"a.3mf": packed_3mf()},
    "brackets": lambda: {"a.csv": b"(" * 100_000 + b"\n1,2,3\n4,5,6\n"},
    "gzip parts": lambda: {"a.xyz.gz": gzip.compress(b"") * 60_000 + gzip.compress(b"0 0 0\n")},
    "grids": lambda: {"a.ptx": GRID.encode() * 30_000},
    "frames": lambda: {"a.bvh": frames_of_two_bytes(900_000)},
    "nested": lambda: {"a.gltf": b'{"asset":' * 100_000},
}  # fmt: skip
