"""What notebooks show of the container."""

import re

import numpy as np
import pytest
from samples import make_blocks

from skmmal import MultimodalArray
from skmmal.modalities._html import blocks_table


def cells(array):
    html = array._repr_html_()
    assert html == blocks_table(array)
    return [re.findall(r"<t[dh]>(.*?)</t[dh]>", line) for line in re.findall(r"<tr>(.*?)</tr>", html)]


def test_a_line_for_each_modality():
    X = MultimodalArray(
        {"image": np.zeros((4, 3), np.float32), "text": np.full((4, 2, 5), [[[1.0]], [[np.nan]], [[2.0]], [[np.nan]]]), "age": np.arange(4)}
    )
    header, *lines = cells(X)
    assert header == ["modality", "columns", "dtype", "rows that have it", "stored in"]
    assert lines == [
        ["image", "3", "float32", "4", "memory"],
        ["text", "2 × 5", "float64", "2", "memory"],
        ["age", "1", "int64", "4", "memory"],
    ]
    assert "<caption>MultimodalArray: 4 rows</caption>" in X._repr_html_()


@pytest.mark.parametrize("n_rows", [0, 1, 60])
def test_the_rows_that_have_it_are_those_of_the_blocks(n_rows):
    X = MultimodalArray(make_blocks(n=60, missing=0.3)[0])[:n_rows]
    found = {name: int(rows) for name, _, _, rows, _ in cells(X)[1:]}
    assert found == {name: int((~np.isnan(block).all(axis=1)).sum()) for name, block in X.blocks.items()}


def test_names_are_escaped():
    name = "<script>alert('x')</script> & \"co\""
    html = MultimodalArray({name: np.zeros((2, 1))})._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;co&quot;" in html


def test_mapped_blocks(tmp_path):
    values = np.random.default_rng(0).random((30, 4), dtype=np.float32)
    values[::3] = np.nan
    np.save(tmp_path / "a.npy", values)
    X = MultimodalArray({"a": np.load(tmp_path / "a.npy", mmap_mode="r"), "b": values + 1, "c": np.ones((30, 1))})
    expected = [["a", "4", "float32", "20", "file (mapped)"], ["b", "4", "float32", "20", "memory"], ["c", "1", "float64", "30", "memory"]]
    assert cells(X)[1:] == expected
    assert [line[-1] for line in cells(X[:7])[1:]] == ["file (mapped)", "memory", "memory"]  # a view of it
    assert [line[-1] for line in cells(X[[1, 2]])[1:]] == ["memory"] * 3  # rows that were read


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    """Eight gigabytes on paper: a file with holes."""
    block = np.lib.format.open_memmap(tmp_path / "a.npy", mode="w+", dtype=np.float32, shape=(2_000_000, 1000))
    X = MultimodalArray({"a": block})
    monkeypatch.setattr("skmmal.modalities._html.np.isnan", None)
    assert cells(X)[1] == ["a", "1000", "float32", "not counted", "file (mapped)"]


def test_nothing_else_of_it_is_read():
    class Watched(np.ndarray):
        read = []

        def __getitem__(self, key):
            type(self).read.append(key)
            return super().__getitem__(key)

    X = MultimodalArray({"a": np.zeros((6, 3))})
    X._blocks["a"] = X._blocks["a"].view(Watched)
    cells(X)
    assert Watched.read[0] == (slice(None), 0)
    assert all(key == (slice(None), 0) for key in Watched.read)
