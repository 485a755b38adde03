"""What draws from a posterior say of labels, and what the strategies that rank by it share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from numbers import Integral

import numpy as np
from scipy.special import entr

from skmmal._random import RandomState, draw_seed
from skmmal._sklearn import Interval, StrOptions
from skmmal._targets import ONE_CLASS, SEVERAL_LABELS
from skmmal.query._base import QueryStrategy
from skmmal.reading import FUSED, Head, Reading

__all__ = ["InformationSampling", "fork", "mutual_information", "on_every_shard", "predictive_information"]

_JOINT_ELEMENTS = 2**17
"""Numbers of the joint distributions of labels that are held at a time: 1 MB, which stays in a core's cache."""


def mutual_information(draws: object, *, multilabel: bool = False) -> np.ndarray:
    """Mutual information of label and parameters, ``H(mean p) − mean H(p)``, in nats.

    Parameters
    ----------
    draws : iterable of array-like of shape (N, K)
        Class probabilities under draws of the parameters; read once, one after the other.
    multilabel : bool, default=False
        Whether rows have several labels: columns are then probabilities of labels, each for itself, and the information
        is the sum over the labels of that about each one's state. What labels say of one another is left out: this is
        an upper bound of the information about the set of labels.

    Returns
    -------
    ndarray of float64, shape (N,)
        Not negative.

    Examples
    --------
    >>> mutual_information([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]).round(3)
    array([0.693, 0.   ])
    """
    target = SEVERAL_LABELS if multilabel else ONE_CLASS
    mean, expected = np.zeros(()), np.zeros(())
    count = 0
    for each in draws:  # type: ignore[attr-defined]
        probabilities = np.asarray(each, dtype=np.float64)
        mean = mean + probabilities
        expected = expected + target.entropy(probabilities)
        count += 1
    if count == 0:
        raise ValueError("draws is empty; at least one array of probabilities is needed")
    information = target.entropy(mean / count) - expected / count
    return np.maximum(information, 0.0)


def predictive_information(draws: np.ndarray, targets: np.ndarray, *, multilabel: bool = False) -> np.ndarray:
    """Mean mutual information of a row's label and the label of a target, in nats.

    Parameters
    ----------
    draws : array-like of shape (S, N, K)
        Class probabilities of the rows under S draws of the parameters.
    targets : array-like of shape (S, M, K)
        Those of the targets under the same draws.
    multilabel : bool, default=False
        Whether rows have several labels: columns are then probabilities of labels, each for itself, and the information
        is the mean over the labels of that between a row's state and a target's state of the same label.

    Returns
    -------
    ndarray of float64, shape (N,)
        Not negative.

    Notes
    -----
    Cost: O(N M K² S) in matrix products, and N M K² logarithms. Memory: a block of 131,072 numbers, or of K² where
    that is more, beside the arrays given. Of L labels: O(N M L S), and 4 N M L logarithms.

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
    if multilabel:
        found = np.zeros(n_rows)
        for label in range(n_classes):
            binary = (np.stack([1.0 - each[..., label], each[..., label]], axis=2) for each in (draws, targets))
            found += predictive_information(*binary)
        return found / n_classes
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


def fork(rng: np.random.RandomState) -> np.random.RandomState:
    """A generator that goes on where one is, for all shards; that one moves on by a draw."""
    forked = copy.deepcopy(rng)
    draw_seed(rng)
    return forked


def on_every_shard(
    score: Callable[..., np.ndarray], rng: np.random.RandomState, reading: Reading, *place: int
) -> np.ndarray:
    """Scores of a shard's rows, with draws that are the same on every shard."""
    return score(reading, copy.deepcopy(rng), *place)


class InformationSampling(QueryStrategy):
    """What BALD and its relatives share: where the draws come from."""

    _parameter_constraints: dict = {
        "source": [StrOptions({"auto", "committee", "dropout", "laplace"})],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self, source: str = "auto", n_draws: int = 50, random_state: RandomState = None, *, on: str = "fused"
    ) -> None:
        self.source = source
        self.n_draws = n_draws
        self.random_state = random_state
        self.on = on

    def _information(self, pool: Reading, rng: np.random.RandomState) -> np.ndarray:
        """Mutual information of each row's label and the parameters."""
        if len(pool.listening) == 1:
            return pool.mean_score(lambda head: self._of_head(head, rng))
        # a seed for every head, also for one that no row has: draws do not depend on which rows are there
        seeds = {name: draw_seed(rng) for name in (FUSED, *pool.source.modality_names)}
        return pool.mean_score(lambda head: self._of_head(head, seeds[head.name]))

    def _of_head(self, head: Head, random_state: RandomState) -> np.ndarray:
        draws = head.draws(self.n_draws, random_state, source=self.source)
        return mutual_information(draws, multilabel=head.target is SEVERAL_LABELS)
