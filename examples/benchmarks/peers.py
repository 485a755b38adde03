"""Query strategies beside those of scikit-activeml and modAL, called as a user calls them.

All get the same fitted model (a logistic regression, or a bagging of them) and the same rows. Peers take the labelled
and the unlabelled rows in one matrix.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import Comparison, Side
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression

from skmmal.query import get_strategy

N_LABELED = 200


@dataclass(frozen=True)
class Size:
    """Rows of the pool, columns, classes, rows to pick."""

    rows: int
    columns: int
    classes: int
    picks: int

    def __str__(self) -> str:
        return f"{self.rows:,} × {self.columns:,}, {self.classes} classes, {self.picks:,} picks"


@dataclass(frozen=True)
class Problem:
    """Rows, labels (NaN where unknown) and the fitted models of both sides."""

    X: np.ndarray
    y: np.ndarray
    size: Size
    model: Any
    wrapped: Any

    @property
    def pool(self) -> np.ndarray:
        return self.X[N_LABELED:]


# name, parameters of ours, class and parameters of scikit-activeml's, small and full size
PEERS = (
    ("badge", {}, "Badge", {}, Size(2_000, 64, 10, 50), Size(10_000, 256, 20, 200)),
    ("coreset", {}, "CoreSet", {}, Size(4_000, 256, 10, 100), Size(50_000, 1_664, 10, 500)),
    ("typiclust", {}, "TypiClust", {}, Size(2_000, 64, 10, 40), Size(10_000, 512, 20, 200)),
    ("probcover", {}, "ProbCover", {"n_classes": 10}, Size(2_000, 64, 10, 40), Size(10_000, 512, 10, 200)),
    ("falcun", {}, "Falcun", {}, Size(4_000, 64, 10, 50), Size(50_000, 512, 68, 500)),
    ("dropquery", {}, "DropQuery", {}, Size(4_000, 64, 10, 50), Size(50_000, 512, 20, 500)),
    ("maxherding", {}, "MaxHerding", {}, Size(1_000, 64, 10, 20), Size(5_000, 512, 10, 100)),
    ("batchbald", {}, "BatchBALD", {}, Size(500, 32, 4, 5), Size(5_000, 64, 10, 10)),
)
SAME_INDICES = {"coreset", "margin"}


def comparisons(full: bool) -> list[Comparison]:
    """One for each strategy that a peer has, too."""
    found = [margin(Size(100_000, 512, 68, 500) if full else Size(20_000, 64, 10, 50))]
    found += [against_activeml(*peer[:4], peer[5] if full else peer[4]) for peer in PEERS]
    return [*found, ranked_batch(Size(20_000, 512, 20, 100) if full else Size(2_000, 64, 10, 20))]


def make_problem(size: Size, ensemble: bool = False, seed: int = 0) -> Problem:
    """Rows around four means a class; the first ones are labelled."""
    from skactiveml.classifier import SklearnClassifier

    rng = np.random.default_rng(seed)
    n = N_LABELED + size.rows
    cluster = rng.integers(0, 4 * size.classes, n)
    means = rng.standard_normal((4 * size.classes, size.columns))
    X = rng.standard_normal((n, size.columns)) + 2.5 / np.sqrt(size.columns) * means[cluster] * size.columns**0.25
    y = (cluster % size.classes).astype(float)
    y[: size.classes] = np.arange(size.classes)  # every class is there
    y[N_LABELED:] = np.nan
    make = LogisticRegression(max_iter=200)
    if ensemble:
        make = BaggingClassifier(make, n_estimators=10, random_state=seed)
    model = make.fit(X[:N_LABELED], y[:N_LABELED])
    wrapped = SklearnClassifier(make, classes=np.arange(size.classes), random_state=seed)
    return Problem(X, y, size, model, wrapped.fit(X, y))


def ours(name: str, **parameters: Any) -> Callable[[Problem], np.ndarray]:
    """Our strategy's query."""

    def run(problem: Problem) -> np.ndarray:
        strategy = get_strategy(name, **parameters)
        if "random_state" in strategy.get_params():
            strategy.set_params(random_state=0)
        X, y = problem.X[:N_LABELED], problem.y[:N_LABELED]
        return strategy.query(problem.model, problem.pool, problem.size.picks, X_labeled=X, y_labeled=y)

    return run


def activeml(class_name: str, **parameters: Any) -> Callable[[Problem], np.ndarray]:
    """scikit-activeml's, with what its query takes."""

    def run(problem: Problem) -> np.ndarray:
        from skactiveml import pool

        models = {"clf": "fit_clf", "ensemble": "fit_ensemble"}
        strategy = getattr(pool, class_name)(**parameters, random_state=0)
        taken = strategy.query.__code__.co_varnames
        name = next((name for name in models if name in taken), None)
        model = {} if name is None else {name: problem.wrapped, models[name]: False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picks = strategy.query(problem.X, problem.y, batch_size=problem.size.picks, **model)
        return np.asarray(picks) - N_LABELED

    return run


def against_activeml(name: str, own: dict, class_name: str, theirs: dict, size: Size) -> Comparison:
    """Both with their own defaults."""
    return Comparison(
        name,
        f"{size}",
        lambda: make_problem(size, ensemble=name == "batchbald"),
        (Side("skmmal", ours(name, **own)), Side("scikit-activeml", activeml(class_name, **theirs), repeat=1)),
        check_same if name in SAME_INDICES else count_distinct,
    )


def margin(size: Size) -> Comparison:
    """Margin sampling, which all three have."""

    def modal(problem: Problem) -> np.ndarray:
        from modAL.uncertainty import margin_sampling

        found = margin_sampling(problem.model, problem.pool, n_instances=problem.size.picks)
        return np.asarray(found[0] if isinstance(found, tuple) else found)

    sides = (
        Side("skmmal", ours("margin")),
        Side("scikit-activeml", activeml("UncertaintySampling", method="margin_sampling")),
        Side("modAL", modal),
    )
    return Comparison("margin", f"{size}", lambda: make_problem(size), sides, check_same_set)


def ranked_batch(size: Size) -> Comparison:
    """The batch strategy of modAL, beside the cheapest of ours that trades uncertainty against likeness."""

    def modal(problem: Problem) -> np.ndarray:
        from modAL.batch import uncertainty_batch_sampling
        from modAL.models import ActiveLearner

        learner = ActiveLearner(problem.model, X_training=problem.X[:N_LABELED], y_training=problem.y[:N_LABELED])
        found = uncertainty_batch_sampling(learner, problem.pool, n_instances=problem.size.picks)
        return np.asarray(found[0] if isinstance(found, tuple) else found)

    sides = (Side("skmmal badge", ours("badge")), Side("modAL ranked batch", modal, repeat=1))
    return Comparison("an uncertain and diverse batch", f"{size}", lambda: make_problem(size), sides, count_distinct)


def check_same(results: dict[str, np.ndarray]) -> str:
    """All pick the same rows, in the same order."""
    first, *others = results.values()
    for picks in others:
        np.testing.assert_array_equal(first, picks)
    return "the same indices, in the same order"


def check_same_set(results: dict[str, np.ndarray]) -> str:
    """All pick the same rows; modAL's order within a batch is its own."""
    first, *others = (np.sort(picks) for picks in results.values())
    for picks in others:
        np.testing.assert_array_equal(first, picks)
    return "the same rows"


def count_distinct(results: dict[str, np.ndarray]) -> str:
    """How many distinct rows each picked."""
    counts = (f"{label} {len(np.unique(picks))} of {len(picks)}" for label, picks in results.items())
    return "distinct rows: " + ", ".join(counts)
