"""
Robust against steps of ill will
================================

An adversary moves one modality's features a little, in the direction that hurts most (PGD). Does the other modality
hold the fused head up?
"""

# %%
# Emoji; a step's radius is in units of the root-mean-square length of the block's rows.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_emoji
from skmmal.preprocessing import PerModality
from skmmal.robustness import adversarial_curve, noise_curve

X, y = load_emoji(return_X_y=True)
X = PerModality(PCA(60, random_state=0)).fit_transform(ModalityScaler().fit_transform(X))
train, test = train_test_split(np.arange(len(y)), train_size=500, stratify=y, random_state=0)
model = LateFusionClassifier(C=0.1).fit(X[train], y[train])
levels = [0, 0.05, 0.1, 0.2, 0.3]
attacked = {
    name: adversarial_curve(model, X[test], y[test], modality=name, levels=levels, method="pgd")
    for name in ("image", "text")
}

# %%
# For comparison: Gaussian noise of the same length, drawn at random. It does next to nothing.

noisy = {
    name: noise_curve(model, X[test], y[test], modality=name, levels=levels, n_repeats=1, random_state=0)
    for name in ("image", "text")
}

# %%
# Each panel attacks one modality. Its own head falls first and furthest; the fused head, which also hears the other
# modality, falls more slowly; the other modality's head is not touched.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), sharey=True, layout="constrained")
for ax, (name, table) in zip(axes, attacked.items(), strict=True):
    curves = table.pivot(index="level", columns="head", values="accuracy")
    for head, marker in (("fused", "o"), ("image", "s"), ("text", "^")):
        ax.plot(curves.index, curves[head], marker=marker, label=head)
    noise = noisy[name].query("head == 'fused'")
    ax.plot(noise["level"], noise["accuracy"], color="0.6", linestyle=":", label="fused, random noise")
    ax.set(title=f"attack on the {name}", xlabel="radius ε")
    print(name, "attacked:", curves.loc[[0, 0.1, 0.3], ["fused", "image", "text"]].round(2).to_dict("index"))
axes[0].set_ylabel("test accuracy")
axes[0].legend()
plt.show()
