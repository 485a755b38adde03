"""How a late-fusion classifier is fitted: checks, the network, the solver for it, and what is kept of a fit."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, clone

from skmmal._arrays import naming, off_device
from skmmal._labels import class_weights, encode_labels
from skmmal._names import find_name
from skmmal._random import check_rng, torch_generator
from skmmal._sklearn import check_sample_weight
from skmmal.balancing import Balancing, ModalityDropout, get_balancing
from skmmal.heads import (
    FUSIONS,
    Encoder,
    FusionFactory,
    LateFusionModule,
    TrainingHooks,
    TrainingRun,
)
from skmmal.heads._batches import mean_row
from skmmal.heads._classes import (
    class_positions,
    classes_met,
    continue_from,
    mute_unmet_classes,
    set_met,
    wake_met_classes,
)
from skmmal.heads._curves import TrainingCurves
from skmmal.heads._fitting import fit_convex, is_convex
from skmmal.heads._precision import warn_of_lost_digits
from skmmal.heads._tensors import as_batches, resolve_device
from skmmal.heads._training import make_optimizer, train
from skmmal.modalities import MultimodalArray, presence_mask
from skmmal.modalities._input import validate_features
from skmmal.modalities._rows import check_same_rows, rows_of
from skmmal.reading import FUSED

__all__ = ["BATCH_SOLVERS", "CONVEX_SOLVERS", "FittingMixin"]

CONVEX_SOLVERS = ("newton-cg", "lbfgs")
BATCH_SOLVERS = ("adamw", "sgd")
_OF_ANCHORS = ("anchor_", "_anchor_classes")
"""Attributes that only a fit with ``warm_start="anchor"`` sets."""
_OF_BATCHES = ("loss_curve_by_head_", "discrepancy_", "balancing_log_")
"""Attributes that only the solvers in mini-batches set."""


class FittingMixin(BaseEstimator):
    """The parts of a fit; parameters as of `LateFusionClassifier`."""

    module_: LateFusionModule
    anchor_: LateFusionModule
    classes_: np.ndarray
    _anchor_classes: np.ndarray
    _widths: dict[str, Any]

    def _fit(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> None:
        former = getattr(self, "module_", None) if self.warm_start else None
        former_classes, former_rows = getattr(self, "classes_", None), getattr(self, "_n_rows", 0)
        self._set_anchor(former)
        check_same_rows({**rows_of(X, "X"), "y": y, "sample_weight": sample_weight})
        features = validate_features(self, X, reset=former is None)
        if FUSED in features.modalities:
            raise ValueError(f"a modality cannot be named {FUSED!r}: that is the key of the fused head's scores")
        present = presence_mask(features)
        codes, names = encode_labels(self, y, classes, features)
        with naming("sample_weight"):
            # `present` is an array of as many rows: scikit-learn may ask for X's namespace, and features have none
            weights = check_sample_weight(
                off_device(sample_weight), present, dtype=np.float64, ensure_non_negative=True
            )
        rows = np.flatnonzero(weights > 0)
        if len(rows) == 0:
            raise ValueError("sample_weight is zero for every row; at least one row must count")
        # rows of weight zero end here: nothing that follows knows of them
        codes, weights = codes[rows], weights[rows]
        if classes is None:
            codes, names = _without_unused(codes, names)
            if hasattr(self, "anchor_"):
                codes, names = _with_former(codes, names, self._anchor_classes)
        weights = weights * class_weights(self.class_weight, codes, names, weights)[codes]
        rows, codes, weights = (each[weights > 0] for each in (rows, codes, weights))
        if len(rows) == 0:
            raise ValueError(f"class_weight={self.class_weight!r} is zero for the class of every row that counts")
        self.classes_ = names
        self._n_rows = len(rows)
        rng = check_rng(self.random_state)
        module, solver = self._build_module(rng, len(names))
        if self.missing == "token":
            self._warn_if_tokens_stay_zero(present[rows])
        started = None
        if former is not None:
            option = f"warm_start={self.warm_start!r}"
            started = continue_from(former, class_positions(former_classes, names), module.to(former.dtype), option)
            if self.warm_start != "anchor" and solver not in BATCH_SOLVERS and len(rows) < former_rows:
                _warn_of_forgetting(former_rows, len(rows))
        self._train(module, solver, features, rows, present, codes, weights, rng, started)

    def _set_anchor(self, former: LateFusionModule | None) -> None:
        """Keep the anchor of the last fit, or take the model that there is; without ``"anchor"`` there is none."""
        if self.warm_start != "anchor" or former is None:
            for name in _OF_ANCHORS:
                self.__dict__.pop(name, None)
        elif not hasattr(self, "anchor_"):
            self.anchor_, self._anchor_classes = former, self.classes_

    def _warn_if_tokens_stay_zero(self, present: np.ndarray) -> None:
        dropped = (self.modality_dropout > 0 or self.balancing is not None) and present.shape[1] > 1
        if present.all() and not dropped:
            warnings.warn(
                "missing='token', but nothing trains the learned embeddings, and they stay zero: no row misses a "
                "modality and none is dropped; set modality_dropout (0.1 to 0.3 is usual)",
                UserWarning,
                stacklevel=5,
            )

    def _build_module(self, rng: np.random.RandomState, n_classes: int) -> tuple[LateFusionModule, str]:
        generator = torch_generator(rng)
        hidden = _hidden_widths(self.encoder_dim, list(self._widths))
        method = self._balancing_method()
        fusion: Any = _fusion_of(self.fusion)
        if method is not None and method.fusion is not None:
            fusion = method.fusion
        if isinstance(fusion, type) and issubclass(fusion, FusionFactory):
            raise TypeError(f"fusion is the class {fusion.__name__}; give an object, {fusion.__name__}()")
        by_token = getattr(fusion, "uses_tokens", False)
        encoders, grids = [], {}
        for name, width in self._widths.items():
            n_tokens, dim = width if isinstance(width, tuple) else (1, width)
            encoder = Encoder(n_tokens * dim, hidden[name], self.dropout, generator, n_tokens if by_token else 1)
            encoders.append(encoder)
            grids[name] = (encoder.n_tokens, encoder.n_out // encoder.n_tokens)
        if hasattr(fusion, "build"):
            head = fusion.build(grids, n_classes, generator)
        else:
            head = fusion([encoder.n_out for encoder in encoders], n_classes, generator)
        module = LateFusionModule(encoders, head, learned_absence=self.missing == "token")
        if method is not None:
            _check_balancing(method, self, module)
        convex = is_convex(module) and method is None and self.dropout == 0 and self.modality_dropout == 0
        if self.solver in CONVEX_SOLVERS and not convex:
            raise ValueError(
                f"solver={self.solver!r} needs the convex case: fusion 'concat' or 'sum', no encoder_dim, dropout=0, "
                "modality_dropout=0, missing='zero' and no balancing; use solver='adamw'"
            )
        solver = "adamw" if self.solver == "auto" and not convex else self.solver
        if self.warm_start == "anchor" and solver in BATCH_SOLVERS:
            raise ValueError(
                f"warm_start='anchor' is a penalty of the convex solvers, and solver={solver!r} trains in mini-batches"
                f"{'' if convex else ' (the network or its training is not convex)'}; set warm_start=True: few epochs "
                "(max_iter) from the former weights stay near them"
            )
        return module, solver

    def _balancing_method(self) -> Balancing | None:
        """Make the method of one fit; it may change, the parameter stays as it is."""
        if self.balancing is None:
            return None
        method = get_balancing(self.balancing) if isinstance(self.balancing, str) else clone(self.balancing)
        method._validate_params()
        return method

    def _train(
        self,
        module: LateFusionModule,
        solver: str,
        features: MultimodalArray,
        rows: np.ndarray,
        present: np.ndarray,
        codes: np.ndarray,
        weights: np.ndarray,
        rng: np.random.RandomState,
        started: torch.Tensor | None,
    ) -> None:
        """Find the weights; the `rows` of the features are those that count, and `started` the classes known before."""
        device = resolve_device(self.device)
        module.to(torch.float32 if solver in BATCH_SOLVERS else torch.float64)
        warn_of_lost_digits(features, rows, present[rows], np.float32 if solver in BATCH_SOLVERS else np.float64)
        everything = as_batches(features, present, rows, module.dtype, device)
        everything.labels = torch.as_tensor(codes, device=device)
        everything.weights = torch.as_tensor(weights, dtype=module.dtype, device=device)
        met = classes_met(everything, len(self.classes_))
        anchor, anchored = self._anchor_for(module)
        if anchored is not None:
            met |= anchored.to(device)
        if started is not None:
            wake_met_classes(module, started, met)
        module.to(device)
        set_met(module.head, met)
        if is_convex(module):  # it may become an anchor
            module.centre = mean_row(everything)
        for name in _OF_BATCHES:
            self.__dict__.pop(name, None)
        if solver in BATCH_SOLVERS:
            mute_unmet_classes(module, met)
            run = TrainingRun(
                module,
                everything,
                met[0],
                names=list(features.modalities),
                optimizer=make_optimizer(module, solver, self.learning_rate, self.weight_decay),
                n_epochs=self.max_iter,
                batch_size=int(self.batch_size),
                learning_rate=self.learning_rate,
                unimodal_weight=self.unimodal_weight,
                generator=torch_generator(rng, device),
            )
            hooks = self._balancing_method() or TrainingHooks()
            curves = train(run, hooks, modality_dropout=self.modality_dropout, verbose=int(self.verbose))
            self._keep_curves(curves, run)
            mute_unmet_classes(module, met)
            self.n_iter_ = self.max_iter
        else:
            self.n_iter_, self.loss_curve_ = fit_convex(
                module,
                everything,
                met,
                C=self.C,
                max_iter=self.max_iter,
                tol=self.tol,
                warm=started is not None,
                anchor=None if anchor is None else anchor.to(device),
                anchored=None if anchored is None else anchored.to(device),
            )
        if not all(bool(torch.isfinite(parameter).all()) for parameter in module.parameters()):
            raise ValueError(
                f"solver={solver!r} ended in weights that are not finite: scale the features first "
                "(skmmal.ModalityScaler), or lower learning_rate"
            )
        # float64 from here on: predictions then do not depend on which rows are predicted together
        self.module_ = module.to("cpu", torch.float64).eval()

    def _anchor_for(self, module: LateFusionModule) -> tuple[LateFusionModule | None, torch.Tensor | None]:
        """Bring the anchor into the form of the new network: its weights, and which classes each head knows."""
        if not hasattr(self, "anchor_"):
            return None, None
        anchor = copy.deepcopy(module)
        anchor.centre = getattr(self.anchor_, "centre", None)
        position = class_positions(self._anchor_classes, self.classes_)
        return anchor, continue_from(self.anchor_, position, anchor, "warm_start='anchor'")

    def _keep_curves(self, curves: TrainingCurves, run: TrainingRun) -> None:
        heads = [FUSED, *run.names]
        self.loss_curve_ = curves.objective
        self.loss_curve_by_head_ = {name: [epoch[h] for epoch in curves.losses] for h, name in enumerate(heads)}
        if curves.compare:
            self.discrepancy_ = {name: [epoch[m] for epoch in curves.ratios] for m, name in enumerate(run.names)}
        self.balancing_log_ = run.log


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


def _without_unused(codes: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out the classes that no row has."""
    used, codes = np.unique(codes, return_inverse=True)
    return codes, names[used]


