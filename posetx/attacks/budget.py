"""How far an attack may move the points: a norm, a size, and the three things attacks need of it.

Norms, per cloud of P points, all in the points' own unit:

``l2``
    the whole displacement has length at most epsilon * sqrt(3 P), so that epsilon is its
    root mean square a coordinate. 3D-PoseMAE's delta in its released code (facts in its Table 2).
``point``
    every point moves by at most epsilon.
``linf``
    every coordinate moves by at most epsilon ("On the Robustness of 3D Human Pose Estimation").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posetx.attacks.choices import NORMS as NORMS

_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Budget:
    """A norm (one of NORMS) and its epsilon: a number, or (B,) one for each cloud."""

    norm: str
    epsilon: float | Tensor

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"norm {self.norm}: use one of {', '.join(NORMS)}")

    def _radius(self, like: Tensor) -> Tensor:
        """The bound of the norm, (B or 1, 1, 1)."""
        epsilon = torch.as_tensor(self.epsilon, dtype=like.dtype, device=like.device)
        radius = epsilon.reshape(-1, 1, 1)
        return radius * (3 * like.shape[1]) ** 0.5 if self.norm == "l2" else radius

    def size(self, displacement: Tensor) -> Tensor:
        """The norm (B,) of displacements (B, P, 3), in units of epsilon's meaning."""
        if self.norm == "l2":
            return displacement.square().mean((1, 2)).sqrt()
        if self.norm == "point":
            size: Tensor = displacement.norm(dim=-1).amax(1)
            return size
        return displacement.abs().amax((1, 2))

    def steepest(self, gradient: Tensor) -> Tensor:
        """The displacement within the budget that a linear objective gains most from.

        ``gradient`` (B, P, 3); where it is zero (or not finite) nothing moves.
        """
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        radius = self._radius(gradient)
        if self.norm == "linf":
            return radius * gradient.sign()
        dims = (1, 2) if self.norm == "l2" else (2,)
        # in two steps: the square of a tiny gradient is zero in float32
        gradient = gradient / gradient.abs().amax((1, 2), keepdim=True).clamp_min(_TINY)
        length = gradient.square().sum(dims, keepdim=True).sqrt()
        return radius * gradient / length.clamp_min(_TINY)

    def project(self, displacement: Tensor) -> Tensor:
        """The nearest displacement within the budget."""
        radius = self._radius(displacement)
        if self.norm == "linf":
            return torch.maximum(torch.minimum(displacement, radius), -radius)
        dims = (1, 2) if self.norm == "l2" else (2,)
        length = displacement.square().sum(dims, keepdim=True).sqrt()
        return displacement * (radius / length.clamp_min(_TINY)).clamp_max(1.0)

    def random(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """A random displacement of the budget's full size, of the shape of ``like`` (B, P, 3)."""
        noise = torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)
        return self.steepest(noise)
