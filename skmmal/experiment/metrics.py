"""What is measured of a fitted model each round."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from sklearn.pipeline import Pipeline

from skmmal._calibration import expected_calibration_error
from skmmal.contributions import balance_weights
from skmmal.diagnostics import accuracy_shapley, shapley_imbalance
from skmmal.experiment._problem import Problem
from skmmal.modalities import presence_mask
from skmmal.reading import Reading, read

__all__ = ["class_accuracies", "expected_calibration_error", "weaker_weights"]


def class_accuracies(y: np.ndarray, predicted: np.ndarray, classes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Share of each class's rows that is predicted rightly.

    Parameters
    ----------
    y, predicted : ndarray of shape (n,)
        True and predicted classes.
    classes : ndarray of shape (n_classes,)
        Whose shares.
    rows : ndarray of bool, shape (n,)
        Rows that count.

    Returns
    -------
    ndarray of shape (n_classes,)
        NaN for a class without any row.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.experiment.metrics import class_accuracies
    >>> y, predicted = np.array([0, 0, 1]), np.array([0, 1, 1])
    >>> class_accuracies(y, predicted, np.array([0, 1]), np.ones(3, dtype=bool))
    array([0.5, 1. ])
    """
    hits = predicted == y
    return np.array([_mean(hits[rows & (y == label)]) for label in classes])


def weaker_weights(contributions: np.ndarray) -> np.ndarray:
    """Mean BMMAL weight of the weaker modality, in the rows that each modality dominates.

    With more than two modalities, of the weakest. NaN for a modality that dominates no row.

    Parameters
    ----------
    contributions : ndarray of shape (n, M)
        Shares of the modalities in each row.

    Returns
    -------
    ndarray of shape (M,)

    References
    ----------
    .. [1] Shen et al., ACM MM 2023, figure 6.

    Examples
    --------
    >>> weaker_weights(np.array([[0.75, 0.25], [0.6, 0.4], [0.4, 0.6]]))
    array([0.65, 0.8 ])
    """
    weakest = balance_weights(contributions).min(axis=1)
    strongest = contributions.argmax(axis=1)
    return np.array([_mean(weakest[strongest == m]) for m in range(contributions.shape[1])])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def evaluate(
    model: Any, problem: Problem, pool: Reading | None
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Measure a fitted model on the test rows, and BMMAL's weights on the pool.

    Parameters
    ----------
    model : classifier
        Fitted.
    problem : Problem
        With the test rows.
    pool : Reading or None
        What the model says of the rows that have no label; ``None``: there are none.

    Returns
    -------
    metrics : dict of str to float
        By name.
    by_class : dict of str to list of float
        Accuracy of each class: of the fused head, and by modality.
    """
    y = problem.y_test
    test = read(model, problem.X_test, argument="X_test")
    source = cast(Any, test.source)
    # the whole model may have a threshold of its own; a Pipeline says what its last step does, of rows read already
    whole = model[-1] if isinstance(model, Pipeline) else model
    predicted = source.predictions["fused"] if whole is source.final else model.predict(problem.X_test)
    heads = {"fused": (predicted, np.ones(len(y), dtype=bool))}
    names: list[str] = []
    if source.has_own_heads:
        present = presence_mask(source.features)
        for m, (name, probabilities) in enumerate(source.probabilities_by_modality.items()):
            names.append(name)
            heads[name] = (source.final.classes_[probabilities.argmax(axis=1)], present[:, m])
    recalls = {name: class_accuracies(y, labels, problem.classes, rows) for name, (labels, rows) in heads.items()}
    metrics = {"accuracy": _mean(predicted == y), "balanced_accuracy": _nanmean(recalls["fused"])}
    metrics["ece"] = float("nan")
    if hasattr(source.final, "predict_proba"):
        metrics["ece"] = expected_calibration_error(source.probabilities.max(axis=1), predicted == y)
    for name in names:
        labels, rows = heads[name]
        metrics[f"accuracy_{name}"] = _mean((labels == y)[rows])
    for name in names:
        metrics[f"balanced_accuracy_{name}"] = _nanmean(recalls[name])
    if hasattr(source.final, "modality_contributions"):
        metrics.update(_balance(test, y, names))
        weights = np.full(len(names), np.nan)
        if pool is not None:
            weights = weaker_weights(pool.contributions)
        metrics.update({f"weaker_weight_{name}": float(weight) for name, weight in zip(names, weights, strict=True)})
    for name, scorer in problem.scorers.items():
        metrics[name] = float(scorer(model, problem.X_test, y))
    by_class = {_class_column(name): values.tolist() for name, values in recalls.items()}
    return metrics, by_class


def _class_column(head: str) -> str:
    return "accuracy" if head == "fused" else f"accuracy_{head}"


def _nanmean(values: np.ndarray) -> float:
    return _mean(values[~np.isnan(values)])


def _balance(test: Reading, y: np.ndarray, names: list[str]) -> dict[str, float]:
    """Contributions to the true class, and the imbalance of the accuracy."""
    source = cast(Any, test.source)
    shares = source.contributions_to(y).mean(axis=0)
    metrics = {f"contribution_{name}": float(share) for name, share in zip(names, shares, strict=True)}
    return {**metrics, "shapley_imbalance": shapley_imbalance(accuracy_shapley(source.final, test, y))}
