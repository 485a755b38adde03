"""URLs given as paths are refused at every entry, and leave no folder named ``s3:``."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from skmmal import LabelingCampaign, LateFusionClassifier, run_experiment
from skmmal._paths import local_path
from skmmal.campaign import export_batch, export_labels, write_campaign_report
from skmmal.cli import app
from skmmal.display import write_report
from skmmal.experiment import ExperimentResults
from skmmal.features import FeatureStore
from skmmal.featurize import JobOptions, run

URLS = ["s3://bucket/x", "gs://bucket/x", "hf://datasets/a/b", "https://host/x", "memory://x", "file:///tmp/x", "S3://Bucket/x", "simplecache::s3://bucket/x"]
X, Y, IDS = {"a": np.arange(40.0).reshape(20, 2)}, np.arange(20) % 2, [str(k) for k in range(20)]


def experiment(path):
    run_experiment(
        LogisticRegression(), ["random"], X["a"][:10], Y[:10], X_test=X["a"][10:], y_test=Y[10:],
        n_initial=4, n_instances=1, n_rounds=1, seeds=1, results_dir=path,
    )  # fmt: skip


def store():
    return FeatureStore.open("cache")


ENTRIES = {
    "open": FeatureStore.open,
    "create": lambda path: FeatureStore.create(path, IDS),
    "write": lambda path: FeatureStore.write(path, X, IDS),
    "overwrite": lambda path: FeatureStore.write(path, X, IDS, overwrite=True),
    "subset": lambda path: store().subset(path, rows=[0]),
    "join": lambda path: store().join(FeatureStore.open("other"), path),
    "import to": lambda path: FeatureStore.import_files(path, {"a": "a.npy"}),
    "import from": lambda path: FeatureStore.import_files("new", path),
    "import one from": lambda path: FeatureStore.import_files("new", {"a": path}),
    "save": lambda path: LateFusionClassifier().fit(X, Y).save(path),
    "load": LateFusionClassifier.load,
    "run_experiment": experiment,
    "results": ExperimentResults.load,
    "report": lambda path: write_report(path, "new"),
    "report to": lambda path: write_report("run", path),
    "campaign": lambda path: LabelingCampaign.create(path, "cache"),
    "campaign features": lambda path: LabelingCampaign.create("new", path),
    "campaign open": LabelingCampaign,
    "campaign labels": lambda path: LabelingCampaign("begun").add_labels(path),
    "campaign batch to": lambda path: export_batch(LabelingCampaign("begun"), path, "csv"),
    "campaign labels to": lambda path: export_labels(LabelingCampaign("begun"), path, "csv"),
    "campaign report to": lambda path: write_campaign_report(LabelingCampaign("begun"), path),
    "featurize to": lambda path: run(JobOptions("text", "manifest.csv", path, "transformers/none"), object()),
}


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FeatureStore.write("cache", X, IDS)
    FeatureStore.write("other", {"b": X["a"]}, IDS)
    np.save("a.npy", X["a"])
    LabelingCampaign.create("begun", "cache", strategy="random", initial="random").next_batch(2)
    return set(os.listdir())


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_url_is_no_local_folder(inside, entry):
    for url in URLS if entry == "write" else URLS[:1]:
        for given in (url, Path(url)):
            with pytest.raises(ValueError, match="is a URL, and only files of this machine are read and written"):
                ENTRIES[entry](given)
    assert set(os.listdir()) == inside


COMMANDS = [
    ["simulate", "--features", "URL", "--labels", "labels.csv", "--out", "new"],
    ["simulate", "--features", "cache", "--labels", "URL", "--out", "new"],
    ["simulate", "--dataset", "digits:fou", "--out", "URL"],
    ["select", "--features", "URL", "--out", "new"],
    ["select", "--features", "cache", "--strategy", "random", "-n", "1", "--out", "URL"],
    ["report", "URL"],
    ["info", "URL"],
    ["campaign", "init", "URL", "--features", "cache"],
    ["campaign", "init", "new", "--features", "URL"],
    ["campaign", "status", "URL"],
    ["campaign", "add-labels", "begun", "URL"],
    ["campaign", "next", "begun", "--out", "URL"],
    ["campaign", "export", "begun", "--out", "URL"],
    ["campaign", "report", "begun", "--out", "URL"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command))
def test_a_url_on_the_command_line(inside, command):
    done = CliRunner().invoke(app, [part.replace("URL", "s3://bucket/x") for part in command])
    assert done.exit_code == 1
    assert "'s3://bucket/x' is a URL" in " ".join(done.output.split())
    assert set(os.listdir()) == inside


def test_paths_that_are_none_of_this(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    FeatureStore.write("~/cache", X, IDS)
    assert FeatureStore.open("~/cache").path == tmp_path / "cache"
    assert not Path("~").exists()
    assert local_path("~no such user/x") == Path("~no such user/x")
    assert local_path("C:/data") == Path("C:/data")
    for plain in ("a:b", "12:30/x", "./s3:", "data/s3:/x"):
        assert local_path(plain) == Path(plain)
    with pytest.raises(ValueError, match="Give the path itself: '/data/x'"):
        local_path("file:///data/x")
    with pytest.raises(ValueError, match="out is empty"):
        local_path("", "out")
    for wrong in (None, 3, b"x"):
        with pytest.raises(TypeError, match="must be a path"):
            local_path(wrong)
