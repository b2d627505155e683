"""A virtual scanner for batches of bodies: what a few depth cameras would see, and their faults.

Works on surface samples, so that it runs on any device at the speed of training: a coarse depth
buffer decides what is hidden, normals decide what is turned away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from posetx.data.objects import add_objects
from posetx.geometry.visibility import visible_from


@dataclass(frozen=True)
class ScannerSettings:
    """Ranges a scan is drawn from. Lengths are shares of the body's height.

    ``objects`` are the shares of scans with something that touches the body, and with one more
    that touches either.
    """

    views: tuple[int, int] = (1, 8)
    noise: float = 0.012
    flying: float = 0.03
    clutter: float = 0.03
    floor: float = 0.06
    holes: int = 3
    objects: tuple[float, ...] = ()
    longest_edge: float = 0.6


#: m², about: what the scanner takes the area of a bare body for
ADULT_AREA = 1.8


def cell_of(samples: int, area: float = ADULT_AREA) -> float:
    """Side of the depth buffer's cells that so many samples of a surface (m²) leave no gaps in."""
    return 2.0 * math.sqrt(area / samples)


def simulate_scans(
    points: Tensor,
    normals: Tensor,
    count: int,
    generator: torch.Generator,
    *,
    cell: float | Tensor,
    settings: ScannerSettings | None = None,
    height: Tensor | None = None,
    sequence: bool = False,
) -> tuple[Tensor, Tensor]:
    """Scans (B, count, 3) of bodies given as surface samples.

    Parameters
    ----------
    points, normals : (B, N, 3), y up; the samples of a body's skin.
    count : points a scan keeps.
    cell : see :func:`visible_from` and :func:`cell_of`.
    height : (B,) what the settings' lengths are shares of; by default the extent along y.
    sequence : the bodies are one body's frames: cameras and the size of the noise stay.

    Returns
    -------
    scans : (B, count, 3); source : (B, count) the sample each point came from, or -1 for clutter.
    """
    settings = settings or ScannerSettings()
    batch, device = len(points), points.device
    takes = 1 if sequence else batch
    samples = of_body = points.shape[1]

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=device)

    low, high = points.amin(1), points.amax(1)
    if height is None:
        height = high[:, 1] - low[:, 1]
    unit = height.view(-1, 1, 1)
    real = None
    for share in filter(None, settings.objects):
        points, normals, real = add_objects(
            points, normals, height, share, generator, settings.longest_edge, real
        )
        samples = points.shape[1]

    # cameras: a ring around the body, from knee height to overhead
    most = settings.views[1]
    views = torch.randint(settings.views[0], most + 1, (takes,), generator=generator, device=device)
    start = 6.2832 * rand(takes, 1)
    angle = start + torch.arange(most, device=device) / views.view(-1, 1) * 6.2832
    angle = angle + 0.4 * randn(takes, most)
    elevation = 0.35 * randn(takes, most)
    seen = torch.zeros(batch, samples, dtype=torch.bool, device=device)
    ray = torch.zeros(batch, samples, 3, device=device)
    # the one time that the host waits for the device
    diagonal = ((points.amax(1) - points.amin(1)).norm(dim=-1, keepdim=True) / cell).max()
    used, across = torch.stack([views.max(), diagonal]).tolist()
    for view in range(int(used)):
        active = (view < views).unsqueeze(1)
        a, e = angle[:, view], elevation[:, view]
        direction = torch.stack([a.sin() * e.cos(), e.sin(), a.cos() * e.cos()], -1)
        direction = direction.expand(batch, -1)
        new = visible_from(points, normals, direction, cell, int(across) + 2) & active & ~seen
        seen |= new
        ray = torch.where(new.unsqueeze(-1), direction.unsqueeze(1), ray)

    # holes: balls in which nothing was measured
    for _ in range(settings.holes):
        centre = points[
            torch.arange(batch, device=device), _randint(samples, batch, generator, device)
        ]
        radius = 0.07 * rand(batch, 1) * height.view(-1, 1) * (rand(batch, 1) < 0.5)
        seen &= (points - centre.unsqueeze(1)).norm(dim=-1) > radius

    if real is not None:
        seen &= real

    # uneven density: more points towards a random side
    side = F.normalize(randn(takes, 3), dim=-1)
    lean = ((points - 0.5 * (low + high).unsqueeze(1)) @ side.unsqueeze(-1)).squeeze(-1)
    keys = torch.log(rand(batch, samples).clamp_min(1e-9))
    keys = keys / torch.exp(2.5 * rand(takes, 1) * lean / height.view(-1, 1))
    # a body seen by hardly any camera still needs `count` points: unseen ones come last
    keys = keys - 1e6 * (~seen)
    source = keys.topk(count, dim=1).indices
    hit = seen.gather(1, source)
    # too few seen: repeat seen ones instead of showing what no camera saw
    enough = hit.sum(1, keepdim=True).clamp_min(1)
    refill = source.gather(1, (rand(batch, count) * enough).long())
    source = torch.where(hit, source, refill)

    at = source.unsqueeze(-1).expand(-1, -1, 3)
    scans, ray = points.gather(1, at), ray.gather(1, at)
    noise = settings.noise * rand(takes, 1, 1) ** 2 * unit
    scans = scans + ray * randn(batch, count, 1) * noise + 0.3 * noise * randn(batch, count, 3)
    flying = rand(batch, count, 1) < settings.flying * rand(batch, 1, 1)
    scans = torch.where(flying, scans - ray * rand(batch, count, 1) * 0.15 * unit, scans)

    scans, source = _add_floor(scans, source, low, unit, settings, rand)
    clutter = rand(batch, count, 1) < settings.clutter * rand(batch, 1, 1) ** 2
    anywhere = low.unsqueeze(1) + (high - low).unsqueeze(1) * (1.3 * rand(batch, count, 3) - 0.15)
    scans = torch.where(clutter, anywhere, scans)
    strange = clutter.squeeze(-1) | flying.squeeze(-1) | (source >= of_body)
    source = torch.where(strange, -1, source)
    return scans, source


def _randint(high: int, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.randint(high, (count,), generator=generator, device=device)


def _add_floor(
    scans: Tensor,
    source: Tensor,
    low: Tensor,
    unit: Tensor,
    settings: ScannerSettings,
    rand: Callable[..., Tensor],
) -> tuple[Tensor, Tensor]:
    """A third of the scans keep some of the floor around the feet."""
    batch, count = scans.shape[:2]
    share = settings.floor * rand(batch, 1) * (rand(batch, 1) < 0.33)
    on_floor = rand(batch, count) < share
    angle, radius = 6.2832 * rand(batch, count), 0.3 * rand(batch, count).sqrt()
    disc = torch.stack([radius * angle.cos(), 0.005 * rand(batch, count), radius * angle.sin()], -1)
    middle = scans.mean(1, keepdim=True).clone()
    middle[..., 1] = low[:, None, 1]
    scans = torch.where(on_floor.unsqueeze(-1), middle + disc * unit, scans)
    return scans, torch.where(on_floor, -1, source)
