"""Labelled or not, as a graph convolutional network sees it: UncertainGCN and CoreGCN."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import kneighbors_graph
from sklearn.utils._param_validation import Interval

from skmmal._random import RandomState, draw_seed, torch_generator
from skmmal.query.base import QueryStrategy, Selection, highest
from skmmal.query.view import PoolView
from skmmal.selection import DenseEmbedding, k_center_greedy
from skmmal.selection._dense import unit_rows

__all__ = ["CoreGCN", "UncertainGCN"]

_HIDDEN, _DROPOUT, _LEARNING_RATE, _WEIGHT_DECAY, _UNLABELLED_WEIGHT = 128, 0.3, 1e-3, 5e-4, 1.2
"""The paper's values, as in the official BMMAL code."""


class _GCNSampling(QueryStrategy):
    """What both strategies share: the parameters, the graph and the network."""

    requires_model = False
    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "n_steps": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        n_neighbors: int = 10,
        n_components: int | None = 128,
        n_steps: int = 200,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.n_steps = n_steps
        self.random_state = random_state
        self.on = on

    def _trained(self, view: PoolView, rng: np.random.RandomState) -> _Trained:
        points, labelled = view.points, view.labeled_points
        everything = points if labelled is None else np.concatenate([points, labelled])
        is_labelled = np.arange(len(everything)) >= len(points)
        if self.n_components is not None and everything.shape[1] > self.n_components < len(everything):
            pca = PCA(int(self.n_components), svd_solver="randomized", random_state=draw_seed(rng))
            pca.set_output(transform="default")  # whatever scikit-learn's own setting is
            with np.errstate(invalid="ignore"):  # equal points have no variance whose shares there could be
                everything = pca.fit_transform(everything)
        features = unit_rows(everything)
        return _train(features, _graph(features, self.n_neighbors), is_labelled, self.n_steps, rng)


class UncertainGCN(_GCNSampling):
    """Pick the rows of which a graph network is unsure whether they are labelled.

    A network of two graph convolutions on a nearest-neighbour graph of pool and labelled rows is trained to tell
    labelled from unlabelled rows. The rows whose score, the probability of being labelled, is nearest to `margin` are
    picked.

    Parameters
    ----------
    margin : float, default=0.1
        The paper's value.
    n_neighbors : int, default=10
        Of the graph (ours; the paper's graph joins all rows, which takes N² numbers).
    n_components : int or None, default=128
        Principal components that the graph and the network see (ours, for the cost). ``None``: the whole embedding.
    n_steps : int, default=200
        Full-batch steps of Adam (hidden width 128, dropout 0.3, learning rate 1e-3, weight decay 5e-4, unlabelled
        rows weigh 1.2: the official code's values).
    random_state : int, RandomState, Generator or None
        Draws the network's weights and masks.
    on : str, default="fused"
        The features that count: ``"fused"``, the name of a modality for its block alone (no model is needed), or
        ``"all"``, which is the same as ``"fused"`` (see `QueryStrategy`).

    Notes
    -----
    Needs no model: with an unfitted estimator the graph is one of the features. Rows are scaled to length one, the
    graph is symmetric with loops and normalised by the roots of the degrees. One network serves the whole pool (the
    official code trains another for each 20,000 rows). The score is ``−|s − margin|``. Cost: exact neighbours in
    `n_components` columns, N² distances in the library's chunks; a step is a product N × n_components × 128.

    Rows that lack a modality: zeros take the place of the block in the features of the graph.

    References
    ----------
    .. [1] Caramalau, Bhattarai and Kim, "Sequential graph convolutional network for active learning", CVPR 2021,
       section 3.

    Examples
    --------
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import UncertainGCN
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> len(UncertainGCN(n_steps=20, random_state=0).query(None, X[1::10], 5, X_labeled=X[::40]))
    5
    """

    _parameter_constraints: dict = {
        **_GCNSampling._parameter_constraints,
        "margin": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        margin: float = 0.1,
        n_neighbors: int = 10,
        n_components: int | None = 128,
        n_steps: int = 200,
        random_state: RandomState = None,
        *,
        on: str = "fused",
    ) -> None:
        super().__init__(n_neighbors, n_components, n_steps, random_state, on=on)
        self.margin = margin

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        scores = self._trained(view, rng).scores[: len(view)]
        return highest(-np.abs(scores - self.margin), n_instances)


class CoreGCN(_GCNSampling):
    """CoreSet in the hidden layer of a graph network that tells labelled from unlabelled rows.

    The network is that of `UncertainGCN`; its hidden layer knows a row's neighbourhood and whether it is labelled.
    One after the other, the row farthest from all labelled and picked ones is picked.

    Parameters
    ----------
    n_neighbors, n_components, n_steps, random_state, on
        As in `UncertainGCN`.

    Notes
    -----
    Needs no model: with an unfitted estimator the graph is one of the features. Without labelled rows the first pick
    is the row of largest norm. The score is the distance at the time of the pick (the norm, for that first one). Cost
    as for UncertainGCN, and that of CoreSet with 128 columns.

    Rows that lack a modality: as for UncertainGCN.

    References
    ----------
    .. [1] Caramalau, Bhattarai and Kim, "Sequential graph convolutional network for active learning", CVPR 2021,
       section 3.

    Examples
    --------
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import CoreGCN
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> len(CoreGCN(n_steps=20, random_state=0).query(None, X[1::10], 5, X_labeled=X[::40]))
    5
    """

    def _select(self, view: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
        hidden = self._trained(view, rng).hidden
        pool, labelled = hidden[: len(view)], hidden[len(view) :]
        indices, sq_distances = k_center_greedy(
            DenseEmbedding(pool),
            n_instances,
            initial=DenseEmbedding(labelled) if len(labelled) else None,
            return_sq_distances=True,
        )
        return indices, np.sqrt(sq_distances)


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
