"""The labelled rows that count in a fit: codes, weights, and what was left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_consistent_length

from skmmal._arrays import naming, off_device
from skmmal._labels import class_weights, encode_labels, label_weights, several_labels
from skmmal._sklearn import check_sample_weight
from skmmal.heads.convex import LabeledRows
from skmmal.modalities import MultimodalArray, presence_mask

__all__ = ["counted_rows"]


def counted_rows(
    estimator: Any,
    features: MultimodalArray,
    y: Any,
    sample_weight: Any,
    classes: Any,
    former: np.ndarray | None,
) -> tuple[LabeledRows, np.ndarray, np.ndarray]:
    """Return the rows that count, with labels and weights.

    Parameters
    ----------
    estimator : LateFusionClassifier
        Whose `class_weight` counts.
    features : MultimodalArray
        All rows that were given.
    y, sample_weight, classes
        As of its `fit`.
    former : ndarray or None
        Classes of a model that the fit must not forget.

    Returns
    -------
    data : LabeledRows
    names : ndarray of shape (K,)
        Of the classes or labels.
    places : ndarray of int
        Which of the given rows they are.
    """
    present = presence_mask(features)
    several = several_labels(y, classes)
    labels, names = encode_labels(estimator, y, classes, features) if several is None else several
    with naming("sample_weight"):
        # `present` is an array of as many rows: scikit-learn may ask for X's namespace, and features have none
        weights = check_sample_weight(off_device(sample_weight), present, dtype=np.float64, ensure_non_negative=True)
    if not (weights > 0).any():
        raise ValueError("sample_weight is zero for every row; at least one row must count")
    factors = None
    if several is not None:
        check_consistent_length(features, labels)
        if former is not None:
            labels, names = _with_former_labels(labels, names, former)
        weights = weights * ~np.isnan(labels).all(axis=1)
        if not (weights > 0).any():
            raise ValueError("y is NaN throughout: at least one label of one row must be known")
        factors = label_weights(estimator.class_weight, labels, names, weights)
    rows = np.flatnonzero(weights > 0)
    # rows of weight zero end here: nothing that follows knows of them
    labels, weights = labels[rows], weights[rows]
    if several is None:
        if classes is None:
            labels, names = _without_unused(labels, names)
            if former is not None:
                labels, names = _with_former(labels, names, former)
        weights = weights * class_weights(estimator.class_weight, labels, names, weights)[labels]
        rows, labels, weights = (each[weights > 0] for each in (rows, labels, weights))
        if len(rows) == 0:
            raise ValueError(f"class_weight={estimator.class_weight!r} is zero for the class of every row that counts")
    if len(rows) < len(present):
        features, present = features[rows], present[rows]
        factors = factors if factors is None else factors[rows]
    return LabeledRows(list(features.blocks.values()), present, labels, weights, factors), names, rows


def _without_unused(codes: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out the classes that no row has."""
    used, codes = np.unique(codes, return_inverse=True)
    return codes, names[used]


def _with_former(codes: np.ndarray, names: np.ndarray, former: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add the classes of a former model; in order where those are, otherwise with the new ones at the end."""
    known = pd.Index(former)
    together = np.concatenate([former, names[~pd.Index(names).isin(known)]])
    if known.is_monotonic_increasing:
        together = np.sort(together)
    return pd.Index(together).get_indexer(pd.Index(names))[codes], together


def _with_former_labels(states: np.ndarray, names: np.ndarray, former: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add the labels of a former model; nobody knows which rows have them."""
    absent = former[~pd.Index(former).isin(names)]
    return np.hstack([states, np.full((len(states), len(absent)), np.nan)]), np.concatenate([names, absent])
