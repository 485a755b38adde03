"""How a late-fusion classifier is fitted: checks, the network, the solver for it, and what is kept of a fit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from skmmal._arrays import naming, off_device
from skmmal._labels import class_weights, encode_labels
from skmmal._names import find_name
from skmmal._random import check_rng, draw_seed
from skmmal._sklearn import check_sample_weight
from skmmal.balancing import Balancing, get_balancing
from skmmal.classifier._prior import absent_row, log_prior, prior_classes, prior_weight, room_for_unmet
from skmmal.heads import FUSIONS, FusionFactory, LinearHeads
from skmmal.heads._classes import (
    class_positions,
    classes_met,
    continue_from,
    mute_unmet_classes,
    wake_met_classes,
)
from skmmal.heads._precision import warn_of_lost_digits
from skmmal.heads.convex import Anchor, LabeledRows, fit_layers, mean_rows
from skmmal.modalities import MultimodalArray, presence_mask
from skmmal.modalities._containers import n_rows_of
from skmmal.modalities._input import validate_features
from skmmal.modalities._rows import check_same_rows, rows_of
from skmmal.reading import FUSED

if TYPE_CHECKING:
    from skmmal.heads import LateFusionModule
    from skmmal.heads._curves import TrainingCurves
    from skmmal.heads._hooks import TrainingRun

__all__ = ["BATCH_SOLVERS", "CONVEX_SOLVERS", "FittingMixin"]

CONVEX_SOLVERS = ("newton-cg", "lbfgs")
BATCH_SOLVERS = ("adamw", "sgd")
_OF_ANCHORS = ("anchor_", "_anchor_classes")
"""Attributes that only a fit with ``warm_start="anchor"`` sets."""
_OF_BATCHES = ("loss_curve_by_head_", "discrepancy_", "balancing_log_")
"""Attributes that only the solvers in mini-batches set."""


_OF_PRIORS = ("prior_weight_", "unmet_probability_")
"""Attributes that only a fit with a `prior` sets."""


class FittingMixin(BaseEstimator):
    """The parts of a fit; parameters as of `LateFusionClassifier`."""

    heads_: LinearHeads | LateFusionModule
    anchor_: LinearHeads
    loss_curve_: list[float]
    classes_: np.ndarray
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
        if len(rows) < len(present):
            features, present = features[rows], present[rows]
        data = LabeledRows(list(features.blocks.values()), present, codes, weights)
        rng = check_rng(self.random_state)
        heads, solver = self._new_heads(rng, len(names))
        if self.missing == "token":
            self._warn_if_tokens_stay_zero(present)
        started = None
        if former is not None:
            option = f"warm_start={self.warm_start!r}"
            started = _go_on(former, class_positions(former_classes, names), heads, option)
            if self.warm_start != "anchor" and solver not in BATCH_SOLVERS and len(rows) < former_rows:
                _warn_of_forgetting(former_rows, len(rows))
        for name in _OF_BATCHES:
            self.__dict__.pop(name, None)
        working = np.float32 if solver in BATCH_SOLVERS else np.float64
        warn_of_lost_digits(features, np.arange(len(rows)), present, working)
        if isinstance(heads, LinearHeads):
            self._solve(heads, data, started)
            _check_finite([array for each in heads.maps for array in (each.weight, each.intercept)], solver)
        else:
            heads = self._train(heads, solver, features, data, rng, started)
        self.heads_ = heads
        self._weigh_prior(X, rows, features, codes, weights)

    def _weigh_prior(
        self, X: Any, rows: np.ndarray, features: MultimodalArray, codes: np.ndarray, weights: np.ndarray
    ) -> None:
        """Find the weight of the prior, if there is one, from the rows that count."""
        for name in _OF_PRIORS:
            self.__dict__.pop(name, None)
        if self.prior is not None:
            self.unmet_probability_ = room_for_unmet(len(rows), len(self.classes_))
            self.prior_weight_ = prior_weight(self, features, codes, weights, log_prior(self, X)[rows])

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
        self.unmet_probability_, self.prior_weight_ = room_for_unmet(0, len(self.classes_)), 1.0

    def _set_anchor(self, former: Any) -> None:
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

    def _new_heads(self, rng: np.random.RandomState, n_classes: int) -> tuple[LinearHeads | LateFusionModule, str]:
        """Heads to be fitted, and by which solver."""
        seed, method = draw_seed(rng), self._balancing_method()
        hidden = _hidden_widths(self.encoder_dim, list(self._widths))
        heads, network = self._linear_heads(hidden, n_classes, method), None
        if heads is None:
            network = self._network(hidden, n_classes, method, seed)
            heads = _linear_heads_like(network)
        if method is not None:
            _check_balancing(method, self, list(hidden.values()))
        convex = heads is not None and method is None and self.modality_dropout == 0
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
        if solver in BATCH_SOLVERS:
            return network or self._network(hidden, n_classes, method, seed), solver
        assert heads is not None
        return heads, solver

    def _unfitted_heads(self, n_classes: int) -> LinearHeads | LateFusionModule:
        """Heads of the form that a fit leaves."""
        hidden, method = _hidden_widths(self.encoder_dim, list(self._widths)), self._balancing_method()
        return self._linear_heads(hidden, n_classes, method) or self._network(hidden, n_classes, method, 0)

    def _linear_heads(
        self, hidden: dict[str, tuple[int, ...]], n_classes: int, method: Balancing | None
    ) -> LinearHeads | None:
        """Heads of arrays, where the parameters say that they are linear in the features."""
        changes_features = any(hidden.values()) or self.dropout > 0 or self.missing == "token"
        if changes_features or not isinstance(self.fusion, str) or (method is not None and method.fusion is not None):
            return None
        fusion = _name_of_fusion(self.fusion)
        if fusion not in ("concat", "sum"):
            return None
        widths = [int(np.prod(width)) for width in self._widths.values()]
        return LinearHeads.zeros(widths, n_classes, is_sum=fusion == "sum")

    def _network(
        self, hidden: dict[str, tuple[int, ...]], n_classes: int, method: Balancing | None, seed: int
    ) -> LateFusionModule:
        """A network, its weights drawn."""
        import torch

        from skmmal.heads import Encoder, LateFusionModule

        generator = torch.Generator().manual_seed(seed)
        fusion: Any = FUSIONS[_name_of_fusion(self.fusion)] if isinstance(self.fusion, str) else self.fusion
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
        return LateFusionModule(encoders, head, learned_absence=self.missing == "token")

    def _balancing_method(self) -> Balancing | None:
        """Make the method of one fit; it may change, the parameter stays as it is."""
        if self.balancing is None:
            return None
        method = get_balancing(self.balancing) if isinstance(self.balancing, str) else clone(self.balancing)
        method._validate_params()
        return method

    def _solve(self, heads: LinearHeads, data: LabeledRows, started: np.ndarray | None) -> None:
        """Find the weights of convex heads; `started` are the classes known before."""
        if self.device not in ("auto", "cpu"):
            from skmmal.heads._tensors import resolve_device

            resolve_device(self.device)  # the solver does without, but a name that is none is refused
        met = classes_met(data.labels, data.present, len(self.classes_))
        heads.center = np.concatenate(mean_rows(data.blocks, data.present, data.weights))
        anchor = None
        if hasattr(self, "anchor_"):
            anchor = self._anchor_like(heads)
            met |= anchor.known
        if started is not None:
            wake_met_classes(heads, started, met)
        heads.met = met
        self.n_iter_, self.loss_curve_ = fit_layers(
            heads.maps,
            data,
            met,
            C=self.C,
            max_iter=self.max_iter,
            tol=self.tol,
            warm=started is not None,
            anchor=anchor,
        )
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
        everything.labels = torch.as_tensor(data.labels, device=device)
        everything.weights = torch.as_tensor(data.weights, dtype=torch.float32, device=device)
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


def _check_finite(weights: list[np.ndarray], solver: str) -> None:
    if not all(np.isfinite(each).all() for each in weights):
        raise ValueError(
            f"solver={solver!r} ended in weights that are not finite: scale the features first "
            "(skmmal.ModalityScaler), or lower learning_rate"
        )


def _name_of_fusion(fusion: str) -> str:
    return find_name(fusion, FUSIONS, "value of the 'fusion' parameter")


def _linear_heads_like(network: LateFusionModule) -> LinearHeads | None:
    """Heads to be fitted in place of a network's that a callable of the user's made, where they are linear."""
    from skmmal.heads._linear_network import is_linear, linear_heads_of

    if not is_linear(network):
        return None
    heads = linear_heads_of(network)
    return LinearHeads.zeros(heads.widths, network.head.n_classes, is_sum=heads.is_sum)


def _go_on(former: Any, position: np.ndarray, heads: LinearHeads | LateFusionModule, option: str) -> np.ndarray:
    """Start from what was fitted before, in the form of the new heads; which of their classes that knows."""
    if not isinstance(heads, LinearHeads):
        heads.double()
        if isinstance(former, LinearHeads):
            from skmmal.heads._linear_network import as_network

            former = as_network(former)
    return continue_from(former, position, heads, option)


def _check_balancing(method: Balancing, estimator: FittingMixin, hidden: list[tuple[int, ...]]) -> None:
    """Refuse settings under which a method would do nothing, or something else."""
    from skmmal.balancing import ModalityDropout

    given = f"balancing={estimator.balancing!r}"
    if method.fusion is not None and not _is_concat(estimator.fusion):
        raise ValueError(f"{given} brings its own fusion: leave fusion='concat', got fusion={estimator.fusion!r}")
    if isinstance(method, ModalityDropout) and estimator.modality_dropout > 0:
        raise ValueError(
            f"{given} and modality_dropout={estimator.modality_dropout} would drop modalities twice; set one of them"
        )
    if not method.needs_encoders:
        return
    if len(hidden) < 2:
        raise ValueError(f"{given} evens out modalities, and X has one; leave balancing=None")
    if not any(hidden):
        raise ValueError(
            f"{given} evens out how the modalities' encoders are trained, and there are none: on fixed features "
            "there is nothing to balance. Set encoder_dim (for example encoder_dim=64), or leave balancing=None"
        )


def _is_concat(fusion: Any) -> bool:
    if isinstance(fusion, str):
        return _name_of_fusion(fusion) == "concat"
    from skmmal.heads import ConcatFusion

    return fusion in (ConcatFusion, FUSIONS["concat"])
