"""What `posetx pose` does with each scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetx.cli.common import in_options
from posetx.cli.work import Readings

if TYPE_CHECKING:
    from posetx.pipeline.pose import Pose
    from posetx.pipeline.results import Reading


class PoseWork(Readings):
    """A model, loaded when the first scan is there."""

    def pose(
        self,
        scan: Path,
        body: Path | None,
        preview: Path | None,
        on_stage: Callable[[str], None] = lambda name: None,
        on_reading: Callable[[Reading], None] = lambda reading: None,
    ) -> tuple[Pose, dict[str, Any]]:
        """The pose of one scan, and what --json shows of it; writes its body and its picture.

        ``on_reading`` may look at what was read.
        """
        reading = self.read(scan, on_stage, lambda: on_stage("load"))
        on_stage("body")
        from posetx.pipeline.pose_report import PoseReport

        report = PoseReport.of(reading, distances=body is not None).to_json()
        if preview:
            on_stage("preview")
            from posetx.report.posed import draw_pose

            draw_pose(preview, reading)
        on_reading(reading)
        on_stage("write")
        if body:
            reading.registration.save(body)
        report["warnings"] = [in_options(warning) for warning in report["warnings"]]
        document = {"body": body, "preview": preview, "model": self.model, "seed": self.seed}
        return reading.pose, {**document, **report}

    def stages(self, preview: Path | None) -> list[str]:
        """The names of the stages that :meth:`pose` announces."""
        drawn = ["preview"] if preview else []
        return ["files", "load", *self.options.read_stages(), "body", *drawn, "write"]
