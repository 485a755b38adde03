"""Any transformers encoder: text, vision, audio, or one tower of a model that has two."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from featurize._compat import import_transformers
from featurize.backbones.common import is_weight_file, load_state, seeded


def load(name: str, weights: str, seed: int) -> nn.Module:
    """Return a model without its head.

    Parameters
    ----------
    name : str
        A folder that ``save_pretrained`` wrote, or a name on the hub.
    weights : str
        ``DEFAULT`` (the model's own), another folder or name of the same kind of model, a state dict's file, or
        ``random``.
    seed : int
        Of random weights.
    """
    import_transformers()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive the workers' fork
    from transformers import AutoConfig, AutoModel

    def scratch() -> nn.Module:
        return AutoModel.from_config(AutoConfig.from_pretrained(name))

    if weights == "random":
        return seeded(scratch, seed).eval()
    if is_weight_file(weights):
        if not Path(weights).is_file():
            raise ValueError(f"the weights {weights} are not a file")
        return load_state(seeded(scratch, seed), Path(weights)).eval()
    return AutoModel.from_pretrained(name if weights == "DEFAULT" else weights).float().eval()


def source(name: str, weights: str) -> str:
    """Return where the tokenizer or processor lies: with the weights, where these are a folder of their own."""
    return weights if Path(weights).is_dir() else name


def tower(module: Any, kind: str) -> nn.Module:
    """Return the encoder of one kind: the vision, text or audio side of a model that has two, else the model."""
    side = getattr(module, f"{kind}_model", None)
    if side is not None:
        return side
    config = getattr(module, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        return module.get_encoder()
    return module


def hidden(output: Any) -> torch.Tensor:
    """Return the last hidden state as (units, tokens, dim)."""
    states = output.last_hidden_state
    return states if states.ndim == 3 else states.flatten(2).transpose(1, 2)


def pooled(output: Any) -> torch.Tensor:
    """Return the model's own pooled output (the first token's state where it has none) as (units, dim)."""
    found = getattr(output, "pooler_output", None)
    if found is None:
        return hidden(output)[:, 0]
    return found.flatten(1)


def masked_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of states (units, tokens, dim) over the tokens that `mask` (units, tokens) keeps."""
    weights = mask.to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def projected(module: nn.Module, kind: str, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the embedding that a two-tower model compares across modalities."""
    output = getattr(module, f"get_{kind}_features")(**inputs)
    # a tensor up to transformers 4; since 5 an output whose pooled part is the projection
    return output if isinstance(output, torch.Tensor) else output.pooler_output
