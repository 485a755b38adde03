"""Any classifier as a source: in scikit-learn's form, or anything with `predict_proba`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.exceptions import NotFittedError

from skmmal._containers import n_rows_of
from skmmal._input import validate_features
from skmmal._probabilities import check_distribution, check_probability_matrix
from skmmal._sklearn import num_samples
from skmmal.modalities import DEFAULT_NAME, MultimodalArray, as_multimodal, is_multimodal, presence_mask
from skmmal.reading._held_out import HeldOutSource, folds
from skmmal.reading._linear import LinearHead, linear_map_of, log_probabilities
from skmmal.reading._posterior import class_weights, has_members, member_probabilities, prior_precision
from skmmal.reading._ready import ReadyModel
from skmmal.reading._rows import dense, is_opaque, zero_where_absent
from skmmal.reading._source import FUSED, Source, SourceError

__all__ = ["ModelSource"]


class ModelSource(Source):
    """What a classifier says of rows.

    The steps of Pipelines before it are applied once. A classifier that has no `embed` sees X itself; what it has of
    `predict_proba_by_modality`, `modality_contributions` and `embed` is asked, whatever class it is of.

    Parameters
    ----------
    model : ReadyModel
    X : container of rows
        As `skmmal.reading._rows.as_container` returned it; before the steps.
    argument : str, default="X_pool"
        What error messages call it.
    whole : object, optional
        The model before it was opened, to be fitted again on folds.
    reader : callable, optional
        Makes a source of another model and other rows.
    """

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

    @property
    def classes(self) -> np.ndarray | None:
        """Names of the classes, where the classifier has them."""
        names = getattr(self.final, "classes_", None)
        return None if names is None else np.asarray(names)

    @cached_property
    def X(self) -> Any:
        """The rows as the classifier sees them."""
        return self._model.transform(self._given)

    # ------------------------------------------------------------------------------------------------- the model

    @property
    def is_fitted(self) -> bool:  # type: ignore[override]
        """Whether there is a fitted model."""
        return self._model.is_fitted

    def check_fitted(self) -> None:
        """Raise `NotFittedError` where there is no fitted model."""
        if not self.is_fitted:
            refusal = self._model.refusal
            if refusal is not None and not isinstance(refusal, NotFittedError):
                raise refusal
            name = "the estimator" if self.final is None else self.name
            if not self._model.searched:
                name = type(self._whole).__name__
            raise NotFittedError(f"{name} is not fitted yet, and this strategy needs a model: fit it on labelled rows")

    def _method(self, name: str) -> Any:
        method = getattr(self.final, name, None)
        if method is None:
            way_out = "wrap it in CalibratedClassifierCV" if name == "predict_proba" else "use a LateFusionClassifier"
            raise SourceError(f"{self.name} has no {name}, which this strategy needs; {way_out}")
        return method

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Class probabilities of the fused head."""
        return self._checked(self._method("predict_proba")(self.X), len(self), self._argument)

    def _checked(self, probabilities: Any, n_rows: int, argument: str) -> np.ndarray:
        """What `predict_proba` said, if it is a distribution for each row."""
        names = getattr(self.final, "classes_", None)
        return check_distribution(
            probabilities,
            n_rows=n_rows,
            n_classes=len(names) if np.ndim(names) == 1 and not isinstance(probabilities, list) else None,  # type: ignore[arg-type]
            source=f"{self.name}.predict_proba",
            argument=argument,
        )

    @cached_property
    def predictions(self) -> Mapping[str, np.ndarray]:
        """Predicted labels (N,) by each head: the modalities' own, where there are any, and last the fused one."""
        by_modality = self.probabilities_by_modality if self.has_own_heads else {}
        labels = {name: np.asarray(self.final.classes_)[p.argmax(axis=1)] for name, p in by_modality.items()}
        return {**labels, FUSED: np.asarray(self._method("predict")(self.X))}

    @property
    def has_own_heads(self) -> bool:  # type: ignore[override]
        """Whether the classifier says something of each modality alone."""
        return hasattr(self.final, "predict_proba_by_modality")

    @cached_property
    def probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """Class probabilities of each modality's own head."""
        method = getattr(self.final, "predict_proba_by_modality", None)
        return super().probabilities_by_modality if method is None else self._checked_by_modality(method(self.X))

    def _checked_by_modality(
        self, by_modality: Mapping[str, Any], source: str = "", argument: str | None = None
    ) -> Mapping[str, np.ndarray]:
        checked = {}
        for name, probabilities in by_modality.items():
            said_by = f"modality {name!r}: {self.name}.predict_proba_by_modality{source}"
            values = check_probability_matrix(probabilities, n_rows=len(self), source=said_by)
            if name in self.modality_names:
                rows = np.flatnonzero(self.present[:, self.modality_names.index(name)])
                check_distribution(values[rows], source=said_by, argument=argument or self._argument, rows=rows)
            checked[name] = values
        return checked

    @cached_property
    def contributions(self) -> np.ndarray:
        """Contribution of each modality to the predicted class's probability."""
        self._method("embed")
        return np.asarray(self._method("modality_contributions")(self.X))

    # ---------------------------------------------------------------------------------------------- the features

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

    # ----------------------------------------------------------------------------- what it says at other points

    def linear_head(self, head: str, width: int) -> LinearHead | None:
        """Weights and intercepts of a linear classifier on X."""
        if head != FUSED or hasattr(self.final, "embed"):
            return None
        return linear_map_of(self.final, width, self.probabilities.shape[1])

    def is_linear_in_features(self, head: str) -> bool:
        """Whether X itself is what the last layer sees."""
        return not hasattr(self.final, "embed")

    def logits_at(self, head: str, features: np.ndarray) -> np.ndarray | None:
        """Log-probabilities of a classifier that sees X itself."""
        if head != FUSED or hasattr(self.final, "embed"):
            return None
        names, shape = getattr(self.final, "feature_names_in_", None), np.shape(self.X)
        X = features.reshape(len(features), *shape[1:]) if len(shape) > 2 else features
        found = self._method("predict_proba")(X if names is None else pd.DataFrame(X, columns=names))
        return log_probabilities(self._checked(found, len(features), "the embeddings"))

    def draws(
        self, head: str, n_draws: int, rng: np.random.RandomState, source: str, joint: bool
    ) -> Iterator[np.ndarray] | None:
        """Probabilities by the members of an ensemble."""
        if source in ("auto", "committee") and has_members(self.final):

            def predict(member: Any, X: Any) -> np.ndarray:
                return self._by_member(member, X, head)

            return member_probabilities(self.final, self.X, len(self.final.classes_), predict)
        return super().draws(head, n_draws, rng, source, joint)

    def _by_member(self, member: Any, X: Any, head: str) -> np.ndarray:
        """Probabilities (N, K) by a head of one of its members."""
        if head == FUSED:
            source = f"{type(member).__name__}.predict_proba (a member or copy of {self.name})"
            return check_distribution(member.predict_proba(X), n_rows=len(self), source=source, argument=self._argument)
        found = dict(member.predict_proba_by_modality(X))
        return self._checked_by_modality(found, f" (a member or copy of {self.name})")[head]

    def prior(self, codes: np.ndarray) -> tuple[float, np.ndarray | None]:
        """Precision of the prior by the classifier's `C`, and the rows' weights by its `class_weight`."""
        precision = prior_precision(self.final, len(codes))
        weighted = getattr(self.final, "class_weight", None) is not None
        return precision, class_weights(self.final, codes) if weighted else None

    def out_of_fold(self, y: Any, n_folds: int, seed: int) -> Source:
        """What clones of the whole model, fitted on the other folds, say of each row."""
        if self._reader is None or not hasattr(self._whole, "fit"):
            return super().out_of_fold(y, n_folds, seed)
        return HeldOutSource(self, self._whole, self._given, np.asarray(y), folds(y, n_folds, seed), self._reader)
