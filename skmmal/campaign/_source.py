"""The features of a campaign: where they are, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, cast

import numpy as np

from skmmal import _store
from skmmal._paths import local_path
from skmmal.campaign._files import CampaignError
from skmmal.distributed import ShardedPool
from skmmal.distributed._rows import RowsOnWorkers, fingerprint_of, row_hashes
from skmmal.experiment.sources import Features, load_features
from skmmal.modalities import MultimodalArray, as_multimodal, is_multimodal
from skmmal.modalities._rows import check_ids

IN_ORDER, BY_ROWS = "order", "rows"
"""How values are summed up: one after the other, or each row for itself, as can be done where the rows are."""

__all__ = ["ids_digest", "load", "relative_path", "same_features"]


def load(features: Any, ids: Any) -> Features:
    """Features from a path, or from arrays with their ids; features that were loaded stay as they are."""
    if isinstance(features, Features):
        return features
    if isinstance(features, str | os.PathLike):
        if ids is not None:
            raise ValueError("ids come with the features' file; give them with arrays only")
        return load_features(local_path(features, "features"))
    if isinstance(features, ShardedPool):
        return _of_pool(features, ids)
    if not is_multimodal(features):
        raise TypeError(
            "features must be the path of a feature cache or .npz file, a MultimodalArray, mapping of blocks or "
            "DataFrame with column levels (modality, feature), or a ShardedPool, got "
            f"{type(features).__name__}"
        )
    X: MultimodalArray = as_multimodal(features)
    if ids is None:
        raise ValueError("ids are needed with arrays: one name for each row")
    check_ids(features, ids, "features")
    return Features(X, _distinct(ids, len(X)))


def _of_pool(pool: ShardedPool, ids: Any) -> Features:
    """Features that stay on their workers."""
    if ids is not None:
        raise ValueError("ids come with the pool; give them to ShardedPool.open(paths, ids=...)")
    if pool.ids is None:
        raise ValueError(
            "the pool has no ids, by which a campaign knows its rows: ShardedPool.open(paths, ids=...), one name for "
            "each row; feature caches and Parquet with a column of ids bring their own"
        )
    return Features(cast(Any, pool), _distinct(pool.ids, len(pool)), pool.checksum())


def _distinct(ids: Any, n_rows: int) -> np.ndarray:
    names = np.array([str(name) for name in ids], dtype=object)
    if len(names) != n_rows or len(set(names)) < len(names):
        raise ValueError(f"ids must be {n_rows} distinct names, found {len(names)}, {len(set(names))} of them distinct")
    return names


def relative_path(features: Any, folder: Path) -> str | None:
    """Path of the features as the campaign keeps it: relative, so that both can be moved together."""
    if not isinstance(features, str | os.PathLike):
        return None
    return Path(os.path.relpath(local_path(features, "features").absolute(), folder.absolute())).as_posix()


def ids_digest(ids: np.ndarray) -> str:
    """Checksum of the ids in their order."""
    return hashlib.sha256("\n".join(map(str, ids)).encode()).hexdigest()


def fingerprint(features: Features, by: str = IN_ORDER) -> str:
    """Checksum of ids and values; every value is read. The two kinds differ in what they make of the same values."""
    if by == IN_ORDER:
        return _store.fingerprint(features.X.blocks, start=ids_digest(features.ids))
    X: Any = features.X
    found = fingerprint_of(X) if isinstance(X, RowsOnWorkers) else row_hashes(X)
    return _store.digest(f"{ids_digest(features.ids)} {found:064x}".encode())


def describe(features: Features, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a receipt says of the features.

    Parameters
    ----------
    features : Features
    before : dict, optional
        What the last receipt says: where a cache's own checksums are those of then, no value is read.
    """
    ids = ids_digest(features.ids)
    known = features.checksum is not None and before is not None and before.get("stored") == features.checksum
    same = known and before is not None and before["ids_sha256"] == ids
    by = BY_ROWS if isinstance(features.X, RowsOnWorkers) else (before or {}).get("by", IN_ORDER)
    return {
        "n_samples": len(features.ids),
        "modalities": {
            name: list(width) if isinstance(width, tuple) else width for name, width in features.X.modalities.items()
        },
        "ids_sha256": ids,
        "sha256": before["sha256"] if same and before is not None else fingerprint(features, by),
        **({} if by == IN_ORDER else {"by": by}),
        **({} if features.checksum is None else {"stored": features.checksum}),
    }


def same_features(features: Features, now: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Return what a receipt says of features that are those of before, or begin with them: a cache that grew.

    Parameters
    ----------
    features : Features
    now, before : dict
        What `describe` says of them, and what the last receipt says.

    Raises
    ------
    CampaignError
        They are others; the message says what differs.
    """
    if now["sha256"] == before["sha256"]:
        return now
    n_before = before["n_samples"]
    has_grown = now["modalities"] == before["modalities"] and now["n_samples"] > n_before
    if has_grown and _of_first(features, n_before, now.get("by", IN_ORDER)) == before["sha256"]:
        return {**now, "grown_from": n_before}
    if now.get("by") != before.get("by"):
        what = "they were in one place, and are a ShardedPool, whose values are summed up otherwise"
    elif now["modalities"] != before["modalities"]:
        what = f"the modalities were {before['modalities']} and are {now['modalities']}"
    elif now["ids_sha256"] != before["ids_sha256"]:
        what = f"there were {before['n_samples']} ids, and there are {now['n_samples']}, or others, or another order"
    else:
        what = "the ids are the same, values differ"
    raise CampaignError(
        f"the features have changed since the last round: {what}. If that is meant, say so: "
        "allow_changed_features (--allow-changed-features); it is noted in the round's receipt"
    )


def _of_first(features: Features, n_rows: int, by: str) -> str:
    ids, X = features.ids[:n_rows], cast(Any, features.X)
    if isinstance(X, RowsOnWorkers):
        with X.subset(np.arange(n_rows)) as first:
            return fingerprint(Features(cast(Any, first), ids), by)
    return fingerprint(Features(X[:n_rows], ids), by)
