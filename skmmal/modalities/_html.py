"""A container as a small HTML table, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np

from skmmal.modalities._mapped import is_mapped

__all__ = ["blocks_table"]

_MAPPED_ROWS = 50_000
"""Rows of a mapped block whose presence is read: a page of the file for each."""


def blocks_table(array: Any) -> str:
    """Return one line for each modality: columns, dtype, the rows that have it, and where the values are.

    Parameters
    ----------
    array : MultimodalArray

    Returns
    -------
    str
        HTML; names are escaped. Of a block one column is read, and none of one in a file of many rows.
    """
    lines = [_line("th", ("modality", "columns", "dtype", "rows that have it", "stored in"))]
    for name, block in array.blocks.items():
        width = array.modalities[name]
        columns = " × ".join(map(str, width)) if isinstance(width, tuple) else str(width)
        mapped = is_mapped(block)
        stored = "file (mapped)" if mapped else "memory"
        lines.append(_line("td", (name, columns, str(block.dtype), _rows_with(block, mapped), stored)))
    kind = type(array).__name__
    return f"<table><caption>{escape(kind)}: {len(array):,} rows</caption>{''.join(lines)}</table>"


def _rows_with(block: np.ndarray, mapped: bool) -> str:
    if block.dtype.kind != "f" or block.shape[1] == 0:
        return f"{len(block):,}"
    if mapped and len(block) > _MAPPED_ROWS:
        return "not counted"
    # a missing modality is NaN throughout: its first column says so
    return f"{len(block) - np.count_nonzero(np.isnan(block[:, 0])):,}"


def _line(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
