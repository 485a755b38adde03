"""Diverse and uncertain batches in gradient-embedding space: BADGE."""

from __future__ import annotations

from skmmal._random import RandomState
from skmmal.query._gradient import GradientSampling
from skmmal.query._heads import check_on
from skmmal.reading import ALL, FUSED, Head, Reading
from skmmal.selection import Embedding, OuterProductEmbedding

__all__ = ["BADGE"]


class BADGE(GradientSampling):
    """Batch active learning by diverse gradient embeddings.

    A row's embedding is the gradient of its cross-entropy, at the predicted class, with respect to the last layer of
    the head: ``(p − onehot(ŷ)) ⊗ z``. Long gradients are uncertain rows; D² sampling makes the batch diverse.

    Parameters
    ----------
    first : {"norm", "random"} or int, default="norm"
        First row of the batch: the longest gradient, one at random, or a given row of the pool (the longest gradient
        where `on` is a modality that this row lacks).
    random_state : int, RandomState, Generator or None
        Draws the rows.
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

    def __init__(self, first: str | int = "norm", random_state: RandomState = None, *, on: str = "fused") -> None:
        super().__init__(first, random_state)
        self.on = on

    def _embedding(self, pool: Reading) -> Embedding:
        return pool.gradient_embedding

    def _whole_embedding(self, pool: Reading) -> Embedding:
        check_on(self.on, pool)
        if self.on in (FUSED, ALL):
            return pool.on(self.on).gradient_embedding
        head = Head(pool, self.on)
        block = pool.source.own_blocks[pool.modality_names.index(self.on)]
        return OuterProductEmbedding(head.spread(head.gradients), block)
