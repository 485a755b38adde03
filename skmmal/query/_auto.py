"""For those who do not want to choose between the two: half a batch by MVOPT, half by UHerding."""

from __future__ import annotations

import numpy as np

from skmmal._random import RandomState
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._mvopt import MVOPT
from skmmal.query._uherding import UHerding, uncertain_coverage, uncertain_coverage_on_shards, worth_of_covering
from skmmal.reading import Reading
from skmmal.reading._sharded import ShardedReading
from skmmal.selection._units import UnitBenefits, Units

__all__ = ["Auto"]


class Auto(QueryStrategy):
    """Half of the batch by MVOPT, the rest by UHerding, from the first batch to the last.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Draws what the two leave to chance, which is nothing for pools of up to 5,000 rows, pool and labelled together,
        in one place.

    See Also
    --------
    MVOPT : Chooses the first half, and the odd row.
    UHerding : Chooses the second half; the first half then covers as labelled rows do.
    BMMAL : Where a balance of the modalities is wanted, not accuracy alone.

    Notes
    -----
    Both like rows that are uncertain and stand for many others, and they err in different places. `MVOPT` sees every
    modality for itself and what each head says; it lost to `UHerding` on sets of few columns or many classes.
    `UHerding` sees the fused features and the fused head; it lost to `MVOPT` on the others. Neither was ahead
    everywhere, and before labels are there nobody can tell which it will be. The combination is ours. The scores are
    those of whoever chose: falls of variance, then gains in coverage. Needs no model to begin with. With one row at a
    time it is `MVOPT`, and with groups or costs, of which a batch has no half, it is `UHerding`. Cost: that of both,
    each for half of the rows.

    Rows that lack a modality: as for whoever chooses.

    References
    ----------
    .. [1] Bae, Noh and Sutherland, "Generalized coverage for more robust low-budget active learning", ECCV 2024:
       UHerding.
    .. [2] Yu, Bi and Tresp, "Active learning via transductive experimental design", ICML 2006: what MVOPT comes from.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import MVOPT, Auto
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> first = Auto().query(None, X[1::2], 10)
    >>> clf = LateFusionClassifier().fit(X[1::2][first], y[1::2][first])
    >>> known = {"X_labeled": X[1::2][first], "y_labeled": y[1::2][first]}
    >>> batch = Auto().query(clf, X[::2], 10, **known)
    >>> (batch[:5] == MVOPT().query(clf, X[::2], 5, **known)).all()
    np.True_
    """

    requires_model = False
    supports_multi_label = True
    supports_groups = True
    _looks_beyond_candidates = True
    _parameter_constraints: dict = {"random_state": ["random_state", np.random.Generator]}

    def __init__(self, random_state: RandomState = None) -> None:
        self.random_state = random_state

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        n_first = (n_instances + 1) // 2
        if pool.is_fitted:
            pool.source.read_heads()
        # of rows in files MVOPT lets the probabilities go
        worth = worth_of_covering(pool) if n_first < n_instances else None
        rows, falls = MVOPT()._select(pool, labelled, n_first, rng)
        if n_first == n_instances:
            return rows, falls
        more, gains = uncertain_coverage(pool, labelled, n_instances - n_first, rng, taken=rows, worth=worth)
        return np.append(rows, more), np.append(falls, gains)

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        n_first = (n_instances + 1) // 2
        rows, falls = MVOPT()._select_shards(shards, n_first, rng)
        if n_first == n_instances:
            return rows, falls
        more, gains = uncertain_coverage_on_shards(shards, n_instances - n_first, rng, taken=rows)
        return np.append(rows, more), np.append(falls, gains)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        return UHerding()._benefits(pool, labelled, units, rng)
