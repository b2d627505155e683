"""The documents' tables of attacks: made once, put where the marks are, words left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from posetx.attacks.settings import AttackSettings
from posetx.errors import PosetxError, UsageError
from posetx.models.checkpoint import save_model
from posetx.models.registry import build, config_named
from posetx.studies import attack_tables
from posetx.studies.attack_catalogue import TABLES, TableOf
from posetx.studies.attack_tables import TablesOptions, make_tables

MARKED = "Words.\n\n<!-- attacks: noise -->\n<!-- /attacks -->\n\nMore, <!-- attacks: x --> old\n"
NOISE = (AttackSettings("noise", epsilon=0.02),)


def test_every_table_can_be_made() -> None:
    for name, table in TABLES.items():
        attack_tables._attack(table, TablesOptions(Path("x"), name)).check()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build(config_named("npt-mp", width=16, pose_points=32, identity_points=32))
    save_model(tmp_path / "npt-mp.safetensors", network.config, network.state_dict(), {})
    return tmp_path / "npt-mp.safetensors"


def test_tables_of_a_baseline_are_made_once_and_put_into_documents(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {
        "noise": TableOf("seen", NOISE),
        "parts": TableOf("seen", NOISE, by_part=True),
        "whole": TableOf("seen", NOISE, {"whole": True}),
    }
    monkeypatch.setattr(attack_tables, "TABLES", tables)
    document, file = tmp_path / "d.md", tmp_path / "a.json"
    document.write_text(MARKED)
    told: list[tuple[int, int, str]] = []
    options = TablesOptions(file, str(model), pairs=1, documents=(document,))
    found = make_tables(options, lambda *step: told.append(step))
    assert list(found["tables"]) == ["noise", "parts"]  # no pipeline uses a baseline
    assert told[:3] == [(0, 2, "noise"), (1, 2, "noise"), (2, 2, "noise")]
    assert json.loads(file.read_text()) == found
    text = document.read_text()
    assert "| noise | 20 |" in text and text.startswith("Words.") and text.endswith("old\n")
    assert f"sha256 {found['model_sha256'][:12]}" in text

    told.clear()
    assert make_tables(options, lambda *step: told.append(step)) == found and not told
    other = TablesOptions(file, str(model), pairs=2)
    with pytest.raises(UsageError, match="of another model or setup; pass `overwrite`"):
        make_tables(other, lambda *step: None)
    bare = tmp_path / "bare.md"
    bare.write_text("no place")
    with pytest.raises(PosetxError, match=r"bare.md: no place for a table"):
        TablesOptions(file, "m", documents=(bare,)).check()
