"""Manifests: as programs of all kinds write them, or a refusal that names the line."""

from __future__ import annotations

import gzip
import json

import pandas as pd
import pytest

from skmmal.featurize._cells import Embedded
from skmmal.featurize._manifest import Wanted, read_manifest

EXPECTED = (["007", "b"], ["héllo, world", "NA"])
LINES = [["id", "text"], ["007", "héllo, world"], ["b", "NA"]]


def table(delimiter=",", end="\n", quote=True):
    return end.join(delimiter.join(f'"{x}"' if quote else x for x in line) for line in LINES) + end


READ = {
    "plain.csv": table().encode(),
    "semicolon.csv": table(";", quote=False).encode(),
    "tab.csv": table("\t", quote=False).encode(),
    "tab.tsv": table("\t", quote=False).encode(),
    "bar.txt": table("|", "\r\n", quote=False).encode(),
    "crlf.csv": table(end="\r\n").encode(),
    "cr.csv": table(end="\r").encode(),
    "mark.csv": table().encode("utf-8-sig"),
    "utf16.csv": table(";", quote=False).encode("utf-16"),
    "utf32.csv": table().encode("utf-32"),
    "excel.csv": ("sep=;\r\n" + table(";", "\r\n", quote=False)).encode("utf-8-sig"),
    "comment.csv": ("# made by hand, twice\n#\n" + table()).encode(),
    "blank.csv": table(end="\n\n").encode(),
    "spaces.csv": b'id, text\n007, "h\xc3\xa9llo, world"\nb, NA\n',
    "case.csv": table().replace('"id","text"', "ID,Text ").encode(),
    "packed.csv.gz": gzip.compress(table().encode()),
    "lines.jsonl": "\n".join(json.dumps({"id": i, "text": t}) for i, t in LINES[1:]).encode(),
    "lines": "\n".join(json.dumps({"id": i, "text": t, "z": 1}, ensure_ascii=False) for i, t in LINES[1:]).encode(),
    "list.json": json.dumps([{"id": i, "text": t} for i, t in LINES[1:]]).encode(),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_unambiguous_is_read(name, tmp_path):
    (tmp_path / name).write_bytes(READ[name])
    manifest = read_manifest(tmp_path / name, Wanted("text"))
    assert (manifest.ids, manifest.cells) == EXPECTED


REFUSED = {
    "an unquoted comma": (b"id,text\na,x\nb,hello, world\n", "line 3: 3 fields where the header has 2"),
    "in every line": (b"id,text\na,hello, world\nb,good, bye\n", "line 2: 3 fields"),
    "a short line": (b"id,text,z\na,x,1\n\nb\n", "line 4: 1 fields where the header has 3"),
    "after a broken line": (b'id,text\na,"x\ny"\nb,c,d\n', "line 4: 3 fields"),
    "an open quote": (b'id,text\na,"hello\nb,x\n', "line 2: not CSV"),
    "a quote inside": (b'id,text\na,"x"y\n', "line 2: not CSV"),
    "latin1": ("id,text\na,x\nb,caf\xe9\n".encode("latin1"), "line 3 is not UTF-8.*save it as UTF-8"),
    "utf16 without a mark": ("id,text\na,x\n".encode("utf-16-le"), "every other byte is zero"),
    "two columns": (b"id,text,Text \na,x,y\n", None),
    "one name twice": (b"id,text,text\na,x,y\n", "several columns that 'text' may mean"),
    "two near names": (b"id,Text,TEXT\na,x,y\n", "'Text' and 'TEXT'"),
    "no column": (b"id,image\na,x\n", r"no column 'text'; it has \['id', 'image'\]"),
    "nothing": (b"", "it is empty"),
    "a spreadsheet": (b"PK\x03\x04 and so on", "save it as CSV"),
    "an empty id": (b"id,text\n,x\n", "non-empty text"),
    "an object": (b'{"id": "a", "text": {"x": 1}}\n', "line 1: column 'text' must hold a text, found dict"),
    "a list": (b'{"id": "a", "text": "x"}\n{"id": "b", "text": ["x"]}\n', "line 2: column 'text' must hold a text"),
    "a missing key": (b'{"id": "a", "text": "x"}\n{"id": "b"}\n', "line 2: .*no column 'text'"),
    "no JSON": (b'{"id": "a", "text": "x"}\n{"id": "b\n', "line 2: not JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_is_refused(name, tmp_path):
    content, message = REFUSED[name]
    (tmp_path / "m.csv").write_bytes(content)
    if message is None:  # the very name is there
        assert read_manifest(tmp_path / "m.csv", Wanted("text")).cells == ["x"]
        return
    with pytest.raises(ValueError, match=message):
        read_manifest(tmp_path / "m.csv", Wanted("text"))


def test_a_text_of_any_length_and_kind_stays_as_it_is(tmp_path):
    long = "x, " * 100_000
    (tmp_path / "m.csv").write_text(f'id,text\n a ,"{long}"\n"a","li\nne"\nc\u2028d,fox\0dog\n# e,null\n', newline="")
    manifest = read_manifest(tmp_path / "m.csv", Wanted("text"))
    assert manifest.ids == [" a ", "a", "c\u2028d", "# e"]
    assert manifest.cells == [long, "li\nne", "fox\0dog", "null"]


def test_files_inside_a_parquet(tmp_path):
    frame = pd.DataFrame({"id": [1, 2, 3], "image": [b"one", None, b"three"]})
    frame.to_parquet(tmp_path / "bytes.parquet")
    manifest = read_manifest(tmp_path / "bytes.parquet", Wanted("image"))
    assert manifest.ids == ["1", "2", "3"]
    assert manifest.cells == [Embedded(b"one"), "", Embedded(b"three")]
    with pytest.raises(ValueError, match="row 0: column 'image' must hold a text, found bytes"):
        read_manifest(tmp_path / "bytes.parquet", Wanted("text", "image"))
    frame["image"] = [{"bytes": b"one", "path": "1.png"}, {"bytes": None, "path": "2.png"}, None]
    frame.to_parquet(tmp_path / "feature.parquet")
    cells = read_manifest(tmp_path / "feature.parquet", Wanted("image")).cells
    assert cells == [Embedded(b"one", "1.png"), "2.png", ""]
    other = read_manifest(tmp_path / "feature.parquet", Wanted("image")).sha256
    assert other != manifest.sha256
    for bad in ([["x.png"], ["y.png"], ["z.png"]], [1, 2, 3], [{"array": [0.1]}] * 3, [True, False, True]):
        frame["image"] = bad
        frame.to_parquet(tmp_path / "bad.parquet")
        with pytest.raises(ValueError, match="must hold a path, a file's bytes, or"):
            read_manifest(tmp_path / "bad.parquet", Wanted("image"))


def test_ids_of_a_parquet(tmp_path):
    for ids, expected in ((["007", "8"], ["007", "8"]), ([7, 8], ["7", "8"]), (pd.Categorical(["u", "v"]), ["u", "v"])):
        pd.DataFrame({"id": ids, "text": ["x", "y"]}).to_parquet(tmp_path / "m.csv")  # the content counts
        assert read_manifest(tmp_path / "m.csv", Wanted("text")).ids == expected
    pd.DataFrame({"text": ["x"]}, index=pd.Index(["a"], name="id")).to_parquet(tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet", Wanted("text")).ids == ["a"]
    for ids in (["a", None], pd.array([1, None], dtype="Int64"), [1.0, None]):
        pd.DataFrame({"id": ids, "text": ["x", "y"]}).to_parquet(tmp_path / "m.parquet")
        with pytest.raises(ValueError, match="row 1: an id is a non-empty text"):
            read_manifest(tmp_path / "m.parquet", Wanted("text"))
    pd.DataFrame({"id": [["a"], ["b"]], "text": ["x", "y"]}).to_parquet(tmp_path / "m.parquet")
    with pytest.raises(ValueError, match="row 0: an id is a text or a whole number, found list"):
        read_manifest(tmp_path / "m.parquet", Wanted("text"))
