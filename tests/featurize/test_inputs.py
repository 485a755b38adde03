"""What a job reads beside tables and paths: saved data sets, tar shards, URLs; each from end to end."""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile

import fsspec
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image
from typer.testing import CliRunner

from skmmal.cli import app
from skmmal.features import FeatureStore
from skmmal.featurize import Backbone, JobOptions, run
from skmmal.featurize._cells import Member, Remote
from skmmal.featurize._cli import run_script
from skmmal.featurize._manifest import Wanted, read_manifest
from skmmal.featurize._tars import expanded
from skmmal.featurize.backbones import ImageReader

from .conftest import tone

N = 12
BROKEN, EMPTY, MISSING = 3, 5, 8
"""Rows whose item cannot be decoded, has no bytes, and is not there."""
JOB = ["--model", "torchvision/squeezenet1_1", "--weights", "random", "--device", "cpu", "--quiet"]


def small(image):
    """A picture as 4 × 4 pixels."""
    return torch.from_numpy(np.asarray(image.resize((4, 4)), dtype=np.float32).reshape(-1) / 255)


def featurize(given, out, **more):
    """A job whose model does next to nothing."""
    options = {"device": "cpu", "workers": 0, "range_rows": 5, "batch_size": 4, "dtype": "float32", **more}
    wanted = {"several": options.get("views") is not None, "separator": options.get("separator")}
    root = read_manifest(given, Wanted("image", **wanted)).root
    about = {"backbone": "pixels", "weights": "none"}
    model = Backbone(torch.nn.Flatten(), lambda module, x: module(x["pixel_values"]), 48, ImageReader(root, small), about)
    return run(JobOptions("image", given, out, "own/pixels", **options), model, quiet=options.pop("quiet", True))


def picture(k):
    data = io.BytesIO()
    noise = np.random.default_rng(k).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(data, "PNG")
    return {BROKEN: b"no picture", EMPTY: b"", MISSING: None}.get(k, data.getvalue())


@pytest.fixture(scope="module")
def pictures():
    return [picture(k) for k in range(N)]


def plain(folder, pictures):
    """The manifest that all others are compared with: paths in a CSV."""
    (folder / "images").mkdir()
    for k, data in enumerate(pictures):
        if data is not None:
            (folder / "images" / f"{k}.png").write_bytes(data)
    table = pd.DataFrame({"id": ids(), "image": [f"images/{k}.png" for k in range(N)]})
    table.to_csv(folder / "m.csv", index=False)
    return folder / "m.csv"


def ids():
    return [f"s{k:02d}" for k in range(N)]


def parquet(folder, pictures):
    pd.DataFrame({"id": ids(), "image": pictures}).to_parquet(folder / "m.parquet")
    return folder / "m.parquet"


def parquet_of_a_feature(folder, pictures):
    cells = [None if data is None else {"bytes": data, "path": f"{k}.png"} for k, data in enumerate(pictures)]
    frame = pd.DataFrame({"id": ids(), "image": cells})
    for part in range(3):  # as on the hub
        frame.iloc[4 * part : 4 * part + 4].to_parquet(folder / f"train-{part:05d}-of-00003.parquet")
    return folder / "train-{00000..00002}-of-00003.parquet"


def json_lines(folder, pictures):
    plain(folder, pictures)
    lines = [{"id": name, "image": f"images/{k}.png"} for k, name in enumerate(ids())]
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "m.jsonl"


def saved(folder, pictures):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"id": datasets.Value("string"), "image": datasets.Image()})
    cells = [None if data is None else {"bytes": data, "path": None} for data in pictures]
    datasets.Dataset.from_dict({"id": ids(), "image": cells}, features=features).save_to_disk(folder / "saved")
    return folder / "saved"


