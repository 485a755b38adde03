"""What features, runs, campaigns and saved models stand on: locks, seals, folders that are whole or not there."""

import errno
import json
import os
import subprocess
import sys
import threading

import pytest

from skmmal import _store
from skmmal._store import _locks

CONTENT = {"round": 1, "name": "ä", "values": (0.5, 1e-7), "nested": {"b": None, "a": True}}


# ---------------------------------------------------------------------------------------------------------- seals


def test_seals_are_those_of_the_first_version():
    # written by version 0.1.0: what it sealed must stay readable, and it must read what is sealed now
    assert _store.sealed(CONTENT)["sha256"] == "80bcb66529fdb1ea13545544b5abe4ea185c977e3e147cc9fba6352e9133f76b"
    as_text = _store.sealed(CONTENT, as_text=True)
    assert as_text["sha256"] == "dafb7a391f64fa1493948fe2cdf17364bccf7f2b99e56098e3e6c1fec22b9c38"
    assert next(iter(_store.sealed(CONTENT))) == next(reversed(as_text)) == "sha256"
    odd = _store.sealed({**CONTENT, "values": [float("nan"), float("inf")]}, as_text=True)
    assert odd["values"] == [None, None]
    assert odd["sha256"] == "743114214e2b886d5bd2c5b5b9f987eb456bc03b553ce270daf8b738837d7849"


@pytest.mark.parametrize("as_text", [True, False])
def test_a_seal_holds_what_was_written_and_nothing_else(as_text):
    written = json.loads(_store.dumps(_store.sealed(CONTENT, as_text=as_text)))
    _store.check_seal(written, "it", as_text=as_text)
    assert _store.sealed(written, as_text=as_text) == written  # sealed again, it is the same
    in_other_order = dict(reversed(written.items()))
    for changed in ({**written, "round": 2}, {**written, "new": None}, {k: v for k, v in written.items() if k != "sha256"}):
        with pytest.raises(ValueError, match="it was changed since it was written"):
            _store.check_seal(changed, "it", as_text=as_text)
    if as_text:
        with pytest.raises(ValueError, match="it was changed"):
            _store.check_seal(in_other_order, "it", as_text=True)
    else:
        _store.check_seal(in_other_order, "it")


def test_json_of_numbers_that_it_has_not():
    content = {"a": [float("nan"), float("inf")], 1: (2,)}
    assert json.loads(_store.dumps(content)) == {"a": [None, None], "1": [2]}
    assert json.loads(_store.dumps(content, infinite=True)) == {"a": [None, float("inf")], "1": [2]}


@pytest.mark.parametrize(
    ("before", "now", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": (1, 2)}, {"a": [1, 2]}, []),  # as JSON gives it back
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["a.c: 2 there, 3 now"]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}]}, ["a.1.b: 2 there, 'absent' now"]),
        ({"a": [1, 2]}, {"a": [1, 3], "z": "new"}, ["a: [1, 2] there, [1, 3] now", "z: 'absent' there, 'new' now"]),
    ],
    ids=repr,
)
def test_differences(before, now, lines):
    assert _store.difference(before, now) == lines
    if not lines:
        _store.check_same(before, now, "refused")
        return
    with pytest.raises(KeyError) as caught:
        _store.check_same(before, now, "refused", KeyError)
    assert caught.value.args == ("refused. The difference:\n  " + "\n  ".join(lines),)


# ---------------------------------------------------------------------------------------------------------- locks


def test_one_holder_at_a_time_and_others_are_told_who(tmp_path):
    path = tmp_path / "lock"
    with _store.locked(path, note=_store.this_process()):
        assert _store.is_locked(path)
        assert _store.holder(path) == f"process {os.getpid()} on {_locks.socket.gethostname()}"
        with pytest.raises(TimeoutError, match=rf"in use by process {os.getpid()} on .*; waited 0 s. Do something"):
            with _store.locked(path, 0.0, advice="Do something"):
                pass
    assert [each.name for each in tmp_path.iterdir()] == ["lock"]  # the note is gone
    assert _store.is_locked(path) is False
    assert not list(tmp_path.iterdir())


def test_threads_wait_for_each_other(tmp_path):
    order = []

    def work(name):
        with _store.locked(tmp_path / "lock", remove=True):
            order.append(name)
            order.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(order) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all(order[k] == order[k + 1] for k in range(0, 8, 2))
    assert not list(tmp_path.iterdir())


