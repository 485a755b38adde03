"""Balanced training: how the encoder of one modality is kept from being left behind by the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skmmal._registry import ENTRIES, entries, find
from skmmal._torch import load
from skmmal.balancing._base import Balancing

if TYPE_CHECKING:
    from skmmal.balancing._crmt import CRMT as CRMT
    from skmmal.balancing._crmt import CRMTFusion as CRMTFusion
    from skmmal.balancing._crmt import certified_margins as certified_margins
    from skmmal.balancing._crmt import margin_penalty as margin_penalty
    from skmmal.balancing._mmpareto import MMPareto as MMPareto
    from skmmal.balancing._mmpareto import pareto_weights as pareto_weights
    from skmmal.balancing._modality_dropout import ModalityDropout as ModalityDropout
    from skmmal.balancing._modality_valuation import ModalityValuation as ModalityValuation
    from skmmal.balancing._modality_valuation import n_modality_copies as n_modality_copies
    from skmmal.balancing._ogm import OGM as OGM
    from skmmal.balancing._ogm import ogm_coefficients as ogm_coefficients
    from skmmal.balancing._ogm_ge import OGMGE as OGMGE
    from skmmal.balancing._opm import OPM as OPM
    from skmmal.balancing._opm import opm_drop_probabilities as opm_drop_probabilities
    from skmmal.balancing._opm_ogm import OPMOGM as OPMOGM
    from skmmal.balancing._relearning import DiagnosingRelearning as DiagnosingRelearning
    from skmmal.balancing._relearning import purity as purity
    from skmmal.balancing._relearning import relearning_weights as relearning_weights
    from skmmal.balancing._sample_valuation import SampleValuation as SampleValuation
    from skmmal.balancing._sample_valuation import sample_copies as sample_copies
    from skmmal.balancing._valuation import valuations as valuations

# public name -> module; loaded on first use, since what trains networks needs torch
_EXPORTS = {
    **{entry.class_name: entry.module for entry in ENTRIES if entry.kind == "balancing"},
    "CRMTFusion": "skmmal.balancing._crmt",
    "certified_margins": "skmmal.balancing._crmt",
    "margin_penalty": "skmmal.balancing._crmt",
    "n_modality_copies": "skmmal.balancing._modality_valuation",
    "ogm_coefficients": "skmmal.balancing._ogm",
    "opm_drop_probabilities": "skmmal.balancing._opm",
    "pareto_weights": "skmmal.balancing._mmpareto",
    "purity": "skmmal.balancing._relearning",
    "relearning_weights": "skmmal.balancing._relearning",
    "sample_copies": "skmmal.balancing._sample_valuation",
    "valuations": "skmmal.balancing._valuation",
}

__all__ = sorted([*_EXPORTS, "Balancing", "available_balancings", "balancing_classes", "get_balancing"])


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return load(_EXPORTS[name], name)
    raise AttributeError(f"module 'skmmal.balancing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def available_balancings() -> list[str]:
    """Names that `get_balancing` knows, in alphabetical order.

    Returns
    -------
    list of str

    Examples
    --------
    >>> "ogm-ge" in available_balancings()
    True
    """
    return list(entries("balancing"))


def balancing_classes() -> list[type[Balancing]]:
    """Return the classes that `get_balancing` makes, in the order of their names.

    Returns
    -------
    list of type

    Examples
    --------
    >>> [cls.__name__ for cls in balancing_classes()][:3]
    ['CRMT', 'MMPareto', 'ModalityDropout']
    """
    return [entry.load() for entry in entries("balancing").values()]


def get_balancing(name: str, **params: Any) -> Balancing:
    """Return a balancing method by its name.

    Parameters
    ----------
    name : str
        One of `available_balancings`, or the class's name; case, hyphens, underscores and plus signs do not matter.
    **params
        The method's parameters.

    Returns
    -------
    Balancing

    Raises
    ------
    ValueError
        There is no such method; the message names the nearest.

    Examples
    --------
    >>> get_balancing("ogm-ge", alpha=0.1)
    OGMGE(alpha=0.1)
    """
    return find("balancing", name).load()(**params)
