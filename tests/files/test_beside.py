"""Names in a mesh that lead elsewhere: only what lies openly beside it is read or copied."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from posetx.errors import PosetxError
from posetx.files import beside
from posetx.files.scans import read_scan
from posetx.files.targets import read_target, sidecars
from tests.files.test_fuzz import no_hang
from tests.files.test_gltf import Scene, tetra

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")

ROOT = Path(__file__).parents[2]
SECRET = b"do not copy this "
#: What a mesh names, by what it tries. {} is a suffix that it may name, {root} the folder above.
NAMES: dict[str, tuple[str, ...]] = {
    "dots": (
        "../secret{}", "./../secret{}", "sub/../../secret{}", "sub/./../../secret{}",
        "sub//..//..//secret{}", "../here/../secret{}", "../elsewhere/secret{}", "..", ".",
        ".../../secret{}", "../" * 2000 + "etc/passwd",
    ),
    "backslashes": (
        "..\\secret{}", "sub\\..\\..\\secret{}", "sub/..\\../secret{}", "..\\/secret{}",
        "\\secret{}", ".\\.hidden{}", "sub\\.hidden{}",
    ),
    "percent": (
        "%2e%2e/secret{}", "%2E%2E%2Fsecret{}", "..%2Fsecret{}", "..%5Csecret{}",
        "sub%2F..%2F..%2Fsecret{}", "%2Fetc%2Fpasswd", ".%2e/secret{}", "%2ehidden{}",
        "file%3A%2F%2F{root}/secret{}",
    ),
    "percent twice": (
        "%252e%252e%252fsecret{}", "..%252Fsecret{}", "%255c..%255csecret{}", "%252ehidden{}",
    ),
    "drives and shares": (
        "C:\\secret{}", "C:secret{}", "c:/secret{}", "C|/secret{}", "\\\\?\\C:\\secret{}",
        "\\\\host\\share\\secret{}", "//host/share/secret{}", "\\\\.\\pipe\\a{}",
    ),
    "addresses": (
        "file://{root}/secret{}", "FILE://{root}/secret{}", "file:secret{}", "file:../secret{}",
        "file://localhost{root}/secret{}", "http://localhost/secret{}", "jar:file:secret{}!/a",
        "DATA:;base64,{root}/secret{}", "//localhost{root}/secret{}",
    ),
    "absolute": (
        "{root}/secret{}", "/etc/passwd", "/proc/self/environ", "{root}/here/open{}",
        "/../secret{}", "~/secret{}", "$HOME/secret{}", "${HOME}/secret.png",
    ),
    "null and overlong": (
        "secret{}\0", "../secret{}\0{}", "open{}\0.txt", "%00secret{}", "a" * 300 + "{}",
        "x/" * 200 + "a{}", "%c0%ae%c0%ae/secret{}", "%e0%80%ae%e0%80%ae%c0%afsecret{}",
    ),
    "look-alikes": (
        "．．/secret{}", "‥/secret{}", "..∕secret{}", "..⁄secret{}", "..／secret{}",
        "․․/secret{}", "\u202e../secret{}", "\ufeff../secret{}", "..\u200b/secret{}",
    ),
    "links": (
        "out{}", "chain{}", "absolute{}", "deep/secret{}", "sub/deep/secret{}", "up/secret{}",
        "hiding{}", "renamed{}", "loop{}", "around/around/around/secret{}", "up/here/.hidden{}",
    ),
    "no ordinary files": (
        "pipe{}", "sub/pipe{}", "device{}", "socket{}", "folder{}", "sub", "/dev/zero",
        "/dev/stdin", "standard{}", "missing{}",
    ),
    "hidden": (
        ".hidden{}", "sub/.hidden{}", "./.hidden{}", ".ssh/key{}", ".ssh/authorized_keys",
        ".bashrc", "sub/../.hidden{}", "{}", ".{}", "..{}",
    ),
    "case": (".SSH/key{}", ".Hidden{}", "SUB/../../secret{}", "OUT{}", "Deep/secret{}"),
    "suffixes": (
        "secret", "secret.txt", "secret.py", "secret{}.txt", "secret.txt.", "secret.txt ",
        "secret.txt::$DATA", "secret.txt#{}", "secret.txt?a={}", "secret.txt;{}", "secret.txt%23",
        "secret.txt\t{}",
    ),
    "options": (
        "-o 0 0 0 ../secret{}", "-imfchan r ../secret{}", "-unknown ../secret{}",
        "-bm 1 {root}/secret{}", "-clamp on -s 1 1 1 ..\\secret{}", '"../secret{}"',
        '"{root}/secret{}"', "-o ../secret{}", "-mm 0 1 -texres 9 .hidden{}", "-type sphere out{}",
    ),
    "nothing": ("", " ", '""'),
}  # fmt: skip
ATTACKS = [name for names in NAMES.values() for name in names]


def spread(root: Path, suffix: str) -> Path:
    """A folder with links, pipes and hidden files in it, and secrets above it."""
    here = root / "here"
    for folder in (here / ".ssh", here / "sub", here / f"folder{suffix}", root / "elsewhere"):
        folder.mkdir(parents=True)
    secrets = [root / f"secret{suffix}", root / "elsewhere" / f"secret{suffix}"]
    secrets += [here / f".hidden{suffix}", here / "sub" / f".hidden{suffix}", here / ".bashrc"]
    secrets += [here / ".ssh" / f"key{suffix}", here / ".ssh" / "authorized_keys"]
    secrets += [here / "secret", here / "secret.txt", here / "secret.py"]
    for secret in secrets:
        secret.write_bytes(SECRET * 100)
    (here / f"open{suffix}").write_bytes(b"free to go")
    links = {
        f"out{suffix}": f"../secret{suffix}", f"chain{suffix}": f"out{suffix}",
        f"absolute{suffix}": root / f"secret{suffix}", "deep": root / "elsewhere",
        "sub/deep": "../../elsewhere", "up": "..", f"hiding{suffix}": f".hidden{suffix}",
        f"renamed{suffix}": "secret.txt", f"loop{suffix}": f"loop{suffix}",
        "around": "../elsewhere/../here", f"device{suffix}": "/dev/zero",
        f"standard{suffix}": "/proc/self/fd/0",
    }  # fmt: skip
    for name, to in links.items():
        (here / name).symlink_to(to)
    for pipe in (here / f"pipe{suffix}", here / "sub" / f"pipe{suffix}"):
        os.mkfifo(pipe)
    before = os.getcwd()
    os.chdir(here)  # names of sockets have at most some hundred characters
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"socket{suffix}")
    finally:
        os.chdir(before)
    return here


CUBE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n"


def obj_with(name: str, kind: str) -> dict[str, bytes]:
    """An OBJ that names a library, or whose library names a texture."""
    if kind == "mtllib":
        return {"t.obj": f"mtllib {name}\n{CUBE}".encode()}
    if kind == "directives":  # of the format's first description, which nobody should follow
        words = ("call", "csh", "-csh cat", "shadow_obj", "trace_obj", "maplib", "usemap")
        return {"t.obj": ("".join(f"{word} {name}\n" for word in words) + CUBE).encode()}
    word = {"texture": "map_Kd", "bump": "bump -bm 0.5", "sphere": "refl -type sphere -o 1 2"}[kind]
    return {"t.obj": f"mtllib m.mtl\n{CUBE}".encode(), "m.mtl": f"{word} {name}\n".encode()}


def gltf_with(name: str, kind: str) -> dict[str, bytes]:
    """A glTF that names a buffer or an image, spelt in a URI's ways."""
    scene = Scene()
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [{"primitives": [tetra(scene)]}]
    document = scene.document | {"buffers": [{"byteLength": len(scene.binary), "uri": "t.bin"}]}
    uri = name if kind.endswith("plain") else quote(name, safe="")
    if kind.startswith("buffer"):
        document["buffers"].append({"byteLength": 16, "uri": uri})
    elif kind.startswith("image"):
        document["images"] = [{"uri": uri}]
    else:
        inside = {"extensions": {"MPEG_media": {"media": [{"alternatives": [{"uri": uri}]}]}}}
        document |= inside | {"textures": [inside], "extensionsUsed": ["MPEG_media"]}
        document["images"] = [{"bufferView": 0, "mimeType": "image/png", **inside}]
        document["buffers"][0] |= inside
    return {"t.gltf": json.dumps(document).encode(), "t.bin": bytes(scene.binary)}


