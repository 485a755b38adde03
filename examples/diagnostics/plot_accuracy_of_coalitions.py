"""
What each modality is worth
===========================

The accuracy with all modalities, split among them: each modality's Shapley value is what it adds to the accuracy,
averaged over the orders in which modalities can come.
"""

# %%
# Digits in three views: the accuracy of every coalition, made by leaving the other modalities out.

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_digits_views
from skmmal.diagnostics import accuracy_shapley, shapley_imbalance

X, y = load_digits_views(["fou", "zer", "mor"], return_X_y=True)
X = ModalityScaler().fit_transform(X)
rows = np.random.default_rng(0).permutation(len(y))
train, test = rows[:400], rows[400:]
model = LateFusionClassifier(C=0.1).fit(X[train], y[train])

names = list(X.modalities)
coalitions = [part for size in (1, 2, 3) for part in combinations(names, size)]
accuracy = {
    part: (model.classes_[model.predict_proba_with(X[test], list(part)).argmax(axis=1)] == y[test]).mean()
    for part in coalitions
}
for part, value in accuracy.items():
    print(f"{' + '.join(part):16s} {value:.3f}")

# %%
# The values sum to what the modalities add together.

values = accuracy_shapley(model, X[test], y[test])
print({name: round(value, 3) for name, value in values.items()}, "imbalance", round(shapley_imbalance(values), 3))

# %%
# Left: every coalition. Right: the Shapley values, stacked from the accuracy of no modality up to that of all.

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained", width_ratios=[3, 2])
bars = left.barh([" + ".join(part) for part in coalitions], list(accuracy.values()), color="C0")
left.bar_label(bars, fmt="%.2f", color="0.45", padding=2)
left.invert_yaxis()
left.set(xlabel="test accuracy", xlim=(0, 1), title="Coalitions")
bottom = accuracy[tuple(names)] - sum(values.values())
right.bar("nothing", bottom, color="0.6")
for at, (name, value) in enumerate(values.items(), start=1):
    right.bar(name, value, bottom=bottom, color=f"C{at}")
    right.text(at, bottom + value / 2, f"{value:.2f}", ha="center", va="center", color="white")
    bottom += value
right.bar("all", bottom, color="C0")
right.set(ylim=(0, 1), title="Their shares")
plt.show()
