"""Which strength of the penalty, and which weights of the modalities, labeled rows speak for: a search on a grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmmal.heads._tempering import fit_temperature, tempered_losses
from skmmal.heads.convex import Fold, FusedFolds, LabeledRows

__all__ = ["Candidate", "Choice", "Grid", "choose", "gain_of", "search"]

Place = tuple[int, ...]
"""Where a candidate stands on the grid: the position of its C, then those of the modalities' weights."""

_STEPS = (2, 1)
"""Positions by which the search moves, first and then."""
_TOL, _MAX_ITER = 2e-3, 200
"""How near to their optimum the folds' objectives come, relatively, and in how many iterations at most."""
_ERRORS = 1.5
"""Standard errors by which a candidate must be better than the plain one to be taken for better: it is the best of some
twenty, so that one standard error would be too few."""
_SPREAD_OF_WEIGHTS, _SPREAD_OF_C = 1.5, 2.0
"""Standard deviations, beforehand, of the logarithms of a modality's weight and of C."""
_SPREAD_OF_TEMPERATURE = 0.3
"""The same of the temperature of the chosen candidate."""


@dataclass
class Grid:
    """What is tried.

    Parameters
    ----------
    Cs : sequence of float
        Rising strengths C.
    weights : sequence of float
        Falling weights of a modality, from one on; those of a candidate hold a one.
    fixed : list of float or None
        Factors of the modalities that are not searched for.
    n_modalities : int
    """

    Cs: Sequence[float]
    weights: Sequence[float]
    fixed: list[float] | None
    n_modalities: int

    @property
    def plain(self) -> Place:
        """The place nearest to C of one and weights of one."""
        nearest = min(range(len(self.Cs)), key=lambda i: abs(math.log(self.Cs[i])))
        return nearest, *[0] * (0 if self.fixed is not None else self.n_modalities)

    def has(self, place: Place) -> bool:
        """Whether there is such a place."""
        of_weights = place[1:]
        return (
            0 <= place[0] < len(self.Cs)
            and all(0 <= at < len(self.weights) for at in of_weights)
            and (not of_weights or min(of_weights) == 0)
        )

    def at(self, place: Place) -> tuple[float, list[float]]:
        """Return C and the modalities' factors at a place."""
        factors = self.fixed if self.fixed is not None else [self.weights[at] for at in place[1:]]
        return self.Cs[place[0]], factors

    def surprise(self, place: Place) -> float:
        """How much less probable a place is beforehand than weights and C of one: minus the logarithm of the ratio."""
        C, factors = self.at(place)
        searched = factors if self.fixed is None else []
        of_weights = sum(math.log(factor) ** 2 for factor in searched) / (2 * _SPREAD_OF_WEIGHTS**2)
        return of_weights + math.log(C) ** 2 / (2 * _SPREAD_OF_C**2)


@dataclass
class Candidate:
    """A place on the grid, and what its heads say of rows that they were not fitted on.

    Parameters
    ----------
    place : tuple of int
    losses : ndarray of shape (n,)
        Cross-entropies of the rows after tempering.
    score : float
        What the search minimizes: their weighted mean, and the share of a row in the surprise of the place.
    temperature : float
        At which the losses are least.
    start : optional
        Parameters of the heads, for candidates near by to start from.
    """

    place: Place
    losses: np.ndarray
    score: float
    temperature: float
    start: Any = None


def search(
    evaluate: Callable[[Place, Candidate | None], Candidate],
    plain: Place,
    has: Callable[[Place], bool],
    *,
    most: int,
) -> dict[Place, Candidate]:
    """Move from the plain candidate to better ones until none near by is better.

    Parameters
    ----------
    evaluate : callable
        Takes a place and the best candidate so far.
    plain : tuple of int
        Where to begin.
    has : callable
        Whether there is a place.
    most : int
        Candidates that are evaluated.

    Returns
    -------
    dict of tuple of int to Candidate
        All that were evaluated, the plain one first.
    """
    best = evaluate(plain, None)
    seen = {plain: best}
    for step in _STEPS:
        if step < _STEPS[0] and best.place == plain:
            break  # what two positions do not better, one position does not better clearly
        moves = [tuple(step * way for way in move) for move in _moves(len(plain))]
        since = 0  # moves in a row that led nowhere
        while since < len(moves):
            place = tuple(at + way for at, way in zip(best.place, moves[0], strict=True))
            if place not in seen and has(place) and len(seen) < most:
                seen[place] = evaluate(place, best)
            if place in seen and seen[place].score < best.score:
                best.start = None
                best, since = seen[place], 0
                continue
            if place in seen:
                seen[place].start = None
            moves.append(moves.pop(0))
            since += 1
    return seen


def _moves(n_axes: int) -> list[Place]:
    """Ways from a place to others near by.

    One axis, up and down. And a larger C with smaller weights of all modalities but one, which frees that one alone:
    where C has become small for the sake of a noisy modality, neither C nor a weight is a way out.
    """
    moves = []
    for axis in range(n_axes):
        moves += [tuple(way * (at == axis) for at in range(n_axes)) for way in (-1, 1)]
    for freed in range(1, n_axes):
        moves += [tuple(way * (at != freed) for at in range(n_axes)) for way in (1, -1)]
    return moves


