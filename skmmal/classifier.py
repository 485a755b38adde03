"""The late-fusion classifier: one head per modality and one on all of them, over precomputed features."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted

from skmmal._chunks import row_chunks
from skmmal._input import validate_features
from skmmal._persistence import decode, encode, read_folder, write_folder
from skmmal._random import RandomState, check_rng, torch_generator
from skmmal.contributions import contributions, linear_coalition_value, shapley_values
from skmmal.heads import FUSIONS, Encoder, LateFusionModule
from skmmal.heads.fitting import copy_class_rows, fit_convex, is_convex, mute_unseen_classes, wake_seen_classes
from skmmal.heads.training import Batches, train_adamw
from skmmal.modalities import MultimodalArray, presence_mask

__all__ = ["LateFusionClassifier"]

_FORMAT, _VERSION = "skmmal-late-fusion-classifier", 1
_FITTED = (
    "classes_",
    "n_iter_",
    "loss_curve_",
    "n_features_in_",
    "modalities_",
    "_widths",
    "feature_names_in_",
    "_block_feature_names",
)
"""What `save` keeps beside the parameters and the network."""
_CONVEX_SOLVERS = ("newton-cg", "lbfgs")
FUSED = "fused"
"""Key of the fused head beside the modalities' names."""


class LateFusionClassifier(ClassifierMixin, BaseEstimator):
    """Late fusion of precomputed features: a classifier per modality and one on the fused embedding.

    All heads are trained, on the mean of their cross-entropies. A modality may be missing from a row (its block
    is entirely NaN): its embedding is then zero, and its own head does not count the row.

    Parameters
    ----------
    modalities : mapping, optional
        Which columns of a plain matrix belong to which modality: ``{"image": 2048, "text": 768}`` (widths, in
        order), slices, lists of columns or of column names; ``(tokens, dim)`` for a flattened token grid. Other
        forms of X (MultimodalArray, mapping, DataFrame with two column levels) carry their layout. ``None`` on a
        plain matrix is one modality named ``"X"``.
    fusion : {"concat", "sum"} or callable, default="concat"
        ``"concat"``: a linear classifier on the concatenated embeddings. ``"sum"``: the mean of the unimodal
        logits. A callable ``(widths, n_classes, generator)`` returns a `skmmal.heads.Fusion` of your own.
    encoder_dim : int, sequence of int, mapping or None, default=None
        Hidden widths of an MLP encoder for every modality, or by modality name. ``None``: the features themselves.
    dropout : float, default=0.0
        Dropout after every hidden layer (on the features where there is no encoder), in training.
    balancing : None
        Reserved for balanced training.
    missing : {"zero"}, default="zero"
        The embedding of a missing modality.
    modality_dropout : float, default=0.0
        Probability of taking a present modality as missing in a training batch (``adamw`` only).
    solver : {"auto", "newton-cg", "lbfgs", "adamw"}, default="auto"
        ``"newton-cg"`` and ``"lbfgs"`` find the unique optimum of the convex case (no encoder, no dropout, concat
        or sum fusion) in float64; the first is faster. ``"adamw"`` trains in mini-batches in float32 (predictions
        are made in float64). ``"auto"``: ``"newton-cg"`` in the convex case, otherwise ``"adamw"``.
    C : float, default=1.0
        Convex solvers: inverse regularisation as in scikit-learn's ``LogisticRegression``. Each head minimises
        ``C * sum of losses + ½‖W‖²``, intercepts free (with two classes, W is one row as there). With sum fusion
        the heads share their weights, and so do the losses.
    max_iter : int, default=200
        Solver iterations; epochs for ``adamw``.
    tol : float, default=1e-8
        The convex solvers stop when the objective is within `tol`, relatively, of the optimum.
    learning_rate, weight_decay, batch_size
        Of ``adamw``. Intercepts do not decay.
    class_weight : dict, "balanced" or None
        As in scikit-learn.
    warm_start : bool, default=False
        Start from the last fit's weights; the convex solvers reach the same optimum, in fewer
        iterations.
    device : str, default="auto"
        A torch device; ``"auto"`` is CUDA where there is one.
    random_state : int, RandomState, Generator or None
        Draws initial weights, batches and masks of ``adamw``; the convex solvers draw nothing.
    verbose : int, default=0
        ``adamw``: print the loss every `verbose` epochs.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    modalities_ : dict of str to slice or ndarray of int
        Columns of each modality in the packed matrix.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X was a DataFrame with plain string columns.
    module_ : skmmal.heads.LateFusionModule
        The torch network, on the CPU.
    n_iter_ : int
        Iterations of the solver (the most of any head), or epochs.
    loss_curve_ : list of float
        Convex solvers: sum of the heads' objectives from the start on. ``adamw``: mean loss of every epoch.

    See Also
    --------
    skmmal.ModalityScaler : Put it before; raw blocks of different scale cost accuracy.
    skmmal.query.BMMAL : The strategy that uses `embed` and `modality_contributions`.

    Notes
    -----
    With linear heads on fixed features the objective is convex and, for concat fusion, the heads share nothing:
    they are M + 1 separate softmax regressions. With fewer rows than features each is solved in the span of the
    rows. A class without training rows (see `classes` in `fit`) gets probability zero.

    References
    ----------
    .. [1] Shen et al., "Towards balanced active learning for multimodal classification", ACM MM 2023
       (arXiv 2306.08306), sections 3 and 4: the heads, their loss, contributions. Contributions for more than two
       modalities are exact Shapley values, our extension.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier(C=0.01).fit(X[::2], y[::2])
    >>> {name: round(score, 2) for name, score in clf.score_by_modality(X[1::2], y[1::2]).items()}
    {'fou': 0.77, 'zer': 0.82, 'fused': 0.82}
    """

    _parameter_constraints: dict = {
        "modalities": [Mapping, None],
        "fusion": [StrOptions(set(FUSIONS)), callable],
        "encoder_dim": [Interval(Integral, 1, None, closed="left"), "array-like", Mapping, None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "balancing": [None],
        "missing": [StrOptions({"zero"})],
        "modality_dropout": [Interval(Real, 0, 1, closed="left")],
        "solver": [StrOptions({"auto", "adamw", *_CONVEX_SOLVERS})],
        "C": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "warm_start": ["boolean"],
        "device": [str],
        "random_state": ["random_state", np.random.Generator],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        modalities: Mapping[str, Any] | None = None,
        *,
        fusion: str | Callable[..., Any] = "concat",
        encoder_dim: int | Sequence[int] | Mapping[str, Any] | None = None,
        dropout: float = 0.0,
        balancing: None = None,
        missing: str = "zero",
        modality_dropout: float = 0.0,
        solver: str = "auto",
        C: float = 1.0,
        max_iter: int = 200,
        tol: float = 1e-8,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        batch_size: int = 128,
        class_weight: dict | str | None = None,
        warm_start: bool = False,
        device: str = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.modalities = modalities
        self.fusion = fusion
        self.encoder_dim = encoder_dim
        self.dropout = dropout
        self.balancing = balancing
        self.missing = missing
        self.modality_dropout = modality_dropout
        self.solver = solver
        self.C = C
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # ------------------------------------------------------------------------------------------------ fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, classes: Any = None) -> LateFusionClassifier:
        """Train all heads.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels, numbers or strings.
        sample_weight : array-like of shape (n_samples,), optional
            Rows of weight zero do not count.
        classes : array-like of shape (n_classes,), optional
            All classes, in the order of the columns of `predict_proba`; `y` may hold only some of them.

        Returns
        -------
        LateFusionClassifier

        Raises
        ------
        ValueError
            Data that cannot be used (the message names modality and row), labels outside `classes`, or
            parameters that contradict each other.
        """
        former = getattr(self, "module_", None) if self.warm_start else None
        former_classes = getattr(self, "classes_", None)
        features = validate_features(self, X, reset=former is None)
        if FUSED in features.modalities:
            raise ValueError(f"a modality cannot be named {FUSED!r}: that is the key of the fused head's scores")
        present = presence_mask(features)
        codes, names = _encode_labels(self, y, classes, features)
        weights = _check_sample_weight(sample_weight, features, dtype=np.float64, ensure_non_negative=True)
        if sample_weight is not None and not (weights > 0).any():
            raise ValueError("sample_weight is zero for every row; at least one row must count")
        self.classes_ = names
        weights *= compute_sample_weight(self.class_weight, names[codes])
        rng = check_rng(self.random_state)
        module, solver = self._build_module(rng)
        if former is not None:
            _continue_from(former, former_classes, module.to(former.dtype), names)
        self._train(module, solver, features, present, codes, weights, rng, warm=former is not None)
        return self

    def _build_module(self, rng: np.random.RandomState) -> tuple[LateFusionModule, str]:
        generator = torch_generator(rng)
        hidden = _hidden_widths(self.encoder_dim, list(self._widths))
        encoders = []
        for name, width in self._widths.items():
            n_in = width[0] * width[1] if isinstance(width, tuple) else width
            encoders.append(Encoder(n_in, hidden[name], self.dropout, generator))
        make = FUSIONS[self.fusion] if isinstance(self.fusion, str) else self.fusion
        head = make([encoder.n_out for encoder in encoders], len(self.classes_), generator)
        module = LateFusionModule(encoders, head)
        convex = is_convex(module) and self.dropout == 0 and self.modality_dropout == 0
        if self.solver in _CONVEX_SOLVERS and not convex:
            raise ValueError(
                f"solver={self.solver!r} needs the convex case: fusion 'concat' or 'sum', no encoder_dim, dropout=0 "
                "and modality_dropout=0; use solver='adamw'"
            )
        solver = ("newton-cg" if convex else "adamw") if self.solver == "auto" else self.solver
        return module, solver

    def _train(
        self,
        module: LateFusionModule,
        solver: str,
        features: MultimodalArray,
        present: np.ndarray,
        codes: np.ndarray,
        weights: np.ndarray,
        rng: np.random.RandomState,
        *,
        warm: bool,
    ) -> None:
        device = _resolve_device(self.device)
        module.to(torch.float32 if solver == "adamw" else torch.float64)
        counted = np.flatnonzero(weights > 0)
        seen = torch.zeros(len(self.classes_), dtype=torch.bool)
        seen[np.unique(codes[counted])] = True
        everything = _as_batches(features, present, counted, module.dtype, device)
        everything.labels = torch.as_tensor(codes[counted], device=device)
        everything.weights = torch.as_tensor(weights[counted], dtype=module.dtype, device=device)
        if warm:
            wake_seen_classes(module, seen)
        module.to(device)
        if solver == "adamw":
            mute_unseen_classes(module, seen.to(device))
            self.loss_curve_ = train_adamw(
                module,
                everything,
                n_epochs=self.max_iter,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                modality_dropout=self.modality_dropout,
                generator=torch_generator(rng, device),
                verbose=int(self.verbose),
            )
            mute_unseen_classes(module, seen.to(device))
            self.n_iter_ = self.max_iter
        else:
            self.n_iter_, self.loss_curve_ = fit_convex(
                module,
                everything,
                seen.to(device),
                C=self.C,
                solver=solver,
                max_iter=self.max_iter,
                tol=self.tol,
                warm=warm,
            )
        # float64 from here on: predictions then do not depend on which rows are predicted together
        self.module_ = module.to("cpu", torch.float64).eval()

    # --------------------------------------------------------------------------------------------- prediction

    def decision_function(self, X: Any) -> np.ndarray:
        """Fused logits.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes), or (n_samples,) with two classes
            With two classes, the second one's logit minus the first one's.
        """
        (logits,) = self._forward(X, lambda module, z, _: [module.head(z)])
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities of the fused head, shape (n_samples, n_classes), float64."""
        (probabilities,) = self._forward(X, lambda module, z, _: [_softmax(module.head(z))])
        return probabilities

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class of the fused head, shape (n_samples,)."""
        (logits,) = self._forward(X, lambda module, z, _: [module.head(z)])
        return self.classes_[logits.argmax(axis=1)]

    def embed(self, X: Any) -> dict[str, np.ndarray]:
        """Return what the fused classifier sees of each modality.

        Returns
        -------
        dict of str to ndarray of shape (n_samples, D_m)
            An absent modality is zero. Without encoders these are the features: where no conversion is needed, a
            read-only view of X.
        """
        check_is_fitted(self)
        if not self.module_.is_linear:
            return dict(zip(self.modalities_, self._forward(X, lambda module, z, _: z), strict=True))
        features = validate_features(self, X, reset=False)
        present = presence_mask(features)
        return {
            name: _without_nan(block, present[:, index]) for index, (name, block) in enumerate(features.blocks.items())
        }

    def predict_proba_by_modality(self, X: Any) -> dict[str, np.ndarray]:
        """Class probabilities of each modality's own head.

        Returns
        -------
        dict of str to ndarray of shape (n_samples, n_classes)
            Where the modality is absent, what its head says of a zero embedding (its intercept alone).
        """
        found = self._forward(X, lambda module, z, _: [_softmax(s) for s in module.head.unimodal_logits(z)])
        return dict(zip(self.modalities_, found, strict=True))

    def score_by_modality(self, X: Any, y: Any) -> dict[str, float]:
        """Accuracy of each modality's own head on the rows that have it, and of the fused head.

        Returns
        -------
        dict of str to float
            By modality name, then ``"fused"``. NaN for a modality that no row has.
        """
        check_is_fitted(self)
        features = validate_features(self, X, reset=False)
        present = presence_mask(features)
        y = column_or_1d(y)
        check_consistent_length(features, y)

        def predicted(module: LateFusionModule, z: list, _: slice) -> list:
            return [s.argmax(dim=1) for s in (*module.head.unimodal_logits(z), module.head(z))]

        *by_modality, fused = (self.classes_[codes] == y for codes in self._forward(features, predicted))
        scores = {
            name: float(hits[present[:, index]].mean()) if present[:, index].any() else float("nan")
            for index, (name, hits) in enumerate(zip(self.modalities_, by_modality, strict=True))
        }
        return {**scores, FUSED: float(fused.mean())}

    # ------------------------------------------------------------------------------------------ contributions

    def shapley_values(self, X: Any, y: Any = None) -> np.ndarray:
        """Shapley values of the modalities for the probability of a class.

        The value of a coalition is the fused head's probability with the other modalities' embeddings set to zero.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray
        y : array-like of shape (n_samples,), optional
            The classes; by default the predicted ones.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_modalities)
            Rows sum to (probability with all modalities) − (with none); an absent modality has zero.
        """
        check_is_fitted(self)
        targets = None if y is None else _known_codes(column_or_1d(y), self.classes_, "y")
        features = validate_features(self, X, reset=False)
        present = presence_mask(features)
        if targets is not None:
            check_consistent_length(features, targets)

        def values(module: LateFusionModule, z: list[torch.Tensor], rows: slice) -> list[np.ndarray]:
            target = module.head(z).argmax(dim=1).cpu().numpy() if targets is None else targets[rows]
            # an absent modality changes no coalition's value: its Shapley value is zero, but for rounding
            return [shapley_values(_coalition_value(module, z, target), len(z)) * present[rows]]

        return self._forward(features, values)[0]

    def modality_contributions(self, X: Any, y: Any = None) -> np.ndarray:
        """Share of each modality in the probability of a class: normalised absolute Shapley values.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray
        y : array-like of shape (n_samples,), optional
            The classes; by default the predicted ones.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_modalities)
            Rows sum to one; an absent modality has zero.
        """
        check_is_fitted(self)
        features = validate_features(self, X, reset=False)
        return contributions(self.shapley_values(features, y), presence_mask(features))

    def _forward(self, X: Any, function: Callable[[LateFusionModule, list, slice], Sequence]) -> list[np.ndarray]:
        """Embed X chunk by chunk and stack what `function` makes of the embeddings."""
        check_is_fitted(self)
        features = validate_features(self, X, reset=False)
        present = presence_mask(features)
        device = _resolve_device(self.device)
        module = self.module_ if device.type == "cpu" else copy.deepcopy(self.module_).to(device)
        found = []
        with torch.inference_mode():
            for rows in row_chunks(*features.shape):
                batch = _as_batches(features, present, rows, module.dtype, device)
                parts = function(module, module.embed(batch.blocks, batch.present), rows)
                found.append([part if isinstance(part, np.ndarray) else _to_numpy(part) for part in parts])
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    # -------------------------------------------------------------------------------------------- persistence

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted estimator to a folder: weights as safetensors, the rest as JSON, no pickle.

        Parameters
        ----------
        path : path-like
            A new or empty folder, or one that `save` wrote before.

        Raises
        ------
        TypeError
            A parameter cannot be written without pickle (a `fusion` callable, a RandomState object).
        FileExistsError
            The folder holds something else.
        """
        check_is_fitted(self)
        description = {
            "format": _FORMAT,
            "version": _VERSION,
            "parameters": {name: encode(name, value) for name, value in self.get_params(deep=False).items()},
            "fitted": {name: encode(name, getattr(self, name)) for name in _FITTED if hasattr(self, name)},
        }
        write_folder(path, description, self.module_.state_dict())

    @classmethod
    def load(cls, path: str | os.PathLike) -> LateFusionClassifier:
        """Read an estimator that `save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            There is none, or it is damaged, foreign or from another version.
        """
        description, tensors = read_folder(path, _FORMAT, _VERSION)
        try:
            new = cls(**{name: decode(value) for name, value in description["parameters"].items()})
            for name, value in description["fitted"].items():
                setattr(new, name, decode(value))
            module, _ = new._build_module(np.random.RandomState(0))
            module.to(torch.float64).load_state_dict(tensors)
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ValueError(f"{path} does not describe a LateFusionClassifier: {error}") from error
        new.module_ = module.eval()
        return new

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.modalities is not None
        return tags


# ------------------------------------------------------------------------------------------------------ labels


def _encode_labels(estimator: Any, y: Any, classes: Any, features: MultimodalArray) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the labels, and the classes they refer to."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None: labels are needed"
        )
    y = column_or_1d(y, warn=True)
    check_consistent_length(features, y)
    absent = np.flatnonzero(pd.isna(y))
    if len(absent):
        raise ValueError(
            f"y is missing (None or NaN) in row {absent[0]} ({len(absent)} such rows); fit on labelled rows"
        )
    check_classification_targets(y)
    if classes is None:
        names, codes = np.unique(y, return_inverse=True)
        return codes, names
    names = column_or_1d(classes)
    if len(names) == 0 or len(np.unique(names)) < len(names):
        raise ValueError(f"classes must be distinct and not empty, got {list(names)}")
    return _known_codes(y, names, "y"), names


def _known_codes(y: np.ndarray, classes: np.ndarray, argument: str) -> np.ndarray:
    codes = pd.Index(classes).get_indexer(pd.Index(y))
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        raise ValueError(
            f"{argument} has the label {y[unknown[0]]!s} in row {unknown[0]}, which is not among the classes "
            f"{classes[:10].tolist()}{'...' if len(classes) > 10 else ''}"
        )
    return codes


# --------------------------------------------------------------------------------------------------- structure


def _hidden_widths(encoder_dim: Any, names: list[str]) -> dict[str, tuple[int, ...]]:
    """Hidden layer widths of each modality's encoder."""
    if isinstance(encoder_dim, Mapping):
        for name in encoder_dim:
            if name not in names:
                raise ValueError(f"encoder_dim names the unknown modality {name!r}; there are {names}")
        given = dict(encoder_dim)
    else:
        given = dict.fromkeys(names, encoder_dim)
    hidden = {}
    for name in names:
        value = given.get(name)
        widths = () if value is None else (value,) if isinstance(value, Integral) else tuple(value)
        if not all(isinstance(width, Integral) and int(width) >= 1 for width in widths):
            raise ValueError(f"encoder_dim of modality {name!r} must be positive integers, got {value!r}")
        hidden[name] = tuple(int(width) for width in widths)
    return hidden


def _continue_from(
    former: LateFusionModule, former_classes: Any, module: LateFusionModule, classes: np.ndarray
) -> None:
    """Start the new module from the weights of the last fit; classes are matched by label."""
    shapes = [[tuple(p.shape) for p in m.encoders.parameters()] for m in (former, module)]
    if shapes[0] != shapes[1] or type(former.head) is not type(module.head) or former.head.widths != module.head.widths:
        raise ValueError(
            "warm_start=True, but the network's shape has changed since the last fit; set warm_start=False"
        )
    copy_class_rows(former, module, pd.Index(classes).get_indexer(pd.Index(former_classes)).tolist())


def _coalition_value(module: LateFusionModule, z: list[torch.Tensor], target: np.ndarray) -> Callable:
    """Probability of the target class when only some modalities' embeddings are kept."""
    if module.head.linear:
        partial, intercept = module.head.partial_logits(z)
        return linear_coalition_value([_to_numpy(part) for part in partial], _to_numpy(intercept), target)

    def value(present: np.ndarray) -> np.ndarray:
        kept = [values if there else torch.zeros_like(values) for values, there in zip(z, present, strict=True)]
        return _to_numpy(_softmax(module.head(kept)))[np.arange(len(target)), target]

    return value


# ----------------------------------------------------------------------------------------------------- tensors


def _resolve_device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is not a torch device: {error}") from None


def _as_batches(
    features: MultimodalArray, present: np.ndarray, rows: Any, dtype: torch.dtype, device: torch.device
) -> Batches:
    """Some rows as tensors, absent blocks zeroed (labels and weights are left empty)."""
    there = present[rows]
    wide = np.float64 if dtype is torch.float64 else np.float32
    blocks = []
    for index, block in enumerate(features.blocks.values()):
        values = block[rows].astype(wide)
        values[~there[:, index]] = 0.0
        blocks.append(torch.from_numpy(values).to(device))
    nothing = torch.empty(0, device=device)
    return Batches(blocks, torch.from_numpy(there).to(device), nothing, nothing)


def _without_nan(block: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The block with absent rows zeroed; a read-only view where nothing has to change."""
    if present.all() and block.dtype in (np.float32, np.float64):
        view = block.view()
        view.flags.writeable = False
        return view
    values = block.astype(np.float64 if block.dtype.kind != "f" else np.result_type(block.dtype, np.float32))
    values[~present] = 0.0
    return values


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return torch.softmax(logits.double(), dim=1)


def _to_numpy(values: torch.Tensor) -> np.ndarray:
    return values.double().cpu().numpy() if values.is_floating_point() else values.cpu().numpy()
