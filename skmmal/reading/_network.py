"""A late-fusion network as a source: rows are checked once, encoders run once, and every head is one pass over that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from skmmal.contributions import contributions
from skmmal.heads import AdditiveFusion, LateFusionModule
from skmmal.heads._tensors import softmax, without_nan, zero_where_absent
from skmmal.reading._network_at_points import NetworkAtPoints
from skmmal.reading._source import FUSED

__all__ = ["NetworkSource"]


class NetworkSource(NetworkAtPoints):
    """What a fitted `skmmal.LateFusionClassifier` says of rows.

    Where a subclass answers itself (it overrides `predict_proba`, say), it is asked.

    Parameters
    ----------
    model : ReadyModel
        Its classifier is a `LateFusionClassifier`.
    X : container of rows
        As of `ModelSource`.
    once : bool, default=False
        Whether this is for one question of the classifier's own: then the encoders' output is not kept for further
        passes, and no subclass asked.
    **options
        As of `ModelSource`.
    """

    def _asked(self, method: str) -> bool:
        """Whether a subclass of the classifier answers in its own way."""
        if self._once:
            return False
        owners = [owner for owner in type(self.final).__mro__ if method in vars(owner)]
        reader = next(owner for owner in type(self.final).__mro__ if "reading_source" in vars(owner))
        return method in vars(self.final) or not issubclass(reader, owners[0])

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Class probabilities of the fused head."""
        if self._asked("predict_proba"):
            return super().probabilities
        return self.forward(lambda module, z, there, _: [softmax(module.fused_logits(z, there))])[0]

    @cached_property
    def probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """Class probabilities of each modality's own head."""
        if self._asked("predict_proba_by_modality"):
            return super().probabilities_by_modality
        found = self.forward(lambda module, z, *_: [softmax(logits) for logits in module.head.own_logits(z)])
        return dict(zip(self.modality_names, found, strict=True))

    @cached_property
    def predictions(self) -> Mapping[str, np.ndarray]:
        """Predicted labels by each head, in one pass."""
        if self._asked("predict") or self._asked("predict_proba_by_modality"):
            return super().predictions

        def codes(module: LateFusionModule, z: list[torch.Tensor], there: torch.Tensor, _: slice) -> list[torch.Tensor]:
            return [logits.argmax(dim=1) for logits in (*module.head.own_logits(z), module.fused_logits(z, there))]

        labels = (self.final.classes_[found] for found in self.forward(codes))
        return dict(zip((*self.modality_names, FUSED), labels, strict=True))

    @cached_property
    def contributions(self) -> np.ndarray:
        """Contribution of each modality to the predicted class's probability."""
        if self._asked("modality_contributions"):
            return super().contributions
        # the pass makes the fused head's probabilities on the way: nobody need multiply the features again
        phi, _, probabilities = self.shapley_values(with_probabilities=True)
        if "probabilities" not in vars(self) and not self._asked("predict_proba"):
            vars(self)["probabilities"] = probabilities
        return contributions(phi, self.present)

    @property
    def _head(self) -> Any:
        return self.final.module_.head

    @property
    def shares_last_layer(self) -> bool:  # type: ignore[override]
        """Whether the fusion gates or attends."""
        return isinstance(self._head, AdditiveFusion)

    @cached_property
    def _embedded(self) -> dict[str, np.ndarray]:
        if self._asked("embed"):
            return dict(self.final.embed(self.X))
        if self.final.module_.is_linear and not self.shares_last_layer:
            blocks = self.features.blocks.values()
            found = [without_nan(block, self.present[:, m]) for m, block in enumerate(blocks)]
        else:
            found = self.forward(lambda module, z, there, _: zero_where_absent(module.features(z, there), there))
        return dict(zip(self.modality_names, found, strict=True))

    @cached_property
    def own_blocks(self) -> Sequence[np.ndarray]:
        """What each modality's own head sees: with token grids under fusions that gate or attend, their mean."""
        if not self.shares_last_layer:
            return self.blocks
        return self.forward(lambda module, z, there, _: zero_where_absent(module.head.unimodal_inputs(z), there))

    @cached_property
    def blocks(self) -> Sequence[np.ndarray]:
        """What the last layer sees of each modality."""
        return list(self._embedded.values())
