"""The page of one transfer: the scan, the target, and the result, which moves there from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posetx.arrays import Floats, Indices, Mask
from posetx.bodies.body import BodyModel
from posetx.geometry.mesh import unique_edges
from posetx.models.predictor import IdentityFrame
from posetx.report.view.files import subject_of_target
from posetx.report.view.page import write_page
from posetx.report.view.subject import Fact, Frame, Layer, Subject, Tone, View

if TYPE_CHECKING:
    from posetx.files.scans import Scan
    from posetx.pipeline.results import Reading, Transfer
    from posetx.target.ready import ReadyTarget

#: Of lengths that are told for a body of an adult's size.
ADULT_MM = "mm of an adult"

#: What a confidence is called, from where on.
WORDS: tuple[tuple[float, str, Tone], ...] = (
    (0.8, "likely right", "good"),
    (0.5, "perhaps right", "doubtful"),
    (0.0, "likely wrong somewhere", "bad"),
)


def write_transfer_view(
    path: Path, result: Transfer, name: str = "result", warnings: Sequence[str] | None = None
) -> int:
    """Write the page of a transfer, whole or not at all; returns its bytes.

    Parameters
    ----------
    path : an existing file is replaced
    result : what is shown
    name : what the result is called on it, such as its file's name
    warnings : instead of the result's own

    Raises
    ------
    PosetxError
        the page cannot be written
    """
    return write_page(path, view_of_transfer(result, name, warnings))


def view_of_transfer(
    result: Transfer, name: str = "result", warnings: Sequence[str] | None = None
) -> View:
    """What that page shows."""
    told = list(result.warnings if warnings is None else warnings)
    report, ready = result.report, result.target
    scan = subject_of_reading(result.reading, result.scan_turn)
    target = subject_of_target(ready.target, told, "target")
    after = subject_of_target(ready.target, [], "result", result.vertices)
    after.name = after.frames[0].name = name
    after.frames = [target.frames[0], after.frames[0]]
    for subject in (target, after):
        subject.family = 1
        subject.rotation = ready.rotation
        subject.metre = metre_of(ready)
    assert after.metre
    after.note = f"edge lengths changed by {100 * report.edge_distortion:.1f} %"
    moved = Layer("distance from the target", ADULT_MM, scale=1000 / after.metre)
    moved.between[2] = (ready.target.vertices, result.vertices)
    stretch = Layer("change of the edges' lengths", "%")
    stretch.values[2] = 100 * stretched(ready.target.faces, ready.target.vertices, result.vertices)
    return View(
        f"{scan.name} on {target.name}",
        [scan, target, after],
        [moved, stretch],
        [*facts_of(result)],
        told,
    )


def subject_of_reading(reading: Reading, turn: Floats, scan: Scan | None = None) -> Subject:
    """A scan as it was read, or another one of as many points, turned upright by ``turn`` (3, 3).

    What was not taken for the body is left out of clouds.
    """
    shown = reading.scan if scan is None else scan
    cloud = shown.faces is None
    return Subject(
        shown.path.name,
        "scan",
        [Frame(shown.path.name, shown.points)],
        faces=shown.faces,
        colors=shown.colors,
        left_out=left_out(reading) if cloud else None,
        rotation=turn,
        metre=reading.metre,
        note=f"{len(reading.points):,} taken for the body" if cloud else "",
    )


def left_out(reading: Reading) -> Mask:
    """Which of the scan's points (n,) were not taken for the body."""
    mask = np.ones(len(reading.scan.points), dtype=bool)
    mask[reading.kept] = False
    return mask


def facts_of(result: Transfer) -> list[Fact]:
    """How likely the result is right, and what it was made of."""
    facts = facts_of_confidence([result.confidence])
    report = result.report
    facts.append(Fact("posed from", report.points))
    facts.append(Fact("up", f"{report.scan_up} in the scan, {report.target_up} in the target"))
    return facts


def facts_of_confidence(each: Sequence[float | None]) -> list[Fact]:
    """How likely something is right, in the mean of those that are known; nothing if none is."""
    known = [value for value in each if value is not None]
    if not known:
        return []
    sure = sum(known) / len(known)
    word, tone = next((word, tone) for least, word, tone in WORDS if sure >= least)
    name = "confidence" if len(each) == 1 else "mean confidence"
    return [Fact(name, f"{sure:.2f}, {word}", tone)]


def metre_of(ready: ReadyTarget) -> float:
    """An adult's metre in the unit of a target's file."""
    body = BodyModel.load()
    vertices = body.template.cpu().double().numpy()
    adult = IdentityFrame.of(vertices, body.faces.cpu().numpy()).unit
    return ready.frame.unit / adult


def stretched(faces: Indices, before: Floats, after: Floats) -> Floats:
    """How much the edges at each vertex (n,) changed in length, as a share, the mean of them."""
    edges = unique_edges(faces)
    one, other = edges.T
    old = np.linalg.norm(before[one] - before[other], axis=1)
    new = np.linalg.norm(after[one] - after[other], axis=1)
    change = np.abs(np.divide(new, old, out=np.ones_like(new), where=old > 0) - 1.0)
    sums, counts = np.zeros(len(before)), np.zeros(len(before))
    for ends in (one, other):
        sums += np.bincount(ends, weights=change, minlength=len(before))
        counts += np.bincount(ends, minlength=len(before))
    mean: Floats = sums / np.maximum(counts, 1.0)
    return mean
