"""A run's losses every few steps: `log.csv`, and TensorBoard's files where it is installed."""

from __future__ import annotations

import csv
import errno
import io
import os
from pathlib import Path
from typing import Any

from posetx.errors import PosetxError
from posetx.files.atomic import write_text_atomic

COLUMNS = ("samples", "minutes", "samples_per_second")


class TrainingLog:
    """The log of the run in ``folder``, which begins anew or goes on after ``samples``.

    Rows beyond them are of a run that broke off after its last checkpoint.
    """

    def __init__(self, folder: Path, samples: int = 0):
        self.path = folder / "log.csv"
        self.names: list[str] = []
        if samples and self.path.is_file():
            self._cut(samples)
        else:
            self.path.unlink(missing_ok=True)
        self.board = _board(folder / "tensorboard", samples)

    def add(self, samples: int, minutes: float, rate: float, terms: dict[str, float]) -> None:
        """Keep a row. Raises PosetxError where it cannot be written."""
        row: dict[str, Any] = dict(zip(COLUMNS, (samples, round(minutes, 3), rate), strict=True))
        row |= terms
        begun = bool(self.names)
        self.names = self.names or list(row)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.names, extrasaction="ignore")
        if not begun:
            writer.writeheader()
        writer.writerow(row)
        self._append(text.getvalue().encode())
        if self.board is not None:
            for name, value in {**terms, "samples_per_second": rate}.items():
                self.board.add_scalar(name, value, samples)

    def _append(self, data: bytes) -> None:
        """Put it at the end, whole or not at all."""
        size = -1
        try:
            with self.path.open("ab", buffering=0) as stream:
                size = stream.tell()
                if stream.write(data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if size > 0:
                os.truncate(self.path, size)
            elif not size:
                self.path.unlink()
            what = error.strerror or str(error)
            raise PosetxError(f"{self.path}: cannot be written: {what}; free the disk") from None

    def close(self) -> None:
        """Have everything on the disk."""
        if self.board is not None:
            self.board.close()

    def _cut(self, samples: int) -> None:
        """Leave out rows after so many samples, and what is no row."""
        text = self.path.read_text(encoding="utf-8", errors="replace")
        rows = list(csv.DictReader(io.StringIO(text)))
        self.names = list(rows[0]) if rows else []
        kept = [r for r in rows if (r.get("samples") or "").isdecimal()]
        kept = [r for r in kept if int(r["samples"]) <= samples]
        stream = io.StringIO(newline="")
        if self.names:
            writer = csv.DictWriter(stream, self.names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)
        write_text_atomic(self.path, stream.getvalue())


def _board(folder: Path, samples: int) -> Any:
    """TensorBoard's writer, or None where it is not installed or does not work."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except Exception:  # it is optional, and so is all that it imports
        return None
    return SummaryWriter(str(folder), purge_step=samples + 1)
