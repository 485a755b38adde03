"""Greedy coverage of uncertain rows: UHerding."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import Any

import numpy as np

from skmmal._random import RandomState
from skmmal._sklearn import Interval, StrOptions
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._coverage import REFERENCES, herding_on_shards, labeled_unit_rows
from skmmal.query._sharpening import exponent, known_distributions
from skmmal.query._uncertainty import negative_margin, over_labels
from skmmal.reading import Head, Reading
from skmmal.reading._sharded import ShardedReading
from skmmal.selection._dense import draw_references, nearest_distance
from skmmal.selection._herding import kernel_coverage, kernel_herding
from skmmal.selection._units import KernelGains, UnitBenefits, Units

__all__ = ["UHerding", "uncertain_coverage", "uncertain_coverage_on_shards", "worth_of_covering"]

_TEMPERATURES = np.arange(10, 201) / 10.0
_CALIBRATION_BINS = 15


class UHerding(QueryStrategy):
    """MaxHerding that covers uncertain rows first.

    Row i weighs ``u_i = 1 − (p₁ − p₂)``, the margin between its two most probable classes after temperature scaling.

    Parameters
    ----------
    bandwidth : float or "adaptive", default=1.0
        Width of the kernel on embeddings of length one; ``"adaptive"``: the smallest distance between two labelled
        rows (not of zero; 1 with fewer than two), so that the kernel narrows as labels come in.
    calibrate : bool, default=True
        Whether to choose a temperature from 1 to 20, in steps of 0.1, with the smallest expected calibration error
        (15 bins) on the labelled rows; below 1 only for a head whose probabilities are flat even there (see Notes).
        Without `y_labeled` the temperature is 1.
    max_references : int or None, default=10000
        As in `MaxHerding`.
    random_state : int, RandomState, Generator or None
        As in `MaxHerding`.
    on : str, default="fused"
        The head whose margins weigh and whose features are covered: ``"fused"``, the name of a modality, or ``"all"``
        for the mean of the heads' weights, each with its own temperature, over the fused features (see
        `QueryStrategy`).

    Notes
    -----
    With an unfitted estimator every u is 1 and this is MaxHerding. The model was fitted on the labelled rows, so it
    looks well calibrated there: the temperature is a cautious correction only. A head that is less than half as sure of
    the labelled rows as it is right about them, both counted from chance, is sharpened until it is (our addition): a
    classifier that is strongly regularized would give all rows about the same weight. The score is the mean gain in
    weighted coverage. Cost as for MaxHerding, plus the probabilities.

    Rows that lack a modality: as for MaxHerding, and the model is less sure of them: they come more often than their
    share.

    References
    ----------
    .. [1] Bae, Sutherland and Noh, "Uncertainty herding: one active learning method for all label budgets",
       ICLR 2025, section 3.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import UHerding
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(UHerding().query(clf, X[1::10], 5, X_labeled=X[::40], y_labeled=y[::40]))
    5
    """

    requires_model = False
    supports_multi_label = True
    supports_groups = True
    _looks_beyond_candidates = True
    _parameter_constraints: dict = {
        "bandwidth": [Interval(Real, 0, None, closed="neither"), StrOptions({"adaptive"})],
        "calibrate": ["boolean"],
        **REFERENCES,
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        bandwidth: float | str = 1.0,
        calibrate: bool = True,
        max_references: int | None = 10_000,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.bandwidth = bandwidth
        self.calibrate = calibrate
        self.max_references = max_references
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return uncertain_coverage(pool, labelled, n_instances, rng, **self._settings)

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return uncertain_coverage_on_shards(shards, n_instances, rng, **self._settings)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        points, covered = _to_cover(pool, labelled, rng, **self._settings)
        coverage, floor = kernel_coverage(points, **covered)
        return KernelGains(coverage, units, floor)

    @property
    def _settings(self) -> dict[str, Any]:
        return {"bandwidth": self.bandwidth, "calibrate": self.calibrate, "max_references": self.max_references}


def uncertain_coverage(
    pool: Reading,
    labelled: Reading,
    n_instances: int,
    rng: np.random.RandomState,
    *,
    taken: np.ndarray | None = None,
    worth: np.ndarray | None = None,
    **settings: Any,
) -> Selection:
    """Pick rows of the pool that cover its uncertain rows.

    Parameters
    ----------
    pool, labelled : Reading
    n_instances : int
    rng : RandomState
    taken : int ndarray, optional
        Rows of the pool that cover as labelled ones do, and are not picked.
    worth : ndarray, optional
        What `worth_of_covering` says; by default it is asked.
    **settings
        Parameters of `UHerding`: bandwidth, calibrate, max_references.

    Returns
    -------
    rows, gains : ndarray of shape (n_instances,)
    """
    candidates = pool.candidates
    if taken is not None:
        candidates = np.ones(len(pool), dtype=bool) if candidates is None else candidates.copy()
        candidates[taken] = False
    points, covered = _to_cover(pool, labelled, rng, taken=taken, worth=worth, **settings)
    return kernel_herding(points, n_instances, **covered, random_state=rng, candidates=candidates)


def uncertain_coverage_on_shards(
    shards: ShardedReading,
    n_instances: int,
    rng: np.random.RandomState,
    *,
    taken: np.ndarray | None = None,
    bandwidth: float | str = 1.0,
    calibrate: bool = True,
    max_references: int | None = 10_000,
) -> Selection:
    """Pick rows of a pool on workers that cover its uncertain rows; parameters as of `uncertain_coverage`."""
    worth = partial(_worth, calibrate=calibrate) if shards.is_fitted else None
    return herding_on_shards(
        shards, n_instances, rng, max_references=max_references, bandwidth=bandwidth, worth=worth, taken=taken
    )


def _to_cover(
    pool: Reading,
    labelled: Reading,
    rng: np.random.RandomState,
    *,
    bandwidth: float | str = 1.0,
    calibrate: bool = True,
    max_references: int | None = 10_000,
    taken: np.ndarray | None = None,
    worth: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Points, and what is to be covered of them, how much that is worth, and by whom it is covered already."""
    points, known = pool.head.unit_features, labeled_unit_rows(labelled)
    width = nearest_distance(known) if bandwidth == "adaptive" else float(bandwidth)
    if taken is not None:
        known = points[taken] if known is None else np.concatenate([known, points[taken]])
    return points, {
        "references": draw_references(len(pool), max_references, rng),
        "weights": worth_of_covering(pool, calibrate) if worth is None else worth,
        "initial": known,
        "bandwidth": width,
    }


