"""A model's card is made by one command: figures, confidence, tables; once, and then kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from posetx.errors import PosetxError, UsageError
from posetx.models.checkpoint import save_model
from posetx.models.registry import build, config_named
from posetx.studies import model_card
from posetx.studies.model_card import MEASUREMENTS, NETWORK, CardOptions, Measurement, make_card
from posetx.system.paths import find_model

DOCUMENT = "Words.\n\n<!-- card: {} -->\n<!-- /card -->\n\nMore.\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the shipped model, its card without what was measured."""
    found = find_model("posemae")
    path = Path(shutil.copy(found, tmp_path))
    card = json.loads(found.with_suffix(".json").read_text())
    for name in ("figures", "figures_refined", "confidence", "reliability"):
        card.pop(name, None)
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def test_every_measurement_is_another_one() -> None:
    names = [one.name for one in MEASUREMENTS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("fits", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_card_is_made_once_and_its_tables_take_their_places(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: bool
) -> None:
    few = [Measurement(protocol, 100, by=NETWORK) for protocol in ("unseen", "scan")]
    few += [Measurement(protocol, 100) for protocol in ("scan", "front")] if fits else []
    monkeypatch.setattr(model_card, "MEASUREMENTS", few)
    document = tmp_path / "d.md"
    document.write_text("".join(map(DOCUMENT.format, ("pipeline", "network", "reliability"))))
    told: list[tuple[int, int, str]] = []
    folder = tmp_path / "kept"
    options = CardOptions(folder, str(model), pairs=1, attacked=0, documents=(document,))
    made = make_card(options, lambda *step: told.append(step))
    assert told == [(1, 1, one.name) for one in few]
    assert list(made["figures"]["network"]) == ["unseen", "scan"]
    assert list(made["figures"]["pipeline"]) == (["scan", "front"] if fits else [])
    card = json.loads(model.with_suffix(".json").read_text())
    assert card["figures"] == made["figures"]["network"]
    assert card.get("figures_refined", {}) == made["figures"]["pipeline"]
    curves = {"network", "fitted"} if fits else {"network"}
    assert set(card["confidence"]) == set(card["reliability"]) == curves
    text = document.read_text()
    assert "| metric | unseen | scan |" in text and ("| metric | scan | front |" in text) == fits
    assert "| confidence | pairs |" in text and text.count("Words.") == 3
    assert [path.name for path in folder.iterdir()] == ["figures.json"]

    told.clear()
    assert make_card(options, lambda *step: told.append(step)) == made and not told
    assert document.read_text() == text
    with pytest.raises(UsageError, match="of another model or setup; pass `overwrite`"):
        make_card(CardOptions(folder, str(model), pairs=2), lambda *step: None)
    document.write_text("no place")
    with pytest.raises(PosetxError, match=r"d.md: no place for a table"):
        make_card(options, lambda *step: None)


def test_a_baseline_has_no_such_card(tmp_path: Path) -> None:
    network = build(config_named("npt-mp", width=16, pose_points=32, identity_points=32))
    save_model(tmp_path / "n.safetensors", network.config, network.state_dict(), {})
    with pytest.raises(PosetxError, match="a baseline; `evaluate` and `attack-tables` do those"):
        make_card(CardOptions(tmp_path, str(tmp_path / "n.safetensors")), lambda *step: None)
