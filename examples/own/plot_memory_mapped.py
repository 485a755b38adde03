"""
Features that stay on disk
==========================

A pool of millions of rows does not fit into memory twice. A block may be a memory-mapped file, half precision
included: rows are read a chunk at a time, and only the rows that are taught are copied.
"""

# %%
# 60,000 rows in two float16 files, as `numpy.save` writes them.

import tempfile
import tracemalloc
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import BADGE

folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
rng = np.random.default_rng(0)
y = rng.integers(0, 5, 60_000)
for name, width in (("image", 384), ("text", 128)):
    centers = rng.standard_normal((5, width), dtype=np.float32)
    block = centers[y] + 3 * rng.standard_normal((len(y), width), dtype=np.float32)
    np.save(Path(folder.name) / f"{name}.npy", (8 * block / np.linalg.norm(block, axis=1)[:, None]).astype(np.float16))
del block
on_disk = sum(path.stat().st_size for path in Path(folder.name).iterdir())


def open_pool():
    return MultimodalArray(
        {name: np.load(Path(folder.name) / f"{name}.npy", mmap_mode="r") for name in ("image", "text")}
    )


# %%
# A model of 200 labels; then BADGE chooses 100 rows of the pool, mapped and loaded. Counted is what Python and numpy
# allocate meanwhile.

pool = open_pool()
model = LateFusionClassifier(tol=1e-4).fit(pool[:200], y[:200])


def query(loaded):
    tracemalloc.start()
    X = open_pool()
    if loaded:
        X = MultimodalArray({name: np.asarray(X[name], dtype=np.float32) for name in X.modalities})
    batch = BADGE(random_state=0).query(model, X, 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return batch, peak


(mapped, peak_mapped), (loaded, peak_loaded) = query(False), query(True)
print("the same rows:", np.array_equal(mapped, loaded))
print(f"peak mapped below the size of the files: {peak_mapped < on_disk}")

# %%
# The query on the mapped pool needs less memory than the files are long; loaded as float32 the pool alone takes twice
# their size.

figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
sizes = {"query, loaded as float32": peak_loaded, "query, mapped": peak_mapped, "the files": on_disk}
bars = ax.barh(list(sizes), [size / 1e6 for size in sizes.values()], color=["C4", "C0", "0.6"])
ax.bar_label(bars, fmt="%.0f MB", color="0.45", padding=3)
ax.set(xlabel="MB", xlim=(0, 1.2 * max(sizes.values()) / 1e6), title="Peak memory, 60,000 rows of 512 columns")
plt.show()
folder.cleanup()
