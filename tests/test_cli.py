"""The command line, from data to report."""

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from skmmal import LateFusionClassifier, LateFusionClassifierCV, ModalityScaler
from skmmal.cli import app
from skmmal.cli._examples import FROM_A_CLONE_ONLY
from skmmal.datasets import make_multimodal_classification
from skmmal.experiment import ExperimentResults
from skmmal.experiment._problem import random_seed
from skmmal.experiment.sources import Labelled, load_dataset, load_features, read_labels, split
from skmmal.features import FeatureStore
from skmmal.query import BMMAL, available_strategies

SMALL = ["--n-initial", "10", "--n-instances", "5", "--n-rounds", "2", "--seeds", "2", "-q"]
QUICK = [*SMALL, "--estimator", "late-fusion"]  # where the default classifier, which searches, is not the subject


def skmmal(*args, code=0):
    found = CliRunner().invoke(app, [str(arg) for arg in args])
    assert found.exit_code == code, found.output
    return " ".join(found.output.split())


@pytest.fixture(scope="module")
def data():
    return make_multimodal_classification(
        200, {"a": 6, "b": 4}, n_classes=3, missing={"b": 0.2}, random_state=0, return_X_y=True
    )


@pytest.fixture
def files(data, tmp_path):
    X, y = data
    ids = [f"s{i:03d}" for i in range(len(y))]
    FeatureStore.write(tmp_path / "features", X.blocks, ids=ids)
    table = pd.DataFrame({"id": ids, "label": np.array(["cat", "dog", "eel"])[y]})
    table.to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def test_simulate_report_info(tmp_path):
    run = tmp_path / "run"
    skmmal("simulate", "--dataset", "digits:fou,zer", "--strategies", "bmmal,random", "--out", run, *QUICK)
    results = ExperimentResults.load(run)
    assert results.strategies == ["bmmal", "random"]
    assert results.modalities == ["fou", "zer"]
    assert results.config["metadata"] == {"dataset": "digits:fou,zer", "scale": "standard", "split_seed": 0}
    pool = pd.read_csv(run / "pool.csv")
    assert len(pool) == 1400
    before = (run / "results.csv").read_bytes()
    skmmal("simulate", "--dataset", "digits:fou,zer", "--strategies", "bmmal,random", "--out", run, *QUICK)
    assert (run / "results.csv").read_bytes() == before
    output = skmmal("simulate", "--dataset", "digits:fou,zer", "--strategies", "bmmal", "--out", run, *QUICK, code=1)
    assert "strategies.random.class" in output
    assert str(run / "report.html") in skmmal("report", run).replace(" ", "")
    assert (run / "figures" / "learning_curves.pdf").is_file()
    assert "12 of 12 rounds done: 2 strategies, 2 seeds, up to 20 of 1400 labels" in skmmal("info", run)


def test_simulate_scales_over_all_rows(tmp_path):
    skmmal("simulate", "--dataset", "mind-the-gap:missing", "--strategies", "random", "--out", tmp_path, *SMALL)
    data = load_dataset("mind-the-gap:missing")
    data.X = ModalityScaler().fit_transform(data.X)
    pool, test = split(data, 0.3, 0)
    results = ExperimentResults.load(tmp_path)
    rows = results.selected.query("seed == 1")["row"].to_numpy()
    clf = LateFusionClassifierCV().fit(pool.X[rows], pool.y[rows], classes=np.unique(data.y))
    assert results.frame.query("seed == 1")["accuracy"].iloc[-1] == pytest.approx(clf.score(test.X, test.y))
    raw = tmp_path / "raw"
    skmmal(
        "simulate",
        "--dataset",
        "mind-the-gap:missing",
        "--strategies",
        "random",
        "--scale",
        "none",
        "--out",
        raw,
        *SMALL,
    )
    assert ExperimentResults.load(raw).frame["ece"].tolist() != results.frame["ece"].tolist()


def test_split_keeps_the_classes_shares():
    data = load_dataset("emoji:subcategory")
    pool, test = split(data, 0.3, 1)
    assert len(pool.y) + len(test.y) == 1636
    assert set(pool.ids).isdisjoint(test.ids) or len(set(data.ids)) < len(data.ids)
    whole, drawn = pd.Series(data.y).value_counts(), pd.Series(test.y).value_counts()
    assert ((drawn - 0.3 * whole[drawn.index]).abs() < 1.5).all()
    assert (whole[sorted(set(data.y) - set(pool.y))].empty) is True  # a class of one row is in the pool
    assert not np.array_equal(test.ids, split(data, 0.3, 2)[1].ids)


