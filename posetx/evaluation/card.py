"""Measured figures go into the model's card by the command that measured them."""

from __future__ import annotations

import datetime
import json
import shlex
import sys
from collections.abc import Callable
from typing import Any

from posetx.files.atomic import write_text_atomic
from posetx.models.shipped import read_card, section
from posetx.system.paths import find_model


def write_figures(
    model: str, figures: dict[str, dict[str, float]], poses: str, refined: bool = False
) -> None:
    """Merge ``figures`` (protocol -> metric -> value) into the card of ``model``.

    Those of refined predictions stand beside the network's own, as ``figures_refined``.
    """
    name = "figures_refined" if refined else "figures"

    def put(card: dict[str, Any]) -> None:
        card[name] = {**section(card, name), **figures}
        card[f"{name}_measured"] = {
            "date": datetime.date.today().isoformat(),
            "command": shlex.join(["posetx", *sys.argv[1:]]),
            "poses": poses,
        }

    update_card(model, put)


def update_card(model: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Let ``change`` alter the card of ``model``, and write it."""
    path = find_model(model).with_suffix(".json")
    card = read_card(path) or {}
    change(card)
    write_text_atomic(path, json.dumps(card, indent=2) + "\n")
