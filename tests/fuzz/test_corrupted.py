"""Damaged and hostile files: refused in words, nothing executed, nothing overwritten.

Caches, saved classifiers and folders of experiments are damaged at one file at a time. Whatever is read afterwards
either is what was written, or is refused.
"""

import json
import os
import pickle
import shutil
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from fuzz.harness import REFUSED, answer, fuzz
from hypothesis import strategies as st

from skmmal import ExperimentResults, LateFusionClassifier, run_experiment
from skmmal._store import sealed
from skmmal.features import FeatureStore

N = 12
BLOCKS = {
    "image": np.random.default_rng(0).standard_normal((N, 4)).astype(np.float32),
    "text": np.random.default_rng(1).standard_normal((N, 2, 3)),
}
BLOCKS["text"][3] = np.nan
Y = np.array(["cat", "dog", "emu"])[np.arange(N) % 3]


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


DAMAGES = [
    *("truncated", "truncated", "flipped", "flipped", "flipped", "empty", "foreign", "random", "pickle", "object-array"),
    *("huge-header", "endless-shape", "huge-safetensors", "deep-json", "long-number", "other-json", "nulls", "removed"),
    *("folder", "link-out", "link-loop", "fifo", "swapped"),
]


def damage(path, kind, data, outside):
    """Damage a file; return False where this kind changes nothing."""
    before = path.read_bytes()
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    if kind == "truncated":
        path.write_bytes(before[: rng.integers(len(before))] if before else b"")
    elif kind == "flipped":
        found = bytearray(before)
        for _ in range(data.draw(st.sampled_from([1, 1, 2, 8]))):
            found[rng.integers(len(found))] ^= 1 << rng.integers(8)
        path.write_bytes(found)
    elif kind in ("removed", "folder", "link-out", "link-loop", "fifo"):
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "link-out":
            (outside / path.name).write_bytes(before)
            path.symlink_to(outside / path.name)
        elif kind == "link-loop":
            path.symlink_to(path)
        elif kind == "fifo":
            os.mkfifo(path)
        return True
    elif kind == "swapped":  # another file of the same folder
        other = data.draw(st.sampled_from(sorted(each for each in path.parent.iterdir() if each.is_file())))
        path.write_bytes(other.read_bytes())
    else:
        path.write_bytes(replacement(kind, outside / "executed"))
    return path.read_bytes() != before


