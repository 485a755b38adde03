"""Free centroids moved by gradient descent (ActiveFT), and the rows nearest to them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch.nn.functional import normalize, softplus

from skmmal._chunks import row_chunks

__all__ = ["activeft_loss", "nearest_rows", "optimise_centroids"]

_SNAP_BLOCK = 64


def optimise_centroids(
    blocks: list[torch.Tensor],
    present: torch.Tensor,
    initial: np.ndarray,
    *,
    known: list[torch.Tensor] | None,
    known_present: torch.Tensor | None,
    temperature: float,
    balance: float,
    lambda_align: float,
    max_iter: int,
    learning_rate: float,
    batch_size: int,
    generator: torch.Generator,
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Move unit centroids, one per wanted row and modality, down the objective (Adam, unit again after each step).

    Parameters
    ----------
    blocks : list of M tensors of shape (N, D_m)
        Unit rows; zero where absent.
    present : bool tensor of shape (N, M)
    initial : ndarray of int, shape (B,)
        Rows at which the centroids start; a centroid lacks the modalities its row lacks.
    known, known_present : optional
        The labelled rows: centroids that stay where they are.
    temperature, balance, lambda_align : float
    max_iter, learning_rate, batch_size : int, float, int
    generator : torch.Generator
        Draws the batches where the pool is larger than one.

    Returns
    -------
    centroids : list of M tensors of shape (B, D_m)
        Zero where the starting row lacks the modality.
    present : bool tensor of shape (B, M)
    """
    rows = torch.as_tensor(initial)
    n_moving, n_pool, n_modalities = len(rows), len(present), len(blocks)
    moving = [block[rows].clone() for block in blocks]
    there = present[rows]
    optimizer = torch.optim.Adam([centroids.requires_grad_() for centroids in moving], lr=learning_rate)
    pairs = list(combinations(range(n_modalities), 2)) if lambda_align > 0 else []
    fixed = [block[:0] for block in blocks]
    if known is not None and known_present is not None:
        fixed = [block[known_present[:, m]] for m, block in enumerate(known)]
    for _ in range(max_iter):
        batch = slice(None)
        if n_pool > batch_size:
            # with replacement: a permutation of the whole pool would cost more than the step
            batch = torch.randint(n_pool, (batch_size,), generator=generator)  # type: ignore[assignment]
        gradients = [torch.zeros_like(centroids) for centroids in moving]
        with torch.no_grad():
            for m in range(n_modalities):
                features = blocks[m][batch][present[batch, m]]
                own = there[:, m]
                if len(features) and own.any():
                    centroids = torch.cat([fixed[m], moving[m][own]])
                    _, gradient = activeft_loss(features, centroids, temperature, balance)
                    share = len(features) / len(present[batch])
                    gradients[m][own] = share * gradient[len(fixed[m]) :]
            for a, b in pairs:
                both = (there[:, a] & there[:, b]).to(moving[a].dtype)[:, None]
                weight = lambda_align / (len(pairs) * n_moving)
                gradients[a] -= weight * both * moving[b]
                gradients[b] -= weight * both * moving[a]
            for centroids, gradient in zip(moving, gradients, strict=True):
                # the objective normalises: only the part along the sphere counts
                radial = (gradient * centroids).sum(dim=1, keepdim=True)
                centroids.grad = gradient - radial * centroids
        optimizer.step()
        with torch.no_grad():
            for m, centroids in enumerate(moving):
                centroids.copy_(normalize(centroids, dim=1) * there[:, m : m + 1].to(centroids.dtype))
    return [centroids.detach() for centroids in moving], there


def activeft_loss(
    features: torch.Tensor, centroids: torch.Tensor, temperature: float, balance: float
) -> tuple[float, torch.Tensor]:
    """ActiveFT's loss, and its gradient by the centroids in closed form.

    Parameters
    ----------
    features : tensor of shape (n, D)
    centroids : tensor of shape (k, D)
    temperature, balance : float

    Returns
    -------
    loss : float
    gradient : tensor of shape (k, D)
    """
    similarity, nearest = (features @ centroids.T / temperature).max(dim=1)
    repulsion = centroids @ centroids.T / temperature
    log_balance = np.log(balance) if balance > 0 else -np.inf
    excess = (torch.logsumexp(repulsion, dim=1) + log_balance)[nearest] - similarity
    loss = float(softplus(excess).mean())
    weight = torch.sigmoid(excess)[:, None]
    pull = torch.zeros_like(centroids).index_add_(0, nearest, weight * features)
    total = torch.zeros_like(centroids[:, :1]).index_add_(0, nearest, weight)
    # the other factor of each product of centroids counts as a constant
    push = total * (torch.softmax(repulsion, dim=1) @ centroids)
    return loss, (push - pull) / (temperature * len(features))


def nearest_rows(
    blocks: list[torch.Tensor], centroids: list[torch.Tensor], bonus: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each centroid in turn, the row not yet taken (nor a copy of one taken) of largest similarity plus bonus."""
    n_rows, n_centroids = len(blocks[0]), len(centroids[0])
    width = max(block.shape[1] for block in blocks)
    free = np.ones(n_rows, dtype=bool)
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(groups.max() + 2))
    indices, scores = np.empty(n_centroids, dtype=np.int64), np.empty(n_centroids)
    for start in range(0, n_centroids, _SNAP_BLOCK):
        some = slice(start, min(start + _SNAP_BLOCK, n_centroids))
        similarity = np.empty((some.stop - some.start, n_rows))
        for rows in row_chunks(n_rows, width):
            products = [theta[some] @ block[rows].T for block, theta in zip(blocks, centroids, strict=True)]
            similarity[:, rows] = torch.stack(products).sum(dim=0).numpy() + bonus[rows]
        for j, row_scores in enumerate(similarity, start):
            best = int(np.argmax(np.where(free, row_scores, -np.inf)))
            indices[j], scores[j] = best, row_scores[best]
            free[order[starts[groups[best]] : starts[groups[best] + 1]]] = False
    return indices, scores
