"""What a strategy may know of the pool, computed when first asked for and only once."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scipy.special import softmax
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import _num_samples

from skmmal._arrays import own_rows
from skmmal._containers import n_rows_of, take_rows
from skmmal._fitted import OpenedModel, check_estimator, known_fitted, open_model
from skmmal._input import validate_features
from skmmal._probabilities import check_distribution, check_probability_matrix
from skmmal._rows import check_same_rows, rows_of
from skmmal.heads import AdditiveFusion, Fusion
from skmmal.heads.modules import LateFusionModule
from skmmal.heads.tensors import at_least_float32
from skmmal.modalities import DEFAULT_NAME, MultimodalArray, as_multimodal, is_multimodal, presence_mask
from skmmal.query._committee import as_classifier
from skmmal.query._linear_head import LinearHead, find_linear_head, fit_stand_in, log_probabilities
from skmmal.query._pool import as_container, check_alike, check_labels, dense, is_empty, is_opaque
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

    The view looks through pipelines (the steps before the last are applied; where nothing is fitted yet, clones of them
    that were fitted on the rows at hand), searches (their best estimator is used) and wrappers, and knows committees,
    plain classifiers (their embedding is X itself) and missing modalities (zero in every embedding).

    A view shows the pool as one head sees it: this one, as the fused head does. A modality's own head has a view with
    the same attributes (`skmmal.query._heads`), so that a strategy need not know which head it serves.

    Parameters
    ----------
    estimator : classifier or None
        Anything with `predict_proba`.
    X_pool : array-like, DataFrame, mapping, MultimodalArray, or a sequence of texts or other things
    X_labeled, y_labeled : optional
        The labelled rows.

    Raises
    ------
    TypeError, ValueError
        The estimator is none, there are labels without rows, or labelled rows have other columns than the pool.
    """

    def __init__(self, estimator: Any, X_pool: Any, X_labeled: Any = None, y_labeled: Any = None) -> None:
        if estimator is not None:
            check_estimator(estimator)
        self.estimator = estimator
        self._model = open_model(estimator)
        self.final = as_classifier(self._model.final)
        self._X_pool = as_container(X_pool, "X_pool")
        self._n_rows = n_rows_of(self._X_pool)
        self.pool_rows = np.arange(self._n_rows)
        self.n_pool = self._n_rows
        X_labeled, y_labeled = (None if is_empty(each) else each for each in (X_labeled, y_labeled))
        self._X_labeled = None if X_labeled is None else as_container(X_labeled, "X_labeled")
        self.y_labeled = y_labeled
        check_labels(self._X_labeled, y_labeled)
        check_same_rows({**rows_of(X_labeled, "X_labeled"), "y_labeled": y_labeled})
        if self._X_labeled is not None:
            check_alike(self._X_labeled, self._X_pool, by_name=bool(self._model.steps))

    def __len__(self) -> int:
        return self._n_rows

    pool_rows: np.ndarray
    """The rows of the pool that this view shows (all, unless it was restricted)."""
    n_pool: int
    """How many rows the whole pool has."""

    def without(self, rows: np.ndarray) -> PoolView:
        """Return the view of the other rows."""
        rest = PoolView.__new__(PoolView)
        kept = ("estimator", "_model", "final", "_X_labeled", "y_labeled", "n_pool", "is_fitted", "_ready_model")
        vars(rest).update({name: getattr(self, name) for name in kept})
        left = np.setdiff1d(np.arange(len(self)), rows)
        rest._X_pool, rest._n_rows, rest.pool_rows = take_rows(self._X_pool, left), len(left), self.pool_rows[left]
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
        """Whether there is a fitted model.

        A classifier that cannot tell (no scikit-learn estimator, without ``classes_``) is asked about one row.
        """
        if self.final is None or not self._model.searched:
            return False
        known = known_fitted(self.final)
        if known is not None:
            return known
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.final.predict_proba(self._model.transform(take_rows(self._X_pool, np.arange(1))))
        except (NotFittedError, AttributeError) as error:
            self._refusal = error
            return False
        except Exception:  # whatever it is, the whole pool will meet it, and the user hear of it
            return True
        return True

    _refusal: Exception | None = None

    def check_fitted(self) -> None:
        """Raise `NotFittedError` where there is no fitted model."""
        if not self.is_fitted:
            if self._refusal is not None and not isinstance(self._refusal, NotFittedError):
                raise self._refusal
            unnamed = self.final is None
            name = "the estimator" if unnamed else self._name if self._model.searched else type(self.estimator).__name__
            raise NotFittedError(f"{name} is not fitted yet, and this strategy needs a model: fit it on labelled rows")

    @property
    def _name(self) -> str:
        return type(getattr(self.final, "_committee", self.final)).__name__

    def _checked(
        self, probabilities: Any, n_rows: int, argument: str = "X_pool", rows: np.ndarray | None = None
    ) -> np.ndarray:
        """What the final estimator's `predict_proba` said, if it is a distribution for each row."""
        names: Any = getattr(getattr(self.final, "_committee", self.final), "classes_", None)
        return check_distribution(
            probabilities,
            n_rows=n_rows,
            n_classes=len(names) if np.ndim(names) == 1 and not isinstance(probabilities, list) else None,
            source=f"{self._name}.predict_proba",
            argument=argument,
            rows=rows,
        )

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Class probabilities of the fused head, shape (N, K), float64."""
        self.check_fitted()
        return self._checked(self._method("predict_proba")(self._X), len(self), rows=self.pool_rows)

    @cached_property
    def probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """Class probabilities of each modality's own head; what they say of rows that lack it means nothing."""
        self.check_fitted()
        return self._checked_by_modality(self._method_by_modality(self._X), self.present, "X_pool")

    @cached_property
    def labeled_probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """The same of the labelled rows; empty without any."""
        if self.n_labeled == 0:
            return {}
        method = self._method_by_modality
        with of_labeled():
            found = method(self._labeled_X)
        return self._checked_by_modality(found, self.labeled_present, "X_labeled")

    def _checked_by_modality(
        self, by_modality: Mapping[str, Any], present: np.ndarray, argument: str
    ) -> Mapping[str, np.ndarray]:
        checked = {}
        for name, probabilities in by_modality.items():
            source = f"modality {name!r}: {self._name}.predict_proba_by_modality"
            values = check_probability_matrix(probabilities, n_rows=len(present), source=source)
            if name in self.modality_names:
                rows = np.flatnonzero(present[:, self.modality_names.index(name)])
                check_distribution(values[rows], source=source, argument=argument, rows=rows)
            checked[name] = values
        return checked

    @property
    def _method_by_modality(self) -> Any:
        method = getattr(self.final, "predict_proba_by_modality", None)
        if method is None:
            raise TypeError(
                f"{self._name} has no predict_proba_by_modality: it has no head for a modality alone, "
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
        method = self._method("predict_proba")
        with of_labeled():
            found = method(self._labeled_X)
        return self._checked(found, self.n_labeled, "X_labeled")

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
        name = self._name
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
        source = f"{type(model).__name__}.predict_proba (a member or copy of {self._name})"
        return check_distribution(model.predict_proba(X), n_rows=len(self), source=source, rows=self.pool_rows)

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
            way_out = "wrap it in CalibratedClassifierCV" if name == "predict_proba" else "use a LateFusionClassifier"
            raise TypeError(f"{self._name} has no {name}, which this strategy needs; {way_out}")
        return method

    # ------------------------------------------------------------------------------------------- the features

    @cached_property
    def _X(self) -> Any:
        """The pool as the final estimator sees it."""
        return self._ready_model.transform(self._X_pool)

    @cached_property
    def _labeled_X(self) -> Any:
        """The labelled rows as the final estimator sees them."""
        model = self._ready_model
        with of_labeled():
            return model.transform(self._X_labeled)

    @cached_property
    def _ready_model(self) -> OpenedModel:
        """The model, its steps fitted: by itself, or, where it is not fitted yet, clones of them on all rows."""
        if not self._model.steps or self.is_fitted or self._model.steps_are_fitted:
            return self._model
        return self._model.with_fitted_steps(self._X_pool, self._X_labeled, self.y_labeled)

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
        with of_labeled():
            return self._presence(self._labeled_X)

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
        with of_labeled():
            blocks = self._embed(self._labeled_X)
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
        return self._embed_by_modality(self._labeled_X) or self.labeled_embedding

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
        names, shape = getattr(self.final, "feature_names_in_", None), np.shape(self._X)
        X = points.reshape(len(points), *shape[1:]) if len(shape) > 2 else points
        found = self.final.predict_proba(X if names is None else pd.DataFrame(X, columns=names))
        return self._checked(found, len(points), "the embeddings").argmax(axis=1)

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
            return {DEFAULT_NAME: dense(X)}
        features = self._features(X)
        present = presence_mask(features)
        return {name: _zero_absent(block, present[:, m]) for m, (name, block) in enumerate(features.blocks.items())}

    def _features(self, X: Any) -> MultimodalArray:
        """The blocks of X, in the final estimator's layout where it has one."""
        if is_opaque(X):
            raise TypeError(
                "this strategy needs features, and the rows are no numbers (the first is a "
                f"{type(next(iter(X))).__name__}): put what makes numbers of them before the classifier, as in "
                "make_pipeline(TfidfVectorizer(), classifier)"
            )
        if np.ndim(X) > 2 and not hasattr(self.final, "modalities"):  # a classifier that takes arrays row by row
            X = np.asarray(X).reshape(len(X), -1)
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


def _zero_absent(block: np.ndarray, present: np.ndarray) -> np.ndarray:
    if present.all():
        return block
    values = block.copy()
    values[~present] = 0.0
    return values


@contextmanager
def of_labeled() -> Iterator[None]:
    """Say that an error is about the labelled rows: whoever finds it knows them as X only."""
    try:
        yield
    except NotFittedError:
        raise
    except (TypeError, ValueError) as error:
        message = str(error)
        if "X_labeled" in message:
            raise
        message = own_rows(message, {"X_labeled": sys.maxsize})
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(message if "X_labeled" in message else f"X_labeled: {message}") from error
