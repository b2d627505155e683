"""A page of files: what each is, which of them belong together, how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posetx.arrays import Floats
from posetx.errors import FieldError, PosetxError, UsageError
from posetx.files.scans import read_scan
from posetx.files.sources import TARGET_NAME
from posetx.files.targets import Target, read_target
from posetx.files.targets.base import is_target
from posetx.report.view.choices import ARRANGEMENTS, Arrangement
from posetx.report.view.stand import standing
from posetx.report.view.subject import Frame, Layer, Role, Subject, View

#: More files than this of the same vertices are frames of a movement.
MOST_BESIDE = 3

#: Files that a page shows side by side, at most; keys have a digit for each.
MOST_FILES = 9


@dataclass
class _Read:
    """A file as it is shown, and which of the files it is."""

    subject: Subject
    index: int


def view_of_files(
    files: Sequence[Path],
    ups: Sequence[str] = (),
    fronts: Sequence[str] = (),
    arrangement: Arrangement = "auto",
) -> View:
    """What a page shows of files.

    Files of the same number of vertices and the same triangles are one family: each moves between
    the first of them and itself, can be coloured by its distance to every other, and keeps its
    place to them. More than three are frames of one movement.

    Parameters
    ----------
    files : meshes or clouds, of whatever :func:`posetx.files.scans.read_scan` reads
    ups, fronts : axes such as "z" or "-y", or "auto": none, one for all files, or one for each
    arrangement : "beside" or "time" where the number of files should not decide

    Raises
    ------
    UsageError
        more files than fit, axes that are none, or not one for each file
    PosetxError
        a file that cannot be read
    """
    if not files:
        raise UsageError("give at least one file")
    if arrangement not in ARRANGEMENTS:
        raise FieldError("arrangement", arrangement, f"use one of {', '.join(ARRANGEMENTS)}")
    ups, fronts = _each(ups, files, "up"), _each(fronts, files, "front")
    warnings: list[str] = []
    read = [
        _Read(_subject(Path(path), up, front, warnings), index)
        for index, (path, up, front) in enumerate(zip(files, ups, fronts, strict=True))
    ]
    families = _families(read)
    moving = [
        len(family) > MOST_BESIDE if arrangement == "auto" else arrangement == "time"
        for family in families
    ]
    # in the order of the files; a movement where its first one is
    heads = [
        one.index
        for family, moves in zip(families, moving, strict=True)
        for one in (family[:1] if moves else family)
    ]
    place = {index: place for place, index in enumerate(sorted(heads))}
    by_place: dict[int, Subject] = {}
    layers: list[Layer] = []
    for family, moves in zip(families, moving, strict=True):
        if moves and len(family) > 1:
            first = place[family[0].index]
            by_place[first] = _movement(family, layers, first)
        else:
            by_place |= _beside(family, layers, [place[one.index] for one in family])
    shown = [by_place[at] for at in sorted(by_place)]
    if len(shown) > MOST_FILES:
        raise UsageError(
            f"{len(shown)} different meshes are more than the {MOST_FILES} that a page shows; "
            "give fewer of them"
        )
    _name_roles(shown)
    title = " · ".join(subject.name for subject in shown)
    return View(title, shown, layers, warnings=list(dict.fromkeys(warnings)))


def _each(given: Sequence[str], files: Sequence[Path], field: str) -> list[str]:
    """An axis for each file."""
    if len(given) <= 1:
        return list(given or ["auto"]) * len(files)
    if len(given) != len(files):
        raise FieldError(
            field, " ".join(given), f"give one, or one for each of the {len(files)} files"
        )
    return list(given)


def _subject(path: Path, up: str, front: str, warnings: list[str]) -> Subject:
    """A mesh with its looks, or a cloud."""
    if is_target(path):
        try:
            target = read_target(path)
        except PosetxError:
            pass  # what is no mesh may be a cloud; what is neither says so below
        else:
            subject = subject_of_target(target, warnings)
            subject.rotation = standing(target.vertices, path, up, front)
            return subject
    scan = read_scan(path)
    warnings += [f"{path.name}: {note}" for note in scan.notes]
    rotation = standing(scan.points, path, up, front)
    return Subject(
        path.name,
        "mesh" if scan.faces is not None else "scan",
        [Frame(path.name, scan.points)],
        faces=scan.faces,
        colors=scan.colors,
        rotation=rotation,
    )


def subject_of_target(
    target: Target, warnings: list[str], role: Role = "mesh", vertices: Floats | None = None
) -> Subject:
    """A target as it is shown, where its own or other ``vertices`` (n, 3) are.

    Looks that cannot be read leave a warning.
    """
    name = target.path.name
    looks = colors = None
    try:
        looks, colors = target.looks(), target.colors()
    except PosetxError as error:
        warnings.append(f"{name}: shown without its materials: {error}")
    if colors is not None and len(colors) != len(target.vertices):
        colors = None
    points = target.vertices if vertices is None else vertices
    shown = name if target.path != TARGET_NAME else "target"
    return Subject(shown, role, [Frame(shown, points)], target.faces, looks, colors)


def _families(read: list[_Read]) -> list[list[_Read]]:
    """Files of the same vertices and triangles, in the order in which they came."""
    families: list[list[_Read]] = []
    for one in read:
        mine = next((family for family in families if _same(family[0].subject, one.subject)), None)
        if mine is None:
            one.subject.family = len(families)
            families.append([one])
        else:
            one.subject.family = mine[0].subject.family
            mine.append(one)
    return families


def _same(one: Subject, other: Subject) -> bool:
    if one.count != other.count or (one.faces is None) != (other.faces is None):
        return False
    return one.faces is None or other.faces is None or np.array_equal(one.faces, other.faces)


def _movement(family: list[_Read], layers: list[Layer], place: int) -> Subject:
    """One subject that goes through all files; it is coloured by how far it comes in all."""
    subject = family[0].subject
    subject.frames = [one.subject.frames[0] for one in family]
    first, last = subject.frames[0], subject.frames[-1]
    subject.begin = 0.0
    subject.name = f"{first.name} … {last.name}"
    subject.note = f"{len(family)} files"
    layer = Layer(f"distance of {first.name} to {last.name}", UNIT)
    layer.between[place] = (first.points, last.points)
    layers.append(layer)
    return subject


#: Of distances between files, which do not say what their unit is.
UNIT = "of the files' units"


def _beside(family: list[_Read], layers: list[Layer], places: list[int]) -> dict[int, Subject]:
    """A subject at each of the places, which moves there from the first; and their distances."""
    subjects = [one.subject for one in family]
    own = [subject.frames[0] for subject in subjects]
    # One frame for all of a family: what stands in the same place is shown so.
    for subject in subjects[1:]:
        subject.rotation = subjects[0].rotation
        subject.frames = [own[0], *subject.frames]
    for index, frame in enumerate(own):
        if len(own) < 2 or (len(own) == 2 and index == 1):
            continue
        layer = Layer(f"distance to {frame.name}", UNIT)
        for other, at in enumerate(own):
            if other != index:
                layer.between[places[other]] = (frame.points, at.points)
        layers.append(layer)
    return dict(zip(places, subjects, strict=True))


def _name_roles(subjects: list[Subject]) -> None:
    """Of meshes that move from one to another, the first is the target, the last the result."""
    for family in {subject.family for subject in subjects}:
        mine = [s for s in subjects if s.family == family]
        if len(mine) > 1 and mine[0].role == "mesh":
            for subject in mine[1:]:
                subject.role = "result"
            mine[0].role = "target"
