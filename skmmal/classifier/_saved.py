"""Writing a fitted classifier to a folder, and reading it again."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skmmal._persistence import decode, encode, read_folder, write_folder
from skmmal._registry import entries, name_of
from skmmal.balancing import Balancing
from skmmal.classifier._prior import ZeroShotPrior
from skmmal.heads import AttentionPooling, GatedUnit, LinearHeads, NLGate
from skmmal.heads._classes import UNSEEN_LOGIT, classes_by_intercepts
from skmmal.modalities._input import plain_layout

if TYPE_CHECKING:
    from skmmal.heads import LateFusionModule

__all__ = ["SavedMixin"]

_FORMAT, _VERSION = "skmmal-late-fusion-classifier", 3
_FITTED = (
    "classes_",
    "multilabel_",
    "n_iter_",
    "loss_curve_",
    "loss_curve_by_head_",
    "discrepancy_",
    "balancing_log_",
    "n_features_in_",
    "modalities_",
    "_widths",
    "feature_names_in_",
    "_block_feature_names",
    "_n_rows",
    "_anchor_classes",
    "C_",
    "modality_weights_",
    "temperature_",
    "cv_results_",
    "best_index_",
    "best_params_",
    "best_score_",
    "prior_weight_",
    "unmet_probability_",
)
"""What `save` keeps beside the parameters and the network."""
_ANCHOR, _CENTER = "anchor_.", "centre"
"""How names of the anchor's weights begin, and the name of the mean row."""
_OBJECTS = (AttentionPooling, GatedUnit, NLGate, ZeroShotPrior)
"""What `save` can write of objects among the parameters, beside balancing methods."""


class SavedMixin(BaseEstimator):
    """The verbs `save` and `load`."""

    classes_: np.ndarray
    heads_: LinearHeads | LateFusionModule
    anchor_: LinearHeads
    _anchor_classes: np.ndarray

    @abstractmethod
    def _unfitted_heads(self, n_classes: int) -> LinearHeads | LateFusionModule:
        """Heads of the form that a fit with these parameters leaves."""

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
        parameters = {**self.get_params(deep=False), "modalities": plain_layout(self)}
        description: dict[str, Any] = {
            "format": _FORMAT,
            "version": _VERSION,
            "class": type(self).__name__,
            "parameters": {name: encode(name, value, _is_saved) for name, value in parameters.items()},
            "fitted": {name: encode(name, getattr(self, name)) for name in _FITTED if hasattr(self, name)},
        }
        description["met"] = {"module_": encode("met", self.heads_.met)}
        if isinstance(self.heads_, LinearHeads):
            description["factors"] = self.heads_.factors
        if self.multilabel_:
            description["unmet_logits"] = {"module_": _encoded_logits(self.heads_)}
        arrays = _arrays_of(self.heads_)
        if hasattr(self, "anchor_"):
            description["met"]["anchor_"] = encode("met", self.anchor_.met)
            if self.multilabel_:
                description["unmet_logits"]["anchor_"] = _encoded_logits(self.anchor_)
            arrays.update({f"{_ANCHOR}{name}": array for name, array in _arrays_of(self.anchor_).items()})
        write_folder(path, description, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Read an estimator that `save` wrote.

        Parameters
        ----------
        path : path-like
            The folder.

        Returns
        -------
        LateFusionClassifier
            Fitted; it answers as the saved one did. It is of a subclass where one of that name was saved.

        Raises
        ------
        FileNotFoundError, ValueError
            There is none, or it is damaged, foreign or from another version.
        """
        description, arrays = read_folder(path, _FORMAT, _VERSION)
        for each in cls.__subclasses__():
            if each.__name__ == description.get("class"):
                return each.load(path)
        try:
            new = cls(**{name: decode(value, _saved_class) for name, value in description["parameters"].items()})
            new.multilabel_ = False  # earlier versions had one class a row
            for name, value in description["fitted"].items():
                setattr(new, name, decode(value))
            met = {name: decode(value) for name, value in description.get("met", {}).items()}
            unmet = {name: decode(value) for name, value in description.get("unmet_logits", {}).items()}
            former = {key: arrays.pop(key) for key in list(arrays) if key.startswith(_ANCHOR)}
            new.heads_ = new._filled(arrays, new.classes_, met.get("module_"), unmet.get("module_"))
            if isinstance(new.heads_, LinearHeads):
                new.heads_.factors = description.get("factors")
            if former:
                arrays = {key.removeprefix(_ANCHOR): array for key, array in former.items()}
                new.anchor_ = new._filled(arrays, new._anchor_classes, met.get("anchor_"), unmet.get("anchor_"))
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not describe a {cls.__name__}: {error}") from error
        return new

    def _filled(
        self,
        arrays: dict[str, np.ndarray],
        classes: np.ndarray,
        met: np.ndarray | None,
        unmet_logits: np.ndarray | None,
    ) -> Any:
        """Heads of the given weights; `met` is what they know of the classes, if that was noted."""
        level = UNSEEN_LOGIT if unmet_logits is None else unmet_logits
        heads = self._unfitted_heads(len(classes))
        if not isinstance(heads, LinearHeads):
            import torch

            heads.double().load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
            if met is not None:
                heads.set_met(met, level)
            return heads.eval()
        center, places = arrays.pop(_CENTER, None), _arrays_of(heads)
        if _shapes(places) != _shapes(arrays):
            raise ValueError("its weights are not those of its parameters")
        for name, place in places.items():
            place[:] = arrays[name]
        heads.center, heads.unmet_logits = center, level
        heads.met = classes_by_intercepts(heads, len(heads.widths)) if met is None else met
        return heads


def _arrays_of(heads: LinearHeads | LateFusionModule) -> dict[str, np.ndarray]:
    """What `save` writes of fitted heads: their weights, by their names in the network, and the mean row."""
    if not isinstance(heads, LinearHeads):
        return {name: tensor.numpy() for name, tensor in heads.state_dict().items()}
    names = [*([] if heads.is_sum else ["head.fused"]), *(f"head.unimodal.{m}" for m in range(len(heads.widths)))]
    arrays = {}
    for name, each in zip(names, heads.maps, strict=True):
        arrays.update({f"{name}.weight": each.weight, f"{name}.bias": each.intercept})
    return arrays if heads.center is None else {**arrays, _CENTER: heads.center}


def _encoded_logits(heads: LinearHeads | LateFusionModule) -> Any:
    return encode("unmet_logits", np.broadcast_to(heads.unmet_logits, heads.met.shape).copy())


def _shapes(arrays: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _is_saved(value: Any) -> bool:
    """Whether `save` can write an object by its class's name and its parameters."""
    return type(value) in _OBJECTS or (isinstance(value, Balancing) and name_of("balancing", type(value)) is not None)


def _saved_class(name: str) -> Any:
    """The class of such an object."""
    for cls in _OBJECTS:
        if cls.__name__ == name:
            return cls
    return {entry.class_name: entry for entry in entries("balancing").values()}[name].load()