def test_simulate_from_a_cache(files):
    out = files / "run"
    args = ["simulate", "--features", files / "features", "--labels", files / "labels.csv", "--strategies", "margin"]
    skmmal(*args, "--out", out, *QUICK)
    assert ExperimentResults.load(out).config["classes"] == ["cat", "dog", "eel"]
    assert pd.read_csv(out / "pool.csv")["id"].str.startswith("s").all()
    # rows without a label are left out, and said so; the file's own split is kept
    table = pd.read_csv(files / "labels.csv")
    table["split"] = np.where(np.arange(200) % 4, "train", "test")
    table.loc[3, "label"] = ""
    table[:150].to_csv(files / "part.csv", index=False)
    output = skmmal(*args[:4], files / "part.csv", *args[5:], "--out", files / "part", *QUICK)
    assert "1 lines of" in output
    assert "51 of 200 rows have no label" in output
    assert ExperimentResults.load(files / "part").config["n_test"] == 38
    assert len(pd.read_csv(files / "part" / "pool.csv")) == 150 - 38 - 1


def test_simulate_from_npz(data, files):
    X, _ = data
    np.savez(files / "features.npz", **X.blocks, ids=[f"s{i:03d}" for i in range(200)])
    for name, features in (("one", "features"), ("two", "features.npz")):
        skmmal(
            "simulate",
            "--features",
            files / features,
            "--labels",
            files / "labels.csv",
            "--out",
            files / name,
            "--strategies",
            "bmmal",
            *QUICK,
        )
    assert (files / "one" / "results.csv").read_bytes() == (files / "two" / "results.csv").read_bytes()
    np.savez(files / "odd.npz", a=np.zeros((3, 2)), extra=np.zeros(3))
    assert "neither 'ids' nor modalities" in skmmal(
        "simulate", "--features", files / "odd.npz", "--labels", files / "labels.csv", "--out", files / "x", code=1
    )
    np.savez(files / "plain.npz", a=np.zeros((3, 2)))
    assert load_features(files / "plain.npz").ids.tolist() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ([], LateFusionClassifierCV()),
        (["--C", 0.3, "--fusion", "sum"], LateFusionClassifierCV(Cs=(0.3,), fusion="sum")),
        (["--estimator", "late-fusion"], LateFusionClassifier()),
        (["--estimator", "late-fusion", "--C", 0.3], LateFusionClassifier(C=0.3)),
        (["--class-weight", "balanced"], LateFusionClassifierCV(class_weight="balanced")),
        (["--modality-weights", "none"], LateFusionClassifierCV(modality_weights=None)),
        (
            ["--estimator", "late-fusion", "--modality-weights", "b=0.25"],
            LateFusionClassifier(modality_weights={"b": 0.25}),
        ),
    ],
)
def test_which_classifier(options, made, data, files):
    """In all commands that fit one."""
    from skmmal.campaign import LabelingCampaign

    labels = pd.read_csv(files / "labels.csv")[:30]
    labels.to_csv(files / "some.csv", index=False)
    given = ["--features", files / "features", "--labels", files / "some.csv", *options]
    skmmal("select", *given, "--strategy", "margin", "-n", 5, "--out", files / "next.csv")
    X = ModalityScaler().fit_transform(data[0])
    fitted = made.fit(X[:30], labels["label"])
    chosen = pd.read_csv(files / "next.csv")
    rows = pd.Index(pd.read_csv(files / "labels.csv")["id"]).get_indexer(chosen["id"])
    np.testing.assert_allclose(chosen["confidence"], fitted.predict_proba(X[rows]).max(axis=1), rtol=1e-6)
    skmmal("campaign", "init", files / "campaign", "--features", files / "features", *options)
    begun = LabelingCampaign(files / "campaign").settings.estimator
    assert type(begun) is type(made)
    assert begun.get_params() == made.get_params()
    # the same command again, and the one without options, go on
    skmmal("campaign", "init", files / "campaign", "--features", files / "features", *options)
    skmmal("campaign", "init", files / "campaign", "--features", files / "features")
    run = ["simulate", *given[:2], "--labels", files / "labels.csv", *options, "--strategies", "random"]
    skmmal(*run, "--out", files / "run", "--n-initial", 15, "--n-rounds", 0, "--seeds", 1, "-q")
    config = ExperimentResults.load(files / "run").config
    assert config["estimator"]["class"] == f"skmmal.classifier.{type(made).__name__}"
    assert config["estimator"]["params"]["class_weight"] == made.class_weight
    assert config["estimator"]["params"].get("modality_weights") == made.modality_weights


