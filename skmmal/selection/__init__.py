"""Selection algorithms over embeddings: pure, exact, blocked; they know nothing of estimators."""

from skmmal.selection._d2_sampling import d2_sampling
from skmmal.selection._embedding import DenseEmbedding, Embedding, OuterProductEmbedding, StackedEmbedding
from skmmal.selection._k_center import k_center_greedy
from skmmal.selection._partial import PartialEmbedding

__all__ = [
    "DenseEmbedding",
    "Embedding",
    "OuterProductEmbedding",
    "PartialEmbedding",
    "StackedEmbedding",
    "d2_sampling",
    "k_center_greedy",
]
