"""Scaling of the modalities to one weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.utils.validation import check_is_fitted

from skmmal._arrays import fill
from skmmal._block_transformer import BlockTransformer, check_squares, input_labels, is_plain, present_chunks
from skmmal._sklearn import Interval, StrOptions, fit_context
from skmmal.modalities import MultimodalArray
from skmmal.modalities._array import on_demand
from skmmal.modalities._layout import n_columns_of
from skmmal.modalities._lazy import LazyBlock, is_large

__all__ = ["ModalityScaler"]


class ModalityScaler(OneToOneFeatureMixin, BlockTransformer):
    """Bring every modality to the same scale, so that none outweighs another by its width or its units.

    Fit it on *all* features, the pool's too: it uses no labels. Missing blocks are left out of the statistics and
    stay missing (NaN).

    Parameters
    ----------
    modalities : mapping, optional
        The layout of a plain matrix (:doc:`/how_to/data`); other forms of X carry their own.
    method : {"standard", "l2", "none"}, default="standard"
        ``"standard"``: centre and standardise every column, then multiply the block so that its rows have a
        root-mean-square norm of `norm`. Constant columns become zero: those whose values differ by no more than their
        type rounds at their size. ``"l2"``: give every row of the block the norm
        `norm`. ``"none"``: leave the features as they are, the papers' raw behaviour.
    norm : float, default=8.0
        Root-mean-square norm of a block's rows after scaling.

    Attributes
    ----------
    mean_ : dict of str to ndarray of shape (n_columns,)
        Column means over the rows that have the modality.
    scale_ : dict of str to ndarray of shape (n_columns,)
        What the centred columns are multiplied by.
    modalities_ : dict of str to slice or ndarray
        Columns of each modality.
    n_features_in_ : int
        Columns of all modalities together.
    feature_names_in_ : ndarray of str
        Column names, where X had any.

    See Also
    --------
    PerModality : Any scikit-learn transformer, one for each modality.

    Notes
    -----
    Raw blocks are dominated by whatever has the largest values or the most columns: logistic heads regularise them
    unequally, and distances between gradient embeddings see little else. What that costs: :doc:`/results/strategies`.
    float64 features stay float64, everything else becomes float32.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal import ModalityScaler, MultimodalArray
    >>> rng = np.random.default_rng(0)
    >>> A = MultimodalArray({"a": rng.normal(5, 100, (50, 20)), "b": rng.normal(0, 0.01, (50, 3))})
    >>> scaled = ModalityScaler().fit_transform(A)
    >>> [round(float(np.sqrt((scaled[name] ** 2).sum(1).mean())), 6) for name in ("a", "b")]
    [8.0, 8.0]
    """

    _parameter_constraints: dict = {
        "modalities": [Mapping, None],
        "method": [StrOptions({"standard", "l2", "none"})],
        "norm": [Interval(Real, 0, None, closed="neither")],
    }

    _made_by_fit = ("mean_", "scale_")

    def __init__(
        self, modalities: Mapping[str, Any] | None = None, method: str = "standard", norm: float = 8.0
    ) -> None:
        self.modalities = modalities
        self.method = method
        self.norm = norm

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> ModalityScaler:
        """Learn each column's mean and scale.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            All features there are, labelled or not; a `skmmal.distributed.ShardedPool`, too, whose rows stay where
            they are.
        y : None
            Ignored.

        Returns
        -------
        ModalityScaler
        """
        on_workers = hasattr(X, "ask_block")
        blocks, present = self._read_for_fit(X.take([0]) if on_workers else X)
        means, scales = {}, {}
        for m, (name, block) in enumerate(blocks.items()):
            if self.method != "standard":
                means[name], scales[name] = np.zeros(block.shape[1]), np.ones(block.shape[1])
                continue
            ask = partial(X.ask_block, name) if on_workers else partial(_asked, block, present[:, m])
            with np.errstate(over="ignore", invalid="ignore"):
                means[name], deviation = _moments(ask)
                squares = deviation**2
            check_squares(name, squares)
            varies = deviation > 0
            # every standardised column adds 1 to a row's mean squared norm
            share = self.norm / np.sqrt(max(1, int(varies.sum())))
            scales[name] = np.divide(share, deviation, out=np.zeros(len(deviation)), where=varies)
        self.mean_: dict[str, np.ndarray] = means
        self.scale_: dict[str, np.ndarray] = scales
        return self

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns, one modality after the other.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of X's columns; by default those seen in `fit`, or ``"x0"``, ``"x1"``, ... A modality's own columns
            are prefixed with its name (``"image__x0"``) where X came in blocks.

        Returns
        -------
        ndarray of str
        """
        names = super().get_feature_names_out(input_features)
        if input_features is None and not hasattr(self, "feature_names_in_") and not is_plain(self):
            owners = [name for name, width in self._widths.items() for _ in range(n_columns_of(width))]
            pairs = zip(owners, input_labels(self), strict=True)
            return np.array([f"{name}__{label}" for name, label in pairs], dtype=object)
        return np.concatenate([names[columns] for columns in self.modalities_.values()])

    def _labels(self) -> list[Any]:
        return input_labels(self)

    def _grids(self) -> dict[str, Any]:
        return self._widths  # token grids stay grids

    def transform_on_demand(self, X: Any) -> MultimodalArray:
        """Scale rows when they are asked for, where they lie in files: no scaled copy of them is made.

        Parameters
        ----------
        X : mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on. Blocks in memory are scaled at once.

        Returns
        -------
        MultimodalArray
            The same values as of `transform_blocks`.
        """
        check_is_fitted(self)
        blocks, present = self._read(X, reset=False)
        scaled: dict[str, Any] = {}
        for m, (name, block) in enumerate(blocks.items()):
            if is_large(block):
                there = present[:, m]
                scaled[name] = LazyBlock(block, partial(self._scaled, name), _scaled_dtype(block), present=there)
            else:
                scaled[name] = self._transform_block(name, block, present[:, m])
        return MultimodalArray(scaled, self._grids())

    def _transform_block(self, name: str, block: np.ndarray, present: np.ndarray) -> np.ndarray:
        return np.asarray(LazyBlock(block, partial(self._scaled, name), _scaled_dtype(block), present=present))

    def _scaled(self, name: str, rows: np.ndarray, out: np.ndarray) -> None:
        """Put rows of a block, scaled, into an array; they may be absent.

        They are scaled in float64, but those of float16, which has half of the digits, in float32.
        """
        is_half = rows.dtype == np.float16 and out.dtype == np.float32
        values = out if is_half else np.empty(rows.shape)
        fill(values, rows)
        if self.method == "standard":
            values -= self.mean_[name].astype(values.dtype, copy=False)
            values *= self.scale_[name].astype(values.dtype, copy=False)
        elif self.method == "l2":
            # the largest is taken out first: squares may overflow, or vanish
            values /= _or_one(np.abs(values).max(axis=1, keepdims=True))
            length = np.sqrt((values**2).sum(axis=1, keepdims=True))
            values *= self.norm
            values /= _or_one(length)
        if values is not out:
            out[:] = values


