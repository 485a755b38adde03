"""Typical rows first, then small margins: TCM."""

from __future__ import annotations

from numbers import Real

import numpy as np

from skmmal._random import RandomState
from skmmal._sklearn import Interval
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._coverage import class_count
from skmmal.query._margin import MarginSampling
from skmmal.query._typiclust import TypiClust
from skmmal.reading import Reading
from skmmal.selection._units import UnitBenefits, Units

__all__ = ["TCM"]


class TCM(QueryStrategy):
    """TypiClust while labels are few, then margin.

    Parameters
    ----------
    labels_per_class : float, default=10.0
        TypiClust chooses as long as there are fewer labelled rows than that times the number of classes.
    random_state : int, RandomState, Generator or None
        Draws TypiClust's clusters.
    on : str, default="fused"
        As in `TypiClust` and `MarginSampling`.

    Notes
    -----
    A whole batch is chosen by one of the two: by `TypiClust`, with its own default parameters, where
    ``len(X_labeled) < labels_per_class · K``, where the model is not fitted, or where `X_labeled` was not given; by
    `MarginSampling` otherwise. K are the model's classes, or those of the labels. The paper switches after a number of
    steps that it gives by budget; a strategy is not told at which step it is, but it knows the labels, so the rule in
    labels is ours. The scores are typicalities, then negative margins. Needs no model to begin with. Cost: that of
    whoever chooses.

    Rows that lack a modality: as for whoever chooses.

    References
    ----------
    .. [1] Doucet, Estermann, Aczel and Wattenhofer, "Bridging diversity and uncertainty in active learning with
       self-supervised pre-training", PML4LRS workshop at ICLR 2024 (arXiv 2403.03728).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import TCM, MarginSampling
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> first = TCM(random_state=0).query(None, X[::4], 10)
    >>> len(set(y[::4][first].tolist())) >= 7
    True
    >>> clf = LogisticRegression(C=0.01).fit(X[::4], y[::4])
    >>> later = TCM().query(clf, X[1::4], 10, X_labeled=X[::4], y_labeled=y[::4])
    >>> (later == MarginSampling().query(clf, X[1::4], 10)).all()
    np.True_
    """

    requires_model = False
    supports_multi_label = True
    supports_groups = True
    _looks_beyond_candidates = True
    _parameter_constraints: dict = {
        "labels_per_class": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(self, labels_per_class: float = 10.0, random_state: RandomState = None, *, on: str = "fused") -> None:
        self.labels_per_class = labels_per_class
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return self._who(pool, labelled, n_instances)._select(pool, labelled, n_instances, rng)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        return self._who(pool, labelled, units.expected)._benefits(pool, labelled, units, rng)

    def _who(self, pool: Reading, labelled: Reading, n_wanted: int) -> MarginSampling | TypiClust:
        """Who chooses."""
        n_few = self.labels_per_class * class_count(pool, labelled, n_wanted)
        is_late = pool.is_fitted and 0 < len(labelled) >= n_few
        return MarginSampling() if is_late else TypiClust()
