"""Distances to decision boundaries, in one step where the classifier is linear, else by iteration: DeepFool."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
from scipy.spatial.distance import cdist

from skmmal._sklearn import Interval, StrOptions
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import FUSED, Head, Reading, Source
from skmmal.reading._late_fusion import LateFusionSource

__all__ = ["DeepFool"]

_LARGEST = np.finfo(np.float64).max
"""The distance where there is no boundary."""


class DeepFool(QueryStrategy):
    """Pick the rows that are nearest to a decision boundary.

    Where the classifier is linear, the distance to the boundary with class i is ``|f_i − f_ŷ| / ‖w_i − w_ŷ‖``, f the
    logits and w their weights; the smallest over all classes i ≠ ŷ counts. Where it is not (encoders, gated fusions),
    DeepFool's iteration finds a boundary nearby: linearise, step onto the nearest boundary, repeat until the
    prediction changes.

    Parameters
    ----------
    space : {"auto", "input", "embedding"}, default="auto"
        In which distances are. ``"input"``: the features. ``"embedding"``: what the last layer sees, where the closed
        form is exact; but an encoder is free to stretch that space as it likes. ``"auto"``: ``"input"`` for a
        `LateFusionClassifier`, otherwise ``"embedding"``. Without encoders, and with concat or sum fusion, both are
        the same.
    max_iter : int, default=50
        Steps of the iteration; the official code's value. A row that is not across by then counts with the way it
        came.
    overshoot : float, default=0.02
        How much farther along the change so far the network is looked at, so that a row gets across the boundary and
        not onto it; the official code's value. The distance is that without the overshoot.
    on : str, default="fused"
        The head whose boundaries count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of the
        distances to each head's boundary (see `QueryStrategy`).

    Notes
    -----
    Rows that lack a modality: it is not changed, only steps in what is there count, in either space. (The last layer of
    fusions that gate or attend sees one vector of all modalities: in the embedding all of it may change.) All classes
    are looked at (the official DeepFool looks at ten; the official BMMAL code stops at ten and uses the tenth). Where a
    classifier's probabilities are no softmax of a linear map (a forest), logits are log-probabilities and weights those
    of their ridge regression on the embedding, our extension. The score is minus the distance. Deterministic.

    Cost of the closed form: the probabilities, then O(N M K + K² D). Cost of the iteration: K gradients of the network
    for each of the rows not yet across and each step (two to four steps, mostly); a first layer of h units is searched
    in its h directions rather than in D columns, which changes no distance. Memory: a block of rows, whatever K. On
    the CPU.

    References
    ----------
    .. [1] Moosavi-Dezfooli, Fawzi and Frossard, "DeepFool: a simple and accurate method to fool deep neural
       networks", CVPR 2016, section 3, algorithm 2.
    .. [2] Ducoffe and Precioso, "Adversarial active learning for deep networks: a margin based approach", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.query import DeepFool
    >>> clf = LogisticRegression().fit([[0.0], [4.0]], [0, 1])
    >>> indices, scores = DeepFool().query(clf, np.array([[0.0], [2.5], [9.0]]), 2, return_scores=True)
    >>> indices.tolist(), scores.round(3).tolist()
    ([1, 0], [-0.5, -2.0])
    """

    _parameter_constraints: dict = {
        "space": [StrOptions({"auto", "input", "embedding"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "overshoot": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, space: str = "auto", max_iter: int = 50, overshoot: float = 0.02, *, on: str = "fused") -> None:
        self.space = space
        self.max_iter = max_iter
        self.overshoot = overshoot
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return pool.highest(-pool.mean_score(lambda head: self._distances(pool.source, head)), n_instances)

    def _distances(self, source: Source, head: Head) -> np.ndarray:
        if self.space != "embedding" and not head.is_linear_in_features:
            if isinstance(source, LateFusionSource):
                from skmmal.query._deepfool_iteration import feature_distances  # a network: torch is there

                return feature_distances(source, head, self.max_iter, self.overshoot)
            if self.space == "input":
                raise TypeError(
                    f"space='input' differentiates a LateFusionClassifier's network, and {source.name} has none; "
                    "use space='embedding'"
                )
        logits, (weights, _) = head.log_probabilities, head.linear
        if head.name == FUSED and source.shares_last_layer:  # what it sees has no blocks that could stay where they are
            return boundary_distances(logits, weights)
        return boundary_distances(logits, weights, [block.shape[1] for block in head.blocks], head.present)


def boundary_distances(
    logits: np.ndarray, weights: np.ndarray, widths: Sequence[int] | None = None, present: np.ndarray | None = None
) -> np.ndarray:
    """Distance of each row to the nearest boundary of its most probable class; the largest float where none is.

    Parameters
    ----------
    logits : ndarray of shape (N, K)
    weights : ndarray of shape (K, D)
        Of the linear map that gave the logits.
    widths : sequence of M int, optional
        Columns of each modality; by default there is one.
    present : ndarray of bool, shape (N, M), optional
        Modalities that a row may be moved in; by default all.

    Returns
    -------
    ndarray of float64, shape (N,)
    """
    rows = np.arange(len(logits))
    predicted = logits.argmax(axis=1)
    gaps = logits[rows, predicted][:, None] - logits
    sq_norms = np.zeros_like(gaps)
    blocks = np.split(weights, np.cumsum(widths)[:-1], axis=1) if widths is not None else [weights]
    for m, block in enumerate(blocks):
        apart = cdist(block, block, "sqeuclidean")[predicted]
        sq_norms += apart if present is None else apart * present[:, m : m + 1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        distances = np.where(sq_norms > 0, gaps / np.sqrt(sq_norms), np.where(gaps > 0, np.inf, 0.0))
    distances[rows, predicted] = np.inf
    return np.minimum(distances.min(axis=1), _LARGEST)
