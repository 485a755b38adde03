"""The scripts of a clone: ``python -m featurize.image ...``. The job is `skmmal.featurize`."""

from __future__ import annotations

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    if name not in ("JobOptions", "run", "run_shards"):
        raise AttributeError(f"module 'featurize' has no attribute {name!r}")
    import skmmal.featurize

    warnings.warn(f"featurize.{name} is skmmal.featurize.{name} now", FutureWarning, stacklevel=2)
    return getattr(skmmal.featurize, name)
