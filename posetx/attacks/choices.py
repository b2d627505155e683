"""What an attack's settings may be, by name; without torch, for the command line's help."""

from __future__ import annotations

from typing import Literal, get_args

#: what a displacement is measured by, see :mod:`posetx.attacks.budget`
Norm = Literal["l2", "point", "linf"]
NORMS: tuple[Norm, ...] = get_args(Norm)
#: what may stand before the network, see :mod:`posetx.attacks.defences`
DefenceName = Literal["sor", "subsample", "smooth", "mask"]
DEFENCES: tuple[DefenceName, ...] = get_args(DefenceName)
