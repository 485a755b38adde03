"""One reading of a model: what it says of a pool's rows, each answer computed when first asked for, and once."""

from typing import Any

from skmmal._torch import load
from skmmal.reading._accuracies import accuracies
from skmmal.reading._head import Head
from skmmal.reading._read import read, read_with_labels
from skmmal.reading._reading import ALL, Reading
from skmmal.reading._source import FUSED, Source

__all__ = ["ALL", "FUSED", "Head", "NetworkSource", "Reading", "Source", "accuracies", "read", "read_with_labels"]


def __getattr__(name: str) -> Any:
    if name == "NetworkSource":  # it brings torch
        return load(f"{__name__}._network", name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
