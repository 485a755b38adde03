"""What is measured of a fitted model each round."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from sklearn.pipeline import Pipeline

from skmmal._calibration import expected_calibration_error
from skmmal.contributions import balance_weights
from skmmal.diagnostics import accuracy_shapley, shapley_imbalance
from skmmal.experiment._problem import Problem
from skmmal.experiment._tasks import LABELS, class_accuracies, mean
from skmmal.modalities import presence_mask
from skmmal.modalities._containers import take_rows
from skmmal.reading import Reading, read

__all__ = ["class_accuracies", "expected_calibration_error", "weaker_weights"]


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
    return np.array([mean(weakest[strongest == m]) for m in range(contributions.shape[1])])


def evaluate(model: Any, problem: Problem, pool: np.ndarray) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Measure a fitted model on the test rows, and BMMAL's weights on the pool.

    Parameters
    ----------
    model : classifier
        Fitted.
    problem : Problem
        With the test rows.
    pool : ndarray of int
        Rows of X that have no label.

    Returns
    -------
    metrics : dict of str to float
        By name.
    by_class : dict of str to list of float
        Accuracy of each class, or average precision and F1 of each label: of the fused head, and by modality.
    """
    y, task = problem.y_test, problem.task
    test = read(model, problem.X_test, argument="X_test")
    source = cast(Any, test.source)
    source.read_heads()
    says = hasattr(source.final, "predict_proba")
    # the whole model may have a threshold of its own; a Pipeline says what its last step does, of rows read already
    whole = model[-1] if isinstance(model, Pipeline) else model
    predicted = source.predictions["fused"] if whole is source.final else np.asarray(model.predict(problem.X_test))
    heads = {"fused": (predicted, _ranking(model, source, problem), np.ones(len(y), dtype=bool))}
    if source.has_own_heads:
        present = presence_mask(source.features)
        for m, (name, probabilities) in enumerate(source.probabilities_by_modality.items()):
            target = source.target
            labels = target.named(target.decided(probabilities), source.final.classes_)
            heads[name] = (labels, probabilities, present[:, m])
    names = [name for name in heads if name != "fused"]
    measured, by_label = {}, {}
    for name, (labels, scores, rows) in heads.items():
        measured[name], by_label[name] = task.measure(y, labels, scores, problem.classes, rows)
    metrics = dict(measured["fused"])
    if problem.classes.size:
        metrics["ece"] = _calibration_error(source, predicted, y) if says else float("nan")
    for metric in task.metrics:
        metrics.update({f"{metric}_{name}": measured[name][metric] for name in names})
    if hasattr(source.final, "modality_contributions"):
        metrics.update(_balance(test, y, names))
        weights = np.full(len(names), np.nan)
        if len(pool):
            weights = weaker_weights(read(model, take_rows(problem.X, pool)).contributions)
        metrics.update({f"weaker_weight_{name}": float(weight) for name, weight in zip(names, weights, strict=True)})
    for name, scorer in problem.scorers.items():
        metrics[name] = float(scorer(model, problem.X_test, y))
    by_class = {
        column if name == "fused" else f"{column}_{name}": values.tolist()
        for name, columns in by_label.items()
        for column, values in columns.items()
    }
    return metrics, by_class


def _ranking(model: Any, source: Any, problem: Problem) -> np.ndarray | None:
    """Probabilities of several labels, or what ranks rows as they do."""
    if problem.task is not LABELS:
        return None
    if hasattr(source.final, "predict_proba"):
        return source.probabilities
    return np.asarray(model.decision_function(problem.X_test)) if hasattr(model, "decision_function") else None


def _calibration_error(source: Any, predicted: np.ndarray, y: np.ndarray) -> float:
    """Of the predicted class; of several labels, of the predicted state of each label of each row."""
    sure = [each.max(axis=1) for each in source.target.distributions(source.probabilities)]
    hits = predicted == y if predicted.ndim == 1 else (predicted == y).T
    return expected_calibration_error(np.concatenate(sure), hits.ravel())


def _balance(test: Reading, y: np.ndarray, names: list[str]) -> dict[str, float]:
    """Contributions to the true class, and the imbalance of the accuracy."""
    source = cast(Any, test.source)
    shares = source.contributions_to(y).mean(axis=0)
    metrics = {f"contribution_{name}": float(share) for name, share in zip(names, shares, strict=True)}
    return {**metrics, "shapley_imbalance": shapley_imbalance(accuracy_shapley(source.final, test, y))}
