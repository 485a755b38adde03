"""The feature cache: any arguments, a disk that fails at any write, readers and writers at once."""

import builtins
import errno
import io
import os
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fuzz.harness import REFUSED, answer, fuzz
from fuzz.inputs import BLOCK_CONTAINERS, ODD, features, values
from hypothesis import strategies as st

from skmmal.features import CacheInUseError, FeatureStore, RowWriter

ERRORS = (FileExistsError, CacheInUseError)


def draw_ids(data, n):
    plain = [f"id {k}" for k in range(n)]
    kinds = {
        "plain": plain,
        "numbers": list(range(n)),
        "array": np.array(plain),
        "unicode": [f"ä\u202e😀{k}" for k in range(n)],
        "long": ["x" * 3000 + str(k) for k in range(n)],
        "repeated": ["a"] * n,
        "short": plain[:-1],
        "more": [*plain, "z"],
        "breaks": ["a\nb", *plain[1:]],
        "empty": ["", *plain[1:]],
        "none": None,
        "number": 3,
        "text": "abc",
        "surrogate": ["\ud800", *plain[1:]],
        "nothing": [None] * n,
    }
    kind = data.draw(st.sampled_from(["plain"] * 6 + list(kinds)))
    good = kind in ("plain", "numbers", "array", "unicode", "long") or (kind in ("repeated", "nothing") and n == 1)
    return kinds[kind], good


