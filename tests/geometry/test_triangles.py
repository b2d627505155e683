"""The places on triangles that are nearest to points, against places found by trying them all."""

from __future__ import annotations

import numpy as np
import pytest

from posetx.geometry.triangles import nearest_on_triangles


@pytest.mark.parametrize("flat", [1.0, 0.02])
def test_no_other_place_of_the_triangle_is_nearer(flat: float) -> None:
    rng = np.random.default_rng(0)
    corners = rng.normal(size=(300, 3, 3)) * np.array([1.0, flat, 1.0])
    points = 1.5 * rng.normal(size=(300, 3))
    shares = nearest_on_triangles(points, corners)
    assert shares.min() >= -1e-9 and np.allclose(shares.sum(-1), 1)
    steps = np.linspace(0, 1, 60)
    u, v = (x.ravel() for x in np.meshgrid(steps, steps))
    tried = np.stack([1 - u - v, u, v], 1)[u + v <= 1 + 1e-12]
    places = np.einsum("tk,nki->nti", tried, corners)
    least = np.linalg.norm(places - points[:, None], axis=-1).min(1)
    found = np.linalg.norm(np.einsum("nk,nki->ni", shares, corners) - points, axis=-1)
    assert (found <= least + 1e-9).all()
    # within, on the edges and at the corners
    assert set((shares > 1e-9).sum(-1)) == {1, 2, 3}


def test_a_triangle_without_area_has_a_nearest_place_too() -> None:
    line = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    shares = nearest_on_triangles(np.array([1.4, 1.0, 0.0]), line)
    assert np.allclose(shares @ line, [1.4, 0.0, 0.0])
