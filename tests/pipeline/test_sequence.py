"""Sequences: what fails is filled or begun anew, and what was kept is gone on with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from posetx.bodies.body import BodyModel
from posetx.data.prior import draw_prior
from posetx.errors import PosetxError
from posetx.files.sources import array_scan
from posetx.fit.cloud import FitSettings
from posetx.geometry.rotations import matrix_from_yaw
from posetx.pipeline.kept import keep, kept
from posetx.pipeline.options import Options
from posetx.pipeline.sequence import Follower, Frame, motion_of
from posetx.reading.start import Start

COUNT, COMPONENTS = 30, FitSettings().components
#: of a body in millimetres, z up
TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def body_at(frame: int) -> Start:
    """A body that turns on its way."""
    yaw = matrix_from_yaw(torch.tensor(0.05 * frame)).double().numpy()
    rotations = TO_Z_UP @ yaw @ draw_prior("train", 1, seed=0).local[0].double().numpy()
    root = TO_Z_UP @ [10.0 * frame, 900.0, 0.0]
    return Start(TO_Z_UP.T, "z", rotations, root, np.full(COMPONENTS, 0.5), 1000.0)


@dataclass
class Found:
    start: Start
    misfit: float
    confidence: float = 0.9
    fitted: Any = None
    pose: Any = None

    def __post_init__(self) -> None:
        self.fitted = self.start
        self.pose = SimpleNamespace(confidence=np.full(19, self.confidence))


@dataclass
class Script:
    """Stands for a pipeline: what it finds in each scan when it follows, and from scratch."""

    followed: dict[int, float] = field(default_factory=dict)
    anew: dict[int, float] = field(default_factory=dict)
    confidence: float = 0.9
    begun: list[int] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)

    def read(self, scan: Any, *axes: str, start: Start | None = None, **_: Any) -> Found:
        frame = int(scan.path.stem)
        found = body_at(frame)
        if start is None:
            if self.anew.get(frame) == np.inf:
                raise PosetxError(f"{scan.path}: no body")
            self.begun.append(frame)
            return Found(found, self.anew.get(frame, 0.1))
        self.starts.append(start)
        far = np.linalg.norm(start.root - found.root) > 200
        misfit = self.anew.get(frame, 0.1) if not far and start.root is not None else 0.1
        lost = frame in self.followed and frame not in self.begun[-1:]
        return Found(
            replace(found, shape=start.shape, scale=start.scale),
            self.followed[frame] if lost else misfit,
            self.confidence if lost else 0.9,
        )


def frames_of(script: Script, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[Frame]:
    monkeypatch.setattr("posetx.pipeline.sequence.measured", lambda scan, clean: None)

    def load(path: Path) -> Any:
        if path.stem == "7" and options.get("damaged"):
            raise PosetxError("7.ply: damaged")
        return replace(array_scan(np.zeros((4, 3))), path=path)

    follower = Follower(script, Options(), load=load)  # type: ignore[arg-type]
    scans = [Path(f"{frame}.ply") for frame in range(COUNT)]
    follower.know(scans)
    return list(follower.frames(scans))


def test_the_body_is_known_once_and_each_frame_begins_at_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = Script()
    frames = frames_of(script, monkeypatch)
    assert script.begun == [0, 14, 29]  # the first one is not read twice
    assert not any(frame.restarted for frame in frames[1:])
    for last, start in zip(frames, script.starts[1:], strict=False):
        assert last.body is not None
        np.testing.assert_array_equal(start.rotations, last.body.rotations)
    assert all(f.body and f.body.scale == pytest.approx(1000.0) for f in frames)


def test_a_frame_that_is_lost_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(followed={12: 0.2})
    frames = frames_of(script, monkeypatch)
    assert [frame.restarted for frame in frames].index(True, 1) == 12
    assert frames[12].misfit == 0.1 and all(frame.body for frame in frames)


def test_a_frame_without_a_body_is_filled_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(followed={20: 0.4}, anew={20: 0.4}, confidence=0.1)
    frames = frames_of(script, monkeypatch, damaged=True)
    gaps = [index for index, frame in enumerate(frames) if frame.body is None]
    assert gaps == [7, 20]
    assert frames[7].error == "7.ply: damaged" and "times as far" in str(frames[20].error)
    motion = motion_of(BodyModel.load(), frames, 25.0)
    every = motion_of(
        BodyModel.load(), [Frame(f.scan, body_at(i)) for i, f in enumerate(frames)], 25
    )
    np.testing.assert_allclose(motion.rotations, every.rotations, atol=1e-6)
    np.testing.assert_allclose(motion.roots, every.roots, atol=1e-6)
    np.testing.assert_allclose(motion.roots[3], [30, 900, 0], atol=1e-6)
    assert 600 < motion.legs < 1100 and motion.fps == 25.0


def test_gaps_at_the_ends_take_the_nearest_frame() -> None:
    frames = [Frame(Path("a")), Frame(Path("b"), body_at(1)), Frame(Path("c"), body_at(2))]
    motion = motion_of(BodyModel.load(), frames, 30.0)
    np.testing.assert_allclose(motion.rotations[0], motion.rotations[1], atol=1e-9)
    with pytest.raises(PosetxError, match="no body in this scan, nor in any other"):
        motion_of(BodyModel.load(), frames[:1], 30.0)


def test_scans_of_nothing_say_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(anew=dict.fromkeys(range(COUNT), np.inf))
    with pytest.raises(PosetxError, match="no body"):
        frames_of(script, monkeypatch)


def test_a_frame_is_kept_for_its_scan_and_options_alone(tmp_path: Path) -> None:
    scan, file = tmp_path / "a.ply", tmp_path / "a.npz"
    scan.write_bytes(b"ply")
    frame = Frame(scan, body_at(3), 0.8, None, True)
    asked = {"up": "auto"}
    assert kept(file, scan, asked) is None
    keep(file, frame, asked)
    again = kept(file, scan, asked)
    assert again is not None and again.body is not None and frame.body is not None
    assert (again.confidence, again.misfit, again.restarted) == (0.8, None, True)
    for name, value in vars(frame.body).items():
        np.testing.assert_array_equal(getattr(again.body, name), value)
    assert again.joints is None
    sure = np.linspace(0, 1, 19)
    keep(file, replace(frame, joints=sure), asked)
    np.testing.assert_array_equal(kept(file, scan, asked).joints, sure)  # type: ignore[union-attr]
    assert kept(file, scan, {"up": "z"}) is None
    scan.write_bytes(b"ply, another one")
    assert kept(file, scan, asked) is None


@pytest.mark.parametrize("data", [b"ply", b"PK\x03\x04 and no more", b"\x93NUMPY"])
def test_another_file_in_the_place_of_a_kept_one_is_left_alone(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.ply").write_bytes(b"ply")
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(PosetxError, match="is no pose that an earlier run kept"):
        kept(tmp_path / "a.npz", tmp_path / "a.ply", {})


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": 0.0}, {"scale": np.nan}, {"scale": -1.0}, {"up": "w"}, {"shape": np.zeros(4)},
        {"root": np.array([np.inf, 0, 0])}, {"rotations": np.zeros((19, 3, 3))},
        {"turn": np.full((3, 3), np.nan)}, {"shape": np.zeros((1, COMPONENTS))},
        {"rotations": np.tile(np.eye(3), (18, 1, 1))},
    ],
)  # fmt: skip
def test_what_no_reading_can_have_found_is_no_kept_pose(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    scan, file = tmp_path / "a.ply", tmp_path / "a.npz"
    scan.write_bytes(b"ply")
    keep(file, Frame(scan, body_at(3), joints=np.zeros(4)), {})
    with pytest.raises(PosetxError, match="is no pose that an earlier run kept"):
        kept(file, scan, {})
    keep(file, Frame(scan, replace(body_at(3), **wrong)), {})
    with pytest.raises(PosetxError, match="is no pose that an earlier run kept"):
        kept(file, scan, {})


def test_a_body_faces_front_as_it_turns() -> None:
    for frame in (0, 40, 100):
        start = body_at(frame)
        forward = start.faced @ start.rotations[0, :, 2]
        assert abs(forward[0]) < 1e-6 and forward[2] > 0
        np.testing.assert_allclose(start.faced @ [0, 0, 1], [0, 1, 0], atol=1e-12)
