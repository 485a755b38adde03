"""Any classifier as a source: in scikit-learn's form, or anything with `predict_proba`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from skmmal._probabilities import check_probability_matrix
from skmmal._targets import SEVERAL_LABELS, Target, of_labels, target_of
from skmmal.reading._model_at_points import ModelAtPoints
from skmmal.reading._rows_of_model import RowsOfModel
from skmmal.reading._source import FUSED, SourceError

__all__ = ["ModelSource"]


class ModelSource(RowsOfModel, ModelAtPoints):
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

    @property
    def classes(self) -> np.ndarray | None:
        """Names of the classes, where the classifier has them."""
        names = getattr(self.final, "classes_", None)
        if isinstance(names, list) and self.target is SEVERAL_LABELS:  # a list of each column's states
            return np.arange(len(names))
        return None if names is None else np.asarray(names)

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
    def target(self) -> Target:  # type: ignore[override]
        """Whether the classifier was fitted on one class or on several labels a row."""
        return target_of(self.final)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Class probabilities of the fused head."""
        return self._checked(self._method("predict_proba")(self.X), len(self), self._argument)

    def _checked(self, probabilities: Any, n_rows: int, argument: str) -> np.ndarray:
        """What `predict_proba` said, if it is a distribution for each row."""
        names = getattr(self.final, "classes_", None)
        if isinstance(probabilities, list) and self.target is SEVERAL_LABELS:
            probabilities, names = of_labels(probabilities, names), None
        return self.target.checked(
            probabilities,
            n_rows=n_rows,
            n_classes=len(names) if np.ndim(names) == 1 and not isinstance(probabilities, list) else None,  # type: ignore[arg-type]
            source=f"{self.name}.predict_proba{self.said_for}",
            argument=argument,
        )

    @cached_property
    def predictions(self) -> Mapping[str, np.ndarray]:
        """Predicted labels (N,) by each head: the modalities' own, where there are any, and last the fused one."""
        by_modality = self.probabilities_by_modality if self.has_own_heads else {}
        target = self.target
        labels = {name: target.named(target.decided(p), self.final.classes_) for name, p in by_modality.items()}
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
            said_by = f"modality {name!r}: {self.name}.predict_proba_by_modality{source or self.said_for}"
            values = check_probability_matrix(probabilities, n_rows=len(self), source=said_by)
            if name in self.modality_names:
                rows = np.flatnonzero(self.present[:, self.modality_names.index(name)])
                self.target.checked(values[rows], source=said_by, argument=argument or self._argument, rows=rows)
            checked[name] = values
        return checked

    @cached_property
    def contributions(self) -> np.ndarray:
        """Contribution of each modality to the predicted class's probability."""
        self._method("embed")
        return np.asarray(self._method("modality_contributions")(self.X))

    def contributions_to(self, y: np.ndarray) -> np.ndarray:
        """Contribution of each modality to the probability of given classes.

        Parameters
        ----------
        y : ndarray of shape (N,) or (N, L)
            Classes, or states of the labels.

        Returns
        -------
        ndarray of shape (N, M)
        """
        return np.asarray(self._method("modality_contributions")(self.X, y))
