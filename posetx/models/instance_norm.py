"""Instance normalisation over the points of a cloud, which all the field's mesh networks share."""

from __future__ import annotations

from torch import Tensor

from posetx.geometry.rotations import full_precision

#: added to every variance, as usual
VARIANCE = 1e-5


def standardised(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``x`` (B, N, C) less its mean over the points, divided by its deviation; these (B, 1, C).

    In float32 at least.
    """
    x = full_precision(x)
    mean = x.mean(1, keepdim=True)
    x = x - mean
    inverse = (x.square().mean(1, keepdim=True) + VARIANCE).rsqrt()
    return x * inverse, mean, inverse.reciprocal()


def instance_norm(x: Tensor) -> Tensor:
    """``x`` (B, N, C) with mean 0 and deviation 1 in each channel of each cloud."""
    return standardised(x)[0]
