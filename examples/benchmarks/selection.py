"""Selection kernels beside the matrix products they cannot beat, and beside the loops written in the literature."""

from __future__ import annotations

import numpy as np
from harness import Comparison, Side
from scipy.special import softmax
from sklearn.cluster import kmeans_plusplus

from skmmal import LateFusionClassifier
from skmmal.query import BADGE, Partitioned, get_strategy
from skmmal.selection import DenseEmbedding, OuterProductEmbedding, d2_sampling, k_center_greedy

# rows, classes, features, picks
SMALL = {"a tenth of Food101": (10_000, 101, 1_024, 300), "a tenth of VGGSound": (18_000, 309, 1_024, 500)}
FULL = {"Food101": (45_719, 101, 2_816, 1_000), "VGGSound": (180_911, 309, 1_024, 5_000)}
CONFIDENCE = {"unconfident": 1.0, "confident": 8.0}
# the largest for which rows × classes × features numbers in float64 stay below 4 GB
DENSE_SMALL, DENSE_FULL = (500, 101, 256, 50), (2_300, 101, 2_048, 50)
CENTRES_SMALL, CENTRES_FULL = (10_000, 512, 200), (50_000, 1_664, 500)
PARTS_SMALL, PARTS_FULL = (8_000, 256, 20, 160), (50_000, 1_664, 68, 500)
PARTITIONS = (1, 4, 16)
# above this, the loop takes more than ten minutes
LONGEST_LOOP = 500_000_000
CHUNK = 4_096


def comparisons(full: bool) -> list[Comparison]:
    """D² sampling on factors, D² sampling on multiplied-out gradients, and greedy k-centre."""
    found = [
        outer_products(pool, size, label, confidence)
        for pool, size in (FULL if full else SMALL).items()
        for label, confidence in CONFIDENCE.items()
    ]
    dense, plain = (DENSE_FULL, CENTRES_FULL) if full else (DENSE_SMALL, CENTRES_SMALL)
    parts = [in_parts(name, PARTS_FULL if full else PARTS_SMALL) for name in ("badge", "coreset")]
    return [*found, multiplied_out(dense), centres(plain), *parts]


def make_factors(n_rows, n_classes, n_features, confidence, seed=0):
    """Residuals of softmax probabilities (sharper with `confidence`), and features, in float32."""
    rng = np.random.default_rng(seed)
    logits = confidence * rng.standard_normal((n_rows, n_classes), dtype=np.float32)
    residuals = softmax(logits, axis=1)
    residuals[np.arange(n_rows), residuals.argmax(axis=1)] -= 1
    return residuals, rng.standard_normal((n_rows, n_features), dtype=np.float32)


# ---------------------------------------------------------------------------------------- D² sampling on factors


def outer_products(pool, size, label, confidence):
    """Our blocks beside the products and the loop, which share the factored form."""
    n_rows, n_classes, n_features, n_samples = size
    sides = [
        Side("skmmal d2_sampling", lambda inputs: ours(*inputs)),
        Side("the plain products", lambda inputs: plain_products(*inputs)),
        Side("one at a time, factored", lambda inputs: one_at_a_time(*inputs), repeat=1),
    ]
    if n_rows * n_samples > LONGEST_LOOP:
        sides.pop()
    return Comparison(
        f"D² sampling, {pool}, {label}",
        f"{n_rows:,} × ({n_classes} ⊗ {n_features:,}), {n_samples:,} picks, float32",
        lambda: (*make_factors(n_rows, n_classes, n_features, confidence), n_samples),
        tuple(sides),
        distinct,
    )


def ours(left, right, n_samples):
    """From the factors to the picks."""
    return d2_sampling(OuterProductEmbedding(left, right), n_samples, random_state=0)


def plain_products(left, right, n_samples):
    """The products N × K × B and N × D × B, in chunks, and nothing else."""
    picks = np.random.RandomState(0).permutation(len(left))[:n_samples]
    left_picks, right_picks = left[picks].T.copy(), right[picks].T.copy()
    for start in range(0, len(left), CHUNK):
        left[start : start + CHUNK] @ left_picks
        right[start : start + CHUNK] @ right_picks


