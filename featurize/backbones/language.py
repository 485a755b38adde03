"""Backbones for text."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch

from featurize.backbones import transformers as hf
from featurize.backbones.common import describe, split_model
from featurize.encoding import Backbone, Inputs
from featurize.reading import Reader, Unit


class TextReader(Reader):
    """Texts to token ids. All texts of a range are sorted by length, so that little is padded."""

    whole_range = True
    pads = True

    def __init__(self, tokenizer: Any, max_length: int, fixed_length: bool) -> None:
        self.tokenizer, self.max_length, self.fixed_length = tokenizer, max_length, fixed_length

    def fetch(self, cell: str) -> str:
        """The cell is the text."""
        if not cell.strip():
            raise ValueError("empty text")
        return cell

    def decode(self, raw: str, notes: dict[str, int]) -> list[Unit]:
        """Give one unit; texts that are cut are counted."""
        whole = self.tokenizer(raw, truncation=False, verbose=False)["input_ids"]
        if len(whole) > self.max_length:
            notes["truncated"] = notes.get("truncated", 0) + 1
        encoded = self.tokenizer(raw, truncation=True, max_length=self.max_length)
        ids = torch.tensor(encoded["input_ids"], dtype=torch.long)
        if len(ids) == 0:
            raise ValueError("the tokenizer makes nothing of this text")
        return [Unit({"input_ids": ids}, length=len(ids))]

    def collate(self, units: Sequence[Unit]) -> dict[str, torch.Tensor]:
        """Pad to the longest text, or to the fixed length of a token grid."""
        longest = self.max_length if self.fixed_length else max(unit.length for unit in units)
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0
        ids = torch.full((len(units), longest), pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, unit in enumerate(units):
            ids[row, : unit.length] = unit.inputs["input_ids"]
            mask[row, : unit.length] = 1
        return {"input_ids": ids, "attention_mask": mask}


def text_backbone(
    model: str,
    weights: str,
    *,
    seed: int = 0,
    pooling: str = "cls",
    max_length: int | None = None,
    normalize: bool = False,
    tokens: bool = False,
) -> Backbone:
    """Make a text backbone from a transformers encoder.

    Parameters
    ----------
    pooling : {"cls", "mean", "pooled"}
        The first token's state, the mean over the text's tokens, or the model's own pooled output (for CLIP and
        SigLIP the embedding they share with images).
    max_length : int, optional
        Tokens per text; what is longer is cut, and counted. Default: what the model was made for. With `tokens`
        every text has that many, 64 by default; beyond a text's end they are zero.
    normalize : bool
        Bring each feature vector to length one, as sentence encoders do.
    """
    if pooling not in ("cls", "mean", "pooled"):
        raise ValueError(f"pooling must be 'cls', 'mean' or 'pooled', got {pooling!r}")
    _, name = split_model(model, ("transformers",))
    module = hf.load(name, weights, seed)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(hf.source(name, weights))
    if pooling == "pooled" and not tokens and hasattr(module, "get_text_features"):
        max_length = _length(max_length, tokenizer, hf.tower(module, "text"), tokens)
    else:
        module = hf.tower(module, "text")
        max_length = _length(max_length, tokenizer, module, tokens)
    forward = functools.partial(_call, pooling="tokens" if tokens else pooling, normalize=normalize)
    reader = TextReader(tokenizer, max_length, fixed_length=tokens)
    example = reader.collate(reader.decode("an example", {}))
    with torch.inference_mode():
        shape = forward(module, example).shape[1:]
    width = int(shape[0]) if len(shape) == 1 else (int(shape[0]), int(shape[1]))
    preprocessing = {
        "tokenizer": type(tokenizer).__name__,
        "vocabulary_sha256": hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest(),
        "max_length": max_length,
    }
    more = {"pooling": pooling, "normalize": normalize}
    about = describe(model, weights, module, preprocessing, ("transformers", "tokenizers"), **more)
    return Backbone(module, forward, width, reader, about)


def _length(asked: int | None, tokenizer: Any, module: torch.nn.Module, tokens: bool) -> int:
    """Return the number of tokens: what is asked, if the model has positions for it."""
    positions = getattr(getattr(module, "config", None), "max_position_embeddings", None) or 2**31
    if getattr(getattr(module, "config", None), "model_type", "") in ("roberta", "xlm-roberta", "camembert"):
        positions -= 2  # their first position is the padding's index plus one
    # a tokenizer without a limit of its own reports a huge number
    limit = min(positions, tokenizer.model_max_length)
    if asked is None:
        asked = min(limit, 64 if tokens else 512)
    if not 1 <= asked <= limit:
        raise ValueError(f"max_length must lie in 1..{limit} for this model, got {asked}")
    return asked


def _call(module: torch.nn.Module, inputs: Inputs, pooling: str, normalize: bool) -> torch.Tensor:
    mask = inputs["attention_mask"]
    if pooling == "pooled" and hasattr(module, "get_text_features"):
        features = hf.projected(module, "text", inputs)
    else:
        output = module(**inputs)
        states = hf.hidden(output)
        if pooling == "tokens":
            features = states * mask.unsqueeze(-1)
        elif pooling == "mean":
            features = hf.masked_mean(states, mask)
        else:
            features = states[:, 0] if pooling == "cls" else hf.pooled(output)
    return torch.nn.functional.normalize(features.float(), dim=-1) if normalize else features