@pytest.mark.parametrize("weights", ["b", "=1", "b=zero", "b=-1", "b=inf", "b=1,b=2", ","])
def test_modality_weights_that_cannot_be_used(weights, files):
    given = ["--features", files / "features", "--labels", files / "labels.csv", "--modality-weights", weights]
    message = skmmal("simulate", *given, "--out", files / "run", code=1)
    assert "--modality-weights" in message
    assert "image=0.25,text=1" in message
    assert not (files / "run").exists()


def test_modality_weights_of_an_unknown_modality(files):
    pd.read_csv(files / "labels.csv")[:30].to_csv(files / "some.csv", index=False)
    given = ["--features", files / "features", "--labels", files / "some.csv", "-n", 5, "--modality-weights", "c=0.5"]
    assert "unknown modality 'c'" in skmmal("select", *given, "--out", files / "next.csv", code=1)
    assert not (files / "next.csv").exists()


def test_simulate_balances_classes(files):
    given = ["--features", files / "features", "--labels", files / "labels.csv", "--strategies", "margin", *QUICK]
    skmmal("simulate", *given, "--out", files / "plain")
    skmmal("simulate", *given, "--class-balance", "--out", files / "balanced")
    plain, balanced = (ExperimentResults.load(files / name) for name in ("plain", "balanced"))
    assert "class_balance" not in plain.config
    assert balanced.config["class_balance"] is True
    assert not balanced.selected.equals(plain.selected)
    assert "class_balance" in skmmal("simulate", *given, "--out", files / "balanced", code=1)  # another run


def test_select(data, files):
    X, _ = data
    labels = pd.read_csv(files / "labels.csv")
    labels[:40].sample(frac=1, random_state=0).to_csv(files / "some.csv", index=False)
    args = ["select", "--features", files / "features", "--labels", files / "some.csv", "--strategy", "bmmal", "-n", 12]
    skmmal(*args, "--out", files / "next.csv")
    chosen = pd.read_csv(files / "next.csv")
    assert chosen.columns.tolist() == [
        "id", "rank", "score", "chosen_by", "predicted", "confidence", "contribution_a", "contribution_b", "why"
    ]
    assert chosen["rank"].tolist() == list(range(1, 13))
    assert chosen["id"].nunique() == 12
    assert set(chosen["id"]).isdisjoint(labels["id"][:40])
    # by hand
    scaled = ModalityScaler().fit_transform(X)
    clf = LateFusionClassifierCV().fit(scaled[:40], labels["label"][:40])
    rows = BMMAL(random_state=random_seed("select", 0, "random_state")).query(clf, scaled[40:], 12)
    assert chosen["id"].tolist() == labels["id"][40 + rows].tolist()
    # the order of the lines and what is empty do not matter
    labels[:60].assign(label=labels["label"].where(labels.index < 40, "")).to_csv(files / "more.csv", index=False)
    args[4] = files / "more.csv"
    assert "20 lines of" in skmmal(*args, "--out", files / "again.csv")
    assert (files / "again.csv").read_bytes() == (files / "next.csv").read_bytes()
    skmmal(*args, "--out", files / "other.csv", "--seed", 1)
    assert (files / "other.csv").read_bytes() != (files / "next.csv").read_bytes()


