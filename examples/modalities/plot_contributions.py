"""
Who said it? Contributions of the modalities
============================================

The share of each modality in a prediction is its Shapley value: what it adds to the probability of the predicted
class, averaged over the orders in which modalities can come. It is exact, and it is there for every row.
"""

# %%
# Emoji as pictures and names. 500 labels; contributions of the other rows.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_emoji

emoji = load_emoji()
X, y = ModalityScaler().fit_transform(emoji.data), emoji.target
train, test = train_test_split(np.arange(len(y)), train_size=500, stratify=y, random_state=0)
model = LateFusionClassifier().fit(X[train], y[train])
shares = model.modality_contributions(X[test])  # of the predicted class; two columns that sum to one
print("mean share of image and text:", shares.mean(axis=0).round(2))

# %%
# **Rows that one modality decides, and rows that both do.** The names of a few.

by_image = np.argsort(-shares[:, 0])
for title, rows in (
    ("image", by_image[:4]),
    ("both", np.argsort(np.abs(shares[:, 0] - 0.5))[:4]),
    ("text", by_image[-4:]),
):
    print(f"{title:6s}", "; ".join(emoji.names[test[rows]]))

# %%
# **By class.** Each dot is an emoji, the bar the median of its class. Food and activities are read from their names,
# people, objects and symbols from picture and name alike; every class has rows on either side. BMMAL makes use of
# this: a modality that trails in a row weighs less there, the more the other dominates.

order = np.argsort([np.median(shares[y[test] == code, 0]) for code in range(8)])
figure, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
rng = np.random.default_rng(0)
for at, code in enumerate(order):
    values = shares[y[test] == code, 0]
    ax.scatter(values, at + rng.uniform(-0.3, 0.3, len(values)), s=6, color="C0", alpha=0.4, linewidth=0)
    ax.plot([np.median(values)] * 2, [at - 0.38, at + 0.38], color="C4", linestyle="-", linewidth=2.5)
    print(f"{emoji.target_names[code]:20s} median share of the image {np.median(values):.2f}")
ax.axvline(0.5, color="0.6", linestyle="--", linewidth=1)
ax.set_yticks(range(8), emoji.target_names[order])
ax.set(xlim=(0, 1), xlabel="text decides  ←  share of the image  →  image decides", title="Contributions, row by row")
plt.show()