def _with_former(codes: np.ndarray, names: np.ndarray, former: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add the classes of a former model; in order where those are, otherwise with the new ones at the end."""
    known = pd.Index(former)
    together = np.concatenate([former, names[~pd.Index(names).isin(known)]])
    if known.is_monotonic_increasing:
        together = np.sort(together)
    return pd.Index(together).get_indexer(pd.Index(names))[codes], together


def _warn_of_forgetting(before: int, now: int) -> None:
    warnings.warn(
        f"warm_start=True only starts from the last fit's weights; the optimum is that of the {now} rows given, and "
        f"what the model knew of the {before} rows of the last fit is forgotten. Fit on all labeled rows, or set "
        "warm_start='anchor' to stay near the model that there is",
        UserWarning,
        stacklevel=5,
    )


def _fusion_of(fusion: Any) -> Any:
    """Return what builds the fused head; names in any spelling."""
    return FUSIONS[find_name(fusion, FUSIONS, "value of the 'fusion' parameter")] if isinstance(fusion, str) else fusion


def _check_balancing(method: Balancing, estimator: FittingMixin, module: LateFusionModule) -> None:
    """Refuse settings under which a method would do nothing, or something else."""
    given = f"balancing={estimator.balancing!r}"
    if method.fusion is not None and _fusion_of(estimator.fusion) is not FUSIONS["concat"]:
        raise ValueError(f"{given} brings its own fusion: leave fusion='concat', got fusion={estimator.fusion!r}")
    if isinstance(method, ModalityDropout) and estimator.modality_dropout > 0:
        raise ValueError(
            f"{given} and modality_dropout={estimator.modality_dropout} would drop modalities twice; set one of them"
        )
    if not method.needs_encoders:
        return
    if len(module.encoders) < 2:
        raise ValueError(f"{given} evens out modalities, and X has one; leave balancing=None")
    if next(module.encoders.parameters(), None) is None:
        raise ValueError(
            f"{given} evens out how the modalities' encoders are trained, and there are none: on fixed features "
            "there is nothing to balance. Set encoder_dim (for example encoder_dim=64), or leave balancing=None"
        )
