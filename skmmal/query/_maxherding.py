"""Greedy coverage of the pool by a kernel: MaxHerding."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from skmmal._random import RandomState
from skmmal._sklearn import Interval
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._coverage import REFERENCES, herding_on_shards, labeled_unit_rows
from skmmal.reading import Reading
from skmmal.reading._sharded import ShardedReading
from skmmal.selection._dense import draw_references
from skmmal.selection._herding import kernel_coverage, kernel_herding
from skmmal.selection._units import KernelGains, UnitBenefits, Units

__all__ = ["MaxHerding"]


class MaxHerding(QueryStrategy):
    """Pick, one after the other, the row that most increases how well the pool is covered by labelled rows.

    A row is covered by its most similar labelled or picked row, ``k(i, j) = exp(−‖z_i − z_j‖² / σ²)``, z the fused
    embedding scaled to length one.

    Parameters
    ----------
    bandwidth : float, default=1.0
        Width of the kernel (the paper's default on embeddings of length one).
    max_references : int or None, default=10000
        At most that many rows of the pool, drawn at random, are to be covered (the paper's code draws 35,000, and
        picks among them alone; here every row may be picked). ``None``: all.
    random_state : int, RandomState, Generator or None
        Draws the references where the pool has more, and rows once everything is covered.
    on : str, default="fused"
        The features that count: ``"fused"``, the name of a modality for its block alone (no model is needed), or
        ``"all"``, which is the same as ``"fused"`` (see `QueryStrategy`).

    Notes
    -----
    Needs no model: with an unfitted estimator the features are covered. The score is the mean gain in coverage. The
    picks are those of plain greedy search (lazily). Cost: one matrix
    product N × D × R for R references, then a few blocks of 64 × D × R a pick; memory N D.

    Rows that lack a modality: what they have alone is scaled to length one, with zeros in place of the rest. They are
    near one another and far from whole rows, and are covered mostly by their like.

    References
    ----------
    .. [1] Bae, Noh and Sutherland, "Generalized coverage for more robust low-budget active learning", ECCV 2024,
       section 3.

    Examples
    --------
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import MaxHerding
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> batch = MaxHerding().query(None, X[::20], 10)
    >>> len(set(y[::20][batch].tolist())) >= 7
    True
    """

    requires_model = False
    supports_multi_label = True
    supports_groups = True
    _looks_beyond_candidates = True
    _parameter_constraints: dict = {
        "bandwidth": [Interval(Real, 0, None, closed="neither")],
        **REFERENCES,
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        bandwidth: float = 1.0,
        max_references: int | None = 10_000,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.bandwidth = bandwidth
        self.max_references = max_references
        self.random_state = random_state
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        covered = self._coverage(pool, labelled, rng)
        points = pool.head.unit_features
        return kernel_herding(points, n_instances, **covered, random_state=rng, candidates=pool.candidates)

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        return herding_on_shards(shards, n_instances, rng, max_references=self.max_references, bandwidth=self.bandwidth)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        coverage, floor = kernel_coverage(pool.head.unit_features, **self._coverage(pool, labelled, rng))
        return KernelGains(coverage, units, floor)

    def _coverage(self, pool: Reading, labelled: Reading, rng: np.random.RandomState) -> dict[str, Any]:
        """What is to be covered, and by whom it is already."""
        return {
            "references": draw_references(len(pool), self.max_references, rng),
            "initial": labeled_unit_rows(labelled),
            "bandwidth": self.bandwidth,
        }
