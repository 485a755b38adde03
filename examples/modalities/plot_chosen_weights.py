"""
How much should each modality count?
====================================

In front of the fused head each modality may stand with a factor. The right one is not known before there are labels:
`LateFusionClassifierCV` chooses it, and C, by cross-validation on the labeled rows.
"""

# %%
# Digits as Karhunen-Loève coefficients, and beside them a block of 512 columns that says nothing. First by hand: 200
# labels, three draws of them, and one factor after another in front of the noise.

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier, LateFusionClassifierCV, ModalityScaler, MultimodalArray
from skmmal.datasets import load_digits_views

digits, y = load_digits_views("kar", return_X_y=True)
noise = np.random.default_rng(0).normal(size=(len(y), 512))
X = ModalityScaler().fit_transform(MultimodalArray({"digits": digits["kar"], "noise": noise}))

factors = [0.03, 0.1, 0.3, 0.6, 1.0, 1.5]
seeds = range(3)
fused = np.zeros((len(seeds), len(factors)))
chosen = []
for seed in seeds:
    rows = np.random.default_rng(seed).permutation(len(y))
    train, test = rows[:200], rows[200:]
    for at, factor in enumerate(factors):
        clf = LateFusionClassifier(modality_weights={"noise": factor})
        fused[seed, at] = clf.fit(X[train], y[train]).score(X[test], y[test])
    cv = LateFusionClassifierCV(random_state=0).fit(X[train], y[train])
    chosen.append((cv.modality_weights_, cv.C_, cv.score(X[test], y[test])))

print("by hand:", dict(zip(factors, fused.mean(axis=0).round(3).tolist(), strict=True)))
for weights, C, score in chosen:
    print({name: round(float(weight), 3) for name, weight in weights.items()}, f"C={C:g}", f"accuracy {score:.3f}")

# %%
# The factor matters where it is large: at one, where all blocks count alike, the noise costs more than a point, and
# half as much again costs four. What cross-validation chose (triangles) is as good as the best factor by hand, and it
# saw no test row. It leaves the factors at one unless the labeled rows say otherwise by more than a standard error:
# with few labels, or blocks that are all good, it is mostly the plain classifier.

figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.errorbar(
    factors, fused.mean(axis=0), fused.std(axis=0, ddof=1) / np.sqrt(len(seeds)), marker="o", label="by hand, C=1"
)
ax.plot(
    [weights["noise"] for weights, _, _ in chosen], [score for _, _, score in chosen], "^", color="C1", markersize=9,
    label="chosen, one for each draw",
)  # fmt: skip
ax.axvline(1, color="0.5", linestyle=":", linewidth=1, label="all blocks alike")
ax.set(xscale="log", xlabel="factor of the noise", ylabel="test accuracy", title="200 labels, and a block of noise")
ax.legend(loc="lower left")
plt.show()