def test_select_the_first_batch(files):
    args = ["select", "--features", files / "features", "-n", "10", "--out", files / "first.csv"]
    skmmal(*args, "--strategy", "kmeans")
    assert len(pd.read_csv(files / "first.csv")) == 10
    assert "margin needs labels (--labels); without any, use one of" in skmmal(*args, "--strategy", "margin", code=1)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("id,label\ns001,cat\ns001,dog\n", "id 's001' is there twice, again in line 3"),
        ("id,label\ns001,cat\nzzz,dog\n", "1 of 2 ids are not among the features, the first: 'zzz' in line 3"),
        ("id,label\n,cat\n", "the id is empty in line 2"),
        ("name,label\ns001,cat\n", "no column 'id'"),
        ("", "is empty; expected the columns id,label"),
        ("id,label,split\ns001,cat,dev\n", "split is 'dev' in line 2"),
    ],
)
def test_bad_labels(files, lines, words):
    (files / "bad.csv").write_text(lines)
    output = skmmal(
        "select", "--features", files / "features", "--labels", files / "bad.csv", "--out", files / "next.csv", code=1
    )
    assert words in output
    assert not (files / "next.csv").exists()


def test_friendly_errors(files):
    assert "unknown strategy 'nonsense'" in skmmal(
        "simulate", "--dataset", "emoji", "--strategies", "nonsense", "--out", files / "x", code=1
    )
    assert "unknown dataset 'nonsense'" in skmmal("simulate", "--dataset", "nonsense", "--out", files / "x", code=1)
    assert "needs a fitted model" in skmmal(
        "simulate", "--dataset", "digits", "--initial", "margin", "--out", files / "x", code=1
    )
    assert "only 200 of 200 rows are not labelled" in skmmal(
        "select", "--features", files / "features", "-n", "500", "--strategy", "random", "--out", files / "x", code=1
    )
    assert "there is no such folder" in skmmal("select", "--features", files / "no", "--out", files / "x", code=1)
    assert "neither a feature cache" in skmmal("info", files, code=1)
    assert "is not the folder of a run" in skmmal("report", files, code=1)
    assert "either --dataset or --features" in skmmal("simulate", "--out", files / "x", code=2)
    assert "needs --labels" in skmmal("simulate", "--features", files / "features", "--out", files / "x", code=2)
    skmmal("simulate", "--dataset", "emoji", code=2)
    assert not (files / "x").exists()


def test_rows_without_any_modality_are_left_out(data, files):
    X, _ = data
    blocks = {name: block.copy() for name, block in X.blocks.items()}
    for block in blocks.values():
        block[7] = np.nan
    FeatureStore.write(files / "holes", blocks, ids=[f"s{i:03d}" for i in range(200)])
    output = skmmal(
        "select", "--features", files / "holes", "-n", "199", "--strategy", "random", "--out", files / "next.csv"
    )
    assert "1 of 200 rows have no modality at all" in output
    assert "s007" not in set(pd.read_csv(files / "next.csv")["id"])


