"""BALD scores as probabilities of being drawn: PowerBALD."""

from __future__ import annotations

from functools import partial
from numbers import Real

import numpy as np

from skmmal._random import RandomState
from skmmal._sklearn import Interval
from skmmal.query._base import Selection
from skmmal.query._information import InformationSampling, fork, on_every_shard
from skmmal.reading import Reading
from skmmal.reading._sharded import ShardedReading
from skmmal.selection._units import Scores, UnitBenefits, Units

__all__ = ["PowerBALD"]


class PowerBALD(InformationSampling):
    """Draw rows with probability proportional to a power of their BALD score.

    A batch of the highest BALD scores holds many rows of one kind; drawing instead costs nothing and is about as good
    as the far dearer BatchBALD.

    Parameters
    ----------
    beta : float, default=1.0
        The power (the paper's default): 0 is random, large values are BALD.
    source : {"auto", "committee", "dropout", "laplace"}, default="auto"
        As in `BALD`.
    n_draws : int, default=50
        As in `BALD`.
    random_state : int, RandomState, Generator or None
        Draws the networks and the rows.
    on : str, default="fused"
        As in `BALD`; with ``"all"`` the power is that of the mean.

    Notes
    -----
    Rows are drawn one after the other without replacement, by adding Gumbel noise to ``beta · log BALD`` and taking
    the highest; that sum is the score. Rows with several labels: as for BALD.
    Cost as for BALD.

    Rows that lack a modality: as for BALD, evened out by the draw.

    References
    ----------
    .. [1] Kirsch et al., "Stochastic batch acquisition: a simple baseline for deep active learning", TMLR 2023,
       section 3.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import PowerBALD
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(PowerBALD(random_state=0).query(clf, X[1::10], 5, X_labeled=X[::40]))
    5
    """

    supports_multi_label = True
    supports_groups = True
    _parameter_constraints: dict = {
        "beta": [Interval(Real, 0, None, closed="left")],
        **InformationSampling._parameter_constraints,
    }

    def __init__(
        self,
        beta: float = 1.0,
        source: str = "auto",
        n_draws: int = 50,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        super().__init__(source, n_draws, random_state, on=on)
        self.beta = beta

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return pool.highest(self._noisy_scores(pool, rng, 0, len(pool)), n_instances)

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return shards.highest(partial(on_every_shard, self._noisy_scores, fork(rng)), n_instances, placed=True)

    def _noisy_scores(self, pool: Reading, rng: np.random.RandomState, start: int, n_rows: int) -> np.ndarray:
        """Scores of the rows that begin at `start`, of `n_rows` in all: every row has the noise of its number."""
        information = self._information(pool, rng)
        logarithm = np.log(np.maximum(information, np.finfo(np.float64).tiny))
        return self.beta * logarithm + rng.gumbel(size=n_rows)[start : start + len(pool)]

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        return Scores(units.of_rows(self._information(pool, rng) ** self.beta), drawn=True)
