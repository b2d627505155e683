"""Patches of a surface that would follow a part which is nowhere near on the skeleton."""

from __future__ import annotations

import numpy as np
import pytest

from posetx.bodies.skeleton import JOINTS
from posetx.target.islands import without_islands

ROWS, COLUMNS = 12, 10


def sheet() -> np.ndarray:
    """Triangles (m, 3) of a grid of ROWS by COLUMNS vertices."""
    index = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    return np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])


def of(*parts: str) -> np.ndarray:
    """Weights (n, 19) of a grid whose rows belong to the parts, in turn alike many to each."""
    weights = np.zeros((ROWS, COLUMNS, len(JOINTS)), dtype=np.float32)
    for rows, part in zip(np.array_split(np.arange(ROWS), len(parts)), parts, strict=True):
        weights[rows, :, JOINTS.index(part)] = 1
    return weights.reshape(-1, len(JOINTS))


def patched(weights: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
    """With a patch in the middle that belongs to another part; and which vertices those are."""
    patch = np.zeros((ROWS, COLUMNS), dtype=bool)
    patch[4:8, 3:7] = True
    out = weights.copy()
    out[patch.ravel()] = np.eye(len(JOINTS), dtype=np.float32)[JOINTS.index(part)]
    return out, patch.ravel()


@pytest.mark.parametrize("patch", ["hand.L", "forearm.L", "head", "foot.R"])
def test_a_skirt_beside_a_hand_follows_the_thigh(patch: str) -> None:
    skirt = of("pelvis", "thigh.L")
    given, changed = patched(skirt, patch)
    found = without_islands(given, np.arange(len(given)), sheet())
    assert (found[~changed] == given[~changed]).all()
    inside = [JOINTS.index("pelvis"), JOINTS.index("thigh.L")]
    assert np.allclose(found[:, inside].sum(1), 1, atol=1e-6)
    assert np.allclose(found.sum(1), 1, atol=1e-6)


def test_a_hand_and_its_forearm_go_together() -> None:
    """They join each other, and still nothing joins them to what they are in."""
    given, _ = patched(of("thigh.L", "shin.L"), "hand.L")
    given[[4 * COLUMNS + 4, 5 * COLUMNS + 4]] = np.eye(19)[JOINTS.index("forearm.L")]
    found = without_islands(given, np.arange(len(given)), sheet())
    arm = [JOINTS.index("hand.L"), JOINTS.index("forearm.L")]
    assert (found[:, arm] == 0).all()


@pytest.mark.parametrize(
    "parts",
    [
        ("chest", "collar.L", "upperarm.L", "forearm.L", "hand.L"),
        ("head", "neck", "chest", "abdomen", "pelvis", "thigh.R"),
        ("thigh.L", "thigh.R"),
        ("pelvis", "chest"),
        ("collar.L", "neck", "collar.R"),
    ],
)
def test_parts_that_a_surface_joins_stay(parts: tuple[str, ...]) -> None:
    given = of(*parts)
    assert without_islands(given, np.arange(len(given)), sheet()) is given


def test_a_piece_of_its_own_stays_as_it_is() -> None:
    """A hand beside a skirt is a piece of its own, if nothing joins them."""
    faces = np.concatenate([sheet(), sheet() + ROWS * COLUMNS])
    given = np.concatenate([of("pelvis", "thigh.L"), of("hand.L")])
    assert without_islands(given, np.arange(len(given)), faces) is given


def test_a_seam_joins() -> None:
    """Vertices that a texture's seam has doubled are one place, and get one weight."""
    skirt, rows = of("pelvis", "thigh.L"), ROWS // 2 * COLUMNS
    given, _ = patched(skirt, "hand.L")
    faces, place = sheet(), np.arange(len(given))
    upper = (faces < rows).all(1)
    seam = np.arange(rows - COLUMNS, rows)  # the last row that the upper half has
    lower = faces[~upper].copy()
    twin = np.full(len(given), -1)
    twin[seam] = len(given) + np.arange(COLUMNS)
    lower = np.where(twin[lower] >= 0, twin[lower], lower)
    doubled = np.concatenate([given, given[seam]])
    found = without_islands(
        doubled, np.concatenate([place, seam]), np.concatenate([faces[upper], lower])
    )
    whole = without_islands(given, place, faces)
    assert np.allclose(found[: len(given)], whole, atol=1e-6)
    assert (found[len(given) :] == found[seam]).all()
