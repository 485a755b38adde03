"""A model whose Pipelines can be gone through, whether it is fitted or not."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from skmmal._fitted import OpenedModel, known_fitted, predicts_values
from skmmal.modalities._containers import take_rows

__all__ = ["ReadyModel"]


class ReadyModel:
    """A model taken apart, and whether it is fitted; both are found out when they are first asked for.

    Where no step of it is fitted yet, clones of its steps are, on all the rows at hand.

    Parameters
    ----------
    opened : OpenedModel
    X : container of rows
    X_labeled, y_labeled : optional
        Rows on which steps that need labels are fitted.
    """

    def __init__(self, opened: OpenedModel, X: Any, X_labeled: Any = None, y_labeled: Any = None) -> None:
        self.final, self.searched, self._opened = opened.final, opened.searched, opened
        self._X, self._X_labeled, self._y_labeled = X, X_labeled, y_labeled

    def transform(self, X: Any) -> Any:
        """X as the final classifier sees it."""
        return self._with_steps.transform(X)

    @cached_property
    def _with_steps(self) -> OpenedModel:
        opened = self._opened
        if not opened.steps or self.is_fitted or opened.steps_are_fitted:
            return opened
        return opened.with_fitted_steps(self._X, self._X_labeled, self._y_labeled)

    @cached_property
    def is_fitted(self) -> bool:
        """Whether there is a fitted model.

        A regressor is none: it has no probabilities. A classifier that cannot tell (no scikit-learn estimator, without
        ``classes_``) is asked about one row.
        """
        if self.final is None or not self.searched or predicts_values(self.final):
            return False
        known = known_fitted(self.final)
        if known is not None:
            return known
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.final.predict_proba(self._opened.transform(take_rows(self._X, np.arange(1))))
        except (NotFittedError, AttributeError) as error:
            self.refusal = error
            return False
        except Exception:  # whatever it is, the whole pool will meet it, and the user hear of it
            return True
        return True

    refusal: Exception | None = None
    """Why a classifier that was asked about one row would not answer."""
