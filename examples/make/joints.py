"""Fits the curves of the joints' confidence, and says what they are worth.

    python -m examples.make.joints [--scans 40] [--cut 15]

Simulated scans whose joints are known are read as `posetx pose` reads them. The numbers go into
`posetx/pipeline/joint_confidence.py`, the tables into `docs/pose.md`. A scan takes some 15 s.
"""

from __future__ import annotations

import argparse
import sys

from posetx.pipeline.pipeline import Pipeline
from posetx.studies.joint_confidence import curves_and_table, measure
from posetx.studies.joint_scans import CUT, KINDS
from posetx.system.console import progress_bar

SCANS, CUT_SCANS, SEED = 40, 15, 3
#: two of each kind: what curves are worth is told by scans that they were not fitted to
LEAST = 2 * len(KINDS)


def main() -> None:
    parser = argparse.ArgumentParser("python -m examples.make.joints")
    parser.add_argument("--scans", type=int, default=SCANS, help="of all kinds")
    parser.add_argument("--cut", type=int, default=CUT_SCANS, help="without some limbs")
    arguments = parser.parse_args()
    if arguments.scans < LEAST:
        parser.error(f"--scans {arguments.scans}: each is told by others; give {LEAST} or more")
    pipeline = Pipeline.load()
    with progress_bar() as bar:
        task = bar.add_task("scans", total=arguments.scans + arguments.cut)

        def on_scan() -> None:
            bar.advance(task)

        rows = measure(pipeline, arguments.scans, SEED, on_scan=on_scan)
        rows += measure(pipeline, arguments.cut, SEED + 1, CUT, on_scan)
    for name, fitted in (("FITTED", True), ("NETWORK", False)):
        curves, table = curves_and_table([row for row in rows if row.fitted == fitted])
        numbers = ", ".join(f"{number:.3f}" for number in curves)
        sys.stdout.write(f"{name} = ({numbers})\n\n{table}\n\n")


if __name__ == "__main__":
    main()
