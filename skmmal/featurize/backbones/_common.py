"""What all backbones share: weights from anywhere but a pickle, their hash, the versions they run on."""

from __future__ import annotations

import functools
import hashlib
import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from skmmal.featurize._reading import Reader, Unit

WEIGHT_FILES = (".pt", ".pth", ".bin", ".safetensors")


@dataclass(frozen=True)
class ModelSpec:
    """Which model a job asks for.

    Parameters
    ----------
    library, name : str
        The two sides of ``LIBRARY/NAME``.
    weights : str
        ``DEFAULT``, a name the library knows, a local file or folder, or ``random``.
    root : path
        The folder that the manifest's paths are relative to.
    seed : int
        Of random weights.
    tokens : bool
        Keep a grid of tokens instead of pooling.
    """

    library: str
    name: str
    weights: str = "DEFAULT"
    root: Path = Path()
    seed: int = 0
    tokens: bool = False

    def describe(
        self, module: torch.nn.Module, preprocessing: dict[str, Any], packages: Iterable[str], **more: Any
    ) -> dict[str, Any]:
        """Return what the manifest remembers of it (see `describe`)."""
        return describe(f"{self.library}/{self.name}", self.weights, module, preprocessing, packages, **more)


class TextReader(Reader):
    """A reader whose cells are texts; those of a range are sorted by length, so that little is padded.

    Examples
    --------
    >>> from skmmal.featurize.backbones import TextReader
    >>> TextReader.whole_range
    True
    """

    whole_range = True
    pads = True

    def fetch(self, cell: str) -> str:
        if not cell.strip():
            raise ValueError("empty text")
        return cell


class PromptReader(TextReader):
    """Texts put into templates, each of which is encoded; an item's features are their mean.

    Parameters
    ----------
    reader : TextReader
        What makes units of a text.
    prompts : sequence of str
        Templates with ``{}`` where the text goes.

    Examples
    --------
    >>> from skmmal.featurize.backbones._common import PromptReader
    >>> PromptReader.whole_range
    True
    """

    def __init__(self, reader: Reader, prompts: Sequence[str]) -> None:
        self.reader, self.prompts, self.pads = reader, tuple(prompts), reader.pads

    def decode(self, raw: str, notes: dict[str, int]) -> Iterator[Unit]:
        """Give the units of every template."""
        for prompt in self.prompts:
            yield from self.reader.decode(prompt.replace("{}", raw), notes)

    def collate(self, units: Sequence[Unit]) -> dict[str, torch.Tensor]:
        """Make one batch of units."""
        return self.reader.collate(units)


def check_prompts(prompts: Sequence[str], tokens: bool) -> None:
    """Refuse templates that texts cannot be put into."""
    for prompt in prompts:
        if not isinstance(prompt, str) or prompt.count("{}") != 1:
            raise ValueError(
                f"a prompt has {{}} once, where the text goes, such as 'a photo of a {{}}', got {prompt!r}"
            )
    if tokens and len(prompts) > 1:
        raise ValueError("tokens of several prompts cannot be averaged: give one --prompt, or do without --tokens")


def one_line(error: BaseException) -> str:
    """Return an error's message without line breaks, and not endless."""
    return " ".join(str(error).split())[:300]


