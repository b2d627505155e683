"""The decoder: channel-wise attention between pose code and identity features.

3D-PoseMAE Eq 1 and 2. A tiled pose code is constant over vertices and would vanish in the
instance normalisation, so here the query comes from the pose code, key and value from the
identity: the C x C map is a pose-dependent mixing of identity channels. Every statistic is taken
on the identity's fixed-size surface sample, so that any vertices can be decoded, in any chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class Statistics:
    """Mean and standard deviation over the sample, (B, 1, C) each."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Statistics:
        # (std_mean takes several times as long on a CPU)
        mean = x.mean(1, keepdim=True)
        return cls(mean, (x - mean).square().mean(1, keepdim=True).add(1e-12).sqrt())

    def normalise(self, x: Tensor) -> Tensor:
        """Instance normalisation by the sample's statistics."""
        return (x - self.mean) / (self.deviation + 1e-3)


class ChannelAttentionBlock(nn.Module):
    """Eq 1, 2, then instance normalisation, scale-and-shift by the pose code, an MLP; residual."""

    def __init__(self, width: int, code: int):
        super().__init__()
        self.query = nn.Linear(code, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))  # Eq 2: learnable, starts at 0
        self.scale_shift = nn.Linear(code, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Tensor, code: Tensor, sample: int | None, kept: list[Statistics] | None
    ) -> tuple[Tensor, list[Statistics]]:
        """``x`` (B, N, C). With ``kept`` statistics of an earlier call nothing is pooled."""
        inner = kept if kept is not None else [Statistics.of(x[:, :sample])]
        key = self.key(inner[0].mean).squeeze(1)
        attention = (self.query(code).unsqueeze(2) * key.unsqueeze(1)).softmax(-1)  # (B, C, C)
        # the value map is folded into the C x C attention: one product per vertex, not two
        mixing = self.gamma * (attention @ self.value.weight)
        x = x + x @ mixing.transpose(1, 2)
        if kept is None:
            inner.append(Statistics.of(x[:, :sample]))
        return self.styled(x, code, inner[1]), inner

    def styled(self, x: Tensor, code: Tensor, statistics: Statistics) -> Tensor:
        """The block's second half: normalised, scaled and shifted by the code, added."""
        scale, shift = self.scale_shift(code).unsqueeze(1).chunk(2, -1)
        styled: Tensor = x + self.out(F.relu(statistics.normalise(x) * (1 + scale) + shift))
        return styled


class Decoder(nn.Module):
    """Identity features (B, N, W) and codes (B, D) -> (B, N, 3) in the identity's frame."""

    def __init__(self, features: int, width: int, code: int, blocks: int):
        super().__init__()
        self.enter = nn.Linear(features, width)
        self.blocks = nn.ModuleList([ChannelAttentionBlock(width, code) for _ in range(blocks)])
        self.out = nn.Linear(width, 3)
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.out.bias.zero_()

    def forward(
        self,
        features: Tensor,
        code: Tensor,
        sample: int | None = None,
        kept: list[list[Statistics]] | None = None,
    ) -> tuple[Tensor, list[list[Statistics]]]:
        x = F.relu(self.enter(features))
        statistics = []
        for index, block in enumerate(self.blocks):
            x, inner = block(x, code, sample, kept[index] if kept is not None else None)
            statistics.append(inner)
        return self.out(x), statistics
