"""Greedy V-optimal designs of a Gaussian process, on a dense kernel or on features, exact and in blocks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from skmmal._arrays import number, numeric
from skmmal.selection._backend import Array, cast, full, like, namespace, to_numpy
from skmmal.selection._gaussian_process import DenseProcess, FeatureProcess, Process, finite_matrix, largest_value
from skmmal.selection._validation import check_candidates, check_n_samples

__all__ = [
    "Design",
    "Guess",
    "dense_process",
    "feature_process",
    "greedy_design",
    "v_optimal_dense",
    "v_optimal_features",
]

_FIRST_BLOCK, _LARGEST_BLOCK = 8, 64
_CANDIDATES_PER_PICK, _MOST_CANDIDATES = 8, 512
_ROWS_PER_CANDIDATE = 256
"""A candidate costs as much as so many rows: few rows are worth no more than half of the candidates."""
# A float32 pass is off by some 1e-6 of the noise; where a candidate's gain is off by more than this, it has drifted.
_DRIFT = 1e-4
_MOST_REPAIRS = 4
_LARGEST_FLOAT32, _LARGEST = 1e8, 1e60
"""Values from the first on are computed with in float64, weights above the second not at all: powers overflow."""
_ROUNDING = {"float32": 1e-6, "float64": 1e-12}
"""By what share a gain has to surpass another, not to be taken for equal."""


def v_optimal_dense(
    kernel: Any,
    n_samples: int,
    *,
    weights: Any = None,
    cross: Any = None,
    labelled: Any = None,
    noise: float = 0.1,
    candidates: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pick, one after the other, the row that most lowers ``Σ_j v_j Var(j)`` of a Gaussian process.

    Parameters
    ----------
    kernel : array-like of shape (N, N)
        Covariance of the rows before any observation.
    n_samples : int
        How many to pick.
    weights : array-like of shape (N,), optional
        v, how much each row's variance counts, not negative; by default 1.
    cross, labelled : array-like of shapes (N, L) and (L, L), optional
        Covariance with, and among, the rows that were observed before.
    noise : float, default=0.1
        s², the variance of an observation's noise.
    candidates : array-like of int or bool, optional
        Rows that may be picked, by default all; the variance of the others counts as well.

    Returns
    -------
    indices : ndarray of int, shape (n_samples,)
        Distinct, in the order picked; on ties the lowest index.
    gains : ndarray of float64, shape (n_samples,)
        By how much each pick lowers ``Σ_j v_j Var(j)``.

    Raises
    ------
    ValueError
        `n_samples` is not within 1..N; shapes do not match; weights are negative or not finite; the noise is not above
        zero.

    Notes
    -----
    With C the covariance given all rows observed so far, the gain of row i is ``t_i / (c_i + s²)``, c_i = C_ii and
    t_i = Σ_j v_j C_ij². Observing row p changes them by ``−a_i² / d`` and ``−2 a_i e_i / d + a_i² t_p / d²``, where
    a = C e_p, e = C diag(v) a and d = c_p + s².

    A gain may rise when another row is picked, so that lazy search by upper bounds is not exact. Instead, the picks are
    guessed in blocks: greedy search among the rows of highest gain (at most 512) gives a block of up to 64 picks; then
    a and e of the whole block are computed for all rows in one matrix product, and gone through pick by pick. At the
    first one that a row outside of the candidates surpasses, the block ends. So the picks are those of the plain loop,
    and the matrix is read once for a block instead of once for a pick.

    References
    ----------
    .. [1] Yu, Bi and Tresp, "Active learning via transductive experimental design", ICML 2006.
    .. [2] Ji and Han, "A variance minimization criterion to active learning on graphs", AISTATS 2012.

    Examples
    --------
    >>> v_optimal_dense([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]], 2)[0].tolist()
    [0, 2]
    """
    process = dense_process(kernel, weights=weights, cross=cross, labelled=labelled, noise=noise)
    return _greedy(process, np.shape(kernel)[0], n_samples, candidates)


def dense_process(
    kernel: Any, *, weights: Any = None, cross: Any = None, labelled: Any = None, noise: float = 0.1
) -> DenseProcess:
    """The process that `v_optimal_dense` searches, of the same arguments."""
    prior = finite_matrix(kernel, "kernel")
    if prior.shape[0] != prior.shape[1]:
        raise ValueError(f"kernel must be square, found shape {tuple(prior.shape)}")
    return DenseProcess(
        cast(prior, "float64") + 0.0,  # a copy: it is changed
        _optional(cross, "cross"),
        _optional(labelled, "labelled"),
        _check_weights(weights, prior),
        number(noise, "noise", 0.0),
    )


