"""Selection algorithms over points: pure, exact, blocked; they know nothing of estimators."""

from skmmal.selection._ball_cover import ball_cover, mixed_cover
from skmmal.selection._d2_sampling import d2_sampling
from skmmal.selection._dense import in_any_ball, nearest_other, unit_rows
from skmmal.selection._embedding import Embedding
from skmmal.selection._factored import DenseEmbedding, OuterProductEmbedding, StackedEmbedding
from skmmal.selection._gaussian_kernels import average_kernel, fourier_features, median_sq_distance
from skmmal.selection._herding import kernel_herding
from skmmal.selection._k_center import k_center_greedy
from skmmal.selection._partial import PartialEmbedding, mean_sq_distances
from skmmal.selection._points import Candidates, EmbeddingPoints, Points
from skmmal.selection._v_optimal import v_optimal_dense, v_optimal_features

__all__ = [
    "Candidates",
    "DenseEmbedding",
    "Embedding",
    "EmbeddingPoints",
    "OuterProductEmbedding",
    "PartialEmbedding",
    "Points",
    "StackedEmbedding",
    "average_kernel",
    "ball_cover",
    "d2_sampling",
    "fourier_features",
    "in_any_ball",
    "k_center_greedy",
    "kernel_herding",
    "mean_sq_distances",
    "median_sq_distance",
    "mixed_cover",
    "nearest_other",
    "unit_rows",
    "v_optimal_dense",
    "v_optimal_features",
]
