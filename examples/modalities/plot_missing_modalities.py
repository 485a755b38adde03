"""
A model for rows that lack a modality
=====================================

A missing modality is a block of NaN. Every fusion takes it; not every fusion takes it well. Concatenation sees zeros;
a gate that has learned to do without (`modality_dropout`) loses less.
"""

# %%
# Digits in three views; a growing share of blocks goes missing, in training and in test rows alike.

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.datasets import load_digits_views

X, y = load_digits_views(["fou", "kar", "zer"], return_X_y=True)
X = ModalityScaler().fit_transform(X)
rng = np.random.default_rng(0)
draws = rng.random((len(y), 3))
kept = rng.integers(0, 3, len(y))  # every row keeps one modality at least
rows = rng.permutation(len(y))
train, test = rows[:300], rows[300:]


def without(rate):
    lost = draws < rate
    lost[np.arange(len(y)), kept] = False
    return MultimodalArray({name: np.where(lost[:, [m]], np.nan, X[name]) for m, name in enumerate(X.modalities)})


models = {
    "concat": LateFusionClassifier(),
    "gated": LateFusionClassifier(fusion="gated", max_iter=30, learning_rate=0.005, random_state=0),
    "gated, modality dropout": LateFusionClassifier(
        fusion="gated", modality_dropout=0.2, max_iter=30, learning_rate=0.005, random_state=0
    ),
}
rates = [0.0, 0.3, 0.6]
accuracy = {name: [] for name in models}
for rate in rates:
    data = without(rate)
    for name, model in models.items():
        accuracy[name].append(model.fit(data[train], y[train]).score(data[test], y[test]))
for name, values in accuracy.items():
    print(f"{name:24s}", np.round(values, 3))

# %%
# On complete rows all three are level, and concatenation is much the fastest. The more is missing, the further it
# falls behind the gate that was trained with modalities dropped. The gate alone gains hardly anything.

figure, ax = plt.subplots(layout="constrained")
for name, marker in zip(models, "os^", strict=True):
    ax.plot(rates, accuracy[name], marker=marker, label=name)
ax.set(xlabel="share of blocks that are missing (each row keeps one)", ylabel="test accuracy")
ax.set(title="Digits in three views, 300 labels", xticks=rates)
ax.legend()
plt.show()
