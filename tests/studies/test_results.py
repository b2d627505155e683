"""What the studies share: kept JSON, threads, tables."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from posetx.errors import PosetxError
from posetx.studies.results import cpu_threads, header, read, row, save


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "study.json"
    assert read(path, "a study") is None
    save(path, {"runs": [1, 2]})
    assert read(path, "a study") == {"runs": [1, 2]}
    for text in ("[]", "{", "3"):
        path.write_text(text)
        with pytest.raises(PosetxError, match="not a file of a study; move it away"):
            read(path, "a study")


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before


def test_a_table_has_a_line_a_row() -> None:
    assert header(["name", "PMD"], texts=1) == ["| name | PMD |", "|---|---:|"]
    assert row(["a", "1"]) == "| a | 1 |"
