"""Accuracy under what goes wrong in use: modalities that are missing, noise, adversarial steps.

Each function returns a tidy table: ``kind``, ``modality`` (which was disturbed, or ``"all"``), ``level``, ``repeat``,
``head`` (``"fused"``, or the modality whose own classifier is measured), ``accuracy``, and ``disturbed``: the share
of the modality's blocks that were changed.

The disturbances act on the features that the classifier sees: the steps of a pipeline before it are applied first.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_consistent_length
from torch.nn.functional import cross_entropy

from skmmal._arrays import off_device
from skmmal._chunks import row_chunks
from skmmal._fitted import classifier_features, final_step, require_fitted
from skmmal._labels import known_codes
from skmmal._random import RandomState, check_rng, draw_seed
from skmmal.reading import FUSED
from skmmal.heads.tensors import as_batches, resolve_device
from skmmal.modalities import MultimodalArray, is_multimodal, presence_mask

__all__ = ["ALL", "adversarial_curve", "adversarial_examples", "missing_curve", "noise_curve"]

ALL = "all"
"""All modalities at once."""
RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NOISE_LEVELS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
ATTACK_LEVELS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)

Levels = Sequence[float]
Scores = dict[str, float]


# --------------------------------------------------------------------------------------------------- the curves


def missing_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    modality: str | Sequence[str] | None = None,
    rates: Levels = RATES,
    n_repeats: int = 5,
    random_state: RandomState = None,
) -> pd.DataFrame:
    """Accuracy when modalities are missing from a share of the rows.

    Parameters
    ----------
    estimator : fitted classifier, or Pipeline or search with one
        A `LateFusionClassifier` gives the fused accuracy and each modality's own; any other classifier that takes
        rows with NaN, the fused one.
    X, y
        Test rows, in any form that the estimator takes, and their labels. Two modalities or more.
    modality : str or sequence of str, optional
        Which modality goes missing; ``"all"``: each of them, at the same rate. Default: every modality in turn, then
        ``"all"``.
    rates : sequence of float in [0, 1]
        Share of the rows with the modality that lose it. A row never loses its last modality: where it would, the
        one whose turn came last stays. With ``"all"``, the share that is lost is therefore lower than the rate (at
        rate 1 every row has exactly one modality); the column ``disturbed`` says how large it is.
    n_repeats : int, default=5
        Draws of the rows. Within a repeat, what is missing at one rate is missing at all higher ones.
    random_state : int, RandomState, Generator or None

    Returns
    -------
    DataFrame
        With the kind ``"missing"``. A modality's own accuracy is over the rows that still have it, NaN where none
        does.

    Raises
    ------
    ValueError
        Only one modality, an unknown one, or a rate outside [0, 1].

    Examples
    --------
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.robustness import missing_curve
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> clf = LateFusionClassifier().fit(X[::2], y[::2])
    >>> table = missing_curve(clf, X[1::2], y[1::2], modality="zer", rates=[0, 1], n_repeats=1)
    >>> table[["level", "head", "accuracy", "disturbed"]].round(2)
       level   head  accuracy  disturbed
    0    0.0    fou      0.79        0.0
    1    0.0    zer      0.82        0.0
    2    0.0  fused      0.89        0.0
    3    1.0    fou      0.79        1.0
    4    1.0    zer       NaN        1.0
    5    1.0  fused      0.57        1.0
    """
    rates = _check_levels("rates", rates, most=1.0)
    n_repeats = _check_count("n_repeats", n_repeats)
    subject = _Subject(estimator, X, y)
    present = subject.present
    if len(subject.names) < 2:
        raise ValueError(f"missing_curve needs two modalities, X has only {subject.names[0]!r}: nothing can be missing")
    turns = [_turns(present, seed, subject.names) for seed in _seeds(random_state, n_repeats)]

    @cache  # a row's predictions follow from what it has left: there are 2^M − 1 possibilities, for any rate
    def hits_without(lost: tuple[bool, ...]) -> dict[str, np.ndarray]:
        others = (present & ~np.array(lost)).any(axis=1)
        return subject.hits(_without(subject.features, present & lost & others[:, None]))

    def disturb(members: list[int], rate: float, repeat: int) -> tuple[Scores, np.ndarray]:
        lost = _lost_blocks(present, turns[repeat], members, rate)
        hits: dict[str, np.ndarray] = {}
        for pattern in np.unique(lost, axis=0):
            rows = (lost == pattern).all(axis=1)
            for head, values in hits_without(tuple(pattern.tolist())).items():
                hits.setdefault(head, np.zeros(len(lost), dtype=bool))[rows] = values[rows]
        return _accuracies(hits, subject.names, present & ~lost), lost

    return _measure("missing", subject, modality, rates, n_repeats, disturb)


def noise_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    modality: str | Sequence[str] | None = None,
    levels: Levels = NOISE_LEVELS,
    n_repeats: int = 5,
    random_state: RandomState = None,
) -> pd.DataFrame:
    """Accuracy when Gaussian noise is added to a modality.

    Parameters
    ----------
    estimator : fitted classifier, or Pipeline or search with one
    X, y
        Test rows and their labels.
    modality : str or sequence of str, optional
        Which modality is noisy; ``"all"``: all of them, independently. Default: every modality in turn, then
        ``"all"``.
    levels : sequence of float, at least 0
        Standard deviation of the noise, in units of each feature's own standard deviation over the rows of X that
        have the modality. At level 1 signal and noise have the same variance.
    n_repeats : int, default=5
        Draws of the noise. Within a repeat, levels differ by a factor only.
    random_state : int, RandomState, Generator or None

    Returns
    -------
    DataFrame
        With the kind ``"noise"``. Absent blocks stay absent.

    Raises
    ------
    ValueError
        An unknown modality, or a level that is negative or not finite.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.robustness import noise_curve
    >>> X, y = load_iris(return_X_y=True)
    >>> table = noise_curve(LogisticRegression().fit(X[::2], y[::2]), X[1::2], y[1::2], random_state=0)
    >>> table.groupby("level")["accuracy"].mean().round(2).tolist()
    [0.96, 0.93, 0.85, 0.67, 0.53, 0.4]
    """
    levels = _check_levels("levels", levels)
    n_repeats = _check_count("n_repeats", n_repeats)
    subject = _Subject(estimator, X, y)
    features, present = subject.features, subject.present
    seeds = _seeds(random_state, n_repeats)

    @lru_cache(maxsize=len(subject.names))  # levels differ by a factor only
    def noise(m: int, repeat: int) -> np.ndarray:
        name = subject.names[m]
        drawn = _rng(seeds[repeat], name).standard_normal(features[name].shape)
        return drawn * _deviations(features[name], present[:, m])

    def disturb(members: list[int], level: float, repeat: int) -> tuple[Scores, np.ndarray]:
        added = {subject.names[m]: level * noise(m, repeat) for m in members}
        return subject.accuracies(_plus(features, added)), present

    return _measure("noise", subject, modality, levels, n_repeats, disturb)


def adversarial_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    modality: str | Sequence[str] | None = None,
    levels: Levels = ATTACK_LEVELS,
    method: str = "fgsm",
    norm: str = "l2",
    relative: bool = True,
    target: str = FUSED,
    n_steps: int = 10,
    step_size: float | None = None,
) -> pd.DataFrame:
    """Accuracy when an adversary shifts a modality's features within a ball.

    Parameters
    ----------
    estimator : fitted LateFusionClassifier, or Pipeline or search with one
    X, y
        Test rows and their labels, which the adversary knows.
    modality : str or sequence of str, optional
        Which modality is shifted; ``"all"``: all of them together, each within its own ball. Default: every modality
        in turn, then ``"all"``.
    levels : sequence of float, at least 0
        Radii ε; see `adversarial_examples`.
    method, norm, relative, target, n_steps, step_size
        See `adversarial_examples`.

    Returns
    -------
    DataFrame
        With the kind ``"METHOD-NORM"``, such as ``"pgd-l2"``; one repeat, for nothing is drawn.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.robustness import adversarial_curve
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> clf = LateFusionClassifier().fit(X[::2], y[::2])
    >>> table = adversarial_curve(clf, X[1::2], y[1::2], modality="zer", levels=[0, 0.05, 0.1], method="pgd")
    >>> table.pivot(index="level", columns="head", values="accuracy").round(2)
    head    fou  fused   zer
    level
    0.00   0.79   0.89  0.82
    0.05   0.79   0.82  0.72
    0.10   0.79   0.76  0.61
    """
    levels = _check_levels("levels", levels)
    attack = _Attack(method, norm, relative, n_steps, step_size)
    subject = _Subject(estimator, X, y)
    network = _Network(subject, target)

    def disturb(members: list[int], level: float, repeat: int) -> tuple[Scores, np.ndarray]:
        return subject.accuracies(network.attacked(attack, members, level)), subject.present

    return _measure(f"{method}-{norm}", subject, modality, levels, 1, disturb)


def adversarial_examples(
    estimator: Any,
    X: Any,
    y: Any,
    modality: str | Sequence[str],
    *,
    epsilon: float,
    method: str = "fgsm",
    norm: str = "l2",
    relative: bool = True,
    target: str = FUSED,
    n_steps: int = 10,
    step_size: float | None = None,
) -> MultimodalArray:
    """Shift features within a ball so that the cross-entropy of the true class grows.

    Parameters
    ----------
    estimator : fitted LateFusionClassifier, or Pipeline or search with one
    X, y
        Rows and their labels.
    modality : str or sequence of str
        What is shifted: one modality, several together, or ``"all"``. Every modality has a ball of its own.
    epsilon : float, at least 0
        Radius of the ball. With `relative`, in units of the block's root-mean-square row norm R over the rows of X
        that have the modality (8 after `ModalityScaler`): ``‖δ‖₂ ≤ ε R`` for ``"l2"``; ``max |δ_j| ≤ ε R / √D`` for
        ``"linf"``, so that both allow the same largest Euclidean length.
    method : {"fgsm", "pgd"}, default="fgsm"
        ``"fgsm"``: one step to the ball's surface, along the gradient (``"l2"``) or its sign (``"linf"``).
        ``"pgd"``: `n_steps` smaller steps from the row itself, each projected back into the ball; of all points on
        the way, the one of largest loss. Nothing is drawn.
    norm : {"l2", "linf"}, default="l2"
    relative : bool, default=True
        False: `epsilon` is the radius itself.
    target : str, default="fused"
        The head whose loss grows: ``"fused"``, or a modality's name for its own classifier.
    n_steps : int, default=10
        Of ``"pgd"``.
    step_size : float, optional
        Length of a step of ``"pgd"``, in units of the radius. Default: ``2.5 / n_steps``.

    Returns
    -------
    MultimodalArray
        What the classifier sees, after the steps of a pipeline before it; the shifted blocks in float64. Absent
        blocks stay absent.

    Raises
    ------
    TypeError
        The classifier has no network to differentiate.
    ValueError
        An unknown modality, label, method, norm or target; a radius or step that is negative or not finite.

    References
    ----------
    .. [1] Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015, section 4.
    .. [2] Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, section 2.1.
       Keeping the point of largest loss, the start at the row itself and the balls per modality are ours.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.robustness import adversarial_examples
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier(C=0.01).fit(X, y)
    >>> shifted = adversarial_examples(clf, X, y, "fou", epsilon=0.2)
    >>> bool((shifted["zer"] == X["zer"]).all())
    True
    >>> round(clf.score(X, y), 2), round(clf.score(shifted, y), 2)
    (0.89, 0.87)
    """
    (epsilon,) = _check_levels("epsilon", [epsilon])
    attack = _Attack(method, norm, relative, n_steps, step_size)
    subject = _Subject(estimator, X, y)
    if modality is None:
        raise ValueError(f"modality is None; name one of {subject.names}, or {ALL!r}")
    groups = _chosen(modality, subject.names)
    members = sorted({m for group in groups.values() for m in group})
    return _Network(subject, target).attacked(attack, members, epsilon)


# ---------------------------------------------------------------------------------------------------- the model


class _Subject:
    """A fitted classifier, test rows as it sees them, and how accurate it is on any version of these rows."""

    def __init__(self, estimator: Any, X: Any, y: Any) -> None:
        require_fitted(estimator)
        self.final, seen = final_step(estimator, X)
        self.features = classifier_features(self.final, seen)
        self.present = presence_mask(self.features)
        self.names = list(self.features.modalities)
        if ALL in self.names:
            raise ValueError(f"a modality is named {ALL!r}, which here means all modalities; rename it")
        self.y = column_or_1d(off_device(y))
        check_consistent_length(self.features, self.y)
        # a classifier that knows no modalities was fitted on a matrix or a frame, and is given one again
        self._like = None if is_multimodal(seen) or hasattr(self.final, "modalities") else seen

    def accuracies(self, features: MultimodalArray) -> Scores:
        """Accuracy of every head."""
        if hasattr(self.final, "score_by_modality"):
            return self.final.score_by_modality(features, self.y)
        return {FUSED: float(self.hits(features)[FUSED].mean())}

    def hits(self, features: MultimodalArray) -> dict[str, np.ndarray]:
        """Which rows every head predicts rightly, bool (n,)."""
        hits = {}
        if hasattr(self.final, "predict_proba_by_modality"):
            for name, values in self.final.predict_proba_by_modality(features).items():
                hits[name] = self.final.classes_[values.argmax(axis=1)] == self.y
        X: Any = features
        if self._like is not None:
            X = np.asarray(features)
            if isinstance(self._like, pd.DataFrame):
                X = pd.DataFrame(X, index=self._like.index, columns=self._like.columns)
        hits[FUSED] = self.final.predict(X) == self.y
        return hits


def _accuracies(hits: dict[str, np.ndarray], names: list[str], present: np.ndarray) -> Scores:
    """Accuracy of every head: a modality's over the rows that have it."""
    counted = {name: present[:, m] for m, name in enumerate(names)}
    scores = {}
    for head, values in hits.items():
        counting = values[counted[head]] if head in counted else values
        scores[head] = float(counting.mean()) if len(counting) else float("nan")
    return scores


