"""Rows near decision boundaries: DeepFool, GALAXY and FALCUN."""

from __future__ import annotations

from bisect import bisect_left
from heapq import heappop, heappush
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.utils._param_validation import Interval, StrOptions

from skmmal._random import RandomState
from skmmal.query._deepfool import boundary_distances, feature_distances
from skmmal.query.base import QueryStrategy, Selection, highest
from skmmal.query.uncertainty import MarginSampling
from skmmal.query.view import PoolView

__all__ = ["FALCUN", "GALAXY", "DeepFool"]


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

    def __init__(
        self, space: str = "auto", max_iter: int = 50, overshoot: float = 0.02, *, on: str = "fused"
    ) -> None:
        self.space = space
        self.max_iter = max_iter
        self.overshoot = overshoot
        self.on = on

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        return highest(-view.mean_score(self._distances), n_instances)

    def _distances(self, view: PoolView) -> np.ndarray:
        if self.space != "embedding" and not view.is_linear_in_features:
            if hasattr(view.final, "module_"):
                return feature_distances(view, self.max_iter, self.overshoot)
            if self.space == "input":
                raise TypeError(
                    f"space='input' differentiates a LateFusionClassifier's network, and {type(view.final).__name__} "
                    "has none; use space='embedding'"
                )
        weights, _ = view.linear_head
        if view.shares_last_layer:  # what it sees has no blocks that could stay where they are
            return boundary_distances(view.logits, weights)
        return boundary_distances(view.logits, weights, [block.shape[1] for block in view.embedding], view.present)


