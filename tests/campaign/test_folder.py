"""A folder that was damaged, edited, or is not ours; a disk that is full."""

import errno
import json
import os
import shutil

import numpy as np
import pytest

from skmmal.campaign import CampaignError, LabelingCampaign


@pytest.fixture
def campaign(begin, answer, pool):
    """Two rounds with a model, labels, an undo, a validation set."""
    found = begin(validation=dict(list(pool[1].items())[:5]))
    found.add_labels(answer(found.next_batch()), annotator="ann")
    found.next_batch()
    found.undo()
    return found


def everything(folder):
    """Every file, timestamps too; lock files are left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".lock")
    }


def check_refused(folder, *words):
    """Whatever is asked of it, there is a clear error, and nothing is written."""
    before = everything(folder)
    for use in (
        lambda: LabelingCampaign(folder),
        lambda: LabelingCampaign(folder).next_batch(),
        lambda: LabelingCampaign(folder).add_labels({"s100": "cat"}),
        lambda: LabelingCampaign(folder).undo(),
        lambda: LabelingCampaign(folder).status(),
    ):
        with pytest.raises(CampaignError) as found:
            use()
        assert str(folder) in str(found.value)
        for word in words:
            assert word in str(found.value)
    assert everything(folder) == before


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def test_every_flipped_bit_is_noticed(campaign):
    """One bit in every file, at places all over it."""
    rng = np.random.default_rng(0)
    n = 0
    for path in files_of(campaign.folder):
        if path == campaign.folder / "stamp.json":
            continue  # who began it: nothing depends on it
        whole = path.read_bytes()
        for position in {0, len(whole) // 2, len(whole) - 1, *rng.integers(0, len(whole), 4).tolist()}:
            damaged = bytearray(whole)
            damaged[position] ^= 1 << int(rng.integers(8))
            path.write_bytes(bytes(damaged))
            with pytest.raises(CampaignError) as found:
                campaign.verify()
            assert path.name in str(found.value)
            n += 1
        path.write_bytes(whole)
    LabelingCampaign(campaign.folder).verify()
    assert n > 70


@pytest.mark.parametrize(
    "name", ["campaign.json", "validation.csv", "receipt.json", "stamp.json", "next.csv", "labels.csv"]
)
def test_truncated_and_missing_files(campaign, name):
    path = next(path for path in files_of(campaign.folder / "log") + files_of(campaign.folder) if path.name == name)
    whole = path.read_bytes()
    for length in (0, len(whole) // 2):
        path.write_bytes(whole[:length])
        if name in ("next.csv", "labels.csv"):
            with pytest.raises(CampaignError, match="its checksum differs"):
                LabelingCampaign(campaign.folder).status()
            continue
        check_refused(campaign.folder, name)
    path.write_bytes(whole)
    LabelingCampaign(campaign.folder).verify()
    if name != "campaign.json":
        path.unlink()
        check_refused(campaign.folder, name, "is missing")


def test_edited_by_hand(campaign):
    """An edit that is well-formed, with a checksum made to fit, breaks the chain."""
    from skmmal.campaign._files import dumps, sealed

    path = campaign.folder / "log" / "000001-round-001" / "receipt.json"
    receipt = json.loads(path.read_text())
    receipt["n_instances"] = 13
    path.write_bytes(dumps(receipt))
    check_refused(campaign.folder, "000001-round-001", "was edited")
    path.write_bytes(dumps(sealed(receipt)))
    check_refused(campaign.folder, "000002-labels", "does not follow the entry before it")


def test_entries_that_are_missing_foreign_or_moved(campaign):
    log = campaign.folder / "log"
    shutil.move(log / "000002-labels", campaign.folder.parent / "away")
    check_refused(campaign.folder, "holds entry 3 and no entry 2")
    shutil.move(campaign.folder.parent / "away", log / "000002-labels")
    (log / "notes.txt").write_text("mine")
    check_refused(campaign.folder, "notes.txt", "does not belong into the log")
    (log / "notes.txt").unlink()
    (log / "000001-round-001" / "extra.csv").write_text("mine")
    check_refused(campaign.folder, "extra.csv", "does not belong there")
    (log / "000001-round-001" / "extra.csv").unlink()
    shutil.copytree(log / "000002-labels", log / "000005-labels")
    check_refused(campaign.folder, "000005-labels", "it was moved")
    shutil.rmtree(log / "000005-labels")
    shutil.copytree(log / "000002-labels", log / "000002-undo")
    check_refused(campaign.folder, "have the same number")
    shutil.rmtree(log / "000002-undo")
    (log / ".DS_Store").write_text("desktop")  # what desktops leave behind does no harm
    (log / ".tmp-abc").mkdir()
    (log / ".tmp-abc" / "next.csv").write_text("half a batch")
    LabelingCampaign(campaign.folder).next_batch()
    assert not (log / ".tmp-abc").exists()


def test_links_are_refused(campaign, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("id,label,state,annotator,when,annotation,lead_time\n")
    labels = campaign.folder / "log" / "000002-labels" / "labels.csv"
    labels.rename(tmp_path / "kept.csv")
    labels.symlink_to(secret)
    check_refused(campaign.folder, "is a symbolic link")
    labels.unlink()
    shutil.move(tmp_path / "kept.csv", labels)
    entry = campaign.folder / "log" / "000001-round-001"
    entry.rename(tmp_path / "entry")
    entry.symlink_to(tmp_path / "entry", target_is_directory=True)
    check_refused(campaign.folder, "is a symbolic link")
    entry.unlink()
    (tmp_path / "entry").rename(entry)
    log = campaign.folder / "log"
    log.rename(tmp_path / "log")
    log.symlink_to(tmp_path / "log", target_is_directory=True)
    check_refused(campaign.folder, "is a symbolic link")
    log.unlink()
    (tmp_path / "log").rename(log)
    lock = campaign.folder / ".lock"
    lock.unlink()
    lock.symlink_to(secret)
    with pytest.raises(CampaignError, match="is a symbolic link, refused"):
        campaign.next_batch()
    assert secret.read_text().startswith("id,label")


def test_paths_that_leave_the_folder_are_refused(campaign, tmp_path):
    from skmmal.campaign._files import dumps, sealed

    path = campaign.folder / "log" / "000003-round-002" / "receipt.json"
    whole = path.read_bytes()
    for name in ("../../../secret.csv", "/etc/passwd", "model/../../x", "..\\x", "C:/x", ""):
        receipt = json.loads(whole)
        receipt["files"][name] = "0" * 64
        path.write_bytes(dumps(sealed(receipt)))
        check_refused(campaign.folder, "names files outside its folder")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\x80\x04\x95cposix\nsystem\n.", b"PK\x03\x04", b"[" * 100_000, b'{"sha256": "x"}'],
)
def test_a_foreign_campaign_json(campaign, content):
    (campaign.folder / "campaign.json").write_bytes(content)
    check_refused(campaign.folder, "campaign.json")


def test_another_format(campaign):
    from skmmal.campaign._files import dumps, sealed

    path = campaign.folder / "campaign.json"
    config = json.loads(path.read_text())
    path.write_bytes(dumps(sealed({**config, "format": "skmmal-experiment"})))
    check_refused(campaign.folder, "has the format 'skmmal-experiment'")
    path.write_bytes(dumps(sealed({**config, "version": 99})))
    check_refused(campaign.folder, "has format version 99")


# ----------------------------------------------------------------------------------------------------- disk full


class FullDisk:
    """Lets `left` changes of the disk through, then fails every one with "no space left"."""

    def __init__(self, monkeypatch, left):
        self.left = left
        for name in ("fsync", "replace", "rename", "mkdir"):
            self.wrap(monkeypatch, os, name)
        real_fdopen = os.fdopen

        def fdopen(*args, **kwargs):
            file = real_fdopen(*args, **kwargs)
            write = file.write

            class Writer:
                def __enter__(_):
                    file.__enter__()
                    return _

                def __exit__(_, *error):
                    return file.__exit__(*error)

                def write(_, content):
                    if self.spend():
                        write(content[: len(content) // 2])  # half of it still fits
                        self.fail()
                    return write(content)

                def __getattr__(_, name):
                    return getattr(file, name)

            return Writer()

        monkeypatch.setattr(os, "fdopen", fdopen)

    def spend(self):
        self.left -= 1
        return self.left < 0

    def fail(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    def wrap(self, monkeypatch, module, name):
        real = getattr(module, name)

        def call(*args, **kwargs):
            if self.spend():
                self.fail()
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, call)


def attempt(use):
    """The disk's complaint, if there is one."""
    try:
        use()
    except OSError as error:
        return error
    return None


