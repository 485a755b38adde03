"""Coverage while the model is weak, margins once it is competent: DCoM."""

from __future__ import annotations

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from skmmal._chunks import row_chunks
from skmmal._random import RandomState
from skmmal._sklearn import Interval, StrOptions
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._coverage import REFERENCES, class_count, labeled_unit_rows
from skmmal.query._uncertainty import negative_margin
from skmmal.reading import Head, Reading
from skmmal.selection._ball_cover import mixed_cover
from skmmal.selection._dense import draw_references, in_any_ball, pure_radius, sq_distances
from skmmal.selection._k_means import cluster
from skmmal.selection._units import BallGains, MixedGains, UnitBenefits, Units

__all__ = ["DCoM", "competence"]

_RESOLUTION = 0.05
"""Width of the bracket at which the bisection of a radius ends (the official code's)."""


class _Setting(NamedTuple):
    """Rows to be covered (``None``: all), the picks' radius, who is covered, the scaled margins, and their weight."""

    references: np.ndarray | None
    radius: float
    covered: np.ndarray
    uncertainty: np.ndarray
    share: float


class DCoM(QueryStrategy):
    """Cover the pool with balls whose radii adapt to the labels, and turn to small margins as coverage grows.

    Every labelled row gets a radius of its own: the one at which the rows in its ball are still mostly predicted to be
    of its class. The share of rows in those balls, the coverage, says how competent the model is. A pick is the row
    of largest

    ``S · u + (1 − S) · degree``,   ``S = (1 + e^{−k (1 − a)}) / (1 + e^{−k (coverage − a)})``,

    u the negative margin scaled to [0, 1], the degree how many uncovered rows its ball holds (its radius is the mean
    of the labelled rows'), scaled to [0, 1] before every pick.

    Parameters
    ----------
    radius : float or "auto", default="auto"
        Radius with which coverage is measured before the labelled rows have radii of their own, and the one that is
        used without labelled rows or without a model. ``"auto"``: as in `ProbCover`, with `purity` and `n_clusters`.
    purity : float, default=0.95
        Of ``radius="auto"``.
    n_clusters : int or None, default=None
        Clusters of ``radius="auto"``. ``None``: as in `ProbCover`.
    max_radius : float, default=1.1
        Largest radius of a labelled row (the official code's).
    steepness, center : float, default=50.0, 0.8
        k and a, the official code's: at coverage a both terms weigh the same.
    max_references : int or None, default=10000
        At most that many rows of the pool, drawn at random, are to be covered and measured; every row may be picked.
        ``None``: all.
    random_state : int, RandomState, Generator or None
        Draws references, clusters, and rows once no row scores above zero.
    on : str, default="fused"
        The head and the features that count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of the
        heads' scaled margins; radii and coverage are then those of the fused head (see `QueryStrategy`).

    Notes
    -----
    Distances are in the fused embedding, scaled to length one. A labelled row's radius is found by bisection of
    [0, `max_radius`] down to a bracket of 0.05: larger where the purity of its ball, the share of rows predicted to
    be (or labelled) of its class, is at least ``0.2 · coverage + 0.4``, otherwise smaller. The official code keeps
    the radii of former rounds and takes their coverage in that threshold; a strategy here knows of no rounds, so all
    radii are found anew with the present model, and the coverage in the threshold is that of balls of `radius` (ours).
    Without `y_labeled`, labelled rows count with their predicted class.

    With an unfitted estimator S is 0 and labelled rows cover with `radius`: that is ProbCover. The score is the
    weighted sum. Cost: products N × D × R and L × D × R for R references and L labelled rows, R² × D for
    ``radius="auto"``, N R additions for all picks together and O(N) a pick; memory N D, and N R / 8 bytes for the
    graph (125 MB for N = 100,000).

    Groups: u is the sum (or mean, or best) of its rows', the degree how many rows their balls cover anew together (or
    on the average, or that of the best row); both are scaled over the groups before every pick.

    Rows that lack a modality: as for ProbCover while coverage is low; later by their margins, which tend to be small.

    References
    ----------
    .. [1] Mishal and Weinshall, "DCoM: active learning for all learners", 2024 (arXiv 2407.01804), section 3, and the
       official code.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import DCoM
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(DCoM(random_state=0).query(clf, X[1::10], 5, X_labeled=X[::40], y_labeled=y[::40]))
    5
    """

    requires_model = False
    supports_groups = True
    _looks_beyond_candidates = True
    _parameter_constraints: dict = {
        "radius": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "purity": [Interval(Real, 0, 1, closed="right")],
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "max_radius": [Interval(Real, 0, None, closed="neither")],
        "steepness": [Interval(Real, 0, None, closed="neither")],
        "center": [Interval(Real, 0, 1, closed="both")],
        **REFERENCES,
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        radius: float | str = "auto",
        purity: float = 0.95,
        n_clusters: int | None = None,
        max_radius: float = 1.1,
        steepness: float = 50.0,
        center: float = 0.8,
        max_references: int | None = 10_000,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.radius = radius
        self.purity = purity
        self.n_clusters = n_clusters
        self.max_radius = max_radius
        self.steepness = steepness
        self.center = center
        self.max_references = max_references
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        found = self._setting(pool, labelled, n_instances, rng)
        return mixed_cover(
            pool.head.unit_features,
            n_instances,
            radius=found.radius,
            uncertainty=found.uncertainty,
            share=found.share,
            references=found.references,
            covered=found.covered,
            candidates=pool.candidates,
            random_state=rng,
        )

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        found = self._setting(pool, labelled, units.expected, rng)
        rows = np.arange(len(pool)) if found.references is None else found.references
        balls = BallGains(pool.head.unit_features, rows, found.radius, found.covered, units)
        return MixedGains(balls, units.of_rows(found.uncertainty), found.share)

    def _setting(
        self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState
    ) -> _Setting:
        """What is covered, by which balls, and how much margins weigh."""
        points, known = pool.head.unit_features, labeled_unit_rows(labelled)
        rows = draw_references(len(pool), self.max_references, rng)
        measured = points if rows is None else points[rows]
        radius = self._first_radius(pool, labelled, measured, n_instances, rng)
        covered = np.zeros(len(measured), dtype=bool)
        if known is not None:
            radii = np.full(len(known), radius)
            if pool.is_fitted:
                predicted, codes = pool.head.probabilities.argmax(axis=1), labelled.head.codes
                before = _coverage(in_any_ball(measured, known, radii), len(pool), len(known))
                radii = purity_radii(
                    known,
                    codes,
                    np.concatenate([measured, known.astype(measured.dtype)]),
                    np.concatenate([predicted if rows is None else predicted[rows], codes]),
                    threshold=0.2 * before + 0.4,
                    max_radius=self.max_radius,
                )
            covered = in_any_ball(measured, known, radii)
            radius = float(radii.mean())
        share, uncertainty = 0.0, np.zeros(len(pool))
        if pool.is_fitted:
            share = float(competence(_coverage(covered, len(pool), len(labelled)), self.steepness, self.center))
            uncertainty = pool.mean_score(_scaled_margins)
        return _Setting(rows, radius, covered, uncertainty, share)

    def _first_radius(
        self, pool: Reading, labelled: Reading, measured: np.ndarray, n_instances: int, rng: np.random.RandomState
    ) -> float:
        if self.radius != "auto":
            return float(self.radius)
        labels, _ = cluster(measured, self.n_clusters or class_count(pool, labelled, n_instances), rng)
        return pure_radius(measured, labels, self.purity)


def competence(coverage: float, steepness: float = 50.0, center: float = 0.8) -> float:
    """Weight of the margin: ``(1 + e^{−k (1 − a)}) / (1 + e^{−k (coverage − a)})``; 1 at full coverage.

    Parameters
    ----------
    coverage : float
        Share of the rows that is covered, from 0 to 1.
    steepness : float, default=50.0
        k.
    center : float, default=0.8
        a, the coverage at which the weight is one half.

    Returns
    -------
    float
        From 0 to 1.

    Examples
    --------
    >>> [round(competence(c), 3) for c in (0.0, 0.8, 1.0)]
    [0.0, 0.5, 1.0]
    """
    return float(expit(steepness * (coverage - center)) / expit(steepness * (1.0 - center)))


def purity_radii(
    centres: np.ndarray,
    centre_codes: np.ndarray,
    points: np.ndarray,
    codes: np.ndarray,
    *,
    threshold: float,
    max_radius: float = 1.1,
) -> np.ndarray:
    """Radius (L,) of each centre, by bisection: larger while at least `threshold` of its ball has its code."""
    radii = np.empty(len(centres))
    for part in row_chunks(len(centres), len(points)):
        distances = np.sqrt(sq_distances(centres[part], points))
        alike = centre_codes[part, None] == codes
        low, high = np.zeros(len(distances)), np.full(len(distances), float(max_radius))
        width = float(max_radius)
        while width > _RESOLUTION:
            middle = (low + high) / 2
            inside = distances < middle[:, None]
            pure = (inside & alike).sum(axis=1) >= threshold * np.maximum(inside.sum(axis=1), 1)
            low, high = np.where(pure, middle, low), np.where(pure, high, middle)
            width /= 2
        radii[part] = (low + high) / 2
    return radii


def _coverage(covered: np.ndarray, n_pool: int, n_labelled: int) -> float:
    """Share of pool and labelled rows that is covered; labelled rows cover themselves, some rows stand for the pool."""
    return float((covered.mean() * n_pool + n_labelled) / (n_pool + n_labelled))


def _scaled_margins(head: Head) -> np.ndarray:
    """Negative margins of the pool, scaled so that those of pool and labelled rows span [0, 1]."""
    pool, labelled = (negative_margin(p) for p in (head.probabilities, head.labelled.probabilities))
    low, high = (f(np.concatenate([pool, labelled])) for f in (np.min, np.max))
    return (pool - low) / (high - low) if high > low else np.zeros(len(pool))
