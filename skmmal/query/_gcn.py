"""A graph convolutional network that tells labelled from unlabelled rows."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import kneighbors_graph

from skmmal._random import RandomState, draw_seed, torch_generator
from skmmal._sklearn import Interval
from skmmal.query._base import QueryStrategy
from skmmal.reading import Reading
from skmmal.selection._dense import unit_rows

__all__ = ["GCNSampling"]

_HIDDEN, _DROPOUT, _LEARNING_RATE, _WEIGHT_DECAY, _UNLABELLED_WEIGHT = 128, 0.3, 1e-3, 5e-4, 1.2
"""The paper's values, as in the official BMMAL code."""


class GCNSampling(QueryStrategy):
    """What both strategies share: the parameters, the graph and the network."""

    requires_model = False
    _looks_beyond_candidates = True
    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "n_directions": [Interval(Integral, 1, None, closed="left"), None],
        "n_steps": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        n_neighbors: int = 10,
        n_directions: int | None = 128,
        n_steps: int = 200,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.n_directions = n_directions
        self.n_steps = n_steps
        self.random_state = random_state
        self.on = on

    def _trained(self, pool: Reading, labelled: Reading, rng: np.random.RandomState) -> _Trained:
        everything = pool.head.matrix(*([labelled.head] if len(labelled) else []))
        is_labelled = np.arange(len(everything)) >= len(pool)
        if self.n_directions is not None and everything.shape[1] > self.n_directions < len(everything):
            pca = PCA(int(self.n_directions), copy=False, svd_solver="randomized", random_state=draw_seed(rng))
            pca.set_output(transform="default")  # whatever scikit-learn's own setting is
            with np.errstate(invalid="ignore"):  # equal points have no variance whose shares there could be
                everything = pca.fit_transform(everything)
        features = unit_rows(everything, copy=False)
        return _train(features, _graph(features, self.n_neighbors), is_labelled, self.n_steps, rng)


@dataclass
class _Trained:
    """Hidden layer (N, 128) and probability of being labelled (N,)."""

    hidden: np.ndarray
    scores: np.ndarray


def _graph(points: np.ndarray, n_neighbors: int) -> sparse.csr_array:
    """Nearest-neighbour graph, symmetric, with loops, normalised by the roots of the degrees."""
    n = len(points)
    edges = sparse.eye_array(n, format="csr")
    if n > 1:
        near = sparse.csr_array(kneighbors_graph(points, min(n_neighbors, n - 1)))
        edges = edges + near.maximum(near.T)
    roots = sparse.diags_array(1.0 / np.sqrt(np.asarray(edges.sum(axis=1)).ravel()))
    return sparse.csr_array(roots @ edges @ roots)


def _train(
    features: np.ndarray, graph: sparse.csr_array, is_labelled: np.ndarray, n_steps: int, rng: np.random.RandomState
) -> _Trained:
    """Train ``s = σ(A ReLU(A X W₁ + b₁) W₂ + b₂)`` on who is labelled."""
    generator = torch_generator(rng)
    gathered = torch.as_tensor(graph @ features, dtype=torch.float32)  # A X, once
    edges = graph.tocoo()
    adjacency = torch.sparse_coo_tensor(
        torch.as_tensor(np.stack([edges.row, edges.col])),
        torch.as_tensor(edges.data, dtype=torch.float32),
        size=graph.shape,
        check_invariants=True,
    ).coalesce()
    weights = [
        _xavier(gathered.shape[1], _HIDDEN, generator),
        torch.zeros(_HIDDEN, requires_grad=True),
        _xavier(_HIDDEN, 1, generator),
        torch.zeros(1, requires_grad=True),
    ]
    known = torch.as_tensor(is_labelled)
    optimizer = torch.optim.Adam(weights, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    for _ in range(n_steps):
        optimizer.zero_grad()
        hidden = torch.relu(gathered @ weights[0] + weights[1])
        keep = torch.rand(hidden.shape, generator=generator) >= _DROPOUT
        logits = adjacency @ ((hidden * keep / (1 - _DROPOUT)) @ weights[2]) + weights[3]
        _loss(logits[:, 0], known).backward()
        optimizer.step()
    with torch.no_grad():
        hidden = torch.relu(gathered @ weights[0] + weights[1])
        logits = adjacency @ (hidden @ weights[2]) + weights[3]
        return _Trained(hidden.double().numpy(), torch.sigmoid(logits[:, 0].double()).numpy())


def _loss(logits: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """``−mean over labelled of log s − λ mean over unlabelled of log (1 − s)``."""
    loss = -_UNLABELLED_WEIGHT * torch.nn.functional.logsigmoid(-logits[~known]).mean()
    return loss - torch.nn.functional.logsigmoid(logits[known]).mean() if known.any() else loss


def _xavier(n_in: int, n_out: int, generator: torch.Generator) -> torch.Tensor:
    bound = np.sqrt(6.0 / (n_in + n_out))
    return torch.empty(n_in, n_out).uniform_(-bound, bound, generator=generator).requires_grad_()