Disturbance = Callable[[list[int], float, int], tuple[Scores, np.ndarray]]
"""From modalities, level and repeat to the accuracies, and which blocks were changed."""


def _measure(
    kind: str,
    subject: _Subject,
    modality: str | Sequence[str] | None,
    levels: Sequence[float],
    n_repeats: int,
    disturb: Disturbance,
) -> pd.DataFrame:
    """Accuracies under a disturbance, as a tidy table."""
    clean = subject.accuracies(subject.features)
    lines = []
    for name, members in _chosen(modality, subject.names).items():
        n_blocks = max(1, int(subject.present[:, members].sum()))
        for repeat in range(n_repeats):
            for level in levels:
                scores, share = clean, 0.0
                if level > 0:
                    scores, changed = disturb(members, level, repeat)
                    share = float(changed[:, members].sum() / n_blocks)
                line = {"kind": kind, "modality": name, "level": level, "repeat": repeat}
                lines += [
                    {**line, "head": head, "accuracy": accuracy, "disturbed": share}
                    for head, accuracy in scores.items()
                ]
    return pd.DataFrame(lines)


# ------------------------------------------------------------------------------------------------- disturbances


def _turns(present: np.ndarray, seed: int, names: list[str]) -> np.ndarray:
    """When each block goes missing, shape (n, M): at all rates above this one; infinity where it is absent anyway.

    In a column the values are those of evenly spaced rates, in random order: a rate is met exactly.
    """
    turns = np.full(present.shape, np.inf)
    for m, name in enumerate(names):
        rng = _rng(seed, name)
        rows = rng.permutation(np.flatnonzero(present[:, m]))
        jitter = 1e-6 * rng.uniform(size=len(rows))  # no ties between the modalities of a row
        turns[rows, m] = (np.arange(len(rows)) + 0.5 - jitter) / max(1, len(rows))
    return turns