KINDS: dict[str, tuple[Callable[[str, str], dict[str, bytes]], str]] = {
    "mtllib": (obj_with, ".mtl"),
    "texture": (obj_with, ".png"),
    "bump": (obj_with, ".jpg"),
    "sphere": (obj_with, ".tga"),
    "directives": (obj_with, ".obj"),
    "buffer": (gltf_with, ".bin"),
    "buffer plain": (gltf_with, ".bin"),
    "image": (gltf_with, ".png"),
    "image plain": (gltf_with, ".png"),
    "extensions": (gltf_with, ".png"),
}
#: Where names are not followed at all, so that there is nothing to say of them.
IGNORED = ("directives", "extensions")


def tree(folder: Path) -> dict[str, bytes]:
    """All regular files below a folder, links not followed."""
    files = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at, name)
            if path.is_file() and not path.is_symlink():
                files[str(path)] = path.read_bytes()
    return files


@contextmanager
def opened() -> Iterator[list[str]]:
    """The files that Python opens within the block, as the system knows them, without links."""
    found: list[str] = []
    system_open = os.open

    def look(*arguments: Any, **options: Any) -> int:
        descriptor = system_open(*arguments, **options)
        if sys.platform == "linux" and not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        return descriptor

    _LISTENING.append(found)
    os.open = look  # type: ignore[assignment]
    try:
        yield found
    finally:
        os.open = system_open
        _LISTENING.remove(found)


