"""Sample-level valuation: repeat, in each row, the modalities that are worth little there."""

from __future__ import annotations

import numpy as np
import torch

from skmmal.balancing._valuation import ValuationResampling

__all__ = ["SampleValuation", "sample_copies"]


def sample_copies(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """How often each modality of each row is repeated, by its valuation φ.

    None at φ ≥ 1, once from 0.4 on, twice from −0.1 on, three times below.

    Parameters
    ----------
    values : ndarray of shape (n, M)
        See `skmmal.balancing.valuations`.
    present : ndarray of bool, shape (n, M)
        An absent modality is not repeated.

    Returns
    -------
    ndarray of int64, shape (n, M)

    Examples
    --------
    >>> import numpy as np
    >>> sample_copies(np.array([[1.5, 0.5], [0.0, -0.5]]), np.ones((2, 2), dtype=bool))
    array([[0, 1],
           [2, 3]])
    """
    exact = np.round(values, 9)  # multiples of 1/M! but for rounding
    return np.select([~present, exact >= 1.0, exact >= 0.4, exact >= -0.1], [0, 0, 1, 2], 3).astype(np.int64)


class SampleValuation(ValuationResampling):
    """Sample-level modality valuation: rows are repeated with the modality alone that is worth little in them.

    After the warm-up, before every epoch, each modality of each row gets its Shapley value φ for a correct prediction
    of the fused head. The row joins the epoch again with that modality alone: not at φ ≥ 1, once from 0.4 on, twice
    from −0.1 on, three times below.

    Parameters
    ----------
    warm_up : int or float, default=5
        Epochs before the first valuation: a number (int), or a share of all epochs (float).

    See Also
    --------
    ModalityValuation : Repeats the modality that is worth least on average.

    Notes
    -----
    Published with Adam (learning rate 5e-5) and without losses of single modalities; it works with either solver.
    Epochs grow: while most predictions are wrong each row comes up to 1 + 2M times. A copy counts in the fused loss
    and in the loss of the modality it has. Valuations take 2^M passes through the fused head, without dropout.

    Ours: more than two modalities (exact Shapley values, the same thresholds) and absent ones (they are worth
    nothing, and not repeated).

    `balancing_log_` has for every epoch after the warm-up the mean `valuation` over the rows with the modality and the
    number of `copies`.

    References
    ----------
    .. [1] Wei et al., "Enhancing multimodal cooperation via sample-level modality valuation", CVPR 2024
       (arXiv 2309.06255).

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.balancing import SampleValuation
    >>> from skmmal.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(n_samples=200, random_state=0, return_X_y=True)
    >>> method = SampleValuation(warm_up=2)
    >>> clf = LateFusionClassifier(encoder_dim=8, balancing=method, max_iter=4, random_state=0).fit(X, y)
    >>> sorted({line["epoch"] for line in clf.balancing_log_})
    [2, 3]
    """

    def __init__(self, warm_up: float = 5) -> None:
        self.warm_up = warm_up

    def _copies(self, values: np.ndarray, present: np.ndarray, generator: torch.Generator) -> np.ndarray:
        return sample_copies(values, present)
