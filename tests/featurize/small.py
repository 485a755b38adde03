"""Small random models of many kinds, and their features as the scripts compute them."""

from __future__ import annotations

import inspect

import numpy as np
import torch
import transformers as tf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from skmmal.featurize._encoding import Encoder
from skmmal.featurize._reading import read_chunk
from skmmal.featurize.backbones._common import seeded

from .conftest import WORDS

SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
VOCABULARY = {word: index for index, word in enumerate([*SPECIAL, *WORDS])}
BOTH = ("<s>", "</s>")

LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
TEXT = {"vocab_size": len(VOCABULARY), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, **LAYERS}
PATCHES = {**LAYERS, "image_size": 32, "patch_size": 16}


def tokenizer(before=None, after=None, side="right", *, pad="<pad>", limit=None):
    """A tokenizer of words that puts tokens of its own around a text; without a limit it reports a huge one."""
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    own = [token for token in (before, after) if token]
    if own:
        template = " ".join(part for part in (before, "$A", after) if part)
        tokens = [(token, VOCABULARY[token]) for token in own]
        made.post_processor = processors.TemplateProcessing(single=template, special_tokens=tokens)
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    names |= {"pad_token": pad} if pad else {}
    names |= {"model_max_length": limit} if limit else {}
    return tf.PreTrainedTokenizerFast(tokenizer_object=made, padding_side=side, **names)


def save(folder, config, *others, spread=1.0, model=None):
    """Save a random model of a configuration and what belongs to it; `spread` makes its tokens differ more."""
    module = seeded(lambda: model(config) if model else tf.AutoModel.from_config(config), 1)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.ndim > 1 or name.endswith("bias"):
                value.mul_(spread)
    for part in (module, *others):
        part.save_pretrained(folder)
    return module.eval()


def encode(backbone, cells, batch_size=4):
    """Features of cells by the job's own steps, and the failures by position."""
    chunk = read_chunk(backbone.reader, cells, batch_size)
    failures = {failed.position: failed.message for failed in chunk.failures}
    width = backbone.width if isinstance(backbone.width, tuple) else (backbone.width,)
    sums, weights = np.zeros((len(cells), *width)), np.zeros(len(cells))
    encoder = Encoder(backbone, torch.device("cpu"))
    for batch in chunk.batches:
        for part, features in encoder.encode(batch.inputs):
            owners = batch.owners[part]
            if isinstance(features, Exception):
                failures[int(owners[0])] = str(features)
                continue
            np.add.at(sums, owners, features.numpy() * batch.weights[part].reshape(-1, *[1] * len(width)))
            np.add.at(weights, owners, batch.weights[part])
    return sums / np.maximum(weights, 1e-30).reshape(-1, *[1] * len(width)), failures


def accepted(call, inputs):
    """Inputs that a call knows."""
    return {key: value for key, value in inputs.items() if key in inspect.signature(call).parameters}


def tensor_of(output):
    """The embedding that a model of two towers returns, whatever the version."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output
