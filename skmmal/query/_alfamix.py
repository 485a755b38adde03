"""Rows whose prediction changes when they are mixed with labelled ones: ALFAMix."""

from __future__ import annotations

from numbers import Real

import numpy as np
from scipy.spatial.distance import cdist

from skmmal._chunks import row_chunks
from skmmal._random import RandomState
from skmmal._sklearn import Interval
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Reading
from skmmal.selection._k_means import pick_among

__all__ = ["ALFAMix"]


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
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self, cap: float = 0.2, step: float = 0.03125, random_state: RandomState = None, *, on: str = "fused"
    ) -> None:
        self.cap = cap
        self.step = step
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        needed = self._needed_caps(pool, labelled)
        cap = min(self.cap, 1.0)
        enough = np.sort(needed)[n_instances - 1]
        if enough > cap:
            cap = min(1.0, cap + self.step * np.ceil((enough - cap) / self.step)) if np.isfinite(enough) else 1.0
        chosen = pick_among(pool.head.features, np.flatnonzero(needed <= cap), n_instances, rng)
        return chosen, -np.minimum(needed, np.finfo(np.float64).max)[chosen]

    @staticmethod
    def _needed_caps(pool: Reading, labelled: Reading) -> np.ndarray:
        """The cap at which each row changes; infinite where none does."""
        head, points = pool.head, pool.head.layer_features
        steps = flip_distances(head.log_probabilities, head.residuals, head.linear[0])
        known, codes = points, head.probabilities.argmax(axis=1)
        if len(labelled):
            known, codes = labelled.head.layer_features, labelled.head.codes
        anchors = np.stack([known[codes == code].mean(axis=0) for code in np.unique(codes)])
        width = max(anchors.shape)
        parts = row_chunks(len(pool), width)
        reach = np.concatenate([cdist(points[part], anchors).max(axis=1) for part in parts])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            needed = steps / reach * np.sqrt(points.shape[1])
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
