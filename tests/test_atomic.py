"""A cache that is replaced: killed before and after every call to the disk, read by others all the while."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

from skmmal._store import _folders
from skmmal.features import CacheError, CacheInUseError, FeatureStore

IDS = [f"id {k}" for k in range(6)]
OLD, NEW = {"a": np.zeros((6, 2))}, {"a": np.ones((6, 2)), "b": np.ones((6, 1))}

KILLER = r"""
import os, pathlib, shutil, sys
import numpy as np
from skmmal._store import _folders
from skmmal.features import FeatureStore

os.fsync = lambda descriptor: None  # processes are killed here, not power
folder, can_exchange, verb = pathlib.Path(sys.argv[1]), sys.argv[2] == "exchange", sys.argv[3]
path = folder / "cache"
ids = [f"id {k}" for k in range(6)]
old, new = {"a": np.zeros((6, 2))}, {"a": np.ones((6, 2)), "b": np.ones((6, 1))}
plain = {(owner, name): getattr(owner, name) for owner, name in [
    *[(os, name) for name in ("rename", "replace", "unlink", "mkdir", "rmdir")], (_folders, "exchange")]}
if not can_exchange:
    plain[_folders, "exchange"] = _folders.exchange = lambda one, other: False

def work():
    if verb == "write":
        FeatureStore.write(path, new, ids, overwrite=True)
    elif verb == "append":
        FeatureStore.open(path).append("b", new["b"])

def child(kill_at):
    left = kill_at
    def counted(owner, name):
        def wrapped(*args, **options):
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(9)
            return plain[owner, name](*args, **options)
        return wrapped
    for owner, name in plain:
        setattr(owner, name, counted(owner, name))
    work()
    os._exit(0)

FeatureStore.write(folder / "template", old, ids)
seen, kill_at, status = set(), 0, 9
while status == 9:  # before the first call to the disk, before the second (that is, after the first), ..., after the last
    kill_at += 1
    shutil.copytree(folder / "template", path)
    pid = os.fork()
    if pid == 0:
        child(kill_at)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    store = FeatureStore.open(path)
    if verb == "write":
        expected = new if len(store.modalities) == 2 else old
        assert store.verify(checksum=True)["ok"], (kill_at, store.verify(checksum=True))
    else:
        expected = {"a": old["a"], **({"b": new["b"]} if status == 0 else {})}
    for name, block in expected.items():
        assert (store.load(modalities=[name])[name] == block).all(), kill_at
    seen.add(len(expected))
    if status == 9 and kill_at % 6 == 0:
        work()  # the same again ends well, and leaves nothing of the killed one
        assert FeatureStore.open(path).verify(checksum=True)["ok"], kill_at
        assert len(FeatureStore.open(path).modalities) == 2, kill_at
        assert sorted(os.listdir(folder)) == ["cache", "template"], (kill_at, os.listdir(folder))
    for left in folder.iterdir():
        if left.name != "template":
            shutil.rmtree(left) if left.is_dir() else left.unlink()
print(kill_at)
assert status == 0 and seen == {1, 2}, (status, seen)
"""


@pytest.mark.parametrize(("way", "verb"), [("exchange", "write"), ("renames", "write"), ("exchange", "append")])
def test_killed_at_any_call_to_the_disk_a_cache_is_there(tmp_path, way, verb):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLER, str(tmp_path / "f"), way, verb], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 12


def _replace(path, seconds, can_exchange):
    if not can_exchange:
        _folders.exchange = lambda one, other: False
    os.fsync = lambda descriptor: None
    end, k = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        k += 1
        # every cache has its own values, in its own order of ids, some with a second modality
        order = np.random.default_rng(k).permutation(6)
        blocks = {"a": order[:, None] + np.array([0.0, 100.0 * k])}
        FeatureStore.write(path, blocks | ({"b": order[:, None] + 0.0} if k % 2 else {}), [IDS[i] for i in order], overwrite=True)
    os._exit(0)


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_reader_sees_one_cache_or_the_other_while_they_are_replaced(tmp_path, can_exchange):
    path = tmp_path / "cache"
    FeatureStore.write(path, {"a": np.arange(6.0)[:, None] + np.zeros((6, 2))}, IDS)
    writer = multiprocessing.get_context("fork").Process(target=_replace, args=(path, 1.5, can_exchange))
    writer.start()
    seen = set()
    first = FeatureStore.open(path)
    try:
        while writer.is_alive():
            store = FeatureStore.open(path)
            for _ in range(2):
                block = np.array(store.load(modalities=["a"])["a"])
                # row i is the sample that ids say, and all rows are of one cache
                assert [IDS[int(value)] for value in block[:, 0]] == store.ids.tolist()
                assert np.ptp(block[:, 1] - block[:, 0]) == 0
                assert store.present().all()
                for other in set(store.modalities) - {"a"}:
                    assert (store.load(modalities=[other])[other][:, 0] == block[:, 0]).all()
            seen.add(float(block[0, 1] - block[0, 0]))
    finally:
        writer.join()
    assert writer.exitcode == 0
    assert len(seen) > 5
    # what was opened before stays what it was, for reading; it is not written through
    assert first.load()["a"][:, 0].tolist() == list(range(6))
    with pytest.raises(CacheError, match="was replaced by another cache since it was opened"):
        first.append("c", np.ones((6, 1)))
    with pytest.raises(CacheError, match="was replaced by another cache"):
        pickle.loads(pickle.dumps(first)).load()


def test_an_opened_cache_pickles_without_its_values(tmp_path):
    store = FeatureStore.write(tmp_path / "c", {"a": np.zeros((1000, 50))}, [str(k) for k in range(1000)])
    pickled = pickle.dumps(store)
    assert len(pickled) < 50_000
    assert pickle.loads(pickled).load()["a"].shape == (1000, 50)


def test_a_cache_that_is_being_written_is_not_replaced(tmp_path):
    store = FeatureStore.create(tmp_path / "c", IDS)
    with store.writer("a", 2, dtype="float32"), pytest.raises(CacheInUseError, match="another job is writing modality 'a'"):
        FeatureStore.write(tmp_path / "c", NEW, IDS, overwrite=True)
    assert FeatureStore.open(tmp_path / "c").modalities == {"a": 2}


def test_behind_a_link_the_folder_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    FeatureStore.write(tmp_path / "disk" / "c", OLD, IDS)
    (tmp_path / "c").symlink_to(tmp_path / "disk" / "c")
    FeatureStore.write(tmp_path / "c", NEW, IDS, overwrite=True)
    assert (tmp_path / "c").is_symlink()
    assert list(FeatureStore.open(tmp_path / "c").modalities) == ["a", "b"]
    assert [each.name for each in (tmp_path / "disk").iterdir()] == ["c"]


def test_where_nothing_may_be_put_back_it_is_read_in_place(tmp_path, monkeypatch):
    FeatureStore.write(tmp_path / "c", OLD, IDS)
    os.rename(tmp_path / "c", tmp_path / ".c.old-killed-0")

    def refused(*args):
        raise PermissionError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refused)
        assert (FeatureStore.open(tmp_path / "c").load()["a"] == 0).all()
    assert FeatureStore.open(tmp_path / "c").path == tmp_path / "c"
    assert [each.name for each in tmp_path.iterdir()] == ["c"]
