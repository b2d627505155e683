"""The frame of the command line: start-up, errors as lines, exit codes, `models` and `doctor`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from posetx import __version__
from posetx.__main__ import main, terminate
from posetx.cli import COMMANDS, app
from posetx.cli.common import JsonOption, QuietOption, VerboseOption, emit_json, guarded
from posetx.errors import FieldError, MissingError, PosetxError, Terminated, UsageError
from posetx.system.console import console
from posetx.system.device import resolve_device
from posetx.system.diagnosis import Dependency, advise, probe
from posetx.system.paths import find_model, weights_dir

HEAVY = ["torch", "numpy", "scipy", "trimesh", "open3d", "pymeshlab", "pyvista", "PIL"]


def run(*arguments: str) -> int:
    """The exit code of `posetx ARGUMENTS` in this process."""
    with pytest.raises(SystemExit) as ended:
        app(list(arguments), prog_name="posetx")
    return int(ended.value.code or 0)


def run_child(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "posetx", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


# Start-up


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["-V"], ["models", "--help"]])
def test_start_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from posetx.__main__ import main; sys.argv = ['posetx', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(' '.join(loaded) or 0)"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, f"imported: {child.stderr}"
    assert child.stdout


def test_help_is_fast() -> None:
    def seconds() -> float:
        """Of processor time: wall time says more of what else the machine is doing."""
        before = os.times()
        assert run_child("--help").returncode == 0
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])  # the children's, user and system

    seconds()  # the first one may write .pyc files
    # 0.2 s on an idle machine, where 0.4 s of wall time is the bar; more on a crowded core.
    assert min(seconds() for _ in range(3)) < 0.5


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"posetx {__version__}\n"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*name.split(), "--help") == 0
    assert f"posetx {name}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonesuch"], ["models", "--nonesuch"], []])
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    assert run(*arguments) == 2


def test_main_turns_an_early_interrupt_to_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("posetx.cli.app", interrupt)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


# Errors


def code_and_line(
    error: BaseException, capsys: pytest.CaptureFixture[str], **options: bool
) -> tuple[int, str]:
    """What a command that raises `error` ends with and writes to stderr."""

    def failing(quiet: QuietOption = False, verbose: VerboseOption = False) -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        guarded(failing)(**options)
    captured = capsys.readouterr()
    assert captured.out == ""
    return ended.value.exit_code, captured.err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (PosetxError("scan.ply: empty"), 1, "error: scan.ply: empty"),
        (PosetxError("a line\nand [another]"), 1, "error: a line and [another]"),
        (PosetxError("long " * 60), 1, "long long"),
        (UsageError("--up w: no axis"), 2, "error: --up w: no axis"),
        (FieldError("target_up", "w", "no axis"), 2, "error: --target-up w: no axis"),
        (
            PosetxError("o.obj: there; pass `over_write`"),
            1,
            "error: o.obj: there; pass --over-write",
        ),
        (MissingError("no weights"), 3, "error: no weights"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 3, "torch is not installed"),
        (FileNotFoundError(2, "No such file or directory", "a.ply"), 1, "error: a.ply: No such"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), 1, "out of memory"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
        (ZeroDivisionError("division by zero"), 1, "unexpected ZeroDivisionError: division"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    got_code, line = code_and_line(error, capsys, quiet=True)
    assert got_code == code
    assert text in line
    assert line.count("\n") == 1
    assert not console.quiet


def test_what_a_library_makes_of_a_signal_is_told_as_the_signal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As torch does while it reads a checkpoint: tests/cli/test_stops.py found it."""
    monkeypatch.setattr(Terminated, "asked", False)
    error = ValueError("could not determine the shape")
    assert code_and_line(error, capsys)[0] == 1
    with pytest.raises(Terminated):
        terminate()
    assert code_and_line(error, capsys) == (143, "error: terminated\n")
    assert code_and_line(PosetxError("o.obj: the disk is full"), capsys)[0] == 1


def test_verbose_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    _, text = code_and_line(ZeroDivisionError("x"), capsys, verbose=True)
    assert "Traceback" in text
    assert text.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("error", [typer.Exit(4), typer.BadParameter("bad")])
def test_typers_own_exceptions_pass(error: Exception) -> None:
    def failing() -> None:
        raise error

    with pytest.raises(type(error)):
        guarded(failing)()


def test_json_keeps_everything_else_off_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    def noisy(as_json: JsonOption = False) -> None:
        emit_json({"path": Path("a"), "n": 1})
        sys.stdout.write("from Python\n")
        os.write(1, b"from C++\n")

    guarded(noisy)(as_json=True)
    captured = capfd.readouterr()
    assert json.loads(captured.out) == {"path": "a", "n": 1}
    assert "from Python" in captured.err
    assert "from C++" in captured.err