def test_a_killed_process_holds_nothing(tmp_path):
    code = (
        "import os, pathlib, sys\nfrom skmmal import _store\n"
        "with _store.locked(pathlib.Path(sys.argv[1]), note='someone'): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")]).returncode == 9
    assert _store.holder(tmp_path / "lock") == "someone"
    assert _store.is_locked(tmp_path / "lock") is False
    assert _store.holder(tmp_path / "lock") == "another process"


def test_a_forked_child_frees_nothing_and_removes_nothing(tmp_path):
    path = tmp_path / "lock"
    holding = _store.locked(path, note="the parent", remove=True)
    with holding:
        pid = os.fork()
        if pid == 0:
            holding.__exit__(None, None, None)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert _store.is_locked(path)
        assert _store.holder(path) == "the parent"
    assert not path.exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_without_locks_nothing_is_locked(tmp_path, monkeypatch, number):
    import filelock

    def refuse(*args, **options):
        raise OSError(number, "no locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with _store.locked(tmp_path / "lock"), _store.locked(tmp_path / "lock"):
        assert _store.is_locked(tmp_path / "lock") is None


# -------------------------------------------------------------------------------------------------------- folders


def test_without_locks_a_folder_is_swept_when_it_is_old(tmp_path, monkeypatch):
    import filelock

    def refuse(*args, **options):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    young, old = tmp_path / ".c.new-aaaa", tmp_path / ".c.new-bbbb"
    for folder in (young, old):
        folder.mkdir()
    os.utime(old, (0, 0))
    with _store.new_folder(tmp_path / "c"):
        assert young.exists()
        assert not old.exists()
    assert (tmp_path / "c").is_dir()


def test_only_what_killed_writers_of_the_same_folder_left_is_swept(tmp_path):
    dead = [".c.new-0a1b2c3d", ".c.old-0a1b2c3d-0", ".c.new-x8_kq2ab"]  # the last as version 0.1.0 called it
    others = [".c.newer", ".cc.new-0a1b2c3d", "c.new-0a1b2c3d", ".c.new", "d"]
    for name in [*dead, *others, "c"]:
        (tmp_path / name).mkdir()
    (tmp_path / ".c.lock-0a1b2c3d").touch()
    with _store.new_folder(tmp_path / "c") as folder:
        (folder / "file").touch()
        living = folder.name
        with _store.new_folder(tmp_path / "c", lambda path: None):  # another writer sweeps, too
            assert (tmp_path / living).exists()
        (tmp_path / "c").rmdir()
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([*others, "c"])
    assert (tmp_path / "c" / "file").exists()


def test_a_folder_that_fails_leaves_nothing(tmp_path):
    def fail():
        with _store.new_folder(tmp_path / "deep" / "c") as folder:
            (folder / "file").touch()
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    assert not list((tmp_path / "deep").iterdir())


def test_a_file_that_fails_leaves_the_one_before(tmp_path):
    path = tmp_path / "file"
    _store.write_file(path, b"before")

    def fail():
        with _store.replace_file(path) as file:
            file.write(b"after")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    assert path.read_bytes() == b"before"
    (tmp_path / ".file.tmp-killed").touch()
    (tmp_path / ".other.tmp-killed").touch()
    _store.sweep(tmp_path, "file")
    assert sorted(each.name for each in tmp_path.iterdir()) == [".other.tmp-killed", "file"]
    with pytest.raises(FileExistsError):
        _store.write_new(path, b"after")


def test_a_save_that_was_killed_is_repeated(tmp_path):
    import numpy as np

    from skmmal import LateFusionClassifier

    clf = LateFusionClassifier().fit({"a": np.eye(6), "b": np.eye(6)}, [0, 1] * 3)
    folder = tmp_path / "model"
    folder.mkdir()
    for name in (".weights.next.safetensors.tmp-0a1b2c3d", ".lock", "weights.next.safetensors"):
        (folder / name).touch()  # what a kill before the description leaves
    clf.save(folder)
    assert sorted(each.name for each in folder.iterdir()) == ["estimator.json", "weights.safetensors"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").touch()
    with pytest.raises(FileExistsError, match="holds other files"):
        clf.save(tmp_path / "thesis")
