"""Columns of a table to a modality: ``skmmal featurize table DATA --out FOLDER``, for what needs no model.

Numbers stay as they are, categories become columns of zeros and ones, and the rows of a time series that share an id
become statistics. scikit-learn and SciPy do the work; scaling is left to `skmmal.ModalityScaler`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skmmal._paths import local_path
from skmmal.features import CacheError, FeatureStore

__all__ = ["main", "series_features", "table_features"]

MAX_CATEGORIES = 50
"""More different texts than this are names or sentences rather than categories."""

BANDS = 4
SEGMENT = 256


def table_features(frame: Any, columns: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
    """Make features of a table's columns, a row for each row.

    Parameters
    ----------
    frame : DataFrame
        The rows.
    columns : sequence of str, optional
        Default: all.

    Returns
    -------
    values : ndarray of float32, shape (n_rows, n_features)
        Numbers and truth values as they are, the median in the place of missing ones and a further column that says
        where; a column of zeros and ones for each category, "missing" among them. A row in which every column is
        missing is NaN: it lacks the modality.
    names : list of str
        Of the features.

    Raises
    ------
    ValueError
        A column that is not there, holds other things than numbers or categories, or nothing at all.

    Examples
    --------
    >>> import pandas as pd
    >>> values, names = table_features(pd.DataFrame({"age": [3.0, None, 5.0], "kind": ["a", "b", "a"]}))
    >>> names
    ['age', 'age missing', 'kind a', 'kind b']
    >>> values.tolist()
    [[3.0, 0.0, 1.0, 0.0], [4.0, 1.0, 0.0, 1.0], [5.0, 0.0, 1.0, 0.0]]
    """
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    columns = list(frame.columns) if columns is None else list(columns)
    _check_columns(frame, columns)
    parts, names = [], []
    for name in columns:
        column = frame[name]
        if column.isna().all():
            raise ValueError(f"column {name!r} is empty; leave it out")
        numeric = is_numeric_dtype(column) or is_bool_dtype(column)
        values, made = _numbers(name, column) if numeric else _categories(name, column)
        parts.append(values)
        names += made
    values = np.hstack(parts).astype(np.float32)
    values[frame[columns].isna().all(axis=1).to_numpy()] = np.nan
    return values, names


def series_features(
    frame: Any, id_column: str, time: str | None = None, columns: Sequence[str] | None = None
) -> tuple[np.ndarray, list[str], list[str]]:
    """Make features of time series: of all rows that share an id, a row of statistics for each channel.

    Parameters
    ----------
    frame : DataFrame
        A row for each moment.
    id_column : str
        What the rows of one series share.
    time : str, optional
        Column to sort by. Default: the rows are in order.
    columns : sequence of str, optional
        The channels. Default: all columns but those two.

    Returns
    -------
    values : ndarray of float32, shape (n_series, n_features)
        Of each channel mean, standard deviation, minimum, quartiles, maximum, mean absolute step, slope, and of its
        spectrum (Welch's estimate, in shares of the sampling rate) the strongest frequency, centroid, entropy and the
        logarithm of the power in four bands. Moments that are missing are interpolated; a channel that is missing as a
        whole has the median of the others, and says so in a further column.
    names : list of str
        Of the features.
    ids : list of str
        Of the series, in the order in which they come first.

    Raises
    ------
    ValueError
        A column that is not there or does not hold numbers.

    References
    ----------
    .. [1] Welch, "The use of fast Fourier transform for the estimation of power spectra", IEEE Transactions on Audio
       and Electroacoustics 15, 1967.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> waves = pd.DataFrame({"id": np.repeat(["a", "b"], 64), "x": np.sin(np.arange(128) * np.pi / 4)})
    >>> values, names, ids = series_features(waves, "id")
    >>> ids, float(values[0, names.index("x strongest frequency")])
    (['a', 'b'], 0.125)
    """
    import pandas as pd
    from pandas.api.types import is_numeric_dtype

    kept = [name for name in frame.columns if name not in (id_column, time)] if columns is None else list(columns)
    _check_columns(frame, [id_column, *([] if time is None else [time]), *kept])
    for name in kept:
        if not is_numeric_dtype(frame[name]):
            raise ValueError(f"column {name!r} is a channel and must hold numbers, found {frame[name].dtype}")
    if frame[id_column].isna().any():
        raise ValueError(f"column {id_column!r} is empty in row {int(frame[id_column].isna().to_numpy().argmax())}")
    ordered = frame if time is None else frame.sort_values(time, kind="stable")
    groups = dict(list(ordered.groupby(id_column, sort=False)))
    ids = list(dict.fromkeys(frame[id_column]))
    rows = [
        [value for name in kept for value in _statistics(groups[each][name].to_numpy(dtype=np.float64))] for each in ids
    ]
    names = [f"{name} {what}" for name in kept for what in STATISTICS]
    values, made = table_features(pd.DataFrame(rows, columns=names))
    return values, made, [str(each) for each in ids]


def _check_columns(frame: Any, columns: Sequence[str]) -> None:
    if not columns:
        raise ValueError("no columns: name at least one")
    for name in columns:
        if name not in frame.columns:
            raise ValueError(f"there is no column {name!r}; the table has {list(map(str, frame.columns))}")


def _numbers(name: str, column: Any) -> tuple[np.ndarray, list[str]]:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise ValueError(f"column {name!r} is infinite in row {infinite[0]}")
    absent = np.isnan(values)
    values = np.where(absent, np.median(values[~absent]), values)
    if not absent.any():
        return values[:, None], [name]
    return np.column_stack([values, absent]), [name, f"{name} missing"]


def _categories(name: str, column: Any) -> tuple[np.ndarray, list[str]]:
    from sklearn.preprocessing import OneHotEncoder

    wrong = [type(value).__name__ for value in column.dropna() if not isinstance(value, str | bool | int | float)]
    if wrong:
        raise ValueError(f"column {name!r} must hold numbers or categories, found {wrong[0]}")
    texts = column.astype(object).where(column.notna(), "missing").astype(str).to_numpy()
    if len(set(texts)) > MAX_CATEGORIES:
        raise ValueError(
            f"column {name!r} has {len(set(texts))} different texts, more than {MAX_CATEGORIES} categories: name the "
            "columns that you want (--columns); texts are for `skmmal featurize text`"
        )
    encoder = OneHotEncoder(sparse_output=False).fit(texts[:, None])
    return encoder.transform(texts[:, None]), [f"{name} {category}" for category in encoder.categories_[0]]


STATISTICS = (
    *("mean", "standard deviation", "minimum", "lower quartile", "median", "upper quartile", "maximum"),
    *("mean absolute step", "slope", "strongest frequency", "spectral centroid", "spectral entropy"),
    *(f"log power of band {band + 1} of {BANDS}" for band in range(BANDS)),
)


def _statistics(values: np.ndarray) -> list[float]:
    """Statistics of one channel of one series; NaN where it is missing as a whole."""
    there = np.flatnonzero(np.isfinite(values))
    if len(there) == 0:
        return [np.nan] * len(STATISTICS)
    values = np.interp(np.arange(len(values)), there, values[there])
    step = np.abs(np.diff(values)).mean() if len(values) > 1 else 0.0
    slope = np.polyfit(np.arange(len(values)), values, 1)[0] if len(values) > 1 else 0.0
    quartiles = np.quantile(values, [0.25, 0.5, 0.75])
    return [values.mean(), values.std(), values.min(), *quartiles, values.max(), step, slope, *_spectrum(values)]


def _spectrum(values: np.ndarray) -> list[float]:
    from scipy.signal import welch

    if len(values) < 2 * BANDS:
        return [0.0] * (3 + BANDS)
    frequencies, power = welch(values, nperseg=min(SEGMENT, len(values)))
    total = power.sum()
    if total <= np.finfo(np.float64).tiny:  # it does not move
        return [0.0] * (3 + BANDS)
    shares = power / total
    entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum() / np.log(len(shares))
    bands = [np.log(part.sum() + 1e-12) for part in np.array_split(power, BANDS)]
    return [frequencies[power.argmax()], (frequencies * shares).sum(), entropy, *bands]


def main(arguments: list[str] | None = None, *, prog: str = "python -m skmmal.featurize.table") -> int:
    r"""Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process.
    prog : str, default="python -m skmmal.featurize.table"
        How the user calls it.

    Returns
    -------
    int
        Exit status: 0, or 2 where it cannot be done.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skmmal.featurize import table
    >>> folder = Path(tempfile.mkdtemp())
    >>> written = (folder / "items.csv").write_text("id,price,kind\na,1.5,cup\nb,2.5,mug\n")
    >>> table.main([str(folder / "items.csv"), "--out", str(folder / "features"), "--modality", "facts"])
    facts: 2 rows of 3 features in ...
    0
    """
    parsed = _parser(prog).parse_args(arguments)
    try:
        frame = _read(local_path(parsed.table, "table"), parsed.id_column)
        if parsed.id_column not in frame.columns:
            raise ValueError(f"there is no column {parsed.id_column!r}; the table has {list(frame.columns)}")
        columns = parsed.columns.split(",") if parsed.columns else None
        if parsed.series:
            values, names, ids = series_features(frame, parsed.id_column, parsed.time, columns)
        else:
            values, names = table_features(frame.drop(columns=parsed.id_column), columns)
            ids = frame[parsed.id_column].tolist()
        _write(parsed.out, parsed.modality, values, ids, {"backbone": "table", "columns": names})
    except (CacheError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{parsed.modality}: {len(ids)} rows of {len(names)} features in {parsed.out}")
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Columns of a table to a modality, without a model.")
    parser.add_argument("table", type=Path, help="CSV, JSON Lines or Parquet")
    parser.add_argument(
        "--out", type=Path, required=True, help="the feature cache: a new folder, or one with these ids"
    )
    parser.add_argument("--modality", default="table", help="name of the modality (default: table)")
    parser.add_argument("--id-column", default="id", help="column of the ids (default: id)")
    parser.add_argument("--columns", help="columns to take, with commas between them (default: all)")
    parser.add_argument("--series", action="store_true", help="rows that share an id are one time series")
    parser.add_argument("--time", help="with --series: column to sort by")
    return parser


def _read(path: Path, id_column: str) -> Any:
    import pandas as pd

    kinds: dict[str, Callable[[], Any]] = {
        ".parquet": lambda: pd.read_parquet(path),
        ".jsonl": lambda: pd.read_json(path, lines=True, dtype={id_column: str}),
        ".ndjson": lambda: pd.read_json(path, lines=True, dtype={id_column: str}),
    }
    read = kinds.get(path.suffix.lower(), lambda: pd.read_csv(path, dtype={id_column: str}, sep=None, engine="python"))
    return read()


def _write(out: Path, modality: str, values: np.ndarray, ids: Sequence[Any], about: dict[str, Any]) -> None:
    if (out / "manifest.json").exists():
        FeatureStore.open(out).append(modality, values, ids=[str(each) for each in ids], metadata=about)
    else:
        FeatureStore.write(out, {modality: values}, [str(each) for each in ids], {modality: about})


if __name__ == "__main__":
    sys.exit(main())
