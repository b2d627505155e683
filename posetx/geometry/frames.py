"""The normalised frame in which the network sees a pose cloud."""

from __future__ import annotations

from torch import Tensor

#: root-mean-square radius of a pose cloud after normalisation
POSE_RADIUS = 0.5


def normalise_pose(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centre on the mean and scale to a fixed root-mean-square radius.

    Parameters
    ----------
    points : (B, P, 3) in any unit.

    Returns
    -------
    normalised (B, P, 3), centre (B, 1, 3), unit (B, 1, 1):
    ``points = centre + unit * normalised``.
    """
    centre = points.mean(1, keepdim=True)
    radius = (points - centre).square().sum(-1).mean(1).sqrt().clamp_min(1e-12)
    unit = (radius / POSE_RADIUS).view(-1, 1, 1)
    return (points - centre) / unit, centre, unit