def saved_rows_in_another_order(folder, pictures):
    datasets = pytest.importorskip("datasets")
    backwards = list(range(N))[::-1]
    features = datasets.Features({"id": datasets.Value("string"), "image": datasets.Image()})
    cells = [None if pictures[k] is None else {"bytes": pictures[k], "path": None} for k in backwards]
    made = datasets.Dataset.from_dict({"id": [ids()[k] for k in backwards], "image": cells}, features=features)
    made.select(backwards).save_to_disk(folder / "saved", num_shards=3)
    return folder / "saved"


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(data), 1_700_000_000
            archive.addfile(entry, io.BytesIO(data))


def members(pictures, rows):
    for k in rows:
        if pictures[k] is not None:
            yield f"{ids()[k]}.png", pictures[k]
        yield f"{ids()[k]}.json", b'{"caption": "noise"}'


def shards(folder, pictures):
    for shard in range(3):
        write_tar(folder / f"train-{shard:03d}.tar", members(pictures, range(4 * shard, 4 * shard + 4)))
    return folder / "train-{000..002}.tar"


def file_urls(folder, pictures):
    manifest = plain(folder, pictures)
    table = pd.read_csv(manifest)
    table["image"] = [(folder / name).as_uri() for name in table["image"]]
    table.to_csv(manifest, index=False)
    return manifest.as_uri()


def memory(folder, pictures):
    system = fsspec.filesystem("memory")
    place = f"/{folder.name}"
    for k, data in enumerate(pictures):
        if data is not None:
            system.pipe_file(f"{place}/images/{k}.png", data)
    lines = [f"{name},images/{k}.png" for k, name in enumerate(ids())]
    system.pipe_file(f"{place}/m.csv", "\n".join(["id,image", *lines]).encode())
    return f"memory:/{place}/m.csv"


def zipped(folder, pictures):
    plain(folder, pictures)
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for path in [folder / "m.csv", *(folder / "images").iterdir()]:
            archive.write(path, path.relative_to(folder))
    return f"zip://m.csv::{folder / 'all.zip'}"


def members_of_a_zip(folder, pictures):
    zipped(folder, pictures)
    table = pd.DataFrame({"id": ids(), "image": [f"zip://images/{k}.png::all.zip" for k in range(N)]})
    table.to_csv(folder / "z.csv", index=False)
    return folder / "z.csv"


def shards_behind_urls(folder, pictures):
    system = fsspec.filesystem("memory")
    for path in (shards(folder, pictures).parent).glob("*.tar"):
        system.pipe_file(f"/{folder.name}/{path.name}", path.read_bytes())
    return f"memory://{folder.name}/train-{{000..002}}.tar"


FORMS = [
    json_lines,
    parquet,
    parquet_of_a_feature,
    saved,
    saved_rows_in_another_order,
    shards,
    file_urls,
    memory,
    zipped,
    members_of_a_zip,
    shards_behind_urls,
]


@pytest.fixture(scope="module")
def expected(tmp_path_factory, pictures):
    """The cache of the plain manifest."""
    folder = tmp_path_factory.mktemp("plain")
    featurize(plain(folder, pictures), folder / "cache")
    return FeatureStore.open(folder / "cache")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_from_end_to_end(form, tmp_path, pictures, expected):
    given, out = str(form(tmp_path, pictures)), tmp_path / "cache"
    assert featurize(given, out, limit=5)["done"] == 5
    receipt = featurize(given, out, workers=2)  # goes on where it stopped
    assert (receipt["encoded"], receipt["complete"]) == (7, True)
    store = FeatureStore.open(out)
    assert list(store.ids) == list(expected.ids)
    assert np.flatnonzero(~store.present("image")).tolist() == [BROKEN, EMPTY, MISSING]
    np.testing.assert_array_equal(store.load()["image"], expected.load()["image"])
    reasons = {error["row"]: error["message"] for error in store.errors("image")}
    assert "not an image that Pillow reads: it is a text" in reasons[BROKEN]
    assert "empty file (0 bytes)" in reasons[EMPTY]
    assert set(reasons) == {BROKEN, EMPTY, MISSING}
    # nothing to do the second time, and nothing has changed
    again = featurize(given, out, extend="stat")
    assert (again["encoded"], again["extension"]) == (0, {"new": 0, "changed": 0, "removed": 0})
    assert featurize(given, out, extend="content")["encoded"] == 0


