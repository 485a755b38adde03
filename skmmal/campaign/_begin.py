"""What a campaign begins with: the rows that are held out, the stop set, and the folder that holds it all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skmmal._paths import local_path
from skmmal._store import explained, new_folder
from skmmal.campaign._answers import ONE_CLASS, Answers
from skmmal.campaign._checks import check_class_names
from skmmal.campaign._files import digest, dumps, sealed, write_new
from skmmal.campaign._folder import CONFIG, COSTS, FORMAT, GROUPS, VALIDATION, VERSION
from skmmal.campaign._incoming import normalize
from skmmal.campaign._settings import Settings
from skmmal.campaign._source import describe, relative_path
from skmmal.campaign._stamp import stamp
from skmmal.campaign._state import STOP_SET
from skmmal.campaign._units import check_costs, check_groups
from skmmal.campaign.formats import read_labels_file
from skmmal.campaign.formats._csv import csv_bytes
from skmmal.distributed import ShardedPool
from skmmal.experiment._problem import random_seed
from skmmal.experiment.sources import Features

__all__ = ["check_validation", "describe_beginning", "named_in", "tables_beside", "write_beginning"]


def check_validation(
    validation: Any, features: Features, classes: list[str], answers: Answers = ONE_CLASS
) -> pd.DataFrame | None:
    """Ids and labels that are held out, sorted by id; `classes` are those declared, if any."""
    if validation is None:
        return None
    ids = [str(name) for name in features.ids]
    if isinstance(validation, str | os.PathLike):
        path = local_path(validation, "validation")
        validation = read_labels_file(
            path, classes=classes, ids=ids, multilabel=answers.multilabel, numbers=answers.numbers
        )
    events = normalize(
        validation, "", multilabel=answers.multilabel, classes=classes, numbers=answers.numbers
    ).events
    events = events[events["state"] == "label"]
    if events.empty:
        raise ValueError("validation holds no labels")
    if events["id"].duplicated().any():
        raise ValueError(f"validation: the id {events['id'][events['id'].duplicated()].iloc[0]!r} is there twice")
    unknown = ~events["id"].isin(set(ids))
    if unknown.any():
        raise ValueError(
            f"validation: {int(unknown.sum())} of {len(events)} ids are not among the features, the first: "
            f"{events['id'][unknown].iloc[0]!r}"
        )
    labels = named_in(events["label"], answers)
    check_class_names(sorted(labels), "validation")
    if classes and not labels <= set(classes):
        odd = sorted(labels - set(classes))
        raise ValueError(f"validation: the labels {odd[:10]} are none of the classes {classes[:20]}")
    return events[["id", "label"]].sort_values("id")


def named_in(labels: Iterable[str], answers: Answers) -> set[str]:
    """Classes that some labels name."""
    return {name for label in labels for name in answers.named(label)}


def tables_beside(
    ids: np.ndarray, held_out: pd.DataFrame | None, groups: Any, group_column: str, costs: Any, cost_column: str
) -> dict[str, pd.DataFrame]:
    """Tables of what `LabelingCampaign.create` was told of groups and costs, by the names of their files."""
    tables = {}
    if groups is not None:
        tables[GROUPS] = check_groups(groups, group_column, ids, held_out)
    if costs is not None:
        tables[COSTS] = check_costs(costs, cost_column, ids)
    return tables


def describe_beginning(
    folder: Path,
    features: Any,
    loaded: Features,
    settings: Settings,
    held_out: pd.DataFrame | None,
    beside: Mapping[str, pd.DataFrame],
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Configuration, and the files beside it; `beside` are tables that only some campaigns have."""
    ids = np.asarray(loaded.ids, dtype=object)
    free = ids if held_out is None else ids[~pd.Index(ids).isin(held_out["id"])]
    rng = np.random.RandomState(random_seed("campaign", settings.seed, "stop-set"))
    drawn = np.sort(rng.permutation(len(free))[: settings.n_stop_set])
    files = {STOP_SET: csv_bytes(pd.DataFrame({"id": free[drawn]}))}
    if held_out is not None:
        files[VALIDATION] = csv_bytes(held_out)
    files.update({name: csv_bytes(table) for name, table in beside.items()})
    config = {
        "format": FORMAT,
        "version": VERSION,
        "features": {
            "path": relative_path(features, folder),
            "described": describe(replace(loaded, checksum=None)),
            **({"pool": features.opened_from} if isinstance(features, ShardedPool) else {}),
        },
        "settings": settings.to_json(),
        "files": {name: digest(content) for name, content in files.items()},
    }
    return config, files


def write_beginning(folder: Path, config: dict[str, Any], files: dict[str, bytes]) -> None:
    """Write the folder of a campaign, which is there whole or not at all."""
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise FileExistsError(f"{folder} exists and holds no {CONFIG}; give a new or empty folder")
    try:
        with new_folder(folder) as unfinished:
            for name, content in files.items():
                write_new(unfinished / name, content)
            write_new(unfinished / "stamp.json", dumps(sealed(stamp())))
            write_new(unfinished / CONFIG, dumps(sealed(config)))
    except FileExistsError:
        if not (folder / CONFIG).is_file():
            raise
        # another process was faster; its settings are compared next
    except OSError as error:
        raise explained(error, folder) from error