_LISTENING: list[list[str]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """What `open` opens: os.open, which says less to a hook, is looked at by itself."""
    if event == "open" and _LISTENING and isinstance(arguments[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if arguments[1] is not None and not os.path.isdir(path):  # a mode: not os.open
            for found in _LISTENING:
                found.append(path)


sys.addaudithook(_hear)


def check_opened(paths: list[str], here: Path, out: Path, shown: str) -> None:
    for name in map(Path, paths):
        if name.is_relative_to(here):
            hidden = any(part.startswith(".") for part in name.relative_to(here).parts)
            assert not hidden and name.name != "secret", (shown, name)
        else:
            allowed = (out, sys.prefix, sys.base_prefix, ROOT)
            assert any(name.is_relative_to(folder) for folder in allowed), (shown, name)


def test_the_attacks_are_many() -> None:
    assert len(set(ATTACKS)) == len(ATTACKS) >= 120


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_lead_elsewhere(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but what lies openly beside the mesh is read or copied; nothing hangs."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power cut here, for speed
    make, suffix = KINDS[kind]
    here = spread(tmp_path / "in", suffix)
    before = tree(tmp_path / "in")
    for step, name in enumerate(ATTACKS):
        shown = name.replace("{root}", str(tmp_path / "in")).replace("{}", suffix)
        files = make(shown, kind)
        for file, data in files.items():
            (here / file).write_bytes(data)
        main = here / next(iter(files))
        there = tmp_path / f"out{step}"
        there.mkdir()
        with no_hang(5.0), opened() as paths:
            try:
                target = read_target(main)
                notes = target.save(there / f"o{main.suffix}", target.vertices + 1)
                said = notes or not shown.strip(' "') or kind in IGNORED
                assert said, (name, "nothing said")
            except PosetxError as error:
                assert "\n" not in str(error)
            try:
                assert SECRET not in read_scan(main).points.tobytes()
            except PosetxError as error:
                assert "\n" not in str(error)
        check_opened(paths, here, there, shown)
        found = tree(there)
        assert all(SECRET not in data for data in found.values()), name
        allowed = {*files, f"o{main.suffix}", "o.bin"}
        assert {Path(p).name for p in found} <= allowed, (name, found.keys())
        for file in files:
            (here / file).unlink()
        shutil.rmtree(there)
        assert tree(tmp_path / "in") == before, name


def test_a_file_that_is_opened_is_noticed(tmp_path: Path) -> None:
    """The spy of these tests itself: by either way of opening, through a link, at a descriptor."""
    here = spread(tmp_path / "in", ".png")
    folder = os.open(here, os.O_RDONLY)
    for read in (
        lambda: (here / "out.png").read_bytes(),
        lambda: os.close(os.open(here / "out.png", os.O_RDONLY)),
        lambda: os.close(os.open("deep/secret.png", os.O_RDONLY, dir_fd=folder)),
        lambda: os.close(os.open(".bashrc", os.O_RDONLY, dir_fd=folder)),
    ):
        with opened() as paths:
            read()
        with pytest.raises(AssertionError):
            check_opened(paths, here, tmp_path / "out", "")
    os.close(folder)


# A link that is put there after the check


def named_below(tmp_path: Path, kind: str) -> tuple[Path, Path, Path, str]:
    """A mesh that names sub/aSUFFIX, where to write it, a folder outside of both; the suffix."""
    make, suffix = KINDS[kind]
    here, there, outside = (tmp_path / name for name in ("here", "there", "outside"))
    for folder in (here / "sub", there, outside):
        folder.mkdir(parents=True)
    (here / "sub" / f"a{suffix}").write_bytes(b"own" * 10)
    (outside / f"a{suffix}").write_bytes(SECRET * 10)
    files = make(f"sub/a{suffix}", kind)
    for file, data in files.items():
        (here / file).write_bytes(data)
    return here / next(iter(files)), there, outside, suffix


@pytest.mark.parametrize("kind", ["mtllib", "texture", "buffer", "image"])
@pytest.mark.parametrize("swapped", ["file", "folder", "pipe"])
def test_a_link_swapped_in_after_the_check_is_not_read(
    tmp_path: Path, kind: str, swapped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, there, outside, _ = named_below(tmp_path, kind)
    check, below = beside.find_beside, main.parent / "sub"

    def checked(folder: Path, name: str, kinds: tuple[str, ...]) -> Path:
        found = check(folder, name, kinds)
        if found.parent == below and found.is_file() and not below.is_symlink():
            if swapped == "folder":
                below.rename(tmp_path / "gone")
                below.symlink_to(outside)
            else:
                found.unlink()
                found.symlink_to(outside / found.name) if swapped == "file" else os.mkfifo(found)
        return found

    monkeypatch.setattr(beside, "find_beside", checked)
    with no_hang(5.0):
        try:
            target = read_target(main)
            assert target.save(there / f"o{main.suffix}", target.vertices + 1)
        except PosetxError as error:
            assert kind == "buffer" and "\n" not in str(error)
    assert not any(SECRET in data for data in tree(there).values())


@pytest.mark.parametrize("kind", ["mtllib", "texture", "image"])
def test_nothing_is_written_through_a_link_swapped_in_after_the_check(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, there, outside, suffix = named_below(tmp_path, kind)
    (outside / f"a{suffix}").unlink()
    (there / "sub").mkdir()
    held = sidecars.held

    @contextmanager
    def swapping(root: Path, parts: tuple[str, ...], make: bool = False) -> Iterator[int | None]:
        if parts and (there / "sub").is_dir() and not (there / "sub").is_symlink():
            (there / "sub").rmdir()
            (there / "sub").symlink_to(outside)
        with held(root, parts, make) as at:
            yield at

    monkeypatch.setattr(sidecars, "held", swapping)
    target = read_target(main)
    notes = target.save(there / f"o{main.suffix}", target.vertices + 1)
    assert "could not be copied" in notes[0] and not os.listdir(outside)


@pytest.mark.parametrize("kind", ["mtllib", "texture", "image"])
def test_nothing_is_written_through_a_link(tmp_path: Path, kind: str) -> None:
    main, there, outside, suffix = named_below(tmp_path, kind)
    (outside / f"a{suffix}").unlink()
    target = read_target(main)

    def saved() -> list[str]:
        return target.save(there / f"o{main.suffix}", target.vertices + 1)

    (there / "sub").symlink_to(outside)
    assert "would lie outside" in saved()[0] and not os.listdir(outside)
    (there / "sub").unlink()
    (there / "sub").mkdir()
    (there / "sub" / f"a{suffix}").symlink_to(outside / "new")
    assert "kept as it is" in saved()[0] and not os.listdir(outside)
    (there / "sub" / f"a{suffix}").unlink()
    os.mkfifo(there / "sub" / f"a{suffix}")
    with no_hang(5.0):
        assert "kept as it is" in saved()[0]
    (there / "sub" / f"a{suffix}").unlink()
    assert saved() == [] and (there / "sub" / f"a{suffix}").read_bytes() == b"own" * 10
    assert saved() == [], "the same file again"


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    for file, data in gltf_with("unused.png", "image").items():
        (tmp_path / file).write_bytes(data)
    (tmp_path / "t.bin").rename(tmp_path / "real.bin")
    (tmp_path / "t.bin").symlink_to("real.bin")
    assert len(read_target(tmp_path / "t.gltf").vertices) == 4


def test_a_new_buffer_does_not_take_the_name_of_one_that_stays(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    for file, data in gltf_with("o.bin", "buffer plain").items():
        (here / file).write_bytes(data)
    (here / "o.bin").write_bytes(b"what stays as it is")
    target = read_target(here / "t.gltf")
    assert target.save(there / "o.gltf", target.vertices + 1) == []
    assert (there / "o.bin").read_bytes() == b"what stays as it is"
    moved = read_target(there / "o.gltf")
    assert (moved.vertices == target.vertices + 1).all()
