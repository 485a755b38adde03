"""How estimators take X: any accepted form in, a `MultimodalArray` out, with scikit-learn's bookkeeping."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skmmal._arrays import naming
from skmmal._layout import is_selector
from skmmal._rows import row_names, rows_of
from skmmal._sklearn import get_output_config, wrap_data_with_container
from skmmal._tables import has_vectors, in_memory
from skmmal.modalities import (
    DEFAULT_NAME,
    Layout,
    MultimodalArray,
    as_multimodal,
    is_multimodal,
    presence_mask,
    resolve_layout,
    unpack,
)


def validate_features(estimator: Any, X: Any, *, reset: bool) -> MultimodalArray:
    """Return `X` as a `MultimodalArray` and set or check what the estimator knows of its features.

    On `reset`, sets ``modalities_`` (name to columns), ``n_features_in_`` and, for frames,
    ``feature_names_in_``; otherwise checks `X` against them and brings its modalities into the fitted order.
    A fitted estimator takes blocks where it was fitted on a matrix, and the other way round.
    """
    X = in_memory(X)
    if is_multimodal(X):
        return _validate_blocks(estimator, X, reset)
    names = list(X.columns) if isinstance(X, pd.DataFrame) else None
    with naming("X"):
        matrix = validate_data(estimator, X, reset=reset, dtype="numeric", ensure_all_finite=False)
    if reset:
        layout = resolve_layout(estimator.modalities, matrix.shape[1], names, X)
        _remember(estimator, layout)
    return unpack(matrix, Layout(estimator.modalities_, _grids(estimator._widths)))


def fitted_features(estimator: Any, X: Any) -> tuple[MultimodalArray, np.ndarray]:
    """Return X as a fitted estimator sees it, and which modality is there in which row."""
    check_is_fitted(estimator)
    features = validate_features(estimator, X, reset=False)
    return features, presence_mask(features)


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


# the output is put into its container here: scikit-learn's own wrapping knows no modalities
class BlockTransformer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Transformer that makes a new block of every modality's block, row by row."""

    modalities: Any

    def transform(self, X: Any) -> Any:
        """Transform every modality.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)

        Returns
        -------
        MultimodalArray, ndarray or DataFrame
            A matrix for a plain matrix without modalities, a `MultimodalArray` for all other forms. With
            ``set_output(transform="pandas")``: a DataFrame, with two column levels (modality, feature) in place of a
            `MultimodalArray`. Missing blocks stay missing (NaN).

        Raises
        ------
        ValueError
            The output is set to polars, or a modality is a grid of tokens and the output set to pandas: such frames
            cannot carry the modalities.
        """
        blocks = self.transform_blocks(X)
        if is_plain(self) and not is_multimodal(X):
            return wrap_data_with_container("transform", np.asarray(blocks), X, self)
        kind = get_output_config("transform", self)["dense"]
        return blocks if kind == "default" else _two_levels(blocks, self._labels(), kind, X)

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit, and transform the same rows.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), optional
        **fit_params
            Passed to `fit`.

        Returns
        -------
        MultimodalArray, ndarray or DataFrame
            As of `transform`.
        """
        return self.fit(X, y, **fit_params).transform(X)

    def transform_blocks(self, X: Any) -> MultimodalArray:
        """Transform as `transform` does, into a `MultimodalArray` whatever scikit-learn's output is set to.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)

        Returns
        -------
        MultimodalArray
        """
        features, present = fitted_features(self, X)
        blocks = {
            name: self._transform_block(name, block, present[:, index])
            for index, (name, block) in enumerate(features.blocks.items())
        }
        return self._as_blocks(blocks, features)

    @abstractmethod
    def _transform_block(self, name: str, block: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Rows of the new block, NaN where the modality is absent."""

    def _as_blocks(self, blocks: dict[str, np.ndarray], features: MultimodalArray) -> MultimodalArray:
        return MultimodalArray(blocks)

    def _labels(self) -> list[Any]:
        """Names of the new columns within their modalities, one modality after the other."""
        return list(self.get_feature_names_out())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.modalities is not None
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def is_plain(estimator: Any) -> bool:
    """Whether a fitted estimator knows of no modalities: it was fitted on a matrix without a layout."""
    return estimator.modalities is None and list(estimator.modalities_) == [DEFAULT_NAME]


def input_labels(estimator: Any) -> list[Any]:
    """Names of the columns an estimator was fitted on within their modalities, one modality after the other."""
    known = getattr(estimator, "_block_feature_names", None)
    if known is not None:
        return [label for name in estimator.modalities_ for label in known[name]]
    flat = getattr(estimator, "feature_names_in_", None)
    if flat is not None:
        return [label for columns in estimator.modalities_.values() for label in flat[columns]]
    counts = Layout(estimator.modalities_).widths.values()
    return [f"x{at}" for count in counts for at in range(count)]  # type: ignore[arg-type]


def _two_levels(blocks: MultimodalArray, labels: list[Any], kind: str, X: Any) -> pd.DataFrame:
    """A DataFrame whose columns have the levels (modality, feature), with the rows' names of X."""
    if kind != "pandas":
        raise ValueError(
            f"scikit-learn's output is set to {kind!r}, whose frames have no column levels, and the modalities "
            f"{list(blocks.modalities)} would be lost: use set_output(transform='default') (a MultimodalArray) or "
            "'pandas' (two column levels)"
        )
    for name, width in blocks.modalities.items():
        if isinstance(width, tuple):
            raise ValueError(
                f"scikit-learn's output is set to 'pandas', and a DataFrame cannot carry that modality {name!r} is a "
                f"grid of {width[0]} tokens × {width[1]}: use set_output(transform='default') (a MultimodalArray)"
            )
    index = next((names for part in rows_of(X, "X").values() if (names := row_names(part)) is not None), None)
    frame = pd.concat([pd.DataFrame(block, index=index) for block in blocks.blocks.values()], axis=1)
    modality = [name for name, block in blocks.blocks.items() for _ in range(block.shape[1])]
    frame.columns = pd.MultiIndex.from_arrays([modality, labels], names=["modality", "feature"])
    return frame


def _validate_blocks(estimator: Any, X: Any, reset: bool) -> MultimodalArray:
    names = _frame_names(X) if isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex) else None
    expected = estimator.modalities if reset else estimator._widths
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
