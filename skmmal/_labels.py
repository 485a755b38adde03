"""Labels as codes: the columns of their classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from skmmal._arrays import naming, off_device
from skmmal.modalities import MultimodalArray

__all__ = ["class_weights", "encode_labels", "known_codes"]


def encode_labels(estimator: Any, y: Any, classes: Any, features: MultimodalArray) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the labels, and the classes they refer to."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None: labels are needed"
        )
    with naming("y"):
        y = column_or_1d(off_device(y), warn=True)
        check_consistent_length(features, y)
    absent = np.flatnonzero(pd.isna(y))
    if len(absent):
        raise ValueError(
            f"y is missing (None or NaN) in row {absent[0]} ({len(absent)} such rows); fit on labelled rows"
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"y is infinite in row {np.flatnonzero(~np.isfinite(y))[0]}; labels are classes")
    if classes is None:  # given classes say themselves what is a label, also where most of them have one row
        with naming("y"):
            check_classification_targets(y)
        names, codes = np.unique(y, return_inverse=True)
        return codes, names
    with naming("classes"):
        names = column_or_1d(off_device(classes))
    if pd.isna(names).any():
        raise ValueError(f"classes must not be None or NaN, got {list(names)}")
    if len(names) == 0 or len(pd.unique(names)) < len(names):
        raise ValueError(f"classes must be distinct and not empty, got {list(names)}")
    return known_codes(y, names, "y"), names


def known_codes(y: np.ndarray, classes: np.ndarray, argument: str) -> np.ndarray:
    """Codes of labels that must be among the classes; `argument` is their name in the error message."""
    try:
        codes = pd.Index(classes).get_indexer(pd.Index(y))
    except TypeError as error:
        raise TypeError(f"{argument} must hold numbers or text, one class for each row: {error}") from None
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        raise ValueError(
            f"{argument} has the label {y[unknown[0]]!s} in row {unknown[0]}, which is not among the classes "
            f"{classes[:10].tolist()}{'...' if len(classes) > 10 else ''}"
        )
    return codes


def class_weights(class_weight: Any, codes: np.ndarray, classes: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    """Weight of each class, shape (K,), as scikit-learn's `LogisticRegression` has it.

    ``"balanced"`` is ``Σ w / (k Σ_class w)`` over the k classes that have rows, with w the sample weights; releases of
    scikit-learn before 1.7 count rows instead.
    """
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, str):
        totals = np.bincount(codes, weights=sample_weight, minlength=len(classes))
        shared = totals.sum() / np.count_nonzero(totals)
        return np.divide(shared, totals, out=np.zeros(len(classes)), where=totals > 0)
    with naming("class_weight"):
        weights = compute_class_weight(class_weight, classes=classes, y=classes[codes]).astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise ValueError(
            f"class_weight of the class {classes[wrong[0]]!s} is {weights[wrong[0]]}; weights are zero or positive"
        )
    return weights
