"""From files on disk to a feature cache: one command per modality, and the job that they share.

``skmmal featurize image MANIFEST --out FOLDER`` (also ``text``, ``audio``, ``video``) fills one modality of a feature
cache, and ``skmmal featurize status FOLDER`` says how far it is. ``python -m skmmal.featurize.image`` and its kin do
the same. From Python, `run` does one job and `run_shards` spreads it over workers through joblib. They take a model
of your own as a `Backbone`; `skmmal.featurize.backbones` and `skmmal.featurize.decode` hold what to build one from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skmmal._torch import load
from skmmal.featurize._options import JobOptions

if TYPE_CHECKING:
    from skmmal.featurize._commits import ErrorRateError as ErrorRateError
    from skmmal.featurize._commits import StrictError as StrictError
    from skmmal.featurize._encoding import Backbone as Backbone
    from skmmal.featurize._job import JobError as JobError
    from skmmal.featurize._job import run as run
    from skmmal.featurize._notes import remark as remark
    from skmmal.featurize._reading import FileReader as FileReader
    from skmmal.featurize._reading import Reader as Reader
    from skmmal.featurize._reading import Unit as Unit
    from skmmal.featurize._shards import run_shards as run_shards

# public name -> module, imported on first use: torch is needed when something runs, not when options are made
_EXPORTS = {
    "Backbone": "_encoding",
    "ErrorRateError": "_commits",
    "FileReader": "_reading",
    "JobError": "_job",
    "Reader": "_reading",
    "StrictError": "_commits",
    "Unit": "_reading",
    "remark": "_notes",
    "run": "_job",
    "run_shards": "_shards",
}

__all__ = ["JobOptions", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return load(f"{__name__}.{_EXPORTS[name]}", name, "featurize")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
