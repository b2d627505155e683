"""All commands that write, each as short as it can be, and whether what they wrote is whole."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from posetx.bodies.body import BodyModel
from posetx.bodies.skeleton import PARENTS
from posetx.data.bvh import read_bvh
from posetx.data.bvh_write import encode_bvh
from posetx.files.scans import read_scan
from posetx.files.targets import read_target
from posetx.models.checkpoint import load_network, save_model
from posetx.models.registry import build, config_named
from posetx.training.checkpoint import load_state

TINY = {"width": 16, "pose_points": 32, "identity_points": 32}
SMALL = {"width": 32, "code": 32, "depth": 1, "decoder_width": 16, "decoder_blocks": 1}
#: What `models export` writes where tests/cli/forked.py makes it short, and `bench speed` measures.
ONNX = b"network\n" * 10_000
SPEED: dict[str, Any] = {
    "machine": "this one",
    "rows": [],
    "memory": [],
    "growth": {},
    "networks": [],
    "command": {"points": 1, "vertices": 1, "seconds": 1.0, "processor": 1.0},
}
MARKED = "Words.\n\n<!-- attacks: strength -->\n<!-- /attacks -->\n\nMore.\n"


@dataclass(frozen=True)
class Writer:
    """A command's arguments, of what is in OUT before and IN, and the names of what it writes."""

    arguments: str
    names: frozenset[str]
    #: files of IN that are in OUT from the start
    before: tuple[str, ...] = ()

    def told(self, given: Path, out: Path) -> list[str]:
        """The arguments, with their folders."""
        words = self.arguments.split()
        return [w.replace("IN/", f"{given}/").replace("OUT", str(out)) for w in words]

    def prepare(self, given: Path, out: Path) -> None:
        """The folder as it is before."""
        out.mkdir()
        for name in self.before:
            shutil.copy(given / name, out / name)


def writer(arguments: str, names: str, before: str = "") -> Writer:
    return Writer(arguments, frozenset(names.split()), tuple(before.split()))


