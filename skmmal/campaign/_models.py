"""How a campaign's models are fitted and asked: classifiers by their probabilities, regressors by what they predict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["Classifiers", "Names", "Regressors"]

Names = Sequence[str] | np.ndarray | pd.Series
"""One name or text for each row, or for each class."""


class Classifiers(ABC):
    """Models with probabilities."""

    def fit(self, model: Any, X: Any, y: np.ndarray, classes: Names) -> Any:
        """Fit a model on rows whose labels are known."""
        return model.fit(X, y, classes=np.array(classes, dtype=str))

    def ask(self, model: Any, X: Any) -> tuple[np.ndarray | None, np.ndarray]:
        """Probabilities of some rows, where the model has such, and what it predicts, as text."""
        scores = model.predict_proba(X)
        return scores, self.predicted(scores, model.classes_)

    def as_handed_out(self, table: pd.DataFrame) -> pd.DataFrame:
        """A batch's table with the columns that have a meaning."""
        return table

    def is_predicted(self, batch: pd.DataFrame) -> pd.Series:
        """Rows of a batch of which something was predicted."""
        return batch["confidence"].notna()

    @abstractmethod
    def predicted(self, probabilities: np.ndarray, classes: Names) -> np.ndarray:
        """What probabilities predict, as text."""

    @abstractmethod
    def texts(self, predicted: np.ndarray, classes: Names) -> np.ndarray:
        """What is predicted of rows, as text."""


class Regressors(Classifiers):
    """Models that predict numbers."""

    def fit(self, model: Any, X: Any, y: np.ndarray, classes: Names) -> Any:
        return model.fit(X, y)

    def ask(self, model: Any, X: Any) -> tuple[np.ndarray | None, np.ndarray]:
        return None, self.texts(np.asarray(model.predict(X)), ())

    def as_handed_out(self, table: pd.DataFrame) -> pd.DataFrame:
        names = table.columns.astype(str)
        return table.loc[:, ~(names.str.startswith("contribution_") | (names == "confidence"))]

    def is_predicted(self, batch: pd.DataFrame) -> pd.Series:
        return batch["predicted"] != ""
