"""
Scale your blocks
=================

Features of different backbones come in different units. A block of large numbers drowns the others, in the model and
in every strategy that measures distances. `ModalityScaler` gives each block the same size; it needs no labels.
"""

# %%
# Emoji as pictures and as names. As they come, the image block is several times as long as the text block.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_emoji

X, y = load_emoji(return_X_y=True)
scaled = ModalityScaler().fit_transform(X)
for name in X.modalities:
    raw, after = (np.linalg.norm(block[name], axis=1).mean() for block in (X, scaled))
    print(f"{name}: mean length of a row {raw:.1f} as it comes, {after:.1f} scaled")

# %%
# The same 300 labels, the same model, twice.

train, test = train_test_split(np.arange(len(y)), train_size=300, stratify=y, random_state=0)
accuracy, share = {}, {}
for title, data in (("as they come", X), ("scaled", scaled)):
    model = LateFusionClassifier().fit(data[train], y[train])
    accuracy[title] = model.score_by_modality(data[test], y[test])
    shares = model.modality_contributions(data[test], y[test]).mean(axis=0)
    share[title] = dict(zip(data.modalities, shares, strict=True))
    print(title, {head: round(score, 3) for head, score in accuracy[title].items()})

# %%
# Left: scaled, the fused head gains many points, and is better than either modality alone. Unscaled it is hardly
# better than the image alone, for it hardly sees the text: right, the share of each modality in the probability of
# the true class.

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", width_ratios=[3, 2])
at = np.arange(3)
for offset, color, (title, scores) in zip((-0.2, 0.2), ("0.6", "C0"), accuracy.items(), strict=True):
    bars = left.bar(at + offset, [scores[head] for head in ("image", "text", "fused")], 0.38, color=color, label=title)
    left.bar_label(bars, fmt="%.2f", fontsize="small", color="0.45")
left.set_xticks(at, ["image", "text", "fused"])
left.set(ylabel="test accuracy", ylim=(0, 1), title="Accuracy of each head")
left.legend(loc="upper left", ncols=2)
bottom = np.zeros(2)
for color, name in (("C1", "image"), ("C2", "text")):
    values = np.array([share[title][name] for title in share])
    right.bar(list(share), values, 0.6, bottom=bottom, color=color, label=name)
    bottom += values
right.set(ylabel="mean contribution", ylim=(0, 1.25), title="What the fused head uses")
right.legend(loc="upper left", ncols=2)
plt.show()
