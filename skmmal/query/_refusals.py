"""What is said where a strategy is asked for what it does not serve: who does."""

from __future__ import annotations

from skmmal._registry import entries

__all__ = ["groups_refusal", "label_refusal", "model_refusal", "shards_refusal"]


def groups_refusal(name: str) -> str:
    """What is said where a strategy is asked for whole groups, or by costs, and has no form for them."""
    serving = ", ".join(entry.name for entry in entries("strategy").values() if entry.groups)
    return (
        f"{name} picks rows one by one that all cost the same: it serves neither groups nor costs, budget or "
        f"max_samples; these do: {serving}"
    )


def label_refusal(name: str) -> str:
    """What is said where a strategy is asked about several labels a row, and has no form for them."""
    serving = ", ".join(entry.name for entry in entries("strategy").values() if entry.multi_label)
    return f"{name} does not serve several labels a row (multi-label targets); these do: {serving}"


def model_refusal(name: str) -> str:
    """What is said where a strategy that needs a classifier is asked with a regressor."""
    serving = ", ".join(entry.name for entry in entries("strategy").values() if not entry.needs_model)
    return f"{name} goes by the probabilities of a classifier, and a regressor has none; these need no model: {serving}"


def shards_refusal(name: str) -> str:
    """What is said where a strategy is asked about a pool on workers, and has no form for it."""
    serving = ", ".join(entry.name for entry in entries("strategy").values() if entry.shards)
    return f"{name} does not serve a ShardedPool, a pool that is spread over workers; these do: {serving}"
