"""Which unit of length a body is in, told by its size."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: the units that scans are in, by how many of them a metre has
UNITS = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
#: a body that is larger or smaller than an adult by more than this factor is in no known unit
LIKELY = 2.0


@dataclass(frozen=True)
class Unit:
    """``name`` is None where the unit is none of the known ones; ``metre`` is then an adult's."""

    name: str | None
    metre: float

    @property
    def millimetres(self) -> float:
        """How many there are in one unit."""
        return 1000.0 / self.metre


def unit_of(metre: float) -> Unit:
    """The unit of a scan in which a metre of an average body takes ``metre`` units.

    >>> unit_of(950.0)
    Unit(name='mm', metre=1000.0)
    >>> unit_of(0.02).name is None
    True
    """
    name = min(UNITS, key=lambda each: abs(math.log(UNITS[each] / metre)))
    known = 1 / LIKELY <= UNITS[name] / metre <= LIKELY
    return Unit(name, UNITS[name]) if known else Unit(None, metre)