def test_a_failed_item_never_breaks_a_job_nor_shifts_a_row(data, files):
    """The labels name an item whose featurization failed: it is left out, and every other keeps its own label."""
    X, _ = data
    blocks = {name: block.copy() for name, block in X.blocks.items()}
    for block in blocks.values():
        block[[7, 150]] = np.nan
    ids = [f"s{i:03d}" for i in range(200)]
    FeatureStore.write(files / "holes", blocks, ids=ids)
    truth = pd.read_csv(files / "labels.csv").set_index("id")["label"]
    mixed = pd.read_csv(files / "labels.csv").sample(frac=1, random_state=0)
    mixed["split"] = np.where(mixed["label"].index % 3 == 0, "test", "train")
    mixed.to_csv(files / "mixed.csv", index=False)
    for labels, kept in ((files / "labels.csv", 198), (files / "mixed.csv", 198)):
        out = files / f"run {labels.stem}"
        args = ["simulate", "--features", files / "holes", "--labels", labels, "--strategies", "margin"]
        assert "2 of 200 rows have no modality at all" in skmmal(*args, "--out", out, *QUICK)
        pool = pd.read_csv(out / "pool.csv")
        assert len(pool) + ExperimentResults.load(out).config["n_test"] == kept
        assert not {"s007", "s150"} & set(pool["id"])
        assert pool["label"].tolist() == truth[pool["id"]].tolist()
    # a cache that never had them gives the same results: the same rows stand beside the same labels
    good = np.setdiff1d(np.arange(200), [7, 150])
    FeatureStore.write(files / "good", {name: block[good] for name, block in blocks.items()}, ids=[ids[i] for i in good])
    mixed[mixed["id"].isin([ids[i] for i in good])].to_csv(files / "good.csv", index=False)
    args = ["--features", files / "good", "--labels", files / "good.csv", "--strategies", "margin"]
    skmmal("simulate", *args, "--out", files / "run good", *QUICK)
    for name in ("results.csv", "selected.csv", "pool.csv"):
        assert (files / "run good" / name).read_bytes() == (files / "run mixed" / name).read_bytes()
    for features, labels, out in (("holes", mixed[:60], "a.csv"), ("good", mixed[:60][mixed["id"][:60].isin([ids[i] for i in good])], "b.csv")):
        labels.to_csv(files / "part.csv", index=False)
        skmmal("select", "--features", files / features, "--labels", files / "part.csv", "-n", "20", "--out", files / out)
    assert (files / "a.csv").read_bytes() == (files / "b.csv").read_bytes()
    # estimators name the row, and the store says which rows to load
    store = FeatureStore.open(files / "holes")
    with pytest.raises(ValueError, match="row 7 of X has no modality"):
        LateFusionClassifier().fit(store.load(), data[1])
    rows = store.present().any(axis=1)
    LateFusionClassifier().fit(store.load(rows=rows), data[1][rows])


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("id,label\n{}", "utf-8"),
        ("id;label\n{}", "utf-8-sig"),
        ("id\tlabel\n{}", "utf-16"),
        ("sep=;\nid;label\n{}", "utf-8"),
        ("note,label,id\n{}", "utf-8"),
    ],
)
def test_labels_of_every_dialect_keep_their_ids(tmp_path, content, encoding):
    mark = next(mark for mark in "\t;," if mark in content)
    ids, labels = ["007", "NA", "1e5", "ä"], ["null", "0", f"a{mark}b", "ö"]
    lines = "".join(f'x{mark}"{label}"{mark}{name}\n' if "note" in content else f'{name}{mark}"{label}"\n' for name, label in zip(ids, labels, strict=True))
    (tmp_path / "labels.csv").write_text(content.format(lines), encoding=encoding)
    table = read_labels(tmp_path / "labels.csv")
    assert table["id"].tolist() == ids
    assert table["label"].tolist() == labels


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,label\ns001,cat,dog\n", "line 2 has 3 fields, the header 2"),
        (b"id,label\n\ns001\ns999,cat\n", "2 of 2 ids are not among the features, the first: 's001' in line 3"),
        (b"id,label\ns001,caf\xe9\n", "is not text in UTF-8 (first in line 2). In Excel save it as 'CSV UTF-8'"),
        (b"PK\x03\x04xxxx", "is an Excel workbook by its content, not a CSV file; save it as CSV"),
        (b"ID,label\ns001,cat\n", "no column 'id'; it has ['ID', 'label']. Did you mean 'ID'?"),
        (b"id,label,label\ns001,a,b\n", "the column 'label' is there twice"),
        (b'id,label\ns001,"cat\n', "not a CSV file"),
        (b"id,label\n7,cat\n", "The features have '007': a spreadsheet has dropped zeros in front"),
    ],
)
def test_labels_that_cannot_be_read_are_refused_with_the_reason(tmp_path, content, words):
    FeatureStore.write(tmp_path / "f", {"a": np.eye(8)}, ids=[f"00{k}" for k in range(8)])
    (tmp_path / "labels.csv").write_bytes(content)
    args = ["select", "--features", tmp_path / "f", "--labels", tmp_path / "labels.csv", "--out", tmp_path / "next.csv"]
    assert words in skmmal(*args, code=1)
    assert not (tmp_path / "next.csv").exists()


def test_names_in_any_spelling_give_the_same(files):
    args = ["select", "--features", files / "features", "--labels", files / "labels.csv", "-n", "1"]
    pd.read_csv(files / "labels.csv")[:50].to_csv(files / "labels.csv", index=False)
    skmmal(*args, "--strategy", "least-confidence", "--out", files / "a.csv")
    for spelling in ("Least_Confidence", "LEAST-CONFIDENCE", "LeastConfidenceSampling"):
        skmmal(*args, "--strategy", spelling, "--out", files / "b.csv")
        assert (files / "a.csv").read_bytes() == (files / "b.csv").read_bytes()
    assert "Did you mean 'least-confidence'?" in skmmal(*args, "--strategy", "leastconfidnce", "--out", files / "c.csv", code=1)
    assert "Did you mean 'emoji'?" in skmmal("simulate", "--dataset", "emojis", "--out", files / "x", code=1)


