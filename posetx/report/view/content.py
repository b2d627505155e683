"""A view as the page's scripts take it: plain JSON, with its arrays packed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from posetx.arrays import Floats, Indices
from posetx.errors import PosetxError
from posetx.files.looks import Looks
from posetx.geometry.mesh import weld
from posetx.geometry.ramp import SCALAR_COLORS, palette
from posetx.report.stage import CLOUD_COLORS, brightened
from posetx.report.view.images import page_image
from posetx.report.view.normals import cloud_normals, signs_of
from posetx.report.view.pack import STEPS, Packer
from posetx.report.view.subject import Layer, Skin, Subject, View

#: Points of a cloud that are drawn, at most.
CLOUD_LIMIT = 200_000

#: Vertices of a mesh that is drawn as one; larger ones are drawn as clouds.
MESH_LIMIT = 1_000_000


def content_of(view: View) -> dict[str, Any]:
    """What the page's scripts read; what cannot be shown is added to the view's warnings.

    Raises
    ------
    PosetxError
        nothing is to be shown, or a subject has no points, or frames that differ in their counts
    """
    if not view.subjects:
        raise PosetxError(f"{view.title}: nothing to show")
    packer, images = Packer(), list[dict[str, str]]()
    warnings = list(view.warnings)
    orders = [_order(subject) for subject in view.subjects]
    subjects = [
        _subject(subject, order, packer, images, warnings)
        for subject, order in zip(view.subjects, orders, strict=True)
    ]
    view.warnings = list(dict.fromkeys(warnings))
    return {
        "title": printable(view.title),
        "facts": [{**asdict(fact), "value": printable(fact.value)} for fact in view.facts],
        "warnings": [printable(text) for text in view.warnings],
        "palette": [list(color) for color in SCALAR_COLORS],
        "layer": view.layer,
        "seconds": view.seconds,
        "way": None if view.way is None else {"places": view.way.tolist(), "far": view.far},
        "subjects": subjects,
        "layers": [_layer(layer, orders, packer) for layer in view.layers],
        "images": images,
        "buffers": packer.buffers,
    }


def _order(subject: Subject) -> Indices | None:
    """Which points are drawn, (k,), what was left out last; None for all as they are."""
    count = subject.count
    if not count:
        raise PosetxError(f"{subject.name}: has no points to show")
    for frame in subject.frames:
        if frame.points.shape != (count, 3) and not (subject.apart and subject.faces is None):
            raise PosetxError(
                f"{frame.name}: has {len(frame.points)} vertices, where {subject.name} has {count}"
            )
        if not np.isfinite(frame.points).all():
            raise PosetxError(f"{frame.name}: has vertices that are not finite numbers")
    if _is_mesh(subject) or subject.apart:
        return None
    order = np.arange(count)
    if count > CLOUD_LIMIT:
        # the same of every cloud of so many points: they may be frames of each other
        order = np.sort(np.random.default_rng(0).permutation(count)[:CLOUD_LIMIT])
    if subject.left_out is not None:
        order = order[np.argsort(subject.left_out[order], kind="stable")]
    return order if count > CLOUD_LIMIT or subject.left_out is not None else None


def _is_mesh(subject: Subject) -> bool:
    faces = subject.faces
    return faces is not None and len(faces) > 0 and subject.count <= MESH_LIMIT


def _subject(
    subject: Subject,
    order: Indices | None,
    packer: Packer,
    images: list[dict[str, str]],
    warnings: list[str],
) -> dict[str, Any]:
    drawn = slice(None) if order is None else order
    points = [frame.points[drawn] for frame in subject.frames]
    entry: dict[str, Any] = {
        "name": printable(subject.name),
        "role": subject.role,
        "note": printable(subject.note),
        "count": subject.count,
        "drawn": len(points[0]),
        "family": subject.family,
        "rotation": subject.rotation.tolist(),
        "metre": subject.metre,
        "begin": subject.begin,
        "frames": [
            {"name": printable(frame.name), **packer.positions(at)}
            for frame, at in zip(subject.frames, points, strict=True)
        ],
    }
    left_out = subject.left_out
    entry["kept"] = len(points[0]) if left_out is None else int((~left_out[drawn]).sum())
    if subject.apart:
        entry |= {"apart": True, "times": subject.times}
    if subject.skin is not None:
        entry["skin"] = _skin(subject.skin, entry["frames"][0]["origin"], packer)
    colors = subject.colors
    if _is_mesh(subject):
        assert subject.faces is not None
        entry |= _mesh(subject.faces, subject.frames[0].points, packer)
        if subject.looks is not None and len(subject.looks.materials):
            entry |= _painted(subject.faces, subject.looks, packer, images)
            warnings += [f"{subject.name}: {note}" for note in subject.looks.notes]
        if colors is not None:
            entry["colors"] = packer.array(colors)
        return entry
    if subject.faces is not None and len(subject.faces):
        entry["note"] = " · ".join(
            filter(None, [entry["note"], "too large for a mesh: its points"])
        )
    shown = points if subject.apart else points[-1:]
    upright = np.concatenate(shown) @ subject.rotation[1]
    kept = upright[: entry["kept"]] if entry["kept"] and not subject.apart else upright
    low, high = np.percentile(kept, [1, 99])
    by_height = palette(CLOUD_COLORS, (upright - low) / max(high - low, 1e-30))
    entry["colors"] = packer.array(by_height if colors is None else brightened(colors[drawn]))
    entry["normals"] = packer.array(np.concatenate([signs_of(cloud_normals(at)) for at in shown]))
    return entry


def _skin(skin: Skin, origin: list[float], packer: Packer) -> dict[str, Any]:
    """Its maps about the place that the page takes for the frame's middle; shares in 16 bits."""
    middle = np.array(origin)
    maps = skin.maps.copy()
    maps[..., 3] += maps[..., :3] @ middle - middle
    shares = np.floor(STEPS * skin.shares).astype(np.int64)
    shares[:, 0] += STEPS - shares.sum(axis=1)  # to the last bit, or what is far moves
    return {
        "joints": packer.array(skin.joints),
        "shares": packer.array(shares),
        "maps": packer.array(maps),
        "count": maps.shape[1],
        "moments": [printable(name) for name in skin.moments],
    }