def test_json_is_written_when_the_command_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def failing(as_json: JsonOption = False) -> None:
        emit_json({"failed": 1})
        raise PosetxError("one failed")

    with pytest.raises(typer.Exit):
        guarded(failing)(as_json=True)
    assert json.loads(capsys.readouterr().out) == {"failed": 1}


# Devices


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "", "CPU:0"])
def test_a_device_that_is_none(name: str) -> None:
    with pytest.raises(UsageError, match="not a device"):
        resolve_device(name)


def test_devices_that_are_there_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type == "cpu"
    for name in ["cuda", "cuda:1", "mps"]:
        with pytest.raises(UsageError, match="--device cpu"):
            resolve_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("auto").type == "cuda"
    with pytest.raises(UsageError, match="1 CUDA GPU"):
        resolve_device("cuda:1")


# Weights


def test_weights_dir_of_a_checkout() -> None:
    assert weights_dir().name == "weights"


def test_find_model(add_model: Callable[..., Path]) -> None:
    path = add_model("small")
    assert find_model("small") == path
    assert find_model(path) == path
    with pytest.raises(MissingError, match="known are: small"):
        find_model("large")
    with pytest.raises(MissingError, match="no such weights file"):
        find_model(path.with_name("other.safetensors"))


def test_models(add_model: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    add_model("small")
    assert run("models") == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ["small", "ok", "seen", "3.10", "4.20"])

    add_model("wrong", sha256="0" * 64)
    assert run("models", "--json") == 1
    captured = capsys.readouterr()
    listed = {entry["name"]: entry for entry in json.loads(captured.out)["models"]}
    assert listed["small"]["check"] == "ok"
    assert listed["small"]["figures"] == {"seen": 3.1e-4, "unseen": 4.2e-4}
    assert listed["wrong"]["check"] == "BAD"
    assert "wrong.safetensors" in captured.err


HUGE = '{"figures": {"seen": {"pmd": 1%s}}}' % (400 * "0")


@pytest.mark.parametrize("card", ["", "[]", "{", '{"figures": [], "sha256": 3}', HUGE])
def test_a_broken_card_is_bad(
    card: str, add_model: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    add_model("small").with_suffix(".json").write_text(card)
    assert run("models") == 1
    assert "BAD" in capsys.readouterr().out


def test_a_model_without_a_card_is_listed(
    add_model: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    add_model("small").with_suffix(".json").unlink()
    assert run("models") == 0
    assert "no card" in capsys.readouterr().out


def test_no_models_is_exit_3(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "--json") == 3
    assert json.loads(capsys.readouterr().out) == {"models": []}


# Doctor


def test_doctor(
    add_model: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_model("small")
    some = [Dependency("numpy", True, "arrays"), Dependency("nonesuch-x", False, "nothing")]
    monkeypatch.setattr("posetx.cli.doctor.DEPENDENCIES", some)
    assert run("doctor", "--json") == 0
    report = json.loads(capfd.readouterr().out)
    assert report["posetx"] == __version__
    assert report["dependencies"]["numpy"]["state"] == "ok"
    assert report["dependencies"]["nonesuch-x"]["state"] == "missing"
    assert report["models"]["small"]["check"] == "ok"
    assert report["temp"]["writable"]

    some.append(Dependency("nonesuch-y", True, "everything"))
    some.append(Dependency("nonesuch-z", False, "files", extra="some"))
    assert run("doctor") == 3
    captured = capfd.readouterr()
    assert "pip install nonesuch-y" in captured.out
    assert "'posetx[some]'" in captured.out
    assert "nonesuch-y" in captured.err


def test_doctor_without_weights_is_exit_3(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posetx.cli.doctor.DEPENDENCIES", [])
    assert run("doctor") == 3


def test_a_library_that_fails_crashes_or_hangs() -> None:
    broken = "raise ImportError('libGL.so.1: cannot open')"
    finding = probe(Dependency("numpy", False, "scans", broken))
    assert (finding.state, finding.trouble) == (
        "fails",
        "ImportError: libGL.so.1: cannot open",
    )
    assert "apt-get install libgl1; posetx works without it" in finding.hint

    crash = "import os; os.kill(os.getpid(), 11)"
    assert "signal 11" in probe(Dependency("numpy", True, "arrays", crash)).trouble

    finding = probe(Dependency("numpy", True, "arrays", "import time; time.sleep(9)"), timeout=0.3)
    assert (finding.state, finding.trouble) == ("fails", "not imported after 0 s")

    assert probe(Dependency("numpy", True, "arrays", "print('DETAIL two')")).detail == "two"


def test_advice_for_a_required_library() -> None:
    advice = advise(Dependency("torch", True, "the network"), "undefined symbol")
    assert advice == "pip install --force-reinstall torch"
