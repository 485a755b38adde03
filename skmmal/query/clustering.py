"""Uncertain candidates made diverse by clustering: ClusterMargin, ALFAMix and DropQuery."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, squareform
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils._param_validation import Interval

from skmmal._chunks import row_chunks
from skmmal._random import RandomState
from skmmal.query.base import QueryStrategy, Selection
from skmmal.query.uncertainty import MarginSampling
from skmmal.query.view import PoolView
from skmmal.selection._dense import unit_rows
from skmmal.selection._k_means import representatives

__all__ = ["ALFAMix", "ClusterMargin", "DropQuery"]

_RANDOM_STATE: dict = {"random_state": ["random_state", np.random.Generator]}
_MOST_CANDIDATES = 10_000


class ClusterMargin(QueryStrategy):
    """Take the rows of smallest margin and pick from their clusters in turn, from the smallest cluster up.

    Parameters
    ----------
    factor : float, default=10.0
        Candidates per row wanted (the paper's k_m = 10 k_t).
    n_clusters : int or None, default=None
        Clusters of the candidates. ``None``: half as many as rows are wanted (ours; the paper sets a distance
        threshold per data set).
    random_state : int, RandomState, Generator or None
        Draws the row within a cluster.
    on : str, default="fused"
        The head whose margins and features count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of
        the heads' margins and the fused features (see `QueryStrategy`).

    Notes
    -----
    Clusters come from agglomerative clustering with average linkage of the fused embedding. The paper clusters the
    whole pool once; that takes N² distances, so here the candidates alone are clustered. Turns follow the paper:
    clusters by size among the candidates, the smallest first, a random row from each, those emptied drop out. The
    score is the negative margin. Cost: the probabilities, then C² distances of D columns for
    C = min(factor · n_instances, 10,000) candidates (never fewer than n_instances), about 1.6 GB for 10,000.

    Rows that lack a modality: uncertain ones are candidates, but zeros in place of the block put them together in few
    clusters, so they come less often than their share.

    References
    ----------
    .. [1] Citovsky et al., "Batch active learning at scale", NeurIPS 2021, algorithms 1 and 2.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import ClusterMargin
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(ClusterMargin(random_state=0).query(clf, X[1::10], 5))
    5
    """

    _parameter_constraints: dict = {
        "factor": [Interval(Real, 1, None, closed="left")],
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        **_RANDOM_STATE,
    }

    def __init__(
        self,
        factor: float = 10.0,
        n_clusters: int | None = None,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.factor = factor
        self.n_clusters = n_clusters
        self.random_state = random_state
        self.on = on

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        scores = view.mean_score(lambda head: MarginSampling._uncertainty(head.probabilities))
        n_candidates = max(n_instances, min(int(self.factor * n_instances), _MOST_CANDIDATES))
        candidates = np.argsort(-scores, kind="stable")[:n_candidates]
        labels = _average_linkage(view.points[candidates], self.n_clusters or max(1, n_instances // 2))
        chosen = candidates[_round_robin(labels, n_instances, rng)]
        return chosen, scores[chosen]


def _average_linkage(points: np.ndarray, n_clusters: int) -> np.ndarray:
    """Labels from agglomerative clustering; equal merge heights may leave fewer clusters."""
    if len(points) == 1:
        return np.zeros(1, dtype=int)
    distances = squareform(euclidean_distances(points), checks=False)
    return fcluster(linkage(distances, "average"), n_clusters, criterion="maxclust")


def _round_robin(labels: np.ndarray, n_wanted: int, rng: np.random.RandomState) -> np.ndarray:
    """Rows drawn from the clusters in turn, the smallest cluster first."""
    names, sizes = np.unique(labels, return_counts=True)
    by_size = names[np.argsort(sizes, kind="stable")]
    queues = [rng.permutation(np.flatnonzero(labels == name)).tolist() for name in by_size]
    chosen: list[int] = []
    while len(chosen) < n_wanted:
        chosen += [queue.pop() for queue in queues if queue]
    return np.asarray(chosen[:n_wanted], dtype=np.intp)


class ALFAMix(QueryStrategy):
    """Pick from the rows whose prediction changes when their features are mixed with those of a labelled class.

    Row z is mixed with the anchor a of each class (the mean embedding of its labelled rows), ``z + α ∘ (a − z)``, with
    the α of norm-bounded worst case ``α = ε ‖a − z‖ g / (‖g‖ (a − z))``, g the gradient of the cross-entropy of the
    prediction by z. Rows that any anchor makes change are candidates; k-means picks among them.

    Parameters
    ----------
    cap : float, default=0.2
        ε is ``cap / √D``; the cap is raised by `step` until there are enough candidates, up to 1.
    step : float, default=0.03125
        The official code's step (it begins there as well; 0.2 is the ALFM benchmark's).
    random_state : int, RandomState, Generator or None
        Draws clusters, and rows where candidates are too few.
    on : str, default="fused"
        The head and the features that count: ``"fused"``, the name of a modality, or ``"all"``, where the heads take
        turns, each with candidates of its own (see `QueryStrategy`).

    Notes
    -----
    With that α the mixture is ``z + ε ‖a − z‖ g / ‖g‖``: a step along the gradient whose length the anchor gives. The
    rows a class keeps along a line are one interval, so only the farthest anchor matters, and the cap a row needs has
    a closed form; the score is minus that cap. Without labelled rows, the means of the predicted classes are anchors.
    Where the classifier is not linear in its embedding, a ridge regression of its log-probabilities gives g. Candidates
    are clustered on embeddings of length one. Cost: the probabilities, O(N K (K + D)) and k-means of the candidates
    (where they are many, in their 128 leading principal components, at most 50 iterations).

    Rows that lack a modality: zeros take part in mixing and in clustering, and the fused head tends to be less sure of
    such rows: they come more often than their share.

    References
    ----------
    .. [1] Parvaneh et al., "Active learning by feature mixing", CVPR 2022, section 3.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import ALFAMix
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(ALFAMix(random_state=0).query(clf, X[1::10], 5, X_labeled=X[::40], y_labeled=y[::40]))
    5
    """

    _heads_take_turns = True
    _parameter_constraints: dict = {
        "cap": [Interval(Real, 0, 1, closed="right")],
        "step": [Interval(Real, 0, None, closed="neither")],
        **_RANDOM_STATE,
    }

    def __init__(
        self, cap: float = 0.2, step: float = 0.03125, random_state: RandomState = None, *, on: str = "fused"
    ) -> None:
        self.cap = cap
        self.step = step
        self.random_state = random_state
        self.on = on

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        needed = self._needed_caps(view)
        cap = min(self.cap, 1.0)
        enough = np.sort(needed)[n_instances - 1]
        if enough > cap:
            cap = min(1.0, cap + self.step * np.ceil((enough - cap) / self.step)) if np.isfinite(enough) else 1.0
        chosen = _spread(view, np.flatnonzero(needed <= cap), n_instances, rng)
        return chosen, -np.minimum(needed, np.finfo(np.float64).max)[chosen]

    @staticmethod
    def _needed_caps(view: PoolView) -> np.ndarray:
        """The cap at which each row changes; infinite where none does."""
        weights, _ = view.linear_head
        steps = flip_distances(view.logits, view.gradient_residuals, weights)
        labelled = view.labeled_head_points
        points, codes = view.head_points, view.probabilities.argmax(axis=1)
        if labelled is not None:
            points, codes = labelled, view.labeled_codes
        anchors = np.stack([points[codes == code].mean(axis=0) for code in np.unique(codes)])
        width = max(anchors.shape)
        parts = row_chunks(len(view), width)
        reach = np.concatenate([cdist(view.head_points[part], anchors).max(axis=1) for part in parts])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            needed = steps / reach * np.sqrt(view.head_points.shape[1])
        return np.where(reach > 0, needed, np.inf)


def flip_distances(logits: np.ndarray, residuals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How far each embedding must go along its normalised loss gradient until another class is most probable."""
    rows = np.arange(len(logits))
    predicted = logits.argmax(axis=1)
    slopes = residuals @ (weights @ weights.T)
    norms = np.sqrt(np.maximum((slopes * residuals).sum(axis=1), 0.0))  # ‖Wᵀ(p − onehot ŷ)‖
    gaps = logits[rows, predicted][:, None] - logits
    gains = slopes - slopes[rows, predicted][:, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        steps = np.where(gains > 0, gaps * (norms[:, None] / gains), np.inf)
    steps[rows, predicted] = np.inf
    return steps.min(axis=1)


class DropQuery(QueryStrategy):
    """Pick from the rows whose prediction changes when most of their features are dropped.

    The embedding is passed to the fused head with dropout `n_passes` times. Rows of which more than half of the passes
    predict another class than the undropped embedding are candidates; k-means picks among them.

    Parameters
    ----------
    n_passes : int, default=3
    dropout : float, default=0.75
        Share of the embedding that is dropped; both defaults are the paper's.
    random_state : int, RandomState, Generator or None
        Draws masks, clusters, and rows where candidates are too few.
    on : str, default="fused"
        The head and the features that are dropped: ``"fused"``, the name of a modality, or ``"all"`` for the mean of
        the heads' numbers of changed passes, clustered on the fused features (see `QueryStrategy`).

    Notes
    -----
    With fewer than 25 candidates for each row wanted, fewer changes suffice, down to one (as in the ALFM benchmark).
    Candidates are clustered on embeddings of length one. A classifier without `embed` predicts from the dropped
    features themselves; one with an `embed` but an unknown head is replaced by the ridge regression of its
    log-probabilities on the embedding. The score is the number of passes that change. Cost: `n_passes` predictions from
    the embedding, and k-means of the candidates (where they are many, in their 128 leading principal components, at
    most 50 iterations).

    Rows that lack a modality: zeros in place of the block stay zeros when features are dropped.

    References
    ----------
    .. [1] Gupte et al., "Revisiting active learning in the era of vision foundation models", TMLR 2024, section 4.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import DropQuery
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(DropQuery(random_state=0).query(clf, X[1::10], 5))
    5
    """

    _parameter_constraints: dict = {
        "n_passes": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        **_RANDOM_STATE,
    }

    def __init__(
        self, n_passes: int = 3, dropout: float = 0.75, random_state: RandomState = None, *, on: str = "fused"
    ) -> None:
        self.n_passes = n_passes
        self.dropout = dropout
        self.random_state = random_state
        self.on = on

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        changes = view.mean_score(lambda head: self._changes(head, rng))
        threshold = self.n_passes // 2
        while threshold > 0 and (changes > threshold).sum() < 25 * n_instances:
            threshold -= 1
        chosen = _spread(view, np.flatnonzero(changes > threshold), n_instances, rng)
        return chosen, changes[chosen].astype(np.float64)

    def _changes(self, view: PoolView, rng: np.random.RandomState) -> np.ndarray:
        """Number of passes in which each row's prediction changes."""
        changes = np.zeros(len(view), dtype=int)
        predicted = view.probabilities.argmax(axis=1)
        for _ in range(self.n_passes):
            for part in row_chunks(len(view), view.points.shape[1]):
                rows = view.points[part]
                # drawn row after row: the masks do not depend on the chunks
                keep = rng.random_sample(rows.shape) >= self.dropout
                changes[part] += view.predict_embedded(rows * keep / (1.0 - self.dropout)) != predicted[part]
        return changes


def _spread(view: PoolView, candidates: np.ndarray, n_wanted: int, rng: np.random.RandomState) -> np.ndarray:
    """Pick by k-means among candidates, and draw the rest from the others where they are too few."""
    if len(candidates) > n_wanted:
        return candidates[representatives(unit_rows(view.points[candidates]), n_wanted, rng)[0]]
    others = np.setdiff1d(np.arange(len(view)), candidates)
    return np.concatenate([candidates, rng.permutation(others)[: n_wanted - len(candidates)]])
