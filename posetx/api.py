"""The public door: what `import posetx` offers.

    import posetx

    poser = posetx.load()
    hero = poser.prepare("hero.glb")
    reading = poser.read("scan.ply")
    poser.give(reading, hero).save("out.glb")

Scans and targets may be paths, trimesh objects or arrays.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from posetx.attacks.settings import AttackSettings
from posetx.files.atomic import check_outputs
from posetx.files.scan_write import check_scan_suffix, write_scan
from posetx.files.sources import as_scan, as_target
from posetx.files.targets.base import check_output_suffix, holds_skeleton
from posetx.pipeline.adversary import Adversarial, Adversary
from posetx.pipeline.animated import Animated, By
from posetx.pipeline.animation import Animator
from posetx.pipeline.motion import Motion
from posetx.pipeline.options import Heading, Options
from posetx.pipeline.pipeline import Pipeline
from posetx.pipeline.pose import FPS, check_fps
from posetx.pipeline.results import Reading, Transfer
from posetx.pipeline.sequence import Follower, check_smooth, motion_of
from posetx.pipeline.stages import OnStage, unheard
from posetx.report.transfer import draw_transfer
from posetx.report.view.page import check_page_suffix
from posetx.report.view.transfer import write_transfer_view
from posetx.system.device import resolve_device
from posetx.target.ready import ReadyTarget

__all__ = ["Poser", "Result", "attack", "load", "read_scan", "read_target", "transfer"]

read_scan, read_target = as_scan, as_target


class Result(Transfer):
    """One finished transfer: see :class:`posetx.pipeline.results.Transfer` for what it holds.

    >>> import numpy as np, posetx
    >>> from posetx.bodies.body import BodyModel
    >>> body = BodyModel.load()
    >>> vertices, faces = body.template.numpy(), body.faces.numpy()
    >>> result = posetx.load(refine=False).transfer(vertices[:, [2, 0, 1]], (vertices, faces))
    >>> result.vertices.shape == vertices.shape, len(result.mesh.faces) == len(faces)
    (True, True)
    """

    def preview(self, path: str | Path) -> None:
        """Write a PNG of scan, target and result, from the front and the side.

        Raises MissingError if pyvista is not here, or cannot draw on this machine.
        """
        draw_transfer(Path(path), self)

    def view(self, path: str | Path) -> None:
        """Write an HTML page to turn and compare scan, target and result in a browser.

        One file that needs no network, written whole or not at all over what is there. Raises
        FieldError for a name that does not end in .html, PosetxError where it cannot be written.
        """
        page = Path(path)
        check_page_suffix(page, "path")
        write_transfer_view(page, self)


class Poser:
    """A loaded model: takes the pose of any number of scans to any number of targets.

    Parameters
    ----------
    model : a shipped model's name, or the path of a .safetensors file
    device : "auto", "cpu", "cuda", "cuda:N" or "mps"
    refine : whether bodies are fitted to scans and targets (seconds each), or the network serves
        alone

    Raises
    ------
    MissingError : there is no such model
    UsageError : there is no such device

    The network and the steps around it follow 3D-PoseMAE (CVPR 2024); see docs/how-it-works.md.

    >>> import posetx
    >>> posetx.load("posemae", device="cpu").pipeline.device
    device(type='cpu')
    """

    def __init__(self, model: str = "posemae", device: str = "auto", refine: bool = True):
        self.pipeline = Pipeline.load(model, resolve_device(device))
        self.refine = refine

    def prepare(
        self, target: Any, *, up: str = "auto", front: str = "auto", on_stage: OnStage = unheard
    ) -> ReadyTarget:
        """Make a target ready to take poses; once a target.

        Parameters
        ----------
        target : a path, a `trimesh.Trimesh`, a pair (vertices (n, 3), faces (m, 3)), or what
            :func:`read_target` returned; in any unit, with any axis up
        up, front : an axis of it, such as "z" or "-y"; "auto" finds it

        Raises
        ------
        PosetxError : it cannot be read, or its surface has no area
        UsageError : impossible axes

        >>> from posetx.bodies.body import BodyModel
        >>> import posetx
        >>> body = BodyModel.load()
        >>> hero = posetx.load(refine=False).prepare((body.template.numpy(), body.faces.numpy()))
        >>> hero.up
        'y'
        """
        return self.pipeline.prepare(as_target(target), up, front, self.refine, on_stage)

    def read(
        self,
        scan: Any,
        *,
        up: str = "auto",
        front: str = "auto",
        clean: bool = True,
        on_stage: OnStage = unheard,
    ) -> Reading:
        """Read the pose that a scan shows; once a scan.

        Parameters
        ----------
        scan : a path, a `trimesh.Trimesh` or `trimesh.PointCloud`, points (n, 3), or what
            :func:`read_scan` returned; in any unit
        up, front : an axis of it, such as "z" or "-y"; "auto" finds it
        clean : take floor, strays and other objects out first

        Returns
        -------
        the pose: joints (19, 3) in the scan's frame and unit, rotations, confidence, what was
        left out

        Raises
        ------
        PosetxError : it cannot be read, or there is no body in it
        UsageError : impossible axes

        >>> from posetx.bodies.body import BodyModel
        >>> import posetx
        >>> points = 1000 * BodyModel.load().template.numpy()
        >>> reading = posetx.load(refine=False).read(points, up="y")
        >>> reading.joints.shape, reading.orientation.up
        ((19, 3), 'y')
        """
        return self.pipeline.read(as_scan(scan), up, front, clean, self.refine, on_stage)

    def give(
        self,
        reading: Reading,
        target: ReadyTarget,
        *,
        heading: Heading = "target",
        restore: bool = True,
        bake: bool = False,
        on_stage: OnStage = unheard,
    ) -> Result:
        """Give the pose that was read to a target.

        Parameters
        ----------
        reading, target : from :meth:`read` and :meth:`prepare`
        heading : "target" faces as the target did, "scan" as the scan stands
        restore : bring the target's surface detail back
        bake : move the vertices of a target that has a skeleton of its own, not its joints

        Returns
        -------
        the result: vertices (n, 3) in the target's order, frame and unit; `save`, `mesh`,
        `preview`

        >>> from posetx.bodies.body import BodyModel
        >>> import posetx
        >>> body, poser = BodyModel.load(), posetx.load(refine=False)
        >>> hero = poser.prepare((body.template.numpy(), body.faces.numpy()))
        >>> result = poser.give(poser.read(body.template.numpy()), hero, restore=False)
        >>> result.vertices.shape == tuple(body.template.shape)
        True
        """
        done = self.pipeline.give(reading, target, heading, restore, bake, on_stage)
        return Result(**vars(done))

    def animate(
        self,
        source: Any,
        target: ReadyTarget,
        *,
        fps: float | None = None,
        smooth: float | None = None,
        heading: Heading = "target",
        by: By = "skeleton",
        hold_feet: bool = True,
    ) -> Animated:
        """Give the motion of a clip or of scans to a target.

        Parameters
        ----------
        source : the path of a BVH clip; or scans, a frame each, as :meth:`read` takes them
        target : from :meth:`prepare`
        fps : frames a second; without, 30 of scans, and what a clip says
        smooth : seconds that the motion is smoothed over, 0 for not at all; without, scans are as
            much as their noise asks for
        heading : "target" begins as the target faced, "scan" as the first scan stands
        by : what a GLB moves the target by, "skeleton" or "morphs"
        hold_feet : whether feet that stand stay where they are

        Returns
        -------
        the target in motion: `save`, `vertices(frame)`, `motion`

        Raises
        ------
        PosetxError : the clip cannot be read, or no scan shows a body
        FieldError : impossible ``fps`` or ``smooth``

        >>> import posetx
        >>> from posetx.bodies.body import BodyModel
        >>> body, poser = BodyModel.load(), posetx.load(refine=False)
        >>> hero = poser.prepare((body.template.numpy(), body.faces.numpy()))
        >>> walk = poser.animate([body.template.numpy()] * 2, hero)
        >>> walk.vertices(1).shape == tuple(body.template.shape)
        True
        """
        if fps is not None:
            check_fps(fps)
        if smooth is not None:
            check_smooth(smooth)
        if isinstance(source, (str, Path)):
            motion = Motion.of_bvh(Path(source))
            motion = replace(motion, fps=fps or motion.fps).smoothed(smooth or 0.0)
        else:
            scans = {Path(str(index)): scan for index, scan in enumerate(source)}
            options = Options(refine=self.refine)
            follower = Follower(self.pipeline, options, load=lambda path: as_scan(scans[path]))
            if self.refine:
                follower.know(list(scans))
            frames = list(follower.frames(list(scans)))
            motion = motion_of(self.pipeline.body, frames, fps or FPS).smoothed(smooth)
        animator = Animator(self.pipeline.predictor, target)
        motion = motion.faced(heading)
        return Animated(animator, motion, by=by, restore=by == "morphs", hold_feet=hold_feet)

    def transfer(
        self, scan: Any, target: Any, output: str | Path | None = None, **options: Any
    ) -> Result:
        """:meth:`prepare`, :meth:`read` and :meth:`give` in one, and a file where one is named.

        Parameters
        ----------
        scan, target : as in :meth:`read` and :meth:`prepare`
        output : where the result is saved; it replaces a file that is there
        options : the fields of :class:`posetx.pipeline.pipeline.Options` but for ``refine``

        Raises
        ------
        PosetxError, UsageError : as the three do, and before any work for an output that cannot be

        >>> from posetx.bodies.body import BodyModel
        >>> import posetx
        >>> body, poser = BodyModel.load(), posetx.load(refine=False)
        >>> mesh = body.template.numpy(), body.faces.numpy()
        >>> poser.transfer(mesh[0], mesh, up="y", restore=False).report.target_up
        'y'
        """
        if output is not None:
            check_output_suffix(Path(output))
            check_outputs({"output": Path(output)}, [], overwrite=True)
            if not holds_skeleton(Path(output)):
                options["bake"] = True
        settings = Options(refine=self.refine, **options)
        done = self.pipeline.transfer(as_scan(scan), as_target(target), settings)
        result = Result(**vars(done))
        if output is not None:
            result.warnings += result.save(output)
        return result

    def attack(
        self,
        scan: Any,
        target: Any,
        output: str | Path | None = None,
        *,
        method: str = "pgd",
        epsilon: float = 0.02,
        **settings: Any,
    ) -> Adversarial:
        """Make the adversarial scan that harms the transfer to a target most.

        Parameters
        ----------
        scan, target : as in :meth:`read` and :meth:`prepare`
        output : where the adversarial scan is saved; it replaces a file that is there
        method : "fgm" (3D-PoseMAE, Eq 6 and 7), "pgd" and others, see docs/attacks.md
        epsilon : the budget, in metres of an adult
        settings : further fields of :class:`posetx.attacks.settings.AttackSettings`

        Returns
        -------
        the scan, the results before and after, perturbation and damage, the report

        Raises
        ------
        PosetxError, UsageError : as :meth:`transfer`, and for impossible settings

        >>> from posetx.bodies.body import BodyModel
        >>> import posetx
        >>> body, poser = BodyModel.load(), posetx.load(refine=False)
        >>> mesh = body.template.numpy(), body.faces.numpy()
        >>> found = poser.attack(mesh[0], mesh, method="fgm", epsilon=0.05)
        >>> found.scan.points.shape == mesh[0].shape
        True
        """
        if output is not None:
            check_scan_suffix(Path(output))
            check_outputs({"output": Path(output)}, [], overwrite=True)
        wanted = AttackSettings(method=method, epsilon=epsilon, **settings)
        wanted.check()
        options = Options(refine=self.refine)
        found = Adversary(self.pipeline).attack(as_scan(scan), as_target(target), wanted, options)
        if output is not None:
            write_scan(Path(output), found.scan)
        return found


def load(model: str = "posemae", device: str = "auto", refine: bool = True) -> Poser:
    """A model, ready to work: see :class:`Poser`.

    >>> import posetx
    >>> type(posetx.load()).__name__
    'Poser'
    """
    return Poser(model, device, refine)


def transfer(scan: Any, target: Any, output: str | Path | None = None, **options: Any) -> Result:
    """The pose of a scan on a target, in one call: see :meth:`Poser.transfer`.

    ``model``, ``device`` and ``refine`` are as in :func:`load`.

    >>> from posetx.bodies.body import BodyModel
    >>> import posetx
    >>> body = BodyModel.load()
    >>> mesh = body.template.numpy(), body.faces.numpy()
    >>> posetx.transfer(mesh[0], mesh, refine=False).mesh.is_empty
    False
    """
    return _loaded(options).transfer(scan, target, output, **options)


def attack(
    scan: Any, target: Any, output: str | Path | None = None, **settings: Any
) -> Adversarial:
    """An adversarial scan, in one call: see :meth:`Poser.attack`.

    ``model``, ``device`` and ``refine`` are as in :func:`load`.

    >>> from posetx.bodies.body import BodyModel
    >>> import posetx
    >>> body = BodyModel.load()
    >>> mesh = body.template.numpy(), body.faces.numpy()
    >>> posetx.attack(mesh[0], mesh, method="fgm", refine=False).report["method"]
    'fgm'
    """
    return _loaded(settings).attack(scan, target, output, **settings)


def _loaded(options: dict[str, Any]) -> Poser:
    """The poser that the options ask for; those are taken out of them."""
    return load(**{k: options.pop(k) for k in ("model", "device", "refine") if k in options})
