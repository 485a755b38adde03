"""A committee of learners as one classifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmmal._containers import take_rows
from skmmal._fitted import final_step, open_model
from skmmal.contributions import contributions
from skmmal.query._posterior import aligned

__all__ = ["as_classifier"]


def as_classifier(final: Any) -> Any:
    """Return `final`, or, for a committee (modAL's: it has a ``learner_list``), what makes it one classifier."""
    learners = getattr(final, "learner_list", None)
    if learners is None:
        return final
    members = [learner.estimator for learner in learners]
    last = [open_model(member).final for member in members]
    if all(hasattr(member, "embed") and hasattr(member, "shapley_values") for member in last):
        return _Committee(final, members)
    return final


class _Committee:
    """The consensus of multimodal members.

    Probabilities are the committee's own. A coalition's value is the mean of what the members give the committee's
    class; Shapley values are linear in it, so they are averaged, and contributions follow from the average. The
    probabilities of each modality's own head are averaged, too. An embedding block is the members' blocks side by side
    over the square root of their number, so that inner products are the members' average.
    """

    def __init__(self, committee: Any, members: list[Any]) -> None:
        self._committee = committee
        self._members = members
        self.modalities = getattr(members[0], "modalities", None)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, X: Any) -> np.ndarray:
        return self._committee.predict_proba(X)

    def predict_proba_by_modality(self, X: Any) -> dict[str, np.ndarray]:
        columns = {name: column for column, name in enumerate(self._committee.classes_)}
        parts = [
            {
                name: aligned(probabilities, [columns[c] for c in final.classes_], len(columns))
                for name, probabilities in final.predict_proba_by_modality(Z).items()
            }
            for final, Z in self._finals(X)
        ]
        return {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}

    def modality_contributions(self, X: Any) -> np.ndarray:
        classes = np.asarray(self._committee.classes_)[self.predict_proba(X).argmax(axis=1)]
        finals = self._finals(X)
        names = list(finals[0][0].modalities_)
        return contributions(np.mean([_shapley_values(final, Z, classes, names) for final, Z in finals], axis=0))

    def embed(self, X: Any) -> dict[str, np.ndarray]:
        parts = [final.embed(Z) for final, Z in self._finals(X)]
        share = 1.0 / np.sqrt(len(parts))
        return {name: share * np.hstack([part[name] for part in parts]) for name in parts[0]}

    def _finals(self, X: Any) -> list[tuple[Any, Any]]:
        return [final_step(member, X) for member in self._members]


def _shapley_values(final: Any, X: Any, classes: np.ndarray, names: list[str]) -> np.ndarray:
    """Shapley values of each row's class, shape (n, M); zero where a member has never met it: it gives it nothing."""
    found = np.zeros((len(classes), len(names)))
    known = np.flatnonzero(np.isin(classes, final.classes_))
    if len(known):
        rows = X if len(known) == len(classes) else take_rows(X, known)
        columns = [list(final.modalities_).index(name) for name in names]
        found[known] = final.shapley_values(rows, classes[known])[:, columns]
    return found
