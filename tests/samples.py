"""Small data in every container X may come in."""

import numpy as np
import pandas as pd

from skmmal import CrossModalEncoder, MultimodalArray
from skmmal.query import get_strategy

FEW_BATCHES = {"n_rounds": 2, "n_batches": 4}
"""Settings of Refine that do the same in less time."""
QUICK = {
    "refine": FEW_BATCHES,
    "coregcn": {"n_steps": 4},
    "uncertaingcn": {"n_steps": 4},
    "mmcsal": {"max_iter": 20, "encoder": CrossModalEncoder(n_components=8, max_iter=5)},
}
"""Settings that do the same in fewer steps, of the strategies that train networks or ask others a hundred times."""


def quick_strategy(name, seed=None, **params):
    """A strategy by its name and, where it draws, its seed; one that trains or asks others does so in few steps."""
    chosen = get_strategy(name, **{**QUICK.get(name, {}), **params})
    if seed is not None and "random_state" in chosen.get_params():
        chosen.set_params(random_state=seed)
    return chosen


def make_blocks(n=60, widths=None, seed=0, missing=0.0, dtype=np.float64):
    """Random blocks with a class signal in each, some of them missing; and labels 0..2."""
    rng = np.random.default_rng(seed)
    widths = widths or {"image": 5, "text": 3}
    y = np.arange(n) % 3
    blocks = {}
    for name, width in widths.items():
        centres = rng.standard_normal((3, width))
        blocks[name] = (2 * centres[y] + rng.standard_normal((n, width))).astype(dtype)
    if missing:
        lost = rng.random((n, len(widths))) < missing
        lost[lost.all(axis=1), 0] = False
        for column, block in enumerate(blocks.values()):
            block[lost[:, column]] = np.nan
    return blocks, y


def containers(blocks):
    """The same data in every form X may have, with the layout a plain matrix needs."""
    widths = {name: block.shape[1] for name, block in blocks.items()}
    matrix = np.hstack(list(blocks.values()))
    columns = pd.MultiIndex.from_tuples([(n, f"f{i}") for n, w in widths.items() for i in range(w)])
    names = [f"{name}_{i}" for name, width in widths.items() for i in range(width)]
    by_name = {name: [column for column in names if column.startswith(f"{name}_")] for name in widths}
    slices, start = {}, 0
    for name, width in widths.items():
        slices[name] = slice(start, start + width)
        start += width
    return {
        "multimodal": (MultimodalArray(blocks), None),
        "mapping": (dict(blocks), None),
        "matrix": (matrix, widths),
        "matrix-slices": (matrix, slices),
        "matrix-columns": (matrix, {name: list(range(s.start, s.stop)) for name, s in slices.items()}),
        "frame": (pd.DataFrame(matrix, columns=names), by_name),
        "multiindex": (pd.DataFrame(matrix, columns=columns), None),
    }
