"""What a row's target is: one class, or several labels. Everything that differs between the two is said here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.special import entr, expit, softmax

from skmmal._chunks import row_chunks
from skmmal._probabilities import check_distribution, check_independent, log_probabilities
from skmmal.contributions import CoalitionValue, linear_coalition_value

__all__ = ["ONE_CLASS", "SEVERAL_LABELS", "Target", "of_labels", "target_of"]


class Target(ABC):
    """How logits and probabilities (n, K) are to be understood; what is predicted is what `predicted` returns."""

    @abstractmethod
    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities that logits stand for."""

    @abstractmethod
    def predicted(self, logits: np.ndarray) -> np.ndarray:
        """What logits predict: columns of classes (n,), or which labels a row has, zeros and ones (n, K)."""

    @abstractmethod
    def decided(self, probabilities: np.ndarray) -> np.ndarray:
        """What probabilities predict, in the same form."""

    @abstractmethod
    def named(self, predicted: np.ndarray, classes: Any) -> np.ndarray:
        """What is predicted, as a classifier's `predict` returns it."""

    @abstractmethod
    def residuals(self, probabilities: np.ndarray, dtype: Any = np.float64) -> np.ndarray:
        """Gradient (n, K) of the loss at the predicted target, by the logits, as stored in a type of floats."""

    @abstractmethod
    def entropy(self, probabilities: np.ndarray) -> np.ndarray:
        """Entropy (n,) of what is not known of each row, in nats: of its class, or the sum of its labels' states."""

    @abstractmethod
    def logits(self, probabilities: np.ndarray) -> np.ndarray:
        """Logits (n, K) that stand for probabilities; of one class, with its logarithm for a constant."""

    @abstractmethod
    def curvature(self, probabilities: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """Mean over rows of the loss's Hessian by the logits, (K, K), or its diagonal (K,) where there is no more.

        Weights are those of rows, (n,), or of each label of each row, (n, K).
        """

    @abstractmethod
    def distributions(self, probabilities: np.ndarray) -> Iterator[np.ndarray]:
        """Distributions of what is not known of each row: that of its class (n, K), or of each label's state (n, 2)."""

    @abstractmethod
    def hits(self, predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Which rows are predicted rightly, (n,); of several labels all must be."""

    @abstractmethod
    def coalition_value(
        self, shares: Sequence[np.ndarray], intercept: np.ndarray, target: np.ndarray
    ) -> CoalitionValue:
        """Probability of a target for coalitions of modalities, whose shares (n, K) of the logits add up."""

    @abstractmethod
    def value(self, logits: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Probability (n,) of a target."""

    @abstractmethod
    def checked(self, probabilities: Any, **details: Any) -> np.ndarray:
        """Probabilities, if they may be called so (details as of `check_distribution`)."""


class _OneClass(Target):
    """One of K classes: probabilities of a row sum to one."""

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return softmax(logits, axis=1)

    def predicted(self, logits: np.ndarray) -> np.ndarray:
        return logits.argmax(axis=1)

    def decided(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities.argmax(axis=1)

    def named(self, predicted: np.ndarray, classes: Any) -> np.ndarray:
        return np.asarray(classes)[predicted]

    def residuals(self, probabilities: np.ndarray, dtype: Any = np.float64) -> np.ndarray:
        residuals = probabilities.astype(dtype)
        rows, predicted = np.arange(len(residuals)), probabilities.argmax(axis=1)
        residuals[rows, predicted] = probabilities[rows, predicted] - 1.0
        return residuals

    def entropy(self, probabilities: np.ndarray) -> np.ndarray:
        return entr(probabilities).sum(axis=1)

    def logits(self, probabilities: np.ndarray) -> np.ndarray:
        return log_probabilities(probabilities)

    def curvature(self, probabilities: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        if len(probabilities) == 0:
            return np.eye(probabilities.shape[1]) - 1.0 / probabilities.shape[1]
        if weights is None:
            return np.diag(probabilities.mean(axis=0)) - probabilities.T @ probabilities / len(probabilities)
        shares = weights / weights.sum()
        return np.diag(shares @ probabilities) - (shares[:, None] * probabilities).T @ probabilities

    def distributions(self, probabilities: np.ndarray) -> Iterator[np.ndarray]:
        yield probabilities

    def hits(self, predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
        return predicted == target

    def coalition_value(
        self, shares: Sequence[np.ndarray], intercept: np.ndarray, target: np.ndarray
    ) -> CoalitionValue:
        return linear_coalition_value(shares, intercept, target)

    def value(self, logits: np.ndarray, target: np.ndarray) -> np.ndarray:
        return softmax(logits, axis=1)[np.arange(len(logits)), target]

    def checked(self, probabilities: Any, **details: Any) -> np.ndarray:
        return check_distribution(probabilities, **details)


class _SeveralLabels(Target):
    """Any of K labels, each with a probability of its own.

    The probability of a target is the mean over the labels of the probability of each one's state.
    """

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return expit(logits)

    def predicted(self, logits: np.ndarray) -> np.ndarray:
        return (logits > 0).astype(np.intp)

    def decided(self, probabilities: np.ndarray) -> np.ndarray:
        return (probabilities > 0.5).astype(np.intp)

    def named(self, predicted: np.ndarray, classes: Any) -> np.ndarray:
        return predicted

    def residuals(self, probabilities: np.ndarray, dtype: Any = np.float64) -> np.ndarray:
        residuals = np.empty(probabilities.shape, dtype)
        for rows in row_chunks(*probabilities.shape):  # the difference is that of the probabilities' own type
            part = probabilities[rows]
            np.subtract(part, part >= 0.5, out=residuals[rows], casting="same_kind")
        return residuals

    def entropy(self, probabilities: np.ndarray) -> np.ndarray:
        return (entr(probabilities) + entr(1.0 - probabilities)).sum(axis=1)

    def logits(self, probabilities: np.ndarray) -> np.ndarray:
        return log_probabilities(probabilities) - log_probabilities(1.0 - probabilities)

    def curvature(self, probabilities: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        if len(probabilities) == 0:
            return np.full(probabilities.shape[1], 0.25)
        products = probabilities * (1.0 - probabilities)
        return (products if weights is None else weights * products).mean(axis=0)

    def distributions(self, probabilities: np.ndarray) -> Iterator[np.ndarray]:
        for of_label in probabilities.T:
            yield np.column_stack([1.0 - of_label, of_label])

    def hits(self, predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
        return (predicted == target).all(axis=1)

    def coalition_value(
        self, shares: Sequence[np.ndarray], intercept: np.ndarray, target: np.ndarray
    ) -> CoalitionValue:
        def value(kept: np.ndarray) -> np.ndarray:
            logits = np.tile(np.asarray(intercept, dtype=np.float64), (len(target), 1))
            for share, keep in zip(shares, kept, strict=True):
                if keep:
                    logits += share
            return self.value(logits, target)

        return value

    def value(self, logits: np.ndarray, target: np.ndarray) -> np.ndarray:
        return expit(np.where(target > 0, logits, -logits)).mean(axis=1)

    def checked(self, probabilities: Any, **details: Any) -> np.ndarray:
        return check_independent(probabilities, **details)


def of_labels(by_column: Sequence[Any], states: Any) -> np.ndarray:
    """Probabilities (n, L) of labels from what a classifier of several outputs says of each, states side by side.

    Parameters
    ----------
    by_column : sequence of L arrays of shape (n, 1) or (n, 2)
    states : sequence of L sequences
        Which states the columns of each are; a label that was never seen in one of them has no column for it.

    Returns
    -------
    ndarray of float64, shape (n, L)
    """
    found = []
    for probabilities, known in zip(by_column, states, strict=True):
        at = [state for state, name in enumerate(known) if name == 1]
        values = np.asarray(probabilities, dtype=np.float64)
        found.append(values[:, at[0]] if at else np.zeros(len(values)))
    return np.column_stack(found)


ONE_CLASS: Target = _OneClass()
SEVERAL_LABELS: Target = _SeveralLabels()


def target_of(model: Any) -> Target:
    """Return the kind of target that a fitted classifier was fitted on.

    Parameters
    ----------
    model : object
        One of ours says so by `multilabel_`, as scikit-learn's `OneVsRestClassifier` does; of scikit-learn's others
        that were fitted on an indicator matrix it shows in what they keep.

    Returns
    -------
    Target
    """
    said = getattr(model, "multilabel_", None)
    if isinstance(said, bool):
        return SEVERAL_LABELS if said else ONE_CLASS
    # neural networks of scikit-learn have a sigmoid for each label
    if getattr(model, "out_activation_", None) == "logistic" and getattr(model, "n_outputs_", 1) > 1:
        return SEVERAL_LABELS
    # trees, forests, neighbors and MultiOutputClassifier: a classifier of its own for each column
    names: Any = getattr(model, "classes_", None)
    by_column = isinstance(names, list) and len(names) > 0 and all(np.ndim(each) == 1 for each in names)
    return SEVERAL_LABELS if by_column and all(set(each) <= {0, 1} for each in names) else ONE_CLASS
