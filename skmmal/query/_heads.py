"""What `on` means: the views of the modalities' own heads, and how a strategy is run on one of them or on all.

Strategies are written for a view and know nothing of `on`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from skmmal._containers import take_rows
from skmmal._fit_arguments import did_you_mean
from skmmal._fitted import final_step
from skmmal._probabilities import check_distribution, check_probability_matrix
from skmmal.heads.modules import LateFusionModule
from skmmal.modalities import MultimodalArray
from skmmal.query._linear_head import LinearHead, find_modality_head
from skmmal.query.view import PoolView, _has_layers
from skmmal.selection import Embedding, OuterProductEmbedding, StackedEmbedding

if TYPE_CHECKING:
    from skmmal.query._base import QueryStrategy, Selection

__all__ = ["ALL", "FUSED", "AllHeadsView", "HeadView", "gradient_embedding", "select"]

FUSED, ALL = "fused", "all"
_METHOD = "predict_proba_by_modality"


def select(strategy: QueryStrategy, view: PoolView, on: str, n_instances: int, rng: np.random.RandomState) -> Selection:
    """Run a strategy on the head or heads that `on` names.

    Parameters
    ----------
    strategy : QueryStrategy
    view : PoolView
        As the fused head sees the pool.
    on : str
    n_instances : int
    rng : RandomState

    Returns
    -------
    indices, scores : ndarray

    Raises
    ------
    TypeError, ValueError
        `on` is no string, or neither ``"fused"`` nor ``"all"`` nor a modality.
    """
    _check_on(on, view)
    if on == FUSED:
        return strategy._select(view, n_instances, rng)
    if on == ALL:
        if not strategy._heads_take_turns:
            return strategy._select(AllHeadsView(view), n_instances, rng)
        heads = [view, *_modality_heads(view)]
        return _in_turns([_select_own(strategy, head, n_instances, rng) for head in heads], n_instances)
    indices, scores = _select_own(strategy, HeadView(view, on), n_instances, rng)
    if len(indices) < n_instances:
        rest = view.without(indices)
        more, more_scores = strategy._select(rest, n_instances - len(indices), rng)
        indices, scores = np.append(indices, rest.pool_rows[more]), np.append(scores, more_scores)
    return indices, scores


def gradient_embedding(view: PoolView, on: str) -> Embedding:
    """Gradient embedding of every row of the pool for the heads that `on` names; zero without the modality."""
    _check_on(on, view)
    if on == FUSED:
        return view.gradient_embedding
    if on == ALL:
        return AllHeadsView(view).gradient_embedding
    head = HeadView(view, on)
    return OuterProductEmbedding(head.spread(head.gradient_residuals), view.own_embedding[head.index])


def _check_on(on: Any, view: PoolView) -> None:
    if not isinstance(on, str):
        raise TypeError(f"on must be {FUSED!r}, {ALL!r} or the name of a modality, got {on!r}")
    if on == FUSED:  # the pool's modalities need not be known
        return
    names = view.modality_names
    if on != ALL and on not in names:
        meant = did_you_mean(on, [*names, FUSED, ALL])
        raise ValueError(
            f"on={on!r}, but the pool's modalities are {names}; on may also be {FUSED!r} or {ALL!r}{meant}"
        )
    if on == ALL and ALL in names:
        raise ValueError(f"on={ALL!r} means all heads, but one modality of {names} is named so, too: rename it")


def _select_own(strategy: QueryStrategy, head: PoolView, n_instances: int, rng: np.random.RandomState) -> Selection:
    """Select among the rows that the head's view shows, at most as many as there are."""
    if len(head) == 0:
        return np.empty(0, dtype=np.intp), np.empty(0)
    indices, scores = strategy._select(head, min(n_instances, len(head)), rng)
    return head.pool_rows[indices], scores


def _in_turns(selections: list[Selection], n_instances: int) -> Selection:
    """Take the next best row, not yet taken, of each selection in turn; the first has `n_instances` rows."""
    queues = [iter(zip(indices.tolist(), scores.tolist(), strict=True)) for indices, scores in selections]
    taken: dict[int, float] = {}
    while len(taken) < n_instances:
        for queue in queues[: n_instances - len(taken)]:
            row, score = next((pick for pick in queue if pick[0] not in taken), (-1, 0.0))
            if row >= 0:
                taken[row] = score
    return np.asarray(list(taken), dtype=np.intp), np.asarray(list(taken.values()))