def _or_one(lengths: np.ndarray) -> np.ndarray:
    """Lengths to divide by: one in place of those that are zero, or of absent rows."""
    return np.where(lengths > 0, lengths, lengths.dtype.type(1))


def on_one_scale(X: MultimodalArray, method: str) -> MultimodalArray:
    """Rows as a scaler that was fitted on all of them scales them; those in files when they are asked for.

    Parameters
    ----------
    X : MultimodalArray
    method : {"standard", "l2", "none"}

    Returns
    -------
    MultimodalArray
    """
    return on_demand(X) if method == "none" else ModalityScaler(method=method).fit(X).transform_on_demand(X)


def _scaled_dtype(block: np.ndarray) -> type:
    return np.float64 if block.dtype == np.float64 else np.float32


_ROUNDED = 2
"""Steps of a floating-point type that two roundings of the same number can lie apart."""


def _asked(block: np.ndarray, present: np.ndarray, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    return [function(block, present, *arguments)]


Ask = Callable[..., list[Any]]
"""Calls a function with a block and which rows have it, then further arguments, for every part of the rows."""


def _moments(ask: Ask) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the columns over present rows, in one or two passes of bounded size.

    Constant columns have deviation zero: those whose values do not differ, or by no more than the type that they come
    in rounds at their size. What is small beside the mean alone is no rounding: times in seconds since 1970 vary in
    the seventh digit.
    """
    firsts = ask(_first_row)
    origin = next((row for row, _ in firsts if row is not None), None)
    if origin is None:
        n_columns = firsts[0][1].shape[0]
        return np.zeros(n_columns), np.zeros(n_columns)
    # from one of the values on, nothing of the column's offset is left to be rounded
    counts, totals, powers, lows, highs, kinds = zip(*ask(_offsets, origin), strict=True)
    count, low, high, kind = sum(counts), np.min(lows, axis=0), np.max(highs, axis=0), np.result_type(*kinds)
    shift, spread = np.sum(totals, axis=0) / count, high - low
    largest = np.maximum(np.abs(origin + low), np.abs(origin + high))
    varies = spread > _ROUNDED * np.finfo(kind).eps * largest
    if kind == np.float64:
        spread = np.where(varies, spread, 1.0)
        squares, rest = (np.sum(parts, axis=0) for parts in zip(*ask(_squares, origin, shift, spread), strict=True))
        rest /= count  # what rounding left of the mean
        mean = origin + (shift + rest * spread)
        deviation = spread * np.sqrt(np.maximum(squares / count - rest**2, 0.0))
    else:  # narrower numbers' squares neither overflow nor vanish, and no row's distance to the mean drowns the others'
        mean = origin + shift
        deviation = np.sqrt(np.maximum(np.sum(powers, axis=0) / count - shift**2, 0.0))
    # below it the factor that brings a column to its scale would overflow
    varies &= deviation >= np.finfo(np.float64).tiny
    return mean, np.where(varies, deviation, 0.0)


def _first_row(block: np.ndarray, present: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """The first row that has the modality, if any has, and a row of zeros."""
    rows_there = np.flatnonzero(present)
    first = block[rows_there[0]].astype(np.float64) if len(rows_there) else None
    return first, np.zeros(block.shape[1])


def _offsets(block: np.ndarray, present: np.ndarray, origin: np.ndarray) -> tuple:
    """How many rows are there; sum, sum of squares, least and largest of what they are off `origin`; their type."""
    total, power, low, high = np.zeros((4, len(origin)))
    for offsets in present_chunks(block, present):
        offsets -= origin
        total += offsets.sum(axis=0)
        power += np.einsum("ij,ij->j", offsets, offsets)
        np.minimum(low, offsets.min(axis=0), out=low)
        np.maximum(high, offsets.max(axis=0), out=high)
    kind = block.dtype if block.dtype.kind == "f" else np.dtype(np.float64)
    return int(present.sum()), total, power, low, high, kind


def _squares(
    block: np.ndarray, present: np.ndarray, origin: np.ndarray, shift: np.ndarray, spread: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the squares, and of what is left, of values in units of their spread."""
    squares, rest = np.zeros(len(origin)), np.zeros(len(origin))
    for offsets in present_chunks(block, present):
        offsets -= origin
        offsets -= shift
        offsets /= spread  # in these units squares neither overflow nor vanish
        squares += np.einsum("ij,ij->j", offsets, offsets)
        rest += offsets.sum(axis=0)
    return squares, rest
