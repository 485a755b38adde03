"""Backbones for text.

============  ====================================================================================================
pooling       what a text becomes
============  ====================================================================================================
``cls``       the state of the token that the tokenizer puts in front (BERT and its kin). Refused where there is
              none (T5, GPT-2), or where the model reads from left to right and it is the same for every text
``mean``      the mean of the states of the text's tokens by the attention mask, those of its own special tokens
              included, padding not: the convention of sentence encoders
``last``      the state of the text's last token by the attention mask: what models that read from left to right
              are made for (Qwen3-Embedding and its kin). An end token counts where the tokenizer adds one
``pooled``    the model's own: for CLIP, SigLIP and other models of two towers the embedding shared with images or
              sound, for BERT the pooling layer's output, else the same as ``cls``
============  ====================================================================================================

A folder (or name) with sentence-transformers' ``modules.json`` is run by that library as it says.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from skmmal.featurize._encoding import Backbone, Inputs
from skmmal.featurize._reading import Unit
from skmmal.featurize.backbones import _sentences as sentences
from skmmal.featurize.backbones import _transformers as hf
from skmmal.featurize.backbones._common import ModelSpec, TextReader, check_pooling, vocabulary_sha256

POOLINGS = ("cls", "mean", "last", "pooled")
UNLIMITED = 512
"""Tokens per text where neither tokenizer nor model has a limit (relative positions), unless told."""
LONGEST = 8192
"""Tokens per text, unless told, where a model takes still more."""
TRIED = 1024
"""Limits up to this are tried out before a job begins."""


class TokenReader(TextReader):
    """Texts to token ids.

    Parameters
    ----------
    tokenizer : transformers tokenizer
    max_length : int
    fixed_length : int, optional
        Every text is padded to this.
    """

    def __init__(self, tokenizer: Any, max_length: int, fixed_length: int | None = None) -> None:
        self.tokenizer, self.max_length, self.fixed_length = tokenizer, max_length, fixed_length

    def decode(self, raw: str, notes: dict[str, int]) -> list[Unit]:
        """Give one unit; texts that are cut are counted."""
        whole = self.tokenizer(raw, truncation=False, verbose=False)["input_ids"]
        if len(whole) > self.max_length:
            notes["truncated"] = notes.get("truncated", 0) + 1
        encoded = self.tokenizer(raw, truncation=True, max_length=self.max_length)
        inputs = {key: torch.tensor(value, dtype=torch.long) for key, value in encoded.items()}
        length = len(inputs["input_ids"])
        if length == 0:
            raise ValueError("the tokenizer makes nothing of this text")
        inputs["attention_mask"] = torch.ones(length, dtype=torch.long)
        return [Unit(inputs, length=length)]

    def collate(self, units: Sequence[Unit]) -> dict[str, torch.Tensor]:
        """Pad to the longest text.

        Behind the text, whatever side the tokenizer would take: positions count from the first token then, as they
        do for the text alone, and the attention mask says where it ends.
        """
        longest = self.fixed_length or max(unit.length for unit in units)
        left = self.fixed_length is not None and self.tokenizer.padding_side == "left"
        fill = {"input_ids": pad_id(self.tokenizer), "token_type_ids": getattr(self.tokenizer, "pad_token_type_id", 0)}
        batch = {}
        for key in units[0].inputs:
            rows = torch.full((len(units), longest), fill.get(key, 0), dtype=torch.long)
            for row, unit in zip(rows, units, strict=True):
                row[longest - unit.length if left else 0 :][: unit.length] = unit.inputs[key]
            batch[key] = rows
        return batch


@dataclass(frozen=True)
class TextForward(hf.PooledForward):
    """How a batch of tokens becomes features.

    Parameters
    ----------
    pooling : {"cls", "mean", "last", "pooled", "projected", "tokens"}
    normalize : bool
    masked : bool
        The model is given the attention mask.
    n_tokens : int, optional
        Of the grid that ``tokens`` gives; beyond a text's end it is zero.
    """

    normalize: bool = False
    masked: bool = True
    n_tokens: int | None = None

    kind = "text"

    def __call__(self, module: nn.Module, inputs: Inputs) -> torch.Tensor:
        """Return features of shape (texts, dim) or (texts, tokens, dim)."""
        features = super().__call__(module, inputs)
        return nn.functional.normalize(features, dim=-1) if self.normalize else features

    def given(self, inputs: Inputs) -> Inputs:
        """Return the tokens, with their mask if the model is to have it."""
        return inputs if self.masked else {key: value for key, value in inputs.items() if key != "attention_mask"}

    def pool(self, module: nn.Module, states: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """Make features of the tokens' states."""
        mask = inputs["attention_mask"]
        if states.shape[1] != mask.shape[1]:
            raise ValueError(f"it gives {states.shape[1]} states for {mask.shape[1]} tokens; take --pooling pooled")
        if self.pooling == "mean":
            return hf.masked_mean(states, mask)
        if self.pooling == "last":
            ends = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(1)
            return states[torch.arange(len(states), device=ends.device), ends]
        if self.pooling == "tokens":
            behind = (self.n_tokens or mask.shape[1]) - mask.shape[1]
            return nn.functional.pad(states * mask.unsqueeze(-1), (0, 0, 0, behind))
        return states[:, 0]


