"""Modality-level valuation: repeat the modality that is worth least on average."""

from __future__ import annotations

from numbers import Real

import numpy as np
import torch

from skmmal._sklearn import Interval
from skmmal.balancing._base import EPOCHS, NOT_NEGATIVE
from skmmal.balancing._valuation import ValuationResampling

__all__ = ["ModalityValuation", "n_modality_copies"]


def n_modality_copies(mean_values: np.ndarray, n_rows: int, alpha: float) -> tuple[int, int]:
    """Which modality is repeated, and how often: ``⌊(2/3) · (gap_m − mean of the other gaps) · alpha · n_rows⌋``.

    Parameters
    ----------
    mean_values : ndarray of shape (M,)
        Mean valuations φ̄; the gap of a modality is ``1 − φ̄``. NaN: not valued, not repeated.
    n_rows : int
        Rows of the training set.
    alpha : float
        Factor on the number.

    Returns
    -------
    modality : int
        Its column.
    n_copies : int
        How many rows are repeated.

    Examples
    --------
    >>> import numpy as np
    >>> n_modality_copies(np.array([1.0, 0.25]), n_rows=100, alpha=1.0)
    (1, 50)
    """
    gaps = 1.0 - np.asarray(mean_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(gaps))
    if len(known) < 2:
        return 0, 0
    weakest = known[np.argmax(gaps[known])]
    lead = gaps[weakest] - gaps[known[known != weakest]].mean()
    return int(weakest), int(np.floor(2.0 / 3.0 * lead * alpha * n_rows + 1e-9))


class ModalityValuation(ValuationResampling):
    """Modality-level valuation: rows are repeated with the modality alone that is worth least on average.

    After the warm-up, before every epoch, a random share of the rows is valued (see `SampleValuation`). With φ̄ the
    mean valuation and ``gap = 1 − φ̄``, ``⌊(2/3) · (difference of the gaps) · alpha · N⌋`` rows, drawn with
    replacement, join the epoch again with the modality of the larger gap alone.

    Parameters
    ----------
    alpha : float, default=1.0
        Factor on the number of copies; 0 makes none.
    subset : float, default=0.2
        Share of the rows, drawn with replacement, whose valuations count.
    warm_up : int or float, default=5
        Epochs before the first valuation: a number (int), or a share of all epochs (float).

    See Also
    --------
    SampleValuation : Repeats row by row.

    Notes
    -----
    Published with Adam (learning rate 5e-5) and without losses of single modalities; it works with either solver. A
    copy counts in the fused loss and in the loss of the modality it has.

    Ours: with more than two modalities the largest gap is compared with the mean of the others; a modality is valued,
    and drawn, on the rows that have it.

    `balancing_log_` has for every epoch after the warm-up the mean `valuation` over the rows with the modality and the
    number of `copies`.

    References
    ----------
    .. [1] Wei et al., "Enhancing multimodal cooperation via sample-level modality valuation", CVPR 2024
       (arXiv 2309.06255).

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.balancing import ModalityValuation
    >>> LateFusionClassifier(encoder_dim=8, balancing=ModalityValuation(alpha=0.5)).balancing
    ModalityValuation(alpha=0.5)
    """

    _parameter_constraints: dict = {
        "alpha": NOT_NEGATIVE,
        "subset": [Interval(Real, 0, 1, closed="right")],
        "warm_up": EPOCHS,
    }

    def __init__(self, alpha: float = 1.0, *, subset: float = 0.2, warm_up: float = 5) -> None:
        self.alpha = alpha
        self.subset = subset
        self.warm_up = warm_up

    def _copies(self, values: np.ndarray, present: np.ndarray, generator: torch.Generator) -> np.ndarray:
        drawn = _draw(len(values), max(1, round(self.subset * len(values))), generator)
        valued = present[drawn].sum(axis=0)
        sums = np.where(present[drawn], values[drawn], 0.0).sum(axis=0)
        means = np.divide(sums, valued, out=np.full(len(sums), np.nan), where=valued > 0)
        weakest, n_copies = n_modality_copies(means, len(values), self.alpha)
        copies = np.zeros(values.shape, dtype=np.int64)
        having = np.flatnonzero(present[:, weakest])
        if n_copies > 0:
            np.add.at(copies[:, weakest], having[_draw(len(having), n_copies, generator)], 1)
        return copies


def _draw(n: int, size: int, generator: torch.Generator) -> np.ndarray:
    """Draw `size` of n with replacement."""
    return torch.randint(n, (size,), generator=generator, device=generator.device).cpu().numpy()