@pytest.mark.parametrize("form", [saved, shards, zipped])  # one of a kind: the caches are the same
def test_a_simulation_of_every_kind(form, tmp_path, pictures):
    featurize(str(form(tmp_path, pictures)), tmp_path / "cache")
    pd.DataFrame({"id": ids(), "label": [f"class {k % 2}" for k in range(N)]}).to_csv(tmp_path / "labels.csv", index=False)
    places = ["--features", str(tmp_path / "cache"), "--labels", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "run")]
    sizes = ["--strategies", "random", "--n-rounds", "1", "--n-instances", "2", "--n-initial", "4", "--seeds", "1"]
    done = CliRunner().invoke(app, ["simulate", *places, *sizes, "--estimator", "late-fusion", "--quiet"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "results.csv").is_file()


@pytest.mark.parametrize("form", [saved, shards, memory, parquet])
def test_a_form_that_grew_makes_what_is_new(form, tmp_path, pictures):
    for name, given in (("before", [*pictures[:-1], None]), ("after", [*pictures[:-2], picture(50), pictures[-1]])):
        (tmp_path / name).mkdir()
        receipt = featurize(str(form(tmp_path / name, given)), tmp_path / "cache", extend="stat")
    assert receipt["extension"] == {"new": 0, "changed": 2, "removed": 0}
    assert (receipt["encoded"], receipt["complete"]) == (2, True)


def test_sound_and_texts_in_saved_data_sets_and_shards(tmp_path, models):
    datasets = pytest.importorskip("datasets")
    sounds = []
    for k in range(3):
        data = io.BytesIO()
        soundfile.write(data, tone(0.5, 16000, 300 + 100 * k), 16000, format="WAV")
        sounds.append(data.getvalue())
    cells = [{"bytes": data, "path": f"{k}.wav"} for k, data in enumerate(sounds)]
    texts = ["the quick fox", "", "a lazy dog"]
    made = datasets.Dataset.from_dict({"key": [1, 2, 3], "audio": cells, "text": texts})
    made.cast_column("audio", datasets.Audio()).save_to_disk(tmp_path / "d")  # Audio's own encoder wants torchcodec
    write_tar(
        tmp_path / "x.tar",
        [part for k in range(3) for part in ((f"d/{k + 1}.wav", sounds[k]), (f"d/{k + 1}.txt", texts[k].encode()))],
    )
    audio = ["--model", f"transformers/{models / 'wav2vec2'}", "--device", "cpu", "--quiet", "--workers", "0"]
    text = ["--model", f"transformers/{models / 'bert'}", "--device", "cpu", "--quiet", "--workers", "0"]
    for given, more, out in ((tmp_path / "d", ["--id-column", "key"], "one"), (tmp_path / "x.tar", [], "two")):
        assert run_script("audio", [str(given), "--out", str(tmp_path / out), *audio, *more]) == 0
        assert run_script("text", [str(given), "--out", str(tmp_path / out), *text, *more]) == 0
    one, two = FeatureStore.open(tmp_path / "one"), FeatureStore.open(tmp_path / "two")
    assert list(one.ids) == ["1", "2", "3"]
    assert list(two.ids) == ["d/1", "d/2", "d/3"]
    assert one.present("text").tolist() == two.present("text").tolist() == [True, False, True]
    for name in ("audio", "text"):
        np.testing.assert_array_equal(one.load()[name], two.load()[name])


REFUSED = {
    "several splits": (lambda folder: split(folder), r"holds several splits .* give one of them, such as .*train"),
    "a folder of shards": (lambda folder: shards(folder, [b"x"] * N).parent, r"give the shards in it as .*\*\.tar"),
    "a folder": (lambda folder: folder, "it is a folder, and none that datasets' save_to_disk wrote"),
    "a shard that is not there": (lambda folder: shards(folder, [b"x"] * N).with_name("train-{000..003}.tar"), r"train-003\.tar cannot be read"),
    "no such shards": (lambda folder: folder / "*.tar", "no file is called"),
    "an empty range": (lambda folder: folder / "{3..1}.tar", "the range {3..1} is empty"),
    "braces": (lambda folder: folder / "{3}.tar", "braces hold a range"),
    "a packed shard": (lambda folder: packed(folder), "it is packed, .* unpack it"),
    "no archive": (lambda folder: text_named_tar(folder), "cannot be read as a tar shard"),
    "a shard cut short": (lambda folder: cut(folder), "cannot be read as a tar shard: unexpected end of data"),
    "keys twice": (lambda folder: twice(folder), "the key 's00' stands in a.tar and in b.tar; .* --id-column shard/key"),
    "two pictures": (lambda folder: two(folder), r"sample 'a' has jpg and png; say which with --column, or .* --views"),
    "no pictures": (lambda folder: other(folder), "no sample has a file with the suffix jpg, .*see --column"),
    "an unknown protocol": (lambda folder: "nosuch://bucket/m.csv", "cannot be served here: Protocol not known: nosuch"),
    "nothing behind a URL": (lambda folder: "memory://none/m.csv", "the manifest memory://none/m.csv cannot be read: FileNotFoundError"),
    "an unknown protocol in a cell": (lambda folder: cell(folder), "line 2: a cell: 'nosuch://b/1.png' cannot be served here"),
}


def split(folder):
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_dict({"id": ["a"], "image": ["x.png"]})
    datasets.DatasetDict({"train": one, "validation": one}).save_to_disk(folder / "d")
    return folder / "d"


def packed(folder):
    with tarfile.open(folder / "x.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.png"))
    return folder / "x.tar.gz"