def _lost_blocks(present: np.ndarray, turns: np.ndarray, members: list[int], rate: float) -> np.ndarray:
    """Which blocks of some modalities are lost at a rate, bool (n, M)."""
    lost = np.zeros(present.shape, dtype=bool)
    lost[:, members] = turns[:, members] < rate
    emptied = np.flatnonzero(~(present & ~lost).any(axis=1))
    lost[emptied, np.where(lost[emptied], turns[emptied], -1.0).argmax(axis=1)] = False
    return lost


def _without(features: MultimodalArray, lost: np.ndarray) -> MultimodalArray:
    blocks = dict(features.blocks)
    for m, (name, block) in enumerate(features.blocks.items()):
        if lost[:, m].any():
            blocks[name] = _floating(block)
            blocks[name][lost[:, m]] = np.nan
    return MultimodalArray(blocks, features.modalities)


def _plus(features: MultimodalArray, added: dict[str, np.ndarray]) -> MultimodalArray:
    blocks = dict(features.blocks)
    for name, values in added.items():
        blocks[name] = _floating(features[name])
        blocks[name] += values  # NaN stays NaN
    return MultimodalArray(blocks, features.modalities)


def _floating(block: np.ndarray) -> np.ndarray:
    """Copy a block in a dtype that has NaN and enough digits."""
    return block.astype(np.result_type(block.dtype, np.float32) if block.dtype.kind == "f" else np.float64)