def _mesh(faces: Indices, vertices: Floats, packer: Packer) -> dict[str, Any]:
    """The triangles, and which vertices stand at one place, so that no seam shows."""
    first, place = weld(vertices)
    entry: dict[str, Any] = {"faces": packer.array(faces), "triangles": len(faces)}
    if len(first) < len(vertices):
        entry["place"] = packer.array(place)
    return entry


def _painted(
    faces: Indices, looks: Looks, packer: Packer, images: list[dict[str, str]]
) -> dict[str, Any]:
    """The triangles by material, and vertices of their own wherever an image has a seam."""
    places = []
    notes = looks.notes
    for data in looks.images:
        image = page_image(data)
        if image is None:
            notes.append("a texture cannot be shown")
        places.append(len(images) if image else -1)
        images += [image] if image else []
    by_material = np.argsort(looks.face_material, kind="stable")
    faces, used = faces[by_material], looks.face_material[by_material]
    entry: dict[str, Any] = {"faces": packer.array(faces), "parts": []}
    if looks.corner_uv is not None and any(place >= 0 for place in places):
        uv = looks.corner_uv[by_material].reshape(-1, 2)
        low = uv.min(axis=0)
        grid = np.round((uv - low) / np.maximum(np.ptp(uv, axis=0) / STEPS, 1e-30))
        # One number a pair of vertex and place in the image: equal ones are one corner.
        key = (faces.ravel() << 32) | (grid[:, 0].astype(np.int64) << 16) | grid[:, 1].astype(int)
        _, one, corner = np.unique(key, return_index=True, return_inverse=True)
        entry["faces"] = packer.array(corner.reshape(-1, 3))
        entry["source"] = packer.array(faces.ravel()[one])
        entry["uv"] = packer.shares(uv[one])
    begins = np.searchsorted(used, np.arange(len(looks.materials) + 1))
    for index, material in enumerate(looks.materials):
        begin, end = int(begins[index]), int(begins[index + 1])
        if end > begin:
            at = places[material.image] if material.image >= 0 else -1
            entry["parts"].append(
                {
                    "begin": begin,
                    "end": end,
                    "color": list(material.color),
                    "image": at if "uv" in entry else -1,
                    "cut": material.cut,
                }
            )
    return entry


def printable(text: str) -> str:
    """The text without what is not shown: bytes of a file's name that are no UTF-8, breaks."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def _layer(layer: Layer, orders: list[Indices | None], packer: Packer) -> dict[str, Any]:
    def drawn(subject: int) -> Any:
        order = orders[subject]
        return slice(None) if order is None else order

    values: dict[int, dict[str, Any]] = {}
    for subject, given in layer.values.items():
        values[subject] = {"values": packer.array(given[drawn(subject)].astype(np.float32))}
    for subject, (one, other) in layer.between.items():
        rows = drawn(subject)
        ends = [packer.positions(points[rows]) for points in (one, other)]
        values[subject] = {"between": ends}
    return {
        "name": printable(layer.name),
        "unit": layer.unit,
        "scale": layer.scale,
        "ends": layer.ends,
        "of": values,
    }