def gain_of(
    candidate: Candidate, plain: Candidate, weights: np.ndarray, clusters: np.ndarray | None
) -> tuple[float, float]:
    """Return by how much a candidate's mean loss is below the plain one's, and the standard error of that.

    Parameters
    ----------
    candidate, plain : Candidate
    weights : ndarray of shape (n,)
        Of the rows: one of weight two counts as two rows.
    clusters : int ndarray of shape (n,) or None
        Rows of one cluster are not independent of each other.

    Returns
    -------
    gain, standard_error : float
    """
    gains = plain.losses - candidate.losses
    total = float(weights.sum())
    gain = float(weights @ gains) / total
    rest = gains - gain
    if clusters is None:
        return gain, math.sqrt(float(weights @ rest**2)) / total
    return gain, float(np.linalg.norm(np.bincount(clusters, weights * rest))) / total


@dataclass
class Choice:
    """What was chosen.

    Parameters
    ----------
    C : float
    factors : list of float
        Of the modalities.
    temperature : float
        Of the fused head.
    results : dict of str to list
        What was tried: ``C``, ``modality_weights`` (a list of M), ``mean_test_score`` (minus the mean loss after
        tempering), ``gain`` and ``standard_error`` beside the plain candidate, ``temperature``.
    index : int
        Which of them was chosen.
    """

    C: float
    factors: list[float]
    temperature: float
    results: dict[str, list]
    index: int


@dataclass
class _Cases:
    """What is held out: a row and its class, or each known label of a row, which then has the classes 0 and 1.

    Parameters
    ----------
    labels : int ndarray of shape (m,)
    weights : ndarray of shape (m,)
    clusters : int ndarray of shape (m,) or None
        Cases that are not independent: those of a row are not.
    known : bool ndarray of shape (n, L) or None
        Which labels of the rows tested are cases; ``None``: rows have one class.
    """

    labels: np.ndarray
    weights: np.ndarray
    clusters: np.ndarray | None
    known: np.ndarray | None = None

    @classmethod
    def of(cls, rows: LabeledRows, folds: Sequence[Fold], clusters: np.ndarray | None) -> _Cases:
        """Of the folds' test rows; a label that a fold cannot learn is none of its cases."""
        tested = np.concatenate([fold.test for fold in folds])
        labels, weights = rows.labels[tested], rows.weights[tested]
        if not rows.has_several_labels:
            return cls(labels, weights, None if clusters is None else clusters[tested])
        known = ~np.isnan(labels) & np.concatenate([np.tile(fold.met[0], (len(fold.test), 1)) for fold in folds])
        of_cases = np.broadcast_to(weights[:, None], known.shape)
        if rows.label_weights is not None:
            of_cases = of_cases * rows.label_weights[tested]
        named = np.broadcast_to((tested if clusters is None else clusters[tested])[:, None], known.shape)
        return cls(labels[known].astype(np.intp), of_cases[known], named[known], known)

    def logits(self, of_rows: np.ndarray) -> np.ndarray:
        """Logits (m, K) of the cases from those of the rows tested."""
        if self.known is None:
            return of_rows
        of_label = of_rows[self.known]
        return np.column_stack([np.zeros(len(of_label)), of_label])


def choose(
    grid: Grid,
    rows: LabeledRows,
    folds: Sequence[Fold],
    *,
    is_sum: bool,
    most: int,
    clusters: np.ndarray | None = None,
) -> Choice:
    """Choose by the loss of rows that heads were not fitted on, and the plain candidate when in doubt.

    Every candidate's logits are tempered by the temperature that suits it best: with few rows the loss as it is would
    prefer heads that say little of any row. The best candidate, after what the prior says against it, is taken where
    its gain over the plain one is more than one and a half standard errors. Otherwise the one is whose gain, less as
    much, is largest: the plain one where none has such a gain.

    Parameters
    ----------
    grid : Grid
    rows : LabeledRows
    folds : sequence of Fold
        None: nothing is tried.
    is_sum : bool
        Whether the fused head is the mean of the others.
    most : int
        Candidates that are tried.
    clusters : int ndarray of shape (n,), optional
        Groups of the rows.

    Returns
    -------
    Choice
    """
    plain = grid.plain
    names = ("C", "modality_weights", "mean_test_score", "gain", "standard_error", "temperature")
    results: dict[str, list] = {name: [] for name in names}
    if not folds:
        return Choice(*grid.at(plain), 1.0, results, 0)
    fits = FusedFolds(rows, folds, is_sum=is_sum, tol=_TOL, max_iter=_MAX_ITER)
    cases = _Cases.of(rows, folds, clusters)
    labels, weights = cases.labels, cases.weights
    total = float(weights.sum())
    all_logits = {}

    def evaluate(place: Place, near: Candidate | None) -> Candidate:
        of_rows, start = fits.fitted(*grid.at(place), None if near is None else near.start)
        logits = cases.logits(of_rows)
        temperature = fit_temperature(logits, labels, weights)
        losses = tempered_losses(logits, labels, temperature)
        all_logits[place] = logits
        score = (float(weights @ losses) + grid.surprise(place)) / total
        return Candidate(place, losses, score, temperature, start)

    seen = search(evaluate, plain, grid.has, most=most)
    gains, errors = [], []
    for place, candidate in seen.items():
        gain, error = gain_of(candidate, seen[plain], weights, cases.clusters)
        gains.append(gain - (grid.surprise(place) - grid.surprise(plain)) / total)
        errors.append(error)
        values = (*grid.at(place), -float(weights @ candidate.losses) / total, gain, error, candidate.temperature)
        for name, value in zip(names, values, strict=True):
            results[name].append(value)
    bounds = np.array(gains) - _ERRORS * np.array(errors)
    best = int(np.argmax(gains))
    index = best if bounds[best] > 0 else int(np.argmax(bounds))
    place = list(seen)[index]
    temperature = fit_temperature(all_logits[place], labels, weights, spread=_SPREAD_OF_TEMPERATURE)
    return Choice(*grid.at(place), temperature, results, index)
