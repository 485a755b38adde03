"""The first batch, chosen without labels: MMCSAL."""

from __future__ import annotations

import hashlib
from itertools import combinations
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.extmath import randomized_svd
from torch.nn.functional import normalize, softplus

from skmmal._arrays import at_least_float32
from skmmal._chunks import chunk_rows, row_chunks
from skmmal._random import RandomState, draw_seed, torch_generator
from skmmal.modalities import MultimodalArray, presence_mask
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Reading
from skmmal.representation import CrossModalEncoder
from skmmal.selection import DenseEmbedding, d2_sampling

__all__ = ["MMCSAL"]

_CCA_ROWS, _CCA_RANK, _CCA_ROWS_PER_DIMENSION = 10_000, 64, 10
_SNAP_BLOCK = 64
_LAZY_BLOCK = 256
_LARGE_KERNEL = 2**24


class MMCSAL(QueryStrategy):
    """Choose a first batch that looks like the pool, spreads out, and consists of pairs that belong together.

    A reconstruction of MMCSAL [1]_ (cold-start active learning for multimodal data): its abstract and summaries are
    public, its formulas were not available to us. Known of the method: a cross-modal representation with unimodal
    prototypes, then a selection objective of a distribution, a diversity and an alignment term. The first two are
    taken here from ActiveFT [2]_ or MaxHerding [3]_. Ours: that choice, the alignment on raw features, the rules for
    missing modalities and more than two modalities, and all weights.

    Parameters
    ----------
    on_features : {"encoder", "raw"}, default="encoder"
        ``"encoder"``: train a `CrossModalEncoder` on the pool and select in its shared space. ``"raw"``: select on
        the L2-normalised features themselves; how well a row's modalities belong together is then the cosine of
        their canonical variates (regularised linear CCA on the pool), our substitute.
    optimizer : {"continuous", "greedy"}, default="continuous"
        ``"continuous"``: move free centroids by gradient descent, then take the row nearest to each (ActiveFT).
        ``"greedy"``: take the row of largest gain, one after the other (MaxHerding).
    lambda_div : float, default=1.0
        Weight of the diversity term; for ``"continuous"`` it is ActiveFT's balance β.
    lambda_align : float, default=1.0
        Weight of the alignment term.
    encoder : CrossModalEncoder, optional
        Cloned and fitted on the pool, for ``on_features="encoder"``; by default one with its own defaults. Where it
        has no `random_state`, one is drawn; its `modalities` are not used, since the pool is in blocks by then.
    temperature, max_iter, learning_rate : float, int, float, default=0.07, 300, 1e-3
        Of the continuous optimiser (Adam).
    batch_size : int, default=4096
        Rows the continuous optimiser looks at in an iteration; a larger pool is drawn from anew every time.
    init : {"k-means++", "random"}, default="k-means++"
        The rows at which the centroids start: by D² sampling over all modalities, or uniform as in ActiveFT.
    kernel_width : float, default=1.0
        σ of the greedy optimiser's kernel exp(−d² / σ²).
    n_references : int, default=5000
        Rows on which the greedy optimiser works: a larger pool is represented by a random subset of that many (or of
        twice the rows wanted, if that is more), from which it also takes its rows.
    random_state : int, RandomState, Generator or None
        Seeds the encoder, the starting rows, the batches and the references. Greedy on raw features draws nothing
        while the pool is no larger than `n_references` and has enough distinct rows.

    Notes
    -----
    With f_i^m row i's unit features in modality m and c_i^m its nearest centroid θ^m, the continuous objective is

    ``Σ_m −mean_i log[e^{f_i·θ_{c_i}/τ} / (e^{f_i·θ_{c_i}/τ} + λ_div Σ_j e^{sg(θ_j)·θ_{c_i}/τ})]
    + λ_align · mean_j (1 − θ_j^a·θ_j^b)``

    (sg: no gradient; the last part, averaged over pairs of modalities, needs the shared space). Then every centroid
    takes the row, not yet taken, with the largest ``Σ_m f_i^m·θ_j^m + λ_align a_i``; a_i, the alignment of the row,
    is the mean of ``f_i^a·f_i^b`` over pairs, or the canonical cosine on raw features. The score is that sum. With
    one modality and ``init="random"`` this is ActiveFT. ``λ_div=0`` leaves the centroids of raw features where they
    start.

    The greedy gain of row i, given the rows S taken and labelled so far, is

    ``B Σ_m mean_n max(0, k_m(n, i) − max_{s∈S} k_m(n, s)) − λ_div max_{s∈S} mean_m f_i^m·f_s^m + λ_align a_i``

    B, the number of rows wanted, puts coverage into the unit of a fair share of the pool, so that the weights mean
    the same for every B (ours). With one modality and both weights zero this is MaxHerding. Gains can only fall, so
    they are evaluated lazily, and exactly. The score is the gain.

    Labelled rows are centroids that stay fixed, or rows of S; the rows at which centroids start do not look at them,
    so that later batches are better left to the greedy optimiser. A row that lacks a modality has no part in that
    modality's terms; where it has no pair, a_i is the average over the rows that have one. Sums over fewer modalities
    are smaller, so such rows come less often than their share. Rows with the very same
    features are taken once before any twice; when all distinct ones are taken, the rest is drawn at random, with
    score 0. Needs no model: with an unfitted estimator the features are used, with a fitted one its embedding.

    Cost, D the dimensions of all modalities together (raw columns, or M × `n_components`): continuous
    O(max_iter · B · D · (min(N, batch_size) + B)) and one product N × D × B; greedy one product n_references × D ×
    n_references, then at most M × n_references² for every row taken. Fitting the encoder comes on top. Memory: a
    normalised copy of the features, and for greedy the kernel, M × n_references² of float32.

    References
    ----------
    .. [1] Shen et al., "Cold-start active learning for multimodal data" (MMCSAL), arXiv 2412.09126,
       DOI 10.1145/3696409.3700225 (abstract).
    .. [2] Xie et al., "Active finetuning: exploiting annotation budget in the pretraining-finetuning paradigm",
       CVPR 2023, section 3 and the official code.
    .. [3] Bae, Noh and Sutherland, "Generalized coverage for more robust low-budget active learning", ECCV 2024
       (MaxHerding).

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.query import MMCSAL
    >>> pool = {"a": np.repeat(np.eye(3), 20, axis=0), "b": np.repeat(np.eye(3), 20, axis=0)}
    >>> first = MMCSAL(on_features="raw", random_state=0).query(None, pool, 3)
    >>> sorted((first // 20).tolist())
    [0, 1, 2]
    """

    requires_model = False
    compares_modalities = True
    _looks_beyond_candidates = True
    _parameter_constraints: dict = {
        "on_features": [StrOptions({"encoder", "raw"})],
        "optimizer": [StrOptions({"continuous", "greedy"})],
        "lambda_div": [Interval(Real, 0, None, closed="left")],
        "lambda_align": [Interval(Real, 0, None, closed="left")],
        "encoder": [CrossModalEncoder, None],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"k-means++", "random"})],
        "kernel_width": [Interval(Real, 0, None, closed="neither")],
        "n_references": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        on_features: str = "encoder",
        optimizer: str = "continuous",
        lambda_div: float = 1.0,
        lambda_align: float = 1.0,
        encoder: CrossModalEncoder | None = None,
        temperature: float = 0.07,
        max_iter: int = 300,
        learning_rate: float = 1e-3,
        batch_size: int = 4096,
        init: str = "k-means++",
        kernel_width: float = 1.0,
        n_references: int = 5_000,
        random_state: RandomState = None,
    ) -> None:
        self.on_features = on_features
        self.optimizer = optimizer
        self.lambda_div = lambda_div
        self.lambda_align = lambda_align
        self.encoder = encoder
        self.temperature = temperature
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.init = init
        self.kernel_width = kernel_width
        self.n_references = n_references
        self.random_state = random_state

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        features, known_features = _features(pool), _features(labelled) if len(labelled) else None
        groups = content_groups(features)
        if self.on_features == "encoder":
            encoder = CrossModalEncoder() if self.encoder is None else clone(self.encoder)
            seed = draw_seed(rng) if encoder.random_state is None else encoder.random_state
            # the pool's blocks are its modalities, whatever layout the encoder was made for
            encoder.set_params(modalities=None, random_state=seed).fit(features)
            features = encoder.transform_blocks(features)
            known_features = None if known_features is None else encoder.transform_blocks(known_features)
        blocks, present = _unit_blocks(features)
        known, known_present = (None, None) if known_features is None else _unit_blocks(known_features)
        n_distinct = min(n_instances, int(groups.max()) + 1)
        alignment = self._alignment(blocks, present, rng)
        if self.optimizer == "greedy":
            candidates = np.arange(len(pool))
            n_candidates = max(self.n_references, 2 * n_instances)
            if len(pool) > n_candidates:
                candidates = np.sort(rng.permutation(len(pool))[:n_candidates])
            references = np.arange(len(candidates))
            if len(candidates) > self.n_references:
                references = np.sort(rng.permutation(len(candidates))[: self.n_references])
            some = torch.as_tensor(candidates)
            chosen, scores = greedy_selection(
                [block[some] for block in blocks],
                present[some],
                min(n_distinct, len(np.unique(groups[candidates]))),
                references=references,
                groups=groups[candidates],
                alignment=self.lambda_align * alignment[candidates],
                lambda_div=self.lambda_div,
                kernel_width=self.kernel_width,
                known=known,
                known_present=known_present,
                unit=n_instances,
            )
            indices = candidates[chosen]
        else:
            initial = self._initial_rows(blocks, n_distinct, rng)
            centroids, _ = optimise_centroids(
                blocks,
                present,
                initial,
                known=known,
                known_present=known_present,
                temperature=self.temperature,
                balance=self.lambda_div,
                # raw modalities share no space in which centroids could be compared
                lambda_align=self.lambda_align if self.on_features == "encoder" else 0.0,
                max_iter=self.max_iter,
                learning_rate=self.learning_rate,
                batch_size=self.batch_size,
                generator=torch_generator(rng),
            )
            indices, scores = nearest_rows(blocks, centroids, self.lambda_align * alignment, groups)
        rest = rng.permutation(np.setdiff1d(np.arange(len(pool)), indices))[: n_instances - len(indices)]
        return np.concatenate([indices, rest]), np.concatenate([scores, np.zeros(len(rest))])

    def _alignment(self, blocks: list[torch.Tensor], present: torch.Tensor, rng: np.random.RandomState) -> np.ndarray:
        if self.lambda_align == 0 or len(blocks) == 1:
            return np.zeros(len(present))
        if self.on_features == "encoder":
            pairs = [(blocks[a] * blocks[b]).sum(dim=1).double() for a, b in combinations(range(len(blocks)), 2)]
            return mean_over_pairs(torch.stack(pairs, dim=1).numpy(), present.numpy())
        return canonical_alignment(blocks, present.numpy(), draw_seed(rng))

    def _initial_rows(self, blocks: list[torch.Tensor], n_rows: int, rng: np.random.RandomState) -> np.ndarray:
        if self.init == "random":
            return rng.permutation(len(blocks[0]))[:n_rows]
        return d2_sampling(DenseEmbedding(blocks), n_rows, random_state=draw_seed(rng), first="random")


