"""What a late-fusion network would say elsewhere: at new points, with dropout on, by its gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from skmmal.heads import Fusion
from skmmal.heads._classes import known_classes
from skmmal.heads._modules import UNSEEN_LOGIT, LateFusionModule
from skmmal.heads._tensors import softmax
from skmmal.modalities import MultimodalArray
from skmmal.reading._dropout import dropped_networks, has_dropout
from skmmal.reading._linear import LinearHead
from skmmal.reading._passes import NetworkPasses
from skmmal.reading._source import FUSED

__all__ = ["NetworkAtPoints"]


class NetworkAtPoints(NetworkPasses):
    """What a network would say elsewhere."""

    _head: Any

    def linear_head(self, head: str, width: int) -> LinearHead | None:
        # weights and intercepts of the fused head or of a modality's own
        if head != FUSED:
            return self._own_linear_head(self.modality_names.index(head), width)
        if self.shares_last_layer:  # one layer for all modalities, which sees their sum
            return _of_layer(self._head.fused)
        with torch.inference_mode():
            found = self._head.last_layer()
            return None if found is None else (found[0].numpy().copy(), found[1].numpy().copy())

    def _own_linear_head(self, index: int, width: int) -> LinearHead | None:
        layers = getattr(self._head, "unimodal", None)
        layer = None if layers is None or index >= len(layers) else layers[index]
        if not isinstance(layer, torch.nn.Linear) or layer.in_features != width:
            return None
        weights, intercepts = _of_layer(layer)
        # a layer that the fused head shares says something of classes unknown to this head
        unknown = ~known_classes(self._head)[index + 1].cpu().numpy()
        weights[unknown], intercepts[unknown] = 0.0, UNSEEN_LOGIT
        return weights, intercepts

    def is_linear_in_features(self, head: str) -> bool:
        # whether there is no encoder before the head, and no gate in it
        module = self.final.module_
        if head != FUSED:
            return not _has_layers(module.encoders[self.modality_names.index(head)])
        return self._head.linear and module.absent is None and not _has_layers(module.encoders)

    def logits_at(self, head: str, features: np.ndarray) -> np.ndarray | None:
        # logits by the network's last layer of the fused head
        if head != FUSED or not isinstance(self._head, Fusion):
            return None
        widths = [block.shape[1] for block in self.blocks]
        with torch.inference_mode():
            blocks = list(torch.as_tensor(features, dtype=torch.float64).split(widths, dim=1))
            return self._head.classify(blocks).numpy()

    def draws(
        self, head: str, n_draws: int, rng: np.random.RandomState, source: str, joint: bool
    ) -> Iterator[np.ndarray] | None:
        # probabilities by passes with dropout on
        if source not in ("auto", "dropout") or not has_dropout(self.final.module_):
            return super().draws(head, n_draws, rng, source, joint)
        return self._dropped(head, dropped_networks(self.final.module_, n_draws, rng, joint=joint))

    def _dropped(self, head: str, networks: Iterator[Any]) -> Iterator[np.ndarray]:
        index = None if head == FUSED else self.modality_names.index(head)

        def logits(module: LateFusionModule, z: list[torch.Tensor], there: torch.Tensor, _: slice) -> list:
            own = module.fused_logits(z, there) if index is None else module.head.own_logits(z)[index]
            return [softmax(own)]

        for network in networks:
            yield self.forward(logits, through=network)[0]

    def network(self) -> tuple[LateFusionModule, MultimodalArray, np.ndarray]:
        """What gradients by the network's weights or features are computed from.

        Returns
        -------
        module : LateFusionModule
            On the CPU.
        features : MultimodalArray
            The rows as it takes them.
        present : ndarray of bool, shape (N, M)
            Which row has which modality.
        """
        return self.final.module_, self.features, self.present


def _of_layer(layer: torch.nn.Linear) -> LinearHead:
    return layer.weight.detach().cpu().double().numpy().copy(), layer.bias.detach().cpu().double().numpy().copy()


def _has_layers(encoders: torch.nn.Module) -> bool:
    return any(isinstance(part, torch.nn.Linear) for part in encoders.modules())
