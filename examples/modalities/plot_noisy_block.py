"""
A block of noise beside a good one
==================================

More modalities are not always better. A wide block that says nothing gives a model many ways to fit 100 labels by
chance. Each modality's own head is there to tell: look whether the fused head is behind one of them.
"""

# %%
# Digits as Karhunen-Loève coefficients, and beside them a block of pure noise that grows. Two strengths of
# regularization (a small C is a strong one). 100 labels, three draws of them.

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.datasets import load_digits_views

digits, y = load_digits_views("kar", return_X_y=True)
digits = ModalityScaler().fit_transform(digits)["kar"]
noise = np.random.default_rng(0).normal(size=(len(y), 512)) * 8 / np.sqrt(512)  # rows as long as those of the digits
widths = [8, 32, 128, 512]
seeds = range(3)
fused = {C: np.zeros((len(widths), len(seeds))) for C in (1.0, 0.01)}
alone = {C: np.zeros(len(seeds)) for C in fused}
for seed in seeds:
    rows = np.random.default_rng(seed).permutation(len(y))
    train, test = rows[:100], rows[100:]
    for at, width in enumerate(widths):
        scale = np.sqrt(512 / width)
        X = MultimodalArray({"digits": digits, "noise": noise[:, :width] * scale})
        for C in fused:
            scores = LateFusionClassifier(C=C).fit(X[train], y[train]).score_by_modality(X[test], y[test])
            fused[C][at, seed] = scores["fused"]
            alone[C][seed] = scores["digits"]
for C in fused:
    print(f"C={C}: fused {fused[C].mean(axis=1).round(3)}, the digits alone {alone[C].mean():.3f}")

# %%
# The dashed lines are the digits' own heads. The fused head is behind them wherever the block of noise is, by three
# to nine points at C = 1, and a stronger regularization does not mend it. Leave such a block out, or weigh it down:
# multiplied by a tenth before the fit (dotted) it does no harm. How such a factor is found:
# :ref:`sphx_glr_auto_examples_modalities_plot_chosen_weights.py`.

tenth = np.zeros((len(widths), len(seeds)))
for seed in seeds:
    rows = np.random.default_rng(seed).permutation(len(y))
    train, test = rows[:100], rows[100:]
    for at, width in enumerate(widths):
        X = MultimodalArray({"digits": digits, "noise": 0.1 * noise[:, :width] * np.sqrt(512 / width)})
        tenth[at, seed] = LateFusionClassifier().fit(X[train], y[train]).score(X[test], y[test])
print("weighed down, C=1.0: fused", tenth.mean(axis=1).round(3))

figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for color, marker, C in (("C0", "o", 1.0), ("C4", "s", 0.01)):
    ax.plot(widths, fused[C].mean(axis=1), marker=marker, color=color, linestyle="-", label=f"fused, C={C:g}")
    ax.axhline(alone[C].mean(), color=color, linestyle="--", linewidth=1, label=f"digits alone, C={C:g}")
ax.plot(widths, tenth.mean(axis=1), marker="^", color="C2", linestyle=":", label="fused, noise × 0.1, C=1")
ax.set(xscale="log", xlabel="columns of noise", ylabel="test accuracy", title="100 labels and a block of noise")
ax.set_xticks(widths, widths)
ax.minorticks_off()
figure.legend(loc="outside right upper", fontsize="small")
plt.show()
