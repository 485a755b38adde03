"""
One pool, or parts of it
========================

Papers split large pools into random parts and choose from each, so that selection is affordable. skmmal selects from
the whole pool, exactly. What does the splitting cost?
"""

# %%
# Digits; CoreSet takes the row farthest from all that are taken, 40 times, from the whole pool and from parts.

import matplotlib.pyplot as plt
import numpy as np

from skmmal import ModalityScaler
from skmmal.datasets import load_digits_views
from skmmal.query import CoreSet, Partitioned, RandomSampling

X, y = load_digits_views(["fou", "zer"], return_X_y=True)
X = ModalityScaler().fit_transform(X)
flat = np.concatenate([X["fou"], X["zer"]], axis=1)


def radius(batch):
    """The farthest that any row is from the batch."""
    distances = ((flat[:, np.newaxis] - flat[batch]) ** 2).sum(axis=2)
    return np.sqrt(distances.min(axis=1).max())


n_instances = 40
parts = [1, 2, 5, 10, 20]
radii = {
    n_parts: [
        radius(Partitioned(CoreSet(), n_parts, random_state=seed).query(None, X, n_instances)) for seed in range(8)
    ]
    for n_parts in parts
}
exact = radius(CoreSet().query(None, X, n_instances))
random = [radius(RandomSampling(random_state=seed).query(None, X, n_instances)) for seed in range(8)]
for n_parts, values in radii.items():
    print(f"{n_parts:2d} parts: radius {np.mean(values):.2f} ± {np.std(values):.2f}")
print(f"the whole pool {exact:.2f}, random {np.mean(random):.2f}")

# %%
# The radius is what CoreSet makes small: how far the worst-covered row is from the batch. One part is the whole pool.
# The more parts, the less each knows of what the others took.

figure, ax = plt.subplots(layout="constrained")
ax.plot(range(len(parts)), [np.mean(values) for values in radii.values()], color="C0", linestyle="-")
for at, values in enumerate(radii.values()):
    ax.scatter([at] * len(values), values, s=14, color="C0", alpha=0.6)
ax.axhline(exact, color="C2", linestyle="--", linewidth=1.2, label="the whole pool")
ax.axhline(np.mean(random), color="0.6", linestyle="-", linewidth=2, label="random")
ax.set_xticks(range(len(parts)), parts)
ax.set(xlabel="parts", ylabel="radius of the batch", title="40 rows of 2,000 by CoreSet")
ax.legend()
plt.show()
