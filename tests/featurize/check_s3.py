"""Manifests, cells and shards in an S3 store, from end to end: a real server (moto's) on loopback, and s3fs.

Not collected with the other tests. ``pip install "moto[server]" s3fs``, then ``python -m pytest tests/featurize/check_s3.py``.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
import uuid

import fsspec
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from skmmal.cli import app
from skmmal.features import FeatureStore
from skmmal.featurize._cli import run_script

from .test_inputs import BROKEN, EMPTY, JOB, MISSING, N, featurize, ids, parquet, picture, plain, shards


@pytest.fixture(scope="module")
def server():
    """Where a server of its own listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}/moto-api/", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def bucket(server, monkeypatch):
    """An empty bucket, which s3fs finds by the environment as with any other store that speaks S3."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3", skip_instance_cache=True)
    name = f"b{uuid.uuid4().hex[:12]}"
    fsspec.filesystem("s3").mkdir(name)
    yield name
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.fixture(scope="module")
def pictures():
    return [picture(k) for k in range(N)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory, pictures):
    """The cache of a plain manifest of plain files."""
    folder = tmp_path_factory.mktemp("plain")
    featurize(plain(folder, pictures), folder / "cache")
    return FeatureStore.open(folder / "cache")


def cells_in_the_store(folder, pictures, bucket):
    """A local manifest, whose files lie in the bucket."""
    plain(folder, pictures)
    fsspec.filesystem("s3").put(str(folder / "images"), f"{bucket}/images", recursive=True)
    urls = [f"s3://{bucket}/images/{k}.png" for k in range(N)]
    pd.DataFrame({"id": ids(), "image": urls}).to_csv(folder / "cells.csv", index=False)
    return folder / "cells.csv"


def all_in_the_store(folder, pictures, bucket):
    """A manifest in the bucket, with paths beside it."""
    manifest = plain(folder, pictures)
    store = fsspec.filesystem("s3")
    store.put(str(folder / "images"), f"{bucket}/data/images", recursive=True)
    store.put_file(str(manifest), f"{bucket}/data/m.csv")
    return f"s3://{bucket}/data/m.csv"


def parquet_in_the_store(folder, pictures, bucket):
    fsspec.filesystem("s3").put_file(str(parquet(folder, pictures)), f"{bucket}/m.parquet")
    return f"s3://{bucket}/m.parquet"


def shards_in_the_store(folder, pictures, bucket):
    for path in shards(folder, pictures).parent.glob("*.tar"):
        fsspec.filesystem("s3").put_file(str(path), f"{bucket}/{path.name}")
    return f"s3://{bucket}/train-{{000..002}}.tar"


FORMS = [cells_in_the_store, all_in_the_store, parquet_in_the_store, shards_in_the_store]


@pytest.mark.parametrize("form", FORMS)
def test_from_the_store_to_a_simulation(form, tmp_path, pictures, expected, bucket):
    given, out = str(form(tmp_path, pictures, bucket)), tmp_path / "cache"
    assert featurize(given, out, limit=5)["done"] == 5
    receipt = featurize(given, out, workers=2)  # goes on, in processes of their own
    assert (receipt["encoded"], receipt["complete"]) == (7, True)
    store = FeatureStore.open(out)
    assert list(store.ids) == list(expected.ids)
    assert np.flatnonzero(~store.present("image")).tolist() == [BROKEN, EMPTY, MISSING]
    np.testing.assert_array_equal(store.load()["image"], expected.load()["image"])
    assert {error["row"] for error in store.errors("image")} == {BROKEN, EMPTY, MISSING}
    again = featurize(given, out, extend="stat")
    assert (again["encoded"], again["extension"]) == (0, {"new": 0, "changed": 0, "removed": 0})
    labels = pd.DataFrame({"id": ids(), "label": [f"class {k % 2}" for k in range(N)]})
    labels.to_csv(tmp_path / "labels.csv", index=False)
    places = ["--features", str(out), "--labels", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "run")]
    sizes = ["--strategies", "random", "--n-rounds", "1", "--n-instances", "2", "--n-initial", "4", "--seeds", "1"]
    done = CliRunner().invoke(app, ["simulate", *places, *sizes, "--estimator", "late-fusion", "--quiet"])
    assert done.exit_code == 0, done.output


def test_a_file_that_changed_in_the_store_is_made_again(tmp_path, pictures, bucket):
    given = all_in_the_store(tmp_path, pictures, bucket)
    featurize(given, tmp_path / "cache")
    store = fsspec.filesystem("s3")
    store.pipe_file(f"{bucket}/data/images/0.png", picture(50))
    store.pipe_file(f"{bucket}/data/images/1.png", pictures[1])  # written again, and the same
    assert featurize(given, tmp_path / "cache", extend="stat")["extension"]["changed"] == 1


def test_the_command_line_and_what_is_not_there(tmp_path, pictures, bucket, capsys):
    given = all_in_the_store(tmp_path, pictures, bucket)
    assert run_script("image", [given, "--out", str(tmp_path / "cache"), *JOB]) == 0
    capsys.readouterr()
    for url in (f"s3://{bucket}/none.csv", "s3://no-such-bucket-1/m.csv"):
        assert run_script("image", [url, "--out", str(tmp_path / "none"), *JOB]) == 2
        assert f"the manifest {url} cannot be read: FileNotFoundError" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
