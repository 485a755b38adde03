"""What a posterior's draws tell: BALD, PowerBALD and EPIG."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real

import numpy as np
from scipy.special import entr
from sklearn.utils._param_validation import Interval, StrOptions

from skmmal._random import RandomState, draw_seed
from skmmal.query.base import QueryStrategy, Selection
from skmmal.reading import Head, Reading

__all__ = ["BALD", "EPIG", "PowerBALD", "mutual_information", "predictive_information"]

_JOINT_ELEMENTS = 2**17
"""Numbers of the joint distributions of labels that are held at a time: 1 MB, which stays in a core's cache."""

_SOURCES: dict = {
    "source": [StrOptions({"auto", "committee", "dropout", "laplace"})],
    "n_samples": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state", np.random.Generator],
}


def mutual_information(draws: object) -> np.ndarray:
    """Mutual information of label and parameters, ``H(mean p) − mean H(p)``, in nats.

    Parameters
    ----------
    draws : iterable of array-like of shape (N, K)
        Class probabilities under draws of the parameters; read once, one after the other.

    Returns
    -------
    ndarray of float64, shape (N,)
        Not negative.

    Examples
    --------
    >>> mutual_information([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]).round(3)
    array([0.693, 0.   ])
    """
    mean: np.ndarray | float = 0.0
    expected: np.ndarray | float = 0.0
    count = 0
    for each in draws:  # type: ignore[attr-defined]
        probabilities = np.asarray(each, dtype=np.float64)
        mean = mean + probabilities
        expected = expected + entr(probabilities).sum(axis=1)
        count += 1
    if count == 0:
        raise ValueError("draws is empty; at least one array of probabilities is needed")
    information = entr(mean / count).sum(axis=1) - expected / count
    return np.maximum(information, 0.0)