def one_at_a_time(left, right, n_samples):
    """D² sampling as written in the literature, on the factors: one matrix-vector pass for every pick."""
    rng = np.random.RandomState(0)
    norms = (left**2).sum(1) * (right**2).sum(1)
    picked = [int(norms.argmax())]
    nearest = np.full(len(left), np.inf, dtype=np.float32)
    while len(picked) < n_samples:
        last = picked[-1]
        distances = norms + norms[last] - 2 * (left @ left[last]) * (right @ right[last])
        np.minimum(nearest, np.maximum(distances, 0), out=nearest)
        nearest[picked] = 0
        cumulative = nearest.astype(np.float64).cumsum()
        picked.append(int(np.searchsorted(cumulative, rng.random_sample() * cumulative[-1], side="right")))
    return np.asarray(picked)


def distinct(results):
    """All picks differ; draws are random, so that those of two ways need not agree."""
    for label, picks in results.items():
        if picks is not None and len(np.unique(picks)) != len(picks):
            raise AssertionError(f"{label} picked a row twice")
    return "all picks distinct"


# ---------------------------------------------------------------------------------- on multiplied-out gradients


def multiplied_out(size):
    """What the dense forms cost: the gradients N × (K·D), and scikit-learn's and scikit-activeml's loops over them."""
    n_rows, n_classes, n_features, n_samples = size
    return Comparison(
        "D² sampling, as large as dense gradients can be held",
        f"{n_rows:,} × ({n_classes} ⊗ {n_features:,}), {n_samples:,} picks",
        lambda: (*make_factors(n_rows, n_classes, n_features, 1.0), n_samples),
        (
            Side("skmmal d2_sampling", lambda inputs: ours(*inputs)),
            Side("scikit-learn kmeans_plusplus", lambda inputs: dense_sklearn(*inputs), repeat=1),
            Side("scikit-activeml's D² loop", lambda inputs: dense_activeml(*inputs), repeat=1),
        ),
        distinct,
    )


def dense_gradients(left, right):
    """Outer products, multiplied out."""
    return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)


def dense_sklearn(left, right, n_samples):
    """With one trial a pick, k-means++ is D² sampling."""
    gradients = dense_gradients(left, right)
    return kmeans_plusplus(gradients, n_samples, random_state=0, n_local_trials=1)[1]


def dense_activeml(left, right, n_samples):
    """The loop inside of scikit-activeml's Badge, with its own function for the distances."""
    from skactiveml.pool._badge import _d_2

    gradients = dense_gradients(left, right)
    rng = np.random.RandomState(0)
    distances = _d_2(gradients, [])
    picked = [int(distances.argmax())]
    while len(picked) < n_samples:
        distances = _d_2(gradients, [picked[-1]], distances)
        weights = distances.copy()
        weights[picked] = 0  # left out there, which is why its batches can hold a row twice
        picked.append(int(rng.choice(len(weights), p=weights / weights.sum())))
    return np.asarray(picked)


# ------------------------------------------------------------------------------------------------ greedy k-centre


def centres(size):
    """The same indices, found in blocks and by passes."""
    n_rows, n_features, n_samples = size
    return Comparison(
        "greedy k-centre",
        f"{n_rows:,} × {n_features:,}, {n_samples:,} picks, 100 centres before, float32",
        lambda: clustered(n_rows, n_features, n_samples),
        (
            Side("skmmal k_center_greedy", lambda inputs: k_center_greedy(inputs[0], inputs[2], initial=inputs[1])),
            Side("textbook loop", lambda inputs: farthest_first(*inputs)),
            Side("scikit-activeml k_greedy_center", lambda inputs: activeml_centres(*inputs), repeat=1),
        ),
        same_indices,
    )


