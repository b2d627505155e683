"""The house: which room may import which, and how large a file and a function may be.

Imports are read by grimp from the sources, those within functions and under ``TYPE_CHECKING`` as
well. ``posetx/__init__.py`` is the front door and stands outside: it only holds the version and
the public names, which any room may ask for.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

import posetx

PACKAGE = Path(posetx.__file__).parent
TESTS = Path(__file__).parent

#: A room imports only rooms named before it.
ROOMS = [
    *("arrays", "errors", "system", "geometry", "files", "bodies", "data", "models"),
    *("cleaning", "fit", "reading", "target", "attacks", "pipeline", "training"),
    *("evaluation", "studies", "report", "api", "cli", "__main__"),
]

#: What no file of a room imports, whatever the order says.
FORBIDDEN = {
    "geometry": ("models",),
    "files": ("models",),
    "bodies": ("models",),
    "attacks": ("files",),
}

#: Rooms that may import the command line: python -m posetx does.
OF_THE_COMMAND_LINE = ("cli", "__main__")

LONGEST_FILE = 400
MOST_PARAMETERS = 12

Imports = dict[str, set[str]]


def room(module: str) -> str:
    """The room of a module: ``posetx.files.scans`` is in ``files``."""
    return module.split(".")[1]


def circle(imports: Imports) -> list[str]:
    """Names that import each other in a circle, the first one again at its end; or nothing."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def between_rooms(imports: Imports) -> Imports:
    """The same imports, between rooms."""
    rooms: Imports = {}
    for module, imported in imports.items():
        own = rooms.setdefault(room(module), set())
        own |= {room(other) for other in imported} - {room(module)}
    return rooms


def broken_rules(imports: Imports) -> list[str]:
    """What is wrong with the imports of modules, a line each."""
    broken = []
    for module, imported in sorted(imports.items()):
        own = room(module)
        if own not in ROOMS:
            broken.append(f"{module}: {own} is no room")
            continue
        for other in sorted(imported):
            its = room(other)
            if its == "cli" and own not in OF_THE_COMMAND_LINE:
                broken.append(f"{module} imports {other}: the command line")
            elif its in FORBIDDEN.get(own, ()):
                broken.append(f"{module} imports {other}: {own} knows no {its}")
            elif its in ROOMS and ROOMS.index(its) > ROOMS.index(own):
                broken.append(f"{module} imports {other}: a later room")
    if names := circle(imports):
        broken.append("files in a circle: " + ", ".join(names))
    if names := circle(between_rooms(imports)):
        broken.append("rooms in a circle: " + ", ".join(names))
    return broken


@cache
def imports_of_posetx() -> Imports:
    graph = grimp.build_graph("posetx", cache_dir=None)
    door = {"posetx"}
    return {
        module: graph.find_modules_directly_imported_by(module) - door
        for module in graph.modules - door
    }


def wide_functions(source: str) -> Iterator[str]:
    """Functions of more than a dozen parameters, ``self`` not counted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            given = node.args
            named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            count = sum(x is not None and x.arg not in ("self", "cls") for x in named)
            if count > MOST_PARAMETERS:
                yield f"{getattr(node, 'name', 'lambda')} (line {node.lineno}): {count}"


def test_rooms_import_only_what_comes_before_them():
    imports = imports_of_posetx()
    assert len(imports) > 100
    assert imports["posetx.files.atomic"] >= {"posetx.errors"}
    assert broken_rules(imports) == []


@pytest.mark.parametrize(
    ("added", "found"),
    [
        (("geometry.mesh", "files.scans"), "a later room"),
        (("arrays", "errors"), "a later room"),
        (("files.scans", "models.registry"), "files knows no models"),
        (("attacks.pgd", "files.scans"), "attacks knows no files"),
        (("report.page", "cli.common"), "the command line"),
        (("errors", "__main__"), "a later room"),
        (("geometry.polar", "geometry.mesh"), "files in a circle: posetx.geometry"),
        (("geometry.polar", "models.registry"), "rooms in a circle: "),
        (("attic.box", "errors"), "attic is no room"),
    ],
)
def test_the_rules_find_what_breaks_them(added: tuple[str, str], found: str):
    sound: Imports = {
        "posetx.__main__": {"posetx.cli"},
        "posetx.cli": {"posetx.cli.common", "posetx.report.page"},
        "posetx.attacks.pgd": {"posetx.models.registry"},
        "posetx.models.registry": {"posetx.geometry.mesh", "posetx.files.scans"},
        "posetx.files.scans": {"posetx.geometry.mesh", "posetx.errors"},
        "posetx.geometry.mesh": {"posetx.geometry.polar", "posetx.arrays"},
    }
    assert broken_rules(sound) == []
    importer, imported = (f"posetx.{name}" for name in added)
    broken = broken_rules({**sound, importer: {*sound.get(importer, ()), imported}})
    assert any(found in line for line in broken), broken


def test_no_file_is_long():
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


def test_no_function_outside_the_command_line_has_many_parameters():
    assert list(wide_functions(f"def f({', '.join('abcdefghijkl')}): ...")) == []
    assert list(wide_functions(f"def f({', '.join('abcdefghijkl')}, *, m): ...")) != []
    wide = {
        str(path.relative_to(PACKAGE)): found
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] != "cli"
        and (found := list(wide_functions(path.read_text(encoding="utf-8"))))
    }
    assert wide == {}


def test_tests_are_a_folder_a_room():
    folders = {path.parent.relative_to(TESTS).parts[:1] for path in TESTS.rglob("*.py")} - {()}
    assert {folder for (folder,) in folders} <= set(ROOMS)
