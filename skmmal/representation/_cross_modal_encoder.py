"""A shared space for all modalities: the encoder, its losses and its prototypes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from itertools import combinations
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.cluster import kmeans_plusplus
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from skmmal._block_transformer import BlockTransformer, check_squares, present_chunks
from skmmal._chunks import row_chunks
from skmmal._random import RandomState, check_rng, draw_seed, torch_generator
from skmmal._sklearn import Interval, fit_context
from skmmal.heads._modules import Encoder, linear_layer

__all__ = ["CrossModalEncoder"]

_SEEDING_ROWS = 10_000
"""Rows at most among which k-means++ looks for the first prototypes."""
_LLOYD_STEPS = 3
_ROWS_PER_PROTOTYPE = 4


class CrossModalEncoder(ClassNamePrefixFeaturesOutMixin, BlockTransformer):
    """Project every modality onto one unit sphere, where the two sides of a sample lie close together.

    A reconstruction of the first stage of MMCSAL [1]_: its abstract and summaries are public, its formulas were
    not available to us. Known of the method: a cross-modal contrastive loss on paired samples, and unimodal
    prototypes that bridge the modality gap such a loss leaves. Ours: the form of the prototype loss, all defaults,
    the treatment of more than two modalities and of missing ones.

    Parameters
    ----------
    modalities : mapping, optional
        The layout of a plain matrix (:doc:`/how_to/data`); other forms of X carry their own.
    n_components : int, default=64
        Dimensions of the shared space.
    hidden_dim : int, optional
        Width of one hidden layer (ReLU) in each projection head; by default the heads are linear. Linear heads on
        standardised columns hardly have a gap; hidden layers have a large one to begin with.
    temperature : float, default=0.1
        τ of both losses.
    n_prototypes : int, default=32
        Prototypes of each modality; at most one for every four rows that have it.
    lambda_proto : float, default=1.0
        Weight of the prototype losses; 0 leaves the cross-modal loss alone.
    max_iter : int, default=50
        Epochs.
    max_samples : int, default=20000
        Rows an epoch goes through at most, drawn anew for every epoch.
    batch_size : int, default=256
        Rows in a mini-batch: the negatives of the contrastive loss come from the same batch.
    learning_rate : float, default=3e-3
        Of AdamW.
    weight_decay : float, default=0.01
        Of AdamW; intercepts do not decay.
    random_state : int, RandomState, Generator or None
        Draws the initial weights, the batches and the first prototypes.
    verbose : int, default=0
        Print the loss every `verbose` epochs.

    Attributes
    ----------
    modality_gap_before_, modality_gap_after_ : float
        Distance between the mean projections of two modalities, averaged over the pairs of modalities, with the
        initial and with the trained heads; 0 with a single modality.
    modality_gaps_before_, modality_gaps_after_ : dict of (str, str) to float
        The same for every pair.
    prototypes_ : dict of str to ndarray of shape (n_prototypes, n_components)
        Unit vectors.
    loss_curve_ : list of float
        Mean loss of every epoch.
    n_iter_ : int
        Epochs.
    module_ : torch.nn.ModuleList
        The projection heads, one per modality.
    modalities_ : dict of str to slice or ndarray
        Columns of each modality.
    n_features_in_ : int
        Columns of all modalities together.
    feature_names_in_ : ndarray of str
        Column names, where X had any.

    Notes
    -----
    With u_m the L2-normalised output of head m and B the rows of a batch that have both a and b, the loss is

    ``L = mean over pairs (a, b) of ½ [CE(U_a U_bᵀ / τ) + CE(U_b U_aᵀ / τ)] + lambda_proto · Σ_m CE(U_m C_mᵀ / τ)``

    where CE is the mean cross-entropy against the diagonal in the first part (InfoNCE) and against each row's own
    prototype in the second. The prototypes C_m start from k-means++ on the initial projections and are refreshed
    before every epoch by spherical k-means. A row that lacks a modality takes part in the terms of those it has.
    Columns are standardised before the heads; no labels are used, so fit it on the whole pool. float64 features
    are computed in float64, everything else in float32.

    Cost: O(min(N, max_samples) · ΣD · n_components · max_iter) with linear heads; features are read batch by batch.

    References
    ----------
    .. [1] Shen et al., "Cold-start active learning for multimodal data" (MMCSAL), arXiv 2412.09126,
       DOI 10.1145/3696409.3700225 (abstract).
    .. [2] Van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding", 2018,
       section 2.3 (InfoNCE).

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal import CrossModalEncoder, MultimodalArray
    >>> rng = np.random.default_rng(0)
    >>> latent = rng.normal(size=(200, 3))
    >>> A = MultimodalArray({"a": latent @ rng.normal(size=(3, 8)), "b": latent @ rng.normal(size=(3, 5))})
    >>> encoder = CrossModalEncoder(n_components=4, random_state=0).fit(A)
    >>> encoder.transform(A)
    MultimodalArray(200 rows: a 4, b 4)
    """

    _parameter_constraints: dict = {
        "modalities": [Mapping, None],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden_dim": [Interval(Integral, 1, None, closed="left"), None],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "n_prototypes": [Interval(Integral, 1, None, closed="left")],
        "lambda_proto": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "max_samples": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
        "verbose": ["verbose"],
    }

    _made_by_fit = ("module_", "_n_features_out")

    def __init__(
        self,
        modalities: Mapping[str, Any] | None = None,
        *,
        n_components: int = 64,
        hidden_dim: int | None = None,
        temperature: float = 0.1,
        n_prototypes: int = 32,
        lambda_proto: float = 1.0,
        max_iter: int = 50,
        max_samples: int = 20_000,
        batch_size: int = 256,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.modalities = modalities
        self.n_components = n_components
        self.hidden_dim = hidden_dim
        self.temperature = temperature
        self.n_prototypes = n_prototypes
        self.lambda_proto = lambda_proto
        self.max_iter = max_iter
        self.max_samples = max_samples
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> CrossModalEncoder:
        """Train the projection heads.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            All features there are, labelled or not.
        y : None
            Ignored.

        Returns
        -------
        CrossModalEncoder
        """
        blocks, present = self._read_for_fit(X)
        rng = check_rng(self.random_state)
        self._scalers = {name: _fit_scaler(name, blocks[name], present[:, m]) for m, name in enumerate(blocks)}
        wide = np.result_type(*(block.dtype for block in blocks.values())) == np.float64
        seed = draw_seed(rng)
        self.module_ = nn.ModuleList(
            self._head(block.shape[1], _seed_of(seed, name)).to(torch.float64 if wide else torch.float32)
            for name, block in blocks.items()
        )
        self.modality_gaps_before_ = self._gaps(blocks, present)
        generator = torch_generator(rng)
        self.loss_curve_ = self._train(list(blocks.values()), present, seed, generator)
        self.n_iter_ = len(self.loss_curve_)
        self.modality_gaps_after_ = self._gaps(blocks, present)
        self.modality_gap_before_ = _mean(self.modality_gaps_before_)
        self.modality_gap_after_ = _mean(self.modality_gaps_after_)
        self._n_features_out = self.n_components * len(blocks)
        return self

    # ------------------------------------------------------------------------------------------------ the heads

    def _head(self, n_in: int, seed: int) -> nn.Sequential:
        # own seed by name: the order of the modalities does not matter
        generator = torch.Generator().manual_seed(seed)
        hidden = Encoder(n_in, [] if self.hidden_dim is None else [self.hidden_dim], 0.0, generator)
        return nn.Sequential(hidden, linear_layer(hidden.n_out, int(self.n_components), generator))

    def _project(self, m: int, block: np.ndarray) -> torch.Tensor:
        """Unit projections of rows that have modality `m`."""
        head, scaler = self.module_[m], self._scalers[list(self._scalers)[m]]
        dtype = next(head.parameters()).dtype
        # column variance 1 adds up to a squared norm of D: the root keeps wide blocks from saturating the head
        scale = scaler.scale_ * np.sqrt(block.shape[1])
        values = torch.as_tensor(block).to(dtype) - torch.as_tensor(scaler.mean_, dtype=dtype)
        return normalize(head(values / torch.as_tensor(scale, dtype=dtype)), dim=1)

    def _transform_block(self, name: str, block: np.ndarray, present: np.ndarray) -> np.ndarray:
        m = list(self._scalers).index(name)
        dtype = np.float64 if next(self.module_.parameters()).dtype == torch.float64 else np.float32
        out = np.full((len(block), self.n_components), np.nan, dtype=dtype)
        for rows in row_chunks(*block.shape):
            there = np.flatnonzero(present[rows])
            if len(there):
                with torch.no_grad():
                    out[rows.start + there] = self._project(m, block[rows][there]).numpy()
        return out

    def _gaps(self, blocks: dict[str, np.ndarray], present: np.ndarray) -> dict[tuple[str, str], float]:
        """Distance between the mean projections of every two modalities."""
        means = {}
        for m, (name, block) in enumerate(blocks.items()):
            total = np.zeros(self.n_components)
            for rows in row_chunks(*block.shape):
                if present[rows, m].any():
                    with torch.no_grad():
                        projected = self._project(m, block[rows][present[rows, m]])
                    total += projected.sum(dim=0, dtype=torch.float64).numpy()
            means[name] = total / max(1, present[:, m].sum())
        return {(a, b): float(np.linalg.norm(means[a] - means[b])) for a, b in combinations(means, 2)}

    # --------------------------------------------------------------------------------------------- the training

    def _train(
        self, blocks: list[np.ndarray], present: np.ndarray, seed: int, generator: torch.Generator
    ) -> list[float]:
        prototypes = self._first_prototypes(blocks, present, seed)
        parameters = list(self.module_.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate)
        curve: list[float] = []
        for epoch in range(self.max_iter):
            order = torch.randperm(len(present), generator=generator)[: self.max_samples].numpy()
            if self.lambda_proto > 0:
                self._refresh(prototypes, blocks, present, np.sort(order))
            total = 0.0
            for start in range(0, len(order), self.batch_size):
                rows = np.sort(order[start : start + self.batch_size])  # sorted: a memory map is read forwards
                loss = self._loss([block[rows] for block in blocks], present[rows], prototypes)
                if loss.requires_grad:  # a batch may hold nothing to compare
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                total += float(loss.detach()) * len(rows)
            curve.append(total / len(order))
            if self.verbose and (epoch + 1) % self.verbose == 0:
                print(f"epoch {epoch + 1}/{self.max_iter}: loss {curve[-1]:.6f}")
        self.prototypes_ = {name: centres.numpy() for name, centres in zip(self._scalers, prototypes, strict=True)}
        return curve

    def _loss(self, blocks: list[np.ndarray], present: np.ndarray, prototypes: list[torch.Tensor]) -> torch.Tensor:
        there = [np.flatnonzero(present[:, m]) for m in range(len(blocks))]
        projected = [self._project(m, block[there[m]]) if len(there[m]) else None for m, block in enumerate(blocks)]
        loss = torch.zeros((), dtype=prototypes[0].dtype)
        pairs = list(combinations(range(len(blocks)), 2))
        for a, b in pairs:
            both = np.flatnonzero(present[:, a] & present[:, b])
            if len(both) < 2:
                continue
            u_a = projected[a][np.searchsorted(there[a], both)]  # type: ignore[index]
            u_b = projected[b][np.searchsorted(there[b], both)]  # type: ignore[index]
            loss = loss + info_nce(u_a, u_b, self.temperature) / len(pairs)
        if self.lambda_proto > 0:
            for u, centres in zip(projected, prototypes, strict=True):
                if u is not None:
                    loss = loss + self.lambda_proto * prototype_loss(u, centres, self.temperature)
        return loss

    def _first_prototypes(self, blocks: list[np.ndarray], present: np.ndarray, seed: int) -> list[torch.Tensor]:
        prototypes = []
        for m, (block, name) in enumerate(zip(blocks, self._scalers, strict=True)):
            rng = np.random.RandomState(_seed_of(seed, name))
            there = np.flatnonzero(present[:, m])
            if len(there) == 0:  # the modality is missing everywhere: nothing will be compared with this
                prototypes.append(torch.zeros(1, self.n_components, dtype=next(self.module_.parameters()).dtype))
                continue
            rows = np.sort(rng.permutation(there)[:_SEEDING_ROWS])
            with torch.no_grad():
                u = self._project(m, block[rows])
            count = min(int(self.n_prototypes), max(1, len(rows) // _ROWS_PER_PROTOTYPE))
            _, chosen = kmeans_plusplus(u.numpy(), count, random_state=rng)
            prototypes.append(u[chosen])
        return prototypes

    def _refresh(
        self, prototypes: list[torch.Tensor], blocks: list[np.ndarray], present: np.ndarray, rows: np.ndarray
    ) -> None:
        """Bring the prototypes up to date with the heads, in place."""
        for m, block in enumerate(blocks):
            there = rows[present[rows, m]]
            if len(there) == 0:
                continue
            with torch.no_grad():
                u = torch.cat([self._project(m, block[there[part]]) for part in row_chunks(len(there), block.shape[1])])
            prototypes[m] = spherical_k_means(u, prototypes[m], _LLOYD_STEPS)


def info_nce(u_a: torch.Tensor, u_b: torch.Tensor, temperature: float) -> torch.Tensor:
    """Symmetric InfoNCE of paired unit rows (n, d): each row's partner against all others of the batch."""
    logits = u_a @ u_b.T / temperature
    own = torch.arange(len(logits))
    return 0.5 * (cross_entropy(logits, own) + cross_entropy(logits.T, own))


def prototype_loss(u: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Cross-entropy of unit rows (n, d) against the prototype (K, d) nearest to each."""
    logits = u @ prototypes.T / temperature
    return cross_entropy(logits, logits.detach().argmax(dim=1))


def spherical_k_means(u: torch.Tensor, centres: torch.Tensor, n_steps: int) -> torch.Tensor:
    """Lloyd's steps on the unit sphere; a centre without rows stays where it is."""
    for _ in range(n_steps):
        nearest = (u @ centres.T).argmax(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, u)
        norms = sums.norm(dim=1, keepdim=True)
        centres = torch.where(norms > 1e-12, sums / norms.clamp_min(1e-12), centres)
    return centres


def _fit_scaler(name: str, block: np.ndarray, present: np.ndarray) -> StandardScaler:
    scaler = StandardScaler()
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in present_chunks(block, present):
            scaler.partial_fit(rows)
    if present.any():
        check_squares(name, scaler.var_)
    return scaler


def _seed_of(seed: int, name: str) -> int:
    return (seed + zlib.crc32(str(name).encode())) % 2**31


def _mean(gaps: dict[tuple[str, str], float]) -> float:
    return float(np.mean(list(gaps.values()))) if gaps else 0.0
