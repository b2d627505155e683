"""Neighbourhoods in a point cloud: size, spacing, thinned working sets, pieces and their gaps."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Indices
from posetx.geometry.sampling import voxel_groups


def working_set(points: Floats, size: float, most: int) -> tuple[Indices, Indices]:
    """Thin a cloud to an even density: voxels of `size`, or larger for at most `most` points.

    Returns
    -------
    index : (k,) of the points that stand for the cloud
    group : (n,) which of them stands for each point
    """
    index, group = voxel_groups(points, size)
    while len(index) > most:
        # Occupied voxels of a surface go with 1 / size^2; a bit more, to be done in one or two.
        size *= 1.05 * np.sqrt(len(index) / most)
        index, group = voxel_groups(points, size)
    return index, group


def neighbour_distances(points: Floats, k: int) -> tuple[Floats, Indices]:
    """Distances (n, k) to the k nearest other points, ascending, and their indices (n, k).

    With k or fewer points in all, k is what there is.
    """
    k = min(k, len(points) - 1)
    distances, index = cKDTree(points).query(points, k=k + 1)
    return distances[:, 1:], index[:, 1:]


def spacing(points: Floats, k: int = 8) -> float:
    """Typical distance between neighbours: the median over points of the mean to the k nearest."""
    return float(np.median(neighbour_distances(points, k)[0].mean(axis=1)))


def pieces(points: Floats, radius: float) -> tuple[int, Indices]:
    """Connected pieces of the graph that joins points not farther apart than `radius`.

    Returns
    -------
    count, labels (n,); pieces are numbered by falling size
    """
    pairs = cKDTree(points).query_pairs(radius, output_type="ndarray")
    ones = np.ones(len(pairs), dtype=np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(len(points), len(points)))
    count, labels = connected_components(graph.tocsr(), directed=False)
    order = np.argsort(-np.bincount(labels, minlength=count), kind="stable")
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count)
    return int(count), rank[labels]


def gaps(parts: list[Floats], most: float) -> Floats:
    """Smallest distance (p, p) between each two of p point sets; inf beyond `most`."""
    trees = [cKDTree(part) for part in parts]
    table = np.full((len(parts), len(parts)), np.inf)
    for i in range(len(parts)):
        for j in range(i):
            few, many = (i, j) if len(parts[i]) < len(parts[j]) else (j, i)
            distances, _ = trees[many].query(parts[few], distance_upper_bound=most)
            table[i, j] = table[j, i] = distances.min()
    return table
