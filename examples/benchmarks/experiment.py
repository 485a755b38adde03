"""A whole experiment on the emoji that ship with skmmal: `run_experiment` beside the same loop with scikit-activeml.

Strategies × seeds × rounds; every strategy of a seed starts from the same rows. After each round the fused classifier
and one for each modality are fitted and measured. What differs: `run_experiment` also measures balanced accuracy,
calibration, contributions, their imbalance and BMMAL's weights, on the test rows and on the pool; scikit-activeml's
strategies keep the utilities of the whole pool for every pick; TypiClust clusters rows of length one here and rows as
they are there; random draws are different ones. skmmal solves to a relative tolerance of 1e-8; the other side fits
with scikit-learn's default tolerance, under which margins of nearly the same size change places. In the second
comparison its tolerance is 1e-6 and only strategies that draw nothing run: there both pick the same rows, but a few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from harness import Comparison, Side
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.datasets import load_emoji
from skmmal.experiment import run_experiment

STRATEGIES = ("random", "margin", "entropy", "badge", "coreset", "typiclust")
WITHOUT_CHANCE = ("margin", "entropy", "coreset")
KEYS = ["strategy", "seed", "round"]
BATCH = 40
C = 1.0


@dataclass(frozen=True)
class Problem:
    """Scaled features, labels, budgets, and the rows that every strategy of a seed starts from."""

    strategies: tuple[str, ...]
    X: MultimodalArray
    y: np.ndarray
    X_test: MultimodalArray
    y_test: np.ndarray
    n_rounds: int
    n_seeds: int
    first_rows: dict[int, np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """Accuracies by strategy, seed and round, and the rows that were picked."""

    frame: pd.DataFrame
    picked: dict[tuple[str, int, int], np.ndarray]


def comparisons(full: bool) -> list[Comparison]:
    """Six strategies; and those without chance, where both sides must pick the same rows."""
    n_rounds, n_seeds = (8, 10) if full else (3, 2)
    repeat = 1 if full else None
    size = f"{n_seeds} seeds, {BATCH} labels and {n_rounds} batches of {BATCH}"
    return [
        Comparison(
            "a whole experiment on the emoji",
            f"{', '.join(STRATEGIES)}; {size}",
            partial(_problem, STRATEGIES, n_rounds, n_seeds),
            (Side("skmmal", _ours, 1), Side("scikit-activeml", partial(_scikit_activeml, 1e-4), 1)),
            _check_curves,
        ),
        Comparison(
            "an experiment without chance on the emoji",
            f"{', '.join(WITHOUT_CHANCE)}; {size}",
            partial(_problem, WITHOUT_CHANCE, n_rounds, n_seeds),
            (
                Side("skmmal", _ours, repeat),
                Side("scikit-activeml, tolerance 1e-6", partial(_scikit_activeml, 1e-6), repeat),
            ),
            _check_rows,
        ),
    ]


def _problem(strategies: tuple[str, ...], n_rounds: int, n_seeds: int) -> Problem:
    X, y = load_emoji(return_X_y=True)
    X = ModalityScaler().fit_transform(X)
    pool, test = train_test_split(np.arange(len(y)), test_size=0.4, stratify=y, random_state=0)
    rows = X[pool], y[pool], X[test], y[test]
    start = _run(*rows, strategies[:1], 0, n_seeds).selected
    first_rows = {seed: part["row"].to_numpy() for seed, part in start.groupby("seed")}
    return Problem(strategies, *rows, n_rounds, n_seeds, first_rows)


def _run(X: Any, y: Any, X_test: Any, y_test: Any, strategies: tuple[str, ...], n_rounds: int, n_seeds: int) -> Any:
    return run_experiment(
        LateFusionClassifier(C=C),
        list(strategies),
        X,
        y,
        X_test=X_test,
        y_test=y_test,
        n_initial=BATCH,
        n_instances=BATCH,
        n_rounds=n_rounds,
        seeds=n_seeds,
    )


def _ours(problem: Problem) -> Outcome:
    given = problem.X, problem.y, problem.X_test, problem.y_test
    results = _run(*given, problem.strategies, problem.n_rounds, problem.n_seeds)
    columns = ["strategy", "seed", "round", "accuracy", *(f"accuracy_{name}" for name in problem.X.blocks)]
    picked = {key: part["row"].to_numpy() for key, part in results.selected.groupby(KEYS)}
    return Outcome(results.frame[columns], picked)


def _scikit_activeml(tol: float, problem: Problem) -> Outcome:
    from skactiveml.classifier import SklearnClassifier

    X, X_test = (np.hstack(list(part.blocks.values())) for part in (problem.X, problem.X_test))
    classes = np.unique(problem.y)
    model = LogisticRegression(C=C, tol=tol, max_iter=10_000)
    records, picked = [], {}
    for name in problem.strategies:
        for seed in range(problem.n_seeds):
            query = _their_strategy(name, seed)
            new = problem.first_rows[seed]
            y_known = np.full(len(problem.y), np.nan)
            classifier = None
            for round_ in range(problem.n_rounds + 1):
                if round_ > 0:
                    new = np.asarray(query(X, y_known, classifier))
                picked[name, seed, round_] = new
                y_known[new] = problem.y[new]
                classifier = SklearnClassifier(model, classes=classes).fit(X, y_known)
                accuracy = np.mean(classifier.predict(X_test) == problem.y_test)
                record = {"strategy": name, "seed": seed, "round": round_, "accuracy": accuracy}
                labelled = np.flatnonzero(~np.isnan(y_known))
                for modality, block in problem.X.blocks.items():
                    own = clone(model).fit(block[labelled], problem.y[labelled])
                    record[f"accuracy_{modality}"] = own.score(problem.X_test.blocks[modality], problem.y_test)
                records.append(record)
    return Outcome(pd.DataFrame(records), picked)


def _their_strategy(name: str, seed: int) -> Callable[..., Any]:
    from skactiveml.pool import Badge, CoreSet, RandomSampling, TypiClust, UncertaintySampling

    if name in ("random", "coreset", "typiclust"):
        kind = {"random": RandomSampling, "coreset": CoreSet, "typiclust": TypiClust}[name]
        strategy = kind(random_state=seed)
        return lambda X, y, classifier: strategy.query(X, y, batch_size=BATCH)
    if name == "badge":
        strategy = Badge(random_state=seed)
    else:
        strategy = UncertaintySampling({"margin": "margin_sampling"}.get(name, name), random_state=seed)
    return lambda X, y, classifier: strategy.query(X, y, clf=classifier, fit_clf=False, batch_size=BATCH)


def _check_curves(results: dict[str, Outcome]) -> str:
    """On the same rows two solvers agree; strategies have the same learning curves, up to the draws."""
    ours, theirs = results.values()
    difference = _difference(ours, theirs)
    at_first = difference[difference["round"] == 0].drop(columns=KEYS).abs().max().max()
    assert at_first < 0.01, f"on the same first rows, accuracies differ by {at_first:.3f}"
    curves = difference.groupby(["strategy", "round"])["accuracy"].mean().abs().groupby("strategy").max()
    assert curves.max() < 0.08, f"learning curves differ: {curves.to_dict()}"
    repeated = sum(len(rows) - len(set(rows.tolist())) for rows in theirs.picked.values())
    apart = ", ".join(f"{name} {100 * value:.1f}" for name, value in curves.items())
    return (
        f"on the same first rows accuracies agree to {100 * at_first:.2f} points; mean learning curves are apart by "
        f"(points, at most) {apart}; scikit-activeml picked {repeated} rows twice"
    )


def _check_rows(results: dict[str, Outcome]) -> str:
    """Strategies without chance pick the same rows from the same model, and end with the same accuracies."""
    ours, theirs = results.values()
    same = {name: _share_of_same_rows(ours, theirs, name) for name in WITHOUT_CHANCE}
    assert min(same.values()) > 0.8, f"the same rows picked: {same}"
    curves = _difference(ours, theirs).groupby(["strategy", "round"])["accuracy"].mean().abs().max()
    assert curves < 0.015, f"learning curves differ by {curves}"
    shares = ", ".join(f"{name} {share:.0%}" for name, share in same.items())
    return f"the same rows picked: {shares}; mean learning curves are apart by {100 * curves:.2f} points at most"


def _difference(ours: Outcome, theirs: Outcome) -> pd.DataFrame:
    difference = (ours.frame.set_index(KEYS) - theirs.frame.set_index(KEYS)).reset_index()
    assert not difference.isna().any(axis=None), "the two did not measure the same strategies, seeds and rounds"
    return difference


def _share_of_same_rows(ours: Outcome, theirs: Outcome, name: str) -> float:
    keys = [key for key in ours.picked if key[0] == name and key[2] > 0]
    return float(np.mean([np.isin(ours.picked[key], theirs.picked[key]).mean() for key in keys]))