def _deviations(block: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Standard deviation of every column over the rows that have the modality; 0 where none has."""
    rows = block[there].astype(np.float64)
    return rows.std(axis=0) if len(rows) else np.zeros(block.shape[1])


@dataclass(frozen=True)
class _Attack:
    """How an adversary steps; see `adversarial_examples`."""

    method: str
    norm: str
    relative: bool
    n_steps: int
    step_size: float | None

    def __post_init__(self) -> None:
        _check_option("method", self.method, ("fgsm", "pgd"))
        _check_option("norm", self.norm, ("l2", "linf"))
        _check_count("n_steps", self.n_steps)
        if self.step_size is not None:
            _check_levels("step_size", [self.step_size])

    def radius(self, epsilon: float, block: np.ndarray, there: np.ndarray) -> float:
        """Radius of a block's ball."""
        if not self.relative or not there.any():
            return epsilon
        squares = sum(
            float((block[rows][there[rows]].astype(np.float64) ** 2).sum()) for rows in row_chunks(*block.shape)
        )
        length = np.sqrt(squares / there.sum())
        return float(epsilon * length * (1.0 if self.norm == "l2" else 1.0 / np.sqrt(block.shape[1])))

    def step(self, gradient: torch.Tensor, length: float) -> torch.Tensor:
        """Steepest ascent of that length."""
        if self.norm == "linf":
            return length * gradient.sign()
        norms = gradient.norm(dim=1, keepdim=True)
        return length * torch.where(norms > 0, gradient / norms, gradient)

    def project(self, shift: torch.Tensor, radius: float) -> torch.Tensor:
        """Nearest point of the ball."""
        if self.norm == "linf":
            return shift.clamp(-radius, radius)
        norms = shift.norm(dim=1, keepdim=True)
        return torch.where(norms > radius, shift * (radius / norms), shift)


class _Network:
    """The network of a `LateFusionClassifier`, for gradients by its inputs."""

    def __init__(self, subject: _Subject, target: str) -> None:
        module = getattr(subject.final, "module_", None)
        if module is None or not hasattr(module, "embed"):
            raise TypeError(
                f"{type(subject.final).__name__} has no network to differentiate; adversarial steps need a "
                "LateFusionClassifier"
            )
        _check_option("target", target, (FUSED, *subject.names))
        self.subject = subject
        self.head = None if target == FUSED else subject.names.index(target)
        self.codes = known_codes(subject.y, subject.final.classes_, "y")
        self.device = resolve_device(subject.final.device)
        self.module = module if self.device.type == "cpu" else copy.deepcopy(module).to(self.device)

    def attacked(self, attack: _Attack, members: list[int], epsilon: float) -> MultimodalArray:
        """The rows with some modalities shifted."""
        features, present = self.subject.features, self.subject.present
        names = [self.subject.names[m] for m in members]
        blocks = dict(features.blocks)
        blocks.update({name: features[name].astype(np.float64) for name in names})
        radii = [attack.radius(epsilon, features[name], present[:, m]) for m, name in zip(members, names, strict=True)]
        for rows in row_chunks(*features.shape):
            batch = as_batches(features, present, rows, self.module.dtype, self.device)
            labels = torch.as_tensor(self.codes[rows], device=self.device)
            shifts = self._shifts(attack, batch.blocks, batch.present, labels, members, radii)
            for name, shift in zip(names, shifts, strict=True):
                blocks[name][rows] += shift.cpu().numpy()  # NaN stays NaN
        return MultimodalArray(blocks, features.modalities)

    def _shifts(
        self,
        attack: _Attack,
        blocks: list[torch.Tensor],
        present: torch.Tensor,
        labels: torch.Tensor,
        members: list[int],
        radii: list[float],
    ) -> list[torch.Tensor]:
        shifts = [torch.zeros_like(blocks[m]) for m in members]
        if attack.method == "fgsm":
            _, gradients = self._loss(blocks, present, labels, members, shifts)
            return [attack.step(gradient, radius) for gradient, radius in zip(gradients, radii, strict=True)]
        share = 2.5 / attack.n_steps if attack.step_size is None else attack.step_size
        best, largest = shifts, torch.full_like(labels, -torch.inf, dtype=blocks[0].dtype)
        for step in range(attack.n_steps + 1):
            loss, gradients = self._loss(blocks, present, labels, members, shifts)
            better = (loss > largest)[:, None]
            best = [torch.where(better, new, old) for new, old in zip(shifts, best, strict=True)]
            largest = torch.maximum(loss, largest)
            if step < attack.n_steps:
                shifts = [
                    attack.project(shift + attack.step(gradient, share * radius), radius)
                    for shift, gradient, radius in zip(shifts, gradients, radii, strict=True)
                ]
        return best

    def _loss(
        self,
        blocks: list[torch.Tensor],
        present: torch.Tensor,
        labels: torch.Tensor,
        members: list[int],
        shifts: list[torch.Tensor],
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Loss of every row, and its gradient by the blocks of the members (zero where a block is absent)."""
        moved = list(blocks)
        with torch.enable_grad():
            leaves = [(blocks[m] + shift).requires_grad_() for m, shift in zip(members, shifts, strict=True)]
            for m, leaf in zip(members, leaves, strict=True):
                moved[m] = leaf
            embeddings = self.module.embed(moved, present)
            if self.head is None:
                logits = self.module.fused_logits(embeddings, present)
            else:
                logits = self.module.head.own_logits(embeddings)[self.head]
            loss = cross_entropy(logits, labels, reduction="none")
            # rows do not touch each other: the gradient of the sum holds each row's own
            found = torch.autograd.grad(loss.sum(), leaves, allow_unused=True)
        gradients = [
            torch.zeros_like(leaf) if gradient is None else gradient * present[:, m : m + 1]
            for m, leaf, gradient in zip(members, leaves, found, strict=True)
        ]
        return loss.detach(), gradients


# ------------------------------------------------------------------------------------------------------- checks


def _chosen(modality: str | Sequence[str] | None, names: list[str]) -> dict[str, list[int]]:
    """Columns of the modalities that are disturbed together, by the name of the curve."""
    if modality is None:
        wanted = [*names, ALL] if len(names) > 1 else names
    elif isinstance(modality, str):
        wanted = [modality]
    elif isinstance(modality, Iterable):
        wanted = list(modality)
    else:
        raise TypeError(f"modality must be a modality's name or a list of names, got {modality!r}")
    for name in wanted:
        if name != ALL and name not in names:
            raise ValueError(f"unknown modality {name!r}; there are {names}, and {ALL!r} for all of them")
    if not wanted:
        raise ValueError(f"modality is empty; there are {names}")
    return {name: _members(name, names) for name in wanted}


def _members(name: str, names: list[str]) -> list[int]:
    return list(range(len(names))) if name == ALL else [names.index(name)]


def _check_levels(argument: str, levels: Any, most: float = np.inf) -> list[float]:
    given = levels if isinstance(levels, Iterable) and not isinstance(levels, str) else [levels]
    found = []
    for level in given:
        if not isinstance(level, Real) or isinstance(level, bool):
            raise TypeError(f"{argument} must be numbers, got {level!r}")
        found.append(float(level))
        if not (np.isfinite(found[-1]) and 0 <= found[-1] <= most):
            limits = "between 0 and 1" if most == 1 else "finite and at least 0"
            raise ValueError(f"{argument} must be {limits}, got {level!r}")
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{argument} must be distinct and not empty, got {found}")
    return found


def _check_count(argument: str, value: Any) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{argument} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{argument} must be at least 1, got {value}")
    return int(value)


def _check_option(argument: str, value: Any, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ValueError(f"{argument} must be one of {list(options)}, got {value!r}")


def _seeds(random_state: RandomState, n_repeats: int) -> list[int]:
    rng = check_rng(random_state)
    return [draw_seed(rng) for _ in range(n_repeats)]


def _rng(seed: int, name: str) -> np.random.RandomState:
    """A modality's own generator: its draws do not depend on what else is disturbed."""
    return np.random.RandomState((seed + zlib.crc32(name.encode())) % 2**32)
