"""
Strategies and rows that lack a modality
========================================

A model is less sure of a row that lacks a modality. A strategy that asks for what is unsure then asks for incomplete
rows more often than they come. How often depends on the strategy.
"""

# %%
# A generated pool of two modalities; text is missing from a quarter of the rows. 60 labels, a batch of 60, five
# draws.

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier
from skmmal.datasets import make_multimodal_classification
from skmmal.query import get_strategy

names = ("entropy", "margin", "bmmal", "badge", "uherding", "mvopt", "coreset", "random")
share = {name: [] for name in names}
in_pool = []
for seed in range(5):
    data = make_multimodal_classification(
        1000, {"image": 12, "text": 12}, n_classes=6, class_sep=4, missing={"text": 0.25}, random_state=seed
    )
    X, y, complete = data.data, data.target, data.present.all(axis=1)
    labeled, pool = np.arange(60), np.arange(60, 1000)
    model = LateFusionClassifier().fit(X[labeled], y[labeled])
    in_pool.append(1 - complete[pool].mean())
    for name in names:
        strategy = get_strategy(name)
        if "random_state" in strategy.get_params():
            strategy.set_params(random_state=seed)
        batch = strategy.query(model, X[pool], 60, X_labeled=X[labeled], y_labeled=y[labeled])
        share[name].append(1 - complete[pool[batch]].mean())
print(f"{'pool':10s} {np.mean(in_pool):.2f}")
for name in names:
    print(f"{name:10s} {np.mean(share[name]):.2f} ± {np.std(share[name], ddof=1):.2f}")

# %%
# The dashed line is the share of incomplete rows in the pool; dots are the five draws. Entropy asks for incomplete
# rows more than twice as often as they come, margin and UHerding one and a half times. BADGE, MVOPT and BMMAL stay
# near their share, CoreSet somewhat below it. On other data the numbers are others; measure on yours.

figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
for at, name in enumerate(names):
    color = "0.6" if name == "random" else "C0"
    ax.barh(at, np.mean(share[name]), 0.6, color=color, alpha=0.5)
    ax.scatter(share[name], at + np.linspace(-0.18, 0.18, 5), s=14, color=color, zorder=3)
ax.axvline(np.mean(in_pool), color="C4", linestyle="--", linewidth=1.2)
ax.set_yticks(range(len(names)), names)
ax.invert_yaxis()
ax.set(xlabel="share of the batch that lacks the text", title="Who asks for incomplete rows")
plt.show()
