"""The models that lie in the weights folders: what each card says, and whether the file is whole.

A model is `NAME.safetensors` and its card `NAME.json`, which holds the configuration, the training
command, the data, the measured figures and the sha256 of the safetensors file.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posetx.errors import PosetxError
from posetx.system.paths import weights_dirs

#: Bytes; the shipped one has 6 kB.
LARGEST_CARD = 1 << 20


@dataclass(frozen=True)
class ShippedModel:
    """One model on disk."""

    name: str
    path: Path
    #: Bytes of the safetensors file.
    size: int
    #: Hash of the file as it lies here.
    sha256: str
    #: `ok`, `BAD` (the file is not the one the card describes) or `no card`.
    check: str
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, float]:
        """The measured PMD of each protocol that the card names."""
        found = {}
        for protocol, row in section(self.card, "figures").items():
            if isinstance(row, dict) and isinstance(row.get("pmd"), (int, float)):
                with suppress(OverflowError):  # an integer beyond any float
                    found[protocol] = float(row["pmd"])
        return found


def shipped_models() -> list[ShippedModel]:
    """Every model that can be named, sorted; a name found in two folders counts in the first."""
    found: dict[str, Path] = {}
    for folder in weights_dirs():
        for path in folder.glob("*.safetensors"):
            found.setdefault(path.stem, path)
    return [inspect_model(path) for _, path in sorted(found.items())]


def inspect_model(path: Path) -> ShippedModel:
    """Reads the card of one safetensors file and compares the hash."""
    sha256 = file_sha256(path)
    card = read_card(path.with_suffix(".json"))
    if card is None:
        check = "no card"
    else:
        check = "ok" if card.get("sha256") == sha256 else "BAD"
    return ShippedModel(path.stem, path, path.stat().st_size, sha256, check, card or {})


def read_card(path: Path) -> dict[str, Any] | None:
    """The card as a dict; None if there is none; empty if it cannot be read as one."""
    from posetx.files.checks import read_bytes  # needs numpy, which lists and helps do not

    if not path.exists():
        return None
    try:
        card = json.loads(read_bytes(path, most=LARGEST_CARD))
    except (PosetxError, ValueError, RecursionError):
        return {}
    return card if isinstance(card, dict) else {}


def section(card: dict[str, Any], name: str) -> dict[str, Any]:
    """A part of a card; empty where it has none, or what is none."""
    found = card.get(name)
    return found if isinstance(found, dict) else {}


def file_sha256(path: Path) -> str:
    """Hash of a file, read a piece at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
