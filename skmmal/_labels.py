"""Labels as codes: the columns of their classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from skmmal._arrays import naming, off_device
from skmmal.modalities import MultimodalArray

__all__ = ["encode_labels", "known_codes"]


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
