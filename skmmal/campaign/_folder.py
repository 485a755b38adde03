"""The folder of a campaign: its configuration, its log, and the features that it is about."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skmmal._paths import local_path
from skmmal._store import check_format
from skmmal.campaign import _log, _source
from skmmal.campaign._events import read_table
from skmmal.campaign._files import SEAL, CampaignError, check_folder, read_checked, read_sealed
from skmmal.campaign._lock import locked
from skmmal.campaign._measurement import read_measurement
from skmmal.campaign._on_workers import Rows, ScaledRows, rows_on_workers
from skmmal.campaign._settings import Settings
from skmmal.campaign._state import STOP_SET, State
from skmmal.campaign._units import costs_of, groups_of
from skmmal.campaign._votes import latest
from skmmal.distributed import ShardedPool
from skmmal.experiment.sources import Features, usable_rows
from skmmal.modalities._array import on_demand
from skmmal.preprocessing._modality_scaler import on_one_scale

__all__ = ["CONFIG", "COSTS", "FORMAT", "GROUPS", "VALIDATION", "VERSION", "CampaignFolder"]

FORMAT, VERSION = "skmmal-campaign", 1
CONFIG, VALIDATION = "campaign.json", "validation.csv"
GROUPS, COSTS = "groups.csv", "costs.csv"


class CampaignFolder:
    """What lies in a campaign's folder; the verbs of `LabelingCampaign` stand on it."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        features: Any = None,
        ids: Any = None,
        client: Any = None,
        lock_timeout: float = 60.0,
    ) -> None:
        self.folder = local_path(folder, "folder")
        self.lock_timeout = lock_timeout
        self._features_given, self._ids_given, self._client = features, ids, client
        self._on_workers: ScaledRows | None = None
        self._config = _read_config(self.folder)
        self.settings = Settings.from_json(self._config["settings"])
        self._validation = self._read_validation()
        self._known: _log.Known = {}
        self._state: State | None = None
        self.state()  # a damaged log is an error now

    @property
    def mark(self) -> str:
        """By what the tasks of this campaign are told from others'."""
        return str(self._config[SEAL])[:12]

    def state(self) -> State:
        """Read the log. Needs no lock: entries appear whole.

        Returns
        -------
        State
            Everything that the entries amount to.
        """
        entries = _log.read_log(self.folder, self._config[SEAL], self._known)
        if self._state is None or self._state.entries != entries:
            self._state = State(entries, list(self.settings.classes), self.settings.answers, self._state)
        return self._state

    @contextmanager
    def _changing(self, action: str) -> Iterator[State]:
        """Hold the lock; the state as it is then."""
        with locked(self.folder, action, self.lock_timeout):
            yield self.state()

    def _append(
        self, state: State, receipt: dict[str, Any], stamp: dict[str, Any], fill: Callable[[Path], None] | None = None
    ) -> _log.Entry:
        """Add an entry behind those of the state; the caller holds the lock."""
        return _log.append(self.folder, state.entries, self._config[SEAL], receipt, stamp, fill)

    def verify(self) -> None:
        """Read every file and compare its checksum.

        Raises
        ------
        CampaignError
            At the first file that differs.
        """
        config = _read_config(self.folder)
        for name, expected in config["files"].items():
            read_checked(self.folder / name, expected)
        for entry in _log.read_log(self.folder, config[SEAL]):
            entry.verify()
        read_measurement(self.folder)

    # ------------------------------------------------------------------------------------------------------ features

    @cached_property
    def _features(self) -> Features:
        where = self._features_given
        pool = self._config["features"].get("pool")
        if where is None and pool is not None:
            where = ShardedPool.open(**pool, client=self._client)
        elif where is None:
            kept = self._config["features"]["path"]
            if kept is None:
                raise ValueError(
                    "this campaign was begun with arrays; give them again: features=..., ids=... (so is a "
                    "ShardedPool whose ids were given)"
                )
            where = self.folder / kept
            if not where.exists():
                raise FileNotFoundError(
                    f"the features are no longer at {where}; say where they are: features=... (--features)"
                )
        if self._client is not None and not isinstance(where, ShardedPool):
            raise ValueError("client is about features that are a ShardedPool, and this campaign's are in one place")
        return _source.load(where, self._ids_given)

    def _release(self) -> None:
        """Let workers go of what they keep for a round, if they keep something."""
        if self._on_workers is not None:
            self._on_workers.close()

    def _all_ids(self) -> set[str]:
        return {str(name) for name in self._features.ids}

    def scaled_features(self) -> tuple[Rows, np.ndarray]:
        """Features as the models see them, and their ids; rows without any modality are left out.

        Returns
        -------
        X : MultimodalArray of shape (n_samples, n_features)
            Scaled as in the settings. Of a pool on workers an object that stands for them: ``X[rows]`` fetches some.
        ids : ndarray of shape (n_samples,)
            Names of the rows.
        """
        features = self._features
        if isinstance(features.X, ShardedPool):
            self._on_workers, usable = rows_on_workers(features.X, self.settings.scale)
            return self._on_workers, np.asarray(features.ids, dtype=object)[usable]
        usable = np.flatnonzero(usable_rows(features.X))
        X = on_one_scale(on_demand(features.X)[usable], self.settings.scale)
        return X, np.asarray(features.ids, dtype=object)[usable]

    # -------------------------------------------------------------------------------------- files beside the settings

    def _read_validation(self) -> pd.DataFrame:
        if VALIDATION not in self._config["files"]:
            return pd.DataFrame({"id": [], "label": []}, dtype=object)
        return self._read_beside(VALIDATION, ("id", "label"))

    def _stop_set(self) -> set[str]:
        return set(self._read_beside(STOP_SET, ("id",))["id"])

    def _groups(self, ids: np.ndarray) -> np.ndarray | None:
        """Group of each id; ``None``: the campaign has none."""
        if GROUPS not in self._config["files"]:
            return None
        return groups_of(self._read_beside(GROUPS, ("id", "group")), ids)

    def _costs(self, ids: np.ndarray, state: State) -> pd.Series:
        """What each id costs, as declared, or as far as lead times tell."""
        declared = self._read_beside(COSTS, ("id", "cost")) if COSTS in self._config["files"] else None
        return costs_of(declared, ids, latest(state.events))

    def _read_beside(self, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
        path = self.folder / name
        return read_table(read_checked(path, self._config["files"][name]), path, columns)


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not the folder of a campaign: there is no such folder")
    if not (folder / CONFIG).exists() and not (folder / CONFIG).is_symlink():
        raise FileNotFoundError(f"{folder} is not the folder of a campaign: it holds no {CONFIG}")
    check_folder(folder.resolve())
    config = read_sealed(folder / CONFIG)
    check_format(config, folder / CONFIG, FORMAT, VERSION, CampaignError)
    return config
