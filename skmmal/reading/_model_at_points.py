"""What a classifier would say elsewhere: at new points, by its members, fitted on other rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from skmmal._probabilities import log_probabilities
from skmmal._targets import SEVERAL_LABELS, of_labels
from skmmal.reading._held_out import HeldOutSource, folds
from skmmal.reading._linear import LinearHead, linear_map_of
from skmmal.reading._posterior import (
    class_weights,
    has_members,
    member_probabilities,
    prior_precision,
    state_weights,
)
from skmmal.reading._source import FUSED, Source

__all__ = ["ModelAtPoints"]


class ModelAtPoints(Source):
    """What a classifier would say elsewhere."""

    X: Any
    _argument: str
    _given: Any
    _whole: Any
    _reader: Callable[[Any, Any], Source] | None
    _checked: Callable[..., np.ndarray]
    _checked_by_modality: Callable[..., Mapping[str, np.ndarray]]
    _method: Callable[[str], Any]

    def linear_head(self, head: str, width: int) -> LinearHead | None:
        # weights and intercepts of a linear classifier on X
        if head != FUSED or hasattr(self.final, "embed"):
            return None
        return linear_map_of(self.final, width, self.probabilities.shape[1])

    def is_linear_in_features(self, head: str) -> bool:
        # whether X itself is what the last layer sees
        return not hasattr(self.final, "embed")

    def logits_at(self, head: str, features: np.ndarray) -> np.ndarray | None:
        # log-probabilities of a classifier that sees X itself
        if head != FUSED or hasattr(self.final, "embed"):
            return None
        names, shape = getattr(self.final, "feature_names_in_", None), np.shape(self.X)
        X = features.reshape(len(features), *shape[1:]) if len(shape) > 2 else features
        found = self._method("predict_proba")(X if names is None else pd.DataFrame(X, columns=names))
        return log_probabilities(self._checked(found, len(features), "the embeddings"))

    def draws(
        self, head: str, n_draws: int, rng: np.random.RandomState, source: str, joint: bool
    ) -> Iterator[np.ndarray] | None:
        # probabilities by the members of an ensemble
        if head != FUSED and not self.has_own_heads:
            _ = self.probabilities_by_modality  # says so, before the members are asked
        if source in ("auto", "committee") and has_members(self.final):

            def predict(member: Any, X: Any) -> np.ndarray:
                return self._by_member(member, X, head)

            return member_probabilities(self.final, self.X, len(self.final.classes_), predict)
        return super().draws(head, n_draws, rng, source, joint)

    def _by_member(self, member: Any, X: Any, head: str) -> np.ndarray:
        """Probabilities (N, K) by a head of one of its members."""
        if head == FUSED:
            source = f"{type(member).__name__}.predict_proba (a member or copy of {self.name})"
            said = member.predict_proba(X)
            if self.target is SEVERAL_LABELS:  # a forest's trees know its codes, one state for each of its own
                said = of_labels(said, self.final.classes_)
            return self.target.checked(said, n_rows=len(self), source=source, argument=self._argument)
        found = dict(member.predict_proba_by_modality(X))
        return self._checked_by_modality(found, f" (a member or copy of {self.name})")[head]

    def prior(self, codes: np.ndarray) -> tuple[float, np.ndarray | None]:
        # precision of the prior by the classifier's `C`, and the rows' weights by its `class_weight`
        precision = prior_precision(self.final, len(codes))
        if self.target is SEVERAL_LABELS:
            return precision, state_weights(self.final, codes)
        weighted = getattr(self.final, "class_weight", None) is not None
        return precision, class_weights(self.final, codes) if weighted else None

    def out_of_fold(self, y: Any, n_folds: int, seed: int) -> Source:
        # what clones of the whole model, fitted on the other folds, say of each row
        if self._reader is None or not hasattr(self._whole, "fit"):
            return super().out_of_fold(y, n_folds, seed)
        return HeldOutSource(self, self._whole, self._given, np.asarray(y), folds(y, n_folds, seed), self._reader)
