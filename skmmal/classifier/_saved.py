"""Writing a fitted classifier to a folder, and reading it again."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skmmal._persistence import decode, encode, read_folder, write_folder
from skmmal.balancing import balancing_classes
from skmmal.heads import AttentionPooling, GatedUnit, LateFusionModule, NLGate
from skmmal.heads._classes import known_classes, set_met
from skmmal.modalities._input import plain_layout

__all__ = ["SavedMixin"]

_FORMAT, _VERSION = "skmmal-late-fusion-classifier", 3
_FITTED = (
    "classes_",
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
)
"""What `save` keeps beside the parameters and the network."""
_SAVED_CLASSES = (AttentionPooling, GatedUnit, NLGate, *balancing_classes())
"""Objects among the parameters that `save` can write."""


class SavedMixin(BaseEstimator):
    """The verbs `save` and `load`."""

    classes_: np.ndarray
    module_: LateFusionModule
    anchor_: LateFusionModule
    _anchor_classes: np.ndarray

    @abstractmethod
    def _build_module(self, rng: np.random.RandomState, n_classes: int) -> tuple[LateFusionModule, str]:
        """A network for the features that were fitted on."""

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
        description = {
            "format": _FORMAT,
            "version": _VERSION,
            "parameters": {
                name: encode(name, value, _SAVED_CLASSES) for name, value in parameters.items()
            },
            "fitted": {name: encode(name, getattr(self, name)) for name in _FITTED if hasattr(self, name)},
        }
        modules = {name: getattr(self, name) for name in ("module_", "anchor_") if hasattr(self, name)}
        description["met"] = {name: encode(name, known_classes(each.head).numpy()) for name, each in modules.items()}
        tensors = _tensors_of(self.module_)
        if "anchor_" in modules:
            tensors.update({f"anchor_.{key}": value for key, value in _tensors_of(self.anchor_).items()})
        write_folder(path, description, tensors)

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
            Fitted; it answers as the saved one did.

        Raises
        ------
        FileNotFoundError, ValueError
            There is none, or it is damaged, foreign or from another version.
        """
        description, tensors = read_folder(path, _FORMAT, _VERSION)
        try:
            new = cls(**{name: decode(value, _SAVED_CLASSES) for name, value in description["parameters"].items()})
            for name, value in description["fitted"].items():
                setattr(new, name, decode(value))
            met = {name: torch.from_numpy(decode(value)) for name, value in description.get("met", {}).items()}
            former = {key: tensors.pop(key) for key in list(tensors) if key.startswith("anchor_.")}
            module = new._filled(tensors, new.classes_, met.get("module_"))
            if former:
                shorter = {key.removeprefix("anchor_."): value for key, value in former.items()}
                new.anchor_ = new._filled(shorter, new._anchor_classes, met.get("anchor_"))
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not describe a LateFusionClassifier: {error}") from error
        new.module_ = module
        return new

    def _filled(self, tensors: dict[str, torch.Tensor], classes: np.ndarray, met: torch.Tensor | None) -> Any:
        """A network of the given weights; `met` is what its head knows of the classes, if that was noted."""
        module, _ = self._build_module(np.random.RandomState(0), len(classes))
        module.centre = tensors.pop("centre", None)
        module.to(torch.float64).load_state_dict(tensors)
        if met is not None:
            set_met(module.head, met)
        return module.eval()


def _tensors_of(module: LateFusionModule) -> dict[str, torch.Tensor]:
    """What `save` writes of a network: its weights and the mean row."""
    centre = getattr(module, "centre", None)
    return {**module.state_dict(), **({} if centre is None else {"centre": centre})}
