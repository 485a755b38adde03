"""Class probabilities drawn from a posterior: the members of an ensemble, or a Laplace posterior."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.ensemble import BaggingClassifier, ExtraTreesClassifier, RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.svm import SVC, NuSVC
from sklearn.utils import check_array

from skmmal._chunks import row_chunks
from skmmal._labels import known_codes, label_weights
from skmmal._targets import ONE_CLASS, Target

__all__ = [
    "LaplacePosterior",
    "aligned",
    "class_weights",
    "has_members",
    "member_probabilities",
    "prior_precision",
    "state_weights",
]

_FORESTS = (ExtraTreesClassifier, RandomForestClassifier)

# -------------------------------------------------------------------------------------------------- committees


def has_members(final: Any) -> bool:
    """Whether the classifier is one of scikit-learn's ensembles whose members predict on their own."""
    return isinstance(final, (*_FORESTS, BaggingClassifier, VotingClassifier))


def member_probabilities(
    final: Any, X: Any, n_classes: int, predict: Callable[[Any, Any], np.ndarray]
) -> Iterator[np.ndarray]:
    """Each member's probabilities, ``predict(member, X)`` of shape (N, K), in the columns of the whole."""
    if isinstance(final, (*_FORESTS, BaggingClassifier)):  # they make an array of X, and so know no names
        X = check_array(X, accept_sparse=["csr", "csc"], dtype=None, ensure_all_finite=False)
    subsets = getattr(final, "estimators_features_", None)
    for index, member in enumerate(final.estimators_):
        rows = X if subsets is None else X[:, subsets[index]]
        yield aligned(predict(member, rows), _columns(member, final), n_classes)


def _columns(member: Any, final: Any) -> np.ndarray:
    """Columns of a member's classes: scikit-learn's ensembles fit on codes, but a frozen member came with names."""
    if isinstance(final.classes_, list):  # a forest of several labels: its trees have all of them
        return np.arange(len(final.classes_))
    if isinstance(member, FrozenEstimator):
        return known_codes(np.asarray(member.classes_), np.asarray(final.classes_), "a frozen member's classes_")
    return np.asarray(member.classes_, dtype=np.intp)


def aligned(probabilities: np.ndarray, columns: Any, n_classes: int) -> np.ndarray:
    """Probabilities in their columns of (N, n_classes); zero in the others."""
    whole = np.zeros((len(probabilities), n_classes))
    whole[:, columns] = probabilities
    return whole


# ---------------------------------------------------------------------------------------------------- Laplace


def prior_precision(final: Any, n_rows: int) -> float:
    """Precision λ of the Gaussian prior that a classifier's penalty ``λ/2 ‖W‖²`` on top of a sum of losses stands for.

    Parameters
    ----------
    final : fitted classifier
        With a `C` (or, after a search of its own, a `C_`): 1 / C, the mean over the classes where each has its own.
        `SGDClassifier`: ``alpha`` times the number of rows, since it takes the mean of the losses. Without either, and
        where C weighs other losses (support vector machines): 1.
    n_rows : int
        Labelled rows; 0 where they are not known.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        There is no penalty, or none that double precision could tell from none; C is no number above zero.
    """
    if isinstance(final, SGDClassifier):
        n_rows = n_rows or max(1, round((final.t_ - 1) / max(1, final.n_iter_)))
        given, precision = f"alpha={final.alpha!r}", np.mean(final.alpha) * n_rows
    elif isinstance(final, (SVC, NuSVC)):
        return 1.0
    else:
        C = getattr(final, "C_", getattr(final, "C", None))
        if C is None:
            return 1.0
        given = f"C={C!r}"
        try:
            values = np.asarray(C, dtype=np.float64)
        except (TypeError, ValueError):
            values = np.full(1, np.nan)
        if values.size == 0 or not (values > 0).all():
            raise ValueError(f"{type(final).__name__} has {given}: a Laplace posterior needs a number above zero")
        precision = float(np.mean(1.0 / values))
    if getattr(final, "penalty", "l2") in (None, "none"):
        given, precision = f"penalty={final.penalty!r}", 0.0
    if not precision > np.finfo(np.float64).eps:
        raise ValueError(
            f"{type(final).__name__} was fitted with {given}, that is without a penalty on its weights: there is no "
            "prior, so no Laplace posterior to draw from. Fit it with a finite C (or an alpha above zero), or take "
            "the draws from a committee (source='committee') or from a LateFusionClassifier with dropout "
            "(source='dropout')"
        )
    return precision


