"""The heads that a fit begins with: their form by the estimator's parameters, and which solver they need."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, clone

from skmmal._names import find_name
from skmmal._random import draw_seed
from skmmal._torch import import_torch
from skmmal.balancing import Balancing, get_balancing
from skmmal.heads import FUSIONS, FusionFactory, LinearHeads

if TYPE_CHECKING:
    from skmmal.heads import LateFusionModule

__all__ = ["BATCH_SOLVERS", "CONVEX_SOLVERS", "NewHeadsMixin"]

CONVEX_SOLVERS = ("newton-cg", "lbfgs")
BATCH_SOLVERS = ("adamw", "sgd")


class NewHeadsMixin(BaseEstimator):
    """Heads before they are fitted; parameters as of `LateFusionClassifier`."""

    multilabel_: bool
    _widths: dict[str, Any]

    def _new_heads(self, rng: np.random.RandomState, n_classes: int) -> tuple[LinearHeads | LateFusionModule, str]:
        """Heads to be fitted, and by which solver."""
        seed, method = draw_seed(rng), self._balancing_method()
        hidden = _hidden_widths(self.encoder_dim, list(self._widths))
        heads, network = self._linear_heads(hidden, n_classes, method), None
        if heads is None:
            network = self._network(hidden, n_classes, method, seed)
            heads = _linear_heads_like(network)
        if method is not None and self.multilabel_:
            raise ValueError(
                f"balancing={self.balancing!r} goes by the probability of a row's one class, and y has several labels "
                "a row; leave balancing=None (modality_dropout serves both)"
            )
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
        if solver in BATCH_SOLVERS and self.modality_weights is not None:
            raise ValueError(
                f"modality_weights={self.modality_weights!r} are of the convex case, whose penalty they scale: "
                "solver='lbfgs', fusion 'concat' or 'sum', no encoder_dim, dropout=0, modality_dropout=0, "
                f"missing='zero' and no balancing; solver={solver!r} trains in mini-batches. Leave them out"
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
        torch = import_torch(f"LateFusionClassifier({self._reason_for_a_network(hidden)})")
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

    def _reason_for_a_network(self, hidden: dict[str, tuple[int, ...]]) -> str:
        """The first parameter that array heads and convex solvers cannot serve, as one would write it."""
        reasons = {
            "encoder_dim": any(hidden.values()),
            "fusion": not isinstance(self.fusion, str) or _name_of_fusion(self.fusion) not in ("concat", "sum"),
            "dropout": self.dropout > 0,
            "missing": self.missing == "token",
            "balancing": self.balancing is not None,
            "modality_dropout": self.modality_dropout > 0,
        }
        name = next((name for name, needed in reasons.items() if needed), "solver")
        return f"{name}={getattr(self, name)!r}"

    def _balancing_method(self) -> Balancing | None:
        """Make the method of one fit; it may change, the parameter stays as it is."""
        if self.balancing is None:
            return None
        method = get_balancing(self.balancing) if isinstance(self.balancing, str) else clone(self.balancing)
        method._validate_params()
        return method

    def _warn_if_tokens_stay_zero(self, present: np.ndarray) -> None:
        dropped = (self.modality_dropout > 0 or self.balancing is not None) and present.shape[1] > 1
        if present.all() and not dropped:
            warnings.warn(
                "missing='token', but nothing trains the learned embeddings, and they stay zero: no row misses a "
                "modality and none is dropped; set modality_dropout (0.1 to 0.3 is usual)",
                UserWarning,
                stacklevel=5,
            )


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


def _name_of_fusion(fusion: str) -> str:
    return find_name(fusion, FUSIONS, "value of the 'fusion' parameter")


def _linear_heads_like(network: LateFusionModule) -> LinearHeads | None:
    """Heads to be fitted in place of a network's that a callable of the user's made, where they are linear."""
    from skmmal.heads._linear_network import is_linear, linear_heads_of

    if not is_linear(network):
        return None
    heads = linear_heads_of(network)
    return LinearHeads.zeros(heads.widths, network.head.n_classes, is_sum=heads.is_sum)


def _check_balancing(method: Balancing, estimator: Any, hidden: list[tuple[int, ...]]) -> None:
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
