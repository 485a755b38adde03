"""
Only these may be picked
========================

Some rows cannot be labeled today: another site holds them, or an annotator reads one language only. `candidates=`
says which rows may be picked. The others still count as what is to be covered, which is not the same as leaving them
out.
"""

# %%
# A pool in the plane; only rows right of the line may be picked, and two crowds lie just left of it.

import matplotlib.pyplot as plt
import numpy as np

from skmmal.query import MVOPT

rng = np.random.default_rng(0)
crowds = np.concatenate([[-1.0, height] + 0.5 * rng.normal(size=(200, 2)) for height in (-2.5, 2.5)])
points = np.concatenate([crowds, np.column_stack([rng.uniform(0, 6, 250), rng.uniform(-4, 4, 250)])])
may = np.flatnonzero(points[:, 0] > 0)
strategy = MVOPT()
batches = {
    "all may be picked": strategy.query(None, points, 8),
    "candidates=, the rest is to be covered": strategy.query(None, points, 8, candidates=may),
    "the rest is left out of the pool": may[strategy.query(None, points[may], 8)],
}


def mean_distance(batch):
    return np.linalg.norm(points[:, np.newaxis] - points[batch], axis=2).min(axis=1).mean()


for title, batch in batches.items():
    print(f"{title:40s} mean distance of a row to the nearest pick: {mean_distance(batch):.2f}")

# %%
# With `candidates=` half of the picks move to the line, for from there they tell most of the crowds on the other
# side. Without the other side in the pool they spread over the right as if there were nothing else.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharex=True, sharey=True, layout="constrained")
for ax, (title, batch) in zip(axes, batches.items(), strict=True):
    ax.scatter(*points.T, s=6, color="0.75", linewidth=0)
    ax.scatter(*points[may].T, s=6, color="C5", linewidth=0)
    ax.scatter(*points[batch].T, s=70, color="C4", edgecolor="white")
    ax.axvline(0, color="0.5", linestyle="--", linewidth=1)
    ax.set_title(title, fontsize="medium")
plt.show()
