"""The metrics, each with the definition that its name stands for in the literature.

PMD is what the released NPT evaluation computes and what 3D-PoseMAE's tables (Eq 8) are read as:
the mean, over vertices and coordinates, of the squared difference after prediction and truth are
each centred on their bounding box; in m², printed times 1e-4.
"""

from __future__ import annotations

import numpy as np

from posetx.arrays import Floats

#: name in JSON -> (heading of the table's column, factor to the printed unit, definition)
METRICS = {
    "pmd": ("PMD ×1e-4", 1e4, "mean squared coordinate difference, boxes centred, m²"),
    "pmd_median": ("median PMD ×1e-4", 1e4, "half of the pairs are below"),
    "pmd_uncentred": ("PMD uncentred ×1e-4", 1e4, "the same without centring, m²"),
    "pmd_surface": ("PMD by surface ×1e-4", 1e4, "as PMD, vertices by the surface round each"),
    "follower": ("follower ×1e-4", 1e4, "PMD of whoever follows the attacked points part by part"),
    "excess": ("excess ×1e-4", 1e4, "PMD less the follower's"),
    "follower_surface": ("follower by surface ×1e-4", 1e4, "the follower's PMD by surface"),
    "excess_surface": ("excess by surface ×1e-4", 1e4, "PMD by surface less the follower's"),
    "vertex_mm": ("vertex mm", 1.0, "mean distance of vertices, boxes centred"),
    "vertex_mm_p95": ("vertex p95 mm", 1.0, "95th percentile of the same"),
    "edge": ("edge", 1.0, "mean |edge length / target's own edge length - 1|"),
    "edge_truth": ("edge of truth", 1.0, "the same of the ground truth"),
    "edge_restored": ("edge restored", 1.0, "the same after detail restoration; first pairs only"),
    "flipped_restored": ("flipped % restored", 100.0, "triangles that turned over, restored"),
    "pmd_unrestored": ("PMD of those ×1e-4", 1e4, "PMD of the pairs that are restored, before"),
    "pmd_restored": ("PMD restored ×1e-4", 1e4, "PMD after detail restoration; first pairs only"),
    "mpjpe_mm": ("MPJPE mm", 1.0, "mean joint distance, pelvises together"),
    "jdr": ("JDR", 1.0, "share of joints within half a head"),
    "orientation_degrees": ("orientation °", 1.0, "mean error of up and heading found"),
    "orientation_within_15": ("orientation ≤15°", 1.0, "share of scans turned within 15°"),
}


def box_centred(points: Floats) -> Floats:
    """Points (N, 3) moved so that their bounding box is centred at the origin."""
    centred: Floats = points - 0.5 * (points.min(0) + points.max(0))
    return centred


def position_metrics(predicted: Floats, truth: Floats) -> dict[str, float]:
    """PMD, PMD uncentred and vertex errors of one pair; both (N, 3) in metres.

    Uncentred means: each with its surface sample's mean at the origin, as the network places it.
    """
    difference = box_centred(predicted) - box_centred(truth)
    distance = np.linalg.norm(difference, axis=1) * 1000
    return {
        "pmd": float(np.square(difference).mean()),
        "pmd_uncentred": float(np.square(predicted - truth).mean()),
        "vertex_mm": float(distance.mean()),
        "vertex_mm_p95": float(np.percentile(distance, 95)),
    }


def surface_pmd(predicted: Floats, truth: Floats, areas: Floats) -> float:
    """PMD of one pair (N, 3) where a vertex counts by the surface (N,) that it stands for.

    Half of a character's vertices may be on its head and hands; of its surface they are not.
    """
    squares = np.square(box_centred(predicted) - box_centred(truth)).mean(1)
    return float(areas @ squares / areas.sum())


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over the pairs (rows) that have it."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return {k: float(np.mean([row[k] for row in rows if k in row])) for k in keys}


def joint_regressor(weights: Floats) -> Floats:
    """(J, V) rows that average the ring of vertices around each joint.

    A vertex counts for a joint as far as both the joint and its parent move it, so the rows pick
    the crease at the joint; the pelvis is the mean of its own vertices.
    """
    from posetx.bodies.skeleton import PARENTS

    rows = np.stack(
        [
            weights[:, joint] * (weights[:, parent] if parent >= 0 else 1.0)
            for joint, parent in enumerate(PARENTS)
        ]
    )
    # a target without some part: that joint is nowhere before and after
    shares: Floats = rows / np.maximum(rows.sum(1, keepdims=True), 1e-12)
    return shares


def half_head(weights: Floats, vertices: Floats) -> float:
    """Half the head's size, JDR's measure, of a body (V, 3) with skinning weights (V, J)."""
    from posetx.bodies.skeleton import JOINTS

    head = vertices[weights[:, JOINTS.index("head")] > 0.5]
    return 0.5 * float(np.linalg.norm(np.ptp(head, axis=0))) / 3**0.5 if len(head) else 0.0


def joint_metrics(predicted: Floats, truth: Floats, half_head: float) -> dict[str, float]:
    """MPJPE in mm and JDR of joints (J, 3) in metres, the first of which is the pelvis."""
    distance = np.linalg.norm((predicted - predicted[0]) - (truth - truth[0]), axis=1)
    return {
        "mpjpe_mm": float(distance[1:].mean() * 1000),
        "jdr": float((distance[1:] <= half_head).mean()),
    }
