"""The base of transformers that keep the modalities apart."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skmmal._arrays import at_least_float32
from skmmal._sklearn import get_output_config, wrap_data_with_container
from skmmal.modalities import DEFAULT_NAME, Layout, MultimodalArray, is_multimodal, presence_mask
from skmmal.modalities._input import validate_features
from skmmal.modalities._mapped import released_chunks
from skmmal.modalities._rows import row_names, rows_of

__all__ = ["BlockTransformer", "check_squares", "input_labels", "is_plain", "present_chunks"]

_TILE = 2**16
"""Numbers of a block that are worked on at a time."""


# the output is put into its container here: scikit-learn's own wrapping knows no modalities
class BlockTransformer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Transformer that makes a new block of every modality's block, row by row."""

    modalities: Any
    _made_by_fit: tuple[str, ...]
    """Attributes that only a fit which went through makes."""

    def transform(self, X: Any) -> Any:
        """Transform every modality.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.

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
            Rows to fit on and transform; a modality that is NaN in a row is missing there.
        y : array-like of shape (n_samples,), optional
            Labels, for transformers that learn from them.
        **fit_params : object
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
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.

        Returns
        -------
        MultimodalArray
        """
        check_is_fitted(self)
        blocks, present = self._read(X, reset=False)
        with config_context(transform_output="default"):
            new = {name: self._transform_block(name, blocks[name], present[:, m]) for m, name in enumerate(blocks)}
        return MultimodalArray(new, self._grids())

    @abstractmethod
    def _transform_block(self, name: str, block: Any, present: np.ndarray) -> np.ndarray:
        """Rows of the new block, NaN where the modality is absent."""

    def _grids(self) -> dict[str, Any] | None:
        """Widths of the new blocks, where these can be grids of tokens."""
        return None

    def _read_for_fit(self, X: Any) -> tuple[dict[str, Any], np.ndarray]:
        """`_read`, in a fit: one that fails leaves nothing fitted."""
        for name in self._made_by_fit:
            self.__dict__.pop(name, None)
        return self._read(X, reset=True)

    def _read(self, X: Any, *, reset: bool) -> tuple[dict[str, Any], np.ndarray]:
        """The blocks of X, and which modality is there in which row, shape (n, M)."""
        features = validate_features(self, X, reset=reset)
        return dict(features.blocks), presence_mask(features)

    def __sklearn_is_fitted__(self) -> bool:
        return all(hasattr(self, name) for name in self._made_by_fit)

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


def present_chunks(block: np.ndarray, present: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of a block that have the modality, copied to float64, as many at a time as the processor's cache holds."""
    step = max(1, _TILE // max(1, block.shape[1]))
    for chunk in released_chunks([block], block.shape[1]):
        for start in range(chunk.start, chunk.stop, step):
            rows = slice(start, min(start + step, chunk.stop))
            there = np.flatnonzero(present[rows])
            if len(there):
                values = block[rows] if len(there) == rows.stop - rows.start else block[rows][there]
                yield at_least_float32(values).astype(np.float64)


def check_squares(name: str, squares: np.ndarray) -> None:
    """Raise `ValueError` where a modality's values cannot be squared: their variances are not finite."""
    if not np.isfinite(squares).all():
        raise ValueError(f"modality {name!r} holds values that are too large to be squared; divide them first")