def check_choice(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    """Refuse a value that is none of the choices."""
    if value not in choices:
        named = ", ".join(repr(choice) for choice in choices[:-1])
        raise ValueError(f"{name} must be {named} or {choices[-1]!r}, got {value!r}")


def check_pooling(pooling: str | None, choices: tuple[str, ...], instead: str) -> None:
    """Refuse a pooling that is none of the choices; `instead` says what serves in place of attention pooling."""
    try:
        check_choice("pooling", pooling, choices)
    except ValueError as error:
        raise ValueError(f"{error}; {instead}" if pooling == "attention" else f"{error}") from None


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of packages, for the fingerprint."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def state_sha256(module: torch.nn.Module) -> str:
    """Hash a model's parameters and buffers: their names, shapes, dtypes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        # viewed as bytes, because numpy does not know every dtype of torch
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


def vocabulary_sha256(tokenizer: Any) -> str:
    """Hash a tokenizer's vocabulary."""
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()


def seeded(build: Callable[[], torch.nn.Module], seed: int) -> torch.nn.Module:
    """Build a model with random weights that depend on `seed` alone; torch's own random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return build()


def load_state(module: torch.nn.Module, path: Path) -> torch.nn.Module:
    """Load a state dict (``.safetensors``, or torch's format without arbitrary objects) into a model.

    Parameters
    ----------
    module : torch.nn.Module
        The model, whose weights are replaced.
    path : path
        The file.

    Returns
    -------
    torch.nn.Module
        The same module.

    Raises
    ------
    ValueError
        The file is no state dict, or not this model's; the message names what is missing or too much.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from skmmal.featurize.backbones import load_state
    >>> trained = torch.nn.Linear(4, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"state_dict": trained.state_dict()}, Path(folder) / "last.pt")
    ...     module = load_state(torch.nn.Linear(4, 2), Path(folder) / "last.pt")
    >>> torch.equal(module.weight, trained.weight)
    True
    """
    try:
        state = _read_state(path)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{path} is not a file of weights, or holds more than tensors, which is never loaded: "
            f"{str(error).splitlines()[0]}"
        ) from None
    for key in ("state_dict", "model"):  # common wrappings of a training checkpoint
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict (names to tensors)")
    state = {name.removeprefix("module."): value for name, value in state.items()}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the model: {' '.join(str(error).split())[:600]}") from None
    return module


def _read_state(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def is_weight_file(weights: str) -> bool:
    """Whether `weights` names a file rather than a set that a library knows."""
    return Path(weights).suffix in WEIGHT_FILES


def describe(
    model: str,
    weights: str,
    module: torch.nn.Module,
    preprocessing: dict[str, Any],
    packages: Iterable[str],
    **more: Any,
) -> dict[str, Any]:
    """Return what the manifest remembers of a backbone.

    Local files go by their names: the same weights elsewhere are the same weights, as their hash says.

    Parameters
    ----------
    model : str
        ``LIBRARY/NAME``, or ``LIBRARY/FOLDER``.
    weights : str
        The name of the weights, or their file or folder.
    module : torch.nn.Module
        What computes the features. Its weights are hashed.
    preprocessing : dict
        All that decides what becomes of an item before the model sees it.
    packages : iterable of str
        Packages whose version counts, beside torch and numpy.
    **more : object
        What else makes a difference.

    Returns
    -------
    dict
        The `description` of a `Backbone`.

    Examples
    --------
    >>> import torch
    >>> from skmmal.featurize.backbones import describe
    >>> about = describe("own/letters", "none", torch.nn.Linear(4, 2), {"letters": 64}, ["pillow"], pooling="mean")
    >>> sorted(about)
    ['backbone', 'pooling', 'preprocessing', 'versions', 'weights', 'weights_sha256']
    """
    library, _, name = model.partition("/")
    return {
        "backbone": f"{library}/{Path(name).name if Path(name).exists() else name}",
        "weights": Path(weights).name if Path(weights).exists() else weights,
        "weights_sha256": state_sha256(module),
        "preprocessing": preprocessing,
        **more,
        "versions": versions(("torch", "numpy", *packages)),
    }


def size_key(inputs: Mapping[str, torch.Tensor]) -> int:
    """Return a number that tensors share if all their shapes are equal: such units may share a batch.

    Examples
    --------
    >>> one, other = ({"pixel_values": torch.zeros(3, *size)} for size in ((8, 4), (4, 8)))
    >>> size_key(one) == size_key(other), size_key(one) == size_key({"pixel_values": torch.ones(3, 8, 4)})
    (False, True)
    """
    sizes = [size for _, value in sorted(inputs.items()) for size in value.shape]
    return functools.reduce(lambda key, size: (key << 24) | size, sizes, 0)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a processor's settings what JSON can say and what does not depend on where things lie."""
    return {
        key: value
        for key, value in sorted(settings.items())
        if isinstance(value, str | int | float | bool | list | dict) and not key.startswith("_") and "path" not in key
    }