def predictive_information(draws: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Mean mutual information of a row's label and the label of a target, in nats.

    Parameters
    ----------
    draws : array-like of shape (S, N, K)
        Class probabilities of the rows under S draws of the parameters.
    targets : array-like of shape (S, M, K)
        Those of the targets under the same draws.

    Returns
    -------
    ndarray of float64, shape (N,)
        Not negative.

    Notes
    -----
    Cost: O(N M K² S) in matrix products, and N M K² logarithms. Memory: a block of 131,072 numbers, or of K² where
    that is more, beside the arrays given.

    Examples
    --------
    >>> same = [[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]
    >>> predictive_information(same, [[[1.0, 0.0]], [[0.0, 1.0]]]).round(3)
    array([0.693, 0.   ])
    """
    draws, targets = np.asarray(draws, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    n_draws, n_rows, n_classes = draws.shape
    if len(targets) != n_draws or targets.shape[2] != n_classes:
        raise ValueError(f"draws {draws.shape} and targets {targets.shape} must share draws and classes")
    n_targets = targets.shape[1]
    target_entropy = entr(targets.mean(axis=0)).sum() / n_targets
    found = entr(draws.mean(axis=0)).sum(axis=1) + target_entropy
    # the joint distribution of a row's and a target's label takes K² numbers: a few pairs at a time, whatever K is
    n_pairs = max(1, _JOINT_ELEMENTS // n_classes**2)
    target_step = min(n_targets, n_pairs)
    row_step = max(1, n_pairs // target_step)
    tiny, buffer = np.finfo(np.float64).tiny, np.empty(row_step * target_step * n_classes**2)
    for row in range(0, n_rows, row_step):
        rows = draws[:, row : row + row_step]
        by_row = np.ascontiguousarray(rows.reshape(n_draws, -1).T) / n_draws
        for start in range(0, n_targets, target_step):
            by_target = targets[:, start : start + target_step].reshape(n_draws, -1)
            joint = by_row @ by_target
            logarithms = np.maximum(joint, tiny, out=buffer[: joint.size].reshape(joint.shape))
            np.log(logarithms, out=logarithms)
            by_pair = (each.reshape(rows.shape[1], -1) for each in (joint, logarithms))
            found[row : row + row_step] += np.einsum("np,np->n", *by_pair) / n_targets
    return np.maximum(found, 0.0)


class BALD(QueryStrategy):
    """Pick the rows on which draws from the model's posterior disagree most.

    The score is the mutual information of a row's label and the model's parameters, ``H(mean p) − mean H(p)``: high
    where every draw is sure and they contradict each other, zero where all draws are equally unsure.

    Parameters
    ----------
    source : {"auto", "committee", "dropout", "laplace"}, default="auto"
        Where the draws come from. ``"committee"``: the members of a committee, or of scikit-learn's forests, bagging
        and voting. ``"dropout"``: passes of a `LateFusionClassifier` with its dropout on. ``"laplace"``: a Laplace
        posterior of the fused head. ``"auto"``: the first of these that the estimator has.
    n_samples : int, default=50
        Draws from dropout or Laplace (ours; the papers use 10 to 100).
    random_state : int, RandomState, Generator or None
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

    _parameter_constraints: dict = {**_SOURCES}

    def __init__(
        self, source: str = "auto", n_samples: int = 50, random_state: RandomState = None, *, on: str = "fused"
    ) -> None:
        self.source = source
        self.n_samples = n_samples
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return pool.highest(_information(pool, self.n_samples, rng, self.source), n_instances)


def _information(pool: Reading, n_draws: int, rng: np.random.RandomState, source: str) -> np.ndarray:
    """BALD score of each row."""
    return pool.mean_score(lambda head: mutual_information(head.draws(n_draws, rng, source=source)))


class PowerBALD(QueryStrategy):
    """Draw rows with probability proportional to a power of their BALD score.

    A batch of the highest BALD scores holds many rows of one kind; drawing instead costs nothing and is about as good
    as the far dearer BatchBALD.

    Parameters
    ----------
    beta : float, default=1.0
        The power (the paper's default): 0 is random, large values are BALD.
    source, n_samples
        As in `BALD`.
    random_state : int, RandomState, Generator or None
    on : str, default="fused"
        As in `BALD`; with ``"all"`` the power is that of the mean.

    Notes
    -----
    Rows are drawn one after the other without replacement, by adding Gumbel noise to ``beta · log BALD`` and taking
    the highest; that sum is the score. Cost as for BALD.

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

    _parameter_constraints: dict = {"beta": [Interval(Real, 0, None, closed="left")], **_SOURCES}

    def __init__(
        self,
        beta: float = 1.0,
        source: str = "auto",
        n_samples: int = 50,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.beta = beta
        self.source = source
        self.n_samples = n_samples
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        information = _information(pool, self.n_samples, rng, self.source)
        logarithm = np.log(np.maximum(information, np.finfo(np.float64).tiny))
        return pool.highest(self.beta * logarithm + rng.gumbel(size=len(pool)), n_instances)


class EPIG(QueryStrategy):
    """Pick the rows whose labels say most about the labels of other rows.

    The score is the expected predictive information gain: the mutual information of a row's label and the label of a
    target row, averaged over targets drawn from the pool. BALD wants to learn the parameters; this wants only what
    matters for predictions.

    Parameters
    ----------
    source, n_samples
        As in `BALD`; every draw is one network for all rows (dropout: one mask for all rows).
    n_targets : int, default=100
        Targets drawn from the pool (ours; the paper draws from the test inputs' distribution).
    max_candidates : int or None, default=1000
        Only the rows of highest BALD score are looked at, that many and at least twice `n_instances` (ours). BALD is
        an upper bound of EPIG for each row, so those left out have low bounds. ``None``: all rows.
    random_state : int, RandomState, Generator or None
        Draws networks and targets.
    on : str, default="fused"
        As in `BALD`, for candidates as well as for scores; targets that lack a head's modality tell it nothing.

    Notes
    -----
    Without `X_labeled` a Laplace posterior is the prior alone. Cost: twice the draws as for BALD (a Laplace draw costs
    N × D × K here), then O(C M K² n_samples) for C candidates and M targets: for 68 classes, 1,000 candidates and 100
    targets half a billion logarithms. Memory O(N K), and C K numbers a draw; their scores take a block beside it.

    Rows that lack a modality: as for BALD.

    References
    ----------
    .. [1] Bickford Smith et al., "Prediction-oriented Bayesian active learning", AISTATS 2023, section 4.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import EPIG
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(EPIG(random_state=0).query(clf, X[1::10], 5, X_labeled=X[::40]))
    5
    """

    _parameter_constraints: dict = {
        **_SOURCES,
        "n_targets": [Interval(Integral, 1, None, closed="left")],
        "max_candidates": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        source: str = "auto",
        n_samples: int = 50,
        n_targets: int = 100,
        max_candidates: int | None = 1000,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.source = source
        self.n_samples = n_samples
        self.n_targets = n_targets
        self.max_candidates = max_candidates
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        seed = draw_seed(rng)
        targets = np.sort(rng.permutation(len(pool))[: self.n_targets])

        def networks(head: Head) -> Iterator[np.ndarray]:  # the same draws each time, never all of them in memory
            return head.draws(self.n_samples, np.random.RandomState(seed), source=self.source, joint=True)

        promising = np.arange(len(pool)) if pool.candidates is None else np.flatnonzero(pool.candidates)
        if self.max_candidates is not None and len(promising) > max(self.max_candidates, 2 * n_instances):
            most = max(self.max_candidates, 2 * n_instances)
            information = pool.mean_score(lambda head: mutual_information(networks(head)))
            promising = np.sort(pool.highest(information, most)[0])

        def score(head: Head) -> np.ndarray:
            scores = np.zeros(len(head))
            rows, known = head.find(promising), head.find(targets)
            if len(rows) and len(known):
                draws, target_draws = zip(*((p[rows], p[known]) for p in networks(head)), strict=True)
                scores[rows] = predictive_information(np.stack(draws), np.stack(target_draws))
            return scores

        scores = np.full(len(pool), -np.inf)
        scores[promising] = pool.mean_score(score)[promising]
        return pool.highest(scores, n_instances)
