"""What people wear and how they are coloured, told by where a point is on the mean body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import Body, joint, share
from .mesh import blend

ARM = ("upperarm", "forearm", "hand")


@dataclass
class Style:
    """Colours (0..255) and the cut of the clothes. Lengths along a limb: 1 is the bone's end."""

    skin: tuple
    hair: tuple
    shirt: tuple
    trousers: tuple
    shoes: tuple
    sole: tuple
    iris: tuple
    stripe: tuple | None = None
    sleeve: float = 2.0  # 1 the elbow, 2 the wrist
    shoe_top: float = 0.95  # of the shin
    beard: bool = False


RUNNER = Style(
    skin=(214, 168, 140), hair=(62, 42, 32), shirt=(196, 62, 52), trousers=(58, 62, 76),
    shoes=(222, 222, 216), sole=(150, 150, 150), iris=(90, 70, 40), sleeve=0.62, shoe_top=0.93,
)  # fmt: skip
RANGER = Style(
    skin=(226, 172, 138), hair=(112, 62, 30), shirt=(240, 232, 212), trousers=(66, 88, 124),
    shoes=(104, 64, 38), sole=(52, 36, 28), iris=(58, 110, 140), stripe=(34, 62, 96),
    sleeve=1.72, shoe_top=0.55, beard=True,
)  # fmt: skip


class Painter:
    """Clothes and colours for points ``p`` (N, 3) of the mean body with weights ``w`` (N, 19)."""

    def __init__(self, body: Body):
        self.body = body
        self.eyes = [body.template[body.part == side].mean(0) for side in (1, 2)]
        self.unit = (self.eyes[0][0] - self.eyes[1][0]) / 0.063  # 1 for an adult's head
        self.ground = body.template[:, 1].min()
        self.waist = body.joints[joint("pelvis"), 1] + 0.045

    def garments(self, p: np.ndarray, w: np.ndarray, style: Style) -> dict[str, np.ndarray]:
        """Boolean masks (N,), each point in exactly one."""
        arm = share(w, *ARM) > 0.5
        reach = np.where(
            share(w, "forearm", "hand") > share(w, "upperarm"),
            1 + self._along(p, "forearm", "hand"),
            self._along(p, "upperarm", "forearm"),
        )
        neck = share(w, "neck", "head") > 0.55
        leg = share(w, "thigh", "shin", "foot") > 0.5
        low = (share(w, "shin") > 0.5) & (self._along(p, "shin", "foot") > style.shoe_top)
        shoes = leg & ((share(w, "foot") > 0.5) | low)
        bare = neck | (arm & (reach > style.sleeve))
        trousers = ~bare & ~arm & ~shoes & (leg | (p[:, 1] < self.waist))
        hair = neck & self._hair(p)
        return {
            "skin": bare & ~hair, "hair": hair, "shirt": ~bare & ~trousers & ~shoes,
            "trousers": trousers, "shoes": shoes,
        }  # fmt: skip

    def on_head(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Metres on an adult's head: aside (unsigned), above and in front of the eyes."""
        eye = (self.eyes[0] + self.eyes[1]) / 2
        return np.abs(p[:, 0]) / self.unit, *((p[:, 1:] - eye[1:]) / self.unit).T

    def colour(self, corners: np.ndarray, bary: np.ndarray, style: Style) -> np.ndarray:
        """Colours (N, 3), 0..255, of points in the body's triangles."""
        p, w = blend(self.body.template, corners, bary), blend(self.body.weights, corners, bary)
        masks = self.garments(p, w, style)
        out = np.zeros((len(p), 3))
        for name, mask in masks.items():
            out[mask] = getattr(style, name)
        self._face(out, p, masks["skin"] & (share(w, "head") > 0.5), style)
        if style.stripe:
            self._stripes(out, p, w, masks["shirt"], style)
        out[masks["shoes"] & (p[:, 1] < self.ground + 0.014)] = style.sole
        for side in (1, 2):
            at = self.body.part[corners[:, 0]] == side
            ray = p[at] - self.eyes[side - 1]
            angle = np.arccos((ray[:, 2] / np.linalg.norm(ray, axis=1).clip(1e-9)).clip(-1, 1))
            iris = np.where((angle < 0.58)[:, None], style.iris, (240, 236, 230))
            out[at] = np.where((angle < 0.27)[:, None], (18, 16, 16), iris)
        return out

    def _along(self, p: np.ndarray, start: str, end: str) -> np.ndarray:
        """Where points lie along the bone of their side, 0 to 1."""
        both = []
        for side in (".L", ".R"):
            a, b = self.body.joints[joint(start + side)], self.body.joints[joint(end + side)]
            both.append((p - a) @ (b - a) / ((b - a) @ (b - a)))
        return np.where(p[:, 0] > 0, *both)

    def _hair(self, p: np.ndarray) -> np.ndarray:
        aside, up, front = self.on_head(p)
        ear = (aside > 0.071) & (up < 0.025)
        # lower at the temples, and lower still behind them
        line = 0.062 - 0.25 * (aside - 0.02).clip(0) - 1.4 * (-0.045 - front).clip(0, 0.05)
        behind = (front < -0.075 - 0.25 * up.clip(-1, 0)) & (up > -0.075)
        return ((up > line) | behind) & ~ear

    def _face(self, out, p, skin, style: Style) -> None:
        aside, up, front = self.on_head(p)
        face = skin & (front > -0.07)
        blush = np.exp(-(((aside - 0.038) / 0.02) ** 2) - ((up + 0.042) / 0.018) ** 2)
        out[face] *= 1 - blush[face, None] * (0.0, 0.14, 0.14)
        if style.beard:
            cheek = -0.060 + 0.9 * (aside - 0.045).clip(0)
            out[face & (up < cheek) & (up > -0.14)] = np.array(style.hair) * 0.92
        mouth = ((aside / 0.026) ** 2 + ((up + 0.0735) / 0.0085) ** 2 < 1) & (front > 0)
        out[face & mouth] = np.array(style.skin) * (0.86, 0.60, 0.58)
        arch = 0.021 + 0.25 * (0.012 - np.abs(aside - 0.034)).clip(-0.02, 0)
        brow = (np.abs(aside - 0.034) < 0.021) & (np.abs(up - arch) < 0.0042) & (front > -0.03)
        out[face & brow] = np.array(style.hair) * 0.8

    def _stripes(self, out, p, w, shirt, style: Style) -> None:
        """Round the trunk and round the arms."""
        elbow, shoulder = (self.body.joints[joint(name)] for name in ("forearm.L", "upperarm.L"))
        bone = np.linalg.norm(elbow - shoulder)
        run = np.where(share(w, *ARM) > 0.5, self._along(p, "upperarm", "forearm") * bone, p[:, 1])
        out[shirt & (np.mod(run, 0.042) < 0.016)] = style.stripe
