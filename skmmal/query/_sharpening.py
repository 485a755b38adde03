"""Heads that are hardly sure of anything where they were fitted: sharpened before rows are weighed by what they say."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import softmax

from skmmal._probabilities import log_probabilities
from skmmal._targets import ONE_CLASS, Target
from skmmal.reading import Head, Reading

__all__ = ["exponent", "exponents", "known_distributions", "sharpened"]

_SHARE = 0.5
_LARGEST = 1e6


def exponents(labelled: Reading) -> dict[str, float]:
    """`exponent` of every head, by name; empty without a model or labelled rows.

    Parameters
    ----------
    labelled : Reading
        Of the labelled rows.

    Returns
    -------
    dict of str to float
    """
    if not len(labelled) or not labelled.is_fitted:
        return {}
    labelled.source.read_heads()
    heads = labelled.heads if labelled.source.has_own_heads else {labelled.head.name: labelled.head}
    return {name: exponent(head) for name, head in heads.items()}


def exponent(head: Head) -> float:
    """Power of a head's probabilities that makes it half as sure of its labelled rows as it is right about them.

    Both are counted from chance: the mean of the largest probability is to be half as far above 1 / K as the accuracy.
    It is one for a head that is sure enough, which is the rule: a head is surest where it was fitted. A classifier
    that is strongly regularized is not. Its probabilities are in the right order and hardly differ, so that every row
    would weigh the same.

    Parameters
    ----------
    head : Head
        On labelled rows; where their labels are not known, on rows of which it is right.

    Returns
    -------
    float
        At least one.
    """
    if not len(head):
        return 1.0
    probabilities, codes = known_distributions(head)
    if not len(codes) or probabilities.shape[1] < 2:
        return 1.0
    logits, chance = log_probabilities(probabilities), 1.0 / probabilities.shape[1]
    accuracy = (probabilities.argmax(axis=1) == codes).mean()
    goal = chance + _SHARE * (accuracy - chance)

    def excess(log_power: float) -> float:
        return float(softmax(np.exp(log_power) * logits, axis=1).max(axis=1).mean() - goal)

    if excess(0.0) >= 0:
        return 1.0
    most = np.log(_LARGEST)
    return float(np.exp(most if excess(most) <= 0 else brentq(excess, 0.0, most, xtol=1e-9)))


def known_distributions(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Distributions of what is known of labelled rows, and the column of what is true.

    Parameters
    ----------
    head : Head
        On labelled rows.

    Returns
    -------
    probabilities : ndarray of shape (n, K)
        A line for each row; where rows have several labels, one of two columns for each label that is known of a row.
    codes : ndarray of int, shape (n,)
    """
    if head.target is ONE_CLASS:
        return head.probabilities, head.codes
    states = head.codes.T  # NaN where nobody knows
    pairs = np.stack(list(head.target.distributions(head.probabilities)))
    is_known = ~np.isnan(states)
    return pairs[is_known], states[is_known].astype(np.intp)


def sharpened(probabilities: np.ndarray, power: float, target: Target) -> np.ndarray:
    """Probabilities raised to a power, and normalized again.

    Parameters
    ----------
    probabilities : ndarray of shape (n, K)
    power : float
    target : Target

    Returns
    -------
    ndarray of shape (n, K)
    """
    return probabilities if power == 1.0 else target.probabilities(power * target.logits(probabilities))
