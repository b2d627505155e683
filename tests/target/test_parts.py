"""Characters in pieces, as GLB with node transforms: eyes, shoes and a sword stay whole and on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from posetx.bodies.body import BodyModel
from posetx.bodies.skeleton import JOINTS
from posetx.cli import app
from posetx.data.poses import PoseBank
from posetx.evaluation.protocols import pairs
from posetx.files.codecs.gltf import Gltf
from posetx.files.targets import read_target
from posetx.geometry.mesh import edge_distortion

#: how much farther a part may come to be from what it was on, of a body that is 1.7 high
SLACK = 0.03


def of_part(body: BodyModel, name: str) -> np.ndarray:
    """The body's vertices (k, 3) that move with a joint."""
    return body.template.double().numpy()[body.weights.numpy()[:, JOINTS.index(name)] > 0.7]


def add_parts(body: BodyModel) -> dict[str, trimesh.Trimesh]:
    """What the character has besides its skin, each in its place."""
    head, foot, hand = (of_part(body, name) for name in ("head", "foot.L", "hand.R"))
    eye = trimesh.creation.icosphere(2, 0.012)
    eye.apply_translation([0.03, head[:, 1].mean() + 0.02, head[:, 2].max() - 0.02])
    shoe = trimesh.creation.box(np.ptp(foot, axis=0) + 0.01).subdivide_to_size(0.03)
    shoe.apply_translation((foot.min(axis=0) + foot.max(axis=0)) / 2)
    sword = trimesh.creation.box([0.03, 0.9, 0.01]).subdivide_to_size(0.04)
    sword.apply_translation(hand.mean(axis=0) - [0, 0.35, 0])
    return {"eye": eye, "shoe": shoe, "sword": sword}


@pytest.mark.parametrize("refine", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_parts_stay_whole_and_where_they_were(
    tmp_path: Path, all_banks: dict[str, PoseBank], refine: bool
) -> None:
    body = BodyModel.load()
    person = next(pairs("seen", body, all_banks, 1))
    np.save(tmp_path / "scan.npy", person.points.double().numpy())
    skin = trimesh.Trimesh(body.template.double().numpy(), body.faces.numpy(), process=False)
    scene = trimesh.Scene()
    for number, (name, mesh) in enumerate({"skin": skin, **add_parts(body)}.items()):
        # Each mesh in a frame of its own, which its node undoes.
        frame = trimesh.transformations.euler_matrix(0.3 * number, 0.2, 0.1)
        frame[:3, 3] = [number, 2, 3]
        frame[:3, :3] *= 1 + number
        mesh = mesh.copy()
        mesh.apply_transform(np.linalg.inv(frame))
        scene.add_geometry(mesh, node_name=name, geom_name=name, transform=frame)
    (tmp_path / "t.glb").write_bytes(scene.export(file_type="glb"))

    arguments = ["transfer", str(tmp_path / "scan.npy"), str(tmp_path / "t.glb"), "--json"]
    arguments += ["-o", str(tmp_path / "o.glb"), *([] if refine else ["--no-refine"])]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["warnings"] == []
    before, after = read_target(tmp_path / "t.glb"), read_target(tmp_path / "o.glb")
    assert (before.faces == after.faces).all()
    old, new = (
        Gltf((tmp_path / n).read_bytes(), tmp_path / n).document for n in ("t.glb", "o.glb")
    )
    for key in ("nodes", "meshes", "scenes"):
        assert old[key] == new[key]

    blocks = before._blocks  # type: ignore[attr-defined]
    names = {i: node.get("name") for i, node in enumerate(old["nodes"])}
    rows = {names[b.node]: b for b in blocks}
    rest_skin, new_skin = (t.vertices[rows["skin"].rows] for t in (before, after))
    assert edge_distortion(rest_skin, rows["skin"].triangles(), new_skin) < 0.06
    for name in ("eye", "shoe", "sword"):
        part = rows[name]
        rest, posed = before.vertices[part.rows], after.vertices[part.rows]
        assert edge_distortion(rest, part.triangles(), posed) < 0.05, name
        distance, nearest = cKDTree(rest_skin).query(rest)
        at = distance.argmin()
        gap = np.linalg.norm(posed[at] - new_skin[nearest[at]])
        assert gap < distance[at] + SLACK, name
