"""
Unsure, or in two minds? BALD and committees
============================================

A row on the border of two classes that overlap is unsure however many labels there are. A row far from all labels is
one that models disagree on. Entropy cannot tell them apart; BALD asks a committee whether its members contradict each
other.
"""

# %%
# Two classes that overlap. The pool has 500 more rows like them, and 60 far from all labels. The committee are twelve
# small networks, each fitted on a sample of the labels.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import BaggingClassifier
from sklearn.neural_network import MLPClassifier

from skmmal.query import BALD, EntropySampling

rng = np.random.default_rng(0)
overlap = np.concatenate([rng.normal([-2.0, 0.6], 0.9, size=(70, 2)), rng.normal([-2.0, -0.6], 0.9, size=(70, 2))])
y = np.repeat([0, 1], 70)
more = np.concatenate([rng.normal([-2.0, 0.6 * side], 0.9, size=(250, 2)) for side in (1, -1)])
pool = np.concatenate([more, rng.normal([4.0, 1.8], 0.5, size=(60, 2))])
member = MLPClassifier((16,), max_iter=300, learning_rate_init=0.02, tol=1e-3, random_state=0)
committee = BaggingClassifier(member, 12, random_state=0).fit(overlap, y)

# %%
# 25 rows by each.

batches = {
    "Entropy": EntropySampling().query(committee, pool, 25),
    "BALD": BALD(source="committee", random_state=0).query(committee, pool, 25),
}
for name, batch in batches.items():
    print(f"{name:8s} rows far from all labels: {(batch >= 500).sum()} of 25")

# %%
# The shade is the score: dark is wanted. Entropy is highest along the border through the crowd of labels, and asks
# there: for rows that stay a matter of chance, whatever their labels say. BALD is low there, since the members agree
# that it is chance; it asks where they fan out.

grid = np.stack(np.meshgrid(np.linspace(-4.5, 6, 90), np.linspace(-3, 3, 60)), axis=-1)
draws = np.stack([one.predict_proba(grid.reshape(-1, 2)) for one in committee.estimators_])
mean = draws.mean(axis=0)
entropy = -(mean * np.log(np.clip(mean, 1e-12, None))).sum(axis=1)
members = -(draws * np.log(np.clip(draws, 1e-12, None))).sum(axis=2).mean(axis=0)
shades = {"Entropy": entropy, "BALD": entropy - members}
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
for ax, (name, batch) in zip(axes, batches.items(), strict=True):
    ax.contourf(grid[..., 0], grid[..., 1], shades[name].reshape(60, 90), levels=14, cmap="Greys", alpha=0.5)
    for code, marker in enumerate("o^"):
        ax.scatter(*overlap[y == code].T, s=14, marker=marker, color=f"C{code}")
    ax.scatter(*pool.T, s=3, color="0.6", linewidth=0)
    ax.scatter(*pool[batch].T, s=45, color="C4", edgecolor="white")
    ax.set(title=name, xlim=(-4.5, 6), ylim=(-3, 3))
plt.show()
