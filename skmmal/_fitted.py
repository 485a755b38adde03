"""What is inside a model: the one rule for looking through pipelines, searches and wrappers.

Everything that wants a model's classifier, and X as that classifier sees it, asks here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmmal._arrays import own_rows
from skmmal.modalities import MultimodalArray, as_multimodal, is_multimodal
from skmmal.modalities._containers import in_one, n_rows_of, stack_rows
from skmmal.modalities._input import modal_output, validate_features

__all__ = [
    "OpenedModel",
    "check_estimator",
    "classifier_features",
    "final_step",
    "is_learner",
    "known_fitted",
    "open_model",
    "predicts_values",
    "require_fitted",
]


@dataclass(frozen=True)
class OpenedModel:
    """A model taken apart.

    Parameters
    ----------
    final : object
        The classifier at the end.
    steps : tuple of Pipeline
        What X goes through before, from the outside in; without their last steps.
    searched : bool, default=True
        False where a search on the way has no best estimator (yet); then `final` is what it is to search over.
    """

    final: Any
    steps: tuple[Pipeline, ...] = ()
    searched: bool = True

    def transform(self, X: Any) -> Any:
        """X as the final classifier sees it."""
        for steps in self.steps:
            with modal_output(X):
                X = steps.transform(X)
        return X

    @property
    def steps_are_fitted(self) -> bool:
        """Whether every step says that it is fitted."""
        return all(known_fitted(step) for steps in self.steps for _, step in steps.steps if not _passes(step))

    def with_fitted_steps(self, X: Any, X_labeled: Any = None, y_labeled: Any = None) -> OpenedModel:
        """The same with clones of the steps, fitted on all rows; on the labelled ones where they need labels.

        Raises
        ------
        TypeError, ValueError
            The steps cannot be fitted on these rows, or not without labels.
        """
        if X_labeled is not None and n_rows_of(X_labeled) == 0:
            X_labeled = None
        rows = X if X_labeled is None else stack_rows(X, X_labeled)
        fitted = []
        for original in self.steps:
            try:
                with modal_output(rows):
                    steps = clone(original).fit(rows)
            except (TypeError, ValueError) as error:
                if X_labeled is None or y_labeled is None:
                    parts = {"X_pool": n_rows_of(X), "X_labeled": n_rows_of(rows) - n_rows_of(X)}
                    raise (TypeError if isinstance(error, TypeError) else ValueError)(
                        "the Pipeline is not fitted, and its steps before the last cannot be fitted on the pool: "
                        f"{own_rows(str(error), parts)} (where a step needs labels: fit the Pipeline first, or give "
                        "X_labeled and y_labeled)"
                    ) from error
                with modal_output(X_labeled):
                    steps = clone(original).fit(X_labeled, y_labeled)
            fitted.append(steps)
            with modal_output(rows):
                rows = steps.transform(rows)
                X_labeled = None if X_labeled is None else steps.transform(X_labeled)
        return OpenedModel(self.final, tuple(fitted), self.searched)


def open_model(model: Any) -> OpenedModel:
    """Look through pipelines, searches, learners, frozen and thresholded classifiers, however they are nested.

    A classifier that makes probabilities of its own from several models (voting, bagging, stacking, calibration, one
    against the rest) is a classifier, not a wrapper.
    """
    steps: list[Pipeline] = []
    searched = True
    while True:
        if isinstance(model, FrozenEstimator) or is_learner(model):
            model = model.estimator
        elif isinstance(model, Pipeline):
            if len(model) > 1:
                steps.append(model[:-1])
            model = model[-1]
        elif _is_search(model):
            searched = searched and hasattr(model, "best_estimator_")
            model = getattr(model, "best_estimator_", model.estimator)
        elif isinstance(model, TunedThresholdClassifierCV | FixedThresholdClassifier):
            model = getattr(model, "estimator_", model.estimator)
        else:
            return OpenedModel(model, tuple(steps), searched)


def _is_search(model: Any) -> bool:
    if isinstance(model, type) or not hasattr(model, "estimator"):
        return False
    return hasattr(model, "best_estimator_") or (hasattr(model, "refit") and hasattr(model, "scoring"))


def is_learner(model: Any) -> bool:
    """Whether an object is an active learner: meta-estimators have an ``estimator`` too, but only learners teach."""
    return not isinstance(model, type) and hasattr(model, "teach") and hasattr(model, "estimator")


def _passes(step: Any) -> bool:
    return step is None or isinstance(step, str)


def final_step(model: Any, X: Any) -> tuple[Any, Any]:
    """Return the classifier inside a fitted model, and X as that classifier sees it."""
    X = in_one(X)
    opened = open_model(model)
    return opened.final, opened.transform(X) if n_rows_of(X) else X


def classifier_features(classifier: Any, X: Any) -> MultimodalArray:
    """Return X in the blocks of a fitted classifier's modalities; one block ``"X"`` where it knows none."""
    if hasattr(classifier, "modalities_"):
        return validate_features(classifier, X, reset=False)
    return as_multimodal(X, None if is_multimodal(X) else getattr(classifier, "modalities", None))


# -------------------------------------------------------------------------------------------------- fitted or not


def known_fitted(model: Any) -> bool | None:
    """Whether a model is fitted, as far as can be told from outside; ``None`` where it cannot.

    scikit-learn's estimators say so themselves. Any other object is fitted if it has ``classes_`` or another attribute
    of scikit-learn's form; without one it may be a model that came trained, or one that keeps its state elsewhere.
    """
    own_word = getattr(model, "__sklearn_is_fitted__", None)
    if own_word is not None:
        return bool(own_word())
    if getattr(model, "classes_", None) is not None:
        return True
    if isinstance(model, BaseEstimator):
        try:
            check_is_fitted(model)
        except (NotFittedError, TypeError):  # TypeError: it has no fit
            return False if type(model).__module__.split(".")[0] in ("sklearn", "skmmal") else None
        return True
    learnt = {name: value for name, value in getattr(model, "__dict__", {}).items() if name.endswith("_")}
    return True if any(value is not None and not name.startswith("_") for name, value in learnt.items()) else None


def require_fitted(model: Any) -> None:
    """Raise `NotFittedError` where a model says that it is not fitted, `TypeError` where it is no estimator."""
    check_estimator(model)
    opened = open_model(model)
    if not opened.searched or known_fitted(opened.final) is False:
        name = type(opened.final if opened.searched else model).__name__
        raise NotFittedError(f"{name} is not fitted yet: fit it on labelled rows first")


_VERBS = ("predict_proba", "predict", "fit", "transform", "learner_list")


def predicts_values(estimator: Any) -> bool:
    """Whether something says that it is a regressor."""
    return hasattr(estimator, "__sklearn_tags__") and is_regressor(estimator)


def check_estimator(estimator: Any, argument: str = "estimator") -> None:
    """Raise `TypeError` where something is no estimator, and say what it is."""
    if isinstance(estimator, type):
        raise TypeError(f"{argument} is the class {estimator.__name__}; give an object, {estimator.__name__}()")
    if not any(hasattr(estimator, verb) for verb in _VERBS):
        shown = repr(estimator)
        raise TypeError(
            f"{argument} must be a classifier (an object with fit, predict_proba and classes_), got "
            f"{shown if len(shown) <= 60 else shown[:57] + '...'} of type {type(estimator).__name__}"
        )
