"""What commands hold from scan to scan: the model, and the target made ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posetx.cli.common import check_input, in_options
from posetx.pipeline.options import Options
from posetx.system.paths import find_model

if TYPE_CHECKING:
    from posetx.files.targets import Target
    from posetx.pipeline.batch import Job
    from posetx.pipeline.pipeline import Pipeline
    from posetx.pipeline.results import Reading
    from posetx.target.ready import ReadyTarget


class Readings:
    """A model that reads scans, loaded when the first one is there."""

    def __init__(self, options: Options, model: str, device: str, seed: int) -> None:
        self.options, self.model, self.device, self.seed = options, model, device, seed
        self.pipeline: Pipeline | None = None

    def check(self, scans: Iterable[Path]) -> None:
        """Raises PosetxError for files that are not there, MissingError for such a model."""
        for scan in scans:
            check_input(scan, "the scan")
        find_model(self.model)

    def load(self) -> Pipeline:
        """The model, loaded once, with the seed set anew."""
        import torch

        from posetx.pipeline.pipeline import Pipeline
        from posetx.system.device import resolve_device

        self.pipeline = self.pipeline or Pipeline.load(self.model, resolve_device(self.device))
        torch.manual_seed(self.seed)
        return self.pipeline

    def read(
        self,
        scan: Path,
        on_stage: Callable[[str], None] = lambda name: None,
        begun: Callable[[], None] = lambda: None,
    ) -> Reading:
        """Read one scan; ``begun`` is called when its file is there, before any other work."""
        on_stage("files")
        from posetx.files.scans import read_scan

        raw, options = read_scan(scan), self.options
        begun()
        return self.load().read(
            raw, options.up, options.front, options.clean, options.refine, on_stage
        )


class Work(Readings):
    """A target made ready as well: what `posetx transfer` does."""

    def __init__(self, target: Path, options: Options, model: str, device: str, seed: int) -> None:
        super().__init__(options, model, device, seed)
        self.target_path = target
        self.ready: ReadyTarget | None = None
        #: what the target becomes, one of it, and all else that is written
        self.output: Path | None = None
        self.others: Mapping[str, Path | None] = {}

    def check(self, scans: Iterable[Path]) -> None:
        """Raises PosetxError for files that are not there, MissingError for such a model."""
        for scan in scans:
            check_input(scan, "the scan")
        check_input(self.target_path, "the target")
        find_model(self.model)

    def read_target(self) -> Target:
        """The target as it is prepared."""
        from posetx.files.targets import read_target

        return read_target(self.target_path)

    def prepare(self, on_stage: Callable[[str], None] = lambda name: None) -> None:
        """Read the target, load the model, fit the target.

        Raises UsageError where something else would be written in the place of a texture.
        """
        if self.ready is not None:
            return
        from posetx.files.targets.sidecars import check_others

        on_stage("load")
        target, options = self.read_target(), self.options
        if self.output and any(self.others.values()):
            check_others(target.beside(self.output), self.others)
        self.ready = self.load().prepare(
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
        reading, options = self.read(scan, on_stage, lambda: self.prepare(on_stage)), self.options
        assert self.pipeline is not None and self.ready is not None
        result = self.pipeline.give(
            reading, self.ready, options.heading, options.restore, options.bake, on_stage
        )
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

    def do(self, job: Job) -> dict[str, Any]:
        """One of many scans."""
        return self.transfer(job.scan, job.output, job.preview, job.view)

    def __getstate__(self) -> dict[str, Any]:
        """For a worker: all that is made ready but the model, which it loads."""
        return {**vars(self), "pipeline": None}

    def stages(self, preview: Path | None, view: Path | None) -> list[str]:
        """The names of the stages that :meth:`transfer` announces."""
        drawn = [name for name, path in (("preview", preview), ("view", view)) if path]
        return ["files", "load", *self.options.stages(), "write", *drawn]
