"""How estimators take X: any accepted form in, a `MultimodalArray` out, with scikit-learn's bookkeeping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
from sklearn import config_context, get_config
from sklearn.utils.validation import validate_data

from skmmal._arrays import naming
from skmmal.modalities import (
    Layout,
    MultimodalArray,
    as_multimodal,
    is_multimodal,
    resolve_layout,
    unpack,
)
from skmmal.modalities._layout import is_selector
from skmmal.modalities._tables import has_vectors, in_memory


def validate_features(estimator: Any, X: Any, *, reset: bool) -> MultimodalArray:
    """Return `X` as a `MultimodalArray` and set or check what the estimator knows of its features.

    On `reset`, sets ``modalities_`` (name to columns), ``n_features_in_`` and, for frames,
    ``feature_names_in_``; otherwise checks `X` against them and brings its modalities into the fitted order.
    A fitted estimator takes blocks where it was fitted on a matrix, and the other way round.
    """
    X, _ = split_prior(estimator, in_memory(X))
    if is_multimodal(X):
        return _validate_blocks(estimator, X, reset)
    names = list(X.columns) if isinstance(X, pd.DataFrame) else None
    with naming("X"):
        matrix = validate_data(estimator, X, reset=reset, dtype="numeric", ensure_all_finite=False)
    if reset:
        layout = resolve_layout(estimator.modalities, matrix.shape[1], names, X)
        _remember(estimator, layout)
    return unpack(matrix, Layout(estimator.modalities_, _grids(estimator._widths)))


@contextmanager
def modal_output(X: Any) -> Iterator[None]:
    """Run the steps of a user's Pipeline so that what they make of an X with modalities can carry them.

    Frames of polars cannot; where the user has set scikit-learn's output to them, blocks stay blocks within.
    """
    if get_config()["transform_output"] == "polars" and is_multimodal(X):
        with config_context(transform_output="default"):
            yield
    else:
        yield


def split_prior(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Take the block that an estimator's `prior` names from the others: it is no modality.

    Parameters
    ----------
    estimator : estimator
        With or without a `prior`.
    X : container of rows
        As the estimator takes it.

    Returns
    -------
    features : container of rows
        Without the block.
    block : ndarray of shape (n_samples, n_classes) or None
        ``None`` where `prior` names none.
    """
    name = getattr(estimator, "prior", None)
    if not isinstance(name, str) or not hasattr(estimator, "modalities"):
        return X, None
    blocks = as_multimodal(X, estimator.modalities if has_vectors(X) or not is_multimodal(X) else None)
    others = {key: block for key, block in blocks.blocks.items() if key != name}
    if len(others) == len(blocks.blocks) or not others:
        raise ValueError(
            f"prior={name!r} must be the name of a block of X beside its modalities; X has {list(blocks.modalities)}"
        )
    return MultimodalArray(others), blocks[name]


def _feature_modalities(estimator: Any) -> Any:
    """The estimator's `modalities` without the block that is its prior."""
    name = getattr(estimator, "prior", None)
    if estimator.modalities is None or not isinstance(name, str):
        return estimator.modalities
    return {key: value for key, value in estimator.modalities.items() if key != name}


def _validate_blocks(estimator: Any, X: Any, reset: bool) -> MultimodalArray:
    names = _frame_names(X) if isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex) else None
    expected = _feature_modalities(estimator) if reset else estimator._widths
    if has_vectors(X):  # a column that a layout names holds as many numbers as it likes
        X, expected = as_multimodal(X, estimator.modalities), None if reset else expected
    features = as_multimodal(X, expected)
    if len(features) == 0:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
    if reset:
        _remember(estimator, features.layout)
        estimator.n_features_in_ = features.shape[1]
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
        estimator._block_feature_names = names
        return features
    fitted = getattr(estimator, "_block_feature_names", None)
    if names is not None and fitted is not None:
        for modality, expected_names in fitted.items():
            if names[modality] != expected_names:
                raise ValueError(
                    f"modality {modality!r}: the feature names should match those that were passed during fit "
                    f"(expected {expected_names[:5]}..., found {names[modality][:5]}...)"
                )
    return features


def plain_layout(estimator: Any) -> Any:
    """The estimator's `modalities` in values that can be written down: callables as the columns that they selected."""
    given = estimator.modalities
    if given is None or not any(is_selector(value) and not isinstance(value, str) for value in given.values()):
        return given
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:  # fitted on blocks, of which nothing was selected
        return dict(estimator._widths)
    return {name: list(names[columns]) for name, columns in estimator.modalities_.items()}


def _remember(estimator: Any, layout: Layout) -> None:
    estimator.modalities_ = layout.columns
    estimator._widths = layout.widths
    estimator._block_feature_names = None


def _grids(widths: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {name: width for name, width in widths.items() if isinstance(width, tuple)}


def _frame_names(frame: pd.DataFrame) -> dict[str, list]:
    return {name: list(frame[name].columns) for name in dict.fromkeys(frame.columns.get_level_values(0))}
