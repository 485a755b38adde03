"""What is inside a fitted model: the classifier at a pipeline's end, and X as that classifier sees it."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from skmmal._containers import in_one, n_rows_of
from skmmal._input import modal_output, validate_features
from skmmal.modalities import MultimodalArray, as_multimodal, is_multimodal

__all__ = ["classifier_features", "final_step"]


def final_step(model: Any, X: Any) -> tuple[Any, Any]:
    """Return the classifier of a pipeline or a search, and X after the steps before it."""
    X = in_one(X)
    while True:
        model = getattr(model, "best_estimator_", model)
        if not isinstance(model, Pipeline):
            return model, X
        if len(model) > 1 and n_rows_of(X):
            with modal_output(X):
                X = model[:-1].transform(X)
        model = model[-1]


def classifier_features(classifier: Any, X: Any) -> MultimodalArray:
    """Return X in the blocks of a fitted classifier's modalities; one block ``"X"`` where it knows none."""
    if hasattr(classifier, "modalities_"):
        return validate_features(classifier, X, reset=False)
    return as_multimodal(X, None if is_multimodal(X) else getattr(classifier, "modalities", None))
