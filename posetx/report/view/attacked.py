"""The page of one attack: the points it moved, and the results before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from posetx.report.view.files import subject_of_target
from posetx.report.view.page import write_page
from posetx.report.view.subject import Fact, Frame, Layer, View
from posetx.report.view.transfer import (
    ADULT_MM,
    facts_of,
    left_out,
    metre_of,
    subject_of_reading,
)

if TYPE_CHECKING:
    from posetx.pipeline.adversary import Adversarial


def write_attacked_view(
    path: Path, result: Adversarial, name: str, warnings: Sequence[str] = ()
) -> int:
    """Write the page of an attack, whole or not at all; returns its bytes.

    ``name`` is what the adversarial scan is called on it. Raises PosetxError where it cannot be
    written.
    """
    return write_page(path, view_of_attacked(result, name, warnings))


def view_of_attacked(result: Adversarial, name: str, warnings: Sequence[str] = ()) -> View:
    """What that page shows: the scan moves from its own points to the attacked ones."""
    told = list(warnings)
    before, after = result.before, result.after
    clean = before.reading.scan
    # An attack that takes points away has no moved ones: the scan that is left is shown alone.
    whole = len(result.scan.points) == len(clean.points)
    scan = subject_of_reading(before.reading, before.scan_turn, result.scan)
    scan.name = name
    if whole:
        scan.frames = [Frame(clean.path.name, clean.points), Frame(name, result.scan.points)]
    else:
        scan.frames = [Frame(name, result.scan.points)]
        scan.left_out = left_out(after.reading) if result.scan.faces is None else None
    target = before.target.target
    first = subject_of_target(target, told, "target", before.vertices)
    second = subject_of_target(target, [], "result", after.vertices)
    first.name = first.frames[0].name = "result of the scan"
    second.name = second.frames[0].name = "result of the attacked scan"
    second.frames = [first.frames[0], second.frames[0]]
    for subject in (first, second):
        subject.family, subject.rotation = 1, before.target.rotation
        subject.metre = metre_of(before.target)
    moved = Layer("moved by the attack", ADULT_MM, {0: 1000 * result.perturbation})
    damage = Layer("damage to the result", ADULT_MM, {2: 1000 * result.damage})
    sizes = result.report["transfer"]
    facts = [Fact("PMD between the results", f"{1e4 * sizes['pmd']:.1f}e-4 m²")]
    facts += [
        Fact(f"{fact.label}, {when}", fact.value, fact.tone)
        for when, done in (("before", before), ("after", after))
        for fact in facts_of(done)[:1]
        if done.confidence is not None
    ]
    title = f"{clean.path.name} attacked by {result.report['method']}"
    return View(title, [scan, first, second], [moved, damage], facts, told, layer=1)
