"""The strategy for those who do not want to choose one: MVOPT, and UHerding beside it where heads are flat."""

from __future__ import annotations

import numpy as np

from skmmal._random import RandomState
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._mvopt import MVOPT
from skmmal.query._sharpening import exponents
from skmmal.query._uherding import UHerding, uncertain_coverage, uncertain_coverage_on_shards, worth_of_covering
from skmmal.reading import Reading
from skmmal.reading._sharded import ShardedReading, View
from skmmal.selection._units import UnitBenefits, Units

__all__ = ["Auto"]


class Auto(QueryStrategy):
    """MVOPT; where the classifier's heads are flat, half of the batch by UHerding. The default of campaigns.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Draws what the two leave to chance, which is nothing for pools of up to 5,000 rows, pool and labelled together,
        in one place.

    See Also
    --------
    MVOPT : Chooses the batch, or its first half and the odd row.
    UHerding : Chooses the second half where heads are flat; the first half then covers as labelled rows do.
    BMMAL : Where a balance of the modalities is wanted, not accuracy alone.

    Notes
    -----
    `MVOPT` sees every modality for itself and what each head says, `UHerding` the fused features and the fused head. On
    our sets nothing was significantly ahead of `MVOPT` in the fused head's accuracy, unless the classifier was so
    strongly regularized (C = 0.01) that its heads are flat even on the labelled rows: less than half as far above
    chance as their accuracy there, so that `MVOPT` sharpens them. What flat heads say is worth less, and there half of
    each was ahead on average, with 68 classes significantly, but not on every set. So a batch is shared where any head
    has to be sharpened. The rule is ours. The scores are those of whoever chose: falls of variance, then gains in
    coverage. Needs no model to begin with. With one row at a time it is `MVOPT`; with groups or costs, of which a batch
    has no half, it is `UHerding` where heads are flat. Cost: that of `MVOPT`, or of both, each for half of the rows.

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
    >>> (batch == MVOPT().query(clf, X[::2], 10, **known)).all()
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
        n_first = _n_first(n_instances, _is_flat(labelled))
        if n_first == n_instances:
            return MVOPT()._select(pool, labelled, n_instances, rng)
        pool.source.read_heads()
        worth = worth_of_covering(pool)  # first: of rows in files MVOPT lets the probabilities go
        rows, falls = MVOPT()._select(pool, labelled, n_first, rng)
        more, gains = uncertain_coverage(pool, labelled, n_instances - n_first, rng, taken=rows, worth=worth)
        return np.append(rows, more), np.append(falls, gains)

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        n_first = _n_first(n_instances, shards.ask_one(_is_flat_there))
        rows, falls = MVOPT()._select_shards(shards, n_first, rng)
        if n_first == n_instances:
            return rows, falls
        more, gains = uncertain_coverage_on_shards(shards, n_instances - n_first, rng, taken=rows)
        return np.append(rows, more), np.append(falls, gains)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        chosen = UHerding() if _is_flat(labelled) else MVOPT()
        return chosen._benefits(pool, labelled, units, rng)


def _n_first(n_instances: int, is_flat: bool) -> int:
    """How many rows MVOPT picks."""
    return (n_instances + 1) // 2 if is_flat else n_instances


def _is_flat(labelled: Reading) -> bool:
    """Whether a head has to be sharpened."""
    return any(power > 1.0 for power in exponents(labelled).values())


def _is_flat_there(view: View) -> bool:
    return _is_flat(view.reading.labelled)
