"""What a batch did, as `--json` shows it and `--summary` keeps it; a second run goes on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from posetx.cli.common import json_text
from posetx.errors import PosetxError, UsageError
from posetx.files.atomic import check_outputs, write_text_atomic
from posetx.files.checks import read_bytes
from posetx.pipeline.batch import Outcome

#: Bytes of a summary that is gone on with, at most: a scan has some 3 kB in it.
LARGEST = 1 << 28


class Summary:
    """The document of a batch, and the file that it goes to, if any.

    Parameters
    ----------
    path : of `--summary`; one that an earlier run of this command wrote is gone on with
    asked : what was asked for, as JSON has it; results of another wish are told
    overwrite : begin anew
    """

    def __init__(self, path: Path | None, asked: Mapping[str, Any], overwrite: bool) -> None:
        self.path = path
        self.asked: dict[str, Any] = json.loads(json_text(dict(asked)))
        self.earlier: dict[str, dict[str, Any]] = {}
        self.changed: list[str] = []
        if path is None:
            return
        before = None if overwrite else _read(path)
        check_outputs({"summary": path}, [], overwrite or before is not None)
        if before is not None:
            self.earlier = {str(row.get("output")): row for row in before["results"]}
            was = before.get("asked")
            was = was if isinstance(was, dict) else {}
            self.changed = [k for k in self.asked if k in was and was[k] != self.asked[k]]

    def difference(self) -> str:
        """A line about results that are there of other options; empty where there are none."""
        if not self.changed:
            return ""
        names = ", ".join(self.changed)
        return f"what is there already was made with another {names}; --overwrite makes it anew"

    def document(self, outcomes: list[Outcome]) -> dict[str, Any]:
        """What was done, here and, of what was skipped, in the run before."""
        rows = [self._row(outcome) for outcome in outcomes]
        failed = sum(outcome.status == "failed" for outcome in outcomes)
        return {"asked": self.asked, "results": rows, "failed": failed}

    def write(self, outcomes: list[Outcome]) -> None:
        """Keep the document, if it has a file."""
        if self.path:
            write_text_atomic(self.path, json_text(self.document(outcomes)) + "\n")

    def _row(self, outcome: Outcome) -> dict[str, Any]:
        job = outcome.job
        row: dict[str, Any] = {"scan": job.scan, "output": job.output, "status": outcome.status}
        if outcome.error:
            row["error"] = " ".join(outcome.error.split())
        if outcome.status == "skipped":
            return {**self.earlier.get(str(job.output), {}), **row}
        return {**row, **(outcome.report or {})}


def _read(path: Path) -> dict[str, Any] | None:
    """What an earlier run wrote; None where there is nothing.

    Raises UsageError for a file that is none of a batch's.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(read_bytes(path, most=LARGEST))
    except (PosetxError, ValueError, RecursionError):
        found = None
    rows = found.get("results") if isinstance(found, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(
            f"{path}: exists already, and is no summary of such a run; choose another name or pass "
            "`overwrite`"
        )
    assert isinstance(found, dict)
    return found
