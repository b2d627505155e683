"""The whole pipeline under attack: what `posetx transfer` makes of a scan that harms its network.

The attack is made on the network, white box. The scan's points go along with those of the network's
sample, and the scan then takes the way of any scan: it is cleaned, turned and fitted, and nothing
is told. What harms the network need not harm the result; and where it does, the confidence should
say so.
"""

from __future__ import annotations

from collections.abc import Callable

from posetx.bodies.metrics import means
from posetx.errors import PosetxError
from posetx.evaluation.attack_grid import Case, Crowd, Harmed
from posetx.evaluation.run import Evaluator
from posetx.files.sources import array_scan
from posetx.pipeline.confidence import DOUBTFUL, RIGHT
from posetx.target.ready import ReadyTarget


class WholePipeline:
    """A crowd's pairs as `posetx transfer` takes them; targets are made ready once for all attacks.

    ``on_pair`` is called after each pair that is done.
    """

    def __init__(
        self, evaluator: Evaluator, crowd: Crowd, on_pair: Callable[[], None] = lambda: None
    ):
        self.evaluator, self.crowd, self.on_pair = evaluator, crowd, on_pair
        self._ready: list[ReadyTarget | None] = [None] * len(crowd.cases)

    def figures(self, harmed: Harmed | None = None) -> dict[str, float]:
        """Mean figures of the crowd after an attack, or of the scans as they are.

        ``whole_wrong`` is the share of results that are off by more than RIGHT, of all scans,
        ``whole_unnoticed`` the share of those whose confidence raises no doubt, and
        ``whole_refused`` of those where the pipeline found nobody.
        """
        rows = []
        for row in range(len(self.crowd.cases)):
            rows.append(self._pair(row, harmed))
            self.on_pair()
        return means(rows)

    def _pair(self, row: int, harmed: Harmed | None) -> dict[str, float]:
        case, evaluator = self.crowd.cases[row], self.evaluator
        points = case.pair.points.double().numpy()
        if harmed is not None:
            moved = (harmed.clouds[row] - self.crowd.clouds[row]).cpu().double().numpy()
            points = case.scan(moved, harmed.left[row].cpu().numpy())
        try:
            reading = evaluator.pipeline.read(array_scan(points), refine=evaluator.refine)
        except PosetxError:
            return {"whole_wrong": 0.0, "whole_unnoticed": 0.0, "whole_refused": 1.0}
        found = evaluator.given(reading, self._target(row, case), case.pair)
        figures = {f"whole_{name}": found[name] for name in ("pmd", "pmd_surface", "mpjpe_mm")}
        wrong, trust = found["pmd"] > RIGHT, reading.confidence
        figures |= {"whole_wrong": float(wrong), "whole_refused": 0.0}
        if trust is not None:
            figures["whole_confidence"] = trust
            figures["whole_unnoticed"] = float(wrong and trust > DOUBTFUL)
        return figures

    def _target(self, row: int, case: Case) -> ReadyTarget:
        ready = self._ready[row]
        if ready is None:
            ready = self._ready[row] = self.evaluator.ready(case.pair)
        return ready
