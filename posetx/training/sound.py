"""Weights that are numbers, to go back to when they no longer are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from posetx.errors import PosetxError


@dataclass
class Sound:
    """Averaged weights that were finite, and what had been learnt by then."""

    ema: dict[str, Tensor]
    samples: int
    seconds: float


class NotFinite(PosetxError):
    """A run whose weights are no numbers any more; ``usable`` if it has gone back to some."""

    def __init__(self, message: str, usable: bool):
        super().__init__(message)
        self.usable = usable


def finite(weights: Mapping[str, Tensor]) -> bool:
    """Whether all of them are numbers."""
    largest = torch.stack([value.float().abs().max() for value in weights.values()])
    return bool(largest.isfinite().all())