def text_named_tar(folder):
    (folder / "x.tar").write_text("id,image\n" * 200)
    return folder / "x.tar"


def cut(folder):
    write_tar(folder / "x.tar", [("a.png", bytes(5000)), ("b.png", bytes(5000))])
    (folder / "x.tar").write_bytes((folder / "x.tar").read_bytes()[:8000])
    return folder / "x.tar"


def twice(folder):
    for name in "ab":
        write_tar(folder / f"{name}.tar", [("s00.png", b"x")])
    return folder / "{a,b}.tar"


def two(folder):
    write_tar(folder / "x.tar", [("a.png", b"x"), ("a.jpg", b"x")])
    return folder / "x.tar"


def other(folder):
    write_tar(folder / "x.tar", [("a.txt", b"x")])
    return folder / "x.tar"


def cell(folder):
    (folder / "m.csv").write_text("id,image\na,nosuch://b/1.png\n")
    return folder / "m.csv"


@pytest.mark.parametrize("name", REFUSED)
def test_near_misses_are_refused_before_anything_is_written(name, tmp_path, capsys):
    make, message = REFUSED[name]
    command = [str(make(tmp_path)), "--out", str(tmp_path / "cache"), *JOB]
    assert run_script("image", command) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert not (tmp_path / "cache").exists()


def test_ids_of_data_sets_and_shards(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"caption": ["x", "y"]}).save_to_disk(tmp_path / "d")
    with pytest.raises(ValueError, match=r"has no column 'id'; it has \['caption'\].*--id-column :row takes the number"):
        read_manifest(tmp_path / "d", Wanted("text", "caption"))
    assert read_manifest(tmp_path / "d", Wanted("text", "caption", ":row")).ids == ["0", "1"]
    (tmp_path / "m.csv").write_text("text\nx\ny\n")
    assert read_manifest(tmp_path / "m.csv", Wanted("text", None, ":row")).ids == ["0", "1"]
    twice(tmp_path)
    manifest = read_manifest(tmp_path / "{a,b}.tar", Wanted("image", None, "shard/key"))
    assert manifest.ids == ["a.tar/s00", "b.tar/s00"]
    assert [type(cell) for cell in manifest.cells] == [Member, Member]
    assert manifest.cells[0].read() == b"x"
    with pytest.raises(ValueError, match="samples go by their keys"):
        read_manifest(tmp_path / "{a,b}.tar", Wanted("image", None, "name"))


