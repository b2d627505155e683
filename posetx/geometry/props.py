"""Props: separate parts that the body carries at one place, such as a held sword or a ponytail.

A network asked where a sword's tip goes answers by the body part nearest to it, which may be a
leg, and the sword is torn. But a prop moves with what carries it: the surface near its contact
says how, all of the prop follows as one rigid piece. What is not torn (a hand or a forearm that is
a part of its own) or lies along the body (clothes, hats, hair cards) is no prop.

Lengths are in units of the square root of the whole area, about 1.4 m on a grown body.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Indices, Mask
from posetx.geometry.mesh import connected_parts, edge_lengths, unique_edges
from posetx.geometry.polar import fit_rigid_parts

#: A prop has less than this share of the whole area.
PROP_AREA = 0.1

#: Its prediction changes its edges by more than this share of their length.
TORN = 0.12

#: Surface within this of the body lies along it ...
REACH = 0.05

#: ... and what has more than this share of its area there is worn, not carried.
ALONG = 0.5

#: The contact of a prop is what is farther from the body than its nearest vertex by this.
CONTACT = 0.015

#: What carries it is the surface within this of the contact, so about a hand.
ANCHOR = 0.04

#: ... or the nearest vertices, where a coarse mesh has fewer.
FEWEST_ANCHORS = 6


def find_props(
    points: Floats, wanted: Floats, areas: Floats, faces: Indices, rigid: Mask
) -> list[tuple[Indices, Indices]]:
    """The props among the connected parts, and what carries each.

    Parameters
    ----------
    points, wanted : (n, 3), at rest and predicted
    areas : (n,), shares of the whole area, summing to 1
    faces : (m, 3)
    rigid : (n,), what moves rigidly already: no prop, though it may carry one

    Returns
    -------
    For each prop its vertices (k,) and the vertices (a,) of others that it moves with.
    """
    count, part = connected_parts(faces, len(points))
    share = np.bincount(part, weights=areas, minlength=count)
    small = (share[part] < PROP_AREA) & (areas > 0.0) & ~rigid
    if not small.any():
        return []
    torn = _torn(points, wanted, faces[small[faces[:, 0]]], part, count)
    candidate = small & torn[part]
    others = np.flatnonzero(~candidate & (areas > 0.0))
    mine = np.flatnonzero(candidate)
    if not len(mine) or len(others) < 3:
        return []
    tree = cKDTree(points[others])
    distance, _ = tree.query(points[mine])
    near = np.bincount(part[mine], weights=areas[mine] * (distance < REACH), minlength=len(share))
    carried = (near < ALONG * share)[part[mine]]
    mine, distance = mine[carried], distance[carried]
    order = np.argsort(part[mine], kind="stable")
    mine, distance = mine[order], distance[order]
    cuts = np.flatnonzero(np.diff(part[mine])) + 1
    props = []
    for vertices, gaps in zip(np.split(mine, cuts), np.split(distance, cuts), strict=True):
        if not len(vertices):
            continue
        nearest = float(gaps.min())
        if nearest > REACH:
            continue  # nobody holds it
        contact = points[vertices[gaps <= nearest + CONTACT]]
        found = tree.query_ball_point(contact, nearest + ANCHOR)
        anchors = np.unique(np.concatenate([np.asarray(f, dtype=np.int64) for f in found]))
        if len(anchors) < FEWEST_ANCHORS:
            closest = points[vertices[gaps.argmin()]]
            anchors = tree.query(closest, k=min(FEWEST_ANCHORS, len(others)))[1]
        props.append((vertices, others[anchors]))
    return props


def _torn(points: Floats, wanted: Floats, faces: Indices, part: Indices, count: int) -> Mask:
    """(count,) which parts the prediction stretches or shrinks out of shape."""
    edges = unique_edges(faces)
    before, after = edge_lengths(points, edges), edge_lengths(wanted, edges)
    label = part[edges[:, 0]]
    change = np.bincount(label, weights=np.abs(after - before), minlength=count)
    length = np.bincount(label, weights=before, minlength=count)
    return np.asarray(change > TORN * length)


def carry_props(
    points: Floats, areas: Floats, posed: Floats, props: list[tuple[Indices, Indices]]
) -> None:
    """Moves each prop in ``posed`` (n, 3) as the surface that carries it moved, in place."""
    for vertices, anchors in props:
        one = np.zeros(len(anchors), dtype=np.int64)
        weights = np.maximum(areas[anchors], 1e-12)
        rotations, source, target = fit_rigid_parts(
            points[anchors], posed[anchors], weights, one, 1
        )
        posed[vertices] = (points[vertices] - source[0]) @ rotations[0].T + target[0]