@fuzz(100)
def test_write_open_load(data):
    given = data.draw(features(containers=BLOCK_CONTAINERS))
    ids, ids_good = draw_ids(data, given.n)
    metadata = data.draw(st.sampled_from([None, None, {}, {"a": {"backbone": "b"}}, {"nothing": {}}, {"a": {"shape": 1}}, {"a": 3}, 3, {"a": {"x": object}}, {"a": {"x": float("nan")}}]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / data.draw(st.sampled_from(["features", "deep/er", "ä b", "."]))
        url = data.draw(st.sampled_from(["s3://b/c", "hf://a", "FILE:///x", "a+b://c", "zip::s3://b/c.zip", Path("gs://b"), "", None, 3]))
        for call in (FeatureStore.open, lambda path: FeatureStore.write(path, given.X, ids), lambda path: FeatureStore.import_files(path, "x.npz")):
            answer("FeatureStore(URL)", lambda: call(url), valid=False)  # noqa: B023
        named = all(name.replace("-", "").isidentifier() for name in given.blocks)
        valid = False if not ids_good else None if not named or metadata not in (None, {}) else given.defect is None
        if given.defect in ("empty-row", "widths"):  # a row may lack everything here; a layout is not asked for
            valid = None if ids_good else False
        store = answer("FeatureStore.write", lambda: FeatureStore.write(path, given.X, ids, metadata), valid=valid, errors=ERRORS)
        if store is REFUSED:
            assert not path.exists() or not any(path.iterdir()) or path.name == "."
            assert not any(".new-" in each.name for each in Path(folder).rglob("*"))
            return
        found = answer("FeatureStore.load", lambda: FeatureStore.open(path).load(), valid=True)
        for name, block in given.blocks.items() if given.defect is None else ():
            np.testing.assert_array_equal(np.asarray(found[name], dtype=float), block.astype(float))
        assert FeatureStore.open(path).verify(checksum=True)["ok"]
        rows = data.draw(st.sampled_from([None, [0], [], slice(None), [given.n], [-1], [0.5], "a", 3, np.ones(given.n, bool), [[0]], ["a"]]))
        names = data.draw(st.sampled_from([None, list(given.blocks)[:1], [], ["nothing"], "a", 3, [3]]))
        part = answer("FeatureStore.load", lambda: store.load(rows, names), errors=(IndexError, KeyError), ours=False)
        if part is not REFUSED and rows is None:
            assert len(part) == given.n
        wanted = data.draw(st.sampled_from([["id 0"], [0], ["nothing"], [], None, 3, "a", [None]]))
        answer("FeatureStore.index", lambda: store.index(wanted), errors=(KeyError,))
        before = snapshot(path)
        answer("FeatureStore.write", lambda: FeatureStore.write(path, given.blocks, ids), valid=False, errors=ERRORS)
        assert snapshot(path) == before
        answer("FeatureStore.info", store.info, valid=True)


@fuzz(60)
def test_append_subset_join(data):
    n = data.draw(st.integers(1, 8))
    ids = [f"id {k}" for k in range(n)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        store = FeatureStore.write(path / "one", {"first": np.arange(2.0 * n).reshape(n, 2)}, ids)
        given = data.draw(features(fixed_rows=data.draw(st.sampled_from([n, n, n + 1])), max_modalities=1))
        X = next(iter(given.X.values())) if isinstance(given.X, dict) and given.X else given.X
        name = data.draw(st.sampled_from(["second", "second", "first", "FIRST", "", "a/b", "..", "a.b", 3, None, "con"]))
        given_ids, _ = draw_ids(data, given.n)
        given_ids = data.draw(st.sampled_from([None, ids[::-1], given_ids]))
        before = store.load()["first"].copy()
        done = answer("FeatureStore.append", lambda: store.append(name, X, given_ids), errors=ERRORS)
        opened = answer("FeatureStore.open", lambda: FeatureStore.open(path / "one"), valid=True)
        assert (done is REFUSED) == (len(opened.modalities) == 1)
        np.testing.assert_array_equal(opened.load(modalities=["first"])["first"], before)
        rows = data.draw(st.sampled_from([None, [0], [0, 0], [], slice(1), [n], [-1], [0.5], "a", np.zeros(n, bool), np.ones(n, bool)]))
        some = data.draw(st.sampled_from([None, None, ids[:1], ["nothing"], [], 3]))
        names = data.draw(st.sampled_from([None, None, ["first"], ["nothing"], [], "first", 3]))
        part = answer("FeatureStore.subset", lambda: opened.subset(path / "part", rows, ids=some, modalities=names), errors=(*ERRORS, KeyError, IndexError))
        if part is REFUSED:
            assert not (path / "part").exists()
        else:
            assert part.verify(checksum=True)["ok"]
        other_ids = data.draw(st.sampled_from([ids, ids[::-1], ["x"], [*ids[:1], "y"]]))
        other = FeatureStore.write(path / "two", {data.draw(st.sampled_from(["third", "first"])): np.ones((len(other_ids), 1))}, other_ids)
        how = data.draw(st.sampled_from(["inner", "left", "outer", "right", None, 3]))
        joined = answer("FeatureStore.join", lambda: opened.join(other, path / "both", how), errors=ERRORS)
        if joined is REFUSED:
            assert not (path / "both").exists()
        else:
            assert joined.verify(checksum=True)["ok"]


@fuzz(100)
def test_row_writer(data):
    n = data.draw(st.integers(1, 8))
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore.create(Path(folder) / "c", [str(k) for k in range(n)])
        width = data.draw(st.sampled_from([2, 2, (2, 3), *ODD]))
        options = {
            "dtype": data.draw(st.sampled_from(["float32", "float32", "float16", "bfloat16", "int8", "bool", "complex64", "object", "nothing", *ODD])),
            "range_rows": data.draw(st.sampled_from([None, 1, 3, *ODD])),
            "shard": data.draw(st.sampled_from([(0, 1), (0, 1), (1, 2), (2, 2), (0, 0), *ODD])),
            "fingerprint": data.draw(st.sampled_from([None, {"w": 1}, {"w": (1, 2)}, {"w": object}, 3])),
            "metadata": data.draw(st.sampled_from([None, {"b": "c"}, {"shape": 3}, 3])),
        }
        writer = answer("FeatureStore.writer", lambda: store.writer("m", width, **options), errors=ERRORS)
        if writer is REFUSED:
            assert FeatureStore.open(store.path).modalities == {}
            return
        assert isinstance(writer, RowWriter)
        with writer:
            for part in writer.pending():
                rng = np.random.default_rng(data.draw(st.integers(0, 99)))
                shape = (part.stop - part.start, *writer.shape[1:])
                block = data.draw(st.sampled_from([values(rng, shape, "normal", "float64"), np.full(shape, np.nan), np.full(shape, np.inf), np.zeros((1, 1)), np.zeros(shape[:1]), None, "a", np.full(shape, "a"), np.full(shape, 1e300)]))
                present = data.draw(st.sampled_from([None, None, np.zeros(shape[0], bool), np.ones(shape[0], bool), [True], "a", np.ones(shape)]))
                answer("RowWriter.commit", lambda: writer.commit(part, block, present))  # noqa: B023
        opened = answer("FeatureStore.open", lambda: FeatureStore.open(store.path), valid=True)
        problems = opened.verify(checksum=True)["problems"]
        assert all("not written" in problem for problem in problems), problems


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


# --------------------------------------------------------------------------------------------------- a full disk


class _FullFile(io.FileIO):
    """A file whose writes count."""

    count = None

    def write(self, data):
        type(self).count()
        return super().write(data)


@contextmanager
def failing_disk(monkeypatch, at, number):
    """The `at`-th write, flush, rename or new folder fails; yields a list of the calls made."""
    calls = []

    def count(name):
        calls.append(name)
        if len(calls) == at:
            raise OSError(number, os.strerror(number))

    def counted(owner, name):
        plain = getattr(owner, name)

        def wrapped(*args, **options):
            count(name)
            return plain(*args, **options)

        return wrapped

    plain_open = builtins.open

    def opened(file, mode="r", *args, **options):
        if any(letter in mode for letter in "wax+"):
            count("open")
            if "b" in mode:
                made = type("Full", (_FullFile,), {"count": staticmethod(lambda: count("write"))})
                raw = made(file, mode.replace("b", ""))
                return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return plain_open(file, mode, *args, **options)

    with monkeypatch.context() as patch:
        for name in ("fsync", "replace", "rename", "mkdir"):
            patch.setattr(os, name, counted(os, name))
        plain_fdopen = os.fdopen

        def fdopen(descriptor, mode="r", *args, **options):
            made = type("Full", (_FullFile,), {"count": staticmethod(lambda: count("write"))})
            return io.BufferedWriter(made(descriptor, "w")) if mode == "wb" else plain_fdopen(descriptor, mode, *args, **options)

        patch.setattr(os, "fdopen", fdopen)
        patch.setattr(builtins, "open", opened)
        yield calls


def every_failure(monkeypatch, job, check):
    """Run a job with the disk failing at its first write, its second, ... until it ends well."""
    for at in range(1, 400):
        failed = None
        with failing_disk(monkeypatch, at, errno.EIO if at % 4 == 0 else errno.ENOSPC) as calls:
            try:
                job()
            except OSError as error:
                failed = error
        if failed is None and len(calls) < at:
            return at - 1
        check(failed)
    raise AssertionError("the job never ended")


BLOCKS = {"image": np.arange(24.0).reshape(12, 2), "text": np.arange(12.0, dtype=np.float32).reshape(12, 1)}
IDS = [f"id {k}" for k in range(12)]


def test_a_disk_that_fails_at_any_write_of_a_cache(monkeypatch, tmp_path):
    path = tmp_path / "features"

    def check(failed):
        if path.exists():  # then it is whole
            np.testing.assert_array_equal(FeatureStore.open(path).load()["image"], BLOCKS["image"])
            assert FeatureStore.open(path).verify(checksum=True)["ok"]
        else:
            assert failed is not None
        clear(tmp_path)

    assert every_failure(monkeypatch, lambda: FeatureStore.write(path, BLOCKS, IDS), check) > 30


def clear(folder):
    import shutil

    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_disk_that_fails_while_a_cache_is_replaced(monkeypatch, tmp_path):
    path = tmp_path / "features"
    old = {"image": -BLOCKS["image"]}

    def prepare():
        clear(tmp_path)
        FeatureStore.write(path, old, IDS)

    def check(failed):
        found = FeatureStore.open(path)
        assert found.verify(checksum=True)["ok"]
        expected = old if len(found.modalities) == 1 else BLOCKS
        for name, block in expected.items():
            np.testing.assert_array_equal(found.load()[name], block)
        with monkeypatch.context():
            prepare()

    prepare()
    assert every_failure(monkeypatch, lambda: FeatureStore.write(path, BLOCKS, IDS, overwrite=True), check) > 20


def test_a_disk_that_fails_at_any_write_of_the_row_writer(monkeypatch, tmp_path):
    path = tmp_path / "features"

    def job():
        store = FeatureStore.create(path, IDS)
        with store.writer("image", 2, dtype="float64", range_rows=4) as writer:
            for part in writer.pending():
                writer.commit(part, BLOCKS["image"][part.start : part.stop])

    def check(failed):
        if (path / "manifest.json").exists():
            store = FeatureStore.open(path)
            if store.modalities:
                done = store.progress("image")["done"]
                with pytest.warns(UserWarning, match="not finished") if done < 12 else no_warning():
                    found = np.asarray(store.load()["image"])
                written = ~np.isnan(found).any(axis=1)
                assert written.sum() >= done  # what is vouched for is there
                np.testing.assert_array_equal(found[written], BLOCKS["image"][written])
        job()  # the same again, with room on the disk, ends well
        assert FeatureStore.open(path).verify(checksum=True)["ok"]
        np.testing.assert_array_equal(FeatureStore.open(path).load()["image"], BLOCKS["image"])
        clear(tmp_path)

    assert every_failure(monkeypatch, job, check) > 30


@contextmanager
def no_warning():
    yield


def test_a_disk_that_fails_at_any_write_of_a_saved_classifier(monkeypatch, tmp_path):
    from skmmal import LateFusionClassifier

    first = LateFusionClassifier().fit(BLOCKS, np.arange(12) % 2)
    second = LateFusionClassifier(C=0.01).fit(BLOCKS, np.arange(12) % 3)
    path = tmp_path / "model"

    def prepare():
        clear(tmp_path)
        first.save(path)

    def check(failed):
        # the old one or the new one, never the one with the other's weights, and never none
        found = answer("half-saved classifier", lambda: LateFusionClassifier.load(path), valid=True)
        expected = first if len(found.classes_) == 2 else second
        np.testing.assert_array_equal(found.predict_proba(BLOCKS), expected.predict_proba(BLOCKS))
        second.save(path)  # with room on the disk the same ends well, and leaves nothing of the one that failed
        assert {each.name for each in path.iterdir()} == {"estimator.json", "weights.safetensors"}
        prepare()

    prepare()
    assert every_failure(monkeypatch, lambda: second.save(path), check) >= 6


# -------------------------------------------------------------------------------------------- readers and writers


def test_readers_and_writers_at_once(tmp_path):
    """Four threads append, read and refuse each other; what a reader sees is what was written, or not yet there."""
    n, path = 40, tmp_path / "features"
    truth = {f"m{k}": np.full((n, 3), float(k)) for k in range(6)}
    FeatureStore.create(path, [str(k) for k in range(n)])
    problems: list[BaseException] = []
    done = threading.Event()

    def write(names):
        try:
            for name in names:
                store = FeatureStore.open(path)
                with store.writer(name, 3, dtype="float64", range_rows=5) as writer:
                    for part in writer.pending():
                        writer.commit(part, truth[name][part.start : part.stop])
        except BaseException as error:
            problems.append(error)

    def read():
        import warnings

        try:
            while not done.is_set():
                store = FeatureStore.open(path)
                for name in list(store.modalities):
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # unfinished: said, and tested elsewhere
                        block = np.asarray(store.load(modalities=[name])[name])
                    written = ~np.isnan(block)
                    assert (block[written] == truth[name][written]).all()
                store.info()
        except BaseException as error:
            problems.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # many turns: a reader meets every state between two files
    writers = [threading.Thread(target=write, args=(names,)) for names in (["m0", "m1", "m2"], ["m3", "m4", "m5"])]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in [*writers, *readers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    sys.setswitchinterval(interval)
    assert not problems, problems
    found = FeatureStore.open(path)
    assert found.verify(checksum=True)["ok"]
    for name, block in truth.items():
        np.testing.assert_array_equal(found.load()[name], block)