def visible(folder):
    return {name: content for name, content in everything(folder).items() if "/." not in f"/{name}"}


@pytest.mark.parametrize("command", ["next", "add-labels", "undo"])
def test_disk_full_at_every_write(begin, answer, command, contents):
    """Whichever write fails, the campaign is as before; with space, the same command does its work."""
    campaign = begin()
    campaign.add_labels(answer(campaign.next_batch()), annotator="ann")
    later = {f"s{i:03d}": "cat" for i in range(100, 110)}

    def use():
        if command == "next":
            return campaign.next_batch(round=2)
        if command == "add-labels":
            return campaign.add_labels(later, annotator="bob", allow_new_classes=True)
        return campaign.undo(2)

    before, n_failures = visible(campaign.folder), 0
    for left in range(60):
        with pytest.MonkeyPatch.context() as patch:
            FullDisk(patch, left)
            error = attempt(use)
        if error is None:
            break
        n_failures += 1
        assert error.errno == errno.ENOSPC
        assert "the disk is full" in str(error)
        after = visible(campaign.folder)
        if len(campaign.log) == 3:  # only the last flush failed: it has happened, whole
            campaign.verify()
            break
        assert after == before
        assert not [path for path in campaign.folder.rglob("*") if ".tmp-" in path.name]
    assert n_failures > 5
    use()
    assert len(campaign.log) == 3
    campaign.verify()


def test_disk_full_at_the_beginning(begin, tmp_path):
    for left in range(40):
        with pytest.MonkeyPatch.context() as patch:
            FullDisk(patch, left)
            error = attempt(lambda: begin("full"))
        if error is None:
            break
        assert error.errno == errno.ENOSPC
        assert "the disk is full" in str(error)
        if (tmp_path / "full").exists():
            break
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert left > 5
    begin("full").next_batch()


def test_no_permission(begin, monkeypatch):
    campaign = begin()

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(PermissionError, match="no permission to write here"):
        campaign.next_batch()
