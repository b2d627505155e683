"""From points and meshes in any frame to predictions: everything around the network's forward.

Inference is deterministic. The pose cloud is sampled evenly by farthest points, shared out to a
few sets of the size that the network was trained on, and the sets' codes are averaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from posetx.arrays import Floats, Indices
from posetx.errors import PosetxError
from posetx.geometry.frames import normalise_pose
from posetx.geometry.mesh import area_centroid, surface_area
from posetx.geometry.sampling import farthest_points, sample_surface
from posetx.models.pose_mae import IdentityContext, PoseCode, PoseMAE
from posetx.models.refine import Estimate
from posetx.models.registry import Network

#: places sampled from a pose cloud, dealt out to sets of as many as the network was trained on,
#: whose codes are averaged
POSE_POINTS = 1024
#: how often each point of a cloud counts in the places sampled from it; found on the protocols
SMOOTHING = 4.0
#: points decoded at a time, over the whole batch: more cost memory, and on a CPU time as well
CHUNK = 8_192


@dataclass
class IdentityFrame:
    """Where an identity's normalised frame lies: ``x = centre + unit * normalised``."""

    centre: Floats  # (3,)
    unit: float

    @classmethod
    def of(cls, vertices: Floats, faces: Indices) -> IdentityFrame:
        """Area centroid and square root of the surface area: both survive remeshing and posing.

        Raises PosetxError for a surface without area.
        """
        area = surface_area(vertices, faces)
        if not np.isfinite(area) or area <= 0:
            raise PosetxError("the target's surface has no area; it needs triangles or polygons")
        return cls(area_centroid(vertices, faces), float(np.sqrt(area)))

    def to_normal(self, points: Floats) -> Floats:
        return (points - self.centre) / self.unit

    def from_normal(self, points: Floats) -> Floats:
        return points * self.unit + self.centre


