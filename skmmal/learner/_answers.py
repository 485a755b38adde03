"""What a learner says is what its estimator says, as soon as that is trained."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

from skmmal._fitted import known_fitted, open_model, predicts_values
from skmmal.modalities._containers import as_read
from skmmal.reading import read

__all__ = ["EstimatorAnswersMixin", "is_trained"]


def _estimator_has(method: str) -> Callable[[Any], bool]:
    return lambda learner: hasattr(learner.estimator, method)


def is_trained(estimator: Any, X: Any) -> bool:
    """Whether an estimator has learned from rows; a regressor has too, though no strategy reads it."""
    final = open_model(estimator).final
    return bool(known_fitted(final)) if predicts_values(final) else read(estimator, X).is_fitted


class EstimatorAnswersMixin(BaseEstimator):
    """Predictions, fitted attributes and tags of `self.estimator`.

    A method or attribute is there where the estimator has it.
    """

    estimator: Any
    X_training: Any

    @abstractmethod
    def _catch_up(self) -> None:
        """Make the fit that was put off, if one was."""

    def _ask(self, method: str, X: Any, *args: Any, **kwargs: Any) -> Any:
        self._catch_up()
        if self.X_training is not None and known_fitted(self.estimator) is False:
            raise NotFittedError(
                f"{type(self.estimator).__name__} is not fitted yet: the learner holds labeled rows, and has not "
                "fitted it on them (fit() does; where all have the same label, teach rows of another class first)"
            )
        return getattr(self.estimator, method)(as_read(X), *args, **kwargs)

    @available_if(_estimator_has("predict"))
    def predict(self, X: Any, **predict_kwargs: Any) -> Any:
        """Call the estimator's `predict`.

        Parameters
        ----------
        X : array-like, DataFrame, mapping, MultimodalArray, tensor, sparse matrix, or texts in a list or Series
            Rows.
        **predict_kwargs
            Passed on.

        Returns
        -------
        ndarray of shape (n_samples,)
            The most probable class of each row.
        """
        return self._ask("predict", X, **predict_kwargs)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any, **predict_proba_kwargs: Any) -> Any:
        """Call the estimator's `predict_proba`.

        Parameters
        ----------
        X : array-like, DataFrame, mapping, MultimodalArray, tensor, sparse matrix, or texts in a list or Series
            Rows.
        **predict_proba_kwargs
            Passed on.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Class probabilities.
        """
        return self._ask("predict_proba", X, **predict_proba_kwargs)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> Any:
        """Call the estimator's `predict_log_proba`.

        Parameters
        ----------
        X : array-like, DataFrame, mapping, MultimodalArray, tensor, sparse matrix, or texts in a list or Series
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Logarithms of the class probabilities.
        """
        return self._ask("predict_log_proba", X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any) -> Any:
        """Call the estimator's `decision_function`.

        Parameters
        ----------
        X : array-like, DataFrame, mapping, MultimodalArray, tensor, sparse matrix, or texts in a list or Series
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) with two classes
            Scores of the classes.
        """
        return self._ask("decision_function", X)

    @available_if(_estimator_has("score"))
    def score(self, X: Any, y: Any, **score_kwargs: Any) -> float:
        """Call the estimator's `score`.

        Parameters
        ----------
        X : array-like, DataFrame, mapping, MultimodalArray, tensor, sparse matrix, or texts in a list or Series
            Rows.
        y : array-like of shape (n_samples,)
            Their labels.
        **score_kwargs
            Passed on.

        Returns
        -------
        float
            Higher is better.
        """
        return self._ask("score", X, y, **score_kwargs)

    @property
    def classes_(self) -> Any:
        """Classes that the estimator was fitted on."""
        self._catch_up()
        return self.estimator.classes_

    @property
    def n_features_in_(self) -> int:
        """Number of columns that the estimator was fitted on."""
        self._catch_up()
        return self.estimator.n_features_in_

    @property
    def feature_names_in_(self) -> Any:
        """Names of the columns that the estimator was fitted on."""
        self._catch_up()
        return self.estimator.feature_names_in_

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator) if hasattr(self.estimator, "__sklearn_tags__") else super().__sklearn_tags__()
