"""What else in a scan may be the body, where what cleaning kept does not look like one.

Cleaning goes by size and by what is flat. It can be wrong: a turntable's rim has more points than
who stands on it, one side of a large crate is no wall, and a back is as flat as the top of a
plinth. So the scan is cleaned in other ways, for somebody who knows bodies to choose.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from posetx.arrays import Floats, Mask
from posetx.cleaning.clean import Cleaned, Stage, clean_scan
from posetx.cleaning.planes import flat_faces, plane_mask
from posetx.errors import PosetxError
from posetx.files.checks import usable_rows

#: another object has at least this share of the points of the one that was kept
LARGE = 0.25
#: a cleaning is another one if at least this share of the points is
UNLIKE = 0.05


def other_bodies(points: Floats, cleaned: Cleaned, seed: int = 0) -> Iterator[Cleaned]:
    """Other cleanings of a scan (n, 3) than ``cleaned``; none that is nearly the same.

    The largest of what was left out; all pieces; with the planes; without all that is flat and has
    edges.
    """
    seen = [_mask(points, cleaned)]
    for other in _cleanings(points, cleaned, seed):
        mask = _mask(points, other)
        if all((mask ^ old).sum() > UNLIKE * max(mask.sum(), old.sum()) for old in seen):
            seen.append(mask)
            yield other


def _cleanings(points: Floats, cleaned: Cleaned, seed: int) -> Iterator[Cleaned]:
    left = usable_rows(points)
    left[cleaned.index] = False
    for plane in cleaned.planes:
        left[left] = ~plane_mask(points[left], plane)
    if left.sum() > LARGE * len(cleaned.index):
        yield from _tried(points, left, seed)
    every = np.ones(len(points), dtype=bool)
    yield from _tried(points, every, seed, clusters=False)
    if cleaned.planes:
        yield from _tried(points, every, seed, planes=False)
    kept = _mask(points, cleaned)
    faces = flat_faces(cleaned.points, seed)
    if faces.any():
        kept[cleaned.index[faces]] = False
        yield from _tried(points, kept, seed, planes=False)


def _tried(
    points: Floats, mask: Mask, seed: int, planes: bool = True, clusters: bool = True
) -> Iterator[Cleaned]:
    """The cleaned part (n,) of a scan (n, 3), if there is a body in it."""
    index = np.flatnonzero(mask)
    try:
        found = clean_scan(points[index], planes=planes, clusters=clusters, seed=seed)
    except PosetxError:
        return
    stages = found.stages
    if len(index) < len(points):
        why = "what was taken for the body at first, or looks like no body's, left out"
        stages = [Stage("another part", len(points), len(index), why), *stages]
    yield Cleaned(found.points, index[found.index], stages, found.notes, found.planes)


def _mask(points: Floats, cleaned: Cleaned) -> Mask:
    mask = np.zeros(len(points), dtype=bool)
    mask[cleaned.index] = True
    return mask
