"""Greedy coverage of the pool by balls: ProbCover."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from skmmal._random import RandomState
from skmmal._sklearn import Interval, StrOptions
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._coverage import REFERENCES, class_count, labeled_unit_rows
from skmmal.reading import Reading
from skmmal.selection._ball_cover import ball_cover
from skmmal.selection._dense import draw_references, in_any_ball, pure_radius
from skmmal.selection._k_means import cluster
from skmmal.selection._units import BallGains, UnitBenefits, Units

__all__ = ["ProbCover"]


class ProbCover(QueryStrategy):
    """Pick, one after the other, the row whose ball of radius δ holds most rows that are not covered yet.

    Distances are in the fused embedding, scaled to length one; labelled rows cover from the beginning.

    Parameters
    ----------
    radius : float or "auto", default="auto"
        δ. ``"auto"``: the largest δ up to 1 at which the balls of a share `purity` of the rows hold rows of their own
        cluster only, with k-means clusters in place of classes.
    purity : float, default=0.95
        Of ``radius="auto"``.
    n_clusters : int or None, default=None
        Clusters of ``radius="auto"``. ``None``: as many as there are classes (the estimator's, else those in
        `y_labeled`, else `n_instances`).
    max_references : int or None, default=10000
        At most that many rows of the pool, drawn at random, are to be covered and measured. ``None``: all.
    random_state : int, RandomState, Generator or None
        Draws references, clusters, and rows once everything is covered.
    on : str, default="fused"
        As in `MaxHerding`.

    Notes
    -----
    Needs no model: with an unfitted estimator the features are covered. The score is the share of rows that a pick
    covers anew. Cost: one matrix product N × D × R for R references; memory N R / 8 bytes for the graph (125 MB for
    N = 100,000). The paper searches δ on a grid, the ALFM benchmark by bisection; here it is solved exactly from the
    distances to the nearest row of another cluster.

    Rows that lack a modality: as for MaxHerding; with few of them their balls hold few rows, so they come late.

    References
    ----------
    .. [1] Yehuda et al., "Active learning through a covering lens", NeurIPS 2022, algorithm 1 and section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.query import ProbCover
    >>> pool = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> ProbCover(radius=0.2).query(None, pool, 2).tolist()
    [0, 3]
    """

    requires_model = False
    supports_multi_label = True
    supports_groups = True
    _looks_beyond_candidates = True
    _parameter_constraints: dict = {
        "radius": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "purity": [Interval(Real, 0, 1, closed="right")],
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        **REFERENCES,
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        radius: float | str = "auto",
        purity: float = 0.95,
        n_clusters: int | None = None,
        max_references: int | None = 10_000,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.radius = radius
        self.purity = purity
        self.n_clusters = n_clusters
        self.max_references = max_references
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        points, rows, radius = self._balls(pool, labelled, n_instances, rng)
        return ball_cover(
            points,
            n_instances,
            radius=radius,
            references=rows,
            initial=labeled_unit_rows(labelled),
            random_state=rng,
            candidates=pool.candidates,
        )

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        points, rows, radius = self._balls(pool, labelled, units.n_units, rng)
        rows = np.arange(len(points)) if rows is None else rows
        known = labeled_unit_rows(labelled)
        covered = np.zeros(len(rows), dtype=bool)
        if known is not None:
            covered = in_any_ball(points[rows], known, np.full(len(known), radius))
        return BallGains(points, rows, radius, covered, units)

    def _balls(
        self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray | None, float]:
        """Points, the rows that are to be covered (``None``: all), and the radius."""
        points = pool.head.unit_features
        rows = draw_references(len(pool), self.max_references, rng)
        if self.radius != "auto":
            return points, rows, float(self.radius)
        measured = points if rows is None else points[rows]
        labels, _ = cluster(measured, self.n_clusters or class_count(pool, labelled, n_instances), rng)
        return points, rows, pure_radius(measured, labels, self.purity)
