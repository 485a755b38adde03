"""Names of registered things: every spelling that is meant, and an answer to one that is not known."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["did_you_mean", "find_name", "from_elsewhere", "nearest", "plain_name"]

_ELSEWHERE = {
    "estimator": ("model", "classifier", "clf", "learner", "base_estimator"),
    "query_strategy": ("strategy", "acquisition", "acquisition_function", "sampler", "query_function"),
    "X_training": ("X", "X_train", "X_labeled", "X_initial", "X_init"),
    "y_training": ("y", "y_train", "y_labeled", "y_initial", "y_init"),
    "bootstrap_init": ("bootstrap",),
    "initial": ("initial_strategy", "init_strategy", "cold_start", "initializer"),
    "random_state": ("seed", "rng", "random_seed"),
    "n_instances": ("batch_size", "n_samples", "n_queries", "query_size", "budget", "n", "k"),
    "return_metrics": ("return_scores", "return_utilities"),
}
"""What other libraries call an argument of ours."""


def plain_name(name: str) -> str:
    """Return the letters and digits of a name, in lower case: what two spellings of it have in common.

    Examples
    --------
    >>> plain_name("Least_Confidence") == plain_name("least-confidence")
    True
    """
    return re.sub(r"[\W_]+", "", name).casefold()


def find_name(name: Any, known: Iterable[str], what: str) -> str:
    """Return the registered spelling of a name.

    Case, hyphens, underscores, blanks and plus signs do not matter; where `known` maps names to classes (or objects,
    or the classes' names), the class's own name is one more spelling.

    Parameters
    ----------
    name : str
    known : mapping or iterable of str
        The registered names.
    what : str
        What they name, for the error message.

    Raises
    ------
    TypeError
        Not a string.
    ValueError
        Not known; the message holds the nearest name and all of them.

    Examples
    --------
    >>> find_name("OGM_GE", ["ogm", "ogm-ge"], "balancing method")
    'ogm-ge'
    >>> find_name("ogm-eg", ["ogm", "ogm-ge"], "balancing method")
    Traceback (most recent call last):
    ValueError: unknown balancing method 'ogm-eg'; there are ['ogm', 'ogm-ge']. Did you mean 'ogm-ge'?
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    names = list(known)
    spellings = {plain_name(each): each for each in names}
    if isinstance(known, Mapping):
        of_classes = {plain_name(_class_name(value)): each for each, value in known.items()}
        spellings = {**of_classes, **spellings}
    found = spellings.get(plain_name(name))
    if found is None:
        raise ValueError(f"unknown {what} {name!r}; there are {names}{did_you_mean(name, names)}")
    return found


def _class_name(value: Any) -> str:
    if isinstance(value, str):
        return value
    return (value if isinstance(value, type) else type(value)).__name__


def nearest(name: str, known: Iterable[Any], cutoff: float = 0.6) -> str | None:
    """Return the known name that is spelt nearly so, or ``None``.

    Parameters
    ----------
    name : str
        As somebody spelt it.
    known : iterable
        What is no string is left out.
    cutoff : float, default=0.6
        How alike they must be, from 0 to 1 (`difflib`).

    Returns
    -------
    str or None
        One of `known`.

    Examples
    --------
    >>> nearest("X_labelled", ["X_labeled", "y_labeled"])
    'X_labeled'
    """
    spellings = {plain_name(each): each for each in known if isinstance(each, str)}
    near = difflib.get_close_matches(plain_name(name), spellings, 1, cutoff)
    return spellings[near[0]] if near else None


def from_elsewhere(name: str, known: Iterable[Any]) -> str | None:
    """Return the known name of what another library calls by this one, or ``None``.

    Examples
    --------
    >>> from_elsewhere("batch_size", ["X_pool", "n_instances"])
    'n_instances'
    """
    return next((own for own in known if name in _ELSEWHERE.get(own, ())), None)


def did_you_mean(name: str, known: Iterable[Any]) -> str:
    """Return a sentence that names what is spelt nearly so, or nothing; to be put after a list of what there is.

    Examples
    --------
    >>> did_you_mean("accurcy", ["accuracy", "ece"])
    ". Did you mean 'accuracy'?"
    >>> did_you_mean("weather", ["accuracy", "ece"])
    ''
    """
    known = list(known)
    near = from_elsewhere(name, known) or nearest(name, known)
    return f". Did you mean {near!r}?" if near else ""
