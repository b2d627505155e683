"""What a page may be asked for, by name; without numpy, for the command line's help."""

from __future__ import annotations

from typing import Literal, get_args

#: how files of the same vertices are shown: side by side, or as one that moves
Arrangement = Literal["auto", "beside", "time"]
ARRANGEMENTS: tuple[Arrangement, ...] = get_args(Arrangement)
