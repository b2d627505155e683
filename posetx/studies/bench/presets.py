"""What `posetx bench` trains, and how long: the same for all networks of a preset.

No torch here: the command's help lists these names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from posetx.models.known import KNOWN

#: all that are known
NETWORKS = tuple(KNOWN)
#: what is compared: clean poses, raw scans, white-box attacks
PROTOCOLS = ("seen", "unseen", "noise", "scan", "attack", "attack-pgd")
#: of these, what is measured of a network that learnt without ground truth
CLEAN = ("seen", "unseen")


@dataclass(frozen=True)
class Preset:
    """Equal samples, points and batches; ``widths`` are those of networks that get a smaller one.

    ``minutes`` is the most that one training may take: what it stopped is said in the tables.
    """

    samples: int
    batch: int
    points: int
    pairs: int
    minutes: float
    widths: dict[str, int] = field(default_factory=dict)
    protocols: tuple[str, ...] = PROTOCOLS
    #: forward passes at: SMPL's vertices, a dense character's, a raw mesh's
    sizes: tuple[int, ...] = (6_890, 27_000, 100_000)
    #: a forward pass that takes longer (seconds) is not measured
    patience: float = 120.0


PRESETS = {
    # a quarter of the papers' widths: two cores then see enough samples to tell anything
    "small": Preset(
        samples=20_000,
        batch=32,
        points=128,
        pairs=16,
        minutes=20.0,
        widths={
            **dict.fromkeys(("npt", "npt-mp", "gc-transformer"), 256),
            **dict.fromkeys(("corenet", "mapconnet"), 16),
        },
    ),
    "full": Preset(samples=4_000_000, batch=192, points=512, pairs=400, minutes=480.0),
}
