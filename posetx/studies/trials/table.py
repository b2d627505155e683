"""The trials' table as Markdown: what ran, and nothing else."""

from __future__ import annotations

from posetx.studies.results import header, row
from posetx.studies.trials.catalogue import ABLATION, HEADS, Trial
from posetx.studies.trials.results import TOLERANCE, Results, Run
from posetx.training.loop import TrainSettings

#: the kinds of PMD, in the order of columns
KINDS = ("seen", "unseen", "scan", "reposed", "dressed", "characters")

#: trials with their runs of equal samples; the baseline's comes first
Rows = list[tuple[Trial, Run]]


def table(results: Results, command: str) -> str:
    """The document: how it was measured, a row a trial, 3D-PoseMAE's Table 5, notes.

    ``command`` is what to call for the same table. There has to be a run of the baseline.
    """
    rows = [(trial, run) for trial in results.trials if (run := results.find(trial, "samples"))]
    lines = [*_heading(results, rows, command), *_trials(results, rows)]
    lines += [*_ablation(results), *_notes(results, rows)]
    return "\n".join(lines) + "\n"


def _heading(results: Results, rows: Rows, command: str) -> list[str]:
    plan, base = results.plan, rows[0][1]
    dates = sorted({run.date for _, run in rows})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return [
        "# Trials",
        "",
        "What each part of the learner is worth: one change of the defaults at a time, trained on",
        f"as many samples as the baseline ({base.samples:,}), then for as many CPU minutes "
        f"({base.cpu_seconds / 60:.1f}).",
        "",
        "```",
        command,
        "```",
        "",
        f"{when}; {plan.machine}; seed {plan.seed}, batch {plan.batch}, {plan.samples:,} samples; "
        f"{plan.poses}.",
        "PMD ×1e-4 m² of the averaged weights in the training frame (`training/validation.py`), "
        f"{plan.validation} samples a column:",
        "`seen` is training poses as they are, the others are unseen poses: clean, through the "
        "virtual scanner, with a target that is not at rest, and with a dressed source or target.",
        "",
    ]


def _trials(results: Results, rows: Rows) -> list[str]:
    heads = ["trial", "what changes", "parameters", "samples a CPU s"]
    heads += [f"{kind}, equal samples" for kind in KINDS]
    heads += ["samples in equal minutes", *(f"{kind}, equal minutes" for kind in KINDS)]
    lines = header(heads, texts=2)
    for trial, run in rows:
        other = results.at_equal_minutes(trial)
        cells = [trial.name, trial.what, f"{run.parameters / 1e6:.2f} M", f"{run.rate:.0f}"]
        cells += [_pmd(run, kind) for kind in KINDS]
        cells += [f"{other.samples:,}" if other else "", *(_pmd(other, kind) for kind in KINDS)]
        lines.append(row(cells))
    return [*lines, ""]


def _ablation(results: Results) -> list[str]:
    """3D-PoseMAE's Table 5 with either head, as far as its trials ran."""
    trials = {trial.name: trial for trial in results.trials}
    heads = ["", *(f"{head}, equal {what}" for head in HEADS for what in ("samples", "minutes"))]
    lines = []
    for title, names in ABLATION.items():
        cells = []
        for name in names:
            trial = trials[name]
            cells.append(_pmd(results.find(trial, "samples"), "unseen"))
            cells.append(_pmd(results.at_equal_minutes(trial), "unseen"))
        if any(cells):
            lines.append(row([title, *cells]))
    return [
        "## 3D-PoseMAE, Table 5",
        "",
        "PMD ×1e-4 on unseen poses, from the runs above. Each row has what the ones above it have.",
        "",
        *header(heads, texts=1),
        *lines,
        "",
    ]


def _notes(results: Results, rows: Rows) -> list[str]:
    share = f"{TOLERANCE:.0%}".replace("%", " %")
    lines = [
        "## Notes",
        "",
        "* Equal minutes are a number of samples, by the speeds of the two runs of equal samples. "
        f"Where it is less than {share} from the baseline's, the run of equal samples is shown "
        "again.",
        f"* The product's batch is {TrainSettings().batch}: what a step costs whatever the batch "
        "is, Muon above all, weighs more here.",
        "* More parts than the skeleton's joints, or other ones, are not tried: the body model, "
        "the poses and the losses are in terms of them.",
    ]
    usual = results.baseline.measured_on
    odd = [f"`{trial.name}`" for trial, _ in rows if trial.measured_on != usual]
    if odd:
        lines.append(
            f"* All trials are measured on the same clouds of {usual.pose_points} points and the "
            f"same {usual.identity_points} points of identities, but for {', '.join(odd)}: on as "
            "many points of identities as they encode."
        )
    return lines


def _pmd(run: Run | None, kind: str) -> str:
    return f"{run.pmd[kind] * 1e4:.1f}" if run else ""
