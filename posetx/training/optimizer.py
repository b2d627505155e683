"""Muon for hidden matrices, AdamW for the rest, one schedule for both.

``torch.optim.Muon`` orthogonalises in bfloat16, which a CPU without bf16 instructions does a
hundred times slower than fp32; so the (few) lines of the rule stand here, in the precision that
the machine is fast in. Rule: Jordan 2024; step size as in "Muon is Scalable for LLM Training"
(arXiv 2502.16982), which lets it share AdamW's learning rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
#: a matrix with fewer rows or columns than this (coordinates in, coordinates out) is no hidden one
SMALLEST_HIDDEN = 16
#: matrices of more elements take turns, one half of them a step: orthogonalising them is a fifth
#: of a step on two cores, and their momentum hardly changes from one step to the next
LARGE = 100_000


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """Nearly the orthogonal factor of ``matrix`` (m, n), by Newton-Schulz iterations."""
    a, b, c = NEWTON_SCHULZ
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = (wide.bfloat16() if wide.is_cuda else wide) / (wide.norm() + 1e-7)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    wide = wide.to(matrix.dtype)
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, scaled to AdamW's typical step."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for index, param in enumerate(group["params"]):
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(param)
                    state["step"] = index % 2
                buffer = state["momentum_buffer"].lerp_(param.grad, 1 - group["momentum"])
                state["step"] += 1
                size = 0.2 * math.sqrt(max(param.shape)) * group["lr"]
                if param.numel() > LARGE:
                    if state["step"] % 2:
                        continue
                    size *= math.sqrt(2)
                update = orthogonalised(param.grad.lerp(buffer, group["momentum"]))
                param.mul_(1 - group["lr"] * group["weight_decay"])
                param.add_(update, alpha=-size)


def make_optimizers(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon at ``lr`` for hidden matrices; AdamW at half of it for all else."""
    hidden: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for param in model.parameters():
        is_hidden = param.ndim == 2 and min(param.shape) >= SMALLEST_HIDDEN
        (hidden if is_hidden else rest).append(param)
    optimizers: list[torch.optim.Optimizer] = []
    if hidden:  # a network narrower than SMALLEST_HIDDEN has none
        optimizers.append(Muon(hidden, lr=lr))
    if rest:
        adamw = torch.optim.AdamW(rest, lr=0.5 * lr, betas=(0.9, 0.98), weight_decay=0.0)
        optimizers.append(adamw)
    return optimizers


#: share of a run's budget in which the learning rate falls; before it, it is constant
COOL_DOWN = 0.25


def learning_rate_factor(progress: float, warm_up: float = 0.01) -> float:
    """Linear warm-up, constant, then a fall to zero; ``progress`` from 0 to 1.

    Warm-up-stable-decay instead of a cosine: a run can be prolonged from where its rate was still
    constant, at no loss. The fall is 1 - sqrt (Hägele et al., arXiv 2405.18392), which they
    found as good as a cosine of known length.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warm_up:
        return (progress + 1e-4) / (warm_up + 1e-4)
    return 1 - math.sqrt(max(progress - (1 - COOL_DOWN), 0.0) / COOL_DOWN)
