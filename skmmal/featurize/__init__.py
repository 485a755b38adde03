"""From files on disk to a feature cache: one script per modality, and the job they share.

``python -m featurize.image MANIFEST --out FOLDER`` (also ``text``, ``audio``, ``video``) fills one modality of a
feature cache; ``python -m featurize.status FOLDER`` says how far it is. From Python, `run` does one job and
`run_shards` spreads it over workers through joblib.
"""

from __future__ import annotations

from skmmal.featurize._options import JobOptions

__all__ = ["JobOptions", "run", "run_shards"]


def __getattr__(name: str) -> object:
    # torch and the decoders are imported when something runs, not when options are made
    if name == "run":
        from skmmal.featurize._job import run

        return run
    if name == "run_shards":
        from skmmal.featurize._shards import run_shards

        return run_shards
    raise AttributeError(f"module 'featurize' has no attribute {name!r}")
