"""The trials: the product's defaults, and one change of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor

from posetx.data.poses import PoseBank
from posetx.data.stream import StreamSettings
from posetx.models.pose_mae import PoseMAEConfig
from posetx.studies.trials.variants import (
    ONE,
    TEN,
    FewerParts,
    MirroredBank,
    NoAttention,
    NoiselessBank,
    absolute_error,
    adamw,
)
from posetx.training.learners import Learner
from posetx.training.losses import WEIGHTS, training_loss
from posetx.training.validation import PlainBank

BASELINE = "baseline"


@dataclass(frozen=True)
class Trial:
    """One row of the table: what it is called, what it changes, and the change."""

    name: str
    what: str
    network: PoseMAEConfig = field(default_factory=PoseMAEConfig)
    stream: StreamSettings = field(default_factory=StreamSettings)
    learner: Learner = field(default_factory=Learner)
    #: fields of TrainSettings that are not as in all other trials
    train: Mapping[str, Any] = field(default_factory=dict)
    #: the bank that training draws from, of local rotations (F, 19, 3, 3)
    bank: Callable[[Tensor], PoseBank] = PoseBank

    @property
    def measured_on(self) -> StreamSettings:
        """What makes the samples that it is measured on: the baseline's, but for identities of
        as many points as it encodes."""
        return replace(StreamSettings(), identity_points=self.stream.identity_points)


def _network(**change: Any) -> PoseMAEConfig:
    return replace(PoseMAEConfig(), **change)


def _weights(**change: float) -> Learner:
    """A learner whose loss has other weights."""
    return Learner(loss=partial(training_loss, weights={**WEIGHTS, **change}))


def _points(count: int) -> dict[str, Any]:
    """So many points of either cloud are encoded; looks see as many of a scan as ever."""
    network = _network(pose_points=count, identity_points=count)
    return {"network": network, "stream": replace(StreamSettings(), identity_points=count)}


def _dressed(sources: float, identities: float) -> StreamSettings:
    """So large shares of the pose sources and of the identities are dressed."""
    return StreamSettings(dressed_share=sources, dressed_identity_share=identities)


_NO_ATTENTION = Learner(network=NoAttention)

TRIALS = (
    Trial(BASELINE, "the defaults of `posetx train`, but for the batch"),
    Trial("again", "another seed: how much of a difference is chance", train={"seed": 1000}),
    Trial("coords", "coords head: the decoder regresses positions", _network(head="coords")),
    Trial(
        "no-rotations",
        "rotation loss 0 (the second look then starts from rotations that nobody taught)",
        learner=_weights(rotation=0.0),
    ),
    Trial("no-joints", "joint loss 0", learner=_weights(joints=0.0)),
    Trial(
        "no-parts",
        "part, place and skinning loss 0",
        learner=_weights(parts=0.0, places=0.0, skinning=0.0),
    ),
    Trial("no-places", "no loss of points' places on the body", learner=_weights(places=0.0)),
    Trial("one-look", "no second look", _network(refine=False)),
    Trial(
        "one-look-no-rotations",
        "no second look, rotation loss 0 (rotations are then learnt from positions alone)",
        _network(refine=False),
        learner=_weights(rotation=0.0),
    ),
    Trial("plain", "poses as they are", bank=PlainBank),
    Trial("mirror", "poses as they are or mirrored", bank=MirroredBank),
    Trial("mirror-mix", "mirrored, limbs of other clips; no noise on joints", bank=NoiselessBank),
    Trial("no-scans", "scan share 0", stream=StreamSettings(scan_share=0.0)),
    Trial(
        "parts-10",
        "codes pooled over 10 groups of the 19 parts",
        learner=Learner(network=partial(FewerParts, groups=TEN)),
    ),
    Trial(
        "parts-1",
        "codes pooled over the whole cloud",
        learner=Learner(network=partial(FewerParts, groups=ONE)),
    ),
    Trial("width-128", "encoder width 128", _network(width=128)),
    Trial("width-384", "encoder width 384", _network(width=384)),
    Trial("points-64", "64 points of each cloud are encoded", **_points(64)),
    Trial("points-256", "256 points of each cloud are encoded", **_points(256)),
    Trial(
        "seen-128",
        "looks see the 128 points of a scan that are encoded, and no more",
        stream=replace(StreamSettings(), pose_points=128),
    ),
    Trial("looks-1", "one further look", _network(looks=1)),
    Trial("looks-3", "three further looks", _network(looks=3)),
    Trial("bare", "nobody is dressed", stream=_dressed(0.0, 0.0)),
    Trial("dressed-0.6", "60 % of either side is dressed", stream=_dressed(0.6, 0.6)),
    Trial("l1", "L1 loss of positions", learner=Learner(loss=absolute_error)),
    Trial("edge-0", "edge loss 0", learner=_weights(edge=0.0)),
    Trial("edge-x10", "edge loss × 10", learner=_weights(edge=10 * WEIGHTS["edge"])),
    Trial("mask-0", "no masking", _network(mask_ratio=0.0)),
    Trial("mask-0.5", "mask ratio 0.5", _network(mask_ratio=0.5)),
    Trial("scales-1", "one scale", _network(scales=1)),
    Trial("scales-3", "three scales", _network(scales=3)),
    Trial("no-attention", "no channel attention", learner=_NO_ATTENTION),
    Trial(
        "vanilla",
        "no masking, one scale, no channel attention",
        _network(mask_ratio=0.0, scales=1),
        learner=_NO_ATTENTION,
    ),
    Trial(
        "coords-no-attention",
        "coords head, no channel attention",
        _network(head="coords"),
        learner=_NO_ATTENTION,
    ),
    Trial(
        "coords-vanilla",
        "coords head, no masking, one scale, no channel attention",
        _network(head="coords", mask_ratio=0.0, scales=1),
        learner=_NO_ATTENTION,
    ),
    Trial("adamw", "AdamW for all instead of Muon", learner=Learner(optimizers=adamw)),
)

#: 3D-PoseMAE, Table 5: a row's name, and the trials that it is, one for each head
ABLATION = {
    "vanilla": ("vanilla", "coords-vanilla"),
    "+ multi-scale masking": ("no-attention", "coords-no-attention"),
    "+ channel attention": (BASELINE, "coords"),
}
HEADS = ("skin", "coords")
