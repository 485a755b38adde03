"""Batches that represent the pool: MaxHerding, UHerding, ProbCover and TypiClust."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from skmmal._random import RandomState
from skmmal.query.base import QueryStrategy, Selection
from skmmal.query.uncertainty import MarginSampling
from skmmal.query.view import PoolView
from skmmal.selection._ball_cover import ball_cover
from skmmal.selection._dense import draw_references, nearest_distance, pure_radius, unit_rows
from skmmal.selection._herding import kernel_herding
from skmmal.selection._k_means import cluster
from skmmal.selection._typicality import round_robin_by_typicality

__all__ = ["MaxHerding", "ProbCover", "TypiClust", "UHerding"]

_RANDOM_STATE: dict = {"random_state": ["random_state", np.random.Generator]}
_REFERENCES: dict = {"max_references": [Interval(Integral, 1, None, closed="left"), None]}
_TEMPERATURES = np.arange(10, 201) / 10.0
_CALIBRATION_BINS = 15


class MaxHerding(QueryStrategy):
    """Pick, one after the other, the row that most increases how well the pool is covered by labelled rows.

    A row is covered by its most similar labelled or picked row, ``k(i, j) = exp(−‖z_i − z_j‖² / σ²)``, z the fused
    embedding scaled to length one.

    Parameters
    ----------
    sigma : float, default=1.0
        Width of the kernel (the paper's default on embeddings of length one).
    max_references : int or None, default=10000
        At most that many rows of the pool, drawn at random, are to be covered (the paper's code draws 35,000, and
        picks among them alone; here every row may be picked). ``None``: all.
    random_state : int, RandomState, Generator or None
        Draws the references where the pool has more, and rows once everything is covered.
    on : str, default="fused"
        The features that count: ``"fused"``, the name of a modality for its block alone (no model is needed), or
        ``"all"``, which is the same as ``"fused"`` (see `QueryStrategy`).

    Notes
    -----
    Needs no model: with an unfitted estimator the features are covered. The score is the mean gain in coverage. The
    picks are those of plain greedy search (lazily: `skmmal.selection._coverage.kernel_herding`). Cost: one matrix
    product N × D × R for R references, then a few blocks of 64 × D × R a pick; memory N D.

    Rows that lack a modality: what they have alone is scaled to length one, with zeros in place of the rest. They are
    near one another and far from whole rows, and are covered mostly by their like.

    References
    ----------
    .. [1] Bae, Noh and Sutherland, "Generalized coverage for more robust low-budget active learning", ECCV 2024,
       section 3.

    Examples
    --------
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import MaxHerding
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> batch = MaxHerding().query(None, X[::20], 10)
    >>> len(set(y[::20][batch].tolist())) >= 7
    True
    """

    requires_model = False
    _parameter_constraints: dict = {
        "sigma": [Interval(Real, 0, None, closed="neither")],
        **_REFERENCES,
        **_RANDOM_STATE,
    }

    def __init__(
        self,
        sigma: float = 1.0,
        max_references: int | None = 10_000,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.sigma = sigma
        self.max_references = max_references
        self.random_state = random_state
        self.on = on

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        return kernel_herding(
            unit_rows(view.points),
            n_instances,
            references=draw_references(len(view), self.max_references, rng),
            initial=_labelled_unit_rows(view),
            sigma=self.sigma,
            random_state=rng,
        )


class UHerding(QueryStrategy):
    """MaxHerding that covers uncertain rows first.

    Row i weighs ``u_i = 1 − (p₁ − p₂)``, the margin between its two most probable classes after temperature scaling.

    Parameters
    ----------
    sigma : float or "adaptive", default=1.0
        Width of the kernel on embeddings of length one; ``"adaptive"``: the smallest distance between two labelled
        rows (not of zero; 1 with fewer than two), so that the kernel narrows as labels come in.
    calibrate : bool, default=True
        Whether to choose a temperature from 1 to 20, in steps of 0.1, with the smallest expected calibration error
        (15 bins) on the labelled rows. Without `y_labeled` the temperature is 1.
    max_references : int or None, default=10000
        As in `MaxHerding`.
    random_state : int, RandomState, Generator or None
        As in `MaxHerding`.
    on : str, default="fused"
        The head whose margins weigh and whose features are covered: ``"fused"``, the name of a modality, or ``"all"``
        for the mean of the heads' weights, each with its own temperature, over the fused features (see
        `QueryStrategy`).

    Notes
    -----
    With an unfitted estimator every u is 1 and this is MaxHerding. The model was fitted on the labelled rows, so it
    looks well calibrated there: the temperature is a cautious correction only. The score is the mean gain in weighted
    coverage. Cost as for MaxHerding, plus the probabilities.

    Rows that lack a modality: as for MaxHerding, and the model is less sure of them: they come more often than their
    share.

    References
    ----------
    .. [1] Bae, Sutherland and Noh, "Uncertainty herding: one active learning method for all label budgets",
       ICLR 2025, section 3.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import UHerding
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(UHerding().query(clf, X[1::10], 5, X_labeled=X[::40], y_labeled=y[::40]))
    5
    """

    requires_model = False
    _parameter_constraints: dict = {
        "sigma": [Interval(Real, 0, None, closed="neither"), StrOptions({"adaptive"})],
        "calibrate": ["boolean"],
        **_REFERENCES,
        **_RANDOM_STATE,
    }

    def __init__(
        self,
        sigma: float | str = 1.0,
        calibrate: bool = True,
        max_references: int | None = 10_000,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.sigma = sigma
        self.calibrate = calibrate
        self.max_references = max_references
        self.random_state = random_state
        self.on = on

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        labelled = _labelled_unit_rows(view)
        return kernel_herding(
            unit_rows(view.points),
            n_instances,
            references=draw_references(len(view), self.max_references, rng),
            weights=view.mean_score(self._weights) if view.is_fitted else None,
            initial=labelled,
            sigma=nearest_distance(labelled) if self.sigma == "adaptive" else float(self.sigma),
            random_state=rng,
        )

    def _weights(self, view: PoolView) -> np.ndarray:
        probabilities = view.probabilities
        if self.calibrate and view.y_labeled is not None and len(view.labeled_probabilities):
            temperature = _temperature(view.labeled_probabilities, view.labeled_codes)
            probabilities = _tempered(probabilities, temperature)
        return np.clip(1.0 + MarginSampling._uncertainty(probabilities), 0.0, 1.0)


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
    _parameter_constraints: dict = {
        "radius": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "purity": [Interval(Real, 0, 1, closed="right")],
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        **_REFERENCES,
        **_RANDOM_STATE,
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

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        points = unit_rows(view.points)
        rows = draw_references(len(view), self.max_references, rng)
        if self.radius == "auto":
            measured = points if rows is None else points[rows]
            labels, _ = cluster(measured, self.n_clusters or _class_count(view, n_instances), rng)
            radius = pure_radius(measured, labels, self.purity)
        else:
            radius = float(self.radius)
        return ball_cover(
            points, n_instances, radius=radius, references=rows, initial=_labelled_unit_rows(view), random_state=rng
        )


class TypiClust(QueryStrategy):
    """Pick the most typical row of each cluster, from the largest clusters that have fewest labels.

    Labelled and pool rows are clustered together by k-means into as many clusters as there will be labelled rows. The
    typicality of a row is the inverse of its mean distance to its nearest neighbours in the cluster.

    Parameters
    ----------
    max_clusters : int, default=500
        At most that many clusters (the paper's value); a larger batch goes round them again.
    n_neighbors : int, default=20
        Neighbours for the typicality, or half of the cluster where that is less (the paper's value).
    min_cluster_size : int, default=6
        Smaller clusters come last (the paper leaves out those of 5 and fewer).
    random_state : int, RandomState, Generator or None
        Draws the clusters.
    on : str, default="fused"
        As in `MaxHerding`.

    Notes
    -----
    Needs no model: with an unfitted estimator the features are clustered. Embeddings are scaled to length one. The
    score is the typicality ``1 / (mean distance + 1e-5)``; the official code averages squared distances, the paper
    says distances, and so does this. Cost: k-means (for large pools in the 128 leading principal components, at most 50
    iterations; ours, the official code uses mini-batches), and the exact neighbours within each cluster that has its
    turn, about N² D / clusters in all.

    Rows that lack a modality: what they have alone is scaled to length one, with zeros in place of the rest, so that
    they make clusters of their own. Where these are many and dense, such rows come more often than their share,
    otherwise less.

    References
    ----------
    .. [1] Hacohen, Dekel and Weinshall, "Active learning on a budget: opposite strategies suit high and low budgets",
       ICML 2022, section 3.

    Examples
    --------
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import TypiClust
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> batch = TypiClust(random_state=0).query(None, X[::4], 10)
    >>> len(set(y[::4][batch].tolist())) >= 7
    True
    """

    requires_model = False
    _parameter_constraints: dict = {
        "max_clusters": [Interval(Integral, 1, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "min_cluster_size": [Interval(Integral, 1, None, closed="left")],
        **_RANDOM_STATE,
    }

    def __init__(
        self,
        max_clusters: int = 500,
        n_neighbors: int = 20,
        min_cluster_size: int = 6,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.max_clusters = max_clusters
        self.n_neighbors = n_neighbors
        self.min_cluster_size = min_cluster_size
        self.random_state = random_state
        self.on = on

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        points, labelled = unit_rows(view.points), _labelled_unit_rows(view)
        n_labelled = 0 if labelled is None else len(labelled)
        everything = points if labelled is None else np.concatenate([points, labelled])
        labels, centres = cluster(everything, min(n_labelled + n_instances, self.max_clusters), rng)
        return round_robin_by_typicality(
            points,
            labels[: len(points)],
            np.bincount(labels[len(points) :], minlength=len(centres)),
            n_instances,
            self.n_neighbors,
            self.min_cluster_size,
        )


# ------------------------------------------------------------------------------------------------------ details


def _labelled_unit_rows(view: PoolView) -> np.ndarray | None:
    return None if view.labeled_points is None else unit_rows(view.labeled_points)


def _class_count(view: PoolView, n_instances: int) -> int:
    if view.is_fitted and getattr(view.final, "classes_", None) is not None:
        return len(view.final.classes_)
    if view.y_labeled is not None and len(view.y_labeled):
        return len(np.unique(np.asarray(view.y_labeled)))
    return n_instances


def _tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    sharpened = probabilities ** (1.0 / temperature)
    return sharpened / sharpened.sum(axis=1, keepdims=True)


def _temperature(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Temperature of the smallest calibration error; the lowest on ties."""
    errors = [_calibration_error(_tempered(probabilities, t), codes) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(errors))])


def _calibration_error(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Expected calibration error over bins of equal width."""
    confidence = probabilities.max(axis=1)
    hits = probabilities.argmax(axis=1) == codes
    bins = np.minimum((confidence * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=hits - confidence, minlength=_CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(codes))
