"""What of the network's work would leave a GPU, counted on the CPU; and bfloat16."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from posetx.bodies.body import BodyModel
from posetx.geometry.frames import normalise_pose
from posetx.models.checkpoint import load_model
from posetx.models.predictor import IdentityFrame, Predictor, pose_sample
from posetx.models.registry import build, config_named

TINY = {"width": 32, "code": 32, "depth": 1, "decoder_width": 16, "decoder_blocks": 1}
#: to the host, which waits for all that was begun before
FETCHED = {"item", "cpu", "numpy", "tolist", "__bool__", "__float__", "__int__", "__index__"}
#: from it
SENT = {"tensor", "as_tensor", "from_numpy"}


class Transfers(TorchFunctionMode):
    """Counts what copies between a device and the host: a list as an index does."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.__name__
        index = args[1] if name in ("__getitem__", "__setitem__") else ()
        parts = index if isinstance(index, tuple) else (index,)
        if name in FETCHED | SENT or any(isinstance(part, list) for part in parts):
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


def test_transfers_are_counted() -> None:
    with Transfers() as counted:
        x = torch.zeros(3, 4)
        assert (x + 1)[:, 1:].shape == (3, 3)
        assert not counted.found
        assert x[:, [0, 2]].sum() == 0  # a list, and the comparison's outcome
        float(x[0, 0])
        torch.tensor([1.0])
    assert counted.found == {"__getitem__": 1, "__bool__": 1, "__float__": 1, "tensor": 1}


def test_a_batch_is_transferred_on_the_device_alone() -> None:
    """Encoded, refined, decoded: nothing waits for the host between the first op and the last."""
    network = build(config_named("posemae", **TINY)).eval()
    size = network.config.pose_points
    pose, points = torch.randn(4, 8 * size, 3), torch.randn(4, 500, 3)
    sample = torch.randn(4, network.config.identity_points, 3)

    def moved() -> torch.Tensor:
        source = network.encode_pose(normalise_pose(pose)[0], sets=8)
        return network.decode(network.context(source, sample), points)

    with torch.no_grad():
        moved()  # constants are sent once
        with Transfers() as counted:
            assert moved().shape == points.shape
    assert not counted.found


@pytest.mark.parametrize("identity", [0, 1])
def test_bfloat16_is_within_a_thousandth_of_the_height(identity: int) -> None:
    """The network alone, with the shipped weights; single vertices may be twice as far."""
    model, _ = load_model("posemae")
    body, predictor = BodyModel.load(), Predictor(model, torch.device("cpu"))
    shapes = body.rest(body.bank[:3])[0].double().numpy()
    cloud = pose_sample(shapes[2], model.config.pose_points)
    vertices, faces = shapes[identity], body.faces.numpy()
    frame = IdentityFrame.of(vertices, faces)
    normal = frame.to_normal(vertices)
    shown = predictor.identity_sample(normal, faces)

    def moved(half: bool) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return frame.from_normal(predictor.move(cloud[None], normal, shown))

    full, half = moved(False), moved(True)
    away = np.linalg.norm(half - full, axis=1) / np.ptp(vertices[:, 1])
    assert 0 < away.mean() < 1e-3 and away.max() < 3e-3
