"""Scaling that lets every modality weigh the same."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from skmmal._input import BlockTransformer, validate_features
from skmmal._mapped import released_chunks
from skmmal.modalities import MultimodalArray, presence_mask

__all__ = ["ModalityScaler"]


class ModalityScaler(OneToOneFeatureMixin, BlockTransformer):
    """Bring every modality to the same scale, so that none outweighs another by its width or its units.

    Fit it on *all* features, the pool's too: it uses no labels. Missing blocks are left out of the statistics and
    stay missing (NaN).

    Parameters
    ----------
    modalities : mapping, optional
        The layout of a plain matrix (see the README); other forms of X carry their own.
    method : {"standard", "l2", "none"}, default="standard"
        ``"standard"``: centre and standardise every column (constant columns become zero), then multiply the block
        so that its rows have a root-mean-square norm of `norm`. ``"l2"``: give every row of the block the norm
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

    Notes
    -----
    Raw blocks are dominated by whatever has the largest values or the most columns: logistic heads regularise them
    unequally, and distances between gradient embeddings see little else. The README shows what that costs.
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

    def __init__(
        self, modalities: Mapping[str, Any] | None = None, method: str = "standard", norm: float = 8.0
    ) -> None:
        self.modalities = modalities
        self.method = method
        self.norm = norm

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> ModalityScaler:
        """Learn each column's mean and scale.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        ModalityScaler
        """
        for name in ("mean_", "scale_"):  # a fit that fails leaves nothing fitted
            self.__dict__.pop(name, None)
        features = validate_features(self, X, reset=True)
        present = presence_mask(features)
        self.mean_: dict[str, np.ndarray] = {}
        self.scale_: dict[str, np.ndarray] = {}
        for index, (name, block) in enumerate(features.blocks.items()):
            if self.method != "standard":
                self.mean_[name], self.scale_[name] = np.zeros(block.shape[1]), np.ones(block.shape[1])
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                mean, variance = _moments(block, present[:, index])
            if not np.isfinite(variance).all():
                del self.mean_, self.scale_
                raise ValueError(f"modality {name!r} holds values that are too large to be squared; divide them first")
            # rounding leaves a constant column a tiny variance
            varies = variance > 1e-12 * (mean**2 + variance)
            n_varying = max(1, int(varies.sum()))
            scale = np.zeros(len(mean))
            # every standardised column adds 1 to a row's mean squared norm
            np.divide(self.norm / np.sqrt(n_varying), np.sqrt(variance), out=scale, where=varies)
            self.mean_[name], self.scale_[name] = mean, scale
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "scale_")

    def _as_blocks(self, blocks: dict[str, np.ndarray], features: MultimodalArray) -> MultimodalArray:
        return MultimodalArray(blocks, features.modalities)  # token grids stay grids

    def _as_matrix(self, blocks: dict[str, np.ndarray]) -> np.ndarray:
        shape = len(next(iter(blocks.values()))), self.n_features_in_
        matrix = np.empty(shape, dtype=np.result_type(*(block.dtype for block in blocks.values())))
        for name, columns in self.modalities_.items():  # columns in their places
            matrix[:, columns] = blocks[name]
        return matrix

    def _transform_block(self, name: str, block: np.ndarray, present: np.ndarray) -> np.ndarray:
        dtype = np.float64 if block.dtype == np.float64 else np.float32
        out = np.empty(block.shape, dtype=dtype)
        for rows in released_chunks([block], block.shape[1]):
            values = block[rows].astype(np.float64)
            if self.method == "standard":
                values = (values - self.mean_[name]) * self.scale_[name]
            elif self.method == "l2":
                largest = np.abs(values).max(axis=1, keepdims=True)  # taken out first: squares may overflow, or vanish
                values = np.divide(values, largest, out=np.zeros_like(values), where=largest > 0)
                length = np.sqrt((values**2).sum(axis=1, keepdims=True))
                values = np.divide(self.norm * values, length, out=np.zeros_like(values), where=length > 0)
            out[rows] = values
        out[~present] = np.nan
        return out


def _moments(block: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the columns over present rows, in two passes of bounded size."""
    count = max(1, int(present.sum()))
    mean = np.zeros(block.shape[1])
    variance = np.zeros(block.shape[1])
    for rows in released_chunks([block], block.shape[1]):
        mean += block[rows][present[rows]].sum(axis=0, dtype=np.float64)
    mean /= count
    for rows in released_chunks([block], block.shape[1]):
        variance += ((block[rows][present[rows]].astype(np.float64) - mean) ** 2).sum(axis=0)
    return mean, variance / count
