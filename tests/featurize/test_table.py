"""Columns of tables and time series as a modality."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from skmmal import ModalityScaler
from skmmal.features import FeatureStore
from skmmal.featurize.table import STATISTICS, main, series_features, table_features


def frame():
    return pd.DataFrame(
        {
            "id": ["007", "b", "c", "d"],
            "age": [3, None, 5, None],
            "kind": ["x", "y", None, None],
            "sick": pd.array([True, False, True, pd.NA], dtype="boolean"),
        }
    )


def test_numbers_categories_and_what_is_missing():
    values, names = table_features(frame().drop(columns="id"))
    assert names == ["age", "age missing", "kind missing", "kind x", "kind y", "sick", "sick missing"]
    assert values[:3].tolist() == [[3, 0, 0, 1, 0, 1, 0], [4, 1, 0, 0, 1, 0, 0], [5, 0, 1, 0, 0, 1, 0]]
    assert np.isnan(values[3]).all()


@pytest.mark.parametrize(
    ("column", "columns", "message"),
    [
        ({"a": [f"text {k}" for k in range(60)]}, None, "'a' has 60 different texts, more than 50 categories"),
        ({"a": [[1], [2]]}, None, "'a' must hold numbers or categories, found list"),
        ({"a": [1.0, np.inf]}, None, "'a' is infinite in row 1"),
        ({"a": [None, None], "b": [1, 2]}, None, "'a' is empty; leave it out"),
        ({"a": [1]}, ["b"], "no column 'b'; the table has \\['a'\\]"),
        ({"a": [1]}, [], "name at least one"),
    ],
)
def test_what_cannot_become_features(column, columns, message):
    with pytest.raises(ValueError, match=message):
        table_features(pd.DataFrame(column), columns)


def test_series_have_the_statistics_that_their_names_say():
    rng = np.random.default_rng(0)
    length = 400
    table = pd.DataFrame(
        {
            "who": np.repeat(["b", "a"], length),
            "t": np.tile(np.arange(length), 2),
            "x": np.concatenate([np.sin(2 * np.pi * 0.125 * np.arange(length)), rng.normal(size=length)]),
            "y": np.concatenate([3.0 + 0.5 * np.arange(length), np.full(length, np.nan)]),
        }
    )
    values, names, ids = series_features(table, "who", "t")
    assert ids == ["b", "a"]
    at = {name: values[:, column] for column, name in enumerate(names)}
    x = table["x"].to_numpy().reshape(2, length)
    np.testing.assert_allclose(at["x mean"], x.mean(1), atol=1e-6)
    np.testing.assert_allclose(at["x upper quartile"], np.quantile(x, 0.75, axis=1), rtol=1e-5)
    np.testing.assert_allclose(at["x mean absolute step"], np.abs(np.diff(x)).mean(1), rtol=1e-5)
    assert at["x strongest frequency"][0] == pytest.approx(0.125, abs=1 / 256)
    assert at["x spectral entropy"][0] < 0.4 < 0.85 < at["x spectral entropy"][1] <= 1
    assert at["y slope"][0] == pytest.approx(0.5, rel=1e-5)
    assert at["y mean missing"].tolist() == [0, 1]  # the channel that is missing as a whole
    shuffled = table.sample(frac=1.0, random_state=0)
    again, _, again_ids = series_features(shuffled, "who", "t")
    np.testing.assert_allclose(again[[again_ids.index(each) for each in ids]], values, rtol=1e-5, atol=1e-6)


def test_short_and_still_series():
    table = pd.DataFrame({"id": ["a"] * 3 + ["b"] * 20 + ["c"], "x": [1.0, np.nan, 3.0] + [2.0] * 20 + [7.0]})
    values, names, _ = series_features(table, "id")
    assert len(names) == len(STATISTICS)
    assert values[0, :2].tolist() == [2.0, pytest.approx(np.std([1, 2, 3]))]
    assert np.isfinite(values).all()
    assert values[1, names.index("x spectral entropy")] == 0


@pytest.mark.parametrize(
    ("table", "more", "message"),
    [
        ({"id": ["a"], "x": ["text"]}, {}, "'x' is a channel and must hold numbers"),
        ({"id": ["a", None], "x": [1, 2]}, {}, "'id' is empty in row 1"),
        ({"id": ["a"], "x": [1]}, {"time": "t"}, "no column 't'"),
    ],
)
def test_what_is_no_series(table, more, message):
    with pytest.raises(ValueError, match=message):
        series_features(pd.DataFrame(table), "id", **more)


@pytest.mark.parametrize("kind", ["csv", "semicolon", "parquet", "jsonl"])
def test_the_command_writes_a_cache_and_adds_to_one(kind, tmp_path, capsys):
    path = tmp_path / f"t.{'csv' if kind == 'semicolon' else kind}"
    table = frame()
    if kind == "parquet":
        table.to_parquet(path)
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, index=False, sep=";" if kind == "semicolon" else ",")
    assert main([str(path), "--out", str(tmp_path / "c"), "--columns", "age,kind"]) == 0
    assert "table: 4 rows of 5 features" in capsys.readouterr().out
    pd.DataFrame({"id": ["d", "c", "b", "007"] * 9, "x": np.arange(36.0)}).to_csv(tmp_path / "s.csv", index=False)
    assert main([str(tmp_path / "s.csv"), "--out", str(tmp_path / "c"), "--modality", "sound", "--series"]) == 0
    store = FeatureStore.open(tmp_path / "c")
    assert store.ids.tolist() == ["007", "b", "c", "d"]
    assert store.present("table").tolist() == [True, True, True, False]
    assert store.metadata["table"]["columns"] == ["age", "age missing", "kind missing", "kind x", "kind y"]
    np.testing.assert_allclose(store.load()["sound"][:, 0], [19, 18, 17, 16])
    assert ModalityScaler().fit_transform(store.load()).shape[0] == 4


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    frame().to_csv(tmp_path / "t.csv", index=False)
    assert main([str(tmp_path / "t.csv"), "--out", str(tmp_path / "c"), "--id-column", "nr"]) == 2
    assert "there is no column 'nr'; the table has ['id', 'age', 'kind', 'sick']" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
