"""Runs commands again and again in forks of one process that has imported everything.

    python -B -m tests.cli.forked < runs.json > endings.json

A run is ended at some second, or as it is about to do something to the disk: `event` counts these
moments. An ending says how, what was said, and which moments there were until then.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
#: What Python says of, as it is about to be done.
CHANGES = ("os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
LONGEST = 300.0


@dataclass(frozen=True)
class Run:
    """`posetx ARGUMENTS`, sent a signal after so many seconds or at that event, or never."""

    arguments: list[str]
    sent: int = 0
    seconds: float | None = None
    event: int | None = None
    temporary: str = ""


@dataclass(frozen=True)
class Ending:
    """The exit code (of a signal: negative), both streams, the time, and what was done."""

    code: int
    out: str
    err: str
    seconds: float
    events: list[str] = field(default_factory=list)


def endings(runs: list[Run]) -> list[Ending]:
    """What becomes of the runs, one after another, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-B", "-m", "tests.cli.forked"],
        input=json.dumps([asdict(run) for run in runs]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return [Ending(**ending) for ending in json.loads(done.stdout)]


def main() -> None:
    runs = [Run(**run) for run in json.load(sys.stdin)]
    prepare()
    json.dump([asdict(forked(run)) for run in runs], sys.stdout)


def prepare() -> None:
    """Import what commands import, and make them short."""
    import torch._dynamo  # noqa: F401  # which building a network without memory imports

    import posetx.cli

    for module in pkgutil.iter_modules(posetx.cli.__path__, "posetx.cli."):
        importlib.import_module(module.name)
    for name in ("pipeline.pipeline", "pipeline.adversary", "training.command", "data.write",
                 "studies.bench.run", "studies.trials.study", "evaluation.command",
                 "cleaning.measured", "files.codecs.obj", "files.codecs.gltf"):  # fmt: skip
        importlib.import_module(f"posetx.{name}")
    from posetx.attacks.settings import AttackSettings
    from posetx.studies import attack_tables
    from posetx.studies.attack_catalogue import TableOf
    from posetx.studies.bench.presets import PRESETS, Preset

    widths = {"npt-mp": 16}
    PRESETS["small"] = Preset(8, 4, 32, 1, 5.0, widths, ("seen", "noise"), (500,))
    noise = TableOf("seen", (AttackSettings("noise", epsilon=0.02),))
    attack_tables.TABLES.update(strength=noise, parts=noise)


def forked(run: Run) -> Ending:
    """Run it in a fork."""
    with ExitStack() as stack:
        out, err, log = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        begin = time.monotonic()
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os._exit(command(run, log))
        code = ended(child, run, begin)
        seconds = time.monotonic() - begin
        said = [stream.seek(0) or stream.read().decode() for stream in (out, err, log)]
    return Ending(code, said[0], said[1], seconds, said[2].splitlines())


def ended(child: int, run: Run, begin: float) -> int:
    """Wait for the end, and bring it about at the time told."""
    sent = False
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        gone = time.monotonic() - begin
        if run.seconds is not None and gone >= run.seconds and not sent:
            os.kill(child, run.sent)
            sent = True
        if gone > LONGEST:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)


def command(run: Run, log: IO[bytes]) -> int:
    """In the fork: the command; its exit code."""
    from posetx.__main__ import main as posetx

    if run.temporary:
        tempfile.tempdir = os.environ["TMPDIR"] = run.temporary
    listen(run, log)
    sys.argv = ["posetx", *run.arguments]
    try:
        posetx()
    except SystemExit as done:
        sys.stdout.flush()
        sys.stderr.flush()
        return int(done.code or 0)
    return 0


def listen(run: Run, log: IO[bytes]) -> None:
    """Write down each event, and send the signal at the one that was told."""
    count = itertools.count()

    def event(name: str) -> None:
        os.write(log.fileno(), f"{name}\n".encode())
        if next(count) == run.event:
            os.kill(os.getpid(), run.sent)

    def hear(name: str, arguments: tuple[Any, ...]) -> None:
        if name in CHANGES or (name == "open" and (arguments[2] or 0) & WRITING):
            event(f"{name} {arguments[0]}")

    fsync = os.fsync

    def written(descriptor: int) -> None:
        event("fsync")
        fsync(descriptor)

    os.fsync = written
    sys.addaudithook(hear)


if __name__ == "__main__":
    main()
