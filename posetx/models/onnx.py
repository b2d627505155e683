"""Networks as ONNX files, for programs that have no torch; each is compared before it is kept.

A file takes a batch of any size, clouds of any number of points and any number of an identity's
points, in the frames of :class:`posetx.data.stream.Batch`; only the pose's cloud may be of any unit
and anywhere. `docs/networks.md` lists inputs and outputs.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from posetx.bodies.body import BodyModel
from posetx.errors import MissingError, PosetxError
from posetx.geometry.frames import normalise_pose
from posetx.models.pose_mae import PoseMAE
from posetx.models.registry import Config, Network, architecture_of, name_of

#: what the extra `onnx` brings: torch writes with the first two, the last one runs what it wrote
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")

#: the largest difference between onnxruntime's positions and torch's, in the identity's frame,
#: whose unit is the root of the surface's area: 1.4 m of an adult. Where torch's own are that far
#: from those in float64, so many times as far: the shipped PoseMAE is 1.8e-5 off, and torch itself
#: 2.5e-5.
LARGEST_DIFFERENCE, TIMES_ROUNDING = 1e-5, 2

#: batch, points of the pose, points of the identity: while tracing, and those compared at. Traced
#: are odd ones, which the tracer cannot take for a size of the network's.
TRACED = (3, 300, 210)
COMPARED = ((1, 1024, 77), (5, 131, 1000), (2, 384, 300))


@dataclass(frozen=True)
class Exported:
    """A file's bytes, what it takes, and how far off torch it was at most.

    ``rounding`` is how far torch is from its own result in float64.
    """

    data: bytes
    inputs: dict[str, list[str | int]]
    difference: float
    rounding: float


class FromPose(nn.Module):
    """One of the field's networks as a function of tensors alone."""

    names = ("pose", "points")

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, pose: Tensor, points: Tensor) -> Tensor:
        """Positions (B, Q, 3) of ``points`` (B, Q, 3) in the pose of a cloud (B, P, 3)."""
        moved: Tensor = self.network(normalise_pose(pose)[0], points).positions
        return moved


class FromPoseAndSample(nn.Module):
    """A PoseMAE as transfer uses it: an identity is known by a sample, any points are decoded."""

    names = ("pose", "sample", "points")

    def __init__(self, network: PoseMAE):
        super().__init__()
        self.network = network

    def forward(self, pose: Tensor, sample: Tensor, points: Tensor) -> Tensor:
        """As :meth:`FromPose.forward`; ``sample`` (B, I, 3) is of the identity's surface."""
        sets = pose.shape[1] // self.network.config.pose_points
        source = self.network.encode_pose(normalise_pose(pose)[0], sets=sets)
        return self.network.decode(self.network.context(source, sample), points)


def as_function(network: Network) -> FromPose | FromPoseAndSample:
    """What is exported of a network of any kind."""
    return FromPoseAndSample(network) if isinstance(network, PoseMAE) else FromPose(network)


def export_onnx(network: Network, card: dict[str, Any] | None = None) -> Exported:
    """A network on the CPU as ONNX.

    Raises MissingError without the extra `onnx`, PosetxError where what comes out is not the same.
    """
    check_libraries()
    function, config = as_function(network.eval()), network.config
    given, shapes = _drawn(config, *TRACED), _shapes(function, config)
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            function,
            tuple(given[name] for name in function.names),
            input_names=list(function.names),
            output_names=["positions"],
            dynamic_shapes=tuple(
                {axis: size for axis, size in enumerate(shapes[name]) if isinstance(size, str)}
                for name in function.names
            ),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # it is for those that write a file
    program.model.metadata_props.update(
        network=name_of(config),
        architecture=architecture_of(config),
        config=json.dumps(asdict(config)),
        sha256=str((card or {}).get("sha256", "")),
    )
    data = program.model_proto.SerializeToString()
    return Exported(data, shapes, *compare(data, function))


def compare(data: bytes, function: FromPose | FromPoseAndSample) -> tuple[float, float]:
    """The largest difference from torch at sizes that were not traced, and torch's own rounding.

    Raises PosetxError for a difference of more than both allow.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    exact = deepcopy(function).double()
    largest = rounding = 0.0
    for sizes in COMPARED:
        drawn = _drawn(function.network.config, *sizes)
        given = {name: drawn[name] for name in function.names}
        with torch.no_grad():
            wanted = function(*given.values())
            truth = exact(*(value.double() for value in given.values()))
        (found,) = session.run(None, {name: value.numpy() for name, value in given.items()})
        if found.shape != tuple(wanted.shape):
            raise PosetxError(f"ONNX: {found.shape} came of it instead of {tuple(wanted.shape)}")
        largest = max(largest, float((torch.from_numpy(found) - wanted).abs().max()))
        rounding = max(rounding, float((truth - wanted).abs().max()))
    allowed = max(LARGEST_DIFFERENCE, TIMES_ROUNDING * rounding)
    if not largest <= allowed:
        raise PosetxError(
            f"ONNX: its positions are {largest:.2g} from torch's, more than {allowed:.2g}"
        )
    return largest, rounding


def check_libraries() -> None:
    """Raises MissingError where the extra is not installed."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise MissingError(
            f"{', '.join(missing)}: not installed, and ONNX needs it; pip install 'posetx[onnx]'"
        )


def _shapes(function: FromPose | FromPoseAndSample, config: Config) -> dict[str, list[str | int]]:
    """The inputs' shapes; names are sizes that are free."""
    shapes: dict[str, list[str | int]] = {
        "pose": ["batch", "pose_points", 3],
        "sample": ["batch", config.identity_points, 3],
        "points": ["batch", "points", 3],
    }
    return {name: shapes[name] for name in function.names}


def _drawn(config: Config, batch: int, pose_points: int, points: int) -> dict[str, Tensor]:
    """Clouds of bodies at rest, the same each time."""
    body, generator = BodyModel.load(), torch.Generator().manual_seed(0)
    identities, _ = body.rest(body.bank[: 2 * batch])
    mean, unit = identities.mean(1, keepdim=True), identities.flatten(1).std(1).view(-1, 1, 1)
    clouds = (identities - mean) / unit / 2

    def some(clouds: Tensor, count: int) -> Tensor:
        return clouds[:, torch.randint(clouds.shape[1], (count,), generator=generator)]

    return {
        "pose": some(clouds[:batch], pose_points),
        "sample": some(clouds[batch:], config.identity_points),
        "points": some(clouds[batch:], points),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says of libraries and of each of its steps, which takes it minutes."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
