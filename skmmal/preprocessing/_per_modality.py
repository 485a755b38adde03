"""Any scikit-learn transformer on every modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skmmal._arrays import as_array, naming
from skmmal._block_transformer import BlockTransformer, input_labels, is_plain
from skmmal._sklearn import HasMethods, StrOptions, check_feature_names_in, fit_context, num_samples
from skmmal.modalities import MultimodalArray, presence_mask
from skmmal.modalities._containers import is_mapping, take_rows
from skmmal.modalities._input import validate_features
from skmmal.modalities._layout import n_columns_of
from skmmal.modalities._rows import check_same_rows, rows_of
from skmmal.modalities._tables import in_memory

__all__ = ["PerModality"]


class PerModality(BlockTransformer):
    """Apply a scikit-learn transformer to every modality on its own, and keep them apart.

    A scikit-learn transformer makes one matrix of several modalities; whatever stands behind it then knows of one
    only. This one fits a clone of it on each modality's block. Missing blocks are left out of the fit and stay missing
    (NaN).

    Parameters
    ----------
    transformer : transformer, "passthrough", None, or mapping of these, default="passthrough"
        Cloned for every modality; or one for each modality's name. ``"passthrough"`` and ``None`` leave a block as it
        is.
    modalities : mapping, optional
        The layout of a plain matrix (:doc:`/how_to/data`); other forms of X carry their own.

    Attributes
    ----------
    transformers_ : dict of str to transformer
        The fitted ones, ``"passthrough"`` where there is none.
    modalities_ : dict of str to slice or ndarray
        Columns of each modality.
    n_features_in_ : int
        Columns of all modalities together.
    feature_names_in_ : ndarray of str
        Column names, where X had any.

    See Also
    --------
    ModalityScaler : Brings all modalities to the same scale.

    Notes
    -----
    Blocks of a mapping may be scipy sparse matrices (TF-IDF, counts), and so may a plain X, as long as what comes out
    is dense: `sklearn.decomposition.TruncatedSVD` makes it so. A sparse block has no missing rows.

    Parameters of the transformers are reached as ``transformer__n_components``, with a mapping as
    ``transformer__image__n_components`` and, for one of its transformers as a whole, ``transformer__image``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.preprocessing import RobustScaler
    >>> from skmmal import MultimodalArray, PerModality
    >>> rng = np.random.default_rng(0)
    >>> A = MultimodalArray({"image": rng.normal(size=(50, 20)), "text": rng.normal(size=(50, 8))})
    >>> PerModality(PCA(3)).fit_transform(A)
    MultimodalArray(50 rows: image 3, text 3)
    >>> PerModality({"image": PCA(3), "text": RobustScaler()}).fit_transform(A)
    MultimodalArray(50 rows: image 3, text 8)
    """

    _parameter_constraints: dict = {
        "transformer": [HasMethods(["fit", "transform"]), StrOptions({"passthrough"}), Mapping, None],
        "modalities": [Mapping, None],
    }

    _made_by_fit = ("transformers_",)

    def __init__(self, transformer: Any = "passthrough", modalities: Mapping[str, Any] | None = None) -> None:
        self.transformer = transformer
        self.modalities = modalities

    # ----------------------------------------------------------------------------------------------- parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return those of the transformers, too.

        Returns
        -------
        dict of str to object
        """
        params = super().get_params(deep)
        if deep and isinstance(self.transformer, Mapping):
            for name, transformer in self.transformer.items():
                params[f"transformer__{name}"] = transformer
                if hasattr(transformer, "get_params") and not isinstance(transformer, type):
                    inner = transformer.get_params()
                    params |= {f"transformer__{name}__{key}": value for key, value in inner.items()}
        return params

    def set_params(self, **params: Any) -> PerModality:
        """Set parameters.

        Parameters
        ----------
        **params
            Also ``transformer__...`` of a mapping's transformers.

        Returns
        -------
        PerModality
        """
        if "transformer" in params:  # before what is inside of it
            self.transformer = params.pop("transformer")
        if isinstance(self.transformer, Mapping):
            inner = {key: params.pop(key) for key in list(params) if key.startswith("transformer__")}
            for key, value in sorted(inner.items(), key=lambda item: len(item[0])):
                self._set_inner(key.removeprefix("transformer__"), value)
        return super().set_params(**params)

    def _set_inner(self, key: str, value: Any) -> None:
        if key in self.transformer:
            self.transformer = {**self.transformer, key: value}
            return
        owner = next((name for name in self.transformer if key.startswith(f"{name}__")), None)
        if owner is None:
            known = list(self.transformer)
            raise ValueError(f"transformer__{key} is no parameter: transformer names the modalities {known}")
        inner = self.transformer[owner]
        if not hasattr(inner, "set_params"):
            raise ValueError(f"transformer__{key} is no parameter: transformer[{owner!r}] is {inner!r}")
        inner.set_params(**{key.removeprefix(f"{owner}__"): value})

    # -------------------------------------------------------------------------------------------------- fitting

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> PerModality:
        """Fit a transformer on every modality.

        Parameters
        ----------
        X : array-like, DataFrame, sparse matrix, mapping or MultimodalArray of shape (n_samples, n_features)
            A mapping's blocks may be sparse.
        y : array-like of shape (n_samples,), optional
            Passed to the transformers, without the rows that lack the modality.

        Returns
        -------
        PerModality

        Raises
        ------
        TypeError, ValueError
            A modality is missing everywhere, a transformer gives a sparse matrix, or refuses (the message names the
            modality).
        """
        if y is not None:
            check_same_rows({**rows_of(X, "X"), "y": y})
        blocks, present = self._read_for_fit(X)
        chosen = self._chosen(list(blocks))
        if y is not None:
            y = as_array(y) if hasattr(y, "detach") else y
            check_consistent_length(present, y)
        transformers: dict[str, Any] = {}
        self._n_out: dict[str, int] = {}
        with config_context(transform_output="default"):
            for index, (name, block) in enumerate(blocks.items()):
                there = np.flatnonzero(present[:, index])
                if len(there) == 0:
                    raise ValueError(f"modality {name!r} is missing from every row; there is nothing to fit on")
                transformers[name] = "passthrough"
                if chosen[name] not in (None, "passthrough"):
                    rows = block if len(there) == num_samples(block) else block[there]
                    labels = y if y is None or len(there) == len(present) else take_rows(y, there)
                    with naming(f"modality {name!r}"):
                        transformers[name] = clone(chosen[name]).fit(rows, labels)
                self._n_out[name] = _applied(transformers[name], name, block[there[:1]]).shape[1]
        self.transformers_ = transformers
        return self

    def _chosen(self, names: list[str]) -> dict[str, Any]:
        """The transformer of each modality."""
        if not isinstance(self.transformer, Mapping):
            return dict.fromkeys(names, self.transformer)
        for name, given in self.transformer.items():
            if name not in names:
                raise ValueError(f"transformer names the unknown modality {name!r}; there are {names}")
            if given not in (None, "passthrough") and not (hasattr(given, "fit") and hasattr(given, "transform")):
                raise TypeError(f"transformer[{name!r}] must be a transformer, 'passthrough' or None, got {given!r}")
        for name in names:
            if name not in self.transformer:
                raise ValueError(
                    f"transformer says nothing of modality {name!r}; name it, with 'passthrough' to keep it as it is"
                )
        return dict(self.transformer)

    # --------------------------------------------------------------------------------------------- transforming

    def _transform_block(self, name: str, block: Any, present: np.ndarray) -> np.ndarray:
        if present.all():
            return _applied(self.transformers_[name], name, block)
        if not present.any():
            return np.full((len(present), self._n_out[name]), np.nan)
        values = _applied(self.transformers_[name], name, block[np.flatnonzero(present)])
        out = np.full((len(present), values.shape[1]), np.nan, dtype=np.result_type(values.dtype, np.float16))
        out[present] = values
        return out

    def _read(self, X: Any, *, reset: bool) -> tuple[dict[str, Any], np.ndarray]:
        """The blocks of X, sparse ones as they are, and which modality is there in which row."""
        X = in_memory(X)
        if sparse.issparse(X):
            features = validate_features(self, _stand_in(X), reset=reset)
            columns = X.tocsc()
            given_sparse = {name: columns[:, part].tocsr() for name, part in self.modalities_.items()}
        elif is_mapping(X):
            features = validate_features(self, {name: _stand_in(block) for name, block in X.items()}, reset=reset)
            given_sparse = {name: block.tocsr() for name, block in X.items() if sparse.issparse(block)}
        else:
            return super()._read(X, reset=reset)
        for name, block in given_sparse.items():
            if block.dtype.kind not in "biuf":
                raise TypeError(f"modality {name!r}: expected numbers, found a sparse matrix of dtype {block.dtype}")
            if not np.isfinite(block.data).all():
                raise ValueError(f"modality {name!r} is sparse and contains NaN or infinity; those must be complete")
        return {name: given_sparse.get(name, block) for name, block in features.blocks.items()}, presence_mask(features)

    # ---------------------------------------------------------------------------------------------------- names

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the new columns, one modality after the other.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of X's columns; by default those seen in `fit`, or ``"x0"``, ``"x1"``, ...

        Returns
        -------
        ndarray of str
            As the transformers name them, prefixed with the modality (``"image__pca0"``) where X has modalities.
        """
        check_is_fitted(self)
        if is_plain(self):
            (transformer,), (name,) = self.transformers_.values(), self.transformers_
            return _names_out(transformer, check_feature_names_in(self, input_features), self._n_out[name])
        labels = self._labels(input_features)
        owners = [name for name, count in self._n_out.items() for _ in range(count)]
        return np.array([f"{name}__{label}" for name, label in zip(owners, labels, strict=True)], dtype=object)

    def _labels(self, input_features: Any = None) -> list[Any]:
        given = None if input_features is None else check_feature_names_in(self, input_features)
        seen = np.asarray(input_labels(self), dtype=object)
        new: list[Any] = []
        for name, columns in self.modalities_.items():
            count = n_columns_of(self._widths[name])
            own, seen = (seen[:count] if given is None else given[columns]), seen[count:]
            names = np.array([str(label) for label in own], dtype=object)
            new += list(_names_out(self.transformers_[name], names, self._n_out[name]))
        return new

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if isinstance(self.transformer, BaseEstimator):
            inner = get_tags(self.transformer)
            tags.input_tags.sparse = inner.input_tags.sparse
            tags.target_tags.required = inner.target_tags.required
            if inner.transformer_tags is not None:
                tags.transformer_tags.preserves_dtype = inner.transformer_tags.preserves_dtype
        return tags


def _stand_in(block: Any) -> Any:
    """Something of a sparse block's shape that takes no memory and no time to validate; other blocks themselves."""
    return np.broadcast_to(np.zeros(1, dtype=bool), block.shape) if sparse.issparse(block) else block


