"""Random sampling: the baseline that needs no model."""

from __future__ import annotations

import numpy as np

from skmmal._random import RandomState
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Reading
from skmmal.reading._sharded import ShardedReading
from skmmal.selection._units import Scores, UnitBenefits, Units

__all__ = ["RandomSampling"]


class RandomSampling(QueryStrategy):
    """Pick rows uniformly at random, without replacement.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Draws the rows.

    Notes
    -----
    Needs no model and reads no features; every score is zero. Rows that lack a modality come as often as their
    share. Cost: O(N). Groups are drawn uniformly, whatever their size; `costs` count for the `budget` only.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.query import RandomSampling
    >>> len(RandomSampling(random_state=0).query(None, np.zeros((10, 2)), 3))
    3
    """

    requires_model = False
    supports_multi_label = True
    supports_groups = True
    _reads_labelled_on_shards = False
    _parameter_constraints: dict = {"random_state": ["random_state", np.random.Generator]}

    def __init__(self, random_state: RandomState = None) -> None:
        self.random_state = random_state

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return rng.permutation(len(pool))[:n_instances], np.zeros(n_instances)

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return rng.permutation(len(shards))[:n_instances], np.zeros(n_instances)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        return Scores(np.zeros(units.n_units), drawn=True)
