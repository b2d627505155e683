"""Optimal transport between two point sets: Sinkhorn's iteration on logarithms.

3D-CoreNet (NeurIPS 2021) matches an identity's points to a pose's by the plan of
least cost under uniform marginals. The published code iterates on exp(-cost / epsilon), which at
epsilon = 0.03 reaches exp(-67): nothing in half precision, and next to nothing beside the 1e-8
that its divisions add. On logarithms no cost is too large.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.geometry.rotations import full_precision

#: the published regularisation, in units of the cost, and number of iterations
EPSILON = 0.03
ITERATIONS = 5


def transport(cost: Tensor, epsilon: float = EPSILON, iterations: int = ITERATIONS) -> Tensor:
    """The entropic transport plan between uniform weights 1/N and 1/M, each row scaled to sum 1.

    Parameters
    ----------
    cost : (B, N, M), finite, of any floating type; N and M may differ.
    epsilon : what the plan's entropy costs, in units of ``cost``.
    iterations : of Sinkhorn's rule, columns first, then rows.

    Returns
    -------
    (B, N, M) in float32 (float64 for float64). Rows sum to 1; columns to N / M, nearly so after
    a few iterations.

    Raises
    ------
    ValueError : ``epsilon`` is not positive, or there is no iteration.
    """
    if not epsilon > 0 or iterations < 1:
        raise ValueError(f"epsilon {epsilon} and iterations {iterations} must be positive")
    with torch.autocast(cost.device.type, enabled=False):
        kernel = -full_precision(cost) / epsilon
        # Uniform marginals shift all of a side's potentials alike, and the rows' own potential
        # scales whole rows: the softmax takes away both, and the last update of the rows with them.
        columns = -kernel.logsumexp(1, keepdim=True)
        for _ in range(iterations - 1):
            rows = -(kernel + columns).logsumexp(2, keepdim=True)
            columns = -(kernel + rows).logsumexp(1, keepdim=True)
        return (kernel + columns).softmax(2)
