"""Tables in documents, made anew where they stand.

A table stands between `<!-- KIND: NAME -->` and `<!-- /KIND -->`: what is between them is written
by a study, the words around them are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from posetx.errors import PosetxError
from posetx.files.atomic import write_text_atomic
from posetx.files.checks import read_bytes


def _places(kind: str) -> re.Pattern[str]:
    return re.compile(rf"<!-- {kind}: (\S+) -->.*?<!-- /{kind} -->", re.DOTALL)


def has_place(path: Path, kind: str) -> bool:
    """Whether a document has a place for tables of a kind. Raises PosetxError if unreadable."""
    return _places(kind).search(read_document(path)) is not None


def with_tables(text: str, kind: str, tables: Mapping[str, str]) -> str:
    """A document with these tables in their places; what it has of others stays."""

    def put(place: re.Match[str]) -> str:
        if (name := place[1]) not in tables:
            return place[0]
        return f"<!-- {kind}: {name} -->\n\n{tables[name]}\n\n<!-- /{kind} -->"

    return _places(kind).sub(put, text)


def put_tables(path: Path, kind: str, tables: Mapping[str, str]) -> None:
    """Write these tables into a document. Raises PosetxError if it cannot be read."""
    write_text_atomic(path, with_tables(read_document(path), kind, tables))


def read_document(path: Path) -> str:
    """A document. Raises PosetxError where it cannot be read."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError:
        raise PosetxError(f"{path}: is no text in UTF-8; save it as such") from None
