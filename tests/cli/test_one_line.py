"""Whatever a user mistypes or finds on a disk: one line that names the option or the file."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from posetx.bodies.body import BodyModel
from posetx.cli import COMMANDS, app, python_name
from posetx.data.bvh import read_bvh
from posetx.errors import MissingError, PosetxError
from posetx.models.checkpoint import save_model
from posetx.models.npt import NPTConfig
from posetx.models.registry import build, config_named
from posetx.system.console import shortened
from posetx.system.paths import find_model
from tests.cli.writers import SMALL

BVH = """HIERARCHY
ROOT hip
{
OFFSET 0 90 0
CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
%s}
MOTION
Frames: %s
Frame Time: 0.04
%s
"""


def bvh(frames: str = "1", numbers: float = 0.0, offset: str = "0 10 0") -> str:
    """A clip with a joint for all that a pose needs."""
    names = ("lthigh", "lshin", "rthigh", "rshin", "lshldr", "lforearm", "rshldr", "rforearm")
    names += ("head",)
    channels = "CHANNELS 3 Zrotation Xrotation Yrotation"
    joints = "".join(f"JOINT {n}\n{{\nOFFSET {offset}\n{channels}\n}}\n" for n in names)
    return BVH % (joints, frames, " ".join([str(numbers)] * (6 + 3 * len(names))))


def one_line(*arguments: str) -> tuple[int, str]:
    run = CliRunner().invoke(app, [*arguments])
    assert run.exit_code in (1, 2, 3), run.output
    assert "unexpected" not in run.stderr and "Traceback" not in run.stderr, run.stderr
    return run.exit_code, run.stderr


@pytest.fixture
def here(tmp_path: Path, standing: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(standing / "scan.npy", "s.npy")
    shutil.copy(standing / "target.obj", "t.obj")
    return tmp_path


TRANSFER = ("transfer", "s.npy", "t.obj", "-o", "o.obj")
ATTACK = ("attack", "s.npy", "t.obj", "-o", "o.ply")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((*TRANSFER, "--seed", str(2**64)), "--seed"),
        ((*TRANSFER, "--device", "cuda:99999999999999999999"), "--device cuda:9999"),
        ((*TRANSFER, "--device", "cuda:300"), "--device cuda:300"),
        ((*TRANSFER, "--device", "cuda:٣"), "--device cuda:"),
        ((*TRANSFER, "--device", "cuda:01"), "--device cuda:01"),
        ((*ATTACK, "--epsilon", "inf"), "--epsilon inf"),
        ((*ATTACK, "--epsilon", "nan"), "--epsilon"),
        ((*ATTACK, "--success", "inf"), "--success inf"),
        (("attack-dataset", "seen", "--epsilon", "inf"), "--epsilon inf"),
        (("train", "run", "--samples", "8", "--lr", "inf"), "--lr inf"),
        (("train", "run", "--max-minutes", "inf"), "--max-minutes inf"),
        (("attack-dataset", "seen", "--turn", "3", "--turn", "nan"), "--turn nan"),
        ((*ATTACK, "--turn", "-inf"), "--turn -inf"),
        (("bench", "run", "--max-minutes", "inf"), "--max-minutes inf"),
    ],
)
def test_odd_values_name_their_option(here: Path, arguments: tuple[str, ...], says: str) -> None:
    code, line = one_line(*arguments)
    assert code == 2 and says in line


def int_options() -> list[tuple[str, str]]:
    """All options of all commands that take whole numbers."""
    found = []
    for command in COMMANDS:
        python = python_name(command)
        function = getattr(importlib.import_module(f"posetx.cli.{python}"), python)
        for name, hint in get_type_hints(function, include_extras=True).items():
            if isinstance(hint, type) or get_origin(hint) is not Annotated:
                continue
            kind, option = get_args(hint)[:2]
            if int in (kind, *get_args(kind)) or list[int] in get_args(kind):
                found.append((command, (option.param_decls or [f"--{name.replace('_', '-')}"])[-1]))
    return found


def test_whole_numbers_beyond_any_sense_name_their_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No box, no overflow: most options give way somewhere within the run, if at all."""
    monkeypatch.chdir(tmp_path)
    options = int_options()
    assert {("transfer", "--seed"), ("attack", "--frame"), ("attack-dataset", "--steps"),
            ("bodies", "--count"), ("trials", "--samples")} <= {*options}  # fmt: skip
    for command, option in options:
        for value in (str(2**64), str(-(2**64)), "9" * 5000, "1e3", "0x10", "", "nan", "many"):
            code, line = one_line(*command.split(), option, value)
            assert code == 2 and line.count("\n") == 1, (command, option, value, line)
            assert line.startswith(f"error: {option}"), (command, option, value, line)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["transfer", "a", "b", "--sed", "1"], "No such option: --sed"),
        (["transfer", "a", "b"], "Missing option '-o' / '--output'"),
        (["transfer", "a", "b", "-o"], "Option '-o' requires an argument"),
        (["transfer", "a", "b", "-o", "c", "--heading", "up"], "--heading: 'up' is not one of"),
        (["clean", "-o", "a"], "Missing argument: give SCAN...; posetx clean -h tells more"),
        (["transfer", "a", "-o", "b"], "Missing argument: give SCAN... TARGET; posetx transfer -h"),
        (["train"], "Missing argument: give FOLDER; "),
        (["models", "all"], "Too many arguments: (all); posetx models -h tells more"),
        (["models", "--json=3"], "Option '--json' does not take a value"),
        (["tranfer"], "No such command 'tranfer'. Did you mean 'transfer'?; posetx -h tells more"),
        (["-x"], "No such option: -x; posetx -h tells more"),
        (["attack-dataset", "seen", "--epsilon", "-1"], "--epsilon: "),
    ],
)
def test_calls_that_cannot_be_read_are_one_line(arguments: list[str], says: str) -> None:
    code, line = one_line(*arguments)
    assert code == 2 and line.startswith("error: ") and line.count("\n") == 1
    assert says in line


