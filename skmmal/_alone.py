"""Say so where a multimodal question meets a model that knows one modality only."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pandas as pd

from skmmal._fitted import open_model
from skmmal.modalities import MultimodalArray, is_multimodal

__all__ = ["modalities_of", "n_modalities_of", "prior_block_of", "said_elsewhere", "warn_if_alone", "warn_if_lost"]

_WAY_OUT = (
    "With one modality there is nothing to compare: BMMAL is BADGE, and every contribution is 1. A scikit-learn "
    "transformer makes one matrix of all modalities; wrapped into skmmal.PerModality it keeps them apart. On a matrix "
    "or a flat DataFrame, say which columns belong to which: "
    "LateFusionClassifier(modalities={'image': ..., 'text': ...})"
)
_said_elsewhere: ContextVar[bool] = ContextVar("said_elsewhere", default=False)


@contextmanager
def said_elsewhere() -> Iterator[None]:
    """Say nothing of it within: whoever makes many calls says it once."""
    token = _said_elsewhere.set(True)
    try:
        yield
    finally:
        _said_elsewhere.reset(token)


def n_modalities_of(X: Any) -> int:
    """How many modalities X brings itself; 0 where it is a plain matrix."""
    if not is_multimodal(X):
        return 0
    if isinstance(X, MultimodalArray):
        return len(X.modalities)
    if isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex):
        return X.columns.get_level_values(0).nunique()
    return len(X) if isinstance(X, Mapping) else X.shape[1]


def warn_if_alone(known: Sequence[str], question: str, stacklevel: int = 2) -> None:
    """Warn where a question about several modalities is asked, and there is one.

    Parameters
    ----------
    known : sequence of str
        Modalities that the model, or the pool without one, has.
    question : str
        What was asked, as the subject of a sentence.
    stacklevel : int, default=2
        As of `warnings.warn`, seen from the caller.
    """
    if len(known) == 1 and not _said_elsewhere.get():
        warnings.warn(
            f"{question} asks about several modalities, and only one modality is left ({known[0]!r}). {_WAY_OUT}",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def warn_if_lost(X: Any, known: Sequence[str] | None, stacklevel: int = 2) -> None:
    """Warn where X brings several modalities, and the classifier was fitted on one.

    Parameters
    ----------
    X : object
        As it was given, before the steps of any Pipeline.
    known : sequence of str or None
        Modalities that the classifier has; ``None`` where it knows nothing of modalities.
    stacklevel : int, default=2
        As of `warnings.warn`, seen from the caller.
    """
    if known is None or len(known) != 1 or _said_elsewhere.get():
        return
    given = n_modalities_of(X)
    if given > 1:
        warnings.warn(
            f"X has {given} modalities, and the classifier was fitted on one: only one modality is left "
            f"({next(iter(known))!r}). {_WAY_OUT}",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def modalities_of(model: Any) -> list[str] | None:
    """Blocks of X that a fitted model's classifier has; ``None`` where it knows nothing of modalities."""
    known = getattr(open_model(model).final, "modalities_", None)
    return None if known is None else [*known, *prior_block_of(model)]


def prior_block_of(model: Any) -> list[str]:
    """The block of X that a model's classifier takes for prior probabilities, if it names one."""
    prior = getattr(open_model(model).final, "prior", None)
    return [prior] if isinstance(prior, str) else []
