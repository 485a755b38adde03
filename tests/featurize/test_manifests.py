"""Manifests: as programs of all kinds write them, or a refusal that names the line."""

from __future__ import annotations

import gc
import gzip
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skmmal.featurize import _parquet
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


def contents(manifest):
    """Cells, and the bytes of those that lie elsewhere."""
    return [cell if isinstance(cell, str) else cell.read() for cell in manifest.cells]


@pytest.fixture
def pool():
    """Arrow's memory, counted from here on."""
    before = pa.default_memory_pool()
    counting = pa.proxy_memory_pool(before)
    pa.set_memory_pool(counting)
    yield counting
    _parquet._cursor.cache_clear()  # what is open holds memory of the pool
    gc.collect()
    pa.set_memory_pool(before)


def test_files_inside_a_parquet_are_not_held_in_memory(tmp_path, monkeypatch, pool):
    n_rows, size = 10_000, 4_000  # in a single row group, as pandas writes it
    noise = np.random.default_rng(0).bytes(n_rows * size)
    ends = np.arange(n_rows + 1, dtype=np.int32) * size
    column = pa.Array.from_buffers(pa.binary(), n_rows, [None, pa.py_buffer(ends), pa.py_buffer(noise)])
    pq.write_table(pa.table({"id": pa.array(range(n_rows)), "image": column}), tmp_path / "m.parquet")
    assert pq.ParquetFile(tmp_path / "m.parquet").num_row_groups == 1
    most = pool.max_memory()
    monkeypatch.setattr("skmmal.featurize._parquet._BYTES", 2**21)
    manifest = read_manifest(tmp_path / "m.parquet", Wanted("image"))
    for row, cell in enumerate(manifest.cells):
        assert hash(cell.read()) == hash(noise[row * size : (row + 1) * size])
    assert max(most, pool.max_memory()) < len(noise) / 2


def test_rows_of_a_parquet_in_any_order_and_after_it_changed(tmp_path):
    cells = [b"%d" % k * 3 for k in range(50)]
    place = tmp_path / "m.parquet"

    def write(cells):
        table = pa.table({"id": pa.array(range(len(cells))), "image": pa.array(cells, pa.large_binary())})
        pq.write_table(table, place, row_group_size=7)

    write(cells)
    manifest = read_manifest(place, Wanted("image"))
    for row in np.random.default_rng(0).permutation(100) % 50:
        assert manifest.cells[row].read() == cells[row]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda cell: cell.read(), manifest.cells)) == cells
    write([*cells[:20], b"another", *cells[21:]])  # under a job that is running
    assert [manifest.cells[row].read() for row in (19, 21, 49)] == [cells[19], cells[21], cells[49]]
    _parquet._cursor.cache_clear()  # the row may be in memory as it was
    place.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        manifest.cells[20].read()
    (tmp_path / "away").rename(place)
    with pytest.raises(OSError, match="m.parquet has changed since its rows were listed"):
        manifest.cells[20].read()
    assert read_manifest(place, Wanted("image")).cells[20].read() == b"another"


def test_several_tables_and_lists_of_files(tmp_path):
    for shard in range(3):
        images = [[b"a%d" % shard, None, b"b"], None if shard else []]
        pq.write_table(pa.table({"key": [f"{shard}x", f"{shard}y"], "image": images}), tmp_path / f"d-{shard}-of-3.parquet")
    for pattern in ("d-{0..2}-of-3.parquet", "*.parquet", "d-?-of-3.parquet"):
        manifest = read_manifest(tmp_path / pattern, Wanted("image", None, "key", several=True))
        assert manifest.ids == ["0x", "0y", "1x", "1y", "2x", "2y"]
        assert [part if part == "" else part.read() for part in manifest.cells[4].parts] == [b"a2", "", b"b"]
        assert manifest.cells[1::2] == ["", "", ""]
    assert read_manifest(tmp_path / "*.parquet", Wanted("image", None, ":row", several=True)).ids == list("012345")
    with pytest.raises(ValueError, match="d-3-of-3.parquet is not a file"):
        read_manifest(tmp_path / "d-{0..3}-of-3.parquet", Wanted("image", None, "key", several=True))
    with pytest.raises(ValueError, match=r"it is a folder; give the tables in it as .*\*\.parquet"):
        read_manifest(tmp_path, Wanted("image"))
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "c.csv").write_text("id,text\nx,y\n")
    assert read_manifest(tmp_path / "[ax]" / "c.csv", Wanted("text")).root == tmp_path / "a"
    with pytest.raises(ValueError, match="names tables in several folders"):
        read_manifest(tmp_path / "{a,b}" / "c.csv", Wanted("text"))


def test_files_inside_a_parquet(tmp_path):
    frame = pd.DataFrame({"id": [1, 2, 3], "image": [b"one", None, b"three"]})
    frame.to_parquet(tmp_path / "bytes.parquet")
    manifest = read_manifest(tmp_path / "bytes.parquet", Wanted("image"))
    assert manifest.ids == ["1", "2", "3"]
    assert contents(manifest) == [b"one", "", b"three"]
    assert [str(cell) for cell in manifest.cells] == ["image[0]", "", "image[2]"]
    with pytest.raises(ValueError, match="row 0: column 'image' must hold a text, found bytes"):
        read_manifest(tmp_path / "bytes.parquet", Wanted("text", "image"))
    frame["image"] = [{"bytes": b"one", "path": "1.png"}, {"bytes": None, "path": "2.png"}, None]
    frame.to_parquet(tmp_path / "feature.parquet")
    other = read_manifest(tmp_path / "feature.parquet", Wanted("image"))
    assert contents(other) == [b"one", "2.png", ""]
    assert str(other.cells[0]) == "1.png"
    assert other.sha256 != manifest.sha256
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
