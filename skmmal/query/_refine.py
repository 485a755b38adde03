"""A pool narrowed down by several strategies, then covered: Refine."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

from skmmal._random import RandomState, draw_seed
from skmmal._sklearn import Interval
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._heads import select
from skmmal.query._strategies import get_strategy
from skmmal.query._uherding import UHerding
from skmmal.reading import FUSED, Reading

__all__ = ["Refine"]


class Refine(QueryStrategy):
    """Let several strategies narrow the pool down, round after round; UHerding picks the batch from what is left.

    In a round the strategies pick many batches, each from a random subset of the pool. The rows that are in any of
    them are the pool of the next round.

    Parameters
    ----------
    strategies : sequence of QueryStrategy or str, default=("badge", "margin", "typiclust", "uherding")
        Who picks, objects or names. Their parameter `on`, if they have one, is heeded. The set is ours.
    subsets : bool, default=True
        Whether every batch is picked from a random subset of its own, as the authors do. If not, it is picked from all
        the rows that are left; then a strategy without a `random_state` picks one batch a round.
    n_rounds : int, default=5
        Rounds of narrowing down (the authors' value).
    n_batches : int, default=100
        Batches of a round, shared evenly among the strategies, at least one each (the authors' value).
    subset_size : int, default=5000
        Rows in a subset of the first round (the authors' value); never fewer than are wanted.
    subset_share : float, default=0.4
        Share of the rows left that are in a subset of a later round (the authors' value); never fewer rows than are
        wanted.
    random_state : int, RandomState, Generator or None
        Draws the subsets, and what the strategies leave to chance (in place of their own).

    Notes
    -----
    It needs a fitted model, whatever the strategies. `UHerding`, with its default parameters, covers the rows that are
    left after the last round; the scores are its. Cost: ``n_rounds · n_batches`` queries on subsets, however large the
    pool; without `subsets` the first round's are queries on the whole pool.

    It is many strategies' time for one batch: minutes where `UHerding` takes a second. Its authors report gains; a
    smaller form of it was behind `UHerding` alone in six of six comparisons on three data sets of ours. Compare the two
    on your own data before you pay for it.

    Rows that lack a modality: as for the strategies, then as for `UHerding`.

    References
    ----------
    .. [1] "Refine", CVPR 2026, and its authors' code: progressive filtering by an ensemble of strategies, then
       selection by coverage.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import BADGE, Refine
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> refine = Refine(["margin", BADGE()], n_batches=10, random_state=0)
    >>> len(refine.query(clf, X[1::10], 5, X_labeled=X[::40], y_labeled=y[::40]))
    5
    """

    _parameter_constraints: dict = {
        "strategies": ["array-like"],
        "subsets": ["boolean"],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "n_batches": [Interval(Integral, 1, None, closed="left")],
        "subset_size": [Interval(Integral, 1, None, closed="left")],
        "subset_share": [Interval(Real, 0, 1, closed="right")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        strategies: Sequence[QueryStrategy | str] = ("badge", "margin", "typiclust", "uherding"),
        *,
        subsets: bool = True,
        n_rounds: int = 5,
        n_batches: int = 100,
        subset_size: int = 5000,
        subset_share: float = 0.4,
        random_state: RandomState = None,
    ) -> None:
        self.strategies = strategies
        self.subsets = subsets
        self.n_rounds = n_rounds
        self.n_batches = n_batches
        self.subset_size = subset_size
        self.subset_share = subset_share
        self.random_state = random_state

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        strategies = self._resolved()
        left = np.arange(len(pool))
        for round_ in range(self.n_rounds):
            size = self.subset_size if round_ == 0 else int(self.subset_share * len(left))
            size = min(max(n_instances, size), len(left)) if self.subsets else len(left)
            picked = [
                self._batch(strategy, pool, left, size, n_instances, rng)
                for strategy in strategies
                for _ in range(self._n_batches_of(strategy, len(strategies)))
            ]
            left = np.unique(np.concatenate(picked))
        chosen, scores = UHerding()._select(pool.take(left), labelled, n_instances, rng)
        return left[chosen], scores

    def _batch(
        self,
        strategy: QueryStrategy,
        pool: Reading,
        left: np.ndarray,
        size: int,
        n_instances: int,
        rng: np.random.RandomState,
    ) -> np.ndarray:
        """Rows that a strategy picks among some of those that are left."""
        subset = left if size == len(left) else np.sort(rng.choice(left, size, replace=False))
        own_rng = np.random.RandomState(draw_seed(rng))
        on = getattr(strategy, "on", FUSED)
        return subset[select(strategy, pool.take(subset), on, n_instances, own_rng)[0]]

    def _n_batches_of(self, strategy: QueryStrategy, n_strategies: int) -> int:
        if not self.subsets and not hasattr(strategy, "random_state"):
            return 1  # it would pick the same again
        return max(1, self.n_batches // n_strategies)

    def _resolved(self) -> list[QueryStrategy]:
        if isinstance(self.strategies, str) or len(self.strategies) == 0:
            raise ValueError(f"strategies must be a list of strategies or their names, got {self.strategies!r}")
        resolved = [get_strategy(given) if isinstance(given, str) else given for given in self.strategies]
        for strategy in resolved:
            if not isinstance(strategy, QueryStrategy):
                raise TypeError(f"strategies must hold strategies or their names, found {strategy!r}")
            strategy._validate_params()
        return resolved
