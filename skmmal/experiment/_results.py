"""What an experiment leaves: tidy tables, and the usual questions to them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from skmmal._paths import local_path
from skmmal._store import write_file
from skmmal.experiment._common_range import check_metric, comparable
from skmmal.experiment._folder import RunFolder, read_config
from skmmal.experiment._problem import TIMINGS
from skmmal.experiment._statistics import area_under_curve, labels_saved, pairwise_matrix
from skmmal.experiment._tasks import of_config

__all__ = ["ExperimentResults", "summary_text"]

KEYS = ["strategy", "seed", "round"]
SUMS = "sha256sums.txt"
_INTEGERS = ("seed", "round", "n_labeled", "n_groups", "n_skipped", "n_wrong", "rank", "row")
_SUMMARY = ("final", "final_se", "area", "area_se")
FILES = {"frame": "results.csv", "selected": "selected.csv", "classes": "classes.csv", "timings": "timings.csv"}


class ExperimentResults:
    """Results of `run_experiment`.

    Parameters
    ----------
    frame : DataFrame
        One row for each strategy, seed and round: ``strategy``, ``seed``, ``round``, ``n_labeled``, ``accuracy``,
        ``balanced_accuracy``, ``ece`` (32 bins); for each modality ``accuracy_NAME`` and
        ``balanced_accuracy_NAME`` of its own head on the test rows that have it, ``contribution_NAME`` (mean share
        in the true class's probability); ``shapley_imbalance`` (of the test accuracy); ``weaker_weight_NAME`` (mean
        BMMAL weight of the weaker modality in the part of the pool that NAME dominates); further scorers; with an
        annotator ``n_skipped`` and ``n_wrong`` (how many of the ``n_labeled`` rows got no label, or a wrong one);
        with groups ``n_groups``, with costs ``cost`` (how many groups the rows are, and what they cost together);
        ``fit_seconds``, ``query_seconds``. Of several labels a row, in place of the accuracies:
        ``mean_average_precision`` (over labels that some test row has), ``f1_macro``, ``f1_micro``, ``hamming_loss``,
        ``subset_accuracy``, also by modality. Of a regressor ``r2`` and ``mae``.
    selected : DataFrame
        The rows chosen: ``strategy``, ``seed``, ``round``, ``rank`` (order within the round), ``row`` (of X). Those of
        round 0 are the first rows.
    classes : DataFrame
        Accuracy of each class: ``strategy``, ``seed``, ``round``, ``label``, ``accuracy``, ``accuracy_NAME``. Of
        several labels ``average_precision`` and ``f1``, by modality too. Empty for a regressor.
    config : dict
        What was run.
    evaluations : dict of str to DataFrame, optional
        By the name of the evaluation: ``strategy``, ``seed``, ``round``, ``n_labeled``, and the columns of its table.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmmal.experiment import run_experiment
    >>> X, y = load_iris(return_X_y=True)
    >>> results = run_experiment(
    ...     LogisticRegression(), ["margin", "random"], X[::2], y[::2], X_test=X[1::2], y_test=y[1::2],
    ...     n_initial=10, n_instances=5, n_rounds=4, seeds=5, initial="kmeans",
    ... )
    >>> results.area_under_curve().index.tolist()
    ['margin', 'random']
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        selected: pd.DataFrame,
        classes: pd.DataFrame,
        config: Mapping[str, Any],
        evaluations: Mapping[str, pd.DataFrame] | None = None,
    ) -> None:
        self.frame = frame
        self.selected = selected
        self.classes = classes
        self.config = dict(config)
        self.evaluations = dict(evaluations or {})

    def __repr__(self) -> str:
        return (
            f"ExperimentResults({len(self.strategies)} strategies, {self.frame['seed'].nunique()} seeds, "
            f"{self.frame['round'].nunique()} rounds)"
        )

    @property
    def strategies(self) -> list[str]:
        """Names of the strategies, in the order they were given."""
        return list(dict.fromkeys(self.frame["strategy"]))

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities that were measured; empty for a classifier that knows none."""
        prefix = "contribution_"
        return [name.removeprefix(prefix) for name in self.frame.columns if name.startswith(prefix)]

    @property
    def main_metric(self) -> str:
        """The column that says most: ``accuracy``, ``mean_average_precision`` of several labels, ``r2`` of values."""
        return of_config(self.config).main_metric

    # ----------------------------------------------------------------------------------------------- questions

    def summary(self, metric: str | None = None, baseline: str = "random", x: str = "n_labeled") -> pd.DataFrame:
        """One row per strategy: where it ends, its area, what it saves against a baseline, what it costs.

        Parameters
        ----------
        metric : str, optional
            A column of the frame; by default `main_metric`.
        baseline : str, default="random"
            The target is this strategy's mean at the end. Without it among the strategies, those columns are left out.
        x : str, default="n_labeled"
            What areas are over, and what is saved: ``"n_labeled"``, ``"cost"``, ``"n_groups"``.

        Returns
        -------
        DataFrame
            Of a run that has not ended, over the `common_range`, with an `UnfinishedWarning`. Indexed by strategy:
            ``final`` and ``final_se`` (mean over seeds after the last round, standard error),
            ``area`` and ``area_se`` (see `area_under_curve`), ``labels`` and ``reached`` (mean labels to the target and
            the share of the seeds that reach it), ``saved`` (of the baseline's labels, over the seeds where both reach
            it), ``fit_seconds`` and ``query_seconds`` (means per round).
        """
        metric = self.main_metric if metric is None else metric
        check_metric(self.frame, metric)
        frame = comparable(self.frame)
        if frame.empty:  # no seed is shared
            return pd.DataFrame(index=pd.Index(self.strategies, name="strategy"), columns=list(_SUMMARY), dtype=float)
        last = frame[frame["round"] == frame["round"].max()].groupby("strategy", sort=False)[metric]
        area = area_under_curve(frame, metric, x)
        table = pd.DataFrame({"final": last.mean(), "final_se": last.sem()})
        table["area"], table["area_se"] = area["mean"], area["standard_error"]
        if baseline in self.strategies:
            target = float(table["final"][baseline])
            reached = labels_saved(frame, target, metric=metric, baseline=baseline, x=x)
            table["labels"], table["reached"] = reached["labels"], reached["reached"]
            table["saved"] = reached["saved"]
        for name in TIMINGS:
            if name in frame:
                table[name] = frame.groupby("strategy", sort=False)[name].mean()
        return table.loc[self.strategies]

    def pairwise_matrix(self, metric: str | None = None, confidence: float = 0.9) -> pd.DataFrame:
        """Share of the rounds in which one strategy (row) beats another (column) significantly.

        Parameters
        ----------
        metric : str, optional
            A column of the frame; by default `main_metric`.
        confidence : float, default=0.9
            Of the tests.

        Returns
        -------
        DataFrame of shape (n_strategies, n_strategies)
            See `skmmal.experiment.pairwise_matrix`.
        """
        return pairwise_matrix(self.frame, metric=metric or self.main_metric, confidence=confidence)

    def area_under_curve(self, metric: str | None = None, x: str = "n_labeled") -> pd.DataFrame:
        """Normalised area under the learning curve.

        Parameters
        ----------
        metric : str, optional
            A column of the frame; by default `main_metric`.
        x : str, default="n_labeled"
            What the area is over: ``"n_labeled"``, ``"cost"``, ``"n_groups"``.

        Returns
        -------
        DataFrame
            See `skmmal.experiment.area_under_curve`.
        """
        return area_under_curve(self.frame, metric=metric or self.main_metric, x=x)

    # ------------------------------------------------------------------------------------------------- storage

    @classmethod
    def from_records(
        cls, records: Mapping[tuple[str, int], list[dict[str, Any]]], config: Mapping[str, Any]
    ) -> ExperimentResults:
        """Build the tables from the records of the units.

        Parameters
        ----------
        records : mapping of (strategy, seed) to list of dict
            One record for each round.
        config : mapping
            What was run.

        Returns
        -------
        ExperimentResults
        """
        frame, selected, classes = [], [], []
        tables: dict[str, dict[str, list[Any]]] = {}
        labels = config["classes"]
        for (name, seed), unit in records.items():
            n_labeled = 0
            for record in unit:
                key = {"strategy": name, "seed": seed, "round": record["round"]}
                n_labeled += len(record["selected"])
                frame.append({**key, "n_labeled": n_labeled, **record["metrics"], **record["seconds"]})
                selected += [{**key, "rank": rank, "row": row} for rank, row in enumerate(record["selected"])]
                by_class = record["by_class"]
                classes += [
                    {**key, "label": label, **{head: values[k] for head, values in by_class.items()}}
                    for k, label in enumerate(labels)
                ]
                for table_name, columns in record.get("evaluations", {}).items():
                    _extend(tables.setdefault(table_name, {}), {**key, "n_labeled": n_labeled}, columns)
        tidy = pd.DataFrame(frame)
        measured = [name for name in tidy.columns if name not in KEYS]
        tidy[measured] = tidy[measured].apply(pd.to_numeric)  # a column of nulls is one of NaN
        per_class = pd.DataFrame(classes, columns=None if classes else [*KEYS, "label"])
        heads = [name for name in per_class.columns if name not in (*KEYS, "label")]
        per_class[heads] = per_class[heads].apply(pd.to_numeric)
        evaluations = {table_name: _as_frame(columns) for table_name, columns in tables.items()}
        return cls(tidy, pd.DataFrame(selected), per_class, config, evaluations)

    def save(self, path: str | os.PathLike) -> None:
        """Write the tables as CSV; the seconds go to a file of their own, so that the others are reproducible.

        The checksums go first and come last: while they are not there, `load` reads the records of the rounds.

        Parameters
        ----------
        path : path-like
            Folder of the run.
        """
        folder = local_path(path)
        folder.mkdir(parents=True, exist_ok=True)
        timings = [name for name in TIMINGS if name in self.frame]
        tables = {
            "frame": self.frame.drop(columns=timings),
            "selected": self.selected,
            "classes": self.classes,
            "timings": self.frame[[*KEYS, *timings]],
        }
        files = {FILES[name]: table for name, table in tables.items()}
        files |= {_evaluation_file(name): table for name, table in self.evaluations.items()}
        (folder / SUMS).unlink(missing_ok=True)
        sums = []
        for name, table in files.items():
            text = table.to_csv(index=False, lineterminator="\n").encode()
            write_file(folder / name, text)
            if name != FILES["timings"]:  # they differ from run to run
                sums.append(f"{hashlib.sha256(text).hexdigest()}  {name}\n")
        write_file(folder / SUMS, "".join(sums).encode())

    @classmethod
    def load(cls, path: str | os.PathLike) -> ExperimentResults:
        """Read the folder of a run, finished or not.

        Parameters
        ----------
        path : path-like
            `results_dir` of `run_experiment`, or ``--out`` of ``skmmal simulate``.

        Returns
        -------
        ExperimentResults
            Of an unfinished run, the rounds that are done.

        Raises
        ------
        FileNotFoundError, ValueError
            The folder holds no run, or no round of it has ended.
        """
        folder = local_path(path)
        description = read_config(folder)
        config = description["experiment"]
        for key in ("strategies", "seeds", "classes"):
            if not isinstance(config.get(key), dict | list):
                raise ValueError(f"{folder}: the configuration of this run lacks its {key}")
        _check_sums(folder)
        if not (folder / SUMS).is_file() and (folder / "units").is_dir():  # it has not ended, or just wrote its tables
            reader = RunFolder(folder, description["version"])
            units = [(name, seed) for name in config["strategies"] for seed in config["seeds"]]
            records = {unit: found for unit in units if (found := reader.read_unit(*unit))}
            if records:
                return cls.from_records(records, config)
        if not (folder / FILES["frame"]).is_file():
            raise ValueError(f"{folder}: no round of this run has ended yet")
        labels = config["classes"]
        tables = {name: _read_csv(folder / file, labels) for name, file in FILES.items() if (folder / file).is_file()}
        missing = [FILES[name] for name in ("selected", "classes") if name not in tables]
        if missing:
            raise FileNotFoundError(f"{folder} holds {FILES['frame']}, but not {missing}")
        frame = tables["frame"]
        if "timings" in tables:
            try:
                frame = frame.merge(tables["timings"], on=KEYS, how="left", validate="one_to_one")
            except ValueError as error:
                raise ValueError(f"{folder / FILES['timings']} does not fit {FILES['frame']}: {error}") from None
        evaluations = {
            name: _read_evaluation(folder / _evaluation_file(name))
            for name in config.get("evaluations", {})
            if (folder / _evaluation_file(name)).is_file()
        }
        return cls(frame, tables["selected"], tables["classes"], config, evaluations)


def _check_sums(folder: Path) -> None:
    """Refuse tables that are not as they were written; folders of earlier versions have no checksums."""
    if not os.path.lexists(folder / SUMS):
        return
    if not (folder / SUMS).is_file():
        raise ValueError(f"{folder / SUMS} is not a file")
    lines = (folder / SUMS).read_bytes().decode("utf-8", "replace").splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    if not {FILES["frame"], FILES["selected"], FILES["classes"]} <= set(sums):
        raise ValueError(f"{folder / SUMS} is damaged: it lacks tables of the run")
    for name, digest in sums.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise ValueError(f"{folder / SUMS} names {name!r}, which is not a file there")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ValueError(
                f"{path} was changed since it was written: its checksum is another; to read it all the same, "
                f"remove {SUMS}"
            )


def _extend(table: dict[str, list[Any]], key: Mapping[str, Any], columns: Mapping[str, list[Any]]) -> None:
    """Add the lines of one evaluation; a column that it lacks, or that is new, is empty elsewhere."""
    before = len(next(iter(table.values()), []))
    added = len(next(iter(columns.values())))
    lines = {**{name: [value] * added for name, value in key.items()}, **columns}
    for name in lines:
        table.setdefault(name, [None] * before)
    for name, values in table.items():
        values += lines.get(name, [None] * added)


def _as_frame(columns: Mapping[str, list[Any]]) -> pd.DataFrame:
    """Make a table of lists as JSON holds them: null is NaN."""
    return pd.DataFrame({name: _as_column(values) for name, values in columns.items()})


def _as_column(values: list[Any]) -> pd.Series:
    known = [value for value in values if value is not None]
    if any(isinstance(value, str | bool) for value in known):
        return pd.Series(values)
    dtype = "int64" if len(known) == len(values) and all(isinstance(value, int) for value in known) else "float64"
    return pd.Series([float("nan") if value is None else value for value in values], dtype=dtype)


def _evaluation_file(name: str) -> str:
    return f"evaluation-{quote(name, safe=' ()+')}.csv"


def summary_text(summary: pd.DataFrame) -> pd.DataFrame:
    """`ExperimentResults.summary` for reading: strings, with each mean and its standard error in one column.

    Parameters
    ----------
    summary : DataFrame
        From `ExperimentResults.summary`.

    Returns
    -------
    DataFrame of str
        One row for each strategy.
    """
    text = pd.DataFrame({"strategy": summary.index.astype(str)}, index=summary.index)
    for name, title in (("final", "at the end"), ("area", "area")):
        errors = ["" if pd.isna(error) else f" ± {error:.3f}" for error in summary[f"{name}_se"]]
        text[title] = [f"{mean:.3f}{error}" for mean, error in zip(summary[name], errors, strict=True)]
    if "saved" in summary:
        text["labels"] = ["never" if pd.isna(n) else f"{n:.0f}" for n in summary["labels"]]
        text["reached"] = [f"{share:.0%}" for share in summary["reached"]]
        text["saved"] = ["" if pd.isna(share) else f"{share:.0%}" for share in summary["saved"]]
    for name, title in (("fit_seconds", "s/fit"), ("query_seconds", "s/query")):
        if name in summary:
            text[title] = [f"{seconds:.3f}" for seconds in summary[name]]
    return text


def _read_evaluation(path: Path) -> pd.DataFrame:
    """Read a table whose columns are known by their values alone: whole numbers, numbers, booleans, strings."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    columns: dict[str, list[Any]] = {}
    for name in frame.columns:
        texts = frame[name].tolist()
        columns[name] = texts if name == "strategy" else _parsed(texts)
    return _as_frame(columns)


def _parsed(texts: list[str]) -> list[Any]:
    for parse in ({"True": True, "False": False}.__getitem__, int, float):
        try:
            return [None if text == "" else parse(text) for text in texts]
        except (KeyError, ValueError):
            continue
    return texts


def _read_csv(path: Path, labels: list[Any]) -> pd.DataFrame:
    """Read a table with every float as it was written, whatever a strategy or a class is called."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        for name in frame.columns:
            if name in _INTEGERS:
                frame[name] = frame[name].astype(int)
            elif name not in ("strategy", "label"):
                frame[name] = [float(text or "nan") for text in frame[name]]
    except (OSError, OverflowError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    lacking = [name for name in KEYS if name not in frame]
    if lacking:
        raise ValueError(f"{path} is damaged: it has no column {lacking[0]!r}")
    if "label" in frame:
        frame["label"] = frame["label"].map({str(label): label for label in labels})
    return frame
