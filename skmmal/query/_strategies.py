"""Strategies by name, and the table of what they can do."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from skmmal._registry import ENTRIES, Entry, entries, find, name_of
from skmmal.query._base import QueryStrategy

__all__ = ["available_strategies", "get_strategy", "saved_strategy", "strategy_name", "strategy_table"]


def available_strategies(*, needs_model: bool | None = None) -> list[str]:
    """Names that `get_strategy` knows, in alphabetical order.

    Parameters
    ----------
    needs_model : bool, optional
        Only those that need a fitted model, or only those that do not.

    Returns
    -------
    list of str
        Those of installed distributions too that have an entry point in the group ``skmmal.strategies``.

    Examples
    --------
    >>> "bmmal" in available_strategies()
    True
    >>> available_strategies(needs_model=False)[:3]
    ['auto', 'coregcn', 'coreset']
    """
    known = entries("strategy")
    if needs_model is None:
        return list(known)
    names = []
    for name, entry in known.items():
        with suppress(Exception):  # another distribution's cannot be imported: it serves neither way
            if _described(entry).needs_model == needs_model:
                names.append(name)
    return names


def get_strategy(name: str, **params: Any) -> QueryStrategy:
    """Return a strategy by its name.

    Parameters
    ----------
    name : str
        One of `available_strategies`, or the class's name; case, hyphens and underscores do not matter.
    **params
        The strategy's parameters.

    Returns
    -------
    QueryStrategy
        With these parameters; they are checked when it is asked.

    Raises
    ------
    TypeError
        What another distribution has under that name is no QueryStrategy.
    ValueError
        There is no such strategy; the message names the nearest.

    Examples
    --------
    >>> get_strategy("bmmal", random_state=0)
    BMMAL(random_state=0)
    """
    return _load(find("strategy", name))(**params)


_RENAMED = {
    "bait": {"n_components": "n_directions"},
    "bald": {"n_samples": "n_draws"},
    "batchbald": {"n_samples": "n_draws"},
    "coregcn": {"n_components": "n_directions"},
    "dcom": {"centre": "center"},
    "epig": {"n_samples": "n_draws"},
    "maxherding": {"sigma": "bandwidth"},
    "mmcsal": {"kernel_width": "bandwidth", "n_references": "max_references"},
    "powerbald": {"n_samples": "n_draws"},
    "uherding": {"sigma": "bandwidth"},
    "uncertaingcn": {"n_components": "n_directions"},
}
"""Parameters by the names they had in version 0.1.0."""
_SPLITTING = {"badge", "bmmal", "coreset"}
"""Strategies that split the pool themselves in version 0.1.0 (`Partitioned` does now)."""


def saved_strategy(name: str, params: dict[str, Any]) -> QueryStrategy:
    """Return a strategy by the name and parameters that this version or an earlier one wrote.

    Parameters
    ----------
    name : str
        One of `available_strategies`.
    params : dict
        Its parameters.

    Returns
    -------
    QueryStrategy

    Raises
    ------
    ValueError
        It split the pool in parts, which a strategy of this version does not do by itself.
    """
    present = {_RENAMED.get(name, {}).get(key, key): value for key, value in params.items()}
    if name in _SPLITTING:
        n_parts = present.pop("partitions", 1)
        present.pop("n_jobs", None)
        if n_parts != 1:
            raise ValueError(
                f"{name} was to split the pool in {n_parts} parts, which Partitioned({name}, {n_parts}) does now; it "
                "cannot be part of a campaign"
            )
    return get_strategy(name, **present)


def strategy_name(strategy: QueryStrategy | type[QueryStrategy]) -> str | None:
    """Return the name under which `get_strategy` knows a strategy's class, or ``None``.

    Parameters
    ----------
    strategy : QueryStrategy or class
        An heir of a strategy is another one.

    Returns
    -------
    str or None
        One of `available_strategies`.

    Examples
    --------
    >>> from skmmal.query import BADGE
    >>> strategy_name(BADGE(first="random"))
    'badge'
    """
    return name_of("strategy", strategy if isinstance(strategy, type) else type(strategy))


def strategy_table() -> list[dict[str, str]]:
    """Return what every strategy is and can do, as texts, a row each.

    Returns
    -------
    list of dict of str to str
        Rows in alphabetical order, all with the same columns. A strategy of another distribution that cannot be
        imported says why in the last one.

    Examples
    --------
    >>> row = next(row for row in strategy_table() if row["name"] == "margin")
    >>> row["class"], row["needs a model"], row["on"]
    ('MarginSampling', 'yes', 'yes')
    """
    return [_row(entry) for entry in entries("strategy").values()]


def _load(entry: Entry) -> type[QueryStrategy]:
    found = entry.load()
    if not (isinstance(found, type) and issubclass(found, QueryStrategy)):
        raise TypeError(f"the strategy {entry.name!r} is {entry.path}, which is no skmmal.query.QueryStrategy")
    return found


def _described(entry: Entry) -> Entry:
    """The entry with what its class says itself, where it is another distribution's."""
    if entry in ENTRIES:
        return entry
    cls = _load(entry)
    return replace(
        entry,
        needs_model=cls.requires_model,
        on="on" in cls().get_params(deep=False),
        compares_modalities=cls.compares_modalities,
    )


def _row(entry: Entry) -> dict[str, str]:
    try:
        entry = _described(entry)
        summary = (_load(entry).__doc__ or "").strip().partition("\n")[0]
    except Exception as error:  # another distribution's: the others are there all the same
        summary = f"cannot be used: {type(error).__name__}: {error}"
    return {
        "name": entry.name,
        "class": entry.class_name,
        "needs a model": _yes(entry.needs_model),
        "on": _yes(entry.on),
        "several modalities": _yes(entry.compares_modalities),
        "what it does": summary,
    }


def _yes(value: bool) -> str:
    return "yes" if value else "no"
