"""Sentence-transformers folders, run by sentence-transformers itself.

``modules.json`` says what becomes of a text: its transformer and its longest text, pooling, dense layers,
normalization; ``config_sentence_transformers.json`` may name a prompt. All of it is obeyed: features are what
``SentenceTransformer(FOLDER).encode(texts)`` returns.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skmmal.featurize._compat import import_transformers
from skmmal.featurize._encoding import Backbone, Inputs
from skmmal.featurize._reading import Unit
from skmmal.featurize.backbones import _transformers as hf
from skmmal.featurize.backbones._common import ModelSpec, TextReader, is_weight_file, one_line, vocabulary_sha256


class SentenceReader(TextReader):
    """Texts as they are, in bytes: the library tokenizes a batch itself.

    Parameters
    ----------
    tokenizer : callable, optional
        Counts tokens, to tell which texts are cut, and to put texts of similar length together.
    max_length : int, optional
    prompt : str
        What the library puts in front of each text.
    """

    def __init__(self, tokenizer: Any, max_length: int | None, prompt: str) -> None:
        self.tokenizer, self.max_length, self.prompt = tokenizer, max_length, prompt

    def decode(self, raw: str, notes: dict[str, int]) -> list[Unit]:
        """Give one unit; texts that are cut are counted."""
        length = len(raw)
        if self.tokenizer is not None:
            length = len(self.tokenizer(self.prompt + raw, truncation=False, verbose=False)["input_ids"])
            if self.max_length is not None and length > self.max_length:
                notes["truncated"] = notes.get("truncated", 0) + 1
        data = torch.frombuffer(bytearray(raw.encode()), dtype=torch.uint8)
        return [Unit({"text": data}, length=length)]

    def collate(self, units: Sequence[Unit]) -> dict[str, torch.Tensor]:
        """Put texts into one array; their bytes are counted beside it."""
        sizes = torch.tensor([len(unit.inputs["text"]) for unit in units])
        text = nn.utils.rnn.pad_sequence([unit.inputs["text"] for unit in units], batch_first=True)
        return {"text": text, "bytes": sizes}


def has_modules(place: str) -> bool:
    """Whether a folder, or a name on the hub, is a sentence-transformers model."""
    if Path(place).is_dir():
        return (Path(place) / "modules.json").is_file()
    import_transformers()
    from transformers.utils import cached_file

    try:
        return cached_file(place, "modules.json", _raise_exceptions_for_missing_entries=False) is not None
    except (OSError, ValueError):  # not there, or no connection: what loads the model says so
        return False


def sentence_texts(
    spec: ModelSpec, *, pooling: str | None = None, max_length: int | None = None, normalize: bool = False
) -> Backbone:
    """Make a text backbone of a sentence-transformers folder, or name on the hub.

    Parameters
    ----------
    pooling : {"cls", "mean", "last", "pooled"}, optional
        Only what the folder says anyway: ``pooled`` and None stand for that.
    max_length : int, optional
        Tokens per text instead of the folder's ``max_seq_length``.
    normalize : bool
        Bring each feature vector to length one, where the folder does not.
    """
    place, weights = hf.source(spec), spec.weights
    if find_spec("sentence_transformers") is None:
        raise ValueError(f"{place} is a sentence-transformers model: pip install sentence-transformers")
    if spec.tokens:
        raise ValueError("a sentence-transformers model gives one vector per text; do without --tokens")
    if weights == "random" or is_weight_file(weights):
        raise ValueError(f"a sentence-transformers folder holds its own weights; do without --weights {weights}")
    import_transformers()
    from sentence_transformers import SentenceTransformer

    try:
        module: Any = SentenceTransformer(place, device="cpu").float().eval()
    except Exception as error:
        raise ValueError(f"sentence-transformers cannot load {place}: {one_line(error)}") from error
    own = _poolings(module)
    if pooling not in (None, "pooled", own):
        raise ValueError(
            f"--pooling {pooling} contradicts the folder's modules.json ({own or 'no pooling of one kind'}): leave "
            "--pooling away, or give a folder without modules.json"
        )
    limit = module.max_seq_length
    if max_length is not None:
        positions = _positions(module)
        if limit is None or not 1 <= max_length <= max(limit, positions):
            raise ValueError(f"max_length must lie in 1..{max(limit or 0, positions)} for this model, got {max_length}")
        module.max_seq_length = limit = max_length
    reader = SentenceReader(_counter(module), None if limit is None else int(limit), _prompt(module))
    forward = functools.partial(_encode, normalize=normalize)
    one, other = (reader.collate(reader.decode(text, {})) for text in ("one example", "quite another text 2 3 4"))
    width = hf.check_features(module, forward, one, other, "text")
    preprocessing = {
        "modules": [_about(part) for part in module],
        "max_length": reader.max_length,
        "prompt": reader.prompt,
        "truncate_dim": getattr(module, "truncate_dim", None),
    }
    packages = ("sentence-transformers", "transformers", "tokenizers")
    about = spec.describe(module, preprocessing, packages, pooling="modules.json", normalize=normalize)
    return Backbone(module, forward, width, reader, about)


def _encode(module: Any, inputs: Inputs, normalize: bool) -> torch.Tensor:
    rows = zip(inputs["text"].cpu().numpy(), inputs["bytes"].tolist(), strict=True)
    texts = [bytes(row[:size]).decode() for row, size in rows]
    options = {"convert_to_tensor": True, "show_progress_bar": False, "normalize_embeddings": normalize}
    return module.encode(texts, batch_size=len(texts), **options).float()


def _poolings(module: Any) -> str | None:
    """Return the folder's pooling by the name that this package has for it."""
    names = {"cls": "cls", "mean": "mean", "lasttoken": "last"}
    for part in module:
        if type(part).__name__ == "Pooling":
            mode = part.get_pooling_mode_str() if hasattr(part, "get_pooling_mode_str") else part.pooling_mode
            return names.get(mode if isinstance(mode, str) else "+".join(mode))
    return None


def _positions(module: Any) -> int:
    config = getattr(getattr(module[0], "auto_model", None), "config", None)
    found = getattr(config, "max_position_embeddings", None)
    return found if isinstance(found, int) else 0


def _counter(module: Any) -> Any:
    """Return the tokenizer, if it is one that counts as transformers' do."""
    from transformers import PreTrainedTokenizerBase

    tokenizer = getattr(module, "tokenizer", None)
    return tokenizer if isinstance(tokenizer, PreTrainedTokenizerBase) else None


def _prompt(module: Any) -> str:
    name = module.default_prompt_name
    return module.prompts.get(name, "") if name is not None else ""


def _about(part: Any) -> dict[str, Any]:
    """Return a module's kind and settings, and the hash of its vocabulary."""
    config = part.get_config_dict() if hasattr(part, "get_config_dict") else {}
    found = {"type": type(part).__name__, "config": json.loads(json.dumps(config, default=str, sort_keys=True))}
    tokenizer: Any = getattr(part, "tokenizer", None)
    if hasattr(tokenizer, "get_vocab"):
        found["vocabulary_sha256"] = vocabulary_sha256(tokenizer)
    return found
