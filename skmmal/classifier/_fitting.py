"""How a late-fusion classifier is fitted: checks, the network, the solver for it, and what is kept of a fit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skmmal._labels import encode_labels
from skmmal._names import did_you_mean
from skmmal._random import check_rng, draw_seed
from skmmal._torch import import_torch
from skmmal.classifier._counted_rows import counted_rows
from skmmal.classifier._new_heads import BATCH_SOLVERS, NewHeadsMixin
from skmmal.classifier._prior import absent_row, log_prior, prior_classes, prior_weight, room_for_unmet
from skmmal.heads import LinearHeads
from skmmal.heads._classes import (
    class_positions,
    classes_met,
    continue_from,
    labels_met,
    mute_unmet_classes,
    wake_met_classes,
)
from skmmal.heads._precision import warn_of_lost_digits
from skmmal.heads.convex import Anchor, LabeledRows, fit_layers, mean_rows
from skmmal.modalities import MultimodalArray
from skmmal.modalities._containers import n_rows_of
from skmmal.modalities._input import validate_features
from skmmal.modalities._rows import check_same_rows, rows_of
from skmmal.reading import FUSED

if TYPE_CHECKING:
    from skmmal.heads import LateFusionModule
    from skmmal.heads._curves import TrainingCurves
    from skmmal.heads._hooks import TrainingRun

__all__ = ["FittingMixin", "Strength", "check_modality_weights"]

_OF_ANCHORS = ("anchor_", "_anchor_classes")
"""Attributes that only a fit with ``warm_start="anchor"`` sets."""
_OF_BATCHES = ("loss_curve_by_head_", "discrepancy_", "balancing_log_")
"""Attributes that only the solvers in mini-batches set."""


class Strength(NamedTuple):
    """How strong the penalty of convex heads is, how near they come to the optimum, the fused head's temperature."""

    C: float
    factors: list[float] | None
    tol: float | str
    temperature: float = 1.0


_OF_PRIORS = ("prior_weight_", "unmet_probability_")
"""Attributes that only a fit with a `prior` sets."""


