"""Whether rows that came to the features later are like those that were there: two-sample tests by modality."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import fisher_exact, mannwhitneyu
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmmal.campaign._on_workers import Rows
from skmmal.experiment._statistics import holm
from skmmal.modalities import presence_mask

__all__ = ["LEVEL", "compare_rows", "drift_in_words"]

LEVEL = 0.01
"""Below it a corrected p says that rows differ."""
FEWEST, MOST = 20, 2000
"""Rows of either kind; with fewer nothing is said, and of more some are drawn."""


def compare_rows(X: Rows, n_before: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Hold later rows against former ones.

    In each modality a classifier learns from half of the rows to tell the two kinds apart. Where the rows are alike its
    scores of the other half are, too: the area under the curve is then about one half, and a rank test says how far
    chance alone would take it. How often a modality is missing is compared by Fisher's exact test. The p of all tests
    are corrected together, after Holm.

    Parameters
    ----------
    X : MultimodalArray of shape (n_samples, n_features)
        Every row has some modality.
    n_before : int
        Rows that were there before; the others are new.
    seed : int, default=0
        Draws rows and halves.

    Returns
    -------
    list of dict
        For each modality ``modality``, ``n_before``, ``n_new`` (rows that have it, drawn from the usable ones),
        ``share_before``, ``share_new`` (of rows that have it), ``p_share``, and ``auc``, ``p`` (``None`` where fewer
        than 20 rows of either kind have it).

    References
    ----------
    .. [1] Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017, section 3.
    .. [2] Rabanser, Günnemann and Lipton, "Failing loudly: an empirical study of methods for detecting dataset shift",
       NeurIPS 2019, section 3 (the domain classifier).
    """
    rng = np.random.RandomState(seed)
    kinds = [np.arange(n_before), np.arange(n_before, len(X))]
    kinds = [np.sort(rng.permutation(rows)[:MOST]) for rows in kinds]
    some = X[np.concatenate(kinds)]
    is_new = np.repeat([False, True], [len(rows) for rows in kinds])
    present = presence_mask(some)
    found = []
    for column, name in enumerate(X.modalities):
        there = present[:, column]
        counts = np.array([[(there & side).sum(), (~there & side).sum()] for side in (~is_new, is_new)])
        one: dict[str, Any] = {
            "modality": str(name),
            "n_before": int(counts[0, 0]),
            "n_new": int(counts[1, 0]),
            "share_before": float(counts[0, 0] / counts[0].sum()),
            "share_new": float(counts[1, 0] / counts[1].sum()),
            "p_share": float(fisher_exact(counts).pvalue),
            "auc": None,
            "p": None,
        }
        if counts[:, 0].min() >= FEWEST:
            one["auc"], one["p"] = _told_apart(some.blocks[name][there].reshape(there.sum(), -1), is_new[there], seed)
        found.append(one)
    tests = [(one, key) for one in found for key in ("p_share", "p") if one[key] is not None]
    for (one, key), corrected in zip(tests, holm(np.array([one[key] for one, key in tests])), strict=True):
        one[key] = float(corrected)
    return found


def _told_apart(values: np.ndarray, is_new: np.ndarray, seed: int) -> tuple[float, float]:
    """Area under the curve on the half that the classifier did not see, and p that chance alone gives as much."""
    train, test = train_test_split(np.arange(len(values)), test_size=0.5, stratify=is_new, random_state=seed)
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=1.0 / values.shape[1], class_weight="balanced", max_iter=1000)
    )
    scores = model.fit(values[train], is_new[train]).decision_function(values[test])
    new, before = scores[is_new[test]], scores[~is_new[test]]
    ranked = mannwhitneyu(new, before, alternative="greater")
    return float(ranked.statistic / (len(new) * len(before))), float(ranked.pvalue)


def drift_in_words(found: list[dict[str, Any]], n_before: int, n_new: int) -> str:
    """One sentence about what `compare_rows` found."""
    told: list[str] = []
    for one in found:
        if one["p"] is not None and one["p"] < LEVEL:
            told.append(f"{one['modality']} looks different (AUC {one['auc']:.2f}, corrected p {one['p']:.1g})")
        if one["p_share"] < LEVEL:
            told.append(
                f"{one['modality']} is there in {one['share_new']:.0%} of the new rows, in {one['share_before']:.0%} "
                f"of the former ones (corrected p {one['p_share']:.1g})"
            )
    grown = f"The features grew from {n_before} rows by {n_new}"
    if told:
        return (
            f"{grown}, which are not like the former ones: {'; '.join(told)}. Labels so far may say little about them."
        )
    unseen = [one["modality"] for one in found if one["p"] is None]
    if unseen:
        return f"{grown}; too few rows have {', '.join(unseen)} to say whether they are like the former ones."
    return f"{grown}; no difference between the new rows and the former ones was found."
