"""The network's estimate, drawn closer to the scan: a body of free pose, shape and size.

The network answers in milliseconds and errs by some centimetres where a pose is rare. Its answer
is a good place to start from: the neutral body in the estimated pose is fitted to the points by
gradient descent, and the fitted pose is what the network's decoder then gives to the target.
Points are matched with the nearest point of the body, where nearness counts the part that the
network sees in a point as well: a hand on a hip is matched with the hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from posetx.bodies.body import (
    BodyModel,
    forward_kinematics,
    global_rotations,
    relative_rotations,
    skin,
)
from posetx.geometry.rotations import matrix_from_axis_angle
from posetx.geometry.sampling import sample_surface
from posetx.models.pose_mae import PoseCode
from posetx.models.refine import Estimate


@dataclass(frozen=True)
class FitSettings:
    """Lengths are in the pose's normalised frame, whose unit is about a metre for an adult."""

    iterations: int = 60
    rate: float = 0.03
    body_points: int = 1500
    #: components of the shape space that are free; their weight keeps them near the mean body
    components: int = 12
    shape_weight: float = 1e-3
    #: keeps the joints near the network's angles where no points say otherwise
    pose_weight: float = 2.5e-4
    #: distance beyond which a point pulls no more, at first and in the end
    reach: tuple[float, float] = (0.18, 0.03)
    #: what a match with a part that the network does not see in the point costs
    part_distance: float = 0.07
    #: pull of the body's points to the scan, relative to the scan's to the body: a scan may lack
    #: a side, and a body may not
    body_to_scan: float = 0.6


class BodyFit:
    """Fits a body to clouds, a batch at a time."""

    def __init__(self, body: BodyModel, settings: FitSettings | None = None):
        self.settings = s = settings or FitSettings()
        faces = body.faces.cpu().numpy()
        vertices = body.template.double().cpu().numpy()
        _, picked, where = sample_surface(vertices, faces, s.body_points)
        device = body.template.device
        corners = body.faces[torch.as_tensor(picked, device=device)]
        barycentric = torch.as_tensor(where, device=device).float().unsqueeze(-1)

        def at_samples(values: Tensor) -> Tensor:
            return (values[corners] * barycentric).sum(1)

        self.template = at_samples(body.template)
        self.weights = at_samples(body.weights)
        self.part = self.weights.argmax(1)
        parts = [at_samples(component) for component in body.components[: s.components]]
        self.components = torch.stack(parts)
        self.joint_template = body.joint_template
        self.joint_components = body.joint_components[: s.components]

    def improve(self, clouds: Tensor, pose: PoseCode) -> PoseCode:
        """``pose`` with the estimate that fits ``clouds`` (B, N, 3) best.

        The clouds are in the normalised frame that ``pose`` is of, all points of which it has
        features. Each cloud is fitted by itself; the result is the same every time.
        """
        s = self.settings
        with torch.inference_mode(False), torch.enable_grad():
            # clones, because what inference mode made has no place in a graph
            cloud = clouds.detach().clone()
            first = Estimate(pose.rotations.detach().clone(), pose.joints.detach().clone())
            seen = pose.features.parts.detach().clone().softmax(-1)
            strange = s.part_distance**2 * (1 - seen[:, :, self.part])
            figure = _Figure(self, first)
            optimizer = torch.optim.Adam(figure.groups(s.rate), betas=(0.9, 0.95))
            rates = [group["lr"] for group in optimizer.param_groups]
            for iteration in range(s.iterations):
                left = 1 - iteration / s.iterations
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * left
                loss = self._loss(figure, cloud, strange, s.reach[1] + left * s.reach[0])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                _, rotations, joints = figure.place()
        return replace(pose, estimate=Estimate(rotations, joints))

    def _loss(self, figure: _Figure, cloud: Tensor, strange: Tensor, reach: float) -> Tensor:
        s = self.settings
        surface, _, _ = figure.place()
        with torch.no_grad():
            squared = torch.cdist(cloud, surface).square()
            to_body = (squared + strange).argmin(2, keepdim=True)
            to_scan = squared.argmin(1).unsqueeze(2)
        ours = (cloud - surface.gather(1, to_body.expand(-1, -1, 3))).square().sum(-1)
        theirs = (surface - cloud.gather(1, to_scan.expand(-1, -1, 3))).square().sum(-1)

        def robust(square: Tensor) -> Tensor:
            # Geman-McClure: a square near zero, constant far out
            return (reach**2 * square / (square + reach**2)).mean(1)

        data = robust(ours) + s.body_to_scan * robust(theirs)
        prior = s.pose_weight * figure.turns.square().mean((1, 2))
        shape = s.shape_weight * figure.shape.square().mean(1)
        return (data + prior + shape).sum()


class _Figure:
    """The free body: what turns, moves, grows and changes shape, from an estimate on."""

    def __init__(self, fit: BodyFit, first: Estimate):
        self.fit = fit
        batch, device = len(first.joints), first.joints.device
        self.local = relative_rotations(first.rotations)
        joints = fit.joint_template.expand(batch, -1, -1)
        placed = forward_kinematics(joints, first.rotations)
        spread = [x - x.mean(1, keepdim=True) for x in (first.joints, placed)]
        self.size = (spread[0].norm(dim=(1, 2)) / spread[1].norm(dim=(1, 2))).view(-1, 1, 1)
        self.where = (first.joints - self.size * placed).mean(1, keepdim=True)

        def free(*shape: int) -> Tensor:
            return torch.zeros(batch, *shape, device=device, requires_grad=True)

        self.turns, self.move = free(first.joints.shape[1], 3), free(1, 3)
        self.grow, self.shape = free(1, 1), free(fit.settings.components)

    def groups(self, rate: float) -> list[dict]:
        return [
            {"params": [self.turns, self.move], "lr": rate},
            {"params": [self.grow], "lr": rate / 3},
            {"params": [self.shape], "lr": 3 * rate},
        ]

    def place(self) -> tuple[Tensor, Tensor, Tensor]:
        """Surface points (B, body_points, 3), global rotations and joints in the cloud's frame."""
        fit = self.fit
        rotations = global_rotations(self.local @ matrix_from_axis_angle(self.turns + 1e-9))
        rest = fit.template + torch.einsum("bs,sni->bni", self.shape, fit.components)
        joints = fit.joint_template + torch.einsum("bs,sji->bji", self.shape, fit.joint_components)
        placed = forward_kinematics(joints, rotations)
        surface = skin(rest, fit.weights, joints, placed, rotations)
        size, where = self.size * self.grow.exp(), self.where + self.move
        return size * surface + where, rotations, size * placed + where
