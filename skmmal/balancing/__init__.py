"""Balanced training: how the encoder of one modality is kept from being left behind by the others."""

from __future__ import annotations

from typing import Any

from skmmal._registry import entries, find
from skmmal.balancing._base import Balancing
from skmmal.balancing._crmt import CRMT, CRMTFusion, certified_margins, margin_penalty
from skmmal.balancing._mmpareto import MMPareto, pareto_weights
from skmmal.balancing._modality_dropout import ModalityDropout
from skmmal.balancing._modality_valuation import ModalityValuation, n_modality_copies
from skmmal.balancing._ogm import OGM, ogm_coefficients
from skmmal.balancing._ogm_ge import OGMGE
from skmmal.balancing._opm import OPM, opm_drop_probabilities
from skmmal.balancing._opm_ogm import OPMOGM
from skmmal.balancing._relearning import DiagnosingRelearning, purity, relearning_weights
from skmmal.balancing._sample_valuation import SampleValuation, sample_copies
from skmmal.balancing._valuation import valuations

__all__ = [
    "CRMT",
    "OGM",
    "OGMGE",
    "OPM",
    "OPMOGM",
    "Balancing",
    "CRMTFusion",
    "DiagnosingRelearning",
    "MMPareto",
    "ModalityDropout",
    "ModalityValuation",
    "SampleValuation",
    "available_balancings",
    "balancing_classes",
    "certified_margins",
    "get_balancing",
    "margin_penalty",
    "n_modality_copies",
    "ogm_coefficients",
    "opm_drop_probabilities",
    "pareto_weights",
    "purity",
    "relearning_weights",
    "sample_copies",
    "valuations",
]


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
