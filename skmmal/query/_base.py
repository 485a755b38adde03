"""The base of all strategies: the public verb, modAL's protocol, and the validation both need."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any, Literal, overload

import numpy as np
from sklearn.base import BaseEstimator

from skmmal._alone import modalities_of, warn_if_alone, warn_if_lost
from skmmal._arrays import boolean, numeric, one_of
from skmmal._fitted import is_learner, open_model, predicts_values
from skmmal._names import did_you_mean
from skmmal._random import check_rng
from skmmal._targets import SEVERAL_LABELS
from skmmal.modalities._containers import stack_labels, stack_rows
from skmmal.modalities._rows import check_same_rows, rows_of
from skmmal.query._heads import Selection, select
from skmmal.query._on_shards import select_on_shards
from skmmal.query._refusals import groups_refusal, label_refusal, model_refusal, shards_refusal
from skmmal.query._units import UnitRequest, select_units
from skmmal.reading import FUSED, Reading, read_with_labels
from skmmal.reading._sharded import PoolOnWorkers, ShardedReading
from skmmal.selection._units import UnitBenefits, Units

__all__ = ["QueryStrategy", "Selection"]

_UNIT_OPTIONS = ("groups", "costs", "budget", "max_samples")


class QueryStrategy(BaseEstimator):
    """Base class of query strategies.

    A subclass implements `_select`; everything it may want to know of pool and labelled rows it asks the readings for.

    Notes
    -----
    A multimodal classifier has a head on the fused features and one on each modality alone. Most strategies have a
    parameter `on` that says which of them they listen to:

    ``on="fused"`` (the default)
        The fused head, and the features of all modalities. Every classifier has this one.
    ``on="image"`` (a modality's name)
        The modality's own head: its probabilities (`predict_proba_by_modality`), its weights and its posterior, and
        the features of that modality alone. Only rows that have the modality can be chosen by it. If more are wanted,
        all of these are chosen, and the rest by the same strategy with ``on="fused"`` among the other rows. Labelled
        rows without the modality do not count.
    ``on="all"``
        All heads together; a head has no say in rows that lack its modality.

        * A score of each row (an uncertainty) is the mean of the scores by the fused head and by the heads of the
          modalities that the row has.
        * Inner products of gradients are the sum of those by each head: gradients side by side. They stay in factors;
          the gradient of an absent modality is zero.
        * Features side by side are the fused features: a strategy that looks at features only does the same as with
          ``on="fused"``.
        * Where neither has a natural meaning the heads take turns: the fused one, then the modalities in their order,
          each giving its next best row that was not taken.

        Each strategy says which it is. The heads cost as much as the fused one each; where they take turns so does
        the strategy, while sums over the heads share the features.

    Groups of rows, and rows of unequal cost, are picked one after the other, that of highest benefit (per cost) first,
    given those that are picked already. The benefit of a row is its score, counted from that of a row that teaches
    nothing (`MarginSampling`: one minus the margin); of a group the sum of its rows', the mean, or the best row's.
    Where rows are compared with those picked:

    * D² sampling (`BADGE`, `BMMAL`) draws a group in proportion to the squared distances of its rows to the nearest row
      of the groups picked (their sum, mean, or largest), per cost; all rows of a picked group count as picked.
    * Greedy k-centre (`CoreSet`) takes the group of largest distances.
    * Coverage (`MaxHerding`, `UHerding`, `ProbCover`) takes the group whose rows together cover most anew
      (``"mean"``: divided by their number; ``"best"``: its best row alone).
    * `RandomSampling` draws groups uniformly, `PowerBALD` in proportion to the power of BALD.

    Strategies that look at features only need no model and no heads for any `on`; the others ask the estimator for
    `predict_proba_by_modality` (`LateFusionClassifier` has it) unless `on` is ``"fused"``. Scores that a query returns
    are comparable within a head, not between the picks of one head and those that fill up the batch.

    A strategy of your own need only have the parameter: its `_select` gets readings (`skmmal.reading.Reading`) that
    listen to the heads it names. For ``on="all"`` it takes scores from `Reading.mean_score` and gradients from
    `Reading.gradient_embedding`, or sets `_heads_take_turns`.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.query import BADGE, MarginSampling
    >>> X, y = load_digits_views(["fou", "pix"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> clf = LateFusionClassifier().fit(X[::20], y[::20])
    >>> for on in ("fused", "pix", "all"):
    ...     print(on, MarginSampling(on=on).query(clf, X[1::2], 5))
    fused [350 308 957 409 960]
    pix [849 564  54 845 804]
    all [960 942 733 500 162]
    >>> BADGE(on="all").embedding(clf, X[1::2])
    StackedEmbedding(1000 rows, 20 ⊗ 76 columns | 20 ⊗ 240 columns)
    """

    requires_model = True
    """Whether the strategy needs a fitted estimator."""

    compares_modalities = False
    """Whether the strategy weighs modalities against each other, so that it needs more than one."""

    supports_multi_label = False
    """Whether the strategy serves several labels in a row."""

    supports_groups = False
    """Whether the strategy picks whole groups, and by costs; then it has `_benefits`."""

    _heads_take_turns = False
    """With ``on="all"``, whether each head chooses on its own, in turn with the others."""

    _looks_beyond_candidates = False
    """Whether rows that may not be picked matter: they are to be covered, say. If not, `_select` does not see them."""

    _reads_labelled_on_shards = True
    """Whether labelled rows are to be sent to the workers of a `ShardedPool`."""

    _parameter_constraints: dict = {}

    @abstractmethod
    def _select(self, pool: Reading, labelled: Reading, n_instances: int, rng: np.random.RandomState) -> Selection:
        """Pick `n_instances` rows of the pool, among its candidates.

        Parameters
        ----------
        pool, labelled : Reading
            Both listen to the heads that the parameter `on` names. `labelled` has no rows where there are none.
        n_instances : int
        rng : RandomState

        Returns
        -------
        rows, scores : ndarray of shape (n_instances,)
        """

    def _select_shards(self, shards: ShardedReading, n_instances: int, rng: np.random.RandomState) -> Selection:
        """Pick `n_instances` rows of a pool that is spread over workers.

        Parameters
        ----------
        shards : ShardedReading
            Listens to the heads that the parameter `on` names.
        n_instances : int
        rng : RandomState

        Returns
        -------
        positions, scores : ndarray of shape (n_instances,)
        """
        raise TypeError(shards_refusal(type(self).__name__))

    def _benefits(self, pool: Reading, labelled: Reading, units: Units, rng: np.random.RandomState) -> UnitBenefits:
        """What each unit (a group of rows, or a row that has a cost) would bring; see `skmmal.selection._units`.

        Parameters
        ----------
        pool, labelled : Reading
            As of `_select`.
        units : Units
            Which rows of the pool are picked together.
        rng : RandomState

        Returns
        -------
        UnitBenefits
        """
        raise NotImplementedError(f"{type(self).__name__} says that it serves groups, and has no _benefits")

    @overload
    def query(
        self,
        estimator: Any,
        X_pool: Any,
        n_instances: int | None = ...,
        *,
        X_labeled: Any = ...,
        y_labeled: Any = ...,
        groups: Any = ...,
        group_score: str = ...,
        costs: Any = ...,
        budget: float | None = ...,
        max_samples: int | None = ...,
        candidates: Any = ...,
        return_scores: Literal[False] = ...,
    ) -> np.ndarray: ...
    @overload
    def query(
        self,
        estimator: Any,
        X_pool: Any,
        n_instances: int | None = ...,
        *,
        X_labeled: Any = ...,
        y_labeled: Any = ...,
        groups: Any = ...,
        group_score: str = ...,
        costs: Any = ...,
        budget: float | None = ...,
        max_samples: int | None = ...,
        candidates: Any = ...,
        return_scores: Literal[True],
    ) -> Selection: ...
    def query(
        self,
        estimator: Any,
        X_pool: Any,
        n_instances: int | None = 1,
        *,
        X_labeled: Any = None,
        y_labeled: Any = None,
        groups: Any = None,
        group_score: str = "sum",
        costs: Any = None,
        budget: float | None = None,
        max_samples: int | None = None,
        candidates: Any = None,
        return_scores: bool = False,
    ) -> np.ndarray | Selection:
        """Choose which rows of the pool to label next.

        Parameters
        ----------
        estimator : classifier
            Anything with `predict_proba` and ``classes_``, fitted (unless the strategy needs no model); it is not
            changed. Pipelines (their steps before the last are applied to X first), searches and wrappers are looked
            through, however they are nested. Where a Pipeline is not fitted, clones of its steps are, on the rows at
            hand.
        X_pool : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            The unlabelled rows, or a `skmmal.reading.Reading` of them (then `estimator` may be ``None``), or a
            `skmmal.distributed.ShardedPool`, where the strategy serves one. Where the estimator takes them, also an
            array of more dimensions, or a list or Series of texts; strategies that look at features need a Pipeline
            that makes numbers of texts.
        n_instances : int or None, default=1
            How many rows to choose, from 1 to n_samples, or how many groups. ``None``: as many as `budget` or
            `max_samples` allows.
        X_labeled, y_labeled : optional
            The labelled rows, in the columns of `X_pool`, for strategies that keep away from them, and their labels.
            Without `y_labeled`, what needs the labels takes the predicted ones or goes without.
        groups : array-like of shape (n_samples,), optional
            Group of each row of the pool: patient, video, speaker. Whole groups are picked: all rows of the group that
            are among the `candidates`.
        group_score : {"sum", "mean", "best"}, default="sum"
            Whether the sum of what a group's rows are worth counts, the mean, or the best row.
        costs : array-like of shape (n_samples,), optional
            What labeling each row costs, zero or more; a group costs what its rows do together. Rows or groups are
            picked by what they are worth for their cost, those that cost nothing first.
        budget : float, optional
            What the batch may cost, in the unit of `costs`. It is never exceeded: what does not fit in the rest is
            passed over, and fewer than `n_instances` may be picked.
        max_samples : int, optional
            How many rows at most, for `groups`; kept to in the same way.
        candidates : array-like of int or of bool, optional
            Rows of `X_pool` that may be picked, as numbers or as a mask; the other rows still count as what is to be
            covered, reached or explained. By default all.
        return_scores : bool, default=False
            Whether to return, too, the score each row had when it was picked (higher is more wanted).

        Returns
        -------
        indices : ndarray of int, shape (n_instances,)
            Distinct rows of `X_pool`, in the order picked; group by group, where there are groups.
        scores : ndarray of float64, shape (n_instances,)
            Only with `return_scores`; with groups or costs what the group or row was worth when it was picked, not
            divided by its cost.

        Raises
        ------
        NotFittedError
            The strategy needs a model and `estimator` is not fitted.
        TypeError, ValueError
            `estimator` lacks a method or is none, its probabilities are no distributions (rows that do not sum to
            one), or an argument cannot be used; the strategy does not serve `groups` or `costs`; or a strategy of your
            own did not pick `n_instances` distinct rows with finite scores.

        Warns
        -----
        UserWarning
            The strategy, or its `on`, is about several modalities, or `X_pool` has several, and the model knows one:
            a step in front of the classifier has made one matrix of them.
        """
        self._validate_params()
        boolean(return_scores, "return_scores")
        options = {"groups": groups, "group_score": group_score, "costs": costs, "budget": budget}
        options["max_samples"] = max_samples
        if isinstance(X_pool, PoolOnWorkers | ShardedReading):
            labelled = X_labeled, y_labeled
            indices, scores = self._query_shards(estimator, X_pool, n_instances, labelled, candidates, options)
            return (indices, scores) if return_scores else indices
        if isinstance(estimator, Reading) and X_pool is None:
            estimator, X_pool = None, estimator
        by_units = _asks_for_units(options)
        if by_units and not self.supports_groups:
            raise ValueError(groups_refusal(type(self).__name__))
        check_same_rows({**rows_of(X_pool, "X_pool"), "groups": groups, "costs": costs})
        pool = read_with_labels(estimator, X_pool, X_labeled, y_labeled)
        n_instances = _check_n_instances(n_instances, len(pool), options)
        pool.candidates = _check_candidates(candidates, len(pool), 1 if by_units else n_instances)
        if self.requires_model:
            if predicts_values(getattr(pool.source, "final", None)):
                raise TypeError(model_refusal(type(self).__name__))
            pool.source.check_fitted()
        if pool.source.target is SEVERAL_LABELS and not self.supports_multi_label:
            raise ValueError(label_refusal(type(self).__name__))
        on = getattr(self, "on", FUSED)
        rng = check_rng(getattr(self, "random_state", None))
        if by_units:
            request = UnitRequest.of(len(pool), pool.candidates, n_instances, options)
            selection = select_units(self, self._benefits, pool, on, request, rng)
            n_instances = len(selection[0])
        else:
            selection = select(self, pool, on, n_instances, rng)
        indices, scores = _checked(type(self).__name__, selection, n_instances, len(pool), pool.candidates)
        if self.compares_modalities or on != FUSED:
            asked = type(self).__name__ + ("" if on == FUSED else f"(on={on!r})")
            warn_if_alone(pool.modality_names, asked)
        elif estimator is not None:
            warn_if_lost(X_pool, modalities_of(estimator))
        return (indices, scores) if return_scores else indices

    def _query_shards(
        self,
        estimator: Any,
        pool: PoolOnWorkers | ShardedReading,
        n_instances: Any,
        labelled: tuple[Any, Any],
        candidates: Any,
        options: Mapping[str, Any],
    ) -> Selection:
        if type(self)._select_shards is QueryStrategy._select_shards:
            raise TypeError(shards_refusal(type(self).__name__))
        if _asks_for_units(options):
            given = next(name for name in _UNIT_OPTIONS if options[name] is not None)
            raise ValueError(
                f"X_pool is a ShardedPool, from which rows are picked one by one that all cost the same; {given} asks "
                "for more, which needs the rows in one place, for example X_pool=pool.take(rows)"
            )
        if isinstance(pool, ShardedReading):
            if candidates is not None or labelled != (None, None):
                raise ValueError(
                    "X_pool is a ShardedReading, which was read with its labelled rows and candidates: give them to "
                    "pool.read(model, X_labeled, y_labeled, candidates=...)"
                )
        elif self.requires_model and predicts_values(open_model(estimator).final):
            raise TypeError(model_refusal(type(self).__name__))
        n_instances = _check_n_instances(n_instances, len(pool), options)
        mask = _check_candidates(candidates, len(pool), n_instances)
        on, rng = getattr(self, "on", FUSED), check_rng(getattr(self, "random_state", None))
        selection, names = select_on_shards(self, estimator, pool, n_instances, labelled, mask, on, rng)
        if names:
            warn_if_alone(names, type(self).__name__ + ("" if on == FUSED else f"(on={on!r})"))
        n_pool = len(pool.pool) if isinstance(pool, ShardedReading) else len(pool)
        return _checked(type(self).__name__, selection, n_instances, n_pool, mask)

    def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1, **kwargs: Any) -> Selection:
        """ModAL's protocol: choose for a learner, and return a pair.

        Parameters
        ----------
        learner : modAL or skmmal learner, modAL committee, or classifier
            Its estimator is used, and the training data it holds.
        X_pool : array-like
        n_instances : int, default=1
        **kwargs
            Passed to `query`.

        Returns
        -------
        indices : ndarray of int, shape (n_instances,)
        scores : ndarray of float64, shape (n_instances,)
        """
        self._check_arguments(kwargs)
        if "X_labeled" not in kwargs and "y_labeled" not in kwargs:
            kwargs["X_labeled"], kwargs["y_labeled"] = _training_data(learner)
        estimator = learner.estimator if is_learner(learner) else learner
        return self.query(estimator, X_pool, n_instances, **{**kwargs, "return_scores": True})

    def _check_arguments(self, given: Iterable[str]) -> None:
        parameters = inspect.signature(self.query).parameters
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
            return
        known = list(parameters)[2:]  # behind the estimator and the pool
        for name in given:
            if name not in known:
                raise TypeError(
                    f"{type(self).__name__}.query has no argument {name!r}; it has {', '.join(known)}"
                    f"{did_you_mean(name, known)}"
                )


def _training_data(learner: Any) -> tuple[Any, Any]:
    """The labelled rows a learner holds, or the members of a committee hold together."""
    holders = getattr(learner, "learner_list", [learner])
    held = [
        (holder.X_training, holder.y_training) for holder in holders if getattr(holder, "X_training", None) is not None
    ]
    if not held:
        return None, None
    X, y = held[0]
    for more_X, more_y in held[1:]:
        X, y = stack_rows(X, more_X), stack_labels(y, more_y)
    return X, y


def _asks_for_units(options: Mapping[str, Any]) -> bool:
    """Whether something else than single rows of equal cost is asked for."""
    one_of(options["group_score"], "group_score", ("sum", "mean", "best"))
    return any(options[name] is not None for name in _UNIT_OPTIONS)


def _check_n_instances(n_instances: Any, n_pool: int, options: Mapping[str, Any]) -> Any:
    if n_pool == 0:
        raise ValueError(f"X_pool is empty, and n_instances={n_instances}: there is nothing to choose from")
    if n_instances is None:
        if options["budget"] is None and options["max_samples"] is None:
            raise ValueError("n_instances is None, and neither budget nor max_samples says how many to choose")
        return None
    if not isinstance(n_instances, Integral) or isinstance(n_instances, bool):
        raise TypeError(f"n_instances must be an integer, got {n_instances!r}")
    if not 1 <= int(n_instances) <= n_pool:
        raise ValueError(f"n_instances={n_instances}, but it must be from 1 to the {n_pool} rows of X_pool")
    return int(n_instances)


def _check_candidates(candidates: Any, n_pool: int, n_instances: int) -> np.ndarray | None:
    """Which rows may be picked, as a mask; ``None`` where all may."""
    if candidates is None:
        return None
    given = numeric(candidates, "candidates", 1)
    mask = np.zeros(n_pool, dtype=bool)
    if given.dtype == bool:
        if len(given) != n_pool:
            raise ValueError(f"candidates is a mask of {len(given)} rows, and X_pool has {n_pool}")
        mask[:] = given
    else:
        if given.dtype.kind not in "iu":
            raise TypeError(f"candidates must be row numbers or a mask of booleans, got {given.dtype}")
        outside = given[(given < 0) | (given >= n_pool)]
        if len(outside):
            raise ValueError(f"candidates has row {outside[0]}, but X_pool's rows go from 0 to {n_pool - 1}")
        mask[given] = True
    if mask.sum() < n_instances:
        raise ValueError(f"n_instances={n_instances}, but candidates has {mask.sum()} rows")
    return None if mask.all() else mask


def _checked(
    name: str, selection: Selection, n_instances: int, n_pool: int, candidates: np.ndarray | None
) -> Selection:
    """What a strategy picked, if that is as many distinct rows of the pool as asked for, with finite scores."""
    indices, scores = np.asarray(selection[0]), np.asarray(selection[1], dtype=np.float64)
    if indices.shape != (n_instances,) or scores.shape != (n_instances,) or indices.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must pick {n_instances} rows with a score each, but returned rows of shape {indices.shape} "
            f"({indices.dtype}) and scores of shape {scores.shape}"
        )
    indices = indices.astype(np.intp, copy=False)
    outside = indices[(indices < 0) | (indices >= n_pool)]
    if len(outside):
        raise ValueError(f"{name} picked row {outside[0]}, but the pool's rows go from 0 to {n_pool - 1}")
    rows, counts = np.unique(indices, return_counts=True)
    if len(rows) < n_instances:
        raise ValueError(f"{name} picked row {rows[counts > 1][0]} more than once")
    if candidates is not None and not candidates[rows].all():
        raise ValueError(f"{name} picked row {rows[~candidates[rows]][0]}, which is not among the candidates")
    if not np.isfinite(scores).all():
        at = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ValueError(
            f"{name} gave row {indices[at]} the score {scores[at]}, which says nothing: its ranking cannot be trusted"
        )
    return indices, scores