def worth_of_covering(pool: Reading, calibrate: bool = True) -> np.ndarray | None:
    """How much covering each row is worth; ``None`` without a model: all the same.

    Parameters
    ----------
    pool : Reading
    calibrate : bool, default=True
        As of `UHerding`.

    Returns
    -------
    ndarray of shape (n_samples,) or None
    """
    return _worth(pool, calibrate) if pool.is_fitted else None


def _worth(pool: Reading, calibrate: bool) -> np.ndarray:
    has_labels = pool.labelled.y is not None
    return pool.mean_score(lambda head: _weights(head, calibrate and has_labels))


def _weights(head: Head, calibrate: bool) -> np.ndarray:
    temperature = None
    if calibrate and len(head.labelled):
        power = exponent(head.labelled)
        temperature = 1.0 / power if power > 1.0 else _temperature(*known_distributions(head.labelled))

    def negative_margins(probabilities: np.ndarray) -> np.ndarray:
        return negative_margin(probabilities if temperature is None else _tempered(probabilities, temperature))

    return np.clip(1.0 + over_labels(negative_margins, head.probabilities, head.target), 0.0, 1.0)


def _tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    scaled = (probabilities / probabilities.max(axis=1, keepdims=True)) ** (1.0 / temperature)
    return scaled / scaled.sum(axis=1, keepdims=True)


def _temperature(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Temperature of the smallest calibration error; the lowest on ties."""
    errors = [_calibration_error(_tempered(probabilities, t), codes) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(errors))])


def _calibration_error(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Expected calibration error over bins of equal width."""
    confidence = probabilities.max(axis=1)
    hits = probabilities.argmax(axis=1) == codes
    bins = np.minimum((confidence * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=hits - confidence, minlength=_CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(codes))
