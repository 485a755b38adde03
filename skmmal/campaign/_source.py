"""The features of a campaign: where they are, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from skmmal import _store
from skmmal._paths import local_path
from skmmal.campaign._files import CampaignError
from skmmal.experiment.sources import Features, load_features
from skmmal.modalities import MultimodalArray, as_multimodal, is_multimodal
from skmmal.modalities._rows import check_ids

__all__ = ["ids_digest", "load", "relative_path", "same_features"]


def load(features: Any, ids: Any) -> Features:
    """Features from a path, or from arrays with their ids; features that were loaded stay as they are."""
    if isinstance(features, Features):
        return features
    if isinstance(features, str | os.PathLike):
        if ids is not None:
            raise ValueError("ids come with the features' file; give them with arrays only")
        return load_features(local_path(features, "features"))
    if hasattr(features, "ask_block"):
        raise TypeError(
            "features is a ShardedPool, and a campaign keeps its features by their path, to tell that they are still "
            "the same: give the path of one feature cache, of which a round holds no copy. Or query the pool itself, "
            "strategy.query(model, pool, n, candidates=...), and hand out pool.ids[rows]"
        )
    if not is_multimodal(features):
        raise TypeError(
            "features must be the path of a feature cache or .npz file, or a MultimodalArray, mapping of blocks or "
            f"DataFrame with column levels (modality, feature), got {type(features).__name__}"
        )
    X: MultimodalArray = as_multimodal(features)
    if ids is None:
        raise ValueError("ids are needed with arrays: one name for each row")
    check_ids(features, ids, "features")
    names = np.array([str(name) for name in ids], dtype=object)
    if len(names) != len(X) or len(set(names)) < len(names):
        raise ValueError(f"ids must be {len(X)} distinct names, found {len(names)}, {len(set(names))} of them distinct")
    return Features(X, names)


def relative_path(features: Any, folder: Path) -> str | None:
    """Path of the features as the campaign keeps it: relative, so that both can be moved together."""
    if not isinstance(features, str | os.PathLike):
        return None
    return Path(os.path.relpath(local_path(features, "features").absolute(), folder.absolute())).as_posix()


def ids_digest(ids: np.ndarray) -> str:
    """Checksum of the ids in their order."""
    return hashlib.sha256("\n".join(map(str, ids)).encode()).hexdigest()


def fingerprint(features: Features) -> str:
    """Checksum of ids and values; every value is read."""
    return _store.fingerprint(features.X.blocks, start=ids_digest(features.ids))


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
    return {
        "n_samples": len(features.ids),
        "modalities": {
            name: list(width) if isinstance(width, tuple) else width for name, width in features.X.modalities.items()
        },
        "ids_sha256": ids,
        "sha256": before["sha256"] if same and before is not None else fingerprint(features),
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
    if now["modalities"] == before["modalities"] and now["n_samples"] > n_before:
        first = Features(features.X[:n_before], features.ids[:n_before])
        if fingerprint(first) == before["sha256"]:
            return {**now, "grown_from": n_before}
    if now["modalities"] != before["modalities"]:
        what = f"the modalities were {before['modalities']} and are {now['modalities']}"
    elif now["ids_sha256"] != before["ids_sha256"]:
        what = f"there were {before['n_samples']} ids, and there are {now['n_samples']}, or others, or another order"
    else:
        what = "the ids are the same, values differ"
    raise CampaignError(
        f"the features have changed since the last round: {what}. If that is meant, say so: "
        "allow_changed_features (--allow-changed-features); it is noted in the round's receipt"
    )
