"""
What a batch looks like
=======================

Six strategies choose 12 rows from the same pool with the same model. Two modalities of one column each, so that the
pool is a plane: what a strategy looks at can be seen.
"""

# %%
# Three classes, the smallest of them in two clusters, one far from the rest; 18 labeled rows.

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier
from skmmal.query import get_strategy

rng = np.random.default_rng(0)
centers = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0], [5.0, 5.0]])
sizes, classes = (220, 220, 100, 20), (0, 1, 2, 2)
points = np.concatenate([center + rng.normal(size=(n, 2)) for center, n in zip(centers, sizes, strict=True)])
y = np.repeat(classes, sizes)
labeled = np.concatenate([rng.choice(np.flatnonzero(y[:540] == code), 6, replace=False) for code in range(3)])
pool = np.setdiff1d(np.arange(len(y)), labeled)
X = {"a": points[:, :1], "b": points[:, 1:]}
X_labeled, X_pool = ({name: block[rows] for name, block in X.items()} for rows in (labeled, pool))
model = LateFusionClassifier().fit(X_labeled, y[labeled])

# %%
# The batches, numbered in the order they were picked.

titles = {
    "margin": "Margin: the two best classes are close",
    "badge": "BADGE: long gradients, spread out",
    "coreset": "CoreSet: as far from all others as can be",
    "typiclust": "TypiClust: typical of their clusters",
    "uherding": "UHerding: covers what is unsure",
    "mvopt": "MVOPT: takes most doubt off the pool",
}
batches = {}
for name in titles:
    strategy = get_strategy(name)
    if "random_state" in strategy.get_params():
        strategy.set_params(random_state=0)
    batches[name] = pool[strategy.query(model, X_pool, 12, X_labeled=X_labeled, y_labeled=y[labeled])]

sure = model.predict_proba(X).max(axis=1)
for name, batch in batches.items():
    n_far = int((batch >= 540).sum())
    print(f"{name:10s} mean confidence in the batch {sure[batch].mean():.2f}, rows of the far cluster: {n_far}")

# %%
# Hollow marks are labeled, small ones the pool (by class), the shade is darker where the model is less sure. Margin
# lines up along the borders of the classes: all rows unsure, several of them neighbors, none in the far cluster.
# CoreSet takes the rim, outliers first. TypiClust does not ask the model; it goes where rows are dense. BADGE spreads
# over gradients, which grow with the distance from the origin: five picks in the far cluster. UHerding and MVOPT take
# one of that cluster, for it stands for the others, and spread the rest.

grid = np.stack(np.meshgrid(np.linspace(-5, 8, 140), np.linspace(-4, 8, 140)), axis=-1)
area = model.predict_proba({"a": grid[..., 0].reshape(-1, 1), "b": grid[..., 1].reshape(-1, 1)}).max(axis=1)
figure, axes = plt.subplots(2, 3, figsize=(11, 7), sharex=True, sharey=True, layout="constrained")
for ax, (name, title) in zip(axes.ravel(), titles.items(), strict=True):
    ax.contourf(grid[..., 0], grid[..., 1], area.reshape(140, 140), levels=12, cmap="Greys_r", alpha=0.35)
    for code, marker in enumerate("osD"):
        rows = pool[y[pool] == code]
        ax.scatter(*points[rows].T, s=7, marker=marker, color="0.55", linewidth=0)
        rows = labeled[y[labeled] == code]
        ax.scatter(*points[rows].T, s=32, marker=marker, facecolor="white", edgecolor="0.2", linewidth=1.2)
    ax.scatter(*points[batches[name]].T, s=110, color="C4", edgecolor="white", linewidth=0.8)
    for rank, row in enumerate(batches[name], start=1):
        ax.annotate(str(rank), points[row], ha="center", va="center", fontsize=7, color="white", weight="bold")
    ax.set_title(title, fontsize="medium")
figure.supxlabel("modality a")
figure.supylabel("modality b")
plt.show()
