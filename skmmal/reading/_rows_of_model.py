"""Rows as a classifier sees them: behind the steps of its Pipelines, in blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from skmmal._sklearn import num_samples
from skmmal.modalities import DEFAULT_NAME, MultimodalArray, as_multimodal, is_multimodal, presence_mask
from skmmal.modalities._containers import n_rows_of
from skmmal.modalities._input import split_prior, validate_features
from skmmal.reading._ready import ReadyModel
from skmmal.reading._rows import dense, is_opaque, zero_where_absent
from skmmal.reading._source import RowAnswers, Source

__all__ = ["RowsOfModel"]


class RowsOfModel(RowAnswers):
    """Rows as a classifier sees them, behind the steps of Pipelines; parameters as of `ModelSource`."""

    said_for: str = ""
    """What error messages add to the classifier's name: whose member it is."""

    def __init__(
        self,
        model: ReadyModel,
        X: Any,
        *,
        argument: str = "X_pool",
        whole: Any = None,
        reader: Callable[[Any, Any], Source] | None = None,
    ) -> None:
        self._model, self._given, self._argument, self._whole, self._reader = model, X, argument, whole, reader
        self.final = model.final

    def __len__(self) -> int:
        return n_rows_of(self._given)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The classifier's class."""
        return type(self.final).__name__

    @cached_property
    def X(self) -> Any:
        """The rows as the classifier sees them."""
        return self._model.transform(self._given)

    @property
    def is_fitted(self) -> bool:  # type: ignore[override]
        """Whether there is a fitted model."""
        return self._model.is_fitted

    @cached_property
    def _embedded(self) -> dict[str, np.ndarray]:
        if self.is_fitted and hasattr(self.final, "embed"):
            return dict(self.final.embed(self.X))
        if sparse.issparse(self.X):
            return {DEFAULT_NAME: dense(self.X)}
        features = self.features
        return dict(zip(features.blocks, zero_where_absent(features, presence_mask(features)), strict=True))

    @cached_property
    def features(self) -> MultimodalArray:
        """The rows in blocks, in the classifier's layout where it has one; NaN where a row lacks one."""
        X = self.X
        if self.is_fitted and hasattr(self.final, "modalities_"):
            return validate_features(self.final, X, reset=False)
        if is_opaque(X):
            raise TypeError(
                "this strategy needs features, and the rows are no numbers (the first is a "
                f"{type(next(iter(X))).__name__}): put what makes numbers of them before the classifier, as in "
                "make_pipeline(TfidfVectorizer(), classifier)"
            )
        if np.ndim(X) > 2 and not hasattr(self.final, "modalities"):  # a classifier that takes arrays row by row
            X = np.asarray(X).reshape(len(X), -1)
        X, _ = split_prior(self.final, X)
        return as_multimodal(X, None if is_multimodal(X) else getattr(self.final, "modalities", None))

    @cached_property
    def modality_names(self) -> list[str]:
        """Names of the modalities."""
        return list(self._embedded)

    @cached_property
    def present(self) -> np.ndarray:
        """Which row has which modality."""
        names = self.modality_names
        if not sparse.issparse(self.X) and set(self.features.blocks) == set(names):
            return presence_mask(self.features)[:, [list(self.features.blocks).index(name) for name in names]]
        # sparse, or an estimator that embeds as it likes: there is no telling what was missing
        return np.ones((num_samples(self.X), len(names)), dtype=bool)

    @property
    def blocks(self) -> Sequence[np.ndarray]:
        """What the classifier sees of each modality."""
        return list(self._embedded.values())
