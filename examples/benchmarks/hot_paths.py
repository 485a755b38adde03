"""What people wait for, beside a peer, beside the products it is made of, or beside another version of skmmal.

``python examples/benchmarks/run.py --only hot_paths --threads 1 --full --before TREE``, with TREE a checkout of the
other version. Without ``--before`` that side is left out.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import experiment
import numpy as np
from fitting import Data, emoji_round, make_data
from harness import Comparison, Side
from other_version import N_FIRST, OtherVersion
from peers import N_LABELED, Problem, Size, count_distinct, make_problem
from selection import distinct, make_factors, ours, plain_products

from skmmal import LateFusionClassifier, LateFusionClassifierCV
from skmmal.query import BatchBALD

FULL, SMALL = (7000, (768, 2048), 101), (1000, (128, 384), 30)
N_NEW = {7000: 500, 1000: 70}
SMALL_POOLS = ((1_000, 8, 1_664), (5_000, 20, 256), (20_000, 50, 512))
N_PICKS = 100
CONFIGURATIONS = (10, 1_000)
"""scikit-activeml's default, as many as there are draws, and skmmal's."""


def comparisons(full: bool) -> list[Comparison]:
    """Fits, small pools of D² sampling, BatchBALD with everything equal, and a whole experiment."""
    size = FULL if full else SMALL
    return [
        plain_fit(size),
        next_round(size),
        folds("emoji, 400 rows", partial(emoji_round, 400)),
        folds(_size(size), partial(make_data, *size)),
        *(small_pool(*pool) for pool in SMALL_POOLS),
        *(batchbald(Size(5_000, 64, 10, 10) if full else Size(500, 32, 4, 5), each) for each in CONFIGURATIONS),
        experiment.comparisons(full)[0],
    ]


def _size(size: tuple[int, tuple[int, int], int]) -> str:
    n_rows, widths, n_classes = size
    return f"{n_rows:,} × ({widths[0]} + {widths[1]}), {n_classes} classes"


# ---------------------------------------------------------------------------------------------------------- fits


def plain_fit(size: tuple[int, tuple[int, int], int]) -> Comparison:
    """The classifier as it is made without arguments."""
    sides = [Side("skmmal", lambda data: (data, LateFusionClassifier().fit(data.X, data.y)))]
    other = OtherVersion.given()
    if other is not None:
        sides.append(Side("the version before", lambda data: (data, other.fit()), clock=other.clock))

    def make() -> Data:
        data = make_data(*size)
        LateFusionClassifier().fit(data.X[:N_FIRST], data.y[:N_FIRST])
        if other is not None:
            other.hand_over(data.X, data.y)
        return data

    return Comparison("plain fit", _size(size), make, tuple(sides), _accuracies)


def next_round(size: tuple[int, tuple[int, int], int]) -> Comparison:
    """Some more rows: from the heads of the round before, and from nothing."""
    n_rows, widths, n_classes = size

    def make() -> Data:
        data = make_data(n_rows + N_NEW[n_rows], widths, n_classes)
        data.former = LateFusionClassifier(warm_start=True).fit(data.X[:n_rows], data.y[:n_rows])
        return data

    def cold(data: Data) -> Any:
        return data, LateFusionClassifier().fit(data.X, data.y)

    def warm(data: Data) -> Any:
        return data, copy.deepcopy(data.former).fit(data.X, data.y)

    sides = (Side("cold", cold), Side("warm", warm))
    return Comparison("next round's fit", f"{N_NEW[n_rows]} rows more than {_size(size)}", make, sides, _accuracies)


def folds(size: str, make: Callable[[], Data]) -> Comparison:
    """Five plain fits are what five folds would cost if nothing were searched for."""

    def five(data: Data) -> Any:
        for _ in range(5):
            model = LateFusionClassifier().fit(data.X, data.y)
        return data, model

    def search(data: Data) -> Any:
        return data, LateFusionClassifierCV().fit(data.X, data.y)

    sides = (Side("five plain fits", five), Side("LateFusionClassifierCV", search))
    return Comparison("the search of C and weights", size, make, sides, _accuracies)


def _accuracies(results: dict[str, Any]) -> str:
    """No check but the figures: who fits less tightly may be the more accurate."""
    scores = (f"{label} {model.score(data.X_test, data.y_test):.4f}" for label, (data, model) in results.items())
    return "test accuracy: " + ", ".join(scores)


# ----------------------------------------------------------------------------------------------------- selection


def small_pool(n_rows: int, n_classes: int, n_features: int) -> Comparison:
    """D² sampling where a pass over the points takes less than a millisecond or a few."""
    return Comparison(
        "D² sampling, small pool",
        f"{n_rows:,} × ({n_classes} ⊗ {n_features:,}), {N_PICKS} picks, float32",
        lambda: (*make_factors(n_rows, n_classes, n_features, 1.0), N_PICKS),
        (
            Side("the plain products", lambda inputs: plain_products(*inputs), repeat=11),
            Side("skmmal d2_sampling", lambda inputs: ours(*inputs), repeat=11),
        ),
        distinct,
    )


def batchbald(size: Size, n_configurations: int) -> Comparison:
    """The same draws (a bagging's members), all rows as candidates, and as many configurations of labels."""

    def own(problem: Problem) -> np.ndarray:
        strategy = BatchBALD(max_candidates=None, max_configurations=n_configurations, random_state=0)
        return strategy.query(problem.model, problem.pool, problem.size.picks)

    def theirs(problem: Problem) -> np.ndarray:
        from skactiveml import pool

        strategy = pool.BatchBALD(n_MC_samples=n_configurations, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picks = strategy.query(
                problem.X, problem.y, problem.wrapped, fit_ensemble=False, batch_size=problem.size.picks
            )
        return np.asarray(picks) - N_LABELED

    return Comparison(
        "BatchBALD, equal candidates, draws and configurations",
        f"{size}, 10 draws, {n_configurations:,} configurations",
        partial(make_problem, size, ensemble=True),
        (Side("skmmal", own), Side("scikit-activeml", theirs)),
        count_distinct,
    )
