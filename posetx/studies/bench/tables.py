"""A study's results as the papers' tables, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from posetx.studies.bench.presets import CLEAN, NETWORKS
from posetx.studies.bench.study import CLASSIC
from posetx.studies.results import header, row

TITLES = {
    "npt": "NPT",
    "npt-mp": "NPT-MP",
    "corenet": "3D-CoreNet",
    "gc-transformer": "GC-Transformer",
    "mapconnet": "MAPConNet",
    "posemae": "3D-PoseMAE",
    CLASSIC: "Deformation transfer",
}

#: what stands behind a network's name in the table of those that learnt without ground truth
TERMS_OF = {
    "-unsupervised": "without",
    "-unsupervised-mesh": "mesh term alone",
    "-unsupervised-point": "point term alone",
    "-unsupervised-neither": "neither term",
}

Results = dict[str, Any]


def markdown(results: Results) -> str:
    """All tables of what is there, each under its heading."""
    parts = [_setup(results), _trained(results), _clean(results), _attacked(results)]
    parts += [_scans(results), _truthless(results), _cost(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _setup(results: Results) -> str:
    preset = results["preset"]
    return (
        f"{preset['samples']} samples in batches of {preset['batch']}, {preset['points']} points, "
        f"seed {results['seed']}, poses of the {results['poses']}, at most "
        f"{preset['minutes']:g} minutes each, on {results['hardware']}; measured on "
        f"{preset['pairs']} pairs of each protocol, the network alone, its heading told. What each "
        "part of 3D-PoseMAE is worth is in weights/trials.md."
    )


def _trained(results: Results) -> str:
    rows = [
        (TITLES[name], *_run(results, name), *_run(results, f"{name}-adv")[1:])
        for name in NETWORKS
        if name in results["trained"]
    ]
    heads = ("parameters", "samples", "minutes", "samples, adversarial", "minutes, adversarial")
    return _table("What was trained", heads, rows)


def _run(results: Results, run: str) -> tuple[str, str, str]:
    told = results["trained"].get(run)
    if not told:
        return "", "", ""
    return f"{told['parameters'] / 1e6:.2f} M", str(told["samples"]), f"{told['minutes']:.1f}"


def _clean(results: Results) -> str:
    names = (*NETWORKS, CLASSIC)
    rows = [
        (
            TITLES[name],
            *(_pmd(results, name, p) for p in CLEAN),
            _figure(results, name, "unseen", "mpjpe_mm", 1),
            _figure(results, name, "unseen", "edge", 1),
        )
        for name in names
        if name in results["figures"]
    ]
    heads = (*CLEAN, "MPJPE mm, unseen", "edge, unseen")
    return _table("Clean poses (PMD ×1e-4)", heads, rows)


def _attacked(results: Results) -> str:
    rows = []
    for name in NETWORKS:
        for run, kind in ((name, "clean"), (f"{name}-adv", "adversarial")):
            if run in results["figures"]:
                cells = [_pmd(results, run, p) for p in ("seen", "attack", "attack-pgd")]
                rows.append((TITLES[name], kind, *cells))
    heads = ("training", "not attacked", "FGM, 0.08", "PGD-20, 0.08")
    return _table("Attacked, white box, poses of seen (PMD ×1e-4)", heads, rows)


def _scans(results: Results) -> str:
    rows = []
    for name in (*NETWORKS, CLASSIC):
        if name in results["figures"]:
            cells = [_pmd(results, name, p) for p in ("noise", "scan")]
            rows.append((TITLES[name], *cells, _figure(results, name, "scan", "mpjpe_mm", 1)))
    return _table("Raw poses (PMD ×1e-4)", ("noise", "scan", "MPJPE mm, scan"), rows)


def _truthless(results: Results) -> str:
    """What MAPConNet learns from identities alone, and what its contrastive terms add."""
    runs = {"corenet": "3D-CoreNet, with ground truth", "mapconnet": "MAPConNet, with ground truth"}
    runs |= {f"mapconnet{kind}": f"MAPConNet, {told}" for kind, told in TERMS_OF.items()}
    if not any(f"mapconnet{kind}" in results["figures"] for kind in TERMS_OF):
        return ""
    rows = [
        (
            title,
            *_run(results, run)[1:],
            *(_pmd(results, run, p) for p in CLEAN),
            _figure(results, run, "unseen", "mpjpe_mm", 1),
        )
        for run, title in runs.items()
        if run in results["figures"]
    ]
    heads = ("samples", "minutes", *CLEAN, "MPJPE mm, unseen")
    return _table("Without ground truth (PMD ×1e-4)", heads, rows)


def _cost(results: Results) -> str:
    rows, sizes = [], results["preset"]["sizes"]
    threads: set[str] = set()
    for name in NETWORKS:
        cells = results["cost"].get(name)
        if cells:
            parameters = next(iter(cells.values()))["parameters"]
            threads |= {str(cell["threads"]) for cell in cells.values()}
            told = [_cell(cells.get(str(size))) for size in sizes]
            rows.append(
                (TITLES[name], f"{parameters / 1e6:.2f} M", f"{parameters / 5e5:.1f}", *told)
            )
    heads = ("parameters", "MB (fp16)", *(f"{size:,} vertices" for size in sizes))
    title = "A forward pass, the papers' sizes (ms, peak MiB; CPU threads: {})"
    return _table(title.format(" and ".join(sorted(threads))), heads, rows)


def _cell(cost: Results | None) -> str:
    if cost is None:
        return ""
    return cost.get("failed") or f"{cost['ms']:,.0f}, {cost['peak_mib']:,.0f}"


def _pmd(results: Results, run: str, protocol: str) -> str:
    return _figure(results, run, protocol, "pmd", 1e4)


def _figure(results: Results, run: str, protocol: str, key: str, times: float) -> str:
    value = results["figures"].get(run, {}).get(protocol, {}).get(key)
    if value is None:
        return "–"
    value *= times
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [f"### {title}", "", *header(["network", *heads], texts=1)]
    lines += [row(cells) for cells in rows]
    return "\n".join(lines)
