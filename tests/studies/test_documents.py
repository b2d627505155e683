"""Tables take their marked places in documents, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from posetx.errors import PosetxError
from posetx.studies.documents import has_place, put_tables, with_tables

MARKED = "Words.\n\n<!-- attacks: noise -->\n<!-- /attacks -->\n\nMore, <!-- attacks: x --> old\n"


def test_a_table_takes_its_place_and_no_other() -> None:
    text = MARKED + "<!-- /attacks -->\n"
    once = with_tables(text, "attacks", {"noise": "| a |"})
    assert once == text.replace(" -->\n<!-- /", " -->\n\n| a |\n\n<!-- /", 1)
    assert with_tables(once, "attacks", {"noise": "| a |"}) == once
    assert "| b |" in with_tables(once, "attacks", {"noise": "| b |"})
    assert "| a |" not in with_tables(once, "attacks", {"noise": "| b |"})
    assert with_tables(text, "card", {"noise": "| a |"}) == text


def test_a_file_gets_its_tables(tmp_path: Path) -> None:
    path = tmp_path / "d.md"
    path.write_text("<!-- card: network --> old <!-- /card --> words")
    assert has_place(path, "card") and not has_place(path, "attacks")
    put_tables(path, "card", {"network": "| new |"})
    assert path.read_text() == "<!-- card: network -->\n\n| new |\n\n<!-- /card --> words"
    path.write_bytes(b"a\r\n<!-- card: network --><!-- /card -->\r\n")
    put_tables(path, "card", {"network": "| new |"})
    assert path.read_bytes().startswith(b"a\r\n") and path.read_bytes().endswith(b"-->\r\n")
    path.write_bytes(b"\xff")
    with pytest.raises(PosetxError, match=r"d\.md: is no text in UTF-8"):
        has_place(path, "card")
    with pytest.raises(PosetxError, match=r"none\.md: does not exist"):
        has_place(tmp_path / "none.md", "card")
