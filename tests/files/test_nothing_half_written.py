"""Full disks, folders that may not be written, Ctrl-C at any moment: the old file or the new one.

All of it with the real command in a process of its own; tests/cli/test_stops.py has the same, and
more, of every command that writes.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from posetx.files.targets import read_target
from posetx.files.unfinished import Unfinished
from tests.files.test_gltf import Scene, tetra

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")

ROOT = Path(__file__).parents[2]
# Says when it begins, so that no signal comes before Python itself is ready for it.
STARTED = "from posetx.__main__ import main; print('started', flush=True); main()"


def cleaning(standing: Path, output: Path, *options: str) -> list[str]:
    """The command that starts fastest, for tests of every day."""
    return ["clean", str(standing / "scan.npy"), "-o", str(output), "--overwrite", *options]


def transferring(standing: Path, output: Path, *options: str) -> list[str]:
    arguments = [
        "transfer",
        str(standing / "scan.npy"),
        str(standing / "target.obj"),
        "-o",
        str(output),
    ]
    return [*arguments, "--no-refine", "--overwrite", *options]


def run_limited(arguments: list[str], largest: int) -> subprocess.CompletedProcess[str]:
    """`posetx ARGUMENTS` where no file can grow beyond `largest` bytes: a disk that is full."""
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({largest}, {largest})); "
    )
    return subprocess.run(
        [sys.executable, "-B", "-c", limit + STARTED, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def one_line(stderr: str) -> str:
    assert "Traceback" not in stderr
    lines = [x for x in stderr.splitlines() if x and not x.startswith("note:")]
    lines = [x for x in lines if "begun, takes" not in x]  # said off a terminal
    assert len(lines) == 1 and lines[0].startswith("error: "), stderr
    return lines[0]


def test_a_full_disk_leaves_the_old_file(standing: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.obj"
    output.write_text("old")
    run = run_limited(cleaning(standing, output), 100_000)
    assert run.returncode == 1
    assert "out.obj: cannot be written" in one_line(run.stderr)
    assert output.read_text() == "old" and os.listdir(tmp_path) == ["out.obj"]


@pytest.mark.slow
def test_a_folder_that_may_not_be_written(standing: Path, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    program = [sys.executable]
    if os.geteuid() == 0:  # root may do everything, unless it gives that up
        program = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", sys.executable]
        test = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "touch"]
        try:
            done = subprocess.run([*test, str(folder / "x")], capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("root writes anywhere, and there is no setpriv")
        if done.returncode == 0:
            pytest.skip("root writes anywhere")
    arguments = transferring(standing, folder / "out.obj")
    run = subprocess.run(
        [*program, "-m", "posetx", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert run.returncode == 1
    assert "no permission to write" in one_line(run.stderr)
    assert not os.listdir(folder)
    folder.chmod(0o700)


def test_gltf_without_room_for_its_document_leaves_no_buffers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .gltf is written after its .bin; when it fails the .bin must go, too."""
    scene = Scene()
    scene.document["nodes"] = [{"mesh": 0}]
    scene.document["meshes"] = [{"primitives": [tetra(scene)]}]
    (tmp_path / "t.glb").write_bytes(scene.glb())
    target = read_target(tmp_path / "t.glb")
    place = Unfinished.place

    def interrupted(file: Unfinished) -> None:
        if file.path.suffix == ".gltf":
            raise KeyboardInterrupt
        place(file)

    monkeypatch.setattr(Unfinished, "place", interrupted)
    with pytest.raises(KeyboardInterrupt):
        target.save(tmp_path / "o.gltf", target.vertices + 1)
    assert os.listdir(tmp_path) == ["t.glb"]


def interrupt_after(seconds: float, arguments: list[str]) -> tuple[int, str]:
    """Exit code and stderr of `posetx ARGUMENTS` that gets a Ctrl-C some time after its start."""
    child = subprocess.Popen(
        [sys.executable, "-c", STARTED, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # A shell's background jobs ignore Ctrl-C, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert child.stdout and child.stdout.readline() == "started\n"
    time.sleep(seconds)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=300)
    return child.returncode, stderr


def check_interrupts(
    command: Callable[..., list[str]], folder: Path, count: int, old: bool, seed: int
) -> list[int]:
    """Ctrl-C `count` times, spread over how long the command takes; returns the exit codes."""
    whole = folder / "whole.obj"
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", STARTED, *command(whole, "-q")], check=True, cwd=ROOT)
    lasts = time.monotonic() - begin
    size = whole.stat().st_size
    whole.unlink()
    random.seed(seed)
    codes = []
    for step in range(count):
        output = folder / "out.obj"
        output.unlink(missing_ok=True)
        if old:
            output.write_text("old")
        seconds = lasts * (step + random.random()) / count
        code, stderr = interrupt_after(seconds, command(output, "-q"))
        codes.append(code)
        # Killed by the signal: the command was done, Python was taking itself down.
        done = code in (0, -signal.SIGINT)
        assert done or code == 130, (seconds, lasts, code, stderr)
        if code == 130:
            assert one_line(stderr) == "error: interrupted"
        left = os.listdir(folder)
        assert left in ([], ["out.obj"]), left
        if done:
            assert left and output.read_bytes() != b"old"
        if left and output.read_bytes() != b"old":
            assert output.stat().st_size == size
        elif old:
            assert left
    return codes


def test_interrupted(standing: Path, tmp_path: Path) -> None:
    command = partial(cleaning, standing)
    assert 130 in check_interrupts(command, tmp_path, 2, old=True, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("old", [True, False])
def test_interrupted_at_many_moments(standing: Path, tmp_path: Path, old: bool) -> None:
    command = partial(transferring, standing)
    codes = check_interrupts(command, tmp_path, 20, old=old, seed=int(old))
    assert codes.count(130) > 5
