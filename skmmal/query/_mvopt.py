"""Optimal design: MVOPT, our own strategy."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from skmmal._random import RandomState
from skmmal._sklearn import Interval, StrOptions
from skmmal._torch import import_torch, torch_beside_gpu
from skmmal.query._base import QueryStrategy, Selection
from skmmal.query._mvopt_beliefs import beliefs_of, drawn_rows, unsureness, width_and_centre
from skmmal.query._mvopt_on_shards import ShardedDesign
from skmmal.query._sharpening import exponents
from skmmal.reading import Reading
from skmmal.reading._sharded import ShardedReading
from skmmal.selection._gaussian_kernels import average_kernel, fourier_features
from skmmal.selection._units import UnitBenefits, Units
from skmmal.selection._v_optimal import (
    dense_process,
    feature_process,
    greedy_design,
    v_optimal_dense,
    v_optimal_features,
)
from skmmal.selection._variance_gains import VarianceGains

__all__ = ["MVOPT"]

_EXACT_ROWS = 5_000


class MVOPT(QueryStrategy):
    """Multimodal V-optimal design: pick the batch that most lowers the pool's variance where the model is unsure.

    Our own strategy. A Gaussian process stands in for the classifier; its kernel gives every modality the same say, and
    rows are alike where their features are and the classifier's heads hold them for the same classes. One after the
    other, the row is picked whose label would take most off the variance of all rows together, each weighing as much as
    the heads are unsure of it. A pick is thus uncertain itself or like many uncertain rows, unlike the rows labelled
    already and unlike the rest of the batch.

    Parameters
    ----------
    noise : float, default=0.1
        s², the noise of a label against the kernel's variance of one: how much one label leaves open about its own
        row, and so how soon like rows are worth picking again. At least 1e-8.
    kernel : {"predictions", "features"}, default="predictions"
        What makes two rows alike: their features and what the heads say of them, or the features alone.
    kernel_approximation : {"auto", "exact", "fourier"}, default="auto"
        ``"exact"``: the kernel between all rows, as matrices of float64. ``"fourier"``: inner products of random
        features. ``"auto"``: exact for up to 5,000 rows, pool and labelled together (matrices of at most 200 MB), but
        for those of a `ShardedPool`.
    n_components : int, default=512
        Random Fourier features per modality.
    device : str, default="auto"
        A torch device for the search; ``"auto"`` is CUDA where there is one.
    random_state : int, RandomState, Generator or None
        Draws the random features; the exact form draws nothing.

    See Also
    --------
    skmmal.ModalityScaler : Put it before; columns of different scale distort the distances.
    UHerding : Covers uncertain rows, in the fused embedding.

    Notes
    -----
    With margins ``u = 1 − (p₁ − p₂)`` of the two most probable classes, row j weighs ``v_j = u_j + mean_m u_jm``: that
    of the fused head plus those of the modalities' own heads, zero for a modality that the row lacks. A classifier
    without `predict_proba_by_modality` gives the first part only. Without a fitted model every row weighs one, and this
    is a cold start; so it is where the model is sure of every row. A head whose probabilities are flat even on the
    labelled rows, less than half as far above chance as its accuracy there, has them raised to the power at which they
    are half as far: a strongly regularized classifier would otherwise say nothing of where to look.

    The kernel is ``k(i, j) = Σ_m δ_im δ_jm exp(−‖z_i^m − z_j^m‖² / σ_m² − h_m(i, j)) / √(M_i M_j)``, z what the fused
    head sees (with encoders, the learned features), δ the presence, M_i the number of modalities that row i has, σ_m²
    the median squared distance of the modality's rows (of at most 1,000 of pool and labelled rows together). h is how
    differently the heads see two rows, ``h_m(i, j) = (‖√p_i − √p_j‖² + ‖√p_i^m − √p_j^m‖²) / 2``, from 0 to 2 (twice
    the squared Hellinger distance [4]_), p the fused head's probabilities and p^m those of the modality's own; the
    fused head's alone where there is no other, and 0 in a cold start and with ``kernel="features"``. With features
    alone, a few labels in a crowd of rows explain all of it, whatever the classes in it; where there are many classes,
    that cost two points of accuracy. With C the
    covariance of the process given the labelled rows, the score, ``Σ_j v_j C_ij² / (C_ii + s²)``, is by how much
    ``Σ_j v_j Var(j)`` falls when row i is labelled. Picks are those of the plain greedy loop (see
    `skmmal.selection._v_optimal`), on ties the lowest index.

    With groups, the gain is that of labelling all rows of the group together, ``tr((C_GG + s² I)⁻¹ (C diag(v) C)_GG)``,
    exact for groups of any size that fit in memory, on the processor; with ``group_score="best"`` that of its best row
    alone.

    Rows that lack a modality have the variance of the others, one: divided by M they would hardly ever be picked. The
    fused head tends to be less sure of them, so that they come somewhat more often than their share.

    Cost, for N rows and Q = M × `n_components` features: exact O(N² D) once and O(N²) a pick, memory N²; Fourier
    O(N Q ((D / M + K) + Q)) once, K the number of classes, and O(N Q) a pick, memory N Q and 2 M N K for h. The
    relatives are transductive experimental design [1]_ and V-optimality on graphs [2]_. Ours are the average of kernels
    with missing modalities, the heads' part in them, the weights from all heads and the search in blocks. The random
    features are orthogonal [3]_.

    References
    ----------
    .. [1] Yu, Bi and Tresp, "Active learning via transductive experimental design", ICML 2006.
    .. [2] Ji and Han, "A variance minimization criterion to active learning on graphs", AISTATS 2012.
    .. [3] Yu et al., "Orthogonal random features", NIPS 2016.
    .. [4] Jebara, Kondor and Howard, "Probability product kernels", JMLR 2004, section 2.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import MVOPT
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> first = MVOPT().query(None, X[1::2], 10)
    >>> clf = LateFusionClassifier().fit(X[1::2][first], y[1::2][first])
    >>> batch = MVOPT().query(clf, X[::2], 10, X_labeled=X[1::2][first])
    >>> len(set(batch.tolist()))
    10
    """

    requires_model = False
    supports_multi_label = True
    supports_groups = True
    _looks_beyond_candidates = True
    _parameter_constraints: dict = {
        "noise": [Interval(Real, 1e-8, None, closed="left")],
        "kernel": [StrOptions({"predictions", "features"})],
        "kernel_approximation": [StrOptions({"auto", "exact", "fourier"})],
        "n_components": [Interval(Integral, 2, None, closed="left")],
        "device": [str],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        noise: float = 0.1,
        kernel: str = "predictions",
        kernel_approximation: str = "auto",
        n_components: int = 512,
        device: str = "auto",
        random_state: RandomState = None,
    ) -> None:
        self.noise = noise
        self.kernel = kernel
        self.kernel_approximation = kernel_approximation
        self.n_components = n_components
        self.device = device
        self.random_state = random_state

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        is_exact, rows, known = self._rows_of_process(pool, labelled, rng, _search_device(self.device))
        search = v_optimal_dense if is_exact else v_optimal_features
        return search(rows, n_instances, candidates=pool.candidates, **known)

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        is_exact, rows, known = self._rows_of_process(pool, labelled, rng, None)
        return VarianceGains((dense_process if is_exact else feature_process)(rows, **known), units)

    def _rows_of_process(
        self, pool: Reading, labelled: Reading, rng: np.random.RandomState, device: Any
    ) -> tuple[bool, Any, dict[str, Any]]:
        """Whether the kernel is exact, the kernel or the rows' features, and what else the process is made of."""
        # in alphabetical order, so that the order in which modalities are given cannot matter
        order = sorted(range(len(pool.modality_names)), key=lambda m: str(pool.modality_names[m]))
        (rows, present), (known, known_present) = (
            ([reading.head.blocks[m] for m in order], reading.present[:, order]) for reading in (pool, labelled)
        )
        drawn = [_drawn(rows[m], present[:, m], known[m], known_present[:, m]) for m in range(len(order))]
        sq_widths, centres = zip(*map(width_and_centre, drawn), strict=True)
        powers = exponents(labelled)
        weights = unsureness(pool, powers)
        if weights is not None and weights.max() <= 0:
            weights = None  # a model that is sure of every row says nothing of where to look
        is_exact = self._is_exact(len(pool) + len(labelled))
        beliefs = None
        # nor of which rows are alike
        if self.kernel == "predictions" and weights is not None:
            dtype = np.float64 if is_exact else np.float32
            beliefs = beliefs_of(pool, order, dtype, powers), beliefs_of(labelled, order, dtype, powers)
        pool.forget_probabilities()
        options = {"weights": weights, "noise": self.noise}
        if is_exact:
            of_pool, of_known = (None, None) if beliefs is None else beliefs
            kernel, cross, labelled_kernel = (
                average_kernel(
                    of_rows, cols, there, col_there, sq_widths, row_extra=extra, col_extra=col_extra, device=device
                )
                for of_rows, there, extra, cols, col_there, col_extra in (
                    (rows, present, of_pool, rows, present, of_pool),
                    (rows, present, of_pool, known, known_present, of_known),
                    (known, known_present, of_known, known, known_present, of_known),
                )
            )
            return True, kernel, {**options, "cross": cross, "labelled": labelled_kernel}
        features, labelled_features = fourier_features(
            [rows, known],
            [present, known_present],
            sq_widths,
            self.n_components,
            extra=beliefs,
            centres=centres,
            random_state=rng,
            device=device,
        )
        return False, features, {**options, "labelled": labelled_features}

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        if self.kernel_approximation == "exact" or self.device not in ("auto", "cpu"):
            raise ValueError(
                "MVOPT picks from a ShardedPool with random features, on the workers' processors: "
                f"kernel_approximation={self.kernel_approximation!r} and device={self.device!r} do not"
            )
        return greedy_design(ShardedDesign(shards, self, rng), n_instances)

    def _is_exact(self, n_rows: int) -> bool:
        return self.kernel_approximation == "exact" or (self.kernel_approximation == "auto" and n_rows <= _EXACT_ROWS)


def _search_device(device: str) -> Any:
    """Where the search runs, a torch device; ``None`` is numpy, on the processor."""
    if device == "cpu" or (device == "auto" and torch_beside_gpu() is None):
        return None
    import_torch(f"MVOPT(device={device!r})")
    from skmmal.heads._tensors import resolve_device

    resolved = resolve_device(device)
    return None if resolved.type == "cpu" else resolved


def _drawn(pool: np.ndarray, pool_present: np.ndarray, known: np.ndarray, known_present: np.ndarray) -> np.ndarray:
    """Rows that have a modality and that its width and centre come of."""
    there, known_there = np.flatnonzero(pool_present), np.flatnonzero(known_present)
    of_pool, of_known = drawn_rows(len(there), len(known_there))
    return np.concatenate([pool[there[of_pool]], known[known_there[of_known]]])