# ------------------------------------------------------------------------------------------------- the features


def _features(reading: Reading) -> MultimodalArray:
    """What the fused head sees, with names (sorted, so that the order of modalities cannot matter), absent rows NaN."""
    names, present = reading.modality_names, reading.present
    blocks = {}
    for m in sorted(range(len(names)), key=lambda m: names[m]):
        block = at_least_float32(reading.head.blocks[m])
        if not present[:, m].all():
            block = block.copy()
            block[~present[:, m]] = np.nan
        blocks[names[m]] = block
    return MultimodalArray(blocks)


def _unit_blocks(features: MultimodalArray) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Rows of norm one (or zero: all-zero features, absent modalities), and which are present."""
    present = torch.as_tensor(presence_mask(features))
    blocks = []
    for m, block in enumerate(features.blocks.values()):
        values = torch.tensor(block)
        values[~present[:, m]] = 0.0
        for rows in row_chunks(*block.shape):
            values[rows] = normalize(values[rows], dim=1)
        blocks.append(values)
    return blocks, present


def content_groups(features: MultimodalArray) -> np.ndarray:
    """Number the distinct rows: rows with the very same features (or the same absences) share a number."""
    numbers: dict[bytes, int] = {}
    groups = np.empty(len(features), dtype=np.int64)
    blocks = list(features.blocks.values())
    for row in range(len(features)):
        content = hashlib.blake2b(digest_size=16)
        for block in blocks:
            content.update((block[row] + 0.0).tobytes())  # adding zero turns -0.0 into 0.0
        groups[row] = numbers.setdefault(content.digest(), len(numbers))
    return groups


# ------------------------------------------------------------------------------------------------- the alignment


def mean_over_pairs(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Mean over the pairs of modalities a row has; where it has none, the average of the other rows.

    Parameters
    ----------
    values : ndarray of shape (N, M (M − 1) / 2)
        One column for each pair, in the order of `itertools.combinations`.
    present : ndarray of bool, shape (N, M)

    Returns
    -------
    ndarray of shape (N,)
    """
    pairs = list(combinations(range(present.shape[1]), 2))
    paired = np.column_stack([present[:, a] & present[:, b] for a, b in pairs])
    count = paired.sum(axis=1)
    if not count.any():
        return np.zeros(len(values))
    mean = np.where(paired, values, 0.0).sum(axis=1) / np.maximum(count, 1)
    return np.where(count > 0, mean, mean[count > 0].mean())