FAST = "--no-refine --no-restore -m IN/small.safetensors"
LEARN = "--model npt --width 16 --batch 8 --pose-points 32 --identity-points 32"
WRITERS: dict[str, Writer] = {
    "transfer": writer(
        f"transfer IN/a.npy IN/t.obj -o OUT/o.obj --summary OUT/s.json {FAST}",
        "o.obj s.json t.mtl maps maps/skin.png",
    ),
    "transfer over": writer(
        f"transfer IN/a.npy IN/t.obj -o OUT/a.obj --overwrite {FAST}",
        "a.obj t.mtl maps maps/skin.png",
        "a.obj",
    ),
    "transfer to gltf": writer(
        f"transfer IN/a.npy IN/t.gltf -o OUT/o.gltf {FAST}", "o.gltf o.bin skin.png"
    ),
    "transfer with a picture": writer(
        f"transfer IN/a.npy IN/t.obj -o OUT/o.ply --preview OUT/p.png {FAST}", "o.ply p.png"
    ),
    "transfer many": writer(
        f"transfer IN/a.npy IN/b.npy IN/t.obj -o OUT/r --summary OUT/s.json {FAST}",
        "r r/a.obj r/b.obj r/t.mtl r/maps r/maps/skin.png s.json",
    ),
    "pose": writer(
        "pose IN/a.npy -o OUT/o.json --body OUT/b.ply --summary OUT/s.json --no-refine "
        "-m IN/small.safetensors",
        "o.json b.ply s.json",
    ),
    "pose many": writer(
        "pose IN/a.npy IN/b.npy -o OUT/o.bvh --body OUT/r --body-format obj --summary OUT/s.json "
        "--no-refine -m IN/small.safetensors",
        "o.bvh r r/a.obj r/b.obj s.json",
    ),
    "pose with a page": writer(
        "pose IN/a.npy -o OUT/o.json --view OUT/v.html --no-refine -m IN/small.safetensors",
        "o.json v.html",
    ),
    "pose many with a page": writer(
        "pose IN/a.npy IN/b.npy -o OUT/o.npz --view OUT/v.html --no-refine "
        "-m IN/small.safetensors",
        "o.npz v.html",
    ),
    "animate": writer(
        f"animate IN/c.bvh IN/t.obj -o OUT/o.glb --summary OUT/s.json {FAST}", "o.glb s.json"
    ),
    "animate by scans": writer(
        f"animate IN/a.npy IN/b.npy IN/t.gltf -o OUT/o.glb --morph --poses OUT/p {FAST}",
        "o.glb skin.png p p/a.npz p/b.npz",
    ),
    "animate with a page": writer(
        f"animate IN/a.npy IN/b.npy IN/t.obj -o OUT/o.glb --view OUT/v.html {FAST}",
        "o.glb v.html",
    ),
    "animate meshes": writer(
        f"animate IN/c.bvh IN/t.obj -o OUT/r {FAST}",
        "r r/frame_0000.obj r/frame_0001.obj r/t.mtl r/maps r/maps/skin.png",
    ),
    "animate arrays": writer(f"animate IN/c.bvh IN/t.obj -o OUT/o.npz {FAST}", "o.npz"),
    "transfer with a page": writer(
        f"transfer IN/a.npy IN/t.obj -o OUT/o.ply --view OUT/v.html {FAST}", "o.ply v.html"
    ),
    "view": writer("view IN/a.npy IN/t.obj IN/t.gltf -o OUT/v.html", "v.html"),
    "view over": writer("view IN/t.obj -o OUT/a.html --overwrite", "a.html", "a.html"),
    "clean": writer("clean IN/a.npy -o OUT/o.ply --summary OUT/s.json", "o.ply s.json"),
    "clean with a page": writer("clean IN/a.npy -o OUT/o.ply --view OUT/v.html", "o.ply v.html"),
    "clean many": writer(
        "clean IN/a.npy IN/b.npy -o OUT/r --format obj --summary OUT/s.json",
        "r r/a.obj r/b.obj s.json",
    ),
    "attack": writer(
        "attack IN/a.npy IN/t.obj -o OUT/a.ply --steps 1 --no-refine -m IN/small.safetensors "
        "--report OUT/r",
        "a.ply r r/before.obj r/after.obj r/perturbation.ply r/damage.ply r/attack.png "
        "r/attack.json r/t.mtl r/maps r/maps/skin.png",
    ),
    "attack with a page": writer(
        "attack IN/a.npy IN/t.obj -o OUT/a.ply --steps 1 --no-refine -m IN/small.safetensors "
        "--view OUT/v.html",
        "a.ply v.html",
    ),
    "attack-dataset": writer(
        "attack-dataset seen -m IN/npt.safetensors -o OUT/a.json --pairs 1 --method noise", "a.json"
    ),
    "attack-tables": writer(
        "attack-tables OUT/a.json -m IN/npt.safetensors -t strength -t parts --pairs 1 "
        "--into OUT/d.md",
        "a.json d.md",
        "d.md",
    ),
    "evaluate": writer(
        "evaluate -m IN/small.safetensors -p scan --pairs 1 --restored 0 --no-refine "
        "--details OUT/d.json",
        "d.json",
    ),
    "evaluate a card": writer(
        "evaluate -m OUT/npt.safetensors -p seen --pairs 1 --update-card",
        "npt.safetensors npt.json",
        "npt.safetensors npt.json",
    ),
    "calibrate": writer(
        "calibrate OUT/npt.safetensors IN/details.json",
        "npt.safetensors npt.json",
        "npt.safetensors npt.json",
    ),
    "card": writer(
        "card OUT/c -m OUT/small.safetensors --pairs 1 --attacked 0 --into OUT/d.md",
        "c c/figures.json small.safetensors small.json d.md",
        "small.safetensors small.json d.md",
    ),
    "bench": writer(
        "bench OUT/b -n npt-mp --threads 1",
        "b b/bench.json "
        + " ".join(
            f"b/{run} b/{run}/checkpoint.pt b/{run}/stable.pt b/{run}/{run}.safetensors "
            f"b/{run}/{run}.json"
            for run in ("npt-mp", "npt-mp-adv")
        ),
    ),
    "bench speed": writer("bench speed -o OUT/s.json -m IN/small.safetensors", "s.json"),
    "models export": writer("models export IN/npt.safetensors -o OUT/n.onnx", "n.onnx"),
    "trials": writer(
        "trials OUT/t --samples 16 --batch 8 --validation 4 --only plain --table OUT/t.md",
        "t t/trials.json t.md",
    ),
    "train": writer(
        f"train OUT/r --samples 160 --checkpoint-minutes 0.01 {LEARN}",
        "r r/checkpoint.pt r/stable.pt r/log.csv r/npt.json r/npt.safetensors",
    ),
    "curves": writer("curves IN/log.csv -o OUT/c.png", "c.png"),
    "codes": writer(
        "codes -o OUT/c.png -m IN/small.safetensors --groups 2 --members 2 --steps 2", "c.png"
    ),
    "bodies": writer(
        "bodies OUT/b -n 3 --scan --scan-points 500",
        "b " + " ".join(f"b/{name}_000{i}.ply" for i in range(3) for name in ("body", "scan")),
    ),
}  # fmt: skip