def replacement(kind, marker):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (12, %d), }"
    if kind == "object-array":
        with tempfile.TemporaryFile() as file:
            np.save(file, np.array([Bomb(marker)] * N, dtype=object), allow_pickle=True)
            file.seek(0)
            return file.read()
    return {
        "empty": lambda: b"",
        "foreign": lambda: b"\x89PNG\r\n\x1a\n" + bytes(200),
        "random": lambda: np.random.default_rng(0).bytes(300),
        "pickle": lambda: pickle.dumps(Bomb(marker)),
        "huge-header": lambda: b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{" * 100,
        "endless-shape": lambda: npy(header % 10**15),
        "huge-safetensors": lambda: struct.pack("<Q", 2**60) + b'{"a":1}',
        "deep-json": lambda: b"[" * 200_000,
        "long-number": lambda: b'{"format": ' + b"9" * 10_000 + b"}",
        "other-json": lambda: b'["a", 1]',
        "nulls": lambda: b'{"format": null, "version": null}',
    }[kind]()


def npy(header):
    text = header.encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def snapshot(folder):
    """Everything below a folder, without following links or opening pipes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else path.lstat().st_mode
        for path in folder.rglob("*")
        if path.name != ".lock"
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A good cache, classifier and run."""
    folder = tmp_path_factory.mktemp("good")
    FeatureStore.write(folder / "cache", BLOCKS, [f"id {k}" for k in range(N)], {"image": {"backbone": "b"}})
    unfinished = FeatureStore.create(folder / "unfinished", [f"id {k}" for k in range(N)])
    with unfinished.writer("image", 4, dtype="float32", range_rows=4) as writer:
        for part in writer.pending()[:2]:
            writer.commit(part, BLOCKS["image"][part.start : part.stop])
    classifier = LateFusionClassifier(encoder_dim=2, max_iter=2, random_state=0).fit(BLOCKS, Y)
    classifier.save(folder / "model")
    run_experiment(results_dir=folder / "run", **EXPERIMENT)
    return folder


EXPERIMENT = {
    "estimator": LateFusionClassifier(),
    "strategies": ["random", "margin"],
    "X": {"a": np.arange(16.0).reshape(8, 2)},
    "y": np.arange(8) % 2,
    "X_test": {"a": np.arange(8.0).reshape(4, 2)},
    "y_test": np.arange(4) % 2,
    "n_initial": 2,
    "n_instances": 2,
    "n_rounds": 1,
    "seeds": 1,
}


def damaged(data, good, folder):
    """A copy of a good folder with one damaged file; None where the damage changed nothing."""
    copy, outside = folder / "copy", folder / "outside"
    shutil.copytree(good, copy)
    outside.mkdir()
    files = sorted(path for path in copy.rglob("*") if path.is_file() and path.name != ".lock")
    path = data.draw(st.sampled_from(files))
    kind = data.draw(st.sampled_from(DAMAGES))
    if not damage(path, kind, data, outside):
        return None, kind
    return copy, kind


def unharmed(copy, before, folder):
    assert not (folder / "outside" / "executed").exists()
    assert snapshot(copy) == before


@fuzz(250)
def test_a_damaged_cache(made, data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kind_of_cache = data.draw(st.sampled_from(["cache", "cache", "unfinished"]))
        copy, kind = damaged(data, made / kind_of_cache, folder)
        if copy is None:
            return
        before = snapshot(copy)

        def read():
            store = FeatureStore.open(copy)
            report = store.verify(checksum=True)
            loaded = {key: np.array(block) for key, block in store.load().blocks.items()}
            return store, report, loaded, store.info(), store.errors()

        found = answer(f"damaged cache: {kind}", read, errors=(FileNotFoundError,))
        unharmed(copy, before, folder)
        if found is REFUSED:
            return
        store, report, loaded, *_ = found
        missing = [problem for problem in report["problems"] if "not written" not in problem]
        if missing or (kind_of_cache == "cache" and not report["ok"]):
            return  # read, and said to be damaged
        good = FeatureStore.open(made / kind_of_cache)
        assert store.ids.tolist() == good.ids.tolist()
        for key, block in loaded.items():
            if key in BLOCKS:  # a name may have been changed; the values may not
                truth = BLOCKS[key].reshape(N, -1)
                written = ~np.isnan(block).all(axis=1)
                np.testing.assert_array_equal(block[written], truth[written])


@fuzz(80)
def test_a_damaged_cache_is_not_written_into(made, data):
    """Writers meet the damage too: what was there stays, outside and inside."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy, kind = damaged(data, made / "unfinished", folder)
        if copy is None:
            return
        outside = snapshot(folder / "outside")

        def resume():
            store = FeatureStore.open(copy)
            with store.writer("image", 4, dtype="float32", range_rows=4) as writer:
                for part in writer.pending():
                    writer.commit(part, BLOCKS["image"][part.start : part.stop])
            return FeatureStore.open(copy)

        found = answer(f"resumed cache: {kind}", resume, errors=(FileNotFoundError, FileExistsError, IsADirectoryError))
        assert snapshot(folder / "outside") == outside
        assert not (folder / "outside" / "executed").exists()
        if found is not REFUSED and "image" in found.modalities and found.verify(checksum=True)["ok"]:
            np.testing.assert_array_equal(found.load(modalities=["image"])["image"], BLOCKS["image"])


@fuzz(150)
def test_a_damaged_classifier(made, data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy, kind = damaged(data, made / "model", folder)
        if copy is None:
            return
        before = snapshot(copy)
        found = answer(f"damaged classifier: {kind}", lambda: LateFusionClassifier.load(copy), valid=kind == "link-out", errors=(FileNotFoundError,))
        unharmed(copy, before, folder)
        if found is not REFUSED:  # weights may lie elsewhere (model hubs link to them); their checksum is known
            good = LateFusionClassifier.load(made / "model")
            np.testing.assert_array_equal(found.predict_proba(BLOCKS), good.predict_proba(BLOCKS))


@fuzz(120)
def test_a_damaged_run(made, data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy, kind = damaged(data, made / "run", folder)
        if copy is None:
            return
        before = snapshot(copy)
        found = answer(f"damaged run: {kind}", lambda: ExperimentResults.load(copy), errors=(FileNotFoundError,))
        unharmed(copy, before, folder)
        if found is not REFUSED:
            good = ExperimentResults.load(made / "run")
            timings = ["fit_seconds", "query_seconds"]
            same = found.frame.drop(columns=timings, errors="ignore"), good.frame.drop(columns=timings)
            np.testing.assert_array_equal(*(table.to_numpy().astype(str) for table in same))
            np.testing.assert_array_equal(found.selected.to_numpy(), good.selected.to_numpy())


@fuzz(30)
def test_a_damaged_run_goes_on(made, data):
    """Records that are damaged are refused, or their rounds are run again: never taken as they are."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy, kind = damaged(data, made / "run", folder)
        if copy is None:
            return
        outside = snapshot(folder / "outside")
        found = answer(
            f"resumed run: {kind}", lambda: run_experiment(results_dir=copy, **EXPERIMENT),
            errors=(FileNotFoundError, FileExistsError, IsADirectoryError),
        )
        assert snapshot(folder / "outside") == outside
        assert not (folder / "outside" / "executed").exists()
        if found is not REFUSED:
            good = ExperimentResults.load(made / "run")
            timings = ["fit_seconds", "query_seconds"]
            np.testing.assert_array_equal(
                found.frame.drop(columns=timings).to_numpy().astype(str), good.frame.drop(columns=timings).to_numpy().astype(str)
            )


NAMES = ["../image.npy", "/etc/passwd", "..\\image.npy", "C:image.npy", "a/../../b.npy", "", None, 3, ["image.npy"], ".", "..", "\0.npy", "image.npy\0", "x" * 5000, "~/x.npy", "//x/y", "ids.txt", "manifest.json"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
@pytest.mark.parametrize("key", ["file", "present"])
def test_names_that_lead_elsewhere(made, tmp_path, name, key):
    copy = tmp_path / "copy"
    shutil.copytree(made / "cache", copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["modalities"]["image"][key] = name
    (copy / "manifest.json").write_text(json.dumps(manifest))
    before = snapshot(copy)
    answer("manifest with another name", lambda: FeatureStore.open(copy).load(), valid=False)
    assert snapshot(copy) == before


@fuzz(80)
def test_edited_manifests(made, data):
    """Well-formed JSON with a wrong value anywhere."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "copy"
        shutil.copytree(made / "cache", copy)
        manifest = json.loads((copy / "manifest.json").read_text())
        places = list(walk(manifest))
        where = data.draw(st.sampled_from(places))
        *path, last = where
        holder = manifest
        for key in path:
            holder = holder[key]
        holder[last] = data.draw(st.sampled_from([None, -1, 0, 1, 2**70, 0.5, 1e400, True, "", "x", "float64", [], [12], [12, 4], [12, 10**12], {}, {"a": 1}]))
        (copy / "manifest.json").write_text(json.dumps(manifest))

        def read():
            store = FeatureStore.open(copy)
            store.info()
            store.verify(checksum=True)
            return {key: np.array(block) for key, block in store.load().blocks.items()}

        found = answer("edited manifest", read)
        if found is not REFUSED:
            for key, block in found.items():
                if key in BLOCKS:
                    truth = BLOCKS[key].reshape(N, -1)
                    written = ~np.isnan(block.astype(float)).all(axis=1)
                    np.testing.assert_array_equal(block[written], truth[written])


@fuzz(120)
def test_edited_descriptions(made, data):
    """A classifier's description with a wrong value anywhere, and a checksum that is right again: still no other error."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "copy"
        shutil.copytree(made / "model", copy)
        description = json.loads((copy / "estimator.json").read_text())
        *path, last = data.draw(st.sampled_from(list(walk(description))))
        holder = description
        for key in path:
            holder = holder[key]
        holder[last] = data.draw(st.sampled_from([None, -1, 0, 2, 2**70, 0.5, True, "", "x", [], [1], {}, {"a": 1}, {"tuple": 3}, {"array": [1], "dtype": "object"}, {"object": "NLGate", "params": {}}, {"object": "Popen", "params": {}}, {"dict": 3}, {"slice": []}]))
        description = sealed({key: value for key, value in description.items() if key != "sha256"})
        (copy / "estimator.json").write_text(json.dumps(description))
        loaded = answer("edited description", lambda: LateFusionClassifier.load(copy))
        if loaded is not REFUSED:
            answer("edited description", lambda: loaded.predict_proba(BLOCKS))


def walk(value, path=()):
    """Where the values of nested JSON are."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*path, key)
        yield from walk(part, (*path, key))