def test_info_of_a_cache(files):
    output = skmmal("info", files / "features")
    assert "200 samples" in output
    assert "200 × 6" in output


def test_simulate_with_annotators_and_an_oracle(files):
    run = files / "run"
    options = ["--features", files / "features", "--labels", files / "labels.csv", "--strategies", "margin", *QUICK]
    options += ["--seeds", "1", "--n-rounds", "1"]
    noisy = ["--annotator-error", "0.3", "--annotator-skip", "0.2", "--annotators", "3"]
    skmmal("simulate", *options, *noisy, "--oracle", "--out", run)
    results = ExperimentResults.load(run)
    assert results.strategies == ["margin", "oracle"]
    assert results.config["annotator"]["params"] == {
        "confusion": None,
        "error_rate": 0.3,
        "n_annotators": 3,
        "skip_rate": 0.2,
    }
    assert (results.frame["n_wrong"] > 0).any()
    assert "4 of 4 rounds done: 2 strategies, 1 seeds" in skmmal("info", run)
    before = (run / "results.csv").read_bytes()
    skmmal("simulate", *options, *noisy, "--oracle", "--out", run)
    assert (run / "results.csv").read_bytes() == before
    assert "annotator" in skmmal("simulate", *options, "--oracle", "--out", run, code=1)
    skmmal("report", run)
    assert (run / "report.html").is_file()
    output = skmmal("simulate", *options, "--annotators", "3", "--out", files / "other", code=2)
    assert "they would all agree" in " ".join(output.replace("│", " ").split())


def test_strategies():
    output = skmmal("strategies")
    for name in available_strategies():
        assert name in output


def test_help_and_module():
    for command in ("simulate", "report", "select", "strategies", "info"):
        assert command in skmmal("--help")
    assert "Example: skmmal simulate" in skmmal("simulate", "--help")
    code = "import sys, skmmal.cli; print('torch' in sys.modules, 'pandas' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]  # --help must not wait for them
    found = subprocess.run([sys.executable, "-m", "skmmal", "--version"], capture_output=True, text=True)
    assert found.returncode == 0
    assert found.stdout.startswith("skmmal ")


def test_several_runs(tmp_path):
    for name in ("missing", "difficulty"):
        skmmal(
            "simulate",
            "--dataset",
            f"mind-the-gap:{name}",
            "--strategies",
            "bmmal,random",
            "--out",
            tmp_path / name,
            *QUICK,
            "--n-rounds",
            "1",
        )
    skmmal("report", tmp_path / "missing", tmp_path / "difficulty", "--out", tmp_path / "both")
    for name in ("missing", "difficulty", "both"):
        assert (tmp_path / name / "report.html").is_file()


def test_simulate_with_a_cold_start(tmp_path):
    options = ["simulate", "--dataset", "digits:fou,zer", "--strategies", "margin,random", "--out", tmp_path, *QUICK]
    skmmal(*options, "--initial", "mmcsal", "--n-rounds", "1", "--seeds", "1")
    first = ExperimentResults.load(tmp_path).selected.query("round == 0").groupby("strategy")["row"].apply(list)
    assert first["margin"] == first["random"]


def test_examples(tmp_path):
    """A copy that runs where it lies, without what measures the code of a clone; never over somebody's own file."""
    out = tmp_path / "mine" / "examples"
    said = skmmal("examples", out)
    source = Path(__file__).parents[1] / "examples"
    copied = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert Path("quickstart.py") in copied
    assert not {"benchmarks", "results"} & {name.parts[0] for name in copied}
    assert all((out / name).read_bytes() == (source / name).read_bytes() for name in copied)
    assert f"{out / 'quickstart.py'}: Choose the next batch on real multimodal data" in said
    assert f"{len(copied)} files in {out}" in said
    done = subprocess.run([sys.executable, "quickstart.py", "--help"], cwd=out, capture_output=True, text=True, check=True)
    assert "--scale" in done.stdout

    (out / "mvopt.py").unlink()
    skmmal("examples", out)  # what is missing is put there again
    assert (out / "mvopt.py").is_file()
    (out / "quickstart.py").write_text("mine")
    (out / "mvopt.py").unlink()
    assert "quickstart.py is there already and differs from the example (1 such files)" in skmmal("examples", out, code=1)
    assert (out / "quickstart.py").read_text() == "mine"
    assert not (out / "mvopt.py").exists()
    assert "is a file; name a folder" in skmmal("examples", out / "quickstart.py", code=1)