def _applied(transformer: Any, name: str, block: Any) -> np.ndarray:
    """The new block of rows that have the modality."""
    values = block
    if not isinstance(transformer, str):
        with naming(f"modality {name!r}"):
            values = transformer.transform(block)
    if sparse.issparse(values):
        raise TypeError(
            f"modality {name!r} is sparse after its transformer, and blocks are dense: put "
            "sklearn.decomposition.TruncatedSVD in its place, or behind it in a Pipeline"
        )
    if isinstance(values, MultimodalArray):
        raise TypeError(f"modality {name!r}: its transformer makes blocks of its own; use it without PerModality")
    values = as_array(values)
    if values.ndim != 2 or len(values) != num_samples(block):
        raise ValueError(
            f"modality {name!r}: its transformer returned shape {values.shape} for {num_samples(block)} rows; "
            "expected (n_samples, n_features)"
        )
    return values


def _names_out(transformer: Any, names: np.ndarray, count: int) -> np.ndarray:
    if isinstance(transformer, str):
        return names
    if hasattr(transformer, "get_feature_names_out"):
        with_names = transformer.get_feature_names_out(names)
        return np.asarray(with_names, dtype=object)
    return np.array([f"{type(transformer).__name__.lower()}{at}" for at in range(count)], dtype=object)