class HeadView(PoolView):
    """The pool as one modality's own head sees it: the rows that have the modality, and its block alone.

    Parameters
    ----------
    view : PoolView
        The whole pool.
    name : str
        The modality.
    """

    def __init__(self, view: PoolView, name: str) -> None:
        self.estimator, self._model, self.final, self._X_labeled = view.estimator, view._model, view.final, None
        self._whole, self.name, self.index = view, name, view.modality_names.index(name)
        self.pool_rows, self.n_pool = np.flatnonzero(view.present[:, self.index]), len(view)
        self._n_rows = len(self.pool_rows)
        self._labeled_rows = np.flatnonzero(view.labeled_present[:, self.index])
        self.y_labeled = None if view.y_labeled is None else take_rows(view.y_labeled, self._labeled_rows)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Put values of this view's rows in the places of all rows of the pool; the others are zero."""
        if len(self) == self.n_pool:
            return values
        out = np.zeros((self.n_pool, *values.shape[1:]), dtype=values.dtype)
        out[self.pool_rows] = values
        return out

    # ---------------------------------------------------------------------------------------------- the model

    @property
    def is_fitted(self) -> bool:
        """Whether there is a fitted model."""
        return self._whole.is_fitted

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Class probabilities of the modality's head, shape (N, K), float64."""
        return self._own(self._whole.probabilities_by_modality, self.pool_rows)

    @cached_property
    def labeled_probabilities(self) -> np.ndarray:
        """Class probabilities of the labelled rows, shape (L, K); without labelled rows L is 0."""
        if self.n_labeled == 0:
            return np.empty((0, self.probabilities.shape[1]))
        return self._own(self._whole.labeled_probabilities_by_modality, self._labeled_rows)

    def _own(self, by_modality: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Its rows of what the modalities' heads say."""
        if self.name not in by_modality:
            raise ValueError(f"{self._name}.{_METHOD} returned {list(by_modality)}, but no {self.name!r}")
        found = by_modality[self.name]
        return found if len(rows) == len(found) else found[rows]

    @property
    def _fusion(self) -> None:
        return None  # the modality's head is a linear layer of its own

    @cached_property
    def contributions(self) -> np.ndarray:
        """One for every row: there is one modality, shape (N, 1)."""
        return np.ones((len(self), 1))

    def _read_linear_head(self) -> LinearHead | None:
        return find_modality_head(self.final, self.index, self.embedding[0].shape[1])

    def _predict(self, model: Any, X: Any) -> np.ndarray:
        model, X = final_step(model, X)
        source = f"modality {self.name!r}: {type(model).__name__}.{_METHOD} (a member or copy of {self._name})"
        found = model.predict_proba_by_modality(X)[self.name]
        found = check_probability_matrix(found, n_rows=self.n_pool, source=source)
        return check_distribution(found[self.pool_rows], source=source, rows=self.pool_rows)

    @property
    def _X(self) -> Any:
        return self._whole._X  # all rows; `_predict` keeps the view's

    # ------------------------------------------------------------------------------------------- the features

    @cached_property
    def modality_names(self) -> list[str]:
        """The one modality."""
        return [self.name]

    @cached_property
    def present(self) -> np.ndarray:
        """True for every row, shape (N, 1)."""
        return np.ones((len(self), 1), dtype=bool)

    @cached_property
    def labeled_present(self) -> np.ndarray:
        """True for every labelled row, shape (L, 1)."""
        return np.ones((self.n_labeled, 1), dtype=bool)

    @property
    def n_labeled(self) -> int:
        """Number of labelled rows that have the modality."""
        return len(self._labeled_rows)

    @cached_property
    def stored_embedding(self) -> list[np.ndarray]:
        """The modality's block, shape (N, D_m)."""
        block = self._whole.own_embedding[self.index]
        return [block if len(self) == self.n_pool else block[self.pool_rows]]

    @cached_property
    def labeled_embedding(self) -> list[np.ndarray] | None:
        """The labelled rows' block, or ``None`` without any."""
        blocks = self._whole.labeled_own_embedding
        return None if blocks is None or self.n_labeled == 0 else [blocks[self.index][self._labeled_rows]]

    # a block may be a view into a frame or a packed matrix: in one memory order, products round in one way

    @cached_property
    def points(self) -> np.ndarray:
        """The block as a matrix of its own, shape (N, D_m)."""
        return np.ascontiguousarray(self.embedding[0])

    @cached_property
    def labeled_points(self) -> np.ndarray | None:
        """The labelled rows' block as a matrix of its own, shape (L, D_m), or ``None`` without any."""
        return None if self.labeled_embedding is None else np.ascontiguousarray(self.labeled_embedding[0])

    def predict_embedded(self, points: np.ndarray) -> np.ndarray:
        """Columns of the classes that the head predicts from embeddings of shape (n, D_m), shape (n,)."""
        return self._predict_linearly(points)

    def network_input(self) -> tuple[MultimodalArray, np.ndarray]:
        """What the network takes: features of the N rows that have the modality, and what is present, (N, M)."""
        features, present = self._whole.network_input()
        return features[self.pool_rows], present[self.pool_rows]

    def network_logits(
        self, module: LateFusionModule, embeddings: list[torch.Tensor], present: torch.Tensor
    ) -> torch.Tensor:
        """Logits (n, K) by the modality's head of the network, or of a copy of it, of M embeddings (n, D_m)."""
        return module.head.own_logits(embeddings)[self.index]

    @property
    def is_linear_in_features(self) -> bool:
        """Whether the modality has no encoder: its head is linear."""
        module = getattr(self.final, "module_", None)
        return isinstance(module, LateFusionModule) and not _has_layers(module.encoders[self.index])


class AllHeadsView(PoolView):
    """The pool as all heads together see it: features are the fused head's, scores and gradients those of all heads.

    Parameters
    ----------
    view : PoolView
        The fused head's.
    """

    def __init__(self, view: PoolView) -> None:
        vars(self).update(vars(view))  # the pool, and what is known of it already

    @cached_property
    def heads(self) -> list[PoolView]:
        """The fused head's view, which is this one, and those of the modalities that some row has, in order."""
        return [self, *_modality_heads(self)]

    def by_head(self, function: Callable[[PoolView], np.ndarray]) -> list[np.ndarray]:
        """Call a function with the view of every head; zero where a row lacks the head's modality."""
        fused, *others = self.heads
        return [function(fused), *(head.spread(function(head)) for head in others if isinstance(head, HeadView))]

    def mean_score(self, score: Callable[[PoolView], np.ndarray]) -> np.ndarray:
        """Return the mean of the scores by the fused head and by those of the modalities that the row has."""
        n_heads = 1.0 + self.present.sum(axis=1)
        # divided before they are added: some strategies' scores go up to the largest float
        shares = [scores / n_heads for scores in self.by_head(score)]
        largest = np.finfo(np.float64).max
        with np.errstate(over="ignore"):  # thirds of the largest float can add up to more, by rounding
            return np.clip(np.sum(shares, axis=0), -largest, largest)

    def rows_in(self, head: PoolView, rows: np.ndarray) -> np.ndarray:
        """Where in one of the heads' views some rows of this view are, without those that lack the modality."""
        return np.flatnonzero(np.isin(head.pool_rows, rows))

    @property
    def gradient_embedding(self) -> Embedding:
        """All heads' gradients side by side, in factors.

        The fused head's gradient is ``r ⊗ (z_1, …, z_M)``, that of modality m's head is ``r_m ⊗ z_m``. Together they
        are the blocks ``(r, r_m) ⊗ z_m``: every block of features is multiplied once, not once a head. Where the
        modalities share the last layer the fused head's is ``r ⊗ h``, and the heads have nothing in common.
        """
        fused, *own = self.by_head(lambda head: head.gradient_residuals)
        residuals = dict(zip((head.modality_names[0] for head in self.heads[1:]), own, strict=True))
        if self.shares_last_layer:
            own_blocks = dict(zip(self.modality_names, self.own_embedding, strict=True))
            others = [OuterProductEmbedding(left, own_blocks[name]) for name, left in residuals.items()]
            return StackedEmbedding([OuterProductEmbedding(fused, self.head_input), *others])
        parts = []
        for name, block, own_block in zip(self.modality_names, self.embedding, self.own_embedding, strict=True):
            if name in residuals and own_block is block:
                parts.append(OuterProductEmbedding(np.hstack([fused, residuals[name]]), block))
                continue
            parts.append(OuterProductEmbedding(fused, block))
            if name in residuals:
                parts.append(OuterProductEmbedding(residuals[name], own_block))
        return StackedEmbedding(parts)


def _modality_heads(view: PoolView) -> list[HeadView]:
    heads = [HeadView(view, name) for name in view.modality_names]
    return [head for head in heads if len(head)]