def transformers_texts(
    spec: ModelSpec, *, pooling: str | None = None, max_length: int | None = None, normalize: bool = False
) -> Backbone:
    """Make a text backbone from a transformers model, or from a sentence-transformers folder.

    Parameters
    ----------
    spec : ModelSpec
    pooling : {"cls", "mean", "last", "pooled"}, optional
        See this module. Default: ``cls``; a sentence-transformers folder's own.
    max_length : int, optional
        Tokens per text; what is longer is cut, and counted. Default: what tokenizer and model are made for (at most
        8192; 512 where neither has a limit). With `tokens` every text has that many, 64 by default; beyond a text's
        end they are zero.
    normalize : bool
        Bring each feature vector to length one, as sentence encoders do.

    Raises
    ------
    ValueError
        The model cannot be used that way; the message says what can.
    """
    if pooling is not None:
        check_pooling(pooling, POOLINGS, "no text model ends in attention pooling; mean is over the text's tokens")
    place, tokens = hf.source(spec), spec.tokens
    if sentences.has_modules(place):
        return sentences.sentence_texts(spec, pooling=pooling, max_length=max_length, normalize=normalize)
    pooling = pooling or "cls"
    whole, missing = hf.load(spec)
    tokenizer = hf.load_part("AutoTokenizer", place, "tokenizer")
    module = hf.tower(whole, "text")
    projected = pooling == "pooled" and not tokens and hasattr(whole, "get_text_features")
    limit = _limit(tokenizer, module)
    # SigLIP is trained on texts padded to its full length, without a mask, and looks at the last position
    full = limit if str(getattr(module.config, "model_type", "")).startswith("siglip") else None
    probe = _Probe(tokenizer)
    if limit is not None and limit <= TRIED and full is None:
        limit = _longest(module, probe, limit)
    max_length = _length(max_length, limit, tokens)
    used = whole if projected else module
    hf.check_weights(whole, used, missing, pooler=pooling == "pooled" and not tokens)
    kind = "tokens" if tokens else "projected" if projected else pooling
    forward = TextForward(kind, normalize, masked=full is None, n_tokens=(full or max_length) if tokens else None)
    reader = TokenReader(tokenizer, max_length, full)
    one, other = (reader.collate([probe.unit(which)]) for which in (0, 1))
    if kind == "cls" or (kind == "pooled" and hf.own_pooled(hf.output_of(module, forward.given(one), "text")) is None):
        _check_first_token(module, forward, one, other, probe, pooling)
    hint = "; take --pooling last or mean" if pooling in ("cls", "pooled") else ""
    width = hf.check_features(used, forward, one, other, "text", hint)
    if full is None:
        reader.pads = _bears_padding(used, forward, reader, probe)
    preprocessing = {
        "tokenizer": type(tokenizer).__name__,
        "vocabulary_sha256": vocabulary_sha256(tokenizer),
        "max_length": max_length,
        "padding": "max_length" if full is not None else "longest" if reader.pads else "none",
    }
    packages = ("transformers", "tokenizers")
    about = spec.describe(used, preprocessing, packages, pooling=pooling, normalize=normalize)
    return Backbone(used, forward, width, reader, about)


def pad_id(tokenizer: Any) -> int:
    """Return the id that padding gets: the end token's where a tokenizer has none of its own (GPT-2)."""
    for found in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if found is not None:
            return int(found)
    return 0