def canonical_alignment(blocks: list[torch.Tensor], present: np.ndarray, seed: int) -> np.ndarray:
    """How well each row's modalities belong together: the cosine of their canonical variates, mean over pairs.

    Each modality is centred, whitened and reduced to its leading principal components (at most 64, and at most one
    for every ten rows: that is the regularisation); the singular vectors of the cross-correlation, weighted by the
    square root of the canonical correlations, take both into one space. Fitted on at most 10,000 rows of each pair.
    """
    rng = np.random.RandomState(seed)
    columns = []
    for a, b in combinations(range(len(blocks)), 2):
        both = np.flatnonzero(present[:, a] & present[:, b])
        scores = np.zeros(len(present))
        fitted = np.sort(rng.permutation(both)[:_CCA_ROWS])
        if len(fitted) > 2:
            maps = [_whitening(blocks[m][fitted].double().numpy(), seed) for m in (a, b)]
        if len(fitted) > 2 and all(axes.shape[1] for _, axes in maps):
            white = [_whiten(blocks[m], fitted, maps[k]) for k, m in enumerate((a, b))]
            left, correlation, right = np.linalg.svd(white[0].T @ white[1] / len(fitted), full_matrices=False)
            weights = (left * np.sqrt(correlation), right.T * np.sqrt(correlation))
            for rows in row_chunks(len(both), max(blocks[a].shape[1], blocks[b].shape[1])):
                part = both[rows]
                u, v = (_whiten(blocks[m], part, maps[k]) @ weights[k] for k, m in enumerate((a, b)))
                length = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
                scores[part] = np.divide((u * v).sum(axis=1), length, out=np.zeros(len(part)), where=length > 1e-12)
        columns.append(scores)
    return mean_over_pairs(np.column_stack(columns), present)


