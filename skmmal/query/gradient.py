"""Diverse and uncertain batches in gradient-embedding space: BADGE and its balanced form, BMMAL."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from skmmal._random import RandomState
from skmmal.contributions import balance_weights
from skmmal.query._heads import gradient_embedding
from skmmal.query.base import QueryStrategy, Selection
from skmmal.query.view import PoolView
from skmmal.selection import Embedding, OuterProductEmbedding, d2_sampling
from skmmal.selection._partition import PARTITION_CONSTRAINTS, in_partitions

__all__ = ["BADGE", "BMMAL"]


class _GradientSampling(QueryStrategy):
    """D² sampling of gradient embeddings; subclasses say what the embedding is."""

    _parameter_constraints: dict = {
        "first": [StrOptions({"norm", "random"}), Interval(Integral, 0, None, closed="left")],
        **PARTITION_CONSTRAINTS,
    }

    def __init__(
        self,
        first: str | int = "norm",
        partitions: int = 1,
        n_jobs: int | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.first = first
        self.partitions = partitions
        self.n_jobs = n_jobs
        self.random_state = random_state

    @abstractmethod
    def _embedding(self, view: PoolView) -> Embedding:
        """Gradient embedding of the rows of a view."""

    def embedding(self, estimator: Any, X: Any) -> Embedding:
        """Gradient embedding of rows, in factors.

        Parameters
        ----------
        estimator : fitted classifier
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)

        Returns
        -------
        OuterProductEmbedding
            Of n_samples points. A modality's gradient (``on="image"``) is zero in the rows that lack it; with
            ``on="all"`` this is a `StackedEmbedding`.
        """
        return self._whole_embedding(PoolView(estimator, X))

    def _whole_embedding(self, view: PoolView) -> Embedding:
        return self._embedding(view)

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        return in_partitions(
            _d2, self._embedding(view), n_instances, self.partitions, self.n_jobs, rng, first=self._first_in(view)
        )

    def _first_in(self, view: PoolView) -> str | int:
        if isinstance(self.first, str) or self.first >= view.n_pool:  # d2_sampling says that there is no such row
            return self.first
        at = np.flatnonzero(view.pool_rows == self.first)
        return int(at[0]) if len(at) else "norm"


def _d2(embedding: Embedding, n_instances: int, seed: int, first: str | int) -> Selection:
    return d2_sampling(embedding, n_instances, random_state=seed, first=first, return_sq_distances=True)


class BADGE(_GradientSampling):
    """Batch active learning by diverse gradient embeddings.

    A row's embedding is the gradient of its cross-entropy, at the predicted class, with respect to the last layer of
    the head: ``(p − onehot(ŷ)) ⊗ z``. Long gradients are uncertain rows; D² sampling makes the batch diverse.

    Parameters
    ----------
    first : {"norm", "random"} or int, default="norm"
        First row of the batch: the longest gradient, one at random, or a given row of the pool (the longest gradient
        where `on` is a modality that this row lacks).
    partitions : int, default=1
        Split the pool at random into that many parts and choose from each on its own (the BMMAL paper's pool
        splitting): more memory, less diversity, other picks than the whole pool's; for comparison.
    n_jobs : int, default=None
        joblib workers over the partitions.
    random_state : int, RandomState, Generator or None
    on : str, default="fused"
        The head whose gradients count: ``"fused"``, the name of a modality, or ``"all"`` for the gradients of all
        heads side by side, so that inner products are the sum over the heads (see `QueryStrategy`).

    Notes
    -----
    Any classifier with `predict_proba`; where it has no `embed`, z is X itself. z is what the last layer sees: the
    modalities' embeddings side by side (with sum fusion the weights are those by which they are multiplied, each
    modality's over M), or, for fusions that gate or attend, the one vector that the modalities add up to. A fusion of
    your own is taken for linear in the embeddings; a committee has its members' embeddings side by side. The gradient
    is never multiplied out,
    sampling is exact (see `skmmal.selection._d2_sampling`). Cost: memory N (K + D); one matrix product
    N × (K + D) × n_instances; with ``on="all"`` 2 K M in place of K. The score is the squared distance at the time of
    the pick.

    Rows that lack a modality: an absent modality has no gradient, nor has a token that stands in for it
    (``missing="token"``). The gradient is shorter for it, and longer where the model is less sure of the row.

    References
    ----------
    .. [1] Ash et al., "Deep batch active learning by diverse, uncertain gradient lower bounds", ICLR 2020,
       algorithm 1.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import BADGE
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::20], y[::20])
    >>> batch = BADGE(random_state=0).query(clf, X[1::2], 5)
    >>> len(set(batch.tolist()))
    5
    """

    def __init__(
        self,
        first: str | int = "norm",
        partitions: int = 1,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        super().__init__(first, partitions, n_jobs, random_state)
        self.on = on

    def _embedding(self, view: PoolView) -> Embedding:
        return view.gradient_embedding

    def _whole_embedding(self, view: PoolView) -> Embedding:
        return gradient_embedding(view, self.on)


class BMMAL(_GradientSampling):
    """Balanced multimodal active learning: BADGE on features weighted against the dominant modality.

    Each modality m contributes the share Φ_m to the predicted class's probability (its absolute Shapley value,
    normalised). In the gradient embedding, the features of m are multiplied by ``1 − (max_k Φ_k − Φ_m)``: the
    strongest modality keeps its gradient, the others' shrink by what they lag behind. Rows that one modality decides
    alone thus get shorter gradients and are picked less.

    Parameters
    ----------
    first : {"norm", "random"} or int, default="norm"
        First row of the batch: the longest gradient, one at random, or a given row of the pool.
    partitions : int, default=1
        Split the pool at random into that many parts and choose from each on its own (the paper's pool splitting):
        more memory, less diversity, other picks than the whole pool's; for comparison.
    n_jobs : int, default=None
        joblib workers over the partitions.
    random_state : int, RandomState, Generator or None

    Notes
    -----
    Asks the estimator for `embed` and `modality_contributions` (`LateFusionClassifier` has them). There is no `on`:
    what is balanced are the modalities' shares in the fused head; on one modality alone this would be BADGE with `on`.
    More than two modalities, and rows with a missing modality, are our extension: exact Shapley values over the
    modalities that are present; an absent one has no gradient, and one that is alone keeps weight 1: a single modality
    is no dominance. Such rows come more often than their share. Where every Shapley value is zero the modalities weigh
    the same (the paper has 0/0 there). Fusions that gate or attend have one last layer for all modalities; to have
    blocks that can be weighted, each modality's part of its input counts as if it met weights of its own, which is an
    extension, too: with equal weights this is not BADGE there. A committee's contributions are those to the class that
    the committee predicts, its coalitions' values being the mean of its members'. Gradients use the features as they
    come: scale them (`ModalityScaler`), or the block with the larger values decides. Cost as for BADGE, plus the
    contributions: with concat and sum fusion N K 2^M multiplications in one small product a row, otherwise 2^M
    evaluations of the head; sampled beyond twelve modalities.

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

    def _embedding(self, view: PoolView) -> Embedding:
        view.check_fitted()
        view.require("embed", "modality_contributions")
        return OuterProductEmbedding(
            view.gradient_residuals, view.stored_embedding, balance_weights(view.contributions)
        )
