"""The first batch, chosen without labels: MMCSAL."""

from __future__ import annotations

from itertools import combinations
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from torch.nn.functional import normalize

from skmmal._arrays import at_least_float32
from skmmal._chunks import row_chunks
from skmmal._random import RandomState, draw_seed, torch_generator
from skmmal._sklearn import Interval, StrOptions
from skmmal.modalities import MultimodalArray, presence_mask
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import Reading
from skmmal.representation import CrossModalEncoder
from skmmal.selection import DenseEmbedding, d2_sampling
from skmmal.selection._alignment import canonical_alignment, mean_over_pairs
from skmmal.selection._centroids import nearest_rows, optimise_centroids
from skmmal.selection._dense import equal_rows
from skmmal.selection._herding import diverse_herding

__all__ = ["MMCSAL"]


class _Space(NamedTuple):
    """Where rows are compared: unit blocks of pool and labelled rows, copies, and how well each row's belong together.

    The last is weighted.
    """

    blocks: list[torch.Tensor]
    present: torch.Tensor
    known: list[torch.Tensor] | None
    known_present: torch.Tensor | None
    groups: np.ndarray
    bonus: np.ndarray


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
    bandwidth : float, default=1.0
        σ of the greedy optimiser's kernel exp(−d² / σ²).
    max_references : int, default=5000
        Rows on which the greedy optimiser works: a larger pool is represented by a random subset of that many (or of
        twice the rows wanted, if that is more), from which it also takes its rows.
    random_state : int, RandomState, Generator or None
        Seeds the encoder, the starting rows, the batches and the references. Greedy on raw features draws nothing
        while the pool is no larger than `max_references` and has enough distinct rows.

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
    so that later batches are better left to the greedy optimiser. Rows with the very same features are taken once
    before any twice; when all distinct ones are taken, the rest is drawn at random, with score 0. Needs no model: with
    an unfitted estimator the features are used, with a fitted one its embedding.

    Rows that lack a modality have no part in that modality's terms; where one has no pair, a_i is the average over the
    rows that have one. Sums over fewer modalities are smaller, so such rows come less often than their share.

    Cost, D the dimensions of all modalities together (raw columns, or M × `n_components`): continuous
    O(max_iter · B · D · (min(N, batch_size) + B)) and one product N × D × B; greedy one product max_references × D ×
    max_references, then at most M × max_references² for every row taken. Fitting the encoder comes on top. Memory: a
    normalised copy of the features, and for greedy the kernel, M × max_references² of float32.

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
    supports_multi_label = True
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
        "bandwidth": [Interval(Real, 0, None, closed="neither")],
        "max_references": [Interval(Integral, 1, None, closed="left")],
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
        bandwidth: float = 1.0,
        max_references: int = 5_000,
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
        self.bandwidth = bandwidth
        self.max_references = max_references
        self.random_state = random_state

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        features, known_features = _features(pool), _features(labelled) if len(labelled) else None
        groups = equal_rows(list(features.blocks.values()))
        if self.on_features == "encoder":
            encoder = CrossModalEncoder() if self.encoder is None else clone(self.encoder)
            seed = draw_seed(rng) if encoder.random_state is None else encoder.random_state
            # the pool's blocks are its modalities, whatever layout the encoder was made for
            encoder.set_params(modalities=None, random_state=seed).fit(features)
            features = encoder.transform_blocks(features)
            known_features = None if known_features is None else encoder.transform_blocks(known_features)
        blocks, present = _unit_blocks(features)
        known, known_present = (None, None) if known_features is None else _unit_blocks(known_features)
        space = _Space(
            blocks, present, known, known_present, groups, self.lambda_align * self._alignment(blocks, present, rng)
        )
        allowed = np.arange(len(pool)) if pool.candidates is None else np.flatnonzero(pool.candidates)
        indices, scores = (self._greedy if self.optimizer == "greedy" else self._continuous)(
            space, allowed, n_instances, rng
        )
        rest = rng.permutation(np.setdiff1d(allowed, indices))[: n_instances - len(indices)]
        return np.concatenate([indices, rest]), np.concatenate([scores, np.zeros(len(rest))])

    def _greedy(self, space: _Space, allowed: np.ndarray, n_instances: int, rng: np.random.RandomState) -> Selection:
        n_most = max(self.max_references, 2 * n_instances)
        rows = allowed if len(allowed) <= n_most else np.sort(rng.permutation(allowed)[:n_most])
        # what may be picked stands for the pool, unless that is only a part of it
        references = rows if len(allowed) == len(space.groups) else np.arange(len(space.groups))
        if len(references) > self.max_references:
            references = np.sort(rng.permutation(references)[: self.max_references])
        some = np.union1d(rows, references)
        chosen, scores = diverse_herding(
            [block[torch.as_tensor(some)] for block in space.blocks],
            space.present[torch.as_tensor(some)],
            min(n_instances, len(np.unique(space.groups[rows]))),
            references=np.searchsorted(some, references),
            groups=space.groups[some],
            bonus=space.bonus[some],
            diversity=self.lambda_div,
            bandwidth=self.bandwidth,
            known=space.known,
            known_present=space.known_present,
            unit=n_instances,
            candidates=np.isin(some, rows),
        )
        return some[chosen], scores

    def _continuous(
        self, space: _Space, allowed: np.ndarray, n_instances: int, rng: np.random.RandomState
    ) -> Selection:
        n_distinct = min(n_instances, len(np.unique(space.groups[allowed])))
        centroids, _ = optimise_centroids(
            space.blocks,
            space.present,
            self._initial_rows(space.blocks, n_distinct, rng),
            known=space.known,
            known_present=space.known_present,
            temperature=self.temperature,
            balance=self.lambda_div,
            # raw modalities share no space in which centroids could be compared
            lambda_align=self.lambda_align if self.on_features == "encoder" else 0.0,
            max_iter=self.max_iter,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            generator=torch_generator(rng),
        )
        return nearest_rows(space.blocks, centroids, space.bonus, space.groups, candidates=allowed)

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
