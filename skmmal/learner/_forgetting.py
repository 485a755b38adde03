"""What a model knows, and what its next fit does with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skmmal._fitted import known_fitted, open_model

__all__ = ["anchored_at_present", "forgets", "forgetting", "goes_on"]


def goes_on(estimator: Any) -> bool:
    """Whether a fit starts from the weights of the last one, so that the model depends on the way to it."""
    params = estimator.get_params() if hasattr(estimator, "get_params") else {}
    return any(bool(value) for name, value in params.items() if name.split("__")[-1] == "warm_start")


def forgets(estimator: Any) -> bool:
    """Whether the estimator has learned something that its next fit does not keep."""
    opened = open_model(estimator)
    if not opened.searched or getattr(opened.final, "warm_start", False) == "anchor":
        return False
    # a prior alone is kept
    return bool(known_fitted(opened.final)) and getattr(opened.final, "_n_rows", None) != 0


@contextmanager
def anchored_at_present(estimator: Any) -> Iterator[None]:
    """Let an anchored fit stay near the model that there is now: earlier rows do not come again to keep it there."""
    final = getattr(open_model(estimator).final, "__dict__", {})
    former = final.pop("anchor_", None)
    try:
        yield
    except BaseException:
        if former is not None:
            final["anchor_"] = former
        raise


def forgetting(estimator: Any, n_rows: int, only_new: bool) -> str:
    """Say what is lost by a fit of `teach` on so many rows."""
    final = open_model(estimator).final
    warm = " (warm_start=True only says where the fit starts)" if getattr(final, "warm_start", False) else ""
    call = "teach(only_new=True)" if only_new else "teach()"
    mend = "leave only_new out" if only_new else "give the rows that it was fitted on as X_training= and y_training="
    return (
        f"{call} fits {type(final).__name__} on these {n_rows} rows alone, and what it had learned from other rows is "
        f"forgotten{warm}. To keep it, {mend}, or use LateFusionClassifier(warm_start='anchor'), whose fit stays near "
        "the weights that it came with"
    )
