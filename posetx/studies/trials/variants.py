"""Networks, losses, optimisers and pose banks that only trials use."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posetx.bodies.body import global_rotations
from posetx.bodies.skeleton import JOINTS
from posetx.data.poses import PoseBank
from posetx.data.stream import Batch
from posetx.models.decoder import ChannelAttentionBlock, Statistics
from posetx.models.encoder import MultiScaleEncoder, PartPool, PointFeatures
from posetx.models.pose_mae import Output, PoseMAE, PoseMAEConfig
from posetx.training.losses import WEIGHTS, training_loss

#: the group of each joint: hips to chest, neck and head, upper and lower arms, thighs, lower legs
TEN = (0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 7, 8, 9, 9)
ONE = (0,) * len(JOINTS)
#: of the mean absolute error: as steep as the squared one where a coordinate is off by half of it,
#: in the identity's frame; 33 mm on an adult
ABSOLUTE = 0.05


class StyleBlock(ChannelAttentionBlock):
    """A ChannelAttentionBlock without the attention: Eq 1 and 2 are left out, the rest is there."""

    def __init__(self, width: int, code: int):
        super().__init__(width, code)
        del self.query, self.key, self.value, self.gamma

    def forward(
        self, x: Tensor, code: Tensor, sample: int | None, kept: list[Statistics] | None
    ) -> tuple[Tensor, list[Statistics]]:
        inner = kept if kept is not None else [Statistics.of(x[:, :sample])]
        return self.styled(x, code, inner[0]), inner


class NoAttention(PoseMAE):
    """A PoseMAE whose decoder is styled by the pose code and does not mix channels by it."""

    def __init__(self, config: PoseMAEConfig):
        super().__init__(config)
        c, blocks = config, self.decoder.blocks
        self.decoder.blocks = nn.ModuleList([StyleBlock(c.decoder_width, c.code) for _ in blocks])


class GroupPool(PartPool):
    """A PartPool over groups of parts: points belong to a group as much as to all of its parts."""

    member: Tensor  # (K, groups), 1 where the part is of the group

    def __init__(self, width: int, values: int, groups: tuple[int, ...]):
        super().__init__(width, values, max(groups) + 1)
        self.register_buffer("member", F.one_hot(torch.tensor(groups)).float(), persistent=False)

    def forward(self, points: Tensor, features: PointFeatures) -> Tensor:
        shares = features.shares
        clutter = 1 - shares.sum(-1, keepdim=True)
        # logarithms, as what pools takes the softmax of what it is given
        parts, none = ((x + 1e-9).log() for x in (shares @ self.member, clutter.clamp_min(0)))
        return super().forward(points, PointFeatures(features.hidden, parts, none))


class FewerParts(PoseMAE):
    """A PoseMAE whose codes are pooled over groups of parts; joints and skinning keep the parts."""

    def __init__(self, config: PoseMAEConfig, groups: tuple[int, ...]):
        super().__init__(config)
        for encoder in (self.pose_encoder, self.identity_encoder):
            self._regroup(encoder, groups)

    def _regroup(self, encoder: MultiScaleEncoder, groups: tuple[int, ...]) -> None:
        c = self.config
        encoder.pool = pool = GroupPool(c.width, c.values, groups)
        latent = (max(groups) + 1) * pool.size + c.width
        encoder.join = nn.ModuleList([nn.Linear(latent, c.code) for _ in encoder.join])


def absolute_error(output: Output, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """:func:`training_loss` with the mean absolute error (L1) in place of the squared one."""
    rest, terms = training_loss(output, batch, {**WEIGHTS, "position": 0.0})
    position = (output.positions - batch.truth).abs().mean()
    return rest + ABSOLUTE * position, {**terms, "position": position.detach()}


def adamw(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """AdamW for all, at the rate that it has beside Muon and with Muon's weight decay."""
    parameters, rate = model.parameters(), 0.5 * lr
    return [torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)]


class MirroredBank(PoseBank):
    """Poses as they are or mirrored, also where varied ones are asked for."""

    def draw_varied(self, count: int, generator: torch.Generator) -> Tensor:
        return global_rotations(self._drawn_and_mirrored(count, generator))


class NoiselessBank(PoseBank):
    """Varied poses without the noise: mirrored, limbs from different clips."""

    def draw_varied(self, count: int, generator: torch.Generator) -> Tensor:
        return global_rotations(self._mixed(count, generator))