def _greedy(process: Process, n_rows: int, n_samples: int, candidates: Any) -> tuple[np.ndarray, np.ndarray]:
    available = check_candidates(candidates, n_rows)
    return greedy_design(Design(process, available), check_n_samples(n_samples, int(available.sum())))


def v_optimal_features(
    features: Any,
    n_samples: int,
    *,
    weights: Any = None,
    labelled: Any = None,
    noise: float = 0.1,
    candidates: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pick as `v_optimal_dense` does, for the kernel ``k(i, j) = φ_i · φ_j``, which is never multiplied out.

    Parameters
    ----------
    features : array-like or tensor of shape (N, Q)
        φ of every row. float32 is kept as it is; on a GPU the search runs there.
    n_samples : int
        How many to pick.
    weights : array-like of shape (N,), optional
        v, how much each row's variance counts, not negative; by default 1.
    labelled : array-like of shape (L, Q), optional
        φ of the rows that were observed before.
    noise : float, default=0.1
        s², the variance of an observation's noise.
    candidates : array-like of int or bool, optional
        Rows that may be picked, by default all; the variance of the others counts as well.

    Returns
    -------
    indices : ndarray of int, shape (n_samples,)
        Distinct, in the order picked; on ties the lowest index.
    gains : ndarray of float64, shape (n_samples,)
        By how much each pick lowers ``Σ_j v_j Var(j)``.

    Raises
    ------
    ValueError
        As for `v_optimal_dense`.

    Notes
    -----
    The covariance is ``Φ S Φᵀ`` with ``S = (I + Φ_Lᵀ Φ_L / s²)⁻¹``, so that c_i = φ_i S φ_i and t_i = φ_i S F S φ_i
    with ``F = Σ_j v_j φ_j φ_jᵀ``; S and F (Q × Q) are in float64. Cost: 2.3 N Q² multiplications once, then 2 N Q a
    pick. Memory: the features, 2 × 64 columns of N numbers, a few matrices of Q². The quantities tracked in float32
    are compared with exact ones for the candidates of each block. Where they have drifted, all are computed again;
    where that does not help, in float64 from there on. So rows of float32 whose gains agree in four digits may change
    places; of float64 they do not.

    References
    ----------
    .. [1] Yu, Bi and Tresp, "Active learning via transductive experimental design", ICML 2006.

    Examples
    --------
    >>> v_optimal_features([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], 2)[0].tolist()
    [0, 2]
    """
    process = feature_process(features, weights=weights, labelled=labelled, noise=noise)
    return _greedy(process, np.shape(features)[0], n_samples, candidates)


def feature_process(features: Any, *, weights: Any = None, labelled: Any = None, noise: float = 0.1) -> FeatureProcess:
    """The process that `v_optimal_features` searches, of the same arguments."""
    phi = finite_matrix(features, "features")
    known = _optional(labelled, "labelled")
    if known is not None and known.shape[1] != phi.shape[1]:
        raise ValueError(f"features has {phi.shape[1]} columns, labelled has {known.shape[1]}")
    is_small = "float64" not in str(phi.dtype) and largest_value(phi) < _LARGEST_FLOAT32
    phi = cast(phi, "float32" if is_small else "float64")
    return FeatureProcess(phi, known, _check_weights(weights, phi), number(noise, "noise", 0.0))


def _optional(values: Any, argument: str) -> Array | None:
    return None if values is None else finite_matrix(values, argument)


def _check_weights(weights: Any, rows: Array) -> Array:
    """Weights in float64, where the rows are; ones by default."""
    if weights is None:
        return full(len(rows), 1.0, "float64", rows)
    values = numeric(weights, "weights").astype(np.float64)
    if values.shape != (len(rows),) or not ((values >= 0) & (values <= _LARGEST)).all():
        raise ValueError(f"weights must be {len(rows)} finite numbers that are not negative (nor above {_LARGEST:g})")
    return like(values, rows)


def greedy_design(design: Any, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Greedy search: guess a block of picks among candidates, then check it against all other rows.

    Parameters
    ----------
    design : Design
        The rows, or what answers for them in the same way.
    n_samples : int

    Returns
    -------
    rows, gains : ndarray of shape (n_samples,)
    """
    precise, fresh, n_repairs = False, True, 0
    design.refresh(precise)
    picked: list[int] = []
    gains: list[float] = []
    size, most = _FIRST_BLOCK, max(_MOST_CANDIDATES // 2, min(_MOST_CANDIDATES, len(design) // _ROWS_PER_CANDIDATE))
    while len(picked) < n_samples:
        size = min(size, n_samples - len(picked))
        rows, tracked = design.highest(min(_CANDIDATES_PER_PICK * size, most))
        G, H = design.directions(rows)
        C, M = (to_numpy(design.values(directions, rows)) for directions in (G, H))
        exact = _gains(C.diagonal(), M.diagonal(), design.noise)
        if not precise and abs(tracked - exact).max() > _DRIFT * exact.max():
            # errors are relative to what c and t were when they were last computed, and both fall by orders of
            # magnitude; where they are off as soon as they are computed, or again and again, float32 is not enough
            precise = fresh or n_repairs == _MOST_REPAIRS
            design.refresh(precise)
            fresh, n_repairs = True, n_repairs + 1
            continue
        fresh = False
        guess = _guess(C, M, design.noise, min(size, len(rows)))
        G, H = guess.directions(G, H)
        n_right = design.check(guess, G, H, rows, C.diagonal(), M.diagonal())
        chosen = rows[guess.order[:n_right]]
        design.observe(G[:, :n_right], like(guess.c[:n_right] + design.noise, G), chosen)
        picked += chosen.tolist()
        gains += _gains(guess.c, guess.t, design.noise)[:n_right].tolist()
        size = min(2 * size if n_right == len(guess.order) else max(_FIRST_BLOCK, n_right), _LARGEST_BLOCK)
    return np.asarray(picked, dtype=np.intp), np.asarray(gains)


class Design:
    """Rows of a process, which of them may be picked, and the gain of each, kept up to date.

    Parameters
    ----------
    process : Process
    available : ndarray of bool, shape (N,)
        Which may be picked.
    """

    def __init__(self, process: Process, available: np.ndarray) -> None:
        self.process, self.noise = process, process.noise
        self._available = available.copy()
        self._before: tuple[Array, Array] | None = None
        self._columns: tuple[Guess, Array, Array] | None = None

    def __len__(self) -> int:
        return len(self._available)

    def refresh(self, precise: bool) -> None:
        """Compute c and t of all rows anew."""
        self._c, self._t = self.process.moments(precise=precise)

    def highest(self, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the available rows of highest gain, in the order of the rows, and their gains as far as tracked."""
        gains = to_numpy(_gains(self._c, self._t, self.noise))
        rows = _highest(gains, self._available, n_rows)
        return rows, gains[rows]

    def directions(self, rows: np.ndarray) -> tuple[Array, Array]:
        """As of the process."""
        return self.process.directions(rows)

    def values(self, directions: Array, rows: np.ndarray) -> Array:
        """As of the process."""
        return self.process.values(directions, rows)

    def check(self, guess: Guess, G: Array, H: Array, rows: np.ndarray, c: np.ndarray, t: np.ndarray) -> int:
        """Put right c and t of the candidates, bring all rows' up to date; return how many picks none surpasses."""
        self._c[rows], self._t[rows] = like(c, self._c), like(t, self._t)
        others = self._available.copy()
        others[rows] = False
        columns = self.process.values(namespace(G).concatenate([G, H], 1))  # one pass over the features
        A, E = columns[:, : len(guess.order)], columns[:, len(guess.order) :]
        self._before = self._c + 0.0, self._t + 0.0
        self._columns = guess, A, E
        return _check(guess, A, E, self._c, self._t, like(others, self._c), self.noise)

    def check_less(self, n_right: int) -> None:
        """Go back to fewer right picks than `check` found: rows elsewhere surpass the others."""
        assert self._before is not None
        assert self._columns is not None
        guess, A, E = self._columns
        self._c, self._t = self._before
        for k in range(n_right):
            _observe_pick(guess, A, E, self._c, self._t, k, self.noise)

    def observe(self, directions: Array, variances: Array, chosen: np.ndarray) -> None:
        """Condition on picks, of which some rows here may not be picked again."""
        self.process.observe(directions, variances)
        self._available[chosen] = False
        self._columns = self._before = None  # N numbers for each pick


def _gains(c: Array, t: Array, noise: float) -> Array:
    return t.clip(min=0.0) / (c.clip(min=0.0) + noise)


def _highest(gains: np.ndarray, available: np.ndarray, n_rows: int) -> np.ndarray:
    """Available rows of highest gain, in the order of the rows; of equal ones the first."""
    order = np.argsort(-np.where(available, gains, -1.0), kind="stable")
    return np.sort(order[: min(n_rows, int(available.sum()))])


class Guess(NamedTuple):
    """Picks among candidates, in order, and how the columns of C and M at each pick follow from those before any."""

    order: np.ndarray
    c: np.ndarray
    t: np.ndarray
    triangle: np.ndarray
    shift: np.ndarray

    def directions(self, G: Array, H: Array) -> tuple[Array, Array]:
        """Directions of a and e at each pick, from those of the candidates' columns before the block."""
        inverse = like(solve_triangular(self.triangle, np.eye(len(self.order))), G)
        a = G[:, self.order] @ inverse
        return a, (H[:, self.order] - a @ like(self.shift, G)) @ inverse


def _guess(C: np.ndarray, M: np.ndarray, noise: float, n_picks: int) -> Guess:
    """Plain greedy search among the candidates, by the formulas of `v_optimal_dense`.

    With C_k and M_k the columns before the block, those after picks l < k are ``a_k = C_k − Σ_l a_l r_lk`` and
    ``e_k = M_k − Σ_l (e_l r_lk + a_l s_lk)``; ``r_lk = a_l[k] / d_l``, ``s_lk = (e_l[k] − r_lk t_l) / d_l``.
    """
    c, t = C.diagonal().copy(), M.diagonal().copy()
    is_left = np.ones(len(c), dtype=bool)
    A, E = np.zeros((len(c), n_picks)), np.zeros((len(c), n_picks))
    triangle, shift = np.eye(n_picks), np.zeros((n_picks, n_picks))
    order = np.empty(n_picks, dtype=np.intp)
    c_picked, t_picked = np.empty(n_picks), np.empty(n_picks)
    for k in range(n_picks):
        best = int(np.argmax(np.where(is_left, _gains(c, t, noise), -1.0)))
        order[k], is_left[best] = best, False
        d = c_picked[:k] + noise
        r = A[best, :k] / d
        s = (E[best, :k] - r * t_picked[:k]) / d
        a = C[:, best] - A[:, :k] @ r
        e = M[:, best] - E[:, :k] @ r - A[:, :k] @ s
        c_picked[k], t_picked[k] = c[best], t[best]
        A[:, k], E[:, k], triangle[:k, k], shift[:k, k] = a, e, r, s
        _observe_moments(c, t, a, e, c_picked[k] + noise, t_picked[k])
    return Guess(order, c_picked, t_picked, triangle, shift)


def _check(guess: Guess, A: Array, E: Array, c: Array, t: Array, others: Array, noise: float) -> int:
    """Number of picks that no other row surpasses; brings c and t of all rows up to date with these."""
    slack = 1.0 + (_ROUNDING["float64"] if "float64" in str(A.dtype) else _ROUNDING["float32"])
    library = namespace(c)
    wanted = _gains(guess.c, guess.t, noise).tolist()
    for k, gain in enumerate(wanted):
        # the first pick is the best of all: no row has a higher gain than the candidates
        if k > 0 and float(library.where(others, _gains(c, t, noise), -1.0).max()) > slack * gain:
            return k
        _observe_pick(guess, A, E, c, t, k, noise)
    return len(wanted)


def _observe_pick(guess: Guess, A: Array, E: Array, c: Array, t: Array, k: int, noise: float) -> None:
    a, e = (cast(columns[:, k], "float64") for columns in (A, E))
    _observe_moments(c, t, a, e, float(guess.c[k]) + noise, float(guess.t[k]))


def _observe_moments(c: Array, t: Array, a: Array, e: Array, d: float, t_pick: float) -> None:
    """Diagonals of C and M after a pick with columns a and e, in place."""
    share = a / d
    c -= a * share
    t += share * (share * t_pick - 2.0 * e)