def test_json_members_of_shards_as_texts_and_ids(tmp_path):
    captions = ['{"uid": 7, "caption": "a fox", "all": ["a fox", "red"], "meta": {"user.name": "x", "Lang": "de"}}']
    captions += ['{"uid": "b", "caption": null}', '{"uid": "c", "caption": ""}']
    members = [(f"s{k}.json", text.encode()) for k, text in enumerate(captions)]
    write_tar(tmp_path / "x.tar", [*members, ("s3.jpg", b"x"), ("s3.JSON", b'{"uid": "d", "caption": "\xc3\xa9", "all": []}')])

    def read(column, id_column="id", several=False, kind="text"):
        return read_manifest(tmp_path / "x.tar", Wanted(kind, column, id_column, several))

    manifest = read("json.caption")
    assert (manifest.ids, manifest.cells) == (["s0", "s1", "s2", "s3"], ["a fox", "", "", "é"])
    assert read("json.caption", "json.uid").ids == ["7", "b", "c", "d"]
    assert read(None, "json.uid", kind="image").ids == ["7", "b", "c", "d"]
    assert read("json.meta.Lang").cells == ["de", "", "", ""]
    assert [cell and cell.parts for cell in read("json.all", several=True).cells] == [("a fox", "red"), "", "", ""]
    for column, id_column, message in [
        ("json.all", "id", "x.tar, sample 's0': all must be a text, found list; several of them go with --views"),
        ("json.uid", "id", "sample 's0': uid must be a text, found int"),
        ("json.none", "id", "no sample has a text as json.none; see --column"),
        ("json.caption", "json.caption", "sample 's1': json.caption must be a text or a number, found None"),
    ]:
        with pytest.raises(ValueError, match=message):
            read(column, id_column)
    with pytest.raises(ValueError, match=r"--column json\.caption is a text of a JSON member; image files are members"):
        read("json.caption", kind="image")
    write_tar(tmp_path / "x.tar", [("a.json", b"{")])
    with pytest.raises(ValueError, match=r"x\.tar/a\.json: not JSON"):
        read("json.caption")


def test_a_saved_column_must_hold_files(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"id": ["a"], "image": [[[1, 2], [3, 4]]]}).save_to_disk(tmp_path / "d")
    with pytest.raises(ValueError, match="row 0: column 'image' must hold a path, a file's bytes, .* found list"):
        read_manifest(tmp_path / "d", Wanted("image"))


def test_moving_what_a_manifest_reads_keeps_its_hash(tmp_path, pictures):
    for form in (shards, saved, zipped):
        one, other = tmp_path / f"{form.__name__} 1", tmp_path / f"{form.__name__} 2"
        one.mkdir()
        given = str(form(one, pictures))
        before = read_manifest(given, Wanted("image")).sha256
        one.rename(other)
        assert read_manifest(given.replace(str(one), str(other)), Wanted("image")).sha256 == before


def test_patterns_of_shards(tmp_path):
    for name in ("a-1.tar", "a-2.tar", "b.tar"):
        (tmp_path / name).touch()
    assert expanded("x.tar") == ["x.tar"]
    assert expanded("s3://b/{9..11}.tar") == ["s3://b/9.tar", "s3://b/10.tar", "s3://b/11.tar"]
    assert expanded(f"{tmp_path}/a-*.tar") == [f"{tmp_path}/a-1.tar", f"{tmp_path}/a-2.tar"]


def test_a_url_says_when_its_file_changes():
    system = fsspec.filesystem("memory")
    system.pipe_file("/stamps/a", b"one")
    file = Remote("memory://stamps/a", "a")
    before = file.stamp()
    assert file.stamp() == before
    system.pipe_file("/stamps/a", b"two and more")
    assert file.stamp() != before