class FittingMixin(NewHeadsMixin):
    """The parts of a fit; parameters as of `LateFusionClassifier`."""

    heads_: LinearHeads | LateFusionModule
    anchor_: LinearHeads
    loss_curve_: list[float]
    classes_: np.ndarray
    multilabel_: bool
    _anchor_classes: np.ndarray
    _widths: dict[str, Any]

    def _fit(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> None:
        classes = prior_classes(self.prior) if classes is None else classes
        if self.prior is not None and n_rows_of(X) == 0:
            self._know_prior_alone(X, y, classes)
            return
        former = getattr(self, "heads_", None) if self.warm_start else None
        former_classes, former_rows = getattr(self, "classes_", None), getattr(self, "_n_rows", 0)
        self._set_anchor(former)
        check_same_rows({**rows_of(X, "X"), "y": y, "sample_weight": sample_weight})
        features = validate_features(self, X, reset=former is None)
        if FUSED in features.modalities:
            raise ValueError(f"a modality cannot be named {FUSED!r}: that is the key of the fused head's scores")
        of_anchor = getattr(self, "_anchor_classes", None)
        data, names, places = counted_rows(self, features, y, sample_weight, classes, of_anchor)
        self._check_target(former, data)
        self.classes_, self.multilabel_ = names, data.has_several_labels
        self._n_rows = len(data)
        rng = check_rng(self.random_state)
        heads, solver = self._new_heads(rng, len(names))
        if self.missing == "token":
            self._warn_if_tokens_stay_zero(data.present)
        started = None
        if former is not None:
            option = f"warm_start={self.warm_start!r}"
            started = _go_on(former, class_positions(former_classes, names), heads, option)
            if self.warm_start != "anchor" and solver not in BATCH_SOLVERS and len(data) < former_rows:
                _warn_of_forgetting(former_rows, len(data))
        for name in _OF_BATCHES:
            self.__dict__.pop(name, None)
        working = np.float32 if solver in BATCH_SOLVERS else np.float64
        counted = MultimodalArray(dict(zip(features.modalities, data.blocks, strict=True)))
        warn_of_lost_digits(counted, np.arange(len(data)), data.present, working)
        if isinstance(heads, LinearHeads):
            self._solve(heads, data, started, self._strength(data, places, is_sum=heads.is_sum))
            _check_finite([array for each in heads.maps for array in (each.weight, each.intercept)], solver)
        else:
            heads = self._train(heads, solver, counted, data, rng, started)
        self.heads_ = heads
        self._weigh_prior(X, places, counted, data)

    def _check_target(self, former: Any, data: LabeledRows) -> None:
        """Refuse labels of another kind than a model has from which the fit would go on, or a prior."""
        kinds = ["one class a row", "several labels a row (an indicator matrix)"]
        if former is not None and self.multilabel_ != data.has_several_labels:
            raise ValueError(
                f"warm_start={self.warm_start!r}, but the model was fitted on {kinds[self.multilabel_]}, and y has "
                f"{kinds[data.has_several_labels]}; set warm_start=False"
            )
        if data.has_several_labels and self.prior is not None:
            raise ValueError("prior says which class a row has, and y is an indicator matrix: leave prior=None")

    def _weigh_prior(self, X: Any, rows: np.ndarray, features: MultimodalArray, data: LabeledRows) -> None:
        """Find the weight of the prior, if there is one, from the rows that count."""
        for name in _OF_PRIORS:
            self.__dict__.pop(name, None)
        if self.prior is not None:
            self.unmet_probability_ = room_for_unmet(len(rows), len(self.classes_))
            self.prior_weight_ = prior_weight(self, features, data.labels, data.weights, log_prior(self, X)[rows])

    def _know_prior_alone(self, X: Any, y: Any, classes: Any) -> None:
        """Be fitted on no rows: the heads say the same of every class, and the prior what it says."""
        if len(y) or classes is None:
            raise ValueError(
                f"X has no rows, y has {len(y)}, and classes is {classes!r}: a fit without rows takes no labels, and "
                "needs the names of the classes: fit(X[:0], [], classes=...), or a prior with classes_"
            )
        features = validate_features(self, absent_row(X), reset=True)
        _, self.classes_ = encode_labels(self, np.asarray(classes)[:1], classes, features)
        heads = self._unfitted_heads(len(self.classes_))
        met = np.zeros((len(self._widths) + 1, len(self.classes_)), dtype=bool)
        if isinstance(heads, LinearHeads):
            heads.met = met
        else:
            heads.double().eval().set_met(met)
        mute_unmet_classes(heads, met)
        self.heads_, self._n_rows, self.n_iter_, self.loss_curve_ = heads, 0, 0, []
        self.multilabel_ = False
        self.unmet_probability_, self.prior_weight_ = room_for_unmet(0, len(self.classes_)), 1.0

    def _set_anchor(self, former: Any) -> None:
        """Keep the anchor of the last fit, or take the model that there is; without ``"anchor"`` there is none."""
        if self.warm_start != "anchor" or former is None:
            for name in _OF_ANCHORS:
                self.__dict__.pop(name, None)
        elif not hasattr(self, "anchor_"):
            self.anchor_, self._anchor_classes = former, self.classes_

    def _strength(self, data: LabeledRows, places: np.ndarray, *, is_sum: bool) -> Strength:
        """How strong the penalty of convex heads is; `places` are those of the rows among all that were given."""
        return Strength(self.C, self._factors(), self.tol)

    def _factors(self) -> list[float] | None:
        """Factors of the modalities before the fused head; ``None`` where all are one."""
        given = self.modality_weights
        return None if given is None else list(check_modality_weights(given, list(self._widths)).values())

    def _solve(self, heads: LinearHeads, data: LabeledRows, started: np.ndarray | None, strength: Strength) -> None:
        """Find the weights of convex heads; `started` are the classes known before."""
        if self.device not in ("auto", "cpu"):
            import_torch(f"LateFusionClassifier(device={self.device!r})")
            from skmmal.heads._tensors import resolve_device

            resolve_device(self.device)  # the solver does without, but a name that is none is refused
        if data.has_several_labels:
            met, heads.unmet_logits = labels_met(data.labels, data.present, data.weights)
        else:
            met = classes_met(data.labels, data.present, len(self.classes_))
        heads.center = np.concatenate(mean_rows(data.blocks, data.present, data.weights))
        anchor = None
        if hasattr(self, "anchor_"):
            anchor = self._anchor_like(heads)
            met |= anchor.known
        if started is not None and not data.has_several_labels:
            wake_met_classes(heads, started, met)
        heads.met = met
        self.n_iter_, self.loss_curve_ = fit_layers(
            heads.maps,
            data,
            met,
            C=strength.C,
            max_iter=self.max_iter,
            tol=strength.tol,
            warm=started is not None,
            anchor=anchor,
            modality_weights=strength.factors,
        )
        if heads.is_sum:
            heads.factors = strength.factors
        heads.temper(strength.temperature)
        mute_unmet_classes(heads, met)

    def _anchor_like(self, heads: LinearHeads) -> Anchor:
        """Bring the anchor into the form of the new heads."""
        moved = LinearHeads.zeros(heads.widths, len(self.classes_), is_sum=heads.is_sum)
        position = class_positions(self._anchor_classes, self.classes_)
        known = continue_from(self.anchor_, position, moved, "warm_start='anchor'")
        center: Any = heads.center if self.anchor_.center is None else self.anchor_.center
        return Anchor(moved.maps, known, np.split(center, np.cumsum(heads.widths)[:-1]))

    def _train(
        self,
        module: LateFusionModule,
        solver: str,
        features: MultimodalArray,
        data: LabeledRows,
        rng: np.random.RandomState,
        started: np.ndarray | None,
    ) -> LinearHeads | LateFusionModule:
        """Train a network in mini-batches; `started` are the classes known before."""
        import torch

        from skmmal.heads._hooks import TrainingHooks, TrainingRun
        from skmmal.heads._linear_network import is_linear, linear_heads_of
        from skmmal.heads._tensors import as_batches, resolve_device
        from skmmal.heads._training import make_optimizer, train

        device = resolve_device(self.device)
        module.to(torch.float32)
        everything = as_batches(features, data.present, slice(None), torch.float32, device)
        everything.labels = torch.as_tensor(
            data.labels, dtype=torch.float32 if data.has_several_labels else torch.int64, device=device
        )
        if data.label_weights is not None:
            everything.label_weights = torch.as_tensor(data.label_weights, dtype=torch.float32, device=device)
        everything.weights = torch.as_tensor(data.weights, dtype=torch.float32, device=device)
        met = np.ones((len(self._widths) + 1, len(self.classes_)), dtype=bool)
        if not data.has_several_labels:
            met = classes_met(data.labels, data.present, len(self.classes_))
            if started is not None:
                wake_met_classes(module, started, met)
        mute_unmet_classes(module, met)
        module.set_met(met)
        module.to(device)
        run = TrainingRun(
            module,
            everything,
            torch.as_tensor(met[0], device=device),
            names=list(features.modalities),
            optimizer=make_optimizer(module, solver, self.learning_rate, self.weight_decay),
            n_epochs=self.max_iter,
            batch_size=int(self.batch_size),
            learning_rate=self.learning_rate,
            unimodal_weight=self.unimodal_weight,
            generator=torch.Generator(device=device).manual_seed(draw_seed(rng)),
        )
        hooks = self._balancing_method() or TrainingHooks()
        curves = train(run, hooks, modality_dropout=self.modality_dropout, verbose=int(self.verbose))
        self._keep_curves(curves, run)
        self.n_iter_ = self.max_iter
        # float64 from here on: predictions then do not depend on which rows are predicted together
        module = module.to("cpu", torch.float64).eval()
        mute_unmet_classes(module, met)
        _check_finite([parameter.detach().numpy() for parameter in module.parameters()], solver)
        if not is_linear(module):
            return module
        # they may become an anchor
        return linear_heads_of(module, np.concatenate(mean_rows(data.blocks, data.present, data.weights)))

    def _keep_curves(self, curves: TrainingCurves, run: TrainingRun) -> None:
        heads = [FUSED, *run.names]
        self.loss_curve_ = curves.objective
        self.loss_curve_by_head_ = {name: [epoch[h] for epoch in curves.losses] for h, name in enumerate(heads)}
        if curves.compare:
            self.discrepancy_ = {name: [epoch[m] for epoch in curves.ratios] for m, name in enumerate(run.names)}
        self.balancing_log_ = run.log


def check_modality_weights(given: Mapping[str, Any], names: list[str]) -> dict[str, float]:
    """Return a factor for every modality; one where none was given.

    Parameters
    ----------
    given : mapping of str to float
    names : list of str
        Of the modalities.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ValueError
        An unknown name, or a factor that is not positive and finite.
    """
    for name, factor in given.items():
        if name not in names:
            raise ValueError(
                f"modality_weights names the unknown modality {name!r}; there are {names}{did_you_mean(name, names)}"
            )
        if not isinstance(factor, Real) or isinstance(factor, bool) or not 0 < float(factor) < float("inf"):
            raise ValueError(
                f"modality_weights of {name!r} must be a positive finite number, got {factor!r}; to leave a modality "
                "out, take it out of X"
            )
    return {name: float(given.get(name, 1.0)) for name in names}


def _warn_of_forgetting(before: int, now: int) -> None:
    warnings.warn(
        f"warm_start=True only starts from the last fit's weights; the optimum is that of the {now} rows given, and "
        f"what the model knew of the {before} rows of the last fit is forgotten. Fit on all labeled rows, or set "
        "warm_start='anchor' to stay near the model that there is",
        UserWarning,
        stacklevel=5,
    )


def _check_finite(weights: list[np.ndarray], solver: str) -> None:
    if not all(np.isfinite(each).all() for each in weights):
        raise ValueError(
            f"solver={solver!r} ended in weights that are not finite: scale the features first "
            "(skmmal.ModalityScaler), or lower learning_rate"
        )


def _go_on(former: Any, position: np.ndarray, heads: LinearHeads | LateFusionModule, option: str) -> np.ndarray:
    """Start from what was fitted before, in the form of the new heads; which of their classes that knows."""
    if not isinstance(heads, LinearHeads):
        heads.double()
        if isinstance(former, LinearHeads):
            from skmmal.heads._linear_network import as_network

            former = as_network(former)
    return continue_from(former, position, heads, option)
