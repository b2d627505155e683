"""What can be set of a training run from outside; no torch here, so that it is checked at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

from posetx.errors import FieldError, UsageError
from posetx.files.atomic import check_can_be_folder, check_free


@dataclass(frozen=True)
class TrainOptions:
    """What is trained on what, for how long, and where it goes; None is the usual."""

    folder: Path
    mocap: Path | None = None
    #: a folder of meshes instead of synthetic bodies
    data: Path | None = None
    unsupervised: bool = False
    max_minutes: float | None = None
    samples: int | None = None
    resume: bool = False
    init_from: str | None = None
    model: str = "posemae"
    width: int | None = None
    head: str | None = None
    batch: int = 192
    lr: float = 2e-3
    pose_points: int = 128
    #: of a 3D-PoseMAE: how many points of a pose source its further looks see
    seen_points: int | None = None
    identity_points: int = 128
    scan_share: float | None = None
    #: none, or an attack that is cheap enough for every step
    adversarial: str = "none"
    epsilon: float = 0.08
    adversarial_share: float = 0.5
    adversarial_from: float = 0.0
    #: of pgd
    adversarial_steps: int = 3
    #: weight of gradient alignment in the loss
    adversarial_alignment: float = 0.0
    precision: str = "auto"
    checkpoint_minutes: float = 3.0
    threads: int | None = None
    device: str = "auto"
    seed: int = 0
    overwrite: bool = False

    def check(self) -> None:
        """Raises UsageError for what does not go together, and for a run that is there."""
        if not self.max_minutes and not self.samples:
            raise FieldError("max_minutes", "", "give a budget, of minutes or of samples")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise FieldError(field.name, value, "give a finite number")
        if self.data and self.mocap:
            raise FieldError("mocap", self.mocap, "meshes of a folder have their poses already")
        if self.data and self.scan_share:
            raise FieldError("scan_share", self.scan_share, "meshes of a folder are not scanned")
        if self.unsupervised and self.adversarial != "none":
            text = "attacks ground truth; an unsupervised run has none"
            raise FieldError("adversarial", self.adversarial, text)
        if self.adversarial_alignment and self.adversarial == "none":
            text = "is of attacks, say which"
            raise FieldError("adversarial_alignment", self.adversarial_alignment, text)
        check_can_be_folder(self.folder)
        if self.resume or self.overwrite:
            return
        if (self.folder / "checkpoint.pt").exists():
            raise UsageError(
                f"{self.folder}: has a checkpoint; pass `resume`, or `overwrite` to start anew"
            )
        for suffix in (".safetensors", ".json"):
            check_free(self.folder / f"{self.model}{suffix}", overwrite=False)
