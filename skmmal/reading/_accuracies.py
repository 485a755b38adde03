"""How often heads are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["accuracies"]


def accuracies(hits: Mapping[str, np.ndarray], names: Sequence[str], present: np.ndarray) -> dict[str, float]:
    """Accuracy of every head: a modality's own over the rows that have it.

    Parameters
    ----------
    hits : mapping of str to ndarray of bool, shape (n,)
        Which rows each head predicts rightly.
    names : sequence of str
        Names of the M modalities.
    present : ndarray of bool, shape (n, M)
        Which row has which.

    Returns
    -------
    dict of str to float
        NaN for a modality that no row has.

    Examples
    --------
    >>> present = np.array([[True, False], [True, False]])
    >>> accuracies({"a": np.array([True, False]), "fused": np.array([True, True])}, ["a", "b"], present)
    {'a': 0.5, 'fused': 1.0}
    """
    counted = {name: present[:, m] for m, name in enumerate(names)}
    scores = {}
    for head, values in hits.items():
        values = values[counted[head]] if head in counted else values
        scores[head] = float(values.mean()) if len(values) else float("nan")
    return scores