def test_no_arguments_show_the_help() -> None:
    assert "Give the pose of a scan to a target mesh." in CliRunner().invoke(app, []).output


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_help_fills_its_lines(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source's line breaks are not the terminal's."""
    monkeypatch.setenv("COLUMNS", str(width))
    text = CliRunner().invoke(app, ["evaluate", "--help"]).output
    words = text[text.index("What is measured") : text.index("The targets are")]
    lines = [line.strip() for line in words.strip().splitlines()]
    following = [line.split(" ")[0] for line in lines[1:]]
    assert len(lines) > 1
    for line, word in zip(lines, following, strict=False):
        assert len(f" {line} {word} ") > width


def a_model(name: str, card: str | None = None) -> None:
    save_model(
        Path(f"{name}.safetensors"), NPTConfig(width=16), build(NPTConfig(16)).state_dict(), {}
    )
    if card is not None:
        Path(f"{name}.json").write_text(card)


FILES: dict[str, tuple[Callable[[], object], tuple[str, ...], str]] = {
    "empty checkpoint": (lambda: Path("run/checkpoint.pt").write_bytes(b""),
        ("train", "run", "--samples", "8", "--resume"), "checkpoint.pt: not a"),
    "foreign checkpoint": (lambda: torch.save({"state_dict": {}}, "run/checkpoint.pt"),
        ("train", "run", "--samples", "8", "--resume"), "checkpoint.pt: not a"),
    "list as bench": (lambda: Path("run/bench.json").write_text("[]"),
        ("bench", "run"), "bench.json: not a file of a bench"),
    "nested bench": (lambda: Path("run/bench.json").write_text("[" * 100_000),
        ("bench", "run"), "bench.json: not a file of a bench"),
    "foreign bench": (lambda: Path("run/bench.json").write_text('{"a": 1}'),
        ("bench", "run"), "run: a study with another preset"),
    "nested card": (lambda: a_model("m", "[" * 100_000),
        (*TRANSFER, "-m", "m.safetensors"), "m.safetensors: not the file its card"),
    "huge card": (lambda: a_model("m", '"' + "x" * 2**21 + '"'),
        (*TRANSFER, "-m", "m.safetensors"), "m.safetensors: not the file its card"),
    "empty model": (lambda: Path("m.safetensors").write_bytes(b""),
        (*TRANSFER, "-m", "m.safetensors"), "m.safetensors: not a usable"),
    "foreign details": (lambda: Path("d.json").write_text('{"a": [{"distance": 1}]}'),
        ("calibrate", "posemae", "d.json"), "d.json: not what"),
    "nested details": (lambda: Path("d.json").write_text("[" * 100_000),
        ("calibrate", "posemae", "d.json"), "d.json: not what"),
    "negative frames": (lambda: Path("c.bvh").write_text(bvh("-1")),
        (*ATTACK, "--toward", "c.bvh"), "c.bvh: not a complete BVH"),
    "few vertices": (lambda: Path("t.obj").write_text(
        "".join(f"v {x} {y} {z}\n" for x in (0, 1) for y in (0, 1) for z in (0, 1))
        + "f 1 2 4 3\nf 5 6 8 7\nf 1 2 6 5\n"),
        (*TRANSFER, "--no-refine"), "t.obj: has 8 vertices"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_odd_files_are_named(here: Path, name: str) -> None:
    make, arguments, says = FILES[name]
    (here / "run").mkdir()
    make()
    before = sorted(p.name for p in here.rglob("*"))
    _, line = one_line(*arguments)
    assert says in line
    assert sorted(p.name for p in here.rglob("*")) == before


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    "text",
    [
        bvh("-1"), bvh("0"), bvh("99999999999999999999"), bvh("1e3"), bvh("1", 1e300),
        bvh("1", float("nan")), bvh("1", offset="1e300 0 0"), bvh("1", offset="0 0"),
        bvh().replace("ROOT", "JOINT"), bvh().replace("}", ""), bvh().replace("OFFSET", "END"),
        bvh("1", offset="nan 10 0"),
        "HIERARCHY\nROOT hip\n{\nOFFSET 0 0 0\n}\nMOTION\nFrames: 1000000000\nFrame Time: 1\n",
        "", "HIERARCHY", "{" * 1000, bvh().replace("3 Z", "-1 Z"), bvh().replace("Zrotation", "Q"),
    ],
)  # fmt: skip
def test_damaged_clips_are_one_line_or_rotations(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.bvh").write_text(text)
    joints = BodyModel.load().joint_template.numpy()
    try:
        assert np.isfinite(read_bvh(tmp_path / "c.bvh", joints)).all()
    except PosetxError as error:
        assert "\n" not in str(error) and "c.bvh" in str(error)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_bones_without_a_length_turn_nothing(tmp_path: Path) -> None:
    (tmp_path / "c.bvh").write_text(bvh("1", offset="0 0 0"))
    found = read_bvh(tmp_path / "c.bvh", BodyModel.load().joint_template.numpy())
    np.testing.assert_allclose(found, np.broadcast_to(np.eye(3), found.shape), atol=1e-6)


def test_a_clip_takes_no_more_memory_than_its_size_justifies(tmp_path: Path) -> None:
    """Joints that do not turn cost a file few bytes, and would cost 72 a frame."""
    still = "JOINT a\n{\nOFFSET 0 1 0\n" * 4000 + "}\n" * 4000
    one = bvh("1000").splitlines()[-1]
    text = bvh("1000").replace("MOTION", f"{still}MOTION", 1) + f"{one}\n" * 999
    (tmp_path / "c.bvh").write_text(text)
    joints = BodyModel.load().joint_template.numpy()
    tracemalloc.start()
    assert len(read_bvh(tmp_path / "c.bvh", joints)) == 1_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.06e9
    (tmp_path / "c.bvh").write_text(bvh().replace("MOTION", f"{still}{still}MOTION", 1))
    with pytest.raises(PosetxError, match=r"c\.bvh: not a complete BVH"):
        read_bvh(tmp_path / "c.bvh", joints)


# Words


@pytest.mark.parametrize("name", ["out [final]", "out[/b]", "[red]", "[/]", "a[1", ":smile:"])
def test_names_with_brackets_are_shown_as_they_are(here: Path, name: str) -> None:
    Path(f"{name}.ply").parent.mkdir(exist_ok=True)  # of those with a slash
    done = CliRunner().invoke(app, ["clean", "s.npy", "-o", f"{name}.ply"])
    assert done.exit_code == 0 and f"{name}.ply: " in done.stderr, done.output
    (here / f"{name}.npy").write_bytes(b"x")
    _, line = one_line("clean", f"{name}.npy", "-o", "o.ply")
    assert f"{name}.npy" in line
    many = CliRunner().invoke(app, ["clean", f"{name}.npy", "s.npy", "-o", "many"])
    assert many.exit_code == 1 and f"{name}.npy" in many.stderr


@pytest.mark.skipif(os.name != "posix", reason="names with any letters")
def test_names_give_a_terminal_no_orders(here: Path) -> None:
    name = "\x1b[2J\x1b]0;x\x07\r\u202efdp\x9b31m\t.npy"
    shutil.copy("s.npy", name)
    (here / f"bad{name}").write_bytes(b"x")
    spelt = "\\x1b[2J\\x1b]0;x\\x07\\r\\u202efdp\\x9b31m\\t.npy"
    for arguments in (
        ["clean", name, "-o", f"{name}.ply"],
        ["clean", f"bad{name}", "-o", "o.ply"],
        ["clean", name, f"bad{name}", "-o", "many"],
        ["view", f"gone{name}", "-o", "v.html", "-v"],
    ):
        run = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
        assert spelt in run.stderr or "bad" in run.stderr, (arguments, run.stderr)
        assert all(c.isprintable() or c == "\n" for c in run.stderr), (arguments, run.stderr)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pose", "", "-o", "o.json"), "error: an argument: is empty"),
        (("transfer", "s.npy", "", "-o", "o.obj"), "error: an argument: is empty"),
        (("clean", "s.npy", "-o", ""), "error: -o: is empty"),
        (("animate", "s.npy", "t.obj", "-o", "o.glb", "--poses="), "error: --poses: is empty"),
        (("view", "s.npy", "-o", "o.html", "--up", ""), "error: --up: is empty"),
    ],
)
def test_what_is_empty_is_no_name_of_the_folder_here(
    here: Path, arguments: tuple[str, ...], says: str
) -> None:
    before = sorted(here.iterdir())
    code, line = one_line(*arguments)
    assert code == 2 and line.startswith(says) and line.count("\n") == 1
    assert sorted(here.iterdir()) == before


def test_long_names_are_cut_in_the_middle() -> None:
    assert shortened("scan.ply", 12) == "scan.ply"
    assert shortened("a_very_long_name_of_a_scan.ply", 12) == "a_very…n.ply"
    assert len(shortened("x" * 100, 11)) == 11


def test_a_training_folder_is_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(MissingError, match="no model in this folder"):
        find_model(folder)
    (folder / "checkpoint.pt").write_bytes(b"x")
    with pytest.raises(MissingError, match="has not written its model yet"):
        find_model(folder)
    (folder / "posemae.safetensors").write_bytes(b"x")
    assert find_model(folder) == folder / "posemae.safetensors"
    (folder / "other.safetensors").write_bytes(b"x")
    with pytest.raises(MissingError, match="several"):
        find_model(folder)


def test_a_name_is_not_taken_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "posemae").mkdir()
    assert find_model("posemae").name == "posemae.safetensors"
    assert find_model("posemae").parent != tmp_path / "posemae"


def test_a_home_of_nobody_is_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    code, line = one_line(*TRANSFER, "-m", "~nobody-here/m")
    assert code in (1, 3) and "Traceback" not in line
    monkeypatch.setenv("POSETX_HOME", "~nobody-here")
    assert CliRunner().invoke(app, ["models"]).exit_code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_and_terminals_that_are_no_utf8(here: Path) -> None:
    odd = os.fsdecode(b"s\xff.npy")
    os.rename("s.npy", odd)
    arguments = ["clean", odd, "-o", "o.ply", "--summary", "s.json", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "posetx", *arguments], capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for document in (done.stdout, Path("s.json").read_bytes()):
        assert json.loads(document)["scan"] == odd
    listed = subprocess.run(
        [sys.executable, "-m", "posetx", "models"], capture_output=True, check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii",
             "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert listed.returncode == 0 and b"posemae" in listed.stdout, listed.stderr


def test_pairs_of_two_kinds_make_no_curve(tmp_path: Path) -> None:
    a_model(str(tmp_path / "m"))
    pairs = [{"pmd": 1e-3, "distance": 0.02, "missed": missed} for missed in (0.1, 0.2, None)]
    (tmp_path / "d.json").write_text(json.dumps({"scan": pairs}))
    code, line = one_line("calibrate", str(tmp_path / "m.safetensors"), str(tmp_path / "d.json"))
    assert code == 1 and "d.json: pairs of fitted poses and pairs of the network alone" in line


def test_a_picture_that_cannot_be_drawn_is_said_before_the_work(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for arguments in ((*TRANSFER, "--preview", "p.png"), ("clean", "s.npy", "-o", "o.ply",
                      "--preview", "p.png"), (*ATTACK, "--report", "r")):  # fmt: skip
        code, line = one_line(*arguments)
        assert code == 3 and "pyvista is not installed" in line
    assert not list(here.glob("o.*")) and not list(here.glob("r/*"))


def test_verbose_tells_what_was_found(here: Path) -> None:
    arguments = [*TRANSFER, "--no-refine", "--no-restore"]
    done = CliRunner().invoke(app, [*arguments, "-v"])
    assert done.exit_code == 0, done.output
    assert "s.npy to t.obj: begun" in done.stderr.splitlines()[0]
    assert "an adult's metre is 1" in done.stderr and "y up, facing z" in done.stderr
    assert "outliers" in done.stderr
    quiet = CliRunner().invoke(app, ["clean", "s.npy", "-o", "o.ply", "-q"])
    assert quiet.exit_code == 0 and not quiet.stderr


CODE = """
import sys, time, warnings
import posetx.cli
def command():
    warnings.warn("overflow", RuntimeWarning)
    print("in", flush=True)
    time.sleep(60)
posetx.cli.main = command
import posetx.__main__ as entry
entry.main()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_sigterm_is_like_ctrl_c_and_numpys_warnings_are_not_shown() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout and child.stdout.readline() == "in\n"
    child.send_signal(signal.SIGTERM)
    _, stderr = child.communicate(timeout=60)
    assert (child.returncode, stderr) == (143, "error: terminated\n")


def test_json_of_a_transfer_tells_samples_from_vertices(here: Path) -> None:
    torch.manual_seed(0)
    config = config_named("posemae", **SMALL)
    save_model(Path("small.safetensors"), config, build(config).state_dict(), {})
    fast = ("--no-refine", "--no-restore", "-m", "small.safetensors", "--up", "y", "--front", "z")
    done = CliRunner().invoke(app, ["transfer", "t.obj", "t.obj", "-o", "o.obj", *fast, "--json"])
    report = json.loads(done.stdout)
    assert report["points_measured"] == 60_000 > report["points_in"]
    assert f"of 60,000 samples of a mesh of {report['points_in']:,} vertices" in done.stderr
