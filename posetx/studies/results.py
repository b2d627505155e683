"""What the studies share: runs measured alike, JSON that grows as they go, Markdown tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from posetx.errors import DAMAGED, PosetxError
from posetx.files.atomic import write_text_atomic


def read(path: Path, told: str) -> dict[str, Any] | None:
    """What a study has kept, or None where it has nothing yet.

    Raises PosetxError where the file is another one; ``told`` is what it should be.
    """
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise PosetxError(f"{path}: not a file of {told}; move it away")
    return document


@contextmanager
def understood(path: Path, told: str) -> Iterator[None]:
    """Whatever goes wrong while what was kept is looked through is the file's fault."""
    try:
        yield
    except DAMAGED:
        raise PosetxError(f"{path}: not a file of {told}; move it away") from None


def save(path: Path, document: dict[str, Any]) -> None:
    """Keep what there is by now, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomic(path, json.dumps(document, indent=1) + "\n")


def as_kept(value: Any) -> Any:
    """Settings as a file has them: tuples are lists there."""
    return json.loads(json.dumps(value))


def parameters(network: torch.nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(p.numel() for p in network.parameters())


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """So many threads of torch while it holds; as many as before where none is told."""
    before = torch.get_num_threads()
    try:
        if count:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def header(heads: Sequence[str], texts: int) -> list[str]:
    """A table's first two lines; the first so many columns are texts, the others numbers."""
    return [row(heads), "|" + "---|" * texts + "---:|" * (len(heads) - texts)]


def row(cells: Sequence[str]) -> str:
    """A table's line."""
    return "| " + " | ".join(cells) + " |"