def clustered(n_rows, n_features, n_samples, seed=0):
    """Points around 200 means, and the first centres."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((200, n_features), dtype=np.float32)
    points = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    points += 2 * means[rng.integers(0, 200, n_rows)]
    return DenseEmbedding(points), rng.permutation(n_rows)[:100], n_samples


def farthest_first(embedding, initial, n_samples):
    """Gonzalez' algorithm, one matrix-vector product a pick."""
    points = embedding.values
    norms = (points**2).sum(1)
    nearest = np.full(len(points), np.inf, dtype=points.dtype)
    picked = [*initial]
    for at in range(len(initial) + n_samples - 1):
        centre = picked[at] if at < len(initial) else picked[-1]
        np.minimum(nearest, norms + norms[centre] - 2 * (points @ points[centre]), out=nearest)
        nearest[centre] = -1
        if at >= len(initial) - 1:
            picked.append(int(nearest.argmax()))
    return np.asarray(picked[len(initial) :])


def activeml_centres(embedding, initial, n_samples):
    """scikit-activeml's function behind CoreSet."""
    from skactiveml.pool import k_greedy_center

    labels = np.full(len(embedding), np.nan)
    labels[initial] = 0
    return k_greedy_center(embedding.values, labels, batch_size=n_samples, random_state=0)[0]


def same_indices(results):
    """All ways pick the same rows in the same order."""
    first, *others = results.values()
    for label, picks in zip(list(results)[1:], others, strict=True):
        if not np.array_equal(first, picks):
            raise AssertionError(f"{label}: {int((np.asarray(first) != np.asarray(picks)).sum())} other picks")
    return "the same indices, in the same order"


# ---------------------------------------------------------------------------------------- the pool split into parts


def in_parts(name, size):
    """What splitting the pool saves, and what it costs: how far the rows are from the nearest one picked."""
    n_rows, n_features, n_classes, n_samples = size
    return Comparison(
        f"{name} in parts of the pool",
        f"{n_rows:,} × {n_features:,}, {n_classes} classes, {n_samples:,} picks",
        lambda: fitted(*size),
        tuple(
            Side(f"{parts} parts" if parts > 1 else "one part", lambda inputs, parts=parts: pick(name, parts, *inputs))
            for parts in PARTITIONS
        ),
        lambda results: distances_kept(name, results, fitted(*size)),
    )


def fitted(n_rows, n_features, n_classes, n_samples, seed=0):
    """A logistic regression on some rows of a clustered pool."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((2 * n_classes, n_features), dtype=np.float32)
    cluster = rng.integers(0, 2 * n_classes, n_rows)
    pool = rng.standard_normal((n_rows, n_features), dtype=np.float32) + 3 * n_features**-0.25 * means[cluster]
    model = LateFusionClassifier(device="cpu").fit(pool[: 10 * n_classes], cluster[: 10 * n_classes] % n_classes)
    return model, pool[10 * n_classes :], n_samples


def pick(name, parts, model, pool, n_samples):
    """Rows chosen by a strategy that splits the pool."""
    strategy = get_strategy(name)
    if parts > 1:
        strategy = Partitioned(strategy, parts, random_state=0)
    elif "random_state" in strategy.get_params():
        strategy.set_params(random_state=0)
    return strategy.query(model, pool, n_samples)


def distances_kept(name, results, inputs):
    """What each selection minimises, as a multiple of what it is without parts."""
    model, pool, _ = inputs
    points = BADGE().embedding(model, pool) if name == "badge" else DenseEmbedding(pool)
    what = "sum of squared distances" if name == "badge" else "largest distance"
    found = []
    for picks in results.values():
        nearest = points.sq_distances(None, picks).min(axis=1)
        found.append(nearest.sum() if name == "badge" else np.sqrt(nearest.max()))
    multiples = (f"{label} {value / found[0]:.3f}" for label, value in zip(results, found, strict=True))
    return f"{what} to the nearest pick: " + ", ".join(multiples)
