"""The terminal: completion, suggestions, choices in the help, fields of the library as options."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from posetx.attacks.choices import NORMS
from posetx.attacks.defences import CLOUD_DEFENCES, DEFENCES, MASK
from posetx.attacks.methods import METHODS
from posetx.cli import app
from posetx.cli.common import explain
from posetx.errors import FieldError
from posetx.evaluation.protocol_table import PLAIN, PROTOCOLS
from posetx.models.registry import CONFIGS
from posetx.studies.attack_catalogue import TABLES
from posetx.studies.bench.presets import NETWORKS, PRESETS


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        app(list(arguments), prog_name="posetx")
    return int(ended.value.code or 0)


def asked(words: str) -> dict[str, str]:
    """The environment in which bash asks what the last of the words may be."""
    count = len(words.split(" ")) - 1
    return {"_POSETX_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}


def test_a_shell_s_question_is_answered_by_the_process() -> None:
    child = subprocess.run(
        [sys.executable, "-m", "posetx"],
        capture_output=True,
        text=True,
        env={**os.environ, **asked("posetx trans")},
        check=False,
    )
    assert (child.stdout.split(), child.stderr) == (["transfer"], "")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("posetx attack", ["attack", "attack-dataset", "attack-tables"]),
        ("posetx attack-dataset --by", ["--by-part"]),
        ("posetx attack --method i", ["ifgm", "igsm", "igsm-t"]),
        ("posetx attack-dataset uns", ["unseen"]),
        ("posetx bench --network npt", ["npt", "npt-mp"]),
        ("posetx evaluate -p attack", ["attack", "attack-pgd"]),
        ("posetx train --model core", ["corenet"]),
        ("posetx trials --only adam", ["adamw"]),
    ],
)
def test_the_shell_completes(
    words: str,
    offered: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in asked(words).items():
        monkeypatch.setenv(name, value)
    run()
    told = capsys.readouterr()
    assert (told.out.split(), told.err) == (offered, "")


def test_completion_can_be_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capfd.readouterr().out
    assert "--install-completion" in text and "--show-completion" in text


def test_a_misspelt_command_or_option_gets_a_suggestion(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("tranfer") == 2
    assert "No such command 'tranfer'. Did you mean 'transfer'?" in capsys.readouterr().err
    assert run("models", "--jsn") == 2
    assert "--json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("attack", [*METHODS, *NORMS, *DEFENCES]),
        ("attack-dataset", [*METHODS, *PLAIN]),
        ("attack-tables", list(TABLES)),
        ("evaluate", list(PROTOCOLS)),
        ("bench", [*NETWORKS, *PRESETS]),
        ("train", [*CONFIGS, "skin", "coords", "bf16", "none", "fgm", "pgd"]),
    ],
)
def test_choices_are_in_the_help(
    command: str, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in names)


@pytest.mark.parametrize(
    "call",
    [
        ["bench", "x", "--preset", "huge"],
        ["evaluate", "-p", "huge"],
        ["train", "x", "--samples", "9", "--adversarial", "huge"],
        ["attack-dataset", "seen", "--norm", "huge"],
    ],
)
def test_a_choice_that_is_none_is_one_line(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*call) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: --") and " huge: use " in line and line.count("\n") == 1


def test_the_old_spelling_of_attack_dataset_tells_the_new_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("attack", "--dataset", "seen") == 2
    assert "posetx attack-dataset seen" in capsys.readouterr().err


def test_a_field_is_an_option_on_the_command_line() -> None:
    error = FieldError("target_up", "q", "not an axis")
    assert str(error) == "target_up q: not an axis"
    assert explain(error) == ("--target-up q: not an axis", 2)


def test_defences_are_those_that_have_names() -> None:
    assert {*CLOUD_DEFENCES, MASK} == set(DEFENCES)
