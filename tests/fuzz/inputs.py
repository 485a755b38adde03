"""Generated inputs: features in every container with every defect, labels, budgets, seeds.

Hypothesis draws the structure (which is what it can shrink); the numbers come from a generator with a drawn seed.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import torch
from hypothesis import strategies as st
from scipy import sparse
from sklearn.compose import make_column_selector

from skmmal import MultimodalArray

FLOATS = ["float64", "float32", "float16"]
WHOLE = ["int64", "int32", "int8", "uint8", "bool"]
GENTLE = ["normal", "normal", "normal", "integers", "duplicates", "constant", "zeros", "sparse", "offset", "units"]
"""Values that every estimator must cope with."""
WILD = ["tiny", "subnormal", "large", "huge"]
"""Values at the ends of the float range: refusing them is right, too."""
BLOCK_CONTAINERS = [
    *("multimodal", "mapping", "mapping-torch", "mapping-frame", "mapping-memmap", "multiindex"),
    *("mapping-bfloat16", "mapping-vectors", "mapping-named", "mapping-polars", "mapping-arrow", "mapping-flat"),
]
MATRIX_CONTAINERS = [
    *("matrix", "slices", "columns", "frame", "fortran", "strided", "readonly", "memmap", "torch", "object", "lists"),
    *("prefixes", "selectors", "polars", "arrow", "vectors", "polars-vectors"),
]
CONTAINERS = [*BLOCK_CONTAINERS, *MATRIX_CONTAINERS]
VALUE_DEFECTS = ["partly-nan", "infinity", "empty-row"]
"""Blocks that look right but hold values the contract refuses."""
FORM_DEFECTS = [
    *("strings", "complex", "dates", "objects", "four-dimensions", "ragged", "no-rows", "no-columns"),
    *("other-lengths", "scalar", "none", "text", "set", "generator", "sparse", "sparse-block", "empty-mapping"),
    *("names", "widths", "extra-level", "frame-of-text", "categories", "nested"),
    *("rows-in-another-order", "other-rows", "ragged-vectors", "vectors-as-text", "views", "path", "lazy"),
    *("mixed-cells", "unknown-prefix", "overlapping-prefixes"),
]
"""Things that are no features at all."""

_SCRATCH = tempfile.TemporaryDirectory(prefix="skmmal-fuzz-")


@dataclass
class Features:
    """A generated X, and what is known of it."""

    X: Any
    modalities: Any
    """Layout that a plain matrix needs."""
    blocks: dict[str, np.ndarray]
    """The same in plain blocks (of the good X, where a defect was put in)."""
    container: str
    defect: str | None
    wild: bool

    @property
    def n(self) -> int:
        return len(next(iter(self.blocks.values())))

    @property
    def valid(self) -> bool | None:
        """Whether an estimator must take it: yes, no, or it may choose."""
        if self.defect is not None:
            return False
        return None if self.wild else True

    def rows(self, rows: Any) -> Any:
        """Rows of a good X, in its own container."""
        if isinstance(self.X, dict):
            return {name: _rows(block, rows) for name, block in self.X.items()}
        return _rows(self.X, rows)


def _rows(X: Any, rows: Any) -> Any:
    if isinstance(X, pd.DataFrame):
        return X.iloc[rows]
    if type(X).__module__.startswith("pyarrow"):
        return X.take(np.arange(len(X))[rows])
    if isinstance(X, list):
        return [X[row] for row in np.arange(len(X))[rows]]
    return X[torch.as_tensor(np.arange(len(X))[rows]) if isinstance(X, torch.Tensor) else rows]


@st.composite
def features(
    draw: Any,
    min_rows: int = 1,
    max_rows: int = 12,
    defects: list[str] | None = None,
    containers: list[str] | None = None,
    wild: bool = True,
    max_modalities: int = 3,
    missing: bool = True,
    fixed_rows: int | None = None,
    grids: bool = False,
) -> Features:
    """Features in some container; `defects` (by default all) are put into about half of them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    n = fixed_rows or draw(st.integers(min_rows, max_rows))
    names = draw(st.sampled_from([["image", "text"], ["a"], ["a", "b", "c"], ["X"], ["ä", "b c"]]))[:max_modalities]
    style = draw(st.sampled_from(GENTLE + (WILD if wild else [])))
    blocks = {}
    for name in names:
        width = draw(st.integers(1, 5))
        dtype = draw(st.sampled_from([*FLOATS, *FLOATS, *WHOLE]))
        blocks[name] = values(rng, (n, width), style, dtype)
    if missing and draw(st.booleans()):
        _lose(blocks, rng, draw(st.sampled_from([0.1, 0.5, 0.9])))
    container = draw(st.sampled_from(containers or CONTAINERS))
    known = [*VALUE_DEFECTS, *FORM_DEFECTS] if defects is None else defects
    defect = draw(st.one_of(st.none(), st.sampled_from(known))) if known else None
    if defect in VALUE_DEFECTS:
        blocks = {name: _as_float(block) for name, block in blocks.items()}
        damaged = {name: block.copy() for name, block in blocks.items()}
        defect = _damage(damaged, defect, rng)
        X, modalities = contain(damaged, container)
    elif defect is not None:
        X, modalities = broken(blocks, defect)
    else:
        X, modalities = contain(blocks, container)
    return Features(X, modalities, blocks, container, defect, style in WILD)


