"""
Batches in a pool of near-copies
================================

Frames of one video, a product photographed twice, a crawled text: pools hold near-copies. A strategy that scores rows
one by one takes a copy together with its original, and pays twice. How many different things does a batch of 14 hold?
"""

# %%
# 14 originals lie between the classes, where a model is unsure, each with 9 near-copies; 600 other rows are clear
# cases.

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import get_strategy

rng = np.random.default_rng(0)
y = np.arange(600) % 4
centers = 3 * np.eye(4, 16)
clear = {name: centers[y] + 0.8 * rng.normal(size=(600, 16)) for name in ("image", "text")}
pairs = np.array([rng.choice(4, 2, replace=False) for _ in range(14)])
blocks = {}
for name in ("image", "text"):
    originals = centers[pairs].mean(axis=1) + 0.8 * rng.normal(size=(14, 16))
    copies = np.repeat(originals, 10, axis=0) + 0.02 * rng.normal(size=(140, 16))
    blocks[name] = np.concatenate([clear[name], copies])
X = MultimodalArray(blocks)
group = np.concatenate([np.full(600, -1), np.repeat(np.arange(14), 10)])
labeled, pool = np.arange(24), np.arange(24, len(group))
model = LateFusionClassifier().fit(X[labeled], y[labeled])

# %%
# A batch of 14 from each strategy: rows from clear cases, first rows of a group of copies, and repetitions.

found = {}
for name in ("entropy", "margin", "bald", "badge", "bmmal", "coreset", "clustermargin", "uherding", "mvopt", "random"):
    strategy = get_strategy(name)
    if "random_state" in strategy.get_params():
        strategy.set_params(random_state=0)
    batch = strategy.query(model, X[pool], 14, X_labeled=X[labeled], y_labeled=y[labeled])
    groups = group[pool[batch]]
    n_groups = len(set(groups[groups >= 0]))
    found[name] = {"groups": n_groups, "clear": int((groups < 0).sum())}
    found[name]["repetitions"] = 14 - n_groups - found[name]["clear"]
    print(f"{name:14s}", found[name])

# %%
# Scores alone (entropy, margin, BALD) pay for the same two things again and again. BADGE, BMMAL and CoreSet repeat
# nothing, but spend half of the batch or more on clear cases. UHerding and MVOPT take one of each of the fourteen.

figure, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
left = np.zeros(len(found))
for part, color, label in (
    ("groups", "C0", "different unsure things"),
    ("clear", "C5", "clear cases"),
    ("repetitions", "C4", "copies of what is in the batch"),
):
    width = np.array([counts[part] for counts in found.values()])
    bars = ax.barh(list(found), width, left=left, color=color, label=label)
    ax.bar_label(bars, [str(n) if n else "" for n in width], label_type="center", color="white", fontsize="small")
    left += width
ax.invert_yaxis()
ax.set(xlabel="rows of the batch", xlim=(0, 14), title="What 14 labels are spent on")
figure.legend(loc="outside lower center", ncols=3)
plt.show()
