"""A late-fusion network as a source: rows are checked once, encoders run once, and every head is one pass over that."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from skmmal._input import validate_features
from skmmal._mapped import released_chunks
from skmmal._random import RandomState, check_rng, draw_seed
from skmmal.contributions import EXACT_MODALITIES, PERMUTATIONS, contributions, sampled_shapley_values, shapley_values
from skmmal.heads import AdditiveFusion, Fusion
from skmmal.heads.ablation import coalition_value
from skmmal.heads.classes import known_classes
from skmmal.heads.modules import UNSEEN_LOGIT, LateFusionModule
from skmmal.heads.tensors import as_batches, resolve_device, softmax, to_numpy, without_nan, zero_where_absent
from skmmal.modalities import MultimodalArray, presence_mask
from skmmal.reading._dropout import dropped_networks, has_dropout
from skmmal.reading._linear import LinearHead
from skmmal.reading._model import ModelSource
from skmmal.reading._source import FUSED

__all__ = ["NetworkSource", "Pass"]

Pass = Callable[[LateFusionModule, list[torch.Tensor], torch.Tensor, slice], Sequence]
"""From the network, the embeddings of some rows, which are present, and which rows they are, to arrays or tensors."""


class NetworkSource(ModelSource):
    """What a fitted `skmmal.LateFusionClassifier` says of rows.

    Where a subclass answers itself (it overrides `predict_proba`, say), it is asked.

    Parameters
    ----------
    model, X, **options
        As of `ModelSource`.
    once : bool, default=False
        Whether this is for one question of the classifier's own: then the encoders' output is not kept for further
        passes, and no subclass asked.
    """

    def __init__(self, model: Any, X: Any, *, once: bool = False, **options: Any) -> None:
        super().__init__(model, X, **options)
        self._once, self._keeps = once, not once
        self._kept: list[np.ndarray] | None = None

    # ------------------------------------------------------------------------------------------------ the passes

    @cached_property
    def features(self) -> MultimodalArray:
        """The rows in blocks of the classifier's modalities; NaN where a row lacks one."""
        return validate_features(self.final, self.X, reset=False)

    @cached_property
    def present(self) -> np.ndarray:
        """Which row has which modality."""
        return presence_mask(self.features)

    @cached_property
    def _module(self) -> tuple[LateFusionModule, torch.device]:
        device = resolve_device(self.final.device)
        module = self.final.module_
        return (module if device.type == "cpu" else copy.deepcopy(module).to(device)), device

    def forward(
        self, function: Pass, *, width: int | None = None, through: LateFusionModule | None = None
    ) -> list[Any]:
        """Go through the rows chunk by chunk, and stack what a function makes of their embeddings.

        Parameters
        ----------
        function : callable
            Takes the network, M embeddings, presence and the rows; returns a sequence of arrays or tensors.
        width : int, optional
            Numbers of a row that are held at a time; by default, columns.
        through : LateFusionModule, optional
            Another network than the classifier's, on the CPU; its embeddings are not kept.

        Returns
        -------
        list of ndarray

        Raises
        ------
        ValueError
            Rows hold values so large that something overflows.
        """
        module, device = self._module if through is None else (through, torch.device("cpu"))
        blocks = list(self.features.blocks.values())
        found: list[np.ndarray] = []
        with torch.inference_mode():
            for rows in released_chunks(blocks, width or self.features.shape[1]):
                embeddings, there = self._embeddings(module, device, rows, kept=through is None)
                arrays = [
                    part if isinstance(part, np.ndarray) else to_numpy(part)
                    for part in function(module, embeddings, there, rows)
                ]
                if not all(np.isfinite(array).all() for array in arrays):
                    raise ValueError(
                        f"rows {rows.start} to {rows.stop - 1} of X hold values so large that the predictions "
                        "overflow; scale them as those that the classifier was fitted on"
                    )
                # all rows' room at once: small results kept between large chunks would tear the memory into pieces
                found = found or [np.empty((len(self), *array.shape[1:]), array.dtype) for array in arrays]
                for whole, array in zip(found, arrays, strict=True):
                    whole[rows] = array
        return found

    def _embeddings(
        self, module: LateFusionModule, device: torch.device, rows: slice, kept: bool
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Embeddings of some rows, and which are present: the encoders run once, where their output is kept."""
        if kept and self._keeps and not module.is_linear:
            if self._kept is None:
                self._keeps = False  # while the encoders run
                self._kept = self.forward(lambda _, embeddings, *__: embeddings)
                self._keeps = True
            dtype = module.dtype
            there = torch.from_numpy(self.present[rows]).to(device)
            return [torch.from_numpy(block[rows]).to(device, dtype) for block in self._kept], there
        batch = as_batches(self.features, self.present, rows, module.dtype, device)
        return module.embed(batch.blocks, batch.present), batch.present

    # ------------------------------------------------------------------------------------------- what it says

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
            return ModelSource.probabilities.func(self)  # type: ignore[attr-defined]
        return self.forward(lambda module, z, there, _: [softmax(module.fused_logits(z, there))])[0]

    @cached_property
    def probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """Class probabilities of each modality's own head."""
        if self._asked("predict_proba_by_modality"):
            return ModelSource.probabilities_by_modality.func(self)  # type: ignore[attr-defined]
        found = self.forward(lambda module, z, *_: [softmax(logits) for logits in module.head.own_logits(z)])
        return dict(zip(self.modality_names, found, strict=True))

    @cached_property
    def predictions(self) -> Mapping[str, np.ndarray]:
        """Predicted labels by each head, in one pass."""
        if self._asked("predict") or self._asked("predict_proba_by_modality"):
            return ModelSource.predictions.func(self)  # type: ignore[attr-defined]

        def codes(module: LateFusionModule, z: list[torch.Tensor], there: torch.Tensor, _: slice) -> list[torch.Tensor]:
            return [logits.argmax(dim=1) for logits in (*module.head.own_logits(z), module.fused_logits(z, there))]

        labels = (self.final.classes_[found] for found in self.forward(codes))
        return dict(zip((*self.modality_names, FUSED), labels, strict=True))

    @cached_property
    def contributions(self) -> np.ndarray:
        """Contribution of each modality to the predicted class's probability."""
        if self._asked("modality_contributions"):
            return ModelSource.contributions.func(self)  # type: ignore[attr-defined]
        # the pass makes the fused head's probabilities on the way: nobody need multiply the features again
        phi, _, probabilities = self.shapley_values()
        if "probabilities" not in vars(self) and not self._asked("predict_proba"):
            vars(self)["probabilities"] = probabilities
        return contributions(phi, self.present)

    def shapley_values(
        self,
        targets: np.ndarray | None = None,
        *,
        n_permutations: int | str | None = "auto",
        random_state: RandomState = 0,
    ) -> list[np.ndarray]:
        """Shapley values of the modalities for the probability of a class, in one pass.

        Parameters
        ----------
        targets : ndarray of int, shape (N,), optional
            Columns of the classes; by default the predicted ones'.
        n_permutations : int, "auto" or None, default="auto"
            How many orders are sampled; ``None``: values are exact. ``"auto"``: exact up to twelve modalities.
        random_state : int, RandomState, Generator or None, default=0

        Returns
        -------
        values, standard_errors : ndarray of shape (N, M)
        probabilities : ndarray of shape (N, K)
            With all modalities.
        """
        if n_permutations == "auto":
            n_permutations = None if len(self.final.modalities_) <= EXACT_MODALITIES else PERMUTATIONS
        seed = draw_seed(check_rng(random_state))  # one, whatever the number of chunks
        point, present = self.final.ablation_point, self.present

        def values(module: LateFusionModule, z: list[torch.Tensor], there: torch.Tensor, rows: slice) -> list[Any]:
            value, logits = coalition_value(module, z, there, None if targets is None else targets[rows], point)
            if n_permutations is None:
                phi = shapley_values(value, len(z))
                found = [phi, np.zeros_like(phi)]
            else:
                found = [*sampled_shapley_values(value, len(z), n_permutations=n_permutations, random_state=seed)]  # type: ignore[arg-type]
            # an absent modality changes no coalition's value: its Shapley value is zero, but for rounding
            return [*(part * present[rows] for part in found), softmax(logits)]

        return self.forward(values, width=self.coalitions_width)

    @property
    def coalitions_width(self) -> int:
        """How many numbers of a row the coalitions need at a time: the features, or every modality's logits."""
        return max(self.features.shape[1], len(self.final.modalities_) * len(self.final.classes_))

    # ------------------------------------------------------------------------------------------- what it sees

    @cached_property
    def modality_names(self) -> list[str]:
        """Names of the modalities."""
        return list(self.final.modalities_)

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

    # ------------------------------------------------------------------------------- what it says at other points

    def linear_head(self, head: str, width: int) -> LinearHead | None:
        """Weights and intercepts of the fused head or of a modality's own."""
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
        """Whether there is no encoder before the head, and no gate in it."""
        module = self.final.module_
        if head != FUSED:
            return not _has_layers(module.encoders[self.modality_names.index(head)])
        return self._head.linear and module.absent is None and not _has_layers(module.encoders)

    def logits_at(self, head: str, features: np.ndarray) -> np.ndarray | None:
        """Logits by the network's last layer of the fused head."""
        if head != FUSED or not isinstance(self._head, Fusion):
            return None
        widths = [block.shape[1] for block in self.blocks]
        with torch.inference_mode():
            blocks = list(torch.as_tensor(features, dtype=torch.float64).split(widths, dim=1))
            return self._head.classify(blocks).numpy()

    def draws(
        self, head: str, n_draws: int, rng: np.random.RandomState, source: str, joint: bool
    ) -> Iterator[np.ndarray] | None:
        """Probabilities by passes with dropout on."""
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
        """The network on the CPU, the rows as it takes them, and which modality is present (N, M), for gradients."""
        return self.final.module_, self.features, self.present


def _of_layer(layer: torch.nn.Linear) -> LinearHead:
    return layer.weight.detach().cpu().double().numpy().copy(), layer.bias.detach().cpu().double().numpy().copy()


def _has_layers(encoders: torch.nn.Module) -> bool:
    return any(isinstance(part, torch.nn.Linear) for part in encoders.modules())
