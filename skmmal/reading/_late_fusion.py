"""A late-fusion classifier as a source: rows are checked once, and every head is one pass over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np

from skmmal._arrays import without_nan
from skmmal._labels import known_codes, known_indicator
from skmmal._targets import SEVERAL_LABELS
from skmmal.contributions import contributions
from skmmal.modalities._lazy import is_large, with_zeros
from skmmal.reading._passes import LateFusionPasses, Pass
from skmmal.reading._source import FUSED, gradient_dtype

__all__ = ["LateFusionSource"]


_MOST_HELD = 2**23
"""Probabilities that are held, 64 MiB, rather than made again where rows lie in files."""


class LateFusionSource(LateFusionPasses):
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
        return self.forward(lambda part: [self.target.probabilities(part.fused_logits())])[0]

    @cached_property
    def probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """Class probabilities of each modality's own head."""
        if self._asked("predict_proba_by_modality"):
            return super().probabilities_by_modality
        found = self.forward(lambda part: [self.target.probabilities(each) for each in part.own_logits()])
        return dict(zip(self.modality_names, found, strict=True))

    @cached_property
    def predictions(self) -> Mapping[str, np.ndarray]:
        """Predicted labels by each head, in one pass."""
        if self._asked("predict") or self._asked("predict_proba_by_modality"):
            return super().predictions
        labels = (self.target.named(found, self.final.classes_) for found in self._codes)
        return dict(zip((*self.modality_names, FUSED), labels, strict=True))

    @cached_property
    def _codes(self) -> list[np.ndarray]:
        """What each head predicts, the fused one last."""
        return self.forward(lambda part: [self.target.predicted(logits) for logits in part.all_logits()])

    def read_heads(self) -> bool:
        # probabilities and predictions of every head, of one pass
        wanted = ("predict_proba", "predict_proba_by_modality", "predict")
        is_begun = not {"probabilities", "probabilities_by_modality", "_codes"}.isdisjoint(vars(self))
        if is_begun or any(map(self._asked, wanted)):
            return False

        def everything(part: Pass) -> list[np.ndarray]:
            logits = part.all_logits()
            return [*map(self.target.probabilities, logits), *map(self.target.predicted, logits)]

        found, n_heads = self.forward(everything), len(self.modality_names) + 1
        *own, fused = found[:n_heads]
        vars(self)["probabilities_by_modality"] = dict(zip(self.modality_names, own, strict=True))
        vars(self).update(probabilities=fused, _codes=found[n_heads:])
        return True

    @cached_property
    def contributions(self) -> np.ndarray:
        """Contribution of each modality to the predicted class's probability."""
        if self._asked("modality_contributions"):
            return super().contributions
        if "probabilities" in vars(self) or self._asked("predict_proba"):
            return contributions(self.shapley_values()[0], self.present)
        # the pass makes the fused head's probabilities on the way: nobody need multiply the features again
        if self._spares_memory:
            phi, _, vars(self)["gradients"] = self.shapley_values(also=self._gradients_by)
        else:
            phi, _, vars(self)["probabilities"] = self.shapley_values(also=lambda probabilities: probabilities)
        return contributions(phi, self.present)

    @cached_property
    def _spares_memory(self) -> bool:
        """Whether probabilities are made again rather than held: rows lie in files, and there are many of them."""
        n_values = len(self) * len(self.final.classes_)
        return n_values > _MOST_HELD and any(map(is_large, self.features.blocks.values()))

    def forget_probabilities(self) -> bool:
        # those of every head
        if self._spares_memory:
            for name in ("probabilities", "probabilities_by_modality"):
                vars(self).pop(name, None)
        return self._spares_memory

    @cached_property
    def gradients(self) -> np.ndarray:
        """Gradient (N, K) of the loss by the fused head's logits, in float32 unless the features are of float64."""
        if not self._spares_memory:
            return super().gradients
        return self.of_probabilities(lambda probabilities: [self._gradients_by(probabilities)])[0]

    def _gradients_by(self, probabilities: np.ndarray) -> np.ndarray:
        return self.target.residuals(probabilities, gradient_dtype(self.features.blocks.values()))

    def of_probabilities(self, function: Callable[[np.ndarray], Sequence[np.ndarray]]) -> list[np.ndarray]:
        # a chunk at a time, unless the probabilities are there
        if "probabilities" in vars(self) or self._asked("predict_proba") or not self._spares_memory:
            return super().of_probabilities(function)
        return self.forward(lambda part: function(self.target.probabilities(part.fused_logits())))

    def contributions_to(self, y: np.ndarray) -> np.ndarray:
        """Contribution of each modality to the probability of given classes, or states of the labels.

        Parameters
        ----------
        y : ndarray of shape (N,) or (N, L)
            Classes, or states of the labels.

        Returns
        -------
        ndarray of shape (N, M)
        """
        if self._asked("modality_contributions"):
            return super().contributions_to(y)
        known = known_indicator if self.target is SEVERAL_LABELS else known_codes
        return contributions(self.shapley_values(known(y, self.final.classes_, "y"))[0], self.present)

    @cached_property
    def _embedded(self) -> dict[str, np.ndarray]:
        if self._asked("embed"):
            return dict(self.final.embed(self.X))
        return dict(zip(self.modality_names, self._embeddings_of_rows(), strict=True))

    def _embeddings_of_rows(self) -> list[np.ndarray]:
        """What the last layer sees of each modality; without encoders, the features."""
        blocks = zip(self.features.blocks.values(), self.present.T, strict=True)
        return [with_zeros(block, there) if is_large(block) else without_nan(block, there) for block, there in blocks]

    @cached_property
    def blocks(self) -> Sequence[np.ndarray]:
        """What the last layer sees of each modality."""
        return list(self._embedded.values())
