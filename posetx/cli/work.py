"""What `posetx transfer` holds from scan to scan: the model and the target made ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetx.cli.common import check_input, in_options
from posetx.pipeline.options import Options
from posetx.system.paths import find_model

if TYPE_CHECKING:
    from posetx.pipeline.pipeline import Pipeline
    from posetx.target.ready import ReadyTarget


class Work:
    """A target made ready and a model, loaded when the first scan is there."""

    def __init__(self, target: Path, options: Options, model: str, device: str, seed: int) -> None:
        self.target_path, self.options = target, options
        self.model, self.device, self.seed = model, device, seed
        self.pipeline: Pipeline | None = None
        self.ready: ReadyTarget | None = None

    def check(self, scans: Iterable[Path]) -> None:
        """Raises PosetxError for files that are not there, MissingError for such a model."""
        for scan in scans:
            check_input(scan, "the scan")
        check_input(self.target_path, "the target")
        find_model(self.model)

    def prepare(self, on_stage: Callable[[str], None] = lambda name: None) -> None:
        """Read the target, load the model, fit the target."""
        if self.ready is not None:
            return
        from posetx.files.targets import read_target

        on_stage("load")
        target, options = read_target(self.target_path), self.options
        from posetx.pipeline.pipeline import Pipeline
        from posetx.system.device import resolve_device

        self.pipeline = self.pipeline or Pipeline.load(self.model, resolve_device(self.device))
        self._seed()
        self.ready = self.pipeline.prepare(
            target, options.target_up, options.target_front, options.refine, on_stage
        )

    def transfer(
        self,
        scan: Path,
        output: Path,
        preview: Path | None,
        view: Path | None,
        on_stage: Callable[[str], None] = lambda name: None,
    ) -> dict[str, Any]:
        """Do one scan; returns what --json shows of it. ``on_stage`` hears each stage's name."""
        on_stage("files")
        from posetx.files.scans import read_scan

        raw, options = read_scan(scan), self.options
        self.prepare(on_stage)
        assert self.pipeline is not None and self.ready is not None
        self._seed()
        reading = self.pipeline.read(
            raw, options.up, options.front, options.clean, options.refine, on_stage
        )
        result = self.pipeline.give(reading, self.ready, options.heading, options.restore, on_stage)
        on_stage("write")
        notes = result.save(output)
        if preview:
            on_stage("preview")
            from posetx.report.transfer import draw_transfer

            draw_transfer(preview, result)
        warnings = [in_options(note) for note in (*result.warnings, *notes)]
        if view:
            on_stage("view")
            from posetx.report.view.transfer import write_transfer_view

            write_transfer_view(view, result, output.name, warnings)
        document = {"output": output, "preview": preview, "view": view, "model": self.model}
        return {
            **document,
            "seed": self.seed,
            **result.report.to_json(),
            "warnings": warnings,
        }

    def stages(self, preview: Path | None, view: Path | None) -> list[str]:
        """The names of the stages that :meth:`transfer` announces."""
        drawn = [name for name, path in (("preview", preview), ("view", view)) if path]
        return ["files", "load", *self.options.stages(), "write", *drawn]

    def _seed(self) -> None:
        import torch

        torch.manual_seed(self.seed)
