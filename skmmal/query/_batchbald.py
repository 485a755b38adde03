"""Batches that are informative together: BatchBALD."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import zip_longest
from numbers import Integral

import numpy as np
from scipy.special import entr, softmax

from skmmal._chunks import CHUNK_ELEMENTS, row_chunks
from skmmal._random import RandomState, check_rng, draw_seed
from skmmal._sklearn import Interval
from skmmal.query._base import Selection
from skmmal.query._information import InformationSampling, mutual_information
from skmmal.reading import Reading
from skmmal.selection._validation import check_n_samples

__all__ = ["BatchBALD", "joint_information_batch"]

_CONFIGURATIONS_AT_ONCE = 1024
_FEWEST_ROWS = 64
"""Rows whose gains are looked at first, those of largest bounds."""


class BatchBALD(InformationSampling):
    """Pick rows whose labels together say most about the model's parameters.

    BALD scores rows one by one, so that a batch may hold the same information many times over. Here the row is picked
    that raises the mutual information of all picked labels and the parameters most:
    ``I(y; ω | picked) = H(y | picked) − mean H(y | ω)``.

    Parameters
    ----------
    joint_size : int, default=10
        Rows that are looked at together (the paper's largest batches). For a larger batch the candidates are dealt at
        random into as many parts as it takes, and a batch of at most that size is picked in each (ours).
    max_configurations : int, default=1000
        The joint distribution of the picked labels is exact while they have at most that many configurations (classes
        to the power of rows picked); after that, as many configurations are drawn from it.
    max_candidates : int or None, default=1000
        Only the rows of highest BALD score are looked at, that many and at least five times `n_instances` (ours).
        BALD is an upper bound of a row's gain, so those left out have low bounds. ``None``: all rows.
    source : {"auto", "committee", "dropout", "laplace"}, default="auto"
        As in `BALD`.
    n_draws : int, default=50
        As in `BALD`; every draw is one network for all rows (dropout: one mask for all rows).
    random_state : int, RandomState, Generator or None
        Draws networks, parts and configurations.
    on : str, default="fused"
        The head whose draws count: ``"fused"``, the name of a modality, or ``"all"``, where the heads take turns, each
        with a batch of its own (see `QueryStrategy`).

    Notes
    -----
    Labels are independent given the parameters, so the joint probability of a configuration is the mean, over the
    draws, of products. Drawn configurations come from that distribution itself, the same number from each draw, and
    the entropy of the next label given a configuration is exact: the estimate has no bias. ``n_draws`` draws hold at
    most ``log n_draws`` nats, which a few rows use up; what a larger joint would rank by is noise. Therefore the
    parts, as in the pool splitting of other strategies: rows of different parts may be alike. The parts' picks are
    interleaved. The score is the gain within the part, in nats.

    Without `X_labeled` a Laplace posterior is the prior alone. Cost: twice the draws as for BALD (a Laplace draw costs
    N × D × K here), then ``joint_size`` products n_draws × C × K × `max_configurations` for C candidates, with as
    many logarithms less the factor n_draws, whatever the size of the batch; that at most, since rows whose gain a bound
    rules out are left out. Memory O(N K), n_draws × C × K, and a block.

    Rows that lack a modality: as for BALD.

    References
    ----------
    .. [1] Kirsch, van Amersfoort and Gal, "BatchBALD: efficient and diverse batch acquisition for deep Bayesian active
       learning", NeurIPS 2019, section 3 and its appendix on the sampled joint.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import BatchBALD
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(BatchBALD(max_configurations=100, random_state=0).query(clf, X[1::10], 5, X_labeled=X[::40]))
    5
    """

    _heads_take_turns = True
    _parameter_constraints: dict = {
        **InformationSampling._parameter_constraints,
        "joint_size": [Interval(Integral, 1, None, closed="left")],
        "max_configurations": [Interval(Integral, 1, None, closed="left")],
        "max_candidates": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        joint_size: int = 10,
        max_configurations: int = 1000,
        max_candidates: int | None = 1000,
        source: str = "auto",
        n_draws: int = 50,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        super().__init__(source, n_draws, random_state, on=on)
        self.joint_size = joint_size
        self.max_configurations = max_configurations
        self.max_candidates = max_candidates

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        seed = draw_seed(rng)

        def networks() -> Iterator[np.ndarray]:  # the same draws each time, never all of them in memory
            return pool.head.draws(self.n_draws, np.random.RandomState(seed), source=self.source, joint=True)

        candidates = np.arange(len(pool))
        if self.max_candidates is not None and len(pool) > max(self.max_candidates, 5 * n_instances):
            most = max(self.max_candidates, 5 * n_instances)
            candidates = np.sort(pool.highest(mutual_information(networks()), most)[0])
        draws = np.stack([probabilities[candidates] for probabilities in networks()])
        found = []
        for part, count in _deal(len(candidates), n_instances, self.joint_size, rng):
            rows, gains = joint_information_batch(
                draws[:, part], count, max_configurations=self.max_configurations, random_state=rng
            )
            found.append(list(zip(candidates[part[rows]].tolist(), gains.tolist(), strict=True)))
        interleaved = [pick for turn in zip_longest(*found) for pick in turn if pick is not None]
        indices, scores = zip(*interleaved, strict=True)
        return np.asarray(indices, dtype=np.intp), np.asarray(scores)


def _deal(
    n_candidates: int, n_instances: int, joint_size: int, rng: np.random.RandomState
) -> list[tuple[np.ndarray, int]]:
    """Parts of the candidates, and how many rows each of them gives: at most `joint_size`."""
    n_parts = -(-n_instances // joint_size)
    if n_parts == 1:
        return [(np.arange(n_candidates), n_instances)]
    # both are split as evenly as can be, the larger ones first: no part gives more rows than it has
    parts = np.array_split(rng.permutation(n_candidates), n_parts)
    counts = [len(some) for some in np.array_split(np.arange(n_instances), n_parts)]
    return [(np.sort(part), count) for part, count in zip(parts, counts, strict=True)]


def joint_information_batch(
    draws: object, n_samples: int, *, max_configurations: int = 1000, random_state: RandomState = None
) -> Selection:
    """Pick, one after the other, the row that adds most to ``I(y_1, ..., y_b; ω)``.

    Parameters
    ----------
    draws : array-like of shape (S, N, K)
        Class probabilities of N rows under S draws of the parameters.
    n_samples : int
        How many rows to pick.
    max_configurations : int, default=1000
        Exact while the picked labels have at most that many configurations; then that many are drawn (rounded down to
        a multiple of S, at least S).
    random_state : int, RandomState, Generator or None
        Draws the configurations.

    Returns
    -------
    indices : ndarray of int, shape (n_samples,)
        Distinct, in the order picked; on ties the lowest index.
    gains : ndarray of float64, shape (n_samples,)
        In nats, not negative. Their sum is the batch's information.

    Raises
    ------
    ValueError
        `draws` has another shape, is negative or NaN somewhere, or `n_samples` is not within 1..N.

    Examples
    --------
    >>> import numpy as np
    >>> sure = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])  # by draw
    >>> other = sure[[0, 2, 1, 3]]  # rows 0 and 1 know the same, row 2 knows something else
    >>> joint_information_batch(np.stack([sure, sure, other], axis=1), 2)[0].tolist()
    [0, 2]
    """
    draws = np.asarray(draws, dtype=np.float64)
    if draws.ndim != 3:
        raise ValueError(f"draws must have shape (draws, rows, classes), found {draws.shape}")
    for draw, row, column in np.argwhere(~(draws >= 0))[:1]:  # NaN, too
        found = draws[draw, row, column]
        raise ValueError(f"draws must be probabilities, found {found} in draw {draw} for class {column} of row {row}")
    n_samples = check_n_samples(n_samples, draws.shape[1])
    rng = check_rng(random_state)
    search = _Search(draws)
    joint = _JointLabels(len(draws), max_configurations)
    indices, gains = np.empty(n_samples, dtype=np.intp), np.empty(n_samples)
    for turn in range(n_samples):
        indices[turn], gain = search.best(joint)
        gains[turn] = max(gain, 0.0)
        search.is_left[indices[turn]] = False
        joint.add(draws[:, indices[turn]], rng)
    return indices, gains


class _Search:
    """The row of largest gain among those left, found with as few logarithms as it takes.

    Configurations that leave nearly the same of the draws, taken as one, bound a row's gain from above: entropy is
    concave. Rows are looked at in the order of that bound, in single precision, until none can be better; those that
    rounding does not tell from the best are looked at once more, in double precision.
    """

    def __init__(self, draws: np.ndarray) -> None:
        n_draws, n_rows, n_classes = draws.shape
        self.is_left = np.ones(n_rows, dtype=bool)
        self._draws, self._single = draws, draws.astype(np.float32)
        self._expected = entr(draws).sum(axis=2).mean(axis=0)
        # of sums over draws and classes, and over configurations, whose errors cancel for the most part
        n_errors = n_draws + n_classes + _CONFIGURATIONS_AT_ONCE**0.5
        self._rounding = 2 * n_errors * float(np.finfo(np.float32).eps) * (1 + float(np.log(n_classes)))

    def best(self, joint: _JointLabels) -> tuple[int, float]:
        """Return the row, of equal ones the first, and its gain."""
        rows = np.flatnonzero(self.is_left)
        bounds = self._gains(joint.summary(), self._single, rows)
        order = np.argsort(-bounds, kind="stable")
        gains, highest = np.full(len(rows), -np.inf), -np.inf
        start, size = 0, _FEWEST_ROWS
        while start < len(rows) and bounds[order[start]] >= highest - 2 * self._rounding:
            some = order[start : start + size]
            gains[some] = self._gains(joint, self._single, rows[some])
            highest = max(highest, float(gains[some].max()))
            start, size = start + size, 2 * size
        rows = rows[gains >= highest - 2 * self._rounding]
        exact = self._gains(joint, self._draws, rows)
        first = int(np.argmax(exact))
        return int(rows[first]), float(exact[first])

    def _gains(self, joint: _JointLabels, draws: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return joint.conditional_entropies(draws[:, rows]) - self._expected[rows]


class _JointLabels:
    """The joint distribution of the labels picked so far, as weighted configurations of them.

    `weights` (m,) are the configurations' probabilities, `posterior` (m, S) what each leaves of the draws.
    """

    def __init__(self, n_draws: int, max_configurations: int) -> None:
        self.max_configurations = max_configurations
        self.weights = np.ones(1)
        self.posterior = np.full((1, n_draws), 1.0 / n_draws)
        self._likelihood: np.ndarray | None = np.ones((1, n_draws))  # exact, by configuration and draw
        self._log_likelihood = np.zeros((max(max_configurations // n_draws, 1) * n_draws, n_draws))  # once drawn
        self._picked: list[np.ndarray] = []

    def add(self, probabilities: np.ndarray, rng: np.random.RandomState) -> None:
        """Take in another row's class probabilities, of shape (S, K)."""
        self._picked.append(probabilities)
        if self._likelihood is not None and len(self._likelihood) * probabilities.shape[1] <= self.max_configurations:
            extended = self._likelihood[:, None, :] * probabilities.T
            self._likelihood = extended.reshape(-1, len(probabilities))
            self.weights = self._likelihood.mean(axis=1)
            possible = self.weights > 0
            self._likelihood, self.weights = self._likelihood[possible], self.weights[possible]
            self.posterior = self._likelihood / self._likelihood.sum(axis=1, keepdims=True)
            return
        for row in [probabilities] if self._likelihood is None else self._picked:
            self._draw_labels(row, rng)
        self._likelihood = None
        self.weights = np.full(len(self._log_likelihood), 1.0 / len(self._log_likelihood))
        self.posterior = softmax(self._log_likelihood, axis=1)

    def _draw_labels(self, probabilities: np.ndarray, rng: np.random.RandomState) -> None:
        """Draw a label for each configuration from the draw that it belongs to."""
        own = np.arange(len(self._log_likelihood)) % len(probabilities)
        cumulative = probabilities.cumsum(axis=1)[own]
        thresholds = rng.random_sample(len(own)) * cumulative[:, -1]
        labels = (cumulative <= thresholds[:, None]).sum(axis=1)
        self._log_likelihood += np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)).T[labels]

    def summary(self) -> _JointLabels:
        """Return a distribution with a configuration for each draw: all that point to that draw most, as one."""
        n_draws = self.posterior.shape[1]
        groups = np.equal.outer(np.arange(n_draws), self.posterior.argmax(axis=1)) * self.weights
        weights = groups.sum(axis=1)
        summary = copy.copy(self)
        summary.weights = weights[weights > 0]
        summary.posterior = (groups @ self.posterior)[weights > 0] / summary.weights[:, None]
        return summary

    def conditional_entropies(self, draws: np.ndarray) -> np.ndarray:
        """Entropy (N,) of each row's label given the labels picked so far; `draws` has shape (S, N, K).

        Made in the precision of `draws`.
        """
        n_draws, n_rows, n_classes = draws.shape
        found = np.zeros(n_rows)
        weights, posterior = (values.astype(draws.dtype, copy=False) for values in (self.weights, self.posterior))
        tiny = np.finfo(draws.dtype).tiny
        # a chunk has 64 rows at least: where these are wide, fewer configurations at a time
        step = min(len(self.weights), _CONFIGURATIONS_AT_ONCE, max(1, CHUNK_ELEMENTS // (64 * n_classes)))
        for part in row_chunks(n_rows, step * n_classes):
            rows = draws[:, part].reshape(n_draws, -1)
            for start in range(0, len(self.weights), step):
                some = slice(start, start + step)
                predicted = posterior[some] @ rows
                logarithms = np.maximum(predicted, tiny)
                predicted *= np.log(logarithms, out=logarithms)
                # the classes are summed after the configurations, which a product with the weights sums fast
                found[part] -= (weights[some] @ predicted).reshape(-1, n_classes).sum(axis=1)
        return found
