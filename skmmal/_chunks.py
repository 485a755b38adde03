"""Row chunks whose size depends on the data's width alone.

Results must not depend on the machine or on a setting, and the last bits of a matrix product depend on its
shape. So the chunks are a function of the width only: the same rows are always multiplied together.
"""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_ELEMENTS = 2**22
"""Elements in one chunk: 16 MB of float32, 32 MB of float64."""


def chunk_rows(n_columns: int) -> int:
    """Rows in a chunk of a matrix that is `n_columns` wide (a multiple of 64, at least 64)."""
    return max(64, CHUNK_ELEMENTS // max(1, n_columns) // 64 * 64)


def row_chunks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Slices that cover `n_rows` rows of a matrix that is `n_columns` wide."""
    step = chunk_rows(n_columns)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))