class _Probe:
    """Texts of one length in tokens that share the tokenizer's own tokens and nothing else."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        special = set(tokenizer.all_special_ids)
        self.words = sorted(index for index in vocabulary.values() if index not in special)
        for text in ("an example of a text", tokenizer.decode(self.words[-8:])):
            encoded = tokenizer(text, return_special_tokens_mask=True)
            self.own = torch.tensor(encoded.pop("special_tokens_mask"), dtype=torch.bool)
            if (~self.own).sum() > 1:
                break
        if len(self.words) < 2 or not (~self.own).any():
            raise ValueError(f"{tokenizer.name_or_path} has no tokenizer that makes tokens of a text (no vocabulary)")
        self.inputs = {key: torch.tensor(value, dtype=torch.long) for key, value in encoded.items()}

    @property
    def begins(self) -> bool:
        """Whether the tokenizer puts a token of its own in front."""
        return bool(self.own[0])

    def unit(self, which: int, length: int | None = None) -> Unit:
        """Return the text of a number; longer ones have more words before what ends them."""
        order = torch.arange(len(self.own))
        if length is not None:
            place = int(torch.nonzero(~self.own)[-1])
            order = torch.cat((order[:place], order[place].repeat(max(0, length - len(order)) + 1), order[place + 1 :]))
        inputs = {key: value[order].clone() for key, value in self.inputs.items()}
        for place in torch.nonzero(~self.own[order])[:, 0].tolist():
            inputs["input_ids"][place] = self.words[(7919 * which + 104729 * (place + 1)) % len(self.words)]
        inputs["attention_mask"] = torch.ones(len(order), dtype=torch.long)
        return Unit(inputs, length=len(order))


def _check_first_token(
    module: nn.Module, forward: TextForward, one: Inputs, other: Inputs, probe: _Probe, pooling: str
) -> None:
    """Refuse the first token's state where it says nothing of the text."""
    what = "--pooling cls" if pooling == "cls" else f"{type(module).__name__} has no pooled output of its own, and cls"
    beside = {key: value.clone() for key, value in other.items()}
    beside["input_ids"][:, 0] = one["input_ids"][:, 0]
    states, others = (hf.hidden(hf.output_of(module, forward.given(inputs), "text"))[0] for inputs in (one, beside))
    if len(states) > 1 and hf.agree(states[0], others[0], 1e-7):
        raise ValueError(
            f"{what} takes the first token, but {type(module).__name__} reads from left to right, so that the first "
            "token sees nothing of the text; take --pooling last (the last token, by the attention mask) or mean"
        )
    if not probe.begins:
        raise ValueError(
            f"{what} takes the token that a tokenizer puts in front, but {type(probe.tokenizer).__name__} puts none "
            "there: the first is the text's first word; take --pooling mean or --pooling last"
        )


def _bears_padding(module: nn.Module, forward: TextForward, reader: TokenReader, probe: _Probe) -> bool:
    """Whether a text's features stay the same when a longer one shares its batch."""
    short, long = probe.unit(0), probe.unit(1, min(2 * len(probe.own), reader.max_length))
    alone = hf.trial(module, forward, reader.collate([short]), "text")
    try:
        with torch.inference_mode():
            together = forward(module, reader.collate([short, long]))
    except Exception:  # it takes one length at a time only
        return False
    return hf.agree(alone, together[:1])


def _limit(tokenizer: Any, module: nn.Module) -> int | None:
    """Return how many tokens a text may have, None where nothing says."""
    config = getattr(module, "config", None)
    # a tokenizer without a limit of its own reports a huge number, a config -1 or none
    known = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
    for name, part in module.named_modules():
        last = name.rpartition(".")[2]
        if isinstance(part, nn.Embedding) and last in ("position_embeddings", "position_embedding", "wpe"):
            # a padding index means that positions count from behind it, as in RoBERTa
            known.append(part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1))
    return min((int(value) for value in known if isinstance(value, int | float) and 0 < value < 10**9), default=None)


def _longest(module: nn.Module, probe: _Probe, limit: int) -> int:
    """Return the longest text up to `limit` tokens that a model takes: its configuration may count otherwise."""

    def works(length: int) -> bool:
        inputs = {key: value[:length].unsqueeze(0) for key, value in probe.unit(0, length).inputs.items()}
        try:
            with torch.inference_mode():
                hf.run(module, inputs)
        except (IndexError, RuntimeError, ValueError):
            return False
        return True

    if works(limit) or not works(1):  # what fails for another reason is reported by the trial
        return limit
    return bisect.bisect_left(range(1, limit), True, key=lambda length: not works(length))


def _length(asked: int | None, limit: int | None, tokens: bool) -> int:
    """Return the number of tokens: what is asked, if there is room for it."""
    if asked is None:
        asked = min(UNLIMITED if limit is None else limit, 64 if tokens else LONGEST)
    if asked < 1 or (limit is not None and asked > limit):
        raise ValueError(f"max_length must lie in 1..{limit or 'any'} for this model, got {asked}")
    return asked
