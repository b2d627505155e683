"""Random numbers by the name of what they are for: sizes, choices, chances."""

from __future__ import annotations

from collections.abc import Mapping

import torch


class Dice:
    """One generator on the CPU, from which plain numbers are drawn."""

    def __init__(self, generator: torch.Generator):
        self.generator = generator

    def size(self, low: float, high: float) -> float:
        """A number between the two."""
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def chance(self, share: float) -> bool:
        """True in this share of all cases."""
        return self.size(0.0, 1.0) < share

    def one_of(self, *names: str) -> str:
        """Any of the names, all as likely."""
        return names[int(torch.randint(len(names), (), generator=self.generator))]

    def weighed(self, names: Mapping[str, float]) -> str:
        """One of the names, each as likely as its number says."""
        weights = torch.tensor(list(names.values()))
        return list(names)[int(torch.multinomial(weights, 1, generator=self.generator))]

    def waves(self, points: torch.Tensor, length: float) -> torch.Tensor:
        """A random field (N,) in [-1, 1] at points (N, 3), in waves of about ``length``."""
        turn = torch.randn(3, 3, generator=self.generator) * (6.2832 / length / 3**0.5)
        phase = 6.2832 * torch.rand(3, generator=self.generator)
        return torch.sin(points @ turn + phase).mean(-1)
