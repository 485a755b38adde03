"""Disagreement of a posterior's draws: BALD."""

from __future__ import annotations

from functools import partial

import numpy as np

from skmmal.query._base import Selection
from skmmal.query._information import InformationSampling, fork, on_every_shard
from skmmal.reading import Reading
from skmmal.reading._sharded import ShardedReading
from skmmal.selection._units import Scores, UnitBenefits, Units

__all__ = ["BALD"]


class BALD(InformationSampling):
    """Pick the rows on which draws from the model's posterior disagree most.

    The score is the mutual information of a row's label and the model's parameters, ``H(mean p) − mean H(p)``: high
    where every draw is sure and they contradict each other, zero where all draws are equally unsure.

    Parameters
    ----------
    source : {"auto", "committee", "dropout", "laplace"}, default="auto"
        Where the draws come from. ``"committee"``: the members of a committee, or of scikit-learn's forests, bagging
        and voting. ``"dropout"``: passes of a `LateFusionClassifier` with its dropout on. ``"laplace"``: a Laplace
        posterior of the fused head. ``"auto"``: the first of these that the estimator has.
    n_draws : int, default=50
        Draws from dropout or Laplace (ours; the papers use 10 to 100).
    random_state : int, RandomState, Generator or None
        Draws the networks.
    on : str, default="fused"
        The head whose draws count: ``"fused"``, the name of a modality, or ``"all"`` for the mean of the heads' scores
        (see `QueryStrategy`); each head has draws of its own.

    Notes
    -----
    The Laplace posterior gives a model without dropout something to disagree about. It is a Gaussian about the fitted
    weights, with a Hessian in Kronecker factors from the labelled rows (weighted by `class_weight`): pass `X_labeled`,
    or only the prior remains and rows of large norm win. The prior is the estimator's penalty: precision 1 / C, for
    `SGDClassifier` ``alpha`` times the number of rows. A search of its own (`LogisticRegressionCV`) counts with the C
    it found, an L1 penalty as if it were quadratic, and an estimator without either, or whose C weighs other losses
    (a support vector machine), with precision 1. Without a penalty (``C=np.inf``, ``penalty=None``) there is no
    posterior, which is an error. Logits are the log-probabilities, so any classifier may be used; for one that is not
    linear in its embedding this is a linear stand-in. Draws are taken for each row on its own, with common random
    numbers.

    Rows with several labels: the score is the sum over the labels of what the draws disagree about each, an upper bound
    of the information about the set. Each label has a Laplace posterior of its own; labels that nobody knows of a row
    teach theirs nothing.

    Cost: memory O(N K). Laplace: a singular value decomposition of the L × D labelled rows, one product
    N × D × min(L, D), then O(N K²) a draw. Dropout: a prediction a draw.

    Rows that lack a modality: their embedding is zero there, which adds nothing to the posterior's variance; they come
    up to about as often as their share, on some data hardly ever.

    References
    ----------
    .. [1] Houlsby et al., "Bayesian active learning for classification and preference learning", 2011, section 2.
    .. [2] Gal, Islam and Ghahramani, "Deep Bayesian active learning with image data", ICML 2017: dropout.
    .. [3] Ritter, Botev and Barber, "A scalable Laplace approximation for neural networks", ICLR 2018: the factors.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import BALD
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(BALD(random_state=0).query(clf, X[1::10], 5, X_labeled=X[::40]))
    5
    """

    supports_multi_label = True
    supports_groups = True

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return pool.highest(self._information(pool, rng), n_instances)

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return shards.highest(partial(on_every_shard, self._information, fork(rng)), n_instances)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        return Scores(units.of_rows(self._information(pool, rng)))
