"""The parts of a character, and the Wavefront OBJ and MTL files that they are written to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .mesh import vertex_normals


@dataclass
class Part:
    """A separate piece: polygons over vertices that follow joints by weights."""

    name: str
    vertices: np.ndarray  # (V, 3) at rest, metres
    weights: np.ndarray  # (V, 19)
    uv: np.ndarray  # (T, 2); empty where the material has no texture
    #: (group, material) -> polygons, each a list of (vertex, uv) indices, uv -1 for none
    faces: dict[tuple[str, str], list] = field(default_factory=dict)


MATERIALS = """# materials of target.obj
newmtl cloth_and_skin
Kd 1.0 1.0 1.0
Ks 0.05 0.05 0.05
Ns 20
map_Kd target.png

newmtl eyes
Kd 1.0 1.0 1.0
Ks 0.6 0.6 0.6
Ns 120
map_Kd target.png

newmtl leather
Kd 1.0 1.0 1.0
Ks 0.1 0.1 0.1
Ns 30
map_Kd target.png

newmtl brass
Kd 0.80 0.62 0.22
Ks 0.9 0.8 0.5
Ns 90
"""


def write_obj(path: Path, parts: list[Part], positions: list[np.ndarray]) -> None:
    """The parts at ``positions`` (metres), written in centimetres with normals and comments."""
    lines = [
        "# posetx example target: a ranger with a hat, a belt and a buckle",
        "# unit: centimetres, y up, facing +z, A-pose",
        "mtllib target.mtl",
    ]
    first, first_uv = 1, 1
    for part, vertices in zip(parts, positions, strict=True):
        polygons = [[v for v, _ in face] for faces in part.faces.values() for face in faces]
        normals = vertex_normals(vertices, polygons)
        lines += ["", f"o {part.name}"]
        lines += ["v {:.4f} {:.4f} {:.4f}".format(*v) for v in vertices * 100]
        lines += ["vt {:.5f} {:.5f}".format(*t) for t in part.uv]
        lines += ["vn {:.3f} {:.3f} {:.3f}".format(*n) for n in normals]
        lines += ["s 1"]
        for (group, material), faces in part.faces.items():
            lines += [f"g {group}", f"usemtl {material}"]
            for face in faces:
                corners = [
                    f"{v + first}/{t + first_uv if t >= 0 else ''}/{v + first}" for v, t in face
                ]
                lines.append("f " + " ".join(corners))
        first, first_uv = first + len(vertices), first_uv + len(part.uv)
    path.write_text("\n".join(lines) + "\n")
