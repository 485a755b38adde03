"""Accuracy when an adversary shifts features, and the shifted features themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from skmmal._arrays import number
from skmmal._torch import import_torch
from skmmal.modalities import MultimodalArray
from skmmal.robustness._measured import (
    ALL,
    FUSED,
    Levels,
    MeasuredModel,
    Scores,
    check_levels,
    columns_of,
    curve_table,
)

__all__ = ["ATTACK_LEVELS", "adversarial_curve", "adversarial_examples"]

ATTACK_LEVELS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)


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
        Its network is differentiated.
    X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        Test rows, in any form that the estimator takes.
    y : array-like of shape (n_samples,)
        Their labels, which the adversary knows.
    modality : str or sequence of str, optional
        Which modality is shifted; ``"all"``: all of them together, each within its own ball. Default: every modality
        in turn, then ``"all"``.
    levels : sequence of float, at least 0
        Radii ε; see `adversarial_examples`.
    method : {"fgsm", "pgd"}, default="fgsm"
        One step or several; see `adversarial_examples`, as for all that follow.
    norm : {"l2", "linf"}, default="l2"
        Shape of the ball.
    relative : bool, default=True
        Whether radii are in units of a block's root-mean-square row norm.
    target : str, default="fused"
        The head whose loss grows.
    n_steps : int, default=10
        Of ``"pgd"``.
    step_size : float, optional
        Of ``"pgd"``.

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
    import_torch("adversarial_curve")
    from skmmal.robustness._attack import Attack, AttackedNetwork

    levels = check_levels(levels, "levels")
    attack = Attack(method, norm, relative, n_steps, step_size)
    model = MeasuredModel(estimator, X, y)
    network = AttackedNetwork(model, target)

    def disturb(columns: list[int], level: float, repeat: int) -> tuple[Scores, np.ndarray]:
        return model.accuracies(network.attacked(attack, columns, level)), model.present

    return curve_table(f"{method}-{norm}", model, modality, levels, 1, disturb)


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
        Its network is differentiated.
    X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        Rows, in any form that the estimator takes.
    y : array-like of shape (n_samples,)
        Their labels, which the adversary knows.
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
        Shape of the ball.
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
    import_torch("adversarial_examples")
    from skmmal.robustness._attack import Attack, AttackedNetwork

    epsilon = number(epsilon, "epsilon", 0, closed=True)
    attack = Attack(method, norm, relative, n_steps, step_size)
    model = MeasuredModel(estimator, X, y)
    if modality is None:
        raise ValueError(f"modality is None; name one of {model.names}, or {ALL!r}")
    together = columns_of(modality, model.names).values()
    columns = sorted({column for columns in together for column in columns})
    return AttackedNetwork(model, target).attacked(attack, columns, epsilon)
