"""What a learner was taught, lesson by lesson, so that lessons can be taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from skmmal._fitted import known_fitted
from skmmal.learner._forgetting import goes_on

__all__ = ["Lesson", "Lessons", "random_states", "random_states_set", "set_state"]


class Lesson(NamedTuple):
    """What a learner held after a lesson, and how its model was fitted then."""

    n_rows: int
    """Labeled rows held."""
    fitted: bool = False
    """Whether there was a fit; if not, the model is that of an earlier lesson."""
    bootstrap: bool = False
    """Whether that fit was on a bootstrap sample."""
    arguments: Mapping[str, Any] = {}
    """Arguments of that fit, beside those of the learner's constructor."""
    random: Mapping[str, Any] = {}
    """Random states before that fit, of those parameters that are generators."""


class Lessons:
    """Lessons in their order, and what it takes to be again where one of them ended.

    Rows are not kept here: those of a lesson come after those of the lessons before. Nor are models, as a fit on the
    rows makes them again. Where it would not (the model came trained, or goes on from its former weights), a copy is
    kept: of the first such model, and of the last.

    Parameters
    ----------
    first : Lesson
        What there is to begin with; it is never taken back.
    fitted_later : bool, default=False
        Whether its fit is still to be made.
    """

    def __init__(self, first: Lesson, fitted_later: bool = False) -> None:
        self._lessons = [first]
        self._models: dict[int, dict[str, Any]] = {}
        self.pending: Lesson | None = first if fitted_later else None
        """The lesson whose fit is to be made (again) before the model is asked."""

    @property
    def is_empty(self) -> bool:
        """Whether there is no lesson to take back."""
        return self._lessons[-1].n_rows <= self._lessons[0].n_rows

    @property
    def n_rows(self) -> int:
        """Labeled rows held after the last lesson."""
        return self._lessons[-1].n_rows

    @property
    def _last_fit(self) -> int | None:
        """Number of the lesson that the model comes from, ``None`` where none fitted it."""
        return max((at for at, lesson in enumerate(self._lessons) if lesson.fitted), default=None)

    @property
    def have_fitted(self) -> bool:
        """Whether the model comes from a lesson."""
        return self._last_fit is not None

    def keep_model(self, estimator: Any) -> None:
        """Before a fit, keep what no other fit would bring back; what cannot be copied, undoing will make forget."""
        at = self._last_fit
        lost = not hasattr(estimator, "get_params") or known_fitted(estimator)
        if self.pending is None and lost and (at is None or goes_on(estimator)):
            with suppress(TypeError):
                self._models[at or 0] = deepcopy(vars(estimator))
            first = min(self._models, default=0)
            self._models = {number: model for number, model in self._models.items() if number in (first, at or 0)}

    def append(self, lesson: Lesson) -> None:
        """Add a lesson; one with as many rows as the last is a mere fit."""
        self._lessons.append(lesson)
        if lesson.fitted:
            self.pending = None

    def take_back(self, learner: Any) -> None:
        """Remove the last lesson that brought rows, and make the learner's estimator forget it.

        If there is no copy of the model from before, it is to be fitted again (`pending`).
        """
        taken = []
        n_rows = self.n_rows
        while self.n_rows == n_rows:
            taken.append(self._lessons.pop())
        fits = [lesson for lesson in taken if lesson.fitted]
        if not fits:
            return
        at = self._last_fit
        self._models = {number: model for number, model in self._models.items() if number <= (at or 0)}
        nearest = max(self._models, default=None)
        set_state(learner.estimator, None if nearest is None else self._models[nearest])
        self.pending = None if at is None or at == nearest else self._lessons[at]
        _set_random_states(learner, fits[-1].random)


def set_state(estimator: Any, state: dict[str, Any] | None) -> None:
    """Give an estimator former attributes; without any, those it has before its first fit. Plain parameters stay."""
    params = estimator.get_params() if hasattr(estimator, "get_params") else None
    if state is not None:
        estimator.__dict__ = deepcopy(state)
    elif params is not None:
        estimator.__dict__ = vars(clone(estimator))
    if state is not None and params is not None:
        known = estimator.get_params()
        plain = {name: value for name, value in params.items() if name in known and _is_plain(value)}
        estimator.set_params(**plain)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, Number | str)


# ---------------------------------------------------------------------------------------------------- random states


def random_states(learner: Any) -> dict[str, Any]:
    """Copies of the generators among the parameters that a fit draws from; numbers need none."""
    return deepcopy(
        {
            name: value
            for name, value in learner.get_params().items()
            if isinstance(value, np.random.RandomState | np.random.Generator)
            and (name == "random_state" or name.startswith("estimator__"))
        }
    )


def _set_random_states(learner: Any, states: Mapping[str, Any]) -> None:
    known = learner.get_params() if states else {}
    learner.set_params(**{name: value for name, value in deepcopy(dict(states)).items() if name in known})


@contextmanager
def random_states_set(learner: Any, states: Mapping[str, Any]) -> Iterator[None]:
    """Draw from these states within, and afterwards go on as if nothing had been drawn."""
    if not states:
        yield
        return
    present = random_states(learner)
    _set_random_states(learner, states)
    try:
        yield
    finally:
        _set_random_states(learner, present)
