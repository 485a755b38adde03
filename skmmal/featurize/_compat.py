"""torchvision and torchaudio beside a torch they were not built for.

Their wheels are linked against the CUDA build of torch. Beside a CPU build they install cleanly and fail on
import, and so does every transformers model that looks for them. Here the plain import is tried first; only where
it fails, and torch is a CPU build, their compiled parts are left out. What remains is all of torchvision's
models and transforms, and torchaudio's models and filters; what is lost (``ops.nms``, ``load``) is not used here.

Call `import_torchvision` and `import_torchaudio` before transformers is imported; `import_transformers` does.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch

_kept: list[Any] = []  # a Library's operators vanish with it


def import_torchvision() -> ModuleType:
    """Import torchvision, without its compiled operators where they do not fit this torch."""
    try:
        return importlib.import_module("torchvision")
    except (RuntimeError, ImportError, OSError) as error:
        if not _is_repairable("torchvision", error):
            raise
    if not _kept:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)
    _forget("torchvision")
    return importlib.import_module("torchvision")


def import_torchaudio() -> ModuleType:
    """Import torchaudio, without its compiled parts where they do not fit this torch."""
    try:
        return importlib.import_module("torchaudio")
    except (RuntimeError, ImportError, OSError) as error:
        if not _is_repairable("torchaudio", error):
            raise
    _forget("torchaudio")
    plain = Path.glob

    def glob(self: Path, pattern: str, **options: Any) -> Iterator[Path]:
        # torchaudio looks for its libraries this way, and does without those it does not find
        hidden = self.name == "lib" and self.parent.name == "torchaudio"
        return iter(()) if hidden else plain(self, pattern, **options)

    with mock.patch.object(Path, "glob", glob):
        return importlib.import_module("torchaudio")


def import_transformers() -> ModuleType:
    """Import transformers, after the two packages that it imports where they are installed."""
    if find_spec("torchvision") is not None:
        import_torchvision()
    if find_spec("torchaudio") is not None:
        import_torchaudio()
    return importlib.import_module("transformers")


def _is_repairable(name: str, error: Exception) -> bool:
    """Whether the failure is the known one: an installed package beside a torch without CUDA."""
    return torch.version.cuda is None and not (isinstance(error, ModuleNotFoundError) and error.name == name)


def _forget(name: str) -> None:
    """Drop what a failed import left behind."""
    for module in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
        del sys.modules[module]
