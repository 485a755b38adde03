"""Which modality is missing from which row, at given rates and with never a row that has nothing.

A rate is a marginal: the share of *all* rows that lack the modality. Drawing each modality on its own and
throwing away the empty rows would lower every rate, so the draw is tilted beforehand to make up for it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.optimize import brentq

MISSING_PATTERNS = ("random", "class")
"""Named patterns; ``"<modality>-only"`` (or the modality's name) is the third kind."""


def check_missing_pattern(pattern: str, rates: Mapping[str, float]) -> str | None:
    """Refuse a pattern that is unknown or that the rates rule out; return the modality that always stays."""
    names = list(rates)
    kept = None if pattern in MISSING_PATTERNS else _kept_modality(pattern, names)
    if pattern not in MISSING_PATTERNS and kept is None:
        raise ValueError(
            f"missing_pattern must be one of {[*MISSING_PATTERNS, *(f'{name}-only' for name in names)]}, "
            f"found {pattern!r}"
        )
    if kept is not None and rates[kept] > 0:
        raise ValueError(
            f"missing_pattern {pattern!r} keeps {kept!r} in every row, so its rate must be 0; "
            f"found missing[{kept!r}] = {rates[kept]}"
        )
    total, most = sum(rates.values()), len(rates) - 1
    if total > most + 1e-12:
        raise ValueError(
            f"missing rates {dict(rates)} add up to {total:g}: the average row would lack {total:g} of its "
            f"{len(rates)} modalities, and at most {most} can be missing, since every row keeps one"
        )
    return kept


def _kept_modality(pattern: str, names: list[str]) -> str | None:
    return next((name for name in names if pattern in (name, f"{name}-only")), None)


def draw_missing(
    rates: Mapping[str, float], pattern: str, y: np.ndarray, n_classes: int, rng: np.random.RandomState
) -> np.ndarray:
    """Draw which modality is missing from which row.

    Parameters
    ----------
    rates : mapping of str to float in [0, 1]
        Share of the rows that lack each modality.
    pattern : {"random", "class"} or "<modality>-only"
        See `skmmal.datasets.make_multimodal_classification`.
    y : ndarray of int, shape (n_samples,)
        Class codes, balanced.
    n_classes : int
    rng : RandomState

    Returns
    -------
    missing : ndarray of bool, shape (n_samples, n_modalities)
        No row is entirely True.

    Raises
    ------
    ValueError
        The pattern is unknown, or no distribution has these rates.
    """
    kept = check_missing_pattern(pattern, rates)
    values = np.array(list(rates.values()))
    if kept is not None:
        # one draw per row: with equal rates the others vanish together, and only `kept` is left
        return rng.uniform(size=(len(y), 1)) < values
    if pattern == "random":
        return _draw_never_all(values, len(y), rng)
    missing = np.empty((len(y), len(rates)), dtype=bool)
    for code, class_rates in enumerate(rates_by_class(values, n_classes)):
        rows = np.flatnonzero(y == code)
        missing[rows] = _draw_never_all(class_rates, len(rows), rng)
    return missing


def rates_by_class(rates: np.ndarray, n_classes: int) -> np.ndarray:
    """Missing rates of each class: a ramp over the classes whose mean is the overall rate.

    The ramps of the modalities that go missing point up and down in turn, so that they are missing from
    different classes. They are as steep as the rates allow: up to 0 or 2r for r <= 1/2 (2r - 1 or 1 above).

    Parameters
    ----------
    rates : ndarray of shape (n_modalities,)
        They sum to at most ``n_modalities - 1``.
    n_classes : int

    Returns
    -------
    ndarray of shape (n_classes, n_modalities)
        Each row sums to at most ``n_modalities - 1``; the mean over the rows is `rates`.
    """
    return rates + np.linspace(-1, 1, n_classes)[:, np.newaxis] * _slopes(rates)


def _slopes(rates: np.ndarray) -> np.ndarray:
    slopes = np.minimum(rates, 1 - rates)
    slopes[np.flatnonzero(slopes)[1::2]] *= -1
    # in the class where the steeper direction peaks, one modality must still stay: flatten that direction
    slack, total = max(len(rates) - 1 - rates.sum(), 0.0), slopes.sum()
    if abs(total) > slack:
        steeper = np.sign(slopes) == np.sign(total)
        slopes[steeper] *= 1 - (abs(total) - slack) / abs(slopes[steeper].sum())
    return slopes


def _draw_never_all(rates: np.ndarray, n_rows: int, rng: np.random.RandomState) -> np.ndarray:
    """Independent draws given that no row is empty, tilted so that the rates hold after that condition."""
    draws = rng.uniform(size=(n_rows, len(rates)))
    if not rates.any():
        return np.zeros(draws.shape, dtype=bool)
    with np.errstate(divide="ignore"):  # log 0: a modality that is never missing
        log_q = np.log1p(-_tilted_presence(rates))
    q = np.exp(log_q)
    some_from = -np.expm1(np.cumsum(log_q[::-1])[::-1])  # chance that one of m, m + 1, ... is present
    some_after = np.append(some_from[1:], 0.0)
    # one modality after the other: as long as nothing is present, this one or a later one must be
    q_if_nothing = np.divide(q * some_after, some_from, out=np.zeros_like(q), where=some_from > 0)
    missing = np.empty(draws.shape, dtype=bool)
    nothing_yet = np.ones(n_rows, dtype=bool)
    for m in range(len(rates)):
        missing[:, m] = draws[:, m] < np.where(nothing_yet, q_if_nothing[m], q[m])
        nothing_yet &= missing[:, m]
    return missing


def _tilted_presence(rates: np.ndarray) -> np.ndarray:
    """Presence probabilities of independent draws that have `rates` once empty rows are excluded.

    With P the chance of an empty row, ``r_m = (q_m - P) / (1 - P)``, so ``1 - q_m = (1 - r_m) e`` with
    ``e = 1 - P``; and ``P = Π q_m`` leaves one equation in e. It has one root in (0, 1] where the rates sum
    to less than M - 1; at M - 1 the root moves to 0: exactly one modality stays in every row.
    """
    present = 1 - rates

    def excess(e: float) -> float:
        with np.errstate(divide="ignore"):
            return float(-np.expm1(np.log1p(-present * e).sum()) - e)

    tiny = 1e-9
    if excess(1.0) >= 0:  # some modality is never missing: independent draws are never empty
        return present
    return present * (brentq(excess, tiny, 1.0, xtol=1e-15) if excess(tiny) > 0 else tiny)
