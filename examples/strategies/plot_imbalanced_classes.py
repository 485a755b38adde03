"""
Rare classes
============

In a skewed pool random labels are mostly of the common classes. Some strategies find the rare ones; a class weight
makes the model listen to them.
"""

# %%
# Digits, of which four are made rare: 8 rows each in a pool of 632.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import balanced_accuracy_score

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_digits_views
from skmmal.query import get_strategy

X, y = load_digits_views(["fou", "kar"], return_X_y=True)
X = ModalityScaler().fit_transform(X)
rare = (2, 5, 7, 8)
names = ("random", "margin", "entropy", "galaxy", "badge", "uherding")
n_rare = {name: [] for name in names}
scores = {(name, weight): [] for name in names for weight in (None, "balanced")}
for seed in range(2):
    rng = np.random.default_rng(seed)
    by_class = [rng.permutation(np.flatnonzero(y == code)) for code in range(10)]
    pool = rng.permutation(np.concatenate([rows[: 8 if code in rare else 100] for code, rows in enumerate(by_class)]))
    test = np.concatenate([rows[100:] for rows in by_class])  # balanced
    first, left = pool[:30], pool[30:]
    for name in names:
        labeled, unlabeled = first, left
        for _ in range(2):
            model = LateFusionClassifier(C=0.1).fit(X[labeled], y[labeled], classes=range(10))
            strategy = get_strategy(name)
            if "random_state" in strategy.get_params():
                strategy.set_params(random_state=seed)
            batch = strategy.query(model, X[unlabeled], 35, X_labeled=X[labeled], y_labeled=y[labeled])
            labeled, unlabeled = np.concatenate([labeled, unlabeled[batch]]), np.delete(unlabeled, batch)
        n_rare[name].append(np.isin(y[labeled], rare).sum())
        for weight in (None, "balanced"):
            model = LateFusionClassifier(C=0.1, class_weight=weight).fit(X[labeled], y[labeled], classes=range(10))
            scores[name, weight].append(balanced_accuracy_score(y[test], model.predict(X[test])))
for name in names:
    plain, balanced = (np.mean(scores[name, weight]) for weight in (None, "balanced"))
    print(f"{name:10s} rare rows {np.mean(n_rare[name]):4.1f}   balanced accuracy {plain:.3f}, {balanced:.3f} weighted")

# %%
# Left: how many of the 32 rare rows were found. All strategies that ask the model find more than random: BADGE half
# as many again, the others more than twice as many. Right: accuracy on test rows in which all classes are equally
# frequent. Class weights add five to ten points to each. (Two draws of the pool.)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
at = np.arange(len(names))
left.barh(at, [np.mean(n_rare[name]) for name in names], 0.6, color=["0.6", *["C0"] * 5])
left.axvline(np.mean(n_rare["random"]), color="0.5", linestyle="--", linewidth=1)
left.set_yticks(at, names)
left.invert_yaxis()
left.set(xlabel="rare rows among 100 labels (of 32)", title="Found")
for offset, color, weight in ((-0.2, "0.6", None), (0.2, "C2", "balanced")):
    values = [np.mean(scores[name, weight]) for name in names]
    right.barh(at + offset, values, 0.38, color=color, label=f"class_weight={weight!r}")
right.set(xlabel="balanced test accuracy", xlim=(0.5, 0.9), title="Learned")
figure.legend(loc="outside lower right", ncols=2, fontsize="small")
plt.show()
