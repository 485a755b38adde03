"""Which classes a head knows: muting the others, waking them, and going on from former weights."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd

from skmmal.heads.convex import LinearMap

__all__ = [
    "UNSEEN_LOGIT",
    "ClassHeads",
    "class_positions",
    "classes_by_intercepts",
    "classes_met",
    "continue_from",
    "labels_met",
    "mute_unmet_classes",
    "wake_met_classes",
]

UNSEEN_LOGIT = -100.0
"""Intercept of a class without training rows: its probability is zero to double precision."""


class ClassHeads(Protocol):
    """Heads of which single classes can be set: `LinearHeads`, or a network on the CPU."""

    @property
    def met(self) -> np.ndarray:
        """Which classes each head has met, bool (M + 1, K), the fused head first."""

    @property
    def shape(self) -> Any:
        """What two must share to continue each other: all but the classes."""

    @property
    def unmet_logits(self) -> np.ndarray | float:
        """Logits, (M + 1, K) or one for all, of the classes that heads have not met."""

    def class_layers(self) -> list[tuple[LinearMap, int]]:
        """Layers whose outputs are the classes, to be changed in place, and the head (row of `met`) of each."""

    def copy_shared(self, former: Any) -> None:
        """Copy the weights that belong to no class."""


def classes_met(codes: np.ndarray, present: np.ndarray, n_classes: int) -> np.ndarray:
    """Which classes occur in the rows of each head: bool, (M + 1, K), the fused head first.

    A modality that no row has knows what the fused head knows, and its head says of all of that the same.

    Parameters
    ----------
    codes : int ndarray of shape (n,)
    present : bool ndarray of shape (n, M)
    n_classes : int
    """
    met = np.zeros((present.shape[1] + 1, n_classes), dtype=bool)
    for known, there in zip(met, [np.ones(len(codes), dtype=bool), *present.T], strict=True):
        known[codes[there]] = True
    met[~met.any(axis=1)] = met[0]
    return met


def labels_met(states: np.ndarray, present: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which labels each head can learn, and what it says of the others, whose state is the same in all its rows.

    No finite weights are the best for those. Their probability is ``(w₁ + ½) / (w + 1)``, with w the weight of the
    head's rows whose state is known, and w₁ of those that have the label: Jeffreys' estimate of a rate.

    Parameters
    ----------
    states : float ndarray of shape (n, L)
        One, zero, or NaN where nobody knows.
    present : bool ndarray of shape (n, M)
    weights : ndarray of shape (n,)

    Returns
    -------
    met : bool ndarray of shape (M + 1, L)
    unmet_logits : ndarray of shape (M + 1, L)
    """
    of_heads = np.vstack([weights, weights * present.T])
    having, lacking = of_heads @ (states == 1.0), of_heads @ (states == 0.0)
    return (having > 0) & (lacking > 0), np.log(having + 0.5) - np.log(lacking + 0.5)


def mute_unmet_classes(heads: ClassHeads, met: np.ndarray) -> None:
    """Let heads say the same of every row about classes that they have not met (mostly a probability of zero)."""
    logits = np.broadcast_to(heads.unmet_logits, met.shape)
    for layer, head in heads.class_layers():
        layer.weight[~met[head]] = 0.0
        layer.intercept[~met[head]] = logits[head][~met[head]]


def wake_met_classes(heads: ClassHeads, former: np.ndarray, met: np.ndarray) -> None:
    """Let classes that were muted and now have rows start level with the least likely of the others."""
    for layer, head in heads.class_layers():
        before = former[head]
        layer.intercept[met[head] & ~before] = layer.intercept[before].min() if before.any() else 0.0


def class_positions(former: Any, classes: Any) -> np.ndarray:
    """Where each former class is among the classes; −1 where it is not."""
    return pd.Index(classes).get_indexer(pd.Index(former))


def continue_from(former: ClassHeads, position: np.ndarray, heads: ClassHeads, option: str) -> np.ndarray:
    """Start `heads` from former weights; return which of its classes they know in each head, (M + 1, K).

    Parameters
    ----------
    former : LinearHeads or LateFusionModule
    position : int ndarray
        Of `class_positions`.
    heads : of the same kind
    option : str
        What asked for it, for the error message.

    Raises
    ------
    ValueError
        They differ in more than their classes.
    """
    if former.shape != heads.shape:
        raise ValueError(f"{option}, but the network's shape has changed since the last fit; set warm_start=False")
    kept = np.flatnonzero(position >= 0)
    places = position[kept]
    met = np.zeros_like(heads.met)
    met[:, places] = former.met[:, kept]
    heads.copy_shared(former)
    for (old, _), (new, _) in zip(former.class_layers(), heads.class_layers(), strict=True):
        new.weight[places] = old.weight[kept]
        new.intercept[places] = old.intercept[kept]
    mute_unmet_classes(heads, met)
    return met


def classes_by_intercepts(heads: ClassHeads, n_modalities: int) -> np.ndarray:
    """Which classes each head knows, bool (M + 1, K), by a model of a version that did not note it."""
    seen = np.any([layer.intercept > UNSEEN_LOGIT / 2 for layer, _ in heads.class_layers()], axis=0)
    return np.tile(seen, (n_modalities + 1, 1))