def test_the_wheel_leaves_out_what_the_command_leaves_out():
    """The command copies from a wheel and from a clone; both must hold the same examples."""
    wheel = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["sources"] == {"examples": "skmmal/_examples"}
    assert set(wheel["exclude"]) == {f"examples/{name}" for name in FROM_A_CLONE_ONLY}


@pytest.fixture
def labeled_sets(tmp_path):
    """A cache, and its labels as sets and as a column for each label, with patients and costs."""
    X, Y = make_multimodal_classification(120, {"a": 6, "b": 4}, n_labels=3, random_state=0, return_X_y=True)
    ids = [f"s{i:03d}" for i in range(120)]
    FeatureStore.write(tmp_path / "features", X.blocks, ids=ids)
    rng = np.random.default_rng(0)
    names = np.array(["boat", "sea", "sky"])
    table = pd.DataFrame({"id": ids, "patient": rng.integers(0, 40, 120), "minutes": rng.integers(1, 9, 120) / 2})
    table.assign(label=["|".join(names[row == 1]) for row in Y]).to_csv(tmp_path / "sets.csv", index=False)
    columns = pd.DataFrame(Y, columns=names).astype(object)
    pd.concat([table, columns], axis=1).to_csv(tmp_path / "columns.csv", index=False)
    return tmp_path, Y


def test_simulate_with_several_labels(labeled_sets):
    folder, Y = labeled_sets
    args = ["simulate", "--features", folder / "features", "--several-labels", "--strategies", "bmmal,random"]
    args += ["--estimator", "late-fusion", "--n-initial", "5", "--n-instances", "3", "--n-rounds", "1", "--seeds", "2"]
    args += ["-q", "--group-column", "patient", "--cost-column", "minutes"]
    for form in ("sets", "columns"):
        skmmal(*args, "--labels", folder / f"{form}.csv", "--out", folder / form)
    assert (folder / "sets" / "results.csv").read_bytes() == (folder / "columns" / "results.csv").read_bytes()
    results = ExperimentResults.load(folder / "sets")
    assert results.config["classes"] == ["boat", "sea", "sky"]
    assert results.frame["n_groups"].tolist() == [5, 8] * 4
    assert (results.frame["cost"] % 0.5 == 0).all()
    pool = pd.read_csv(folder / "sets" / "pool.csv", dtype={"group": str})
    rows = pool["id"].str[1:].astype(int)
    np.testing.assert_array_equal(pool[["boat", "sea", "sky"]], Y[rows])
    assert len(set(pool["group"])) < 40  # whole patients are test rows
    assert results.frame["mean_average_precision"].between(0, 1).all()
    skmmal("report", folder / "sets")
    assert (folder / "sets" / "figures" / "learning_curves_by_cost.png").is_file()
    assert (folder / "sets" / "figures" / "class_gains.png").is_file()


def test_tables_of_labels_that_cannot_be_read(labeled_sets):
    folder, _ = labeled_sets
    args = ["simulate", "--features", folder / "features", "--several-labels", "--out", folder / "x", "-q"]
    assert "column 'patient' holds '34'" in skmmal(*args, "--labels", folder / "columns.csv", code=1)
    found = skmmal(*args, "--labels", folder / "sets.csv", "--label-separator", ";", "--group-column", "ward", code=1)
    assert "no column 'ward'" in found
    found = skmmal("simulate", "--dataset", "digits", "--several-labels", "--out", folder / "x", code=2)
    assert "--several-labels, --group-column" in found
    with pytest.raises(ValueError, match="training and test rows"):
        split(
            Labelled(np.zeros((4, 1)), np.array(list("abab")), np.arange(4), np.array([0, 0, 1, 1], dtype=bool),
                     groups=np.array([1, 2, 2, 3])),
            0.5, seed=0,
        )  # fmt: skip