def values(rng: np.random.Generator, shape: tuple[int, ...], style: str, dtype: str) -> np.ndarray:
    """Numbers of a style, as good as the dtype can hold them."""
    normal = rng.standard_normal(shape)
    ends = np.finfo(dtype) if dtype in FLOATS else np.iinfo(dtype) if dtype != "bool" else None
    found = {
        "normal": lambda: normal,
        "integers": lambda: rng.integers(-3, 4, shape),
        "duplicates": lambda: normal[rng.integers(0, max(1, shape[0] // 3), shape[0])],
        "constant": lambda: np.full(shape, 1.5),
        "zeros": lambda: np.zeros(shape),
        "sparse": lambda: normal * (rng.random(shape) < 0.2),
        "offset": lambda: 1000 + normal,
        "units": lambda: normal * 10.0 ** rng.integers(-3, 4, shape[1]),
        "tiny": lambda: normal * 1e-30,
        "subnormal": lambda: normal * float(getattr(ends, "smallest_subnormal", 0)),
        "large": lambda: normal * 1e18,
        "huge": lambda: np.sign(normal) * float(ends.max if ends is not None else 1) * rng.random(shape),
    }[style]()
    if dtype not in FLOATS:
        low, high = (0, 1) if ends is None else (max(ends.min, -(2**53)), min(ends.max, 2**53))
        return np.clip(np.nan_to_num(found), low, high).astype(dtype)
    return np.clip(found, float(ends.min), float(ends.max)).astype(dtype)


def _as_float(block: np.ndarray) -> np.ndarray:
    return block if block.dtype.kind == "f" else block.astype(np.float64)


def _lose(blocks: dict[str, np.ndarray], rng: np.random.Generator, rate: float) -> None:
    """Make modalities missing from rows, never all of a row."""
    lost = rng.random((len(next(iter(blocks.values()))), len(blocks))) < rate
    lost[:, [block.dtype.kind != "f" for block in blocks.values()]] = False
    everything = lost.all(axis=1)
    lost[everything, rng.integers(len(blocks))] = False
    for gone, block in zip(lost.T, blocks.values(), strict=True):
        if gone.any():
            block[gone] = np.nan


def _damage(blocks: dict[str, np.ndarray], defect: str, rng: np.random.Generator) -> str:
    row = rng.integers(len(next(iter(blocks.values()))))
    block = blocks[list(blocks)[rng.integers(len(blocks))]]
    if defect == "partly-nan" and block.shape[1] > 1:
        block[row] = 0
        block[row, rng.integers(block.shape[1])] = np.nan
    elif defect == "infinity" or defect == "partly-nan":
        block[row, rng.integers(block.shape[1])] = rng.choice([-np.inf, np.inf])
        return "infinity"
    else:
        for each in blocks.values():
            each[row] = np.nan
    return defect


def contain(blocks: dict[str, np.ndarray], container: str) -> tuple[Any, Any]:
    """Put blocks into a container; return it with the layout it needs."""
    widths = {name: block.shape[1] for name, block in blocks.items()}
    edges = np.cumsum([0, *widths.values()])
    by_position = {name: slice(int(a), int(b)) for name, a, b in zip(widths, edges[:-1], edges[1:], strict=True)}
    if container == "multimodal":
        return MultimodalArray(blocks), None
    if container == "mapping":
        return dict(blocks), None
    if container == "mapping-torch":
        return {name: torch.as_tensor(block) for name, block in blocks.items()}, None
    if container == "mapping-frame":
        return {name: pd.DataFrame(block) for name, block in blocks.items()}, None
    if container == "mapping-bfloat16":
        # only values that bfloat16 holds, so that the blocks stay the truth
        for block in blocks.values():
            if block.dtype == np.float32:
                block[...] = torch.as_tensor(block).to(torch.bfloat16).float().numpy()
        as_tensor = {name: torch.as_tensor(block) for name, block in blocks.items()}
        return {name: t.to(torch.bfloat16) if t.dtype == torch.float32 else t for name, t in as_tensor.items()}, None
    if container == "mapping-vectors":
        return {name: _vectors(block) for name, block in blocks.items()}, None
    if container == "mapping-named":
        return {name: _named(block) for name, block in blocks.items()}, None
    if container == "mapping-polars":
        return _polars_vectors(blocks), None
    if container == "mapping-arrow":
        return {name: column.to_arrow() for name, column in _polars_vectors(blocks).items()}, None
    if container == "mapping-flat":
        return {name: block[:, 0] if widths[name] == 1 else block for name, block in blocks.items()}, None
    if container == "mapping-memmap":
        return {name: _memmap(block) for name, block in blocks.items()}, None
    if container == "multiindex":
        frames = {name: pd.DataFrame(block, columns=[f"f{i}" for i in range(widths[name])]) for name, block in blocks.items()}
        return pd.concat(frames, axis=1), None
    matrix = np.concatenate(list(blocks.values()), axis=1)
    if container == "slices":
        return matrix, by_position
    if container == "columns":
        return matrix, {name: list(range(part.start, part.stop)) for name, part in by_position.items()}
    if container == "frame":
        named = [f"{name} {i}" for name, width in widths.items() for i in range(width)]
        layout = {name: named[part] for name, part in by_position.items()}
        return pd.DataFrame(matrix, columns=named, index=np.arange(len(matrix))[::-1] + 7), layout
    if container in ("prefixes", "selectors", "polars", "arrow"):
        return _table(blocks, matrix, container)
    if container in ("vectors", "polars-vectors"):
        cells = {name: _vectors(block) for name, block in blocks.items()}
        return (pd.DataFrame(cells) if container == "vectors" else polars.DataFrame(_polars_vectors(blocks))), None
    converted = {
        "matrix": lambda: matrix,
        "fortran": lambda: np.asfortranarray(matrix),
        "strided": lambda: np.repeat(matrix, 2, axis=0)[::2],
        "readonly": lambda: _readonly(matrix),
        "memmap": lambda: _memmap(matrix),
        "torch": lambda: torch.as_tensor(matrix),
        "object": lambda: matrix.astype(object),
        "lists": lambda: matrix.tolist(),
    }[container]()
    return converted, widths


def _named(block: np.ndarray, first: int = 7) -> pd.DataFrame:
    """A frame whose rows have names of their own: those of the labels that have any, unless they begin elsewhere."""
    return pd.DataFrame(block, index=np.arange(len(block))[::-1] + first)


def _vectors(block: np.ndarray) -> list[Any]:
    """A column of vectors, ``None`` where the row is missing (unless no row is left to show the width)."""
    lost = np.isnan(block).all(axis=1) if block.dtype.kind == "f" else np.zeros(len(block), dtype=bool)
    return list(block) if lost.all() else [None if gone else row for gone, row in zip(lost, block, strict=True)]


def _polars_vectors(blocks: dict[str, np.ndarray]) -> dict[str, polars.Series]:
    """The same as columns of polars, in the nearest type that it has."""
    found = {}
    for name, block in blocks.items():
        rows = [None if row is None else row.tolist() for row in _vectors(block)]
        kind = {"float16": "float32"}.get(block.dtype.name, block.dtype.name)
        inner = polars.Series(np.zeros(1, dtype=kind)).dtype
        found[name] = polars.Series(rows, dtype=polars.List(polars.Float64 if inner == polars.Boolean else inner))
    return found


def _flat_frame(blocks: dict[str, np.ndarray]) -> pd.DataFrame:
    named = [f"{name}__{i}" for name, block in blocks.items() for i in range(block.shape[1])]
    return pd.DataFrame(np.concatenate(list(blocks.values()), axis=1), columns=named)


def _table(blocks: dict[str, np.ndarray], matrix: np.ndarray, container: str) -> tuple[Any, Any]:
    """A table whose columns say by their names whose they are."""
    frame = _flat_frame(blocks)
    prefixes = {name: f"{name}__" for name in blocks}
    if container == "selectors":
        return frame, {name: make_column_selector(f"^{name}__") for name in blocks}
    if container == "prefixes":
        return frame, prefixes
    wide = matrix.astype(np.float32) if matrix.dtype == np.float16 else matrix
    table = polars.DataFrame({name: wide[:, at] for at, name in enumerate(frame.columns)})
    return (table if container == "polars" else table.to_arrow()), prefixes


def _readonly(matrix: np.ndarray) -> np.ndarray:
    copy = matrix.copy()
    copy.flags.writeable = False
    return copy


def _memmap(block: np.ndarray) -> np.ndarray:
    path = Path(_SCRATCH.name) / "block.npy"
    path.unlink(missing_ok=True)  # the map of an earlier example keeps the old file
    np.save(path, block)
    return np.load(path, mmap_mode="r")


def broken(blocks: dict[str, np.ndarray], defect: str) -> tuple[Any, Any]:
    """Something that is not what it should be."""
    first, *_ = blocks
    block = blocks[first]
    widths = {name: each.shape[1] for name, each in blocks.items()}
    matrix = np.concatenate(list(blocks.values()), axis=1)
    made = {
        "strings": lambda: ({**blocks, first: np.full(block.shape, "x")}, None),
        "complex": lambda: ({**blocks, first: block.astype(np.complex64)}, None),
        "dates": lambda: ({**blocks, first: np.full(block.shape, "2020-01-01", dtype="datetime64[D]")}, None),
        "objects": lambda: (np.full(matrix.shape, {"a": 1}, dtype=object), widths),
        "four-dimensions": lambda: ({**blocks, first: block[:, None, :, None]}, None),
        "ragged": lambda: ([[1.0, 2.0], [3.0]], None),
        "no-rows": lambda: ({name: each[:0] for name, each in blocks.items()}, None),
        "no-columns": lambda: ({**blocks, first: block[:, :0]}, None),
        "other-lengths": lambda: ({**blocks, "longer": np.zeros((len(block) + 1, 2))}, None),
        "scalar": lambda: (3.5, None),
        "none": lambda: (None, None),
        "text": lambda: ("features", None),
        "set": lambda: ({1.0, 2.0}, None),
        "generator": lambda: ((row for row in matrix), widths),
        "sparse": lambda: (sparse.csr_matrix(np.nan_to_num(matrix.astype(np.float64))), widths),
        "sparse-block": lambda: ({**blocks, first: sparse.csr_matrix(np.nan_to_num(block.astype(np.float64)))}, None),
        "empty-mapping": lambda: ({}, None),
        "names": lambda: ({**blocks, 7: block}, None),
        "widths": lambda: (matrix, {**widths, first: widths[first] + 1}),
        "extra-level": lambda: (
            pd.DataFrame(matrix, columns=pd.MultiIndex.from_tuples([("a", "b", i) for i in range(matrix.shape[1])])),
            None,
        ),
        "frame-of-text": lambda: ({**blocks, first: pd.DataFrame({"a": ["x"] * len(block)})}, None),
        "categories": lambda: ({**blocks, first: pd.DataFrame({"a": pd.Categorical(["x"] * len(block))})}, None),
        "nested": lambda: ({**blocks, first: {"deeper": block}}, None),
        "rows-in-another-order": lambda: ({"one": _named(block), "two": _named(block).iloc[[*range(1, len(block)), 0]]}, None)
        if len(block) > 1
        else ({first: "no two rows"}, None),
        "other-rows": lambda: ({"one": _named(block), "two": _named(block, 1000)}, None),
        "ragged-vectors": lambda: ({**blocks, first: [*block, np.zeros(block.shape[1] + 1)][-max(2, len(block)) :]}, None),
        "vectors-as-text": lambda: ({**blocks, first: [str(row.tolist()) for row in block]}, None),
        "views": lambda: (list(blocks.values()), None),
        "path": lambda: (Path("features.npy"), None),
        "lazy": lambda: ({**blocks, first: polars.LazyFrame({"a": block[:, 0].astype(float)})}, None),
        "mixed-cells": lambda: (pd.DataFrame({first: list(block), "age": np.arange(len(block))}), None),
        "unknown-prefix": lambda: (_flat_frame(blocks), {name: f"{name} no" for name in blocks}),
        "overlapping-prefixes": lambda: (_flat_frame(blocks), {"one": first, "two": first}),
    }
    return made[defect]()


# ------------------------------------------------------------------------------------------------------- labels


GOOD_LABELS = ["ints", "strings", "floats", "bools", "negative", "object-strings", "list", "series", "categorical", "text-series"]
BAD_LABELS = ["none", "nan", "short", "long", "continuous", "two-columns", "missing", "mixed", "scalar", "infinite", "dicts"]


@dataclass
class Labels:
    """A generated y."""

    y: Any
    kind: str
    good: bool
    codes: np.ndarray


def draw_labels(draw: Any, n: int, bad: bool = True, n_classes: int | None = None) -> Labels:
    """Labels for n rows; the first rows hold the first classes, so that as many occur as can."""
    kind = draw(st.sampled_from(GOOD_LABELS + (BAD_LABELS if bad else [])))
    kind = "none" if kind == "mixed" and n == 1 else kind
    k = n_classes or draw(st.integers(1, 4))
    codes = np.arange(n) % k
    if draw(st.booleans()):
        codes = np.random.default_rng(draw(st.integers(0, 99))).permutation(codes)
    words = np.array(["cat", "dog", "", "ä b"])
    made = {
        "ints": lambda: codes,
        "strings": lambda: words[codes],
        "floats": lambda: codes.astype(np.float64),
        "bools": lambda: codes % 2 == 1,
        "negative": lambda: -codes - 1,
        "object-strings": lambda: words[codes].astype(object),
        "list": lambda: codes.tolist(),
        "series": lambda: pd.Series(codes, index=np.arange(n)[::-1] + 7),  # the frames' own index
        "categorical": lambda: pd.Categorical(words[codes]),
        "text-series": lambda: pd.Series(words[codes]),
        "none": lambda: np.array([None] * n, dtype=object),
        "nan": lambda: np.where(np.arange(n) == 0, np.nan, codes),
        "short": lambda: codes[:-1],
        "long": lambda: np.append(codes, 0),
        "continuous": lambda: codes + 0.5,
        "two-columns": lambda: np.stack([codes, codes], axis=1) + 2,  # zeros and ones would be labels
        "missing": lambda: None,
        "mixed": lambda: np.array([0, *["one"] * (n - 1)], dtype=object),
        "scalar": lambda: 1,
        "infinite": lambda: np.where(np.arange(n) == 0, np.inf, codes),
        "dicts": lambda: np.array([{}] * n, dtype=object),
    }[kind]()
    return Labels(made, kind, kind in GOOD_LABELS, codes)


# --------------------------------------------------------------------------------- budgets, seeds, parameters


def budgets(n: int) -> st.SearchStrategy[tuple[Any, bool]]:
    """A number of rows to choose from n, and whether it is one."""
    good = st.integers(1, max(1, n)).flatmap(lambda k: st.sampled_from([k, np.int64(k), np.uint8(k), np.int32(k)]))
    bad = st.sampled_from([0, -1, -n, n + 1, 10**9, True, False, 1.0, float("nan"), None, "2", [1], np.bool_(True), 2 + 0j])
    return st.one_of(
        good.map(lambda k: (k, 1 <= int(k) <= n)), good.map(lambda k: (k, 1 <= int(k) <= n)), bad.map(lambda k: (k, False))
    )


GOOD_SEEDS = [None, 0, 7, 2**32 - 1, np.int64(3)]
BAD_SEEDS = [-1, 2**32, 1.5, "seed", [1, 2], {"seed": 1}]


def seeds() -> st.SearchStrategy[tuple[Any, bool]]:
    """A ``random_state``, and whether it is one."""
    good = st.one_of(
        st.sampled_from(GOOD_SEEDS),
        st.sampled_from(GOOD_SEEDS),
        st.integers(0, 99).map(np.random.RandomState),
        st.integers(0, 99).map(np.random.default_rng),
    )
    return st.one_of(good.map(lambda s: (s, True)), good.map(lambda s: (s, True)), st.sampled_from(BAD_SEEDS).map(lambda s: (s, False)))


ODD = [None, -1, 0, 1, 2, 0.5, -0.5, float("nan"), float("inf"), True, "word", "", [], {}, (), np.float32(0.5), b"x", object]
"""What people pass by mistake."""
