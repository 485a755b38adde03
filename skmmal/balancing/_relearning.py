"""Diagnosing and re-learning: pull encoders back to their start where they fit the training rows too well."""

from __future__ import annotations

import math
import warnings
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.cluster import KMeans

from skmmal._sklearn import Interval
from skmmal.balancing._base import NOT_NEGATIVE, Balancing
from skmmal.heads import EpochRows, TrainingRun

__all__ = ["DiagnosingRelearning", "purity", "relearning_weights", "stratified_holdout"]

_LEAST_PER_CLASS = 2


def purity(features: np.ndarray, labels: np.ndarray, n_clusters: int) -> float:
    """Share of the rows that have the commonest label of their k-means cluster.

    Parameters
    ----------
    features : ndarray of shape (n, D)
        Each column is scaled to [−1, 1] first.
    labels : ndarray of int, shape (n,)
        Codes of the rows' classes, from 0.
    n_clusters : int
        At most as many as there are distinct rows are found.

    Returns
    -------
    float
        Between the share of the commonest label and 1.

    References
    ----------
    .. [1] Wei et al., "Diagnosing and re-learning for balanced multimodal learning", ECCV 2024 (arXiv 2407.09705).

    Examples
    --------
    >>> import numpy as np
    >>> purity(np.array([[0.0], [0.1], [5.0], [5.1]]), np.array([0, 0, 1, 0]), n_clusters=2)
    0.75
    """
    low, high = features.min(axis=0), features.max(axis=0)
    spread = np.where(high > low, high - low, 1.0)
    scaled = 2.0 * (features - low) / spread - 1.0
    n_clusters = min(n_clusters, len(np.unique(scaled, axis=0)))
    clusters = KMeans(n_clusters, n_init=10, random_state=0).fit_predict(scaled)
    counts = np.zeros((n_clusters, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (clusters, labels), 1)
    return float(counts.max(axis=1).sum() / len(labels))


def relearning_weights(train_purity: np.ndarray, holdout_purity: np.ndarray, strength: float) -> np.ndarray:
    """How far each encoder goes back to its start: ``w = tanh(strength · |P_train − P_holdout|)``.

    Parameters
    ----------
    train_purity, holdout_purity : ndarray of shape (M,)
        NaN where there are too few rows to tell gives 0.
    strength : float
        λ; 0 gives 0.

    Returns
    -------
    ndarray of shape (M,)

    Examples
    --------
    >>> import numpy as np
    >>> relearning_weights(np.array([0.9, 0.6]), np.array([0.7, 0.6]), strength=3.0).round(3)
    array([0.537, 0.   ])
    """
    gap = np.abs(np.asarray(train_purity) - np.asarray(holdout_purity))
    return np.tanh(strength * np.nan_to_num(gap, nan=0.0)) if strength > 0 else np.zeros_like(gap)


def stratified_holdout(labels: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Draw a share of every class, rounded, but never a class's last row.

    Parameters
    ----------
    labels : int64 tensor of shape (n,)
    share : float
    generator : torch.Generator
        On the device of `labels`.

    Returns
    -------
    bool tensor of shape (n,)
    """
    held = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
    order = torch.randperm(len(labels), generator=generator, device=labels.device)
    for label in torch.unique(labels):
        rows = order[labels[order] == label]
        held[rows[: _n_held(len(rows), share)]] = True
    return held


def _n_held(n_rows: int, share: float) -> int:
    return min(math.floor(share * n_rows + 0.5), n_rows - 1)


class DiagnosingRelearning(Balancing):
    """Diagnosing and re-learning: encoders whose embedding fits training rows better than others start over in part.

    Every `period` epochs, at most `max_times` times, the embedding of each modality is clustered by k-means, on the
    training rows and on rows held out; P is the purity of the clusters. The encoder goes back towards its weights at
    the start of the fit, ``θ ← w θ_init + (1 − w) θ`` with ``w = tanh(strength · |P_train − P_holdout|)``. The heads
    and the state of the optimiser are kept.

    Parameters
    ----------
    strength : float, default=3.0
        λ; 0 changes nothing (but rows are held out).
    period : int, default=20
        Epochs between two diagnoses. There is none after the last epoch.
    max_times : int, default=3
        Diagnoses at most.
    holdout : float, default=0.2
        Share of the rows of each class that is held out and not trained on. With fewer than two rows per class held
        out, a warning says so, nothing is held out and training is the plain one.

    Notes
    -----
    Published with ``solver="sgd"``; it works with either solver.

    Ours: the hold-out is taken from the labelled rows, as active learning has no other. A modality is diagnosed on
    the rows that have it, and left alone where these are fewer than two per class in the hold-out. With
    ``warm_start=True`` the start of the fit is what the last fit learned: less is forgotten.

    `balancing_log_` has for every diagnosis `purity_train`, `purity_holdout` and the `weight` w.

    References
    ----------
    .. [1] Wei et al., "Diagnosing and re-learning for balanced multimodal learning", ECCV 2024 (arXiv 2407.09705).

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.balancing import DiagnosingRelearning
    >>> from skmmal.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(n_samples=200, random_state=0, return_X_y=True)
    >>> method = DiagnosingRelearning(period=2)
    >>> clf = LateFusionClassifier(encoder_dim=8, balancing=method, max_iter=6, random_state=0).fit(X, y)
    >>> sorted({line["epoch"] for line in clf.balancing_log_})
    [1, 3]
    """

    _parameter_constraints: dict = {
        "strength": NOT_NEGATIVE,
        "period": [Interval(Integral, 1, None, closed="left")],
        "max_times": [Interval(Integral, 0, None, closed="left")],
        "holdout": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, strength: float = 3.0, *, period: int = 20, max_times: int = 3, holdout: float = 0.2) -> None:
        self.strength = strength
        self.period = period
        self.max_times = max_times
        self.holdout = holdout

    def begin(self, run: TrainingRun) -> None:
        super().begin(run)
        labels = run.data.labels
        n_held = sum(_n_held(n, self.holdout) for n in torch.unique(labels, return_counts=True)[1].tolist())
        self._least = _LEAST_PER_CLASS * int(run.seen.sum())
        self._active = n_held >= self._least
        held = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
        if self._active:
            held = stratified_holdout(labels, self.holdout, run.generator)
        else:
            warnings.warn(
                f"DiagnosingRelearning would hold out {n_held} of {len(labels)} labelled rows and needs {self._least} "
                "(two for each class); it is skipped and training is the plain one",
                UserWarning,
                stacklevel=2,
            )
        self._held = torch.nonzero(held).squeeze(1)
        self._trained = torch.nonzero(~held).squeeze(1)
        self._initial = [p.detach().clone() for p in run.module.encoders.parameters()]
        self._times = 0

    def epoch_rows(self, epoch: int) -> EpochRows:
        return EpochRows(self._trained)

    def end_epoch(self, epoch: int) -> None:
        due = (epoch + 1) % self.period == 0 and epoch + 1 < self.run.n_epochs
        if not (self._active and due and self._times < self.max_times):
            return
        self._times += 1
        purities = np.array([self._purities(rows) for rows in (self._trained, self._held)])
        weights = relearning_weights(purities[0], purities[1], self.strength)
        self.run.record(epoch, purity_train=purities[0], purity_holdout=purities[1], weight=weights)
        self._forget(weights)

    @torch.no_grad()
    def _forget(self, weights: np.ndarray) -> None:
        initial = iter(self._initial)
        for weight, encoder in zip(weights.tolist(), self.run.module.encoders, strict=True):
            for parameter in encoder.parameters():
                parameter.copy_(weight * next(initial) + (1.0 - weight) * parameter)

    def _purities(self, rows: torch.Tensor) -> list[float]:
        labels, present = self.run.data.labels[rows], self.run.data.present[rows]
        n_clusters = int(self.run.seen.sum())
        purities = []
        for m, values in enumerate(self.run.embed(rows)):
            having = present[:, m]
            learns = next(self.run.module.encoders[m].parameters(), None) is not None
            if learns and int(having.sum()) >= self._least:
                features = values[having].double().cpu().numpy()
                purities.append(purity(features, labels[having].cpu().numpy(), n_clusters))
            else:
                purities.append(float("nan"))
        return purities
