"""The papers' pool splitting: a strategy on random parts of the pool."""

from __future__ import annotations

from itertools import zip_longest
from numbers import Integral

import numpy as np
from joblib import Parallel, delayed

from skmmal._random import RandomState, draw_seed
from skmmal._sklearn import Interval
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import FUSED, Reading

__all__ = ["Partitioned"]


class Partitioned(QueryStrategy):
    """Choose by another strategy from each of some random parts of the pool on its own.

    The BMMAL paper and others split large pools so that selection in each part is affordable. Here the strategies
    select from the whole pool, exactly; this is for comparison with the papers.

    Parameters
    ----------
    strategy : QueryStrategy
        What chooses in a part, given all labelled rows. Its parameter `on`, if it has one, is heeded.
    n_parts : int
        At most as many as the pool has rows.
    n_jobs : int, default=None
        joblib threads over the parts.
    random_state : int, RandomState, Generator or None
        Draws the parts, and in each of them what the strategy leaves to chance (in place of the strategy's own).

    Notes
    -----
    Every part gives picks in proportion to its size. They are interleaved: first every part's first, then every part's
    second, and so on. The result does not depend on `n_jobs`.

    This is not the choice from the whole pool: rows of different parts may be alike, so that batches are less
    diverse. Nor does it save memory: every part copies its rows, and parts that are chosen from at a time hold what the
    strategy needs at the same time.

    Rows that lack a modality: as for the strategy.

    References
    ----------
    .. [1] Shen et al., "Towards balanced active learning for multimodal classification", ACM MM 2023
       (arXiv 2306.08306), and its official code.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import BADGE, Partitioned
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::20], y[::20])
    >>> len(Partitioned(BADGE(), 4, random_state=0).query(clf, X[1::2], 10))
    10
    """

    _parameter_constraints: dict = {
        "strategy": [QueryStrategy],
        "n_parts": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        strategy: QueryStrategy,
        n_parts: int,
        n_jobs: int | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.strategy = strategy
        self.n_parts = n_parts
        self.n_jobs = n_jobs
        self.random_state = random_state

    @property
    def requires_model(self) -> bool:  # type: ignore[override]
        """Whether the strategy needs a fitted estimator."""
        return self.strategy.requires_model

    @property
    def compares_modalities(self) -> bool:  # type: ignore[override]
        """Whether the strategy weighs modalities against each other."""
        return self.strategy.compares_modalities

    @property
    def supports_multi_label(self) -> bool:  # type: ignore[override]
        """Whether the strategy serves several labels in a row."""
        return self.strategy.supports_multi_label

    @property
    def on(self) -> str:
        """The strategy's own `on`."""
        return getattr(self.strategy, "on", FUSED)

    @property
    def _heads_take_turns(self) -> bool:  # type: ignore[override]
        return self.strategy._heads_take_turns

    @property
    def _looks_beyond_candidates(self) -> bool:  # type: ignore[override]
        return self.strategy._looks_beyond_candidates

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        self.strategy._validate_params()
        parts = np.array_split(rng.permutation(len(pool)), min(self.n_parts, len(pool)))
        seeds = [draw_seed(rng) for _ in parts]
        # part i gives the picks that fall to its candidates when n_instances are spread evenly over all of them
        eligible = np.ones(len(pool), dtype=bool) if pool.candidates is None else pool.candidates
        ends = np.cumsum([eligible[part].sum() for part in parts]) * n_instances // eligible.sum()
        jobs = [job for job in zip(parts, np.diff(ends, prepend=0), seeds, strict=True) if job[1] > 0]

        def picks(part: np.ndarray, count: int, seed: int) -> list[tuple[int, float]]:
            chosen, scores = self.strategy._select(pool.take(part), labelled, int(count), np.random.RandomState(seed))
            return list(zip(part[chosen].tolist(), scores.tolist(), strict=True))

        # the first by itself: what the model is asked about all rows is then known to the others
        found = [
            picks(*jobs[0]),
            *Parallel(n_jobs=self.n_jobs, prefer="threads")(delayed(picks)(*job) for job in jobs[1:]),
        ]
        interleaved = [pick for turn in zip_longest(*found) for pick in turn if pick is not None]
        indices, scores = zip(*interleaved, strict=True)
        return np.asarray(indices, dtype=np.intp), np.asarray(scores)
