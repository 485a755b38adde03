"""``skmmal import``: every road in, and the refusals that name it."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from skmmal.cli import app
from skmmal.features import FeatureStore
from skmmal.features._gather import gather

RNG = np.random.default_rng(0)
IMAGE, TEXT = RNG.random((6, 4)).astype(np.float32), RNG.random((6, 3))
IDS, Y = [f"s{i}" for i in range(6)], ["cat", "dog", "cat", "eel", "dog", "cat"]


def skmmal(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "400"})
    assert result.exit_code == code, result.output
    return result.output


def check(out, ids=IDS, labels=Y, **blocks):
    store = FeatureStore.open(out / "features")
    assert list(store.ids) == list(ids)
    expected = blocks or {"image": IMAGE, "text": TEXT}
    assert set(store.modalities) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(store.load()[name], values, rtol=1e-6)
    table = pd.read_csv(out / "labels.csv", dtype=str, keep_default_na=False)
    assert table["id"].tolist() == list(ids)
    assert table["label"].tolist() == list(labels)


def test_a_folder_of_arrays(tmp_path):
    folder = tmp_path / "arrays"
    folder.mkdir()
    for name, values in {"image": IMAGE, "text": TEXT, "ids": np.array(IDS), "y": np.array(Y)}.items():
        np.save(folder / f"{name}.npy", values)
    said = skmmal("import", folder, "--out", tmp_path / "out")
    check(tmp_path / "out")
    assert "6 labels of 3 classes" in said
    assert "exists" in skmmal("import", folder, "--out", tmp_path / "out", code=1)
    np.save(folder / "sound.npy", RNG.random((5, 2)))
    assert "numbers of rows differ" in skmmal("import", folder, "--out", tmp_path / "other", code=1)
    assert not (tmp_path / "other").exists()


def test_arrays_without_ids(tmp_path):
    np.save(tmp_path / "image.npy", IMAGE)
    np.savez(tmp_path / "rest.npz", text=TEXT, target=np.array([2.0, 1.0, np.nan, 0.0, 1.0, 2.0]))
    skmmal("import", tmp_path / "image.npy", tmp_path / "rest.npz", "--out", tmp_path / "out")
    check(tmp_path / "out", ids="012345", labels=["2", "1", "", "0", "1", "2"])
    np.save(tmp_path / "image.npy", IMAGE[:4])
    said = skmmal("import", tmp_path / "image.npy", tmp_path / "rest.npz", "--out", tmp_path / "two", code=1)
    assert "no file has ids" in said
    assert "--id-column" in said


def test_an_archive(tmp_path):
    np.savez(tmp_path / "all.npz", image=IMAGE, text=TEXT, name=np.array(IDS), y=np.array(Y))
    skmmal("import", tmp_path / "all.npz", "--id-column", "name", "--out", tmp_path / "out")
    check(tmp_path / "out")
    assert "Did you mean 'name'?" in skmmal("import", tmp_path / "all.npz", "--id-column", "nmae", "--out", tmp_path / "x", code=1)
    said = skmmal("import", tmp_path / "al.npz", "--out", tmp_path / "x", code=1)
    assert "Did you mean 'all.npz'?" in said


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_tables(tmp_path, mark):
    table = pd.DataFrame({"name": ["007", *IDS[1:]], "species": Y, "remark": "x, y"})
    table[[f"image_{i}" for i in range(4)]] = IMAGE
    table[[f"text_{i}" for i in range(3)]] = TEXT
    table.to_csv(tmp_path / "t.csv", index=False, sep=mark)
    said = skmmal("import", tmp_path / "t.csv", "--id-column", "name", "--label-column", "species", "--out", tmp_path / "out")
    check(tmp_path / "out", ids=["007", *IDS[1:]])
    assert "remark left out" in said
    table.loc[2, "text_1"] = np.nan
    table.to_csv(tmp_path / "t.csv", index=False, sep=mark)
    said = skmmal("import", tmp_path / "t.csv", "--id-column", "name", "--out", tmp_path / "x", code=1)
    assert "in line 4" in said


def test_rows_are_joined_by_id(tmp_path):
    order = [3, 0, 5, 1]
    np.savez(tmp_path / "image.npz", ids=np.array(IDS), image=IMAGE)
    text = pd.DataFrame({"ID": np.array(IDS)[order], **{f"text_{i}": TEXT[order, i] for i in range(3)}})
    text.to_csv(tmp_path / "text.csv", index=False)
    pd.DataFrame({"id": IDS[::-1], "label": Y[::-1]}).to_csv(tmp_path / "labels.csv", index=False)
    said = skmmal("import", tmp_path / "image.npz", tmp_path / "text.csv", tmp_path / "labels.csv", "--out", tmp_path / "out")
    missing = TEXT.copy()
    missing[[2, 4]] = np.nan
    check(tmp_path / "out", image=IMAGE, text=missing)
    assert "2 of 6 rows have no text" in said
    np.save(tmp_path / "sound.npy", RNG.random((5, 2)))
    said = skmmal("import", tmp_path / "image.npz", tmp_path / "sound.npy", "--out", tmp_path / "x", code=1)
    assert "which row is which cannot be told" in said


def test_parquet_and_saved_data_sets(tmp_path):
    import datasets

    columns = {"id": IDS, "image": IMAGE.tolist(), "text": TEXT.tolist(), "title": ["t"] * 6}
    pd.DataFrame({**columns, "label": Y}).to_parquet(tmp_path / "t.parquet")
    said = skmmal("import", tmp_path / "t.parquet", "--out", tmp_path / "one")
    check(tmp_path / "one")
    assert "title left out" in said
    classes = sorted(set(Y))
    features = datasets.Features({
        "id": datasets.Value("string"), "image": datasets.List(datasets.Value("float32")), "text": datasets.List(datasets.Value("float64")),
        "title": datasets.Value("string"), "label": datasets.ClassLabel(names=classes),
    })  # fmt: skip
    saved = datasets.Dataset.from_dict({**columns, "label": [classes.index(name) for name in Y]}, features=features)
    saved.save_to_disk(tmp_path / "saved")
    skmmal("import", tmp_path / "saved", "--out", tmp_path / "two")
    check(tmp_path / "two")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.arange(3)}, "hold no features"),
        ({"image": IMAGE, "ids": np.array(["a"] * 6)}, "'a' is there twice"),
        ({"image": IMAGE, "ids": np.array(["", *IDS[1:]])}, "is empty"),
    ],
)
def test_refusals(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        gather([tmp_path / "a.npz"])


def test_what_stood_in_a_newcomers_way_names_the_command(tmp_path):
    folder = tmp_path / "arrays"
    folder.mkdir()
    np.save(folder / "image.npy", IMAGE)
    np.savez(tmp_path / "all.npz", image=IMAGE, y=np.array(Y))
    (tmp_path / "labels.csv").write_text("name,species\na,cat\n")
    for features in (folder, folder / "image.npy", tmp_path / "all.npz"):
        for command in (("simulate", "--labels", tmp_path / "labels.csv"), ("select",), ("campaign", "init", tmp_path / "c")):
            out = () if command[0] == "campaign" else ("--out", tmp_path / "run")
            said = skmmal(*command, "--features", features, *out, code=1)
            assert "skmmal import FILES --out FOLDER" in said
    skmmal("import", tmp_path / "all.npz", "--out", tmp_path / "out")
    said = skmmal("select", "--features", tmp_path / "out" / "features", "--labels", tmp_path / "labels.csv", "--out", tmp_path / "n.csv", code=1)
    assert "skmmal import" in said
    skmmal("select", "--features", tmp_path / "out" / "features", "--strategy", "random", "-n", 2, "--out", tmp_path / "n.csv")
    assert len(pd.read_csv(tmp_path / "n.csv")) == 2
