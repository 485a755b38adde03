"""What a strategy may know of the pool, computed when first asked for and only once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scipy.special import softmax
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples, check_is_fitted

from skmmal._arrays import naming, off_device
from skmmal._blocks import refuse_unread
from skmmal._containers import in_one, is_mapping, n_rows_of, take_rows
from skmmal._input import modal_output, validate_features
from skmmal._rows import check_same_rows, rows_of
from skmmal.heads import AdditiveFusion, Fusion
from skmmal.heads.modules import LateFusionModule
from skmmal.heads.tensors import at_least_float32
from skmmal.modalities import DEFAULT_NAME, MultimodalArray, as_multimodal, is_multimodal, presence_mask
from skmmal.query._committee import as_classifier
from skmmal.query._linear_head import LinearHead, find_linear_head, fit_stand_in, log_probabilities
from skmmal.query._posterior import (
    LaplacePosterior,
    class_weights,
    committee_probabilities,
    dropout_probabilities,
    has_dropout,
    is_committee,
    prior_precision,
)
from skmmal.selection import Embedding, OuterProductEmbedding

__all__ = ["PoolView"]


class PoolView:
    """Lazy view of a pool through an estimator.

    The view alone knows about pipelines (the steps before the last are applied), searches (their best estimator
    is used), committees, plain scikit-learn classifiers (their embedding is X itself) and missing modalities
    (zero in every embedding).

    A view shows the pool as one head sees it: this one, as the fused head does. A modality's own head has a view with
    the same attributes (`skmmal.query._heads`), so that a strategy need not know which head it serves.

    Parameters
    ----------
    estimator : classifier or None
    X_pool : array-like, DataFrame, mapping or MultimodalArray
    X_labeled, y_labeled : optional
        The labelled rows.
    """

    def __init__(self, estimator: Any, X_pool: Any, X_labeled: Any = None, y_labeled: Any = None) -> None:
        if isinstance(estimator, type):
            raise TypeError(f"estimator is the class {estimator.__name__}; give an object, {estimator.__name__}()")
        self.estimator = getattr(estimator, "best_estimator_", estimator)
        if isinstance(self.estimator, Pipeline):
            self._steps, final = self.estimator[:-1], self.estimator[-1]
        else:
            self._steps, final = None, self.estimator
        self.final = as_classifier(final)
        self._X_pool = _as_container(X_pool, "X_pool")
        self._n_rows = n_rows_of(self._X_pool)
        self.pool_rows = np.arange(self._n_rows)
        self.n_pool = self._n_rows
        self._X_labeled = None if X_labeled is None else _as_container(X_labeled, "X_labeled")
        self.y_labeled = y_labeled
        if y_labeled is not None:
            with naming("y_labeled"):
                n_labels = _num_samples(y_labeled)
            absent = np.flatnonzero(pd.isna(np.asarray(y_labeled, dtype=object)))
            if len(absent):
                raise ValueError(f"y_labeled is missing (None or NaN) in row {absent[0]} ({len(absent)} such rows)")
            if X_labeled is not None and n_rows_of(self._X_labeled) != n_labels:
                raise ValueError(f"X_labeled has {n_rows_of(self._X_labeled)} rows, y_labeled has {n_labels}")
            check_same_rows({**rows_of(X_labeled, "X_labeled"), "y_labeled": y_labeled})

    def __len__(self) -> int:
        return self._n_rows

    pool_rows: np.ndarray
    """The rows of the pool that this view shows (all, unless it was restricted)."""
    n_pool: int
    """How many rows the whole pool has."""

    def without(self, rows: np.ndarray) -> PoolView:
        """Return the view of the other rows."""
        left = np.setdiff1d(np.arange(len(self)), rows)
        rest = PoolView(self.estimator, take_rows(self._X_pool, left), self._X_labeled, self.y_labeled)
        rest.pool_rows, rest.n_pool = self.pool_rows[left], self.n_pool
        return rest

    # ---------------------------------------------------------------------------------------------- the heads

    @property
    def heads(self) -> Sequence[PoolView]:
        """Views of the heads that count: here the one."""
        return [self]

    def by_head(self, function: Callable[[PoolView], np.ndarray]) -> list[np.ndarray]:
        """Call a function with the view of every head that counts.

        Parameters
        ----------
        function : callable
            Takes a view, and returns an array with one entry for each of its rows.

        Returns
        -------
        list of ndarray
            One for each head, with one entry for each row of this view; zero where the row lacks the head's modality.
        """
        return [function(head) for head in self.heads]

    def mean_score(self, score: Callable[[PoolView], np.ndarray]) -> np.ndarray:
        """Return a score of each row, shape (N,): the mean of what the heads that count say, if they are several.

        Parameters
        ----------
        score : callable
            Takes the view of one head, and returns the scores of its rows.
        """
        return score(self)

    def rows_in(self, head: PoolView, rows: np.ndarray) -> np.ndarray:
        """Where in one of the heads' views some rows of this view are, without those that lack the modality."""
        return rows

    # ---------------------------------------------------------------------------------------------- the model

    @cached_property
    def is_fitted(self) -> bool:
        """Whether there is a fitted model."""
        if self.final is None:
            return False
        try:
            check_is_fitted(self.final)
        except NotFittedError:
            return False
        except TypeError:  # not a scikit-learn estimator: it says so itself when it is used
            return True
        return True

    def check_fitted(self) -> None:
        """Raise `NotFittedError` where there is no fitted model."""
        if not self.is_fitted:
            name = "the estimator" if self.final is None else type(self.final).__name__
            raise NotFittedError(f"{name} is not fitted yet, and this strategy needs a model: fit it on labelled rows")

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Class probabilities of the fused head, shape (N, K), float64."""
        self.check_fitted()
        return check_probabilities(self.final, self._method("predict_proba")(self._X), len(self))

    @cached_property
    def probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """Class probabilities of each modality's own head; what they say of rows that lack it means nothing."""
        self.check_fitted()
        return self._method_by_modality(self._X)

    @cached_property
    def labeled_probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """The same of the labelled rows; empty without any."""
        if self.n_labeled == 0:
            return {}
        return self._method_by_modality(self._apply_steps(self._X_labeled))

    @property
    def _method_by_modality(self) -> Any:
        method = getattr(self.final, "predict_proba_by_modality", None)
        if method is None:
            raise TypeError(
                f"{type(self.final).__name__} has no predict_proba_by_modality: it has no head for a modality alone, "
                "which this strategy needs with `on` other than 'fused'; use a LateFusionClassifier"
            )
        return method

    @cached_property
    def contributions(self) -> np.ndarray:
        """Contribution of each modality to the predicted class's probability, shape (N, M)."""
        self.check_fitted()
        return np.asarray(self._method("modality_contributions")(self._X))

    @cached_property
    def gradient_residuals(self) -> np.ndarray:
        """Gradient of the cross-entropy, at the predicted class, by the logits: ``p − onehot(ŷ)``, shape (N, K)."""
        residuals = self.probabilities.copy()
        residuals[np.arange(len(self)), residuals.argmax(axis=1)] -= 1.0
        return residuals

    @cached_property
    def gradient_embedding(self) -> Embedding:
        """Gradient of that cross-entropy by the weights of the head's last layer, ``(p − onehot(ŷ)) ⊗ h``, in factors.

        h is `head_input`: the embedding, or its sum over the modalities where they share the last layer.
        """
        return OuterProductEmbedding(self.gradient_residuals, self.head_input)

    @property
    def _fusion(self) -> Any:
        """The head of a late-fusion network, or ``None``."""
        return getattr(getattr(self.final, "module_", None), "head", None)

    @cached_property
    def labeled_probabilities(self) -> np.ndarray:
        """Class probabilities of the labelled rows, shape (L, K); without labelled rows L is 0."""
        if self.n_labeled == 0:
            return np.empty((0, self.probabilities.shape[1]))
        X = self._apply_steps(self._X_labeled)
        return check_probabilities(self.final, self._method("predict_proba")(X), _num_samples(X), "X_labeled")

    @cached_property
    def labeled_codes(self) -> np.ndarray:
        """Columns of the labelled rows' classes, shape (L,); without `y_labeled`, of their predicted classes."""
        if self.y_labeled is None or len(self.labeled_probabilities) == 0:
            return self.labeled_probabilities.argmax(axis=1)
        names = getattr(getattr(self.final, "_committee", self.final), "classes_", None)
        if names is None:
            names = np.unique(np.asarray(self.y_labeled))
        codes = pd.Index(names).get_indexer(pd.Index(np.asarray(self.y_labeled)))
        if (codes < 0).any():
            row = int(np.flatnonzero(codes < 0)[0])
            raise ValueError(f"y_labeled has {np.asarray(self.y_labeled)[row]!s} in row {row}, a class the model lacks")
        return codes

    @cached_property
    def linear_head(self) -> LinearHead:
        """Weights (K, D) and intercepts (K,) of the head, which multiply `head_points`.

        Where the probabilities are not the softmax of a linear map of these, a ridge regression of their logarithms on
        the pool's stands in.
        """
        self.check_fitted()
        found = self._read_linear_head()
        if found is not None:
            weights, intercepts = found
            predicted = softmax(self.head_points @ weights.T + intercepts, axis=1)
            if np.allclose(predicted, self.probabilities, atol=1e-5):
                return found
        return fit_stand_in(self.head_points, self.probabilities)

    def _read_linear_head(self) -> LinearHead | None:
        widths = [block.shape[1] for block in self.head_input]
        return find_linear_head(self.final, widths, self.probabilities.shape[1])

    @cached_property
    def logits(self) -> np.ndarray:
        """Logarithms of the probabilities: the logits up to a constant per row, shape (N, K)."""
        return log_probabilities(self.probabilities)

    def monte_carlo_probabilities(
        self, n_samples: int, rng: np.random.RandomState, source: str = "auto", *, joint: bool = False
    ) -> Iterator[np.ndarray]:
        """Class probabilities under draws from the model's posterior, one array of shape (N, K) after the other.

        Parameters
        ----------
        n_samples : int
            Draws; a committee gives as many as it has members.
        rng : RandomState
        source : {"auto", "committee", "dropout", "laplace"}
            ``"committee"``: the members of a committee or of a scikit-learn forest, bagging or voting ensemble.
            ``"dropout"``: passes with dropout on (on the CPU). ``"laplace"``: a Laplace posterior of the head
            (see `skmmal.query.BALD`). ``"auto"``: the first of the three that the estimator has.
        joint : bool
            Whether a draw is one network for all rows. By default it need only be right for each row on its own.

        Yields
        ------
        ndarray of float64, shape (N, K)

        Raises
        ------
        ValueError
            The estimator has no members or no dropout, and `source` asks for them.
        """
        n_classes = self.probabilities.shape[1]
        name = type(self.final).__name__
        if source == "auto":
            source = "committee" if is_committee(self.final) else "dropout" if has_dropout(self.final) else "laplace"
        if source == "committee":
            if not is_committee(self.final):
                raise ValueError(f"source='committee', but {name} has no members that predict on their own")
            return committee_probabilities(self.final, self._X, n_classes, self._predict)
        if source == "dropout":
            if not has_dropout(self.final):
                raise ValueError(f"source='dropout', but {name} has no dropout")
            return dropout_probabilities(self.final, self._X, n_samples, rng, joint=joint, predict=self._predict)
        sample = self.laplace.joint_samples if joint else self.laplace.marginal_samples
        return sample(self.logits, self.head_points, n_samples, rng)

    def _predict(self, model: Any, X: Any) -> np.ndarray:
        """Probabilities of the view's rows by this head of a model: a member of the estimator, or a copy of it."""
        return model.predict_proba(X)

    @cached_property
    def laplace(self) -> LaplacePosterior:
        """Laplace posterior of the head, from the labelled rows; its prior is the classifier's penalty."""
        precision = prior_precision(self.final, self.n_labeled)
        labelled = self.labeled_head_points
        if labelled is None:
            empty = np.empty((0, self.head_points.shape[1]))
            return LaplacePosterior(empty, self.labeled_probabilities, precision)
        weights = None
        if getattr(self.final, "class_weight", None) is not None:
            weights = class_weights(self.final, self.labeled_codes)
        return LaplacePosterior(labelled, self.labeled_probabilities, precision, weights)

    def require(self, *methods: str) -> None:
        """Raise `TypeError` if the final estimator lacks one of the methods."""
        for method in methods:
            self._method(method)

    def _method(self, name: str) -> Any:
        method = getattr(self.final, name, None)
        if method is None:
            raise TypeError(
                f"{type(self.final).__name__} has no {name}, which this strategy needs"
                + ("; use a LateFusionClassifier" if name != "predict_proba" else "")
            )
        return method

    # ------------------------------------------------------------------------------------------- the features

    @cached_property
    def _X(self) -> Any:
        """The pool as the final estimator sees it."""
        return self._apply_steps(self._X_pool)

    def _apply_steps(self, X: Any) -> Any:
        if self._steps is None or not len(self._steps) or not self.is_fitted:
            return X
        with modal_output(X):
            return self._steps.transform(X)

    @cached_property
    def modality_names(self) -> list[str]:
        """Names of the M modalities, in the order of `embedding`."""
        return list(self._blocks)

    @cached_property
    def present(self) -> np.ndarray:
        """Which row has which modality, bool of shape (N, M)."""
        return self._presence(self._X)

    @cached_property
    def labeled_present(self) -> np.ndarray:
        """Which labelled row has which modality, bool of shape (L, M)."""
        if self.n_labeled == 0:
            return np.empty((0, len(self.modality_names)), dtype=bool)
        return self._presence(self._apply_steps(self._X_labeled))

    @property
    def n_labeled(self) -> int:
        """Number of labelled rows."""
        return 0 if self._X_labeled is None else n_rows_of(self._X_labeled)

    @cached_property
    def embedding(self) -> list[np.ndarray]:
        """What the head sees of each modality: M blocks of shapes (N, D_m), absent rows zero."""
        return [at_least_float32(block) for block in self.stored_embedding]

    @cached_property
    def stored_embedding(self) -> list[np.ndarray]:
        """`embedding` as it is stored, which may be in float16: for kernels that convert a chunk at a time."""
        return list(self._blocks.values())

    @cached_property
    def labeled_embedding(self) -> list[np.ndarray] | None:
        """The labelled rows' embedding, or ``None`` without any."""
        if self.n_labeled == 0:
            return None
        blocks = self._embed(self._apply_steps(self._X_labeled))
        same_names = set(blocks) == set(self.modality_names)
        found = [blocks[name] for name in self.modality_names] if same_names else list(blocks.values())
        widths, expected = ([block.shape[1] for block in each] for each in (found, self.stored_embedding))
        if widths != expected:
            raise ValueError(f"X_labeled has blocks of {widths} columns, X_pool of {expected}")
        return found

    @cached_property
    def own_embedding(self) -> list[np.ndarray]:
        """What each modality's own head sees, M blocks of shapes (N, d_m): mostly the same as the fused one."""
        return self._embed_by_modality(self._X) or self.embedding

    @cached_property
    def labeled_own_embedding(self) -> list[np.ndarray] | None:
        """The same of the labelled rows, or ``None`` without any."""
        if self.n_labeled == 0:
            return None
        return self._embed_by_modality(self._apply_steps(self._X_labeled)) or self.labeled_embedding

    def _embed_by_modality(self, X: Any) -> list[np.ndarray] | None:
        """Embeddings of the modalities' own heads, where they are of their own."""
        if not isinstance(self._fusion, AdditiveFusion):
            return None
        blocks = self.final.embed_by_modality(X)
        return [blocks[name] for name in self.modality_names]

    @cached_property
    def _blocks(self) -> dict[str, np.ndarray]:
        stored = getattr(self.final, "_stored_embedding", None) if self.is_fitted else None
        return self._embed(self._X) if stored is None else stored(self._X)

    @cached_property
    def points(self) -> np.ndarray:
        """The embedding as one matrix, shape (N, D)."""
        return np.concatenate(self.embedding, axis=1)

    @cached_property
    def labeled_points(self) -> np.ndarray | None:
        """The labelled rows' embedding as one matrix, shape (L, D), or ``None`` without any."""
        return None if self.labeled_embedding is None else np.concatenate(self.labeled_embedding, axis=1)

    @property
    def shares_last_layer(self) -> bool:
        """Whether the modalities share the weights of the head's last layer, as where a fusion gates or attends."""
        return isinstance(self._fusion, AdditiveFusion)

    @cached_property
    def head_input(self) -> list[np.ndarray]:
        """What the last layer of the head sees, in blocks of N rows: `stored_embedding`, or the sum of its blocks.

        It is the sum where the modalities share the last layer. An absent modality has no part in either, nor has a
        token that stands in for it.
        """
        return [_sum_of(self.stored_embedding)] if self.shares_last_layer else self.stored_embedding

    @cached_property
    def head_points(self) -> np.ndarray:
        """`head_input` as one matrix."""
        return at_least_float32(self.head_input[0]) if self.shares_last_layer else self.points

    @cached_property
    def labeled_head_points(self) -> np.ndarray | None:
        """The same of the labelled rows, or ``None`` without any."""
        if self.labeled_embedding is None or not self.shares_last_layer:
            return self.labeled_points
        return _sum_of(self.labeled_embedding)

    def predict_embedded(self, points: np.ndarray) -> np.ndarray:
        """Columns of the classes that the head predicts from embeddings of shape (n, D), shape (n,)."""
        head = self._fusion
        if isinstance(head, Fusion):
            widths = [block.shape[1] for block in self.embedding]
            with torch.inference_mode():
                blocks = list(torch.as_tensor(points, dtype=torch.float64).split(widths, dim=1))
                return head.classify(blocks).argmax(dim=1).numpy()
        if hasattr(self.final, "embed"):
            return self._predict_linearly(points)
        names = getattr(self.final, "feature_names_in_", None)
        X = points if names is None else pd.DataFrame(points, columns=names)
        return np.asarray(self.final.predict_proba(X)).argmax(axis=1)

    def network_input(self) -> tuple[MultimodalArray, np.ndarray]:
        """What the final estimator's network takes: features of N rows, and which modality is present, (N, M)."""
        features = validate_features(self.final, self._X, reset=False)
        return features, presence_mask(features)

    def network_logits(
        self, module: LateFusionModule, embeddings: list[torch.Tensor], present: torch.Tensor
    ) -> torch.Tensor:
        """Logits (n, K) by this head of the network, or of a copy of it, of M embeddings (n, D_m)."""
        return module.fused_logits(embeddings, present)

    @property
    def is_linear_in_features(self) -> bool:
        """Whether nothing but the linear head lies between the features and the logits, as far as can be told."""
        module: Any = getattr(self.final, "module_", None)
        if not isinstance(module, LateFusionModule):
            return not hasattr(self.final, "embed")
        return module.head.linear and module.absent is None and not _has_layers(module.encoders)

    def _predict_linearly(self, points: np.ndarray) -> np.ndarray:
        weights, intercepts = self.linear_head
        return (points @ weights.T + intercepts).argmax(axis=1)

    def _embed(self, X: Any) -> dict[str, np.ndarray]:
        if self.is_fitted and hasattr(self.final, "embed"):
            return dict(self.final.embed(X))
        if sparse.issparse(X):
            return {DEFAULT_NAME: X.toarray()}
        features = self._features(X)
        present = presence_mask(features)
        return {name: _zero_absent(block, present[:, m]) for m, (name, block) in enumerate(features.blocks.items())}

    def _features(self, X: Any) -> MultimodalArray:
        """The blocks of X, in the final estimator's layout where it has one."""
        return as_multimodal(X, None if is_multimodal(X) else getattr(self.final, "modalities", None))

    def _presence(self, X: Any) -> np.ndarray:
        """Which row has which of the embedded modalities."""
        names = self.modality_names
        if not sparse.issparse(X):
            fitted = self.is_fitted and hasattr(self.final, "modalities_")
            features = validate_features(self.final, X, reset=False) if fitted else self._features(X)
            if set(features.blocks) == set(names):
                return presence_mask(features)[:, [list(features.blocks).index(name) for name in names]]
        # sparse, or an estimator that embeds as it likes: there is no telling what was missing
        return np.ones((_num_samples(X), len(names)), dtype=bool)