def pose_points(config_points: int) -> int:
    """How many places :func:`pose_sample` takes: whole sets."""
    return max(POSE_POINTS // config_points, 1) * config_points


def pose_sample(points: Floats, config_points: int) -> Floats:
    """(:func:`pose_points`, 3) evenly spread places, the same for any order of the input.

    Farthest-first order, dealt out so that each consecutive set of ``config_points`` covers the
    whole body. Farthest points are the noisiest of a noisy cloud, so each gives way to a weighted
    mean of the points nearest to it: so many that a point of the cloud counts SMOOTHING times.
    """
    count = pose_points(config_points)
    chosen = points[farthest_points(points, count)]
    near = min(1 + int(SMOOTHING * len(points) / count), len(points))
    if near > 2:
        distance, index = cKDTree(points).query(chosen, k=near)
        # the last one's weight is zero, so that it does not matter which of two equally far it is
        weight = 1 - (distance / np.maximum(distance[:, -1:], 1e-300)) ** 2
        weight /= np.maximum(weight.sum(1, keepdims=True), 1e-300)
        # sorted, so that the sum is the same to the last bit for any order of the input
        shift = np.sort(weight[..., None] * (points[index] - chosen[:, None]), axis=1).sum(1)
        chosen = chosen + shift
    return chosen.reshape(config_points, -1, 3).transpose(1, 0, 2).reshape(-1, 3)


class NetworkPredictor:
    """A network of any kind, used on arrays in any frame (y up, facing +z)."""

    def __init__(self, model: Network, device: torch.device):
        self.network, self.device = model, device

    def normalised(self, samples: Floats | Tensor) -> Tensor:
        """Clouds (B, N, 3) in their normalised frames, on the device."""
        return normalise_pose(torch.as_tensor(samples, dtype=torch.float32, device=self.device))[0]

    @torch.inference_mode()
    def identity_sample(self, vertices: Floats, faces: Indices) -> Tensor:
        """(1, I, 3) surface sample of an identity in its normalised frame."""
        points, _, _ = sample_surface(vertices, faces, self.network.config.identity_points)
        return torch.as_tensor(points, dtype=torch.float32, device=self.device).unsqueeze(0)

    @torch.inference_mode()
    def move(self, samples: Floats | Tensor, vertices: Floats, shown: Tensor) -> Floats:
        """All vertices (N, 3) of an identity in the pose of a cloud (1, P, 3): (N, 3).

        ``shown`` is its :meth:`identity_sample`, of which only a PoseMAE has need.
        """
        points = torch.as_tensor(vertices[None], dtype=torch.float32, device=self.device)
        moved = self.network(self.normalised(samples), points).positions
        placed: Floats = moved[0].double().cpu().numpy()
        return placed


class Predictor(NetworkPredictor):
    """A 3D-PoseMAE: also what it knows of poses, parts and directions."""

    def __init__(self, model: PoseMAE, device: torch.device):
        super().__init__(model, device)
        self.model = model

    @torch.inference_mode()
    def encode_pose(self, samples: Floats | Tensor) -> PoseCode:
        """Codes of clouds (B, sets * P, 3), as :func:`pose_sample` makes them, in any unit.

        Returns B codes; joints are in the clouds' normalised frame.
        """
        cloud = self.normalised(samples)
        return self.model.encode_pose(cloud, sets=cloud.shape[1] // self.model.config.pose_points)

    def move(self, samples: Floats | Tensor, vertices: Floats, shown: Tensor) -> Floats:
        placed: Floats = self.decode(self.context(self.encode_pose(samples), shown), vertices)[0]
        return placed

    @torch.inference_mode()
    def look_at_identity(self, identity: Tensor, cloud: Tensor) -> PoseCode:
        """What the network sees in an identity (1, I, 3): its own pose, and the parts of ``cloud``.

        ``cloud`` (1, N, 3) are other points of the same surface; the features are theirs.
        """
        code = self.model.encode_identity(identity, extra=cloud)
        return replace(code, features=code.features[slice(identity.shape[1], None)])

    @torch.inference_mode()
    def own_pose(self, identity: Tensor) -> Estimate:
        """The network's word on the pose that an identity (1, I, 3) itself is in."""
        return self.model.encode_identity(identity).estimate

    @torch.inference_mode()
    def part_weights(
        self, identity: Tensor, estimate: Estimate, points: Floats
    ) -> NDArray[np.float32]:
        """The network's skinning weights (N, 19) of an identity's points (N, 3)."""
        parts = [
            self.model.part_weights(identity, estimate, chunk)[0].cpu().numpy()
            for chunk in self._chunks(points, CHUNK)
        ]
        return np.concatenate(parts)

    @torch.inference_mode()
    def context(
        self, pose: PoseCode, identity: Tensor, known: Estimate | None = None
    ) -> IdentityContext:
        """The context for decoding; ``identity`` (1, I, 3) serves all poses of the batch.

        ``known`` is a better word on the identity's own pose than the network's.
        """
        return self.model.context(pose, identity.expand(len(pose.code), -1, -1), known)

    @torch.inference_mode()
    def decode(
        self,
        context: IdentityContext,
        points: Floats,
        weights: NDArray[np.float32] | None = None,
    ) -> Floats:
        """Positions (B, N, 3) of an identity's points (N, 3), chunk by chunk.

        ``weights`` (N, 19) are the points' skinning weights, the network's own without.
        """
        batch = len(context.code)
        out = np.empty((batch, len(points), 3))
        step = max(CHUNK // batch, 1)
        for start, queries in zip(
            range(0, len(points), step), self._chunks(points, step), strict=True
        ):
            known = None
            if weights is not None:
                known = torch.as_tensor(weights[start : start + step], device=self.device)[None]
            queries = queries.expand(batch, -1, -1)
            moved = self.model.decode(context, queries, known)
            out[:, start : start + step] = moved.cpu().numpy()
        return out

    def _chunks(self, points: Floats, step: int) -> Iterator[Tensor]:
        """(1, up to ``step``, 3) tensors on the device."""
        for start in range(0, len(points), step):
            part = torch.as_tensor(points[start : start + step], dtype=torch.float32)
            yield part.to(self.device)[None]


def predictor_of(network: Network, device: torch.device) -> NetworkPredictor:
    """What uses a network of any kind."""
    if isinstance(network, PoseMAE):
        return Predictor(network, device)
    return NetworkPredictor(network, device)
