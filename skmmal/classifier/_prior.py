"""Knowledge that is there before labels: prior probabilities, and how a classifier multiplies them in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from skmmal._arrays import at_least_float32
from skmmal._labels import known_codes
from skmmal._probabilities import check_distribution
from skmmal._sklearn import Interval
from skmmal.modalities import MultimodalArray, as_multimodal, is_multimodal
from skmmal.modalities._containers import n_rows_of
from skmmal.modalities._input import split_prior
from skmmal.reading import FUSED
from skmmal.reading._held_out import folds
from skmmal.reading._linear_heads import LinearSource

if TYPE_CHECKING:
    from skmmal.reading._linear import LinearHead

__all__ = [
    "LinearSourceWithPrior",
    "PriorMixin",
    "ZeroShotPrior",
    "absent_row",
    "log_prior",
    "prior_classes",
    "prior_weight",
    "room_for_unmet",
]

_SMALLEST = 1e-12
"""What a prior says of a class is not taken for less: no label could outweigh it."""
_N_FOLDS = 5


class ZeroShotPrior(ClassifierMixin, BaseEstimator):
    """Class probabilities from the embeddings of the classes' names: ``p(c) ∝ exp(cos(x, t_c) / temperature)``.

    For modalities whose features share a space with texts, such as those of a CLIP-like model or, for texts, of any
    sentence encoder. It needs no labels; a `LateFusionClassifier` takes it as its `prior`.

    Parameters
    ----------
    class_embeddings : mapping of str to array-like of shape (n_classes, d) or (n_classes, n_prompts, d)
        By modality, an embedding t_c for each class, by the model that made the modality's features. Several prompts
        of a class are averaged after each was scaled to length one.
    temperature : float, default=0.01
        The smaller, the surer. CLIP's own is 0.01; sentence encoders want about 0.05.
    classes : array-like of shape (n_classes,), optional
        Names of the classes, in the order of the embeddings; by default 0 to n_classes − 1.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)

    Notes
    -----
    With several modalities the cosine is the mean over those that a row has. A row that has none of them gets the same
    probability for every class. Cosines are those of the features as they come: `ModalityScaler` with the method
    ``"standard"`` moves them, so that names and rows no longer share a space, ``"l2"`` does not. Where features are to
    be standardized, make the probabilities before, and give them to the classifier as a block.

    References
    ----------
    .. [1] Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021,
       section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.classifier import ZeroShotPrior
    >>> prior = ZeroShotPrior({"text": [[1.0, 0.0], [0.0, 1.0]]}, temperature=0.5, classes=["cat", "dog"])
    >>> prior.predict({"text": np.array([[2.0, 0.1], [0.0, 3.0]])})
    array(['cat', 'dog'], dtype='<U3')
    """

    _parameter_constraints: dict = {
        "class_embeddings": [Mapping],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "classes": ["array-like", None],
    }

    def __init__(self, class_embeddings: Mapping[str, Any], temperature: float = 0.01, *, classes: Any = None) -> None:
        self.class_embeddings = class_embeddings
        self.temperature = temperature
        self.classes = classes

    @classmethod
    def from_store(
        cls, path: str | os.PathLike[str], modalities: Mapping[str, str] | None = None, temperature: float = 0.01
    ) -> ZeroShotPrior:
        """Make a prior of a cache of class names, whose ids are the classes.

        ``skmmal featurize text classes.txt --lines --prompt "a photo of a {}" --normalize --model ... --out names``
        makes one.

        Parameters
        ----------
        path : path-like
            A feature cache.
        modalities : mapping of str to str, optional
            Modality of the data to modality of the cache, such as ``{"image": "text"}`` for a model of two towers.
            Default: each by its own name.
        temperature : float, default=0.01
            As of the class.

        Returns
        -------
        ZeroShotPrior

        Raises
        ------
        ValueError
            The cache does not have a modality, or not for every class.

        Examples
        --------
        >>> import tempfile, numpy as np
        >>> from skmmal import FeatureStore
        >>> names = FeatureStore.write(tempfile.mkdtemp() + "/names", {"text": np.eye(2)}, ids=["cat", "dog"])
        >>> ZeroShotPrior.from_store(names.path, {"image": "text"}).classes_
        array(['cat', 'dog'], dtype='<U3')
        """
        from skmmal.features import FeatureStore

        store = FeatureStore.open(path)
        modalities = modalities or {name: name for name in store.modalities}
        embeddings = {}
        for name, kept_as in modalities.items():
            if kept_as not in store.modalities:
                raise ValueError(f"{store.path} has no modality {kept_as!r}; it has {list(store.modalities)}")
            if not store.present(kept_as).all():
                absent = store.ids[np.flatnonzero(~store.present(kept_as))[0]]
                raise ValueError(f"{store.path} has no embedding of the class {str(absent)!r}; see its errors.jsonl")
            embeddings[name] = np.asarray(store.load(modalities=[kept_as])[kept_as], dtype=np.float64)
        return cls(embeddings, temperature, classes=store.ids)

    def fit(self, X: Any = None, y: Any = None) -> ZeroShotPrior:
        """Check the parameters; nothing is learned.

        Parameters
        ----------
        X, y : object, optional
            Not used.

        Returns
        -------
        ZeroShotPrior
        """
        self._validate_params()
        self._directions()
        return self

    @property
    def classes_(self) -> np.ndarray:
        """Names of the classes."""
        n_classes = len(next(iter(self._directions().values())))
        names = np.arange(n_classes) if self.classes is None else np.asarray(self.classes)
        if names.shape != (n_classes,):
            raise ValueError(f"classes has shape {names.shape}, and class_embeddings has {n_classes} classes")
        return names

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities.

        Parameters
        ----------
        X : DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows, with the modalities of `class_embeddings` among theirs.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes)

        Raises
        ------
        ValueError
            X lacks a modality, or has it in another width; or the embeddings do not go together.
        """
        self._validate_params()
        blocks = as_multimodal(X)
        cosines = np.zeros((len(blocks), len(self.classes_)))
        n_present = np.zeros((len(blocks), 1))
        for name, directions in self._directions().items():
            if name not in blocks.modalities:
                raise ValueError(
                    f"class_embeddings has the modality {name!r}, and X has {list(blocks.modalities)}: give X as blocks"
                )
            block = at_least_float32(np.asarray(blocks[name]))
            if block.shape[1] != directions.shape[1]:
                raise ValueError(
                    f"modality {name!r}: X has {block.shape[1]} columns, class_embeddings {directions.shape[1]}"
                )
            there = ~np.isnan(block[:, 0])
            cosines[there] += _unit(block[there]) @ directions.T
            n_present += there[:, None]
        return softmax(cosines / np.maximum(n_present, 1.0) / self.temperature, axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class.

        Parameters
        ----------
        X : DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _directions(self) -> dict[str, np.ndarray]:
        """Embedding (K, d) of length one for each class, by modality."""
        if not self.class_embeddings:
            raise ValueError("class_embeddings is empty: it needs one array for a modality at least")
        directions = {}
        for name, given in self.class_embeddings.items():
            values = np.asarray(given, dtype=np.float64)
            if values.ndim not in (2, 3) or 0 in values.shape or not np.isfinite(values).all():
                raise ValueError(
                    f"class_embeddings[{name!r}] must be finite, of shape (n_classes, d) or (n_classes, n_prompts, d), "
                    f"found {values.shape}"
                )
            directions[name] = _unit(values if values.ndim == 2 else _unit(values).mean(axis=1))
        if len({len(values) for values in directions.values()}) > 1:
            shapes = {name: len(values) for name, values in directions.items()}
            raise ValueError(f"class_embeddings has different numbers of classes: {shapes}")
        return directions

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _unit(values: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.where(norms > 0, norms, 1.0)


# ------------------------------------------------------------------------------------- the prior of a classifier


def prior_classes(prior: Any) -> np.ndarray | None:
    """Names of the classes that a prior knows, if it says so.

    Parameters
    ----------
    prior : object, str or None
        As of `LateFusionClassifier`.

    Returns
    -------
    ndarray of shape (n_classes,) or None
    """
    names = getattr(prior, "classes_", None)
    return None if names is None else np.asarray(names)


def log_prior(estimator: Any, X: Any) -> np.ndarray:
    """Logarithms of the prior probabilities of rows, in the columns of the classifier's classes.

    Parameters
    ----------
    estimator : LateFusionClassifier
        With a `prior` and ``classes_``.
    X : container of rows
        As the classifier sees them, the prior's block among them.

    Returns
    -------
    ndarray of float64, shape (n, K)
        A row in which the prior's block is missing gets the same for every class.
    """
    prior, names = estimator.prior, estimator.classes_
    _, block = split_prior(estimator, X)
    if block is None:
        if not hasattr(prior, "predict_proba"):
            raise TypeError(f"prior must be the name of a block of X, or have predict_proba; got {prior!r}")
        said, source = np.asarray(prior.predict_proba(X)), f"prior: {type(prior).__name__}.predict_proba"
        there = np.ones(n_rows_of(X), dtype=bool)
    else:
        said, source = np.asarray(block, dtype=np.float64), f"prior={prior!r}: the block"
        there = ~np.isnan(said).all(axis=1)
    known = prior_classes(prior)
    columns = np.arange(len(names)) if known is None else known_codes(names, known, "classes, beside prior's")
    n_columns = len(names) if known is None else len(known)
    if said.ndim == 2 and said.shape[1] != n_columns:
        raise ValueError(
            f"{source} has {said.shape[1]} columns, expected one for each of {n_columns} classes; where y does not "
            "hold all of them, name them: fit(X, y, classes=...)"
        )
    found = np.zeros((n_rows_of(X), len(names)))
    rows = np.flatnonzero(there)
    said = said if there.all() else said[rows]
    checked = check_distribution(said, n_rows=len(rows), n_classes=n_columns, source=source, argument="X", rows=rows)
    found[there] = log_softmax(np.log(np.maximum(checked[:, columns], _SMALLEST)), axis=1)
    return found


def absent_row(X: Any) -> Any:
    """A row without values, in the columns of an X without rows."""
    if is_multimodal(X):
        blocks = as_multimodal(X).blocks
        return MultimodalArray({name: np.full((1, *block.shape[1:]), np.nan) for name, block in blocks.items()})
    return np.full((1, np.shape(X)[1]), np.nan)


def room_for_unmet(n_rows: int, n_classes: int) -> float:
    """Probability of a class of which a model has not met a row: Laplace's rule of succession."""
    return 1.0 / (n_rows + n_classes)


def over_all_classes(logits: np.ndarray, met: np.ndarray, room: float) -> np.ndarray:
    """Log-probabilities of a model that leaves room for the classes that it has not met; the others share the rest.

    Parameters
    ----------
    logits : ndarray of shape (n, K)
        The model's.
    met : ndarray of bool, shape (K,)
        Which classes have training rows.
    room : float
        Probability of each of the others (`room_for_unmet`).

    Returns
    -------
    ndarray of shape (n, K)
    """
    found = np.full(logits.shape, np.log(room))
    if met.any():
        found[:, met] = log_softmax(logits[:, met], axis=1) + np.log1p(-room * (~met).sum())
    return found


def prior_weight(
    estimator: Any, features: MultimodalArray, codes: np.ndarray, weights: np.ndarray, logs: np.ndarray
) -> float:
    """Weight of the prior in the product: that of least log loss on rows held out.

    The loss, a sum over the labelled rows, has the term ``½ (weight − 1)²`` beside it: few rows leave it near one.

    Parameters
    ----------
    estimator : LateFusionClassifier
        Clones of it are fitted on folds.
    features : MultimodalArray of shape (n, n_features)
    codes : ndarray of int, shape (n,)
        Columns of the classes.
    weights : ndarray of shape (n,)
        Of the rows.
    logs : ndarray of shape (n, K)
        Logarithms of the prior probabilities.

    Returns
    -------
    float
        Between 0 and 10.
    """
    if len(codes) < 2:
        return 1.0
    held_out = np.empty_like(logs)
    for train, test in folds(codes, _N_FOLDS, seed=0):
        model = clone(estimator).set_params(prior=None, modalities=None, warm_start=False, class_weight=None)
        model.fit(features[train], codes[train], weights[train], classes=np.arange(logs.shape[1]))
        (logits,) = model.read(features[test]).source.forward(lambda part: [part.fused_logits()])
        room = room_for_unmet(len(train), logs.shape[1])
        held_out[test] = over_all_classes(logits, model.heads_.met[0], room)

    def loss(weight: float) -> float:
        right = log_softmax(held_out + weight * logs, axis=1)[np.arange(len(codes)), codes]
        return float(-weights @ right + 0.5 * (weight - 1.0) ** 2)

    return float(minimize_scalar(loss, bounds=(0.0, 10.0), method="bounded").x)


class _PassWithPrior:
    """A pass of rows whose fused head knows the prior."""

    def __init__(self, part: Any, final: Any, logs: np.ndarray) -> None:
        self._part, self._final, self._logs = part, final, logs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

    def fused_logits(self) -> np.ndarray:
        own = over_all_classes(self._part.fused_logits(), self._final.heads_.met[0], self._final.unmet_probability_)
        return own + self._final.prior_weight_ * self._logs


class PriorMixin:
    """A source whose fused head is multiplied by the prior; the modalities' heads and shares are the model's own."""

    final: Any
    X: Any
    probabilities: np.ndarray

    @cached_property
    def _log_prior(self) -> np.ndarray:
        return log_prior(self.final, self.X)

    @property
    def prior_probabilities(self) -> np.ndarray:
        """What the prior says, shape (N, K)."""
        return np.exp(self._log_prior)

    def _pass(self, rows: slice, **options: Any) -> Any:
        part = super()._pass(rows, **options)  # type: ignore[misc]
        return _PassWithPrior(part, self.final, self._log_prior[rows])

    def shapley_values(self, targets: np.ndarray | None = None, **options: Any) -> list[np.ndarray]:
        # by default of the class that is predicted with the prior
        if targets is None:
            targets = self.probabilities.argmax(axis=1)
        return super().shapley_values(targets, **options)  # type: ignore[misc]

    def linear_head(self, head: str, width: int) -> LinearHead | None:
        # the prior is not linear in the features
        return None if head == FUSED else super().linear_head(head, width)  # type: ignore[misc]

    def logits_at(self, head: str, features: np.ndarray) -> np.ndarray | None:
        # nor known elsewhere
        return None if head == FUSED else super().logits_at(head, features)  # type: ignore[misc]


class LinearSourceWithPrior(PriorMixin, LinearSource):
    """What a classifier with linear heads and a prior says of rows; parameters as of `LateFusionSource`."""
