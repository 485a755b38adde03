"""The optimum of the convex case by Newton's method on dense matrices: slow, and right to the last digits."""

import numpy as np
from scipy.special import log_softmax, softmax


def head_optima(blocks, y, weights, *, fusion, C=1.0):
    """Least objectives of the problems that a fit solves: of all heads (concat fusion), or their one sum (sum fusion).

    `blocks` are arrays (n, D) with rows of NaN where the modality is absent; `y` holds every class for every head.
    """
    n_classes = int(y.max()) + 1
    present = [~np.isnan(block[:, 0]) for block in blocks]
    zeroed = [np.nan_to_num(block) for block in blocks]
    everywhere = np.ones(len(y), bool)
    if fusion == "concat":
        heads = [(everywhere, [np.hstack(zeroed)]), *((p, [z]) for p, z in zip(present, zeroed, strict=True))]
        return [newton(maps, y, [C * weights * rows], np.ones((1, 1)), n_classes) for rows, maps in heads]
    mixing = np.vstack([np.full(len(blocks), 1 / len(blocks)), np.eye(len(blocks))])
    return [newton(zeroed, y, [C * weights * rows for rows in (everywhere, *present)], mixing, n_classes)]


def newton(maps, y, of_heads, mixing, n_classes):
    """Least value of ``Σ_h Σ_i w_hi loss(Σ_j c_hj (X_j W_j + b_j)) + l2/2 Σ_j ‖W_j‖²``."""
    counted = np.max(of_heads, axis=0) > 0
    maps, y, of_heads = [features[counted] for features in maps], y[counted], [w[counted] for w in of_heads]
    designs, penalties = [], []
    l2 = 2.0 if n_classes == 2 else 1.0
    for features in maps:
        centred = features - features.mean(axis=0)
        lengths = np.maximum(np.linalg.norm(centred, axis=0), 1e-300)
        designs += [np.c_[centred / lengths, np.ones(len(y))]]
        penalties += [np.append(l2 / lengths**2, 0.0)]
    penalty = np.concatenate(penalties)
    of_head = [np.hstack([c * design for c, design in zip(row, designs, strict=True)]) for row in mixing]
    theta = np.zeros((n_classes, len(penalty)))
    onehot = np.eye(n_classes)[y]

    def value(theta):
        losses = [-(w[:, None] * onehot * log_softmax(X @ theta.T, axis=1)).sum() for X, w in zip(of_head, of_heads, strict=True)]
        return sum(losses) + 0.5 * (penalty * theta**2).sum()

    now = value(theta)
    for _ in range(200):
        gradient = penalty * theta
        hessian = np.kron(np.eye(n_classes), np.diag(penalty)).reshape(n_classes, len(penalty), n_classes, len(penalty))
        for X, w in zip(of_head, of_heads, strict=True):
            p = softmax(X @ theta.T, axis=1)
            gradient = gradient + (w[:, None] * (p - onehot)).T @ X
            for k in range(n_classes):
                for m in range(k, n_classes):
                    block = (X * (w * p[:, k] * ((k == m) - p[:, m]))[:, None]).T @ X
                    hessian[k, :, m] += block
                    if m != k:
                        hessian[m, :, k] += block.T
        flat = hessian.reshape(theta.size, theta.size)
        scale = 1 / np.sqrt(np.maximum(flat.diagonal(), 1e-300))
        step = -scale * np.linalg.lstsq(flat * scale[:, None] * scale, scale * gradient.ravel(), rcond=1e-15)[0]
        length = 1.0
        while value(theta + length * step.reshape(theta.shape)) > now and length > 1e-12:
            length /= 2
        following = value(theta + length * step.reshape(theta.shape))
        if not following < now - 1e-14 * abs(now):
            break
        theta, now = theta + length * step.reshape(theta.shape), following
    return now
