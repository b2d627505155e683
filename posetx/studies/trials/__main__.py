"""A measured search for the better learner; what ran is in FOLDER/trials.json, run by run.

python -m posetx.studies.trials runs/trials --mocap CLIPS --samples 24000 --table weights/trials.md
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from posetx.bodies.body import BodyModel
from posetx.cli.common import fail
from posetx.data.splits import pose_banks
from posetx.errors import PosetxError, UsageError
from posetx.files.atomic import write_text_atomic
from posetx.studies.trials.catalogue import TRIALS
from posetx.studies.trials.results import Plan, Results, Run
from posetx.studies.trials.search import DEVICE, search
from posetx.studies.trials.table import table
from posetx.system.console import console
from posetx.system.hardware import describe
from posetx.training.validation import BATCH

PROGRAM = "python -m posetx.studies.trials"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(given)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(options.threads)
        run(options, shlex.join([*PROGRAM.split(), *given]))
    except (PosetxError, KeyboardInterrupt) as error:
        return fail(error)
    finally:
        torch.set_num_threads(threads)
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Trains the baseline and one change of it at a time, at equal samples and at "
        "equal CPU minutes. Call it again to go on after an interruption: what is done is skipped.",
        epilog="Trials: " + ", ".join(trial.name for trial in TRIALS),
    )
    add = p.add_argument
    add("folder", type=Path, help="where trials.json and a run's checkpoints go")
    add("--mocap", type=Path, help="a folder of BVH clips; without, poses of the shipped prior")
    add("--samples", type=int, default=24000, help="of a run (default: %(default)s)")
    add("--batch", type=int, default=64, help="few, for many steps (default: %(default)s)")
    add("--seed", type=int, default=0)
    add("--validation", type=int, default=512, help="samples of each kind (default: %(default)s)")
    add("--only", nargs="+", metavar="NAME", help="just these trials, and the baseline")
    add("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    add("--table", type=Path, metavar="FILE", help="write what ran as Markdown")
    return p


def run(options: argparse.Namespace, command: str) -> None:
    """Do the trials and write the table, which an interruption does not prevent."""
    names = chosen(options.only)
    for name in ("samples", "batch", "validation"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name} {getattr(options, name)}: has to be 1 or more")
    if options.validation > BATCH and options.validation % BATCH:
        raise UsageError(f"--validation {options.validation}: not a multiple of {BATCH}")
    options.folder.mkdir(parents=True, exist_ok=True)
    poses = f"clips of {options.mocap}" if options.mocap else "the shipped pose prior"
    plan = Plan(
        options.samples, options.batch, options.seed, options.validation, poses, describe(DEVICE)
    )
    results = Results(options.folder / "trials.json", plan, TRIALS)
    banks = pose_banks(BodyModel.load(), options.mocap, options.seed)
    try:
        search(results, names, banks, say)
    finally:
        if options.table and results.find(results.baseline, "samples"):
            write_text_atomic(options.table, table(results, command))
            console.print(f"{options.table}: written", soft_wrap=True)


def chosen(names: Sequence[str] | None) -> Sequence[str]:
    """The names asked for, by default all. Raises UsageError for one that is no trial's."""
    known = [trial.name for trial in TRIALS]
    for name in names or ():
        if name not in known:
            raise UsageError(f"--only {name}: no such trial; known are {', '.join(known)}")
    return names or known


def say(run: Run) -> None:
    """A line about a finished run."""
    figures = "  ".join(f"{kind} {value * 1e4:.1f}" for kind, value in run.pmd.items())
    console.print(
        f"{run.trial}, equal {run.equal}: {run.samples} samples in {run.cpu_seconds:.0f} CPU s, "
        f"PMD ×1e-4: {figures}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
