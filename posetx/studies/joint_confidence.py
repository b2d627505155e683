"""The curves that make a likelihood of what a scan shows of each joint, and what they are worth.

`python -m examples.make.joints` runs it; its numbers are in `posetx.pipeline.joint_confidence`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from posetx.arrays import Floats, Mask
from posetx.bodies.skeleton import JOINTS, PARENTS, TIPS
from posetx.errors import PosetxError
from posetx.files.sources import array_scan
from posetx.pipeline.joint_confidence import RIGHT, SEEN, Word, evidence, likelihood
from posetx.pipeline.pipeline import Pipeline
from posetx.pipeline.results import Reading
from posetx.studies.joint_scans import KINDS, KnownScan, known_scans
from posetx.studies.results import header

#: of the curves' squared slopes, their inputs at unit variance
RIDGE = 3e-3
#: which way each input may count, in the order of `Evidence.inputs`; constants either
SIGNS = (0, 1, 1, 1, -1, 0, -1, 1)
BINS = (0.0, 0.2, 0.5, 0.8, 0.9, 0.97, 1.0)
#: parts of the scans that are left out in turn, to be told by the others
FOLDS = 6


@dataclass
class Measured:
    """One reading of one scan: inputs (19, 8), errors (19,) in metres, which parts were gone."""

    fold: int
    fitted: bool
    inputs: Floats
    errors: Floats
    gone: Mask


def measure(
    pipeline: Pipeline,
    count: int,
    seed: int,
    kinds: Sequence[str] = KINDS,
    on_scan: Callable[[], None] = lambda: None,
) -> list[Measured]:
    """So many simulated scans of these kinds, each read with a fit and by the network alone.

    Scans that the pipeline refuses are left out.
    """
    rows = []
    for number, scan in enumerate(known_scans(pipeline.body, count, seed, kinds)):
        for refine in (True, False) if scan.told else (True,):
            front = "z" if scan.told else "auto"
            try:
                reading = pipeline.read(array_scan(scan.points), "y", front, refine=refine)
            except PosetxError:
                continue
            word = Word.of(reading.samples, reading.code)
            vertices = reading.registration.vertices
            found = evidence(pipeline.body, word, vertices, reading.points, reading.metre)
            gone = np.isin(np.arange(len(JOINTS)), scan.gone)
            inputs = found.inputs(reading.confidence)
            fold = number // len(kinds) % FOLDS  # in each all kinds
            rows.append(Measured(fold, refine, inputs, joint_errors(reading, scan), gone))
        on_scan()
    return rows


def joint_errors(reading: Reading, scan: KnownScan) -> Floats:
    """Of each joint (19,) how far it or the end of a bone that begins there is off, in metres."""
    off = np.linalg.norm(reading.joints - scan.joints, axis=1)
    errors: Floats = off.copy()
    for joint, parent in enumerate(PARENTS[1:], 1):
        errors[parent] = max(errors[parent], off[joint])
    for joint, tip in TIPS.items():
        at_rest = np.array(tip)
        found = reading.joints[joint] + reading.fitted.scale * reading.rotations[joint] @ at_rest
        true = scan.joints[joint] + scan.rotations[joint] @ at_rest
        errors[joint] = max(errors[joint], float(np.linalg.norm(found - true)))
    return errors


def fit_curves(inputs: Floats, right: Mask) -> Floats:
    """The curves (8,) that make ``right`` (n,) likeliest of inputs (n, 8), none the wrong way."""
    signs = np.array(SIGNS)
    mean, spread = inputs.mean(0), inputs.std(0) + 1e-9
    mean[signs == 0], spread[signs == 0] = 0.0, 1.0
    scaled = (inputs - mean) / spread
    first = np.arange(len(signs)) < SEEN

    def loss(w: Floats) -> tuple[float, Floats]:
        seen, close = (1 / (1 + np.exp(-scaled[:, x] @ w[x])) for x in (first, ~first))
        said = np.clip(seen * close, 1e-9, 1 - 1e-9)
        steep = -np.where(right, 1 / said, -1 / (1 - said)) * seen * close / len(right)
        slope = np.where(first, scaled.T @ (steep * (1 - seen)), scaled.T @ (steep * (1 - close)))
        flat = w * (signs != 0)
        value = float(-np.log(np.where(right, said, 1 - said)).mean() + RIDGE * (flat**2).sum() / 2)
        return value, slope + RIDGE * flat

    ways = {0: (None, None), 1: (0, None), -1: (None, 0)}
    found = minimize(
        loss,
        np.where(signs == 0, 2.0, 0.0),
        jac=True,
        bounds=[ways[way] for way in SIGNS],
        method="L-BFGS-B",
    ).x
    curves: Floats = found / spread
    moved = found * mean / spread * (signs != 0)
    curves[0] -= moved[first].sum()
    curves[SEEN] -= moved[~first].sum()
    return curves


def curves_and_table(rows: list[Measured]) -> tuple[Floats, str]:
    """The curves (8,) of all rows, and in Markdown what curves of the others are worth on each.

    Raises ValueError for rows of one fold alone, of which there are no others.
    """
    inputs = np.concatenate([row.inputs for row in rows])
    right = np.concatenate([row.errors < RIGHT for row in rows])
    gone = np.concatenate([row.gone for row in rows])
    folds = np.repeat([row.fold for row in rows], len(JOINTS))
    if len(np.unique(folds)) < 2:
        raise ValueError("all rows are of one fold; measure more scans")
    said = np.empty(len(right))
    for fold in range(FOLDS):
        mine = folds == fold
        if mine.any():
            said[mine] = likelihood(inputs[mine], fit_curves(inputs[~mine], right[~mine]))
    lines = header(("confidence", "joints", "mean of it", "were right"), texts=1)
    for low, high in itertools.pairwise(BINS):
        some = (said >= low) & ((said < high) | (high == BINS[-1]))
        if some.any():
            lines.append(_line(f"{low:g} to {high:g}", said[some], right[some]))
    lines.append(_line("all", said, right))
    lines.append(_line("of limbs taken away", said[gone], right[gone]))
    return fit_curves(inputs, right), "\n".join(lines)


def _line(name: str, said: Floats, right: Mask) -> str:
    if not len(said):
        return f"| {name} | 0 | | |"
    return f"| {name} | {len(said)} | {said.mean():.2f} | {right.mean():.2f} |"
