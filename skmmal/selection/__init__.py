"""Selection algorithms over embeddings: pure, exact, blocked; they know nothing of estimators."""

from skmmal.selection._d2_sampling import d2_sampling
from skmmal.selection._embedding import Embedding
from skmmal.selection._factored import DenseEmbedding, OuterProductEmbedding, StackedEmbedding
from skmmal.selection._k_center import k_center_greedy
from skmmal.selection._partial import PartialEmbedding
from skmmal.selection._points import Candidates, EmbeddingPoints, Points

__all__ = [
    "Candidates",
    "DenseEmbedding",
    "Embedding",
    "EmbeddingPoints",
    "OuterProductEmbedding",
    "PartialEmbedding",
    "Points",
    "StackedEmbedding",
    "d2_sampling",
    "k_center_greedy",
]
