"""Bisection between classes on lines of confidence: GALAXY."""

from __future__ import annotations

from bisect import bisect_left
from heapq import heappop, heappush
from itertools import pairwise

import numpy as np

from skmmal._random import RandomState
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Reading

__all__ = ["GALAXY"]


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

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        probabilities = pool.head.probabilities
        lines = _Lines(np.concatenate([probabilities, labelled.head.probabilities]), rng)
        for row, code in enumerate(labelled.head.codes):
            lines.place(len(pool) + row, int(code))
        lines.begin()
        predicted = probabilities.argmax(axis=1)
        left = np.ones(len(pool), dtype=bool)
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