def class_weights(final: Any, codes: np.ndarray) -> np.ndarray | None:
    """Weight of each labelled row's loss by the classifier's `class_weight`, or ``None`` where all weigh the same."""
    given = getattr(final, "class_weight", None)
    if len(codes) == 0 or not (isinstance(given, dict) or given == "balanced"):
        return None
    names = getattr(final, "classes_", np.arange(codes.max() + 1))
    if isinstance(given, dict):
        return np.array([given.get(name, 1.0) for name in np.asarray(names).tolist()], dtype=np.float64)[codes]
    counts = np.bincount(codes, minlength=len(names))
    return (len(codes) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[codes]


def state_weights(final: Any, states: np.ndarray) -> np.ndarray | None:
    """Weight of each label of each labelled row by the classifier's `class_weight`: zero where nobody knows it.

    ``None`` where all weigh the same.
    """
    known, weights = ~np.isnan(states), None
    if len(states) and hasattr(final, "multilabel_"):
        given = getattr(final, "class_weight", None)
        weights = label_weights(given, states, np.asarray(final.classes_), np.ones(len(states)))
    if weights is None and known.all():
        return None
    return np.where(known, 1.0 if weights is None else weights, 0.0)


class LaplacePosterior:
    """Gaussian posterior of a softmax regression's weights, its Hessian in Kronecker factors.

    The Hessian of ``Σ loss + λ/2 ‖W‖²`` is taken as ``λ I + A ⊗ G``, A the sum of ``z zᵀ`` over the labelled rows
    (with a column of ones for the intercept), G their mean of ``diag(p) − p pᵀ``, or of ``diag(p (1 − p))`` where rows
    have several labels: these have nothing to do with one another.

    Parameters
    ----------
    points : ndarray of shape (n, D)
        Embedding of the labelled rows; may have no rows: the posterior is then the prior.
    probabilities : ndarray of shape (n, K)
        The classifier's probabilities there.
    precision : float
        λ.
    weights : ndarray of shape (n,), optional
        Of the rows' losses; by default 1. With several labels of shape (n, K), of each label of each row.
    target : Target, default=ONE_CLASS
        Whether rows have one class or several labels.
    """

    def __init__(
        self,
        points: np.ndarray,
        probabilities: np.ndarray,
        precision: float,
        weights: np.ndarray | None = None,
        target: Target = ONE_CLASS,
    ) -> None:
        self.precision, self._target = precision, target
        design = _with_ones(points)
        if len(points):
            if weights is not None and weights.ndim == 1:
                design = np.sqrt(weights)[:, None] * design
            _, singular, axes = np.linalg.svd(design, full_matrices=False)
        else:
            singular, axes = np.empty(0), np.empty((0, design.shape[1]))
        curvature = target.curvature(probabilities, weights)
        is_diagonal = curvature.ndim == 1
        self.classes: np.ndarray | None
        values, self.classes = (curvature, None) if is_diagonal else np.linalg.eigh(curvature)
        self.axes = axes
        self.variances = 1.0 / (precision + np.square(singular)[:, None] * np.maximum(values, 0.0))

    def logit_deviations(self, points: np.ndarray) -> np.ndarray:
        """Standard deviations (N, K) of the logits along the columns of `classes`, or of each label's logit."""
        deviations = np.empty((len(points), self.variances.shape[1]))
        for rows in row_chunks(len(points), points.shape[1] + len(self.axes)):
            design = _with_ones(points[rows])
            along = np.square(design @ self.axes.T)
            beyond = np.maximum(np.square(design).sum(axis=1) - along.sum(axis=1), 0.0)  # where only the prior speaks
            deviations[rows] = np.sqrt(along @ self.variances + beyond[:, None] / self.precision)
        return deviations

    def marginal_samples(
        self, logits: np.ndarray, points: np.ndarray, n_samples: int, rng: np.random.RandomState
    ) -> Iterator[np.ndarray]:
        """Probabilities (N, K) that are right row by row (all rows share the noise; their covariance is not kept)."""
        deviations = self.logit_deviations(points)
        for _ in range(n_samples):
            noise = rng.standard_normal(logits.shape[1])
            yield self._target.probabilities(logits + self._of_classes(deviations * noise))

    def joint_samples(
        self, logits: np.ndarray, points: np.ndarray, n_samples: int, rng: np.random.RandomState
    ) -> Iterator[np.ndarray]:
        """Probabilities (N, K) of one network after the other: the rows' covariance is kept."""
        for _ in range(n_samples):
            change = self.weight_sample(rng)
            yield self._target.probabilities(logits + points @ change[:-1] + change[-1])

    def weight_sample(self, rng: np.random.RandomState) -> np.ndarray:
        """Draw a deviation of the weights (and, last row, the intercepts) from their mean, shape (D + 1, K)."""
        n_columns, n_classes = self.axes.shape[1], self.variances.shape[1]
        free = rng.standard_normal((n_columns, n_classes))
        free -= self.axes.T @ (self.axes @ free)
        inside = np.sqrt(self.variances) * rng.standard_normal(self.variances.shape)
        return self._of_classes(free / np.sqrt(self.precision) + self.axes.T @ inside)

    def _of_classes(self, values: np.ndarray) -> np.ndarray:
        """Values along the columns of `classes` as values of the classes' logits."""
        return values if self.classes is None else values @ self.classes.T


def _with_ones(points: np.ndarray) -> np.ndarray:
    return np.column_stack([np.asarray(points, dtype=np.float64), np.ones(len(points))])
