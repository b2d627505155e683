"""The frozen protocols' names and what each is; how pairs are drawn is in `protocols`.

No torch here: the commands' help and a shell's completion list these names.
"""

from __future__ import annotations

from dataclasses import dataclass

#: of the protocols' attacks: root mean square of the displacement a coordinate, metres, as in the
#: paper's Table 2, and the steps of PGD
EPSILON = 0.08
PGD_STEPS = 20


@dataclass(frozen=True)
class Protocol:
    """One protocol of `posetx evaluate`."""

    split: str
    text: str
    reposed: bool = False
    noise: bool = False
    views: int = 0  # of the virtual scanner; 0 are the body's own vertices
    any_up: bool = False
    objects: bool = False
    dressed: str = ""  # "source": every other one scanned; or "target"
    attack: str = ""


PROTOCOLS = {
    "seen": Protocol("train", "clean body in training subjects' poses; target at rest"),
    "unseen": Protocol("unseen", "clean body in poses of unseen subjects; target at rest"),
    "reposed": Protocol("unseen", "as unseen; target in another pose", reposed=True),
    "noise": Protocol("unseen", "as unseen + Gaussian noise, sd 2 % of height", noise=True),
    "scan": Protocol("unseen", "as unseen through the virtual scanner, 2 views, any yaw", views=2),
    "turned": Protocol("unseen", "as scan; x, y or z is up, and not told", views=2, any_up=True),
    "front": Protocol("unseen", "as scan, 1 view", views=1),
    "objects": Protocol("unseen", "as scan; a pole, board or box touches", views=2, objects=True),
    "dressed": Protocol(
        "unseen", "dressed, half stylised, 2 views or whole; bare target", views=2, dressed="source"
    ),
    "characters": Protocol("unseen", "as unseen; target dressed, half stylised", dressed="target"),
    "attack": Protocol("train", "as seen + FGM, budget 0.08, white box", attack="fgm"),
    "attack-pgd": Protocol("train", "as seen + PGD-20, budget 0.08, white box", attack="pgd"),
}
#: measured when they are asked for: variants of others, and what takes many gradients a pair
EXTRA = ("turned", "front", "objects", "dressed", "characters", "attack-pgd")
#: those whose pairs are not attacked
PLAIN = tuple(name for name, protocol in PROTOCOLS.items() if not protocol.attack)
