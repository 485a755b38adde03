"""BADGE on features weighted against the dominant modality: BMMAL."""

from __future__ import annotations

from skmmal.contributions import balance_weights
from skmmal.query._gradient import GradientSampling
from skmmal.reading import Reading
from skmmal.selection import Embedding, OuterProductEmbedding

__all__ = ["BMMAL"]


class BMMAL(GradientSampling):
    """Balanced multimodal active learning: BADGE on features weighted against the dominant modality.

    Each modality m contributes the share Φ_m to the predicted class's probability (its absolute Shapley value,
    normalised). In the gradient embedding, the features of m are multiplied by ``1 − (max_k Φ_k − Φ_m)``: the
    strongest modality keeps its gradient, the others' shrink by what they lag behind. Rows that one modality decides
    alone thus get shorter gradients and are picked less.

    Parameters
    ----------
    first : {"norm", "random"} or int, default="norm"
        First row of the batch: the longest gradient, one at random, or a given row of the pool.
    random_state : int, RandomState, Generator or None
        Draws the rows.

    See Also
    --------
    Partitioned : The paper's splitting of the pool, for comparison.

    Notes
    -----
    Asks the estimator for `embed` and `modality_contributions` (`LateFusionClassifier` has them). There is no `on`:
    what is balanced are the modalities' shares in the fused head; on one modality alone this would be BADGE with `on`.
    More than two modalities, and rows with a missing modality, are our extension: exact Shapley values over the
    modalities that are present. Where every Shapley value is zero the modalities weigh the same (the paper has 0/0
    there). Fusions that gate or attend have one last layer for all modalities; to have
    blocks that can be weighted, each modality's part of its input counts as if it met weights of its own, which is an
    extension, too: with equal weights this is not BADGE there. A committee's contributions are those to the class that
    the committee predicts, its coalitions' values being the mean of its members'. Gradients use the features as they
    come: scale them (`ModalityScaler`), or the block with the larger values decides. Cost as for BADGE, plus the
    contributions: with concat and sum fusion N K 2^M multiplications in one small product a row, otherwise 2^M
    evaluations of the head; sampled beyond twelve modalities.

    Rows that lack a modality: an absent one has no gradient, and one that is alone keeps weight 1: a single modality is
    no dominance. Such rows come more often than their share.

    References
    ----------
    .. [1] Shen et al., "Towards balanced active learning for multimodal classification", ACM MM 2023
       (arXiv 2306.08306), section 4.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import BMMAL
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier().fit(X[::20], y[::20])
    >>> batch = BMMAL(random_state=0).query(clf, X[1::2], 5)
    >>> len(set(batch.tolist()))
    5
    """

    compares_modalities = True

    def _embedding(self, pool: Reading) -> Embedding:
        # contributions first: a network's pass for them makes its probabilities on the way
        weights = balance_weights(pool.contributions)
        return OuterProductEmbedding(pool.head.gradients, pool.head.blocks, weights)