class FALCUN(QueryStrategy):
    """Draw uncertain rows whose class probabilities differ from those of the rows picked before.

    A row's uncertainty is ``u = 1 − (p₁ − p₂)``. Its diversity r begins as u and, after each pick s, becomes
    ``min(r, ‖p − p_s‖₁)``. Rows are drawn with probability proportional to ``(r' + u)^γ``, r' being r scaled to
    [0, 1] over the rows that are left.

    Parameters
    ----------
    gamma : float, default=10.0
        The paper's value; 0 is random, large values always take the highest.
    random_state : int, RandomState, Generator or None
    on : str, default="fused"
        The head whose probabilities count: ``"fused"``, the name of a modality, or ``"all"`` (see `QueryStrategy`):
        the mean of the heads' uncertainties, and ``‖p − p_s‖₁`` summed over the heads and divided by their number, with
        zeros for the probabilities of a head whose modality the row lacks.

    Notes
    -----
    Any classifier with `predict_proba`; features are not looked at. The score is ``r' + u``. Cost: O(N K) a pick.

    Rows that lack a modality: the fused head tends to be less sure of them, so they come more often than their share.

    References
    ----------
    .. [1] Gilhuber et al., "FALCUN: a simple and efficient deep active learning strategy", ECML PKDD 2024, section 3.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import FALCUN
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(FALCUN(random_state=0).query(clf, X[1::10], 5))
    5
    """

    _parameter_constraints: dict = {
        "gamma": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(self, gamma: float = 10.0, random_state: RandomState = None, *, on: str = "fused") -> None:
        self.gamma = gamma
        self.random_state = random_state
        self.on = on

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        by_head = view.by_head(lambda head: head.probabilities)
        probabilities = np.hstack(by_head) / len(by_head)
        uncertainty = view.mean_score(self._uncertainty)
        diversity = uncertainty.copy()
        left = np.ones(len(view), dtype=bool)
        indices = np.empty(n_instances, dtype=np.intp)
        scores = np.empty(n_instances)
        for turn in range(n_instances):
            relevance = _scaled(diversity, left) + uncertainty
            indices[turn] = _draw(relevance, left, self.gamma, rng)
            scores[turn] = relevance[indices[turn]]
            left[indices[turn]] = False
            apart = cdist(probabilities, probabilities[indices[turn : turn + 1]], "cityblock")[:, 0]
            np.minimum(diversity, apart, out=diversity)
        return indices, scores

    @staticmethod
    def _uncertainty(view: PoolView) -> np.ndarray:
        return np.clip(1.0 + MarginSampling._uncertainty(view.probabilities), 0.0, 1.0)


def _scaled(values: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Values scaled so that those left span [0, 1]; zeros where they are all the same."""
    low, high = values[left].min(), values[left].max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _draw(relevance: np.ndarray, left: np.ndarray, gamma: float, rng: np.random.RandomState) -> int:
    """Draw one of the rows left, in proportion to ``relevance^gamma``; uniformly where that is zero everywhere."""
    rows = np.flatnonzero(left)
    highest_one = relevance[rows].max()
    if highest_one <= 0:
        return int(rows[rng.randint(len(rows))])
    sums = np.cumsum((np.maximum(relevance[rows], 0.0) / highest_one) ** gamma)
    at = int(np.searchsorted(sums, rng.uniform() * sums[-1], side="right"))
    return int(rows[min(at, len(rows) - 1)])


class GALAXY(QueryStrategy):
    """Bisect between differently labelled rows on a line of confidence for each class.

    For every class c all rows, labelled ones too, are lined up by ``p_c − max_{k≠c} p_k``. Of all the stretches that
    join a labelled row of class c and a labelled row of another one, with no labelled row between, the shortest on
    any line is cut in half: its middle row is picked. This finds the classes' boundaries where classes are rare, too.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Breaks ties between stretches, and draws rows once no stretch is left.
    on : str, default="fused"
        The head whose probabilities count: ``"fused"``, the name of a modality, or ``"all"``, where the heads take
        turns, each with lines of its own (see `QueryStrategy`).

    Notes
    -----
    The paper asks for a row's label before it picks the next. Within a batch there are no labels, so a picked row
    takes part with its predicted class until the batch is labelled: our adaptation. Without `y_labeled`, labelled
    rows take part with their predicted class; without labelled rows the batch is random. The score is minus the length
    of the stretch. Cost: sorting N rows for each of K classes, memory 2 N K integers of 4 bytes; a pick costs K
    searches in sorted lists.

    Rows that lack a modality stand on the lines where their probabilities put them, like any other.

    References
    ----------
    .. [1] Zhang, Katz-Samuels and Nowak, "GALAXY: graph-based active learning at the extreme", ICML 2022, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.query import GALAXY
    >>> clf = LogisticRegression().fit([[0.0], [4.0]], [0, 1])
    >>> pool = np.array([[0.5], [1.0], [2.1], [3.0], [3.5]])
    >>> GALAXY(random_state=0).query(clf, pool, 1, X_labeled=[[0.0], [4.0]], y_labeled=[0, 1])
    array([2])
    """

    _heads_take_turns = True
    _parameter_constraints: dict = {"random_state": ["random_state", np.random.Generator]}

    def __init__(self, random_state: RandomState = None, *, on: str = "fused") -> None:
        self.random_state = random_state
        self.on = on

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        n_pool = len(view)
        lines = _Lines(np.concatenate([view.probabilities, view.labeled_probabilities]), rng)
        for row, code in enumerate(view.labeled_codes):
            lines.place(n_pool + row, int(code))
        lines.begin()
        predicted = view.probabilities.argmax(axis=1)
        left = np.ones(n_pool, dtype=bool)
        picked: list[int] = []
        scores: list[float] = []
        while len(picked) < n_instances:
            found = lines.shortest()
            if found is None:
                break
            length, row = found
            left[row] = False
            picked.append(row)
            scores.append(-float(length))
            lines.add(row, int(predicted[row]))
        rest = rng.permutation(np.flatnonzero(left))[: n_instances - len(picked)]
        indices = np.concatenate([np.asarray(picked, dtype=np.intp), rest.astype(np.intp)])
        return indices, np.concatenate([scores, np.full(len(rest), -float(lines.n_rows))])


class _Lines:
    """One line of rows per class, and the stretches between neighbouring labelled rows of different kinds."""

    def __init__(self, probabilities: np.ndarray, rng: np.random.RandomState) -> None:
        self.n_rows, n_classes = probabilities.shape
        self._rng = rng
        self._order = np.empty((n_classes, self.n_rows), dtype=np.int32)
        self._position = np.empty((n_classes, self.n_rows), dtype=np.int32)
        best = probabilities.argmax(axis=1)
        first = probabilities[np.arange(self.n_rows), best]
        others = probabilities.copy()
        others[np.arange(self.n_rows), best] = -np.inf
        second = others.max(axis=1)
        for c in range(n_classes):
            order = np.argsort(probabilities[:, c] - np.where(best == c, second, first), kind="stable")
            self._order[c] = order
            self._position[c, order] = np.arange(self.n_rows)
        self._labelled: list[list[int]] = [[] for _ in range(n_classes)]
        self._code: dict[int, int] = {}
        self._stretches: list[tuple[int, float, int, int, int]] = []

    def place(self, row: int, code: int) -> None:
        """Note a labelled row before `begin`."""
        self._code[row] = code
        for c, positions in enumerate(self._labelled):
            positions.append(int(self._position[c, row]))

    def begin(self) -> None:
        """Find the stretches between the rows placed."""
        for c, positions in enumerate(self._labelled):
            positions.sort()
            for left, right in pairwise(positions):
                self._note(c, left, right)

    def _note(self, c: int, left: int, right: int) -> None:
        kinds = [self._code[int(self._order[c, at])] == c for at in (left, right)]
        # neighbours of different kinds are cut apart: nothing lies between them
        if kinds[0] != kinds[1] and right - left > 1:
            heappush(self._stretches, (right - left, float(self._rng.uniform()), c, left, right))

    def shortest(self) -> tuple[int, int] | None:
        """Length and middle row of the shortest stretch."""
        while self._stretches:
            length, _, c, left, right = heappop(self._stretches)
            positions = self._labelled[c]
            if positions[bisect_left(positions, left) + 1] == right:  # no row was labelled in between
                return length, int(self._order[c, (left + right) // 2])
        return None

    def add(self, row: int, code: int) -> None:
        """Label a row: on every line it may divide a stretch."""
        self._code[row] = code
        for c, positions in enumerate(self._labelled):
            at = int(self._position[c, row])
            place = bisect_left(positions, at)
            positions.insert(place, at)
            if place > 0:
                self._note(c, positions[place - 1], at)
            if place + 1 < len(positions):
                self._note(c, at, positions[place + 1])
