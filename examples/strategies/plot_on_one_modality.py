"""
Listen to one modality, or to all
=================================

Every strategy listens to the fused head. With `on=` it listens to one modality's own head, or to all of them. Which
rows are asked for then?
"""

# %%
# Digits in two views; the margin between the two most probable classes, by the head of each view.

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_digits_views
from skmmal.query import MarginSampling

X, y = load_digits_views(["fou", "kar"], return_X_y=True)
X = ModalityScaler().fit_transform(X)
rows = np.random.default_rng(0).permutation(len(y))
labeled, pool = rows[:150], rows[150:]
model = LateFusionClassifier().fit(X[labeled], y[labeled])


def margins(probabilities):
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    return first - second


of_head = {name: margins(p) for name, p in model.predict_proba_by_modality(X[pool]).items()}
batches = {on: MarginSampling(on=on).query(model, X[pool], 40) for on in ("fused", "fou", "kar", "all")}
for on, batch in batches.items():
    print(f"on={on:6s}", {name: round(float(of_head[name][batch].mean()), 2) for name in ("fou", "kar")})

# %%
# Each dot is a row: left is where the Fourier view is unsure, below is where the Karhunen-Loève view is. Listening to
# one view takes rows of any margin in the other. `all` takes those that the heads doubt on average, near the corner.
# The fused head also asks for rows of which one view alone is sure.

figure, axes = plt.subplots(1, 4, figsize=(12, 3.5), sharex=True, sharey=True, layout="constrained")
for ax, (on, batch) in zip(axes, batches.items(), strict=True):
    ax.scatter(of_head["fou"], of_head["kar"], s=4, color="0.7", linewidth=0)
    ax.scatter(of_head["fou"][batch], of_head["kar"][batch], s=22, color="C4", edgecolor="white", linewidth=0.5)
    ax.set(title=f"on={on!r}", xlabel="margin of fou")
axes[0].set_ylabel("margin of kar")
plt.show()