def _whitening(values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and map (D, r) that make the leading principal components uncorrelated with variance one."""
    mean = values.mean(axis=0)
    rank = min(max(1, len(values) // _CCA_ROWS_PER_DIMENSION), _CCA_RANK, *values.shape)
    _, singular, axes = randomized_svd(values - mean, rank, random_state=seed)
    # directions without spread carry rounding only
    kept = singular > 1e-6 * np.sqrt(len(values))
    return mean, axes[kept].T / singular[kept] * np.sqrt(len(values))


def _whiten(block: torch.Tensor, rows: np.ndarray, mapping: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    mean, axes = mapping
    return (block[rows].double().numpy() - mean) @ axes


# ----------------------------------------------------------------------------------------------- continuous


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
) -> Selection:
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


# --------------------------------------------------------------------------------------------------- greedy


def greedy_selection(
    blocks: list[torch.Tensor],
    present: torch.Tensor,
    n_instances: int,
    *,
    references: np.ndarray,
    groups: np.ndarray,
    alignment: np.ndarray,
    lambda_div: float,
    kernel_width: float,
    known: list[torch.Tensor] | None = None,
    known_present: torch.Tensor | None = None,
    unit: float = 1.0,
) -> Selection:
    """Take the row of largest gain, one after the other; lazily, and exactly (the lowest index on ties).

    Parameters
    ----------
    blocks : list of M tensors of shape (N, D_m)
        Unit rows; zero where absent.
    present : bool tensor of shape (N, M)
    n_instances : int
        At most the number of groups.
    references : ndarray of int, shape (R,)
        Rows over which coverage is measured.
    groups : ndarray of int, shape (N,)
        Of each group one row is taken.
    alignment : ndarray of shape (N,)
        Added to the gains, already weighted.
    lambda_div, kernel_width : float
    known, known_present : optional
        Rows that count as taken before.
    unit : float, default=1.0
        Multiplies coverage.

    Returns
    -------
    indices : ndarray of int, shape (n_instances,)
    gains : ndarray of float64, shape (n_instances,)
    """
    coverage = _Coverage(blocks, present, references, kernel_width)
    closest = np.full(len(present), -np.inf)
    any_known = known is not None and known_present is not None and len(known_present) > 0
    if any_known:
        coverage.add(known, known_present)  # type: ignore[arg-type]
        if lambda_div > 0:
            closest = _closest(blocks, present, known, known_present)  # type: ignore[arg-type]
    indices, found = np.empty(n_instances, dtype=np.int64), np.empty(n_instances)
    gains = np.empty(len(present))
    age = np.zeros(len(gains), dtype=np.int64)  # how many picks a row's gain has seen

    def evaluate(rows: np.ndarray, n_picked: int) -> None:
        some = torch.as_tensor(rows)
        gains[rows] = unit * coverage.gains(some).numpy() + alignment[rows]
        since = indices[age[rows].min() : n_picked]
        if lambda_div > 0 and len(since):
            taken = torch.as_tensor(since)
            nearest = _closest([b[some] for b in blocks], present[some], [b[taken] for b in blocks], present[taken])
            closest[rows] = np.maximum(closest[rows], nearest)
        if n_picked or any_known:
            gains[rows] -= lambda_div * closest[rows] if lambda_div > 0 else 0.0
        age[rows] = n_picked

    step = chunk_rows(len(references))
    for start in range(0, len(gains), step):
        evaluate(np.arange(start, min(start + step, len(gains))), 0)
    free = np.ones(len(gains), dtype=bool)
    for pick in range(n_instances):
        while True:
            best = int(np.argmax(gains))
            if age[best] == pick:
                break
            top = np.argpartition(-gains, min(_LAZY_BLOCK, len(gains) - 1))[:_LAZY_BLOCK]
            evaluate(np.union1d(top[(age[top] < pick) & free[top]], [best]), pick)
        indices[pick], found[pick] = best, gains[best]
        copies = groups == groups[best]
        free[copies], gains[copies] = False, -np.inf
        coverage.take(best)
        if pick == 0 and not any_known:
            # with nothing taken the diversity term was zero, and similarities go down to -1: loosen the bounds once
            gains += lambda_div
    return indices, found


class _Coverage:
    """How well the rows taken cover the references, modality by modality; holds the kernel of all rows."""

    def __init__(
        self, blocks: list[torch.Tensor], present: torch.Tensor, references: np.ndarray, kernel_width: float
    ) -> None:
        rows = torch.as_tensor(references)
        self.kernel_width = kernel_width
        self.references = [block[rows] for block in blocks]
        self.there = present[rows]
        self.kernels = []
        for m, block in enumerate(blocks):
            # a large kernel is kept in float32: its memory matters more than its last digits
            dtype = torch.float32 if len(block) * len(rows) > _LARGE_KERNEL else block.dtype
            kernel = torch.empty(len(block), len(rows), dtype=dtype)
            for part in row_chunks(len(block), len(rows)):
                kernel[part] = self._kernel(m, block[part], present[part, m]).to(dtype)
            self.kernels.append(kernel)
        self.covered = [torch.zeros(len(rows), dtype=kernel.dtype) for kernel in self.kernels]

    def _kernel(self, m: int, values: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Kernel of some rows with all references, zero where either lacks the modality."""
        references = self.references[m]
        sq_norms = (values**2).sum(dim=1)[:, None] + (references**2).sum(dim=1)
        sq_distances = torch.addmm(sq_norms, values, references.T, alpha=-2.0).clamp_min_(0.0)
        kernel = sq_distances.mul_(-1.0 / self.kernel_width**2).exp_()
        return kernel.mul_(self.there[:, m].to(kernel.dtype)).mul_(there[:, None].to(kernel.dtype))

    def gains(self, rows: torch.Tensor) -> torch.Tensor:
        """Sum over modalities of the mean rise in coverage that each row would bring, float64."""
        total = torch.zeros(len(rows), dtype=torch.float64)
        for kernel, covered in zip(self.kernels, self.covered, strict=True):
            total += kernel[rows].sub_(covered).clamp_min_(0.0).sum(dim=1, dtype=torch.float64)
        return total / len(self.there)

    def take(self, row: int) -> None:
        """Let a row of the pool cover."""
        for kernel, covered in zip(self.kernels, self.covered, strict=True):
            torch.maximum(covered, kernel[row], out=covered)

    def add(self, blocks: list[torch.Tensor], present: torch.Tensor) -> None:
        """Let other rows cover."""
        for part in row_chunks(len(present), len(self.there)):
            for m, (block, covered) in enumerate(zip(blocks, self.covered, strict=True)):
                kernel = self._kernel(m, block[part], present[part, m]).to(covered.dtype)
                torch.maximum(covered, kernel.max(dim=0).values, out=covered)


def _closest(
    blocks: list[torch.Tensor], present: torch.Tensor, others: list[torch.Tensor], others_present: torch.Tensor
) -> np.ndarray:
    """Largest similarity of each row to the others: the mean over the modalities both have (0 if none), float64."""
    out = np.empty(len(present))
    width = max(len(others_present), *(block.shape[1] for block in blocks))
    for rows in row_chunks(len(present), width):
        products = [block[rows] @ other.T for block, other in zip(blocks, others, strict=True)]
        similarity = torch.stack(products).sum(dim=0)
        shared = present[rows].to(similarity.dtype) @ others_present.T.to(similarity.dtype)
        out[rows] = (similarity / shared.clamp_min(1.0)).max(dim=1).values.numpy()
    return out
