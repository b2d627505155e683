"""Runs a command once, and at many moments of it a copy of its process to which something happens.

At a moment the process forks. The copy is killed, or asked to end, or finds its disk full; what it
leaves is copied and the folder put back as it was, and the process goes on to the next moment. So
thirty kills take hardly longer than one run. Moments are what is about to be done to the disk, as
Python's audit events and fsync say it, and times of the processor between them.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ROOT = Path(__file__).parents[2]
#: What Python says of, as it is about to be done.
CHANGES = ("os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
LONGEST = 300
PAGE = 4096


@dataclass(frozen=True)
class Trial:
    """What happens to a copy, at the n-th event, the n-th file begun, or after processor seconds.

    kill, term: these signals. full: `pages` of the disk are free from then on.
    """

    kind: str
    event: int | None = None
    file: int | None = None
    tick: float | None = None
    pages: int = 0


@dataclass(frozen=True)
class Job:
    """`posetx ARGUMENTS`, which writes into `out`; what copies leave there goes to `copies`."""

    arguments: list[str]
    out: str
    copies: str = ""
    temporary: str = ""
    trials: list[Trial] = field(default_factory=list)


@dataclass(frozen=True)
class Tried:
    """What became of a copy: its exit code (of a signal: negative), what it said, at which event.

    `temporary` is what it left in the folder for temporary files.
    """

    trial: Trial
    copy: Path
    code: int
    err: str
    event: str
    temporary: list[str]


@dataclass(frozen=True)
class Ended:
    """What became of a command: as above, all its events, its processor seconds, its copies."""

    code: int
    err: str
    events: list[str]
    seconds: float
    tried: list[Tried]


class Forks:
    """A process that has imported all that commands import, to be forked; a context."""

    def __enter__(self) -> Forks:
        self._server = subprocess.Popen(
            [sys.executable, "-B", "-m", "tests.cli.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.communicate(timeout=60)

    def run(self, job: Job) -> Ended:
        """What becomes of it."""
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(asdict(job)) + "\n")
        self._server.stdin.flush()
        found = json.loads(self._server.stdout.readline())
        tried = [
            Tried(Trial(**one.pop("trial")), Path(one.pop("copy")), **one)
            for one in found.pop("tried")
        ]
        return Ended(**found, tried=tried)


def main() -> None:
    prepare()
    for line in sys.stdin:
        told = json.loads(line)
        trials = [Trial(**trial) for trial in told.pop("trials")]
        sys.stdout.write(json.dumps(forked(Job(**told, trials=trials))) + "\n")
        sys.stdout.flush()


def prepare() -> None:
    """Import what commands import, and make them short."""
    import torch._dynamo  # noqa: F401  # which building a network without memory imports

    import posetx.cli

    for module in pkgutil.iter_modules(posetx.cli.__path__, "posetx.cli."):
        importlib.import_module(module.name)
    for name in ("pipeline.pipeline", "pipeline.adversary", "training.command", "data.write",
                 "studies.bench.run", "studies.trials.study", "evaluation.command",
                 "cleaning.measured", "files.codecs.obj", "files.codecs.gltf",
                 "report.view.transfer", "models.onnx", "studies.bench.speed"):  # fmt: skip
        importlib.import_module(f"posetx.{name}")
    from posetx.attacks.settings import AttackSettings
    from posetx.models import onnx
    from posetx.studies import attack_tables, model_card
    from posetx.studies.attack_catalogue import TableOf
    from posetx.studies.bench import speed
    from posetx.studies.bench.presets import PRESETS, Preset
    from tests.cli.writers import ONNX, SPEED

    widths = {"npt-mp": 16}
    PRESETS["small"] = Preset(8, 4, 32, 1, 5.0, widths, ("seen", "noise"), (500,))
    model_card.MEASUREMENTS = tuple(
        model_card.Measurement("scan", 1, by=by) for by in (model_card.PIPELINE, model_card.NETWORK)
    )
    # They take minutes, and what they write they write at the end.
    onnx.check_libraries = lambda: None
    onnx.export_onnx = lambda network, card: onnx.Exported(ONNX, {}, 0.0, 0.0)
    speed.measure = lambda *_: SPEED
    noise = TableOf("seen", (AttackSettings("noise", epsilon=0.02),))
    attack_tables.TABLES.update(strength=noise, parts=noise)


def forked(job: Job) -> dict[str, Any]:
    """Run it in a fork."""
    with ExitStack() as stack:
        err, found = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        child = os.fork()
        if not child:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os.dup2(err.fileno(), 2)
            os._exit(command(job, found))
        _, status = os.waitpid(child, 0)
        err.seek(0)
        found.seek(0)
        code = os.waitstatus_to_exitcode(status)
        return {"code": code, "err": err.read().decode(), **json.loads(found.read())}


def command(job: Job, found: IO[bytes]) -> int:
    """In a fork, and in its copies: the command; its exit code."""
    from posetx.__main__ import main as posetx

    if job.temporary:
        tempfile.tempdir = os.environ["TMPDIR"] = job.temporary
    watch = Watch(job)
    watch.begin()
    sys.argv = ["posetx", *job.arguments]
    code = 0
    try:
        posetx()
    except SystemExit as done:
        code = int(done.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    if not watch.copied:
        signal.setitimer(signal.ITIMER_PROF, 0)
        found.write(json.dumps(watch.found()).encode())
        found.flush()
    return code


class Watch:
    """Hears of each moment, and lets happen what is to happen there."""

    def __init__(self, job: Job) -> None:
        self.job, self.copied = job, False
        self.busy = False  # with a copy; and in copies for good
        self.events: list[str] = []
        self.files = itertools.count()
        self.tried: list[dict[str, Any]] = []
        self.ticks = sorted(t.tick for t in job.trials if t.tick is not None)

    def begin(self) -> None:
        fsync = os.fsync

        def written(descriptor: int) -> None:
            self.event("fsync")
            fsync(descriptor)

        os.fsync = written
        sys.addaudithook(self.hear)
        signal.signal(signal.SIGPROF, self.tick)
        self.next_tick()

    def found(self) -> dict[str, Any]:
        return {"events": self.events, "seconds": time.process_time(), "tried": self.tried}

    def hear(self, name: str, arguments: tuple[Any, ...]) -> None:
        # Not what is open already, nor what goes nowhere: a pipe to a child may be half made.
        path = name == "open" and arguments[0] not in (os.devnull, None)
        writing = path and isinstance(arguments[0], str) and bool((arguments[2] or 0) & WRITING)
        if not self.busy and (writing or name in CHANGES):
            count = next(self.files) if writing else None
            self.event(f"{name} {arguments[0]}", count)

    def event(self, name: str, file: int | None = None) -> None:
        if self.busy:
            return
        count = len(self.events)
        self.events.append(name)
        for trial in self.job.trials:
            if trial.event == count or (file is not None and trial.file == file):
                self.let_happen(trial, name)

    def tick(self, *_: object) -> None:
        if not self.busy:
            now = self.ticks.pop(0)
            for trial in self.job.trials:
                if trial.tick == now:
                    self.let_happen(trial, "")
        self.next_tick()

    def next_tick(self) -> None:
        if self.ticks and not self.copied:
            left = self.ticks[0] - time.process_time()
            signal.setitimer(signal.ITIMER_PROF, max(left, 0.001))

    def let_happen(self, trial: Trial, event: str) -> None:
        """In a copy; then put all back."""
        if self.busy:
            return
        self.busy = True
        out, copy = Path(self.job.out), Path(self.job.copies) / str(len(self.tried))
        copy.mkdir()
        before, places = Snapshot(out), offsets()
        filler = fill(out.parent, trial.pages) if trial.kind == "full" else None
        child = os.fork()
        if not child:
            self.copied = True
            said = os.open(copy / "err", os.O_CREAT | os.O_WRONLY)
            os.dup2(said, 2)
            signal.alarm(LONGEST)
            if trial.kind != "full":
                os.kill(os.getpid(), {"kill": signal.SIGKILL, "term": signal.SIGTERM}[trial.kind])
            return
        _, status = os.waitpid(child, 0)
        if filler:
            filler.unlink()
        shutil.copytree(out, copy / "out", symlinks=True)
        before.restore()
        for descriptor, place in places.items():
            os.lseek(descriptor, place, os.SEEK_SET)
        self.tried.append(
            {
                "trial": asdict(trial),
                "copy": str(copy / "out"),
                "code": os.waitstatus_to_exitcode(status),
                "err": (copy / "err").read_text(),
                "event": event,
                "temporary": os.listdir(self.job.temporary) if self.job.temporary else [],
            }
        )
        self.busy = False


def offsets() -> dict[int, int]:
    """Where this process stands in its open files, which it shares with its copies."""
    found = {}
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # a pipe, or a folder
            found[int(name)] = os.lseek(int(name), 0, os.SEEK_CUR)
    return found


class Snapshot:
    """A folder's files by further names of them, and what is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = folder.parent / "names"
        self.names.mkdir()
        self.files: dict[Path, tuple[Path, bytes]] = {}
        self.folders = {path for path in folder.rglob("*") if path.is_dir()}
        for number, path in enumerate(sorted(folder.rglob("*"))):
            if path.is_file():
                os.link(path, self.names / str(number))
                self.files[path] = (self.names / str(number), path.read_bytes())

    def restore(self) -> None:
        """Every file where and as it was, and the same file."""
        keep = self.files.keys() | self.folders
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path not in keep:
                path.rmdir() if path.is_dir() else path.unlink()
        for path, (name, data) in self.files.items():
            if not path.exists() or not path.samefile(name):
                path.unlink(missing_ok=True)
                os.link(name, path)
            if path.read_bytes() != data:
                path.write_bytes(data)
            name.unlink()
        self.names.rmdir()


def fill(folder: Path, pages: int) -> Path:
    """Leave so many pages of a disk free; returns what fills it."""
    filler = folder / "filler"
    left = os.statvfs(folder).f_bavail
    with filler.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(left - pages, 1) * PAGE)
    return filler


if __name__ == "__main__":
    main()
