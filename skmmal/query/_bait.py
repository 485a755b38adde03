"""Batches that are optimal for the Fisher information: BAIT."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

from skmmal._chunks import row_chunks
from skmmal._sklearn import Interval, StrOptions
from skmmal.query._base import QueryStrategy, Selection
from skmmal.reading import FUSED, Head, Reading
from skmmal.reading._sharded import ShardedReading, View
from skmmal.selection._units import UnitBenefits, Units

__all__ = ["BAIT"]


class BAIT(QueryStrategy):
    """Pick the batch after which the Fisher information of the labelled rows best matches that of the pool.

    A row's information is ``V_iᵀ V_i`` with rows ``√p_c (e_c − p) ⊗ z``; the pool's is F, their mean. The batch
    minimises ``tr(M⁻¹ F)``, M the regularised information of labelled and picked rows: twice as many rows as wanted are
    picked greedily, then the least useful are put back one after the other.

    Parameters
    ----------
    fisher : {"auto", "full", "trace"}, default="auto"
        ``"full"``: as in the paper, matrices of (K D)². ``"trace"``: a row's information is ``(1 − Σ p²) z zᵀ``, the
        trace over the classes in place of the class block; ours, so that many classes and columns can be served.
        ``"auto"``: ``"full"`` where K D is at most 512 and the rows' factors N K² D at most 2·10⁷ numbers; of a
        `ShardedPool` always ``"trace"``.
    regularization : float, default=1.0
        λ of ``M₀ = λ I + n/(n + B) F_labelled`` (the paper's default).
    n_directions : int or None, default=256
        At most that many directions of the embedding are kept, those that carry most of the pool's information (ours).
        ``None``: all.
    on : str, default="fused"
        The head whose information counts: ``"fused"``, the name of a modality, or ``"all"`` for that of all heads.
        Each head has its own weights, so a row's information is then block-diagonal, and what is minimised is the sum
        of the heads' traces; a head learns nothing from rows that lack its modality (see `QueryStrategy`).

    Notes
    -----
    The score is what a row took off ``tr(M⁻¹ F)`` when it was picked. All quantities are kept up to date by Woodbury
    updates. Deterministic. Cost of ``"trace"``: O(N D²) once, then one product N × R × 2 for each of 2B picks, R the
    directions; memory N (D + R). Cost of ``"full"``: O(N K³ R) a pick, memory N K² R. With ``on="all"`` for each head.

    Groups: what all rows of a group take off the trace together, exactly, in all, per row, or what its best row does; B
    is about how many rows will be picked, and nothing is put back (ours). Memory: all pairs of rows of a group, times
    K² with ``"full"``.

    Rows that lack a modality tell nothing of the weights that meet it, and more of the others where the model is less
    sure of them.

    References
    ----------
    .. [1] Ash et al., "Gone fishing: neural active learning with Fisher embeddings", NeurIPS 2021, section 4.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import BAIT
    >>> X, y = load_digits_views("kar", return_X_y=True)
    >>> clf = LogisticRegression(C=0.01).fit(X[::40], y[::40])
    >>> len(BAIT().query(clf, X[1::10], 5, X_labeled=X[::40]))
    5
    """

    _looks_beyond_candidates = True
    supports_groups = True
    _parameter_constraints: dict = {
        "fisher": [StrOptions({"auto", "full", "trace"})],
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "n_directions": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        fisher: str = "auto",
        regularization: float = 1.0,
        n_directions: int | None = 256,
        *,
        on: str = "fused",
    ) -> None:
        self.fisher = fisher
        self.regularization = regularization
        self.n_directions = n_directions
        self.on = on

    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        factors, known = self._factors(pool, self._is_full(pool.head))
        return fisher_batch(
            factors,
            n_instances,
            labelled=known,
            n_labelled=len(labelled),
            regularization=self.regularization,
            candidates=pool.candidates,
        )

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        full = self._is_full(pool.head)
        n_classes = pool.head.probabilities.shape[1]
        full &= self.fisher == "full" or units.have_room(n_classes)
        units.check_pairs(n_classes if full else 1)
        factors, known = self._factors(pool, full)
        return _FisherGains(factors, units, known, len(labelled), self.regularization)

    def _factors(self, pool: Reading, full: bool) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
        """Factors of the rows' information by each head, of the pool and of the labelled rows."""
        axes = {
            head.name: _informative_axes(head.layer_features, _spread(head.probabilities), self.n_directions)
            for head in pool.listening
        }

        def factors(head: Head) -> np.ndarray:
            return _row_factors(head.probabilities, _project(head.layer_features, axes[head.name]), full)

        known = [factors(head.labelled) if len(head.labelled) else None for head in pool.listening]
        return pool.by_head(factors), known

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        if self.fisher == "full":
            raise ValueError("BAIT(fisher='full') does not serve a ShardedPool; fisher='trace' does")
        names = shards.ask_one(_listening)
        most, (widths, n_labelled) = self.n_directions, shards.ask_one(_widths, names)
        axes: list[np.ndarray | None] = [None] * len(names)
        if most is not None and any(width > most for width in widths):
            totals = [sum(parts) for parts in zip(*shards.ask(_informations, names), strict=True)]
            wide = [width > most for width in widths]
            axes = [np.linalg.eigh(t)[1][:, -most:] if w else None for t, w in zip(totals, wide, strict=True)]
        grams = [sum(parts) / len(shards) for parts in zip(*shards.ask(_keep_factors, names, axes), strict=True)]
        settings = (n_instances, n_labelled, self.regularization)
        best = shards.ask(_begin, names, axes, grams, settings)
        picked: list[int] = []
        scores: list[float] = []
        chosen: list[list[np.ndarray]] = []
        n_wanted = min(2 * n_instances, shards.n_open)
        while len(picked) < n_wanted:
            part = int(np.argmax([gain for _, gain, _ in best]))
            row, gain, factors = best[part]
            picked.append(row + int(shards.starts[part]))
            scores.append(gain)
            chosen.append(factors)
            best = shards.ask(_go_on, factors, own=[[row] if w == part else [] for w in range(len(best))])
        searches = shards.ask_one(_state)
        kept = _kept([np.stack(of_head) for of_head in zip(*chosen, strict=True)], searches, n_instances)
        return np.asarray(picked, dtype=np.intp)[kept], np.asarray(scores)[kept]

    def _is_full(self, head: Head) -> bool:
        # the same for all heads, whose traces are added: the fused head has most columns
        n_classes, n_columns = head.probabilities.shape[1], head.layer_features.shape[1]
        if self.n_directions is not None:
            n_columns = min(n_columns, self.n_directions)
        small = n_classes * n_columns <= 512 and len(head) * n_classes**2 * n_columns <= 2e7
        return self.fisher == "full" or (self.fisher == "auto" and small)


def fisher_batch(
    factors: Sequence[np.ndarray],
    n_samples: int,
    *,
    labelled: Sequence[np.ndarray | None] | None = None,
    n_labelled: int = 0,
    regularization: float = 1.0,
    candidates: np.ndarray | None = None,
) -> Selection:
    """BAIT's forward and backward search over rows' information, block-diagonal with a block for each head.

    Parameters
    ----------
    factors : sequence of ndarray of shape (N, q, P)
        V for each head: a row's block is ``V_iᵀ V_i``.
    n_samples : int
    labelled : sequence of ndarray of shape (L_h, q, P) or None, optional
        V of the labelled rows for each head; rows without information may be left out.
    n_labelled : int, default=0
        Number of labelled rows.
    regularization : float, default=1.0
    candidates : ndarray of bool, shape (N,), optional
        Rows that may be picked, by default all.

    Returns
    -------
    indices : ndarray of int, shape (n_samples,)
    scores : ndarray of float64, shape (n_samples,)
    """
    n_rows = len(factors[0])
    known = [None] * len(factors) if labelled is None else labelled
    searches = [
        _search(one, n_samples, n_labelled, regularization, _gram(one) / n_rows, None if own is None else _gram(own))
        for one, own in zip(factors, known, strict=True)
    ]
    left = np.ones(n_rows, dtype=bool) if candidates is None else candidates.copy()
    forward = _Forward(searches, left)
    picked: list[int] = []
    scores: list[float] = []
    for _ in range(min(2 * n_samples, int(left.sum()))):
        best, gain, chosen = forward.best()
        picked.append(best)
        scores.append(gain)
        forward.take(chosen, [best])
    kept = _kept([search.factors[picked] for search in searches], searches, n_samples)
    return np.asarray(picked, dtype=np.intp)[kept], np.asarray(scores)[kept]


def _gram(factors: np.ndarray) -> np.ndarray:
    flat = factors.reshape(-1, factors.shape[2])
    return flat.T @ flat


def _search(
    factors: np.ndarray,
    n_samples: int,
    n_labelled: int,
    regularization: float,
    target: np.ndarray,
    known: np.ndarray | None,
) -> _Search:
    """The search over rows' factors, from the pool's information and the sum of that of the labelled rows."""
    start = regularization * np.eye(factors.shape[2])
    if known is not None:
        start += known / (n_labelled + n_samples)
    share = n_samples / (n_labelled + n_samples)
    return _Search(factors * np.sqrt(share), np.linalg.inv(start), target)


def _kept(factors: Sequence[np.ndarray], searches: Sequence[_Search], n_samples: int) -> np.ndarray:
    """Which picks remain when the least useful are put back one after the other."""
    backward = [_Search(of_head, each.inverse, each.target) for of_head, each in zip(factors, searches, strict=True)]
    kept = np.ones(len(factors[0]), dtype=bool)
    for _ in range(len(kept) - n_samples):
        losses = np.where(kept, sum(search.changes(-1) for search in backward), np.inf)
        worst = int(np.argmin(losses))
        kept[worst] = False
        for search in backward:
            search.update(search.factors[worst], -1)
    return kept


class _Forward:
    """The row that takes most off the trace, and what follows when some row, from here or elsewhere, is picked."""

    def __init__(self, searches: list[_Search], left: np.ndarray) -> None:
        self.searches, self._left = searches, left

    def best(self) -> tuple[int, float, list[np.ndarray]]:
        """Return the row, the first on ties, what it takes off, and its factors by each head; -1 where none is left."""
        gains = np.where(self._left, sum(search.changes(+1) for search in self.searches), -np.inf)
        best = int(np.argmax(gains))
        if not self._left[best]:
            return -1, -np.inf, []
        return best, float(max(gains[best], 0.0)), [search.factors[best] for search in self.searches]

    def take(self, chosen: list[np.ndarray], rows: list[int]) -> None:
        """Pick what has these factors; it is some row here, or none."""
        for search, factors in zip(self.searches, chosen, strict=True):
            search.update(factors, +1)
        self._left[rows] = False


class _FisherGains(UnitBenefits):
    """What all rows of a unit take off ``tr(M⁻¹ F)`` together; with ``"best"`` its best row alone.

    Parameters are those of `fisher_batch`; as many rows count as wanted as the units that are wanted have on average.
    """

    nothing_is_random = False

    def __init__(
        self,
        factors: Sequence[np.ndarray],
        units: Units,
        labelled: Sequence[np.ndarray | None],
        n_labelled: int,
        regularization: float,
    ) -> None:
        n_wanted = max(1, round(units.expected * units.sizes[units.sizes > 0].mean()))
        self._units, self._parts = units, []
        self._factors = [one * np.sqrt(n_wanted / (n_labelled + n_wanted)) for one in factors]
        known = [None if own is None else _gram(own) for own in labelled]
        targets = [_gram(one) / len(one) for one in factors]
        for some, rows in units.by_size():
            together = [one[rows].reshape(len(rows), -1, one.shape[2]) for one in factors]
            searches = [
                _search(stacked, n_wanted, n_labelled, regularization, target, own)
                for stacked, target, own in zip(together, targets, known, strict=True)
            ]
            self._parts.append((some, searches))

    def present(self, rates: np.ndarray) -> np.ndarray:
        by_row = self._units.score == "best"
        found = np.zeros(len(self._units.codes) if by_row else self._units.n_units)
        for some, searches in self._parts:
            found[some] = np.maximum(sum(search.changes(+1) for search in searches), 0.0)
        return self._units.of_rows(found) if by_row else self._units.of_sums(found)

    def take(self, unit: int) -> None:
        rows = self._units.rows(unit)
        for _, searches in self._parts:
            for search, one in zip(searches, self._factors, strict=True):
                search.update(one[rows].reshape(-1, one.shape[2]), +1)


class _Search:
    """``tr(M⁻¹ F)`` under adding (+1) or removing (−1) rows, for all rows at once.

    Keeps ``A_i = V_i M⁻¹ V_iᵀ`` and ``C_i = V_i M⁻¹ F M⁻¹ V_iᵀ``; adding row i lowers the trace by
    ``tr(C_i (I + A_i)⁻¹)``, removing it raises it by ``tr(C_i (I − A_i)⁻¹)``.
    """

    def __init__(self, factors: np.ndarray, inverse: np.ndarray, target: np.ndarray) -> None:
        self.factors, self.inverse, self.target = factors, inverse, target
        self._flat = factors.reshape(-1, factors.shape[2])
        self.A = self._with_itself(inverse)
        self.C = self._with_itself(inverse @ target @ inverse)

    def without_rows(self) -> _Search:
        """The same with no rows to choose from."""
        return _Search(self.factors[:0], self.inverse, self.target)

    def _with_itself(self, middle: np.ndarray) -> np.ndarray:
        n, q, width = self.factors.shape
        out = np.empty((n, q, q))
        for part in row_chunks(n, q * width):
            rows = self.factors[part]
            out[part] = (rows @ middle) @ rows.transpose(0, 2, 1)
        return out

    def changes(self, sign: int) -> np.ndarray:
        """Size of the change in the trace, not negative, for each row."""
        if self.A.shape[1] == 1:
            return self.C[:, 0, 0] / np.maximum(1.0 + sign * self.A[:, 0, 0], 1e-12)
        eye = np.eye(self.A.shape[1])
        return np.trace(np.linalg.solve(eye + sign * self.A, self.C), axis1=1, axis2=2)

    def update(self, row: np.ndarray, sign: int) -> None:
        """Add or remove a row, or several together, by their factors (r, P)."""
        n, q, _ = self.factors.shape
        r = len(row)
        W = self.inverse @ row.T
        S = np.linalg.inv(np.eye(r) + sign * (row @ W))
        FW = self.target @ W
        both = self._flat @ np.hstack([W, self.inverse @ FW])
        T, U = both[:, :r].reshape(n, q, r), both[:, r:].reshape(n, q, r)
        TS = sign * (T @ S)
        cross = TS @ U.transpose(0, 2, 1)
        self.A -= TS @ T.transpose(0, 2, 1)
        self.C += TS @ (W.T @ FW) @ TS.transpose(0, 2, 1) - cross - cross.transpose(0, 2, 1)
        self.inverse = self.inverse - sign * (W @ S @ W.T)


def _spread(probabilities: np.ndarray) -> np.ndarray:
    """``1 − Σ p²``, the trace of ``diag(p) − p pᵀ``."""
    return np.maximum(1.0 - np.square(probabilities).sum(axis=1), 0.0)


def _row_factors(probabilities: np.ndarray, points: np.ndarray, full: bool) -> np.ndarray:
    """Factors V (N, q, P) of the rows' information: q = K and P = K D, or q = 1 and P = D."""
    if not full:
        return (np.sqrt(_spread(probabilities))[:, None] * points)[:, None, :]
    n, n_classes = probabilities.shape
    residuals = np.sqrt(probabilities)[:, :, None] * (np.eye(n_classes) - probabilities[:, None, :])
    return np.einsum("nck,nd->nckd", residuals, points).reshape(n, n_classes, -1)


def _informative_axes(points: np.ndarray, spread: np.ndarray, most: int | None) -> np.ndarray | None:
    """Leading eigenvectors (D, R) of ``Σ spread_i z_i z_iᵀ``; ``None`` where all columns are kept."""
    if most is None or points.shape[1] <= most:
        return None
    return np.linalg.eigh(_information(points, spread))[1][:, -most:]


def _information(points: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """``Σ spread_i z_i z_iᵀ``, shape (D, D)."""
    total = np.zeros((points.shape[1], points.shape[1]))
    for part in row_chunks(*points.shape):
        rows = np.asarray(points[part], dtype=np.float64) * np.sqrt(spread[part])[:, None]
        total += rows.T @ rows
    return total


def _project(points: np.ndarray, axes: np.ndarray | None) -> np.ndarray:
    if axes is None:
        return np.asarray(points, dtype=np.float64)
    return points @ axes


# ------------------------------------------------------------------------------------------------- on shards


def _listening(view: View) -> list[str]:
    """Names of the heads that count, also of a modality that none of these rows has."""
    reading = view.reading
    if len(reading.listening) == 1 and reading.head.name != FUSED:
        return [reading.head.name]
    return [FUSED, *reading.modality_names] if len(reading.listening) > 1 else [FUSED]


def _heads(view: View, names: list[str]) -> list[Head]:
    return [Head(view.reading, name) for name in names]


def _widths(view: View, names: list[str]) -> tuple[list[int], int]:
    return [head.layer_features.shape[1] for head in _heads(view, names)], len(view.reading.labelled)


def _informations(view: View, names: list[str]) -> list[np.ndarray]:
    return [_information(head.layer_features, _spread(head.probabilities)) for head in _heads(view, names)]


def _trace_factors(head: Head, axes: np.ndarray | None) -> np.ndarray:
    return _row_factors(head.probabilities, _project(head.layer_features, axes), full=False)


def _keep_factors(view: View, names: list[str], axes: list[np.ndarray | None]) -> list[np.ndarray]:
    """Make the rows' factors by every head, and return the sums of their information."""
    pairs = zip(_heads(view, names), axes, strict=True)
    view.kept["factors"] = [head.spread(_trace_factors(head, own)) for head, own in pairs]
    return [_gram(factors) for factors in view.kept["factors"]]


def _begin(
    view: View,
    names: list[str],
    axes: list[np.ndarray | None],
    targets: list[np.ndarray],
    settings: tuple[int, int, float],
) -> tuple:
    searches = []
    for head, own, factors, target in zip(_heads(view, names), axes, view.kept.pop("factors"), targets, strict=True):
        known = _gram(_trace_factors(head.labelled, own)) if len(head.labelled) else None
        searches.append(_search(factors, *settings, target, known))
    candidates = view.reading.candidates
    left = np.ones(len(view.reading), dtype=bool) if candidates is None else candidates.copy()
    view.kept["forward"] = _Forward(searches, left)
    return view.kept["forward"].best()


def _go_on(view: View, chosen: list[np.ndarray], own: list[int]) -> tuple:
    view.kept["forward"].take(chosen, own)
    return view.kept["forward"].best()


def _state(view: View) -> list[_Search]:
    """Where the search is, without rows: the inverse and what is to be matched, the same on every shard."""
    return [each.without_rows() for each in view.kept["forward"].searches]