def make_inputs(folder: Path) -> None:
    """Two scans, a target with a material and a texture, in two formats, a network, details."""
    body = BodyModel.load()
    points = body.template.double().numpy()
    np.save(folder / "a.npy", points[::4])
    np.save(folder / "b.npy", points[1::4])
    mesh = "".join("v {:.5f} {:.5f} {:.5f}\n".format(*p) for p in points.tolist())
    mesh += "".join("f {} {} {}\n".format(*f) for f in (body.faces.numpy() + 1).tolist())
    (folder / "t.obj").write_text(f"mtllib t.mtl\n{mesh}")
    (folder / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (folder / "a.html").write_text("<!doctype html></html>")
    (folder / "t.mtl").write_text("newmtl a\nmap_Kd maps/skin.png\n")
    (folder / "maps").mkdir()
    Image.new("RGB", (64, 64), (200, 150, 120)).save(folder / "maps" / "skin.png")
    shutil.copy(folder / "maps" / "skin.png", folder)
    offsets = body.joint_template.double().numpy()
    offsets[1:] -= offsets[list(PARENTS[1:])]
    local, roots = np.tile(np.eye(3), (2, 19, 1, 1)), np.array([[0, 0.9, 0], [0, 0.9, 0.1]])
    (folder / "c.bvh").write_bytes(encode_bvh(offsets, {}, local, roots, 0.1))
    write_gltf(folder / "t.gltf", points, body.faces.numpy())
    torch.manual_seed(0)
    for name, config in (
        ("npt", config_named("npt", **TINY)),
        ("small", config_named("posemae", **SMALL)),
    ):
        network = build(config)
        save_model(folder / f"{name}.safetensors", config, network.state_dict(), {})
    (folder / "d.md").write_text(MARKED)
    (folder / "log.csv").write_text("samples,minutes,pmd\n8,0.1,0.02\n16,0.2,0.01\n")
    pairs = [{"pmd": i % 3 * 1e-4, "distance": i / 100, "missed": i / 50} for i in range(12)]
    (folder / "details.json").write_text(json.dumps({"scan": pairs}))


def write_gltf(path: Path, points: np.ndarray, faces: np.ndarray) -> None:
    """A .gltf with a buffer and an image beside it."""
    parts = [points.astype("<f4").tobytes(), faces.astype("<u4").tobytes()]
    kinds = [(5126, "VEC3", len(points)), (5125, "SCALAR", faces.size)]
    path.with_suffix(".bin").write_bytes(b"".join(parts))
    views = [
        {"buffer": 0, "byteOffset": begin, "byteLength": len(part)}
        for begin, part in zip((0, len(parts[0])), parts, strict=True)
    ]
    accessors = [
        {"bufferView": i, "componentType": kind, "type": shape, "count": count}
        for i, (kind, shape, count) in enumerate(kinds)
    ]
    accessors[0] |= {"min": points.min(0).tolist(), "max": points.max(0).tolist()}
    document = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": sum(map(len, parts)), "uri": f"{path.stem}.bin"}],
        "images": [{"uri": "skin.png"}],
    }
    path.write_text(json.dumps(document))


def whole_table(path: Path) -> None:
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert len({len(row) for row in rows}) == 1


def whole_words(path: Path) -> None:
    text = path.read_text()
    assert text.count("<!-- attacks") == text.count("<!-- /attacks") and text.endswith("\n")


def whole_network(path: Path) -> None:
    assert path.read_bytes() == ONNX


def whole_page(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("<!doctype html>") and text.endswith("</html>")


CHECKS: dict[str, Callable[[Path], object]] = {
    ".obj": read_scan,
    ".gltf": read_target,
    ".glb": read_target,
    ".npz": np.load,
    ".ply": read_scan,
    ".json": lambda path: json.loads(path.read_text()),
    ".png": lambda path: Image.open(path).load(),
    ".safetensors": lambda path: load_network(str(path)),
    ".onnx": whole_network,
    ".pt": lambda path: load_state(path, torch.device("cpu")),
    ".csv": whole_table,
    ".md": whole_words,
    ".html": whole_page,
    ".bin": lambda path: None,  # which its .gltf says more about
    ".bvh": lambda path: read_bvh(path, BodyModel.load().joint_template.numpy()),
    ".mtl": lambda path: path.read_text().index("skin.png"),
}


def contents(out: Path) -> set[str]:
    """Names of all that is there."""
    return {str(path.relative_to(out)) for path in out.rglob("*")}


def check_whole(out: Path) -> None:
    """Every file below a folder can be read."""
    for path in out.rglob("*"):
        if path.is_file():
            CHECKS[path.suffix](path)
