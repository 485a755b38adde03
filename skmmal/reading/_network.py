"""A late-fusion network as a source: encoders run once, what they return is kept."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from skmmal._targets import Target
from skmmal.heads import AdditiveFusion, Fusion, LateFusionModule
from skmmal.heads._ablation import coalition_logits, logit_shares
from skmmal.heads._tensors import as_batches, resolve_device, to_numpy
from skmmal.modalities import MultimodalArray
from skmmal.reading._dropout import dropped_networks, has_dropout
from skmmal.reading._late_fusion import LateFusionSource
from skmmal.reading._linear import LinearHead
from skmmal.reading._passes import Pass
from skmmal.reading._source import FUSED

__all__ = ["NetworkSource"]


class NetworkPass(Pass):
    """Some rows on their way through a network: `z` are their embeddings there, M tensors (n, D_m)."""

    def __init__(
        self, rows: slice, present: np.ndarray, target: Target, module: LateFusionModule, encoded: list[torch.Tensor]
    ) -> None:
        super().__init__(rows, present, target)
        self.module, self._encoded = module, encoded
        self.z = [each.to(module.dtype) for each in encoded]
        self.there = torch.from_numpy(present).to(encoded[0].device)

    @property
    def embeddings(self) -> list[np.ndarray]:
        """What the encoders return: in float32 where only they are in single precision."""
        return [
            to_numpy(each) if each is z else each.cpu().numpy() for each, z in zip(self._encoded, self.z, strict=True)
        ]

    def fused_logits(self) -> np.ndarray:
        """Logits (n, K) of the fused head."""
        return to_numpy(self.module.fused_logits(self.z, self.there))

    def own_logits(self) -> list[np.ndarray]:
        """Logits (n, K) of each modality's own head."""
        return list(map(to_numpy, self.module.head.own_logits(self.z)))

    def shares(self, ablation_point: str) -> tuple[list[np.ndarray], np.ndarray] | None:
        """Each modality's share of the fused logits, where the head is linear and nothing remains of the ablated."""
        found = logit_shares(self.module, self.z, ablation_point)
        return None if found is None else (list(map(to_numpy, found[0])), to_numpy(found[1]))

    def ablated_logits(self, kept: np.ndarray, ablation_point: str) -> np.ndarray:
        """Fused logits (n, K) when only some modalities are kept."""
        return to_numpy(coalition_logits(self.module, self.z, self.there, kept, ablation_point))

    def shown(self, values: Sequence[torch.Tensor]) -> list[np.ndarray]:
        """M tensors as arrays, zero in the rows that lack the modality."""
        return [to_numpy(each * self.there[:, m : m + 1]) for m, each in enumerate(values)]


class NetworkSource(LateFusionSource):
    """What a fitted `skmmal.LateFusionClassifier` says of rows that go through its network.

    Where a subclass answers itself (it overrides `predict_proba`, say), it is asked. Where the heads are linear in the
    features there is no network: those are read as arrays.

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

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.reading import NetworkSource
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier(encoder_dim=8, max_iter=2, random_state=0).fit(X[::20], y[::20])
    >>> isinstance(clf.read(X[:5]).source, NetworkSource)
    True
    """

    _kept: list[np.ndarray] | None = None
    """The encoders' output, once there was a pass."""

    @property
    def _keeps(self) -> bool:
        """Whether the encoders' output is kept for further passes."""
        return not (self._once or self.final.module_.is_linear)

    @cached_property
    def _on_device(self) -> tuple[LateFusionModule, LateFusionModule, torch.device]:
        """The network, and the one whose encoders run.

        They do so in single precision where a ranking comes of features that have no more.
        """
        device, module = resolve_device(self.final.device), self.final.module_
        if device.type != "cpu":
            module = copy.deepcopy(module).to(device)
        is_wide = any(block.dtype == np.float64 for block in self.features.blocks.values())
        is_narrow = self.ranks and self._keeps and not is_wide
        return module, copy.deepcopy(module).float() if is_narrow else module, device

    def forward(self, function: Any, *, width: int | None = None, **options: Any) -> list[Any]:
        # `through=` another network, on the CPU
        with torch.inference_mode():
            if self._kept is not None or options or not self._keeps:
                return super().forward(function, width=width, **options)
            if width is not None:  # rows are encoded in the same chunks, whatever is asked first
                self._kept = super().forward(lambda part: part.embeddings)
                return super().forward(function, width=width)
            found = super().forward(lambda part: [*part.embeddings, *function(part)])
            n_modalities = len(self.modality_names)
            self._kept = found[:n_modalities]
            return found[n_modalities:]

    def _pass(self, rows: slice, *, through: LateFusionModule | None = None, **options: Any) -> NetworkPass:
        module, encoders, device = self._on_device if through is None else (through, through, torch.device("cpu"))
        present = self.present[rows]
        if self._kept is not None and through is None:
            encoded = [torch.from_numpy(block[rows]).to(device) for block in self._kept]
        else:
            batch = as_batches(self.features, self.present, rows, encoders.dtype, device)
            encoded = encoders.embed(batch.blocks, batch.present)
        return NetworkPass(rows, present, self.target, module, encoded)

    @property
    def _head(self) -> Any:
        return self.final.module_.head

    @property
    def shares_last_layer(self) -> bool:  # type: ignore[override]
        """Whether the fusion gates or attends."""
        return isinstance(self._head, AdditiveFusion)

    def _embeddings_of_rows(self) -> list[np.ndarray]:
        if self.final.module_.is_linear and not self.shares_last_layer:
            return super()._embeddings_of_rows()
        is_own_output = getattr(type(self._head), "features", None) is Fusion.features
        if self._keeps and is_own_output and self.final.module_.absent is None:
            if self._kept is None:
                self.forward(lambda part: [])
            assert self._kept is not None
            return self._kept
        return self.forward(lambda part: part.shown(part.module.features(part.z, part.there)))

    @cached_property
    def own_blocks(self) -> Sequence[np.ndarray]:
        """What each modality's own head sees: with token grids under fusions that gate or attend, their mean."""
        if not self.shares_last_layer:
            return self.blocks
        return self.forward(lambda part: part.shown(part.module.head.unimodal_inputs(part.z)))

    # -------------------------------------------------------------------------------------------------- elsewhere

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
        unknown = ~self.final.module_.met[index + 1]
        level = np.broadcast_to(self.final.module_.unmet_logits, self.final.module_.met.shape)[index + 1]
        weights[unknown], intercepts[unknown] = 0.0, level[unknown]
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

        def logits(part: NetworkPass) -> list[np.ndarray]:
            return [self.target.probabilities(part.fused_logits() if index is None else part.own_logits()[index])]

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
