"""Synthetic bodies and their simulated scans as files: what `posetx bodies` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posetx.arrays import Indices
from posetx.bodies.body import BodyModel, global_rotations
from posetx.data.identities import Identity, draw_identities, draw_rest_poses
from posetx.data.poses import PoseBank
from posetx.data.prior import draw_prior
from posetx.data.scanner import ScannerSettings, simulate_scans
from posetx.data.surface import posed as posed_by
from posetx.data.write_settings import BodiesSettings as BodiesSettings
from posetx.errors import FieldError, UsageError
from posetx.files.atomic import check_can_be_folder, check_free, write_bytes_atomic
from posetx.files.scan_write import encode_ply
from posetx.files.unfinished import sweep
from posetx.geometry.sampling import sample_surface

#: What the virtual scanner looks at: points on the skin, about 6 mm apart on an adult.
SURFACE_SAMPLES = 60_000


@dataclass(frozen=True)
class Item:
    """One body to write: which identity in which pose, and where to."""

    identity: int
    pose: int
    mesh: Path
    scan: Path | None


def plan(out: Path, settings: BodiesSettings) -> list[Item]:
    """The files that :func:`write_bodies` will write, in order. Raises UsageError."""
    if settings.poses == "clips" and settings.mocap is None:
        raise FieldError("mocap", "DIR", "poses from clips need a folder of BVH files")
    if settings.poses != "clips" and settings.mocap is not None:
        raise FieldError("poses", settings.poses, "does not go with a folder of clips; use clips")
    if settings.layout == "npt" and settings.format != "obj":
        raise FieldError(
            "format", settings.format, "the SMPL-NPT layout is made of OBJ files; use obj"
        )
    items = []
    if settings.layout == "npt":
        pairs = [(i, j) for i in range(settings.identities) for j in range(settings.count)]
        names = [(f"id{i}_{j}", f"id{i}_{j}_scan") for i, j in pairs]
    else:
        digits = max(4, len(str(settings.count - 1)))
        pairs = [(i, i) for i in range(settings.count)]
        names = [(f"body_{i:0{digits}}", f"scan_{i:0{digits}}") for i, _ in pairs]
    for (identity, pose), (mesh, scan) in zip(pairs, names, strict=True):
        scan_path = out / f"{scan}.ply" if settings.scan else None
        items.append(Item(identity, pose, out / f"{mesh}.{settings.format}", scan_path))
    return items


def write_bodies(
    out: Path,
    settings: BodiesSettings,
    *,
    overwrite: bool = False,
    on_item: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write bodies (metres, y up, feet at y = 0, facing +z) into the folder ``out``.

    ``on_item`` is told after each body how many of how many are done. Returns a summary. Raises
    UsageError before anything is written when a file is there and ``overwrite`` is not set, and
    PosetxError where nothing can be written.
    """
    items = plan(out, settings)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; name a folder")
    check_can_be_folder(out)
    for item in items:
        for path in filter(None, (item.mesh, item.scan)):
            check_free(path, overwrite)

    body = BodyModel.load()
    generator = torch.Generator().manual_seed(settings.seed)
    people = 1 + max(item.identity for item in items)
    identities = draw_identities(body, people, generator, varied=True)
    rotations = draw_poses(body, settings, generator)
    faces = body.faces.numpy()
    encode = ENCODERS[settings.format](faces)
    out.mkdir(parents=True, exist_ok=True)
    sweep(out)
    for done, item in enumerate(items, 1):
        who = identities[item.identity : item.identity + 1]
        posed = pose_identity(body, who, rotations[item.pose : item.pose + 1])[0]
        posed[:, 1] -= posed[:, 1].min()
        vertices = posed.numpy()
        write_bytes_atomic(item.mesh, encode(vertices))
        if item.scan is not None:
            views = (settings.views, settings.views) if settings.views else None
            points = scan_mesh(vertices, faces, settings.scan_points, generator, views=views)
            write_bytes_atomic(item.scan, encode_ply(points))
        if on_item:
            on_item(done, len(items))
    return {
        "folder": out,
        "layout": settings.layout,
        "bodies": len(items),
        "identities": people,
        "poses": len(rotations),
        "pose_source": settings.poses,
        "scans": sum(item.scan is not None for item in items),
        "vertices": len(body.template),
        "faces": len(faces),
        "seed": settings.seed,
        "files": [path for item in items for path in (item.mesh, item.scan) if path],
    }


def draw_poses(body: BodyModel, settings: BodiesSettings, generator: torch.Generator) -> Tensor:
    """Global rotations (count, 19, 3, 3) from the source that the settings name."""
    if settings.poses == "rest":
        return draw_rest_poses(body, settings.count, generator)
    if settings.poses == "clips" and settings.mocap is not None:
        bank = PoseBank.from_bvh(settings.mocap, body, "all")
        return bank.draw(settings.count, generator)
    return global_rotations(draw_prior("train", settings.count, settings.seed).local)


def pose_identity(body: BodyModel, identity: Identity, rotations: Tensor) -> Tensor:
    """Vertices (B, V, 3) of identities, scales and soft offsets included, in global rotations."""
    rest, joints = body.rest(identity.coefficients)
    rest = rest + identity.offsets(rest)
    return posed_by(rest, body.weights, joints, rotations, identity)[0]


def scan_mesh(
    vertices: NDArray[Any],
    faces: Indices,
    count: int,
    generator: torch.Generator,
    *,
    views: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """A simulated scan (count, 3) of a mesh, by one to eight cameras or as many as ``views``."""
    samples = max(SURFACE_SAMPLES, 3 * count)
    points, face, _ = sample_surface(vertices, faces, samples)
    corners = vertices[faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    doubled = np.linalg.norm(normals, axis=1)
    normals /= np.maximum(doubled, 1e-12)[:, None]
    scans, _ = simulate_scans(
        torch.from_numpy(points).float()[None],
        torch.from_numpy(normals[face]).float()[None],
        count,
        generator,
        cell=2.0 * float(doubled.sum() / 2 / samples) ** 0.5,
        settings=ScannerSettings(views=views) if views else None,
    )
    return np.asarray(scans[0].numpy(), np.float32)


def obj_encoder(faces: Indices) -> Callable[[NDArray[Any]], bytes]:
    """A function from vertices (V, 3) to the bytes of an OBJ file; the faces are put down once."""
    lines = ("f %d %d %d\n" * len(faces)) % tuple((faces + 1).ravel().tolist())
    tail = lines.encode("ascii")

    def encode(vertices: NDArray[Any]) -> bytes:
        text = ("v %.6f %.6f %.6f\n" * len(vertices)) % tuple(vertices.ravel().tolist())
        return text.encode("ascii") + tail

    return encode


def ply_encoder(faces: Indices) -> Callable[[NDArray[Any]], bytes]:
    """A function from vertices (V, 3) to the bytes of a binary PLY file."""
    return lambda vertices: encode_ply(vertices, faces)


ENCODERS = {"obj": obj_encoder, "ply": ply_encoder}