def _sum_of(blocks: Sequence[np.ndarray]) -> np.ndarray:
    return np.sum([at_least_float32(block) for block in blocks], axis=0)


def _has_layers(encoders: torch.nn.Module) -> bool:
    return any(isinstance(part, torch.nn.Linear) for part in encoders.modules())


def _as_container(X: Any, argument: str) -> Any:
    """A mapping as one container (so that any classifier takes it); everything else as it is."""
    if is_mapping(X):
        return in_one(X)
    refuse_unread(X, argument)
    X = off_device(X)
    with naming(argument):
        shape = getattr(X, "shape", None) or np.shape(X)
    if len(shape) != 2:
        raise ValueError(f"{argument} must have shape (n_samples, n_features), found {tuple(shape)}")
    return X


def _zero_absent(block: np.ndarray, present: np.ndarray) -> np.ndarray:
    if present.all():
        return block
    values = block.copy()
    values[~present] = 0.0
    return values


def check_probabilities(
    final: Any,
    probabilities: Any,
    n_rows: int,
    argument: str = "X_pool",
    method: str = "predict_proba",
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Return what `method` said of `rows` (by default all) as float64, if it is finite and has the right shape."""
    array = np.asarray(probabilities, dtype=np.float64)
    if array.ndim != 2 or len(array) != n_rows:
        name = type(final).__name__
        raise ValueError(f"{name}.{method} returned shape {array.shape}, expected ({n_rows}, n_classes)")
    if rows is not None and len(rows) < n_rows:
        array = array[rows]
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        row = bad[0] if rows is None else rows[bad[0]]
        raise ValueError(f"{type(final).__name__}.{method} is not finite in row {row} of {argument}")
    return array
