"""
A fusion of your own
====================

How modalities meet is a torch module: it gets each modality's embedding and returns logits. `LateFusionClassifier`
trains it beside the modalities' own heads, and strategies and contributions work on it.
"""

# %%
# **The idea**: beside both embeddings the fused head sees their products, so that it can learn what only a
# combination tells. Ten lines.

import matplotlib.pyplot as plt
import torch

from skmmal import LateFusionClassifier
from skmmal.datasets import make_multimodal_classification
from skmmal.heads import Fusion


class Products(Fusion):
    def __init__(self, widths, n_classes, generator=None):
        super().__init__(widths, n_classes, generator)
        n_inputs = sum(widths) + widths[0] * widths[1]
        self.weight = torch.nn.Parameter(torch.zeros(n_inputs, n_classes))
        self.bias = torch.nn.Parameter(torch.zeros(n_classes))

    def forward(self, embeddings):
        a, b = embeddings
        products = (a[:, :, None] * b[:, None, :]).flatten(1)
        return torch.cat([a, b, products], dim=1) @ self.weight + self.bias


# %%
# **Train it** on data in which only the combination tells (an exclusive or), and on data in which every modality
# does, so that there is nothing to gain.

models = {
    "concat": LateFusionClassifier(),
    "products": LateFusionClassifier(fusion=Products, learning_rate=0.01, max_iter=60, random_state=0),
}
scores = {}
for kind in ("synergy", "redundant"):
    X, y = make_multimodal_classification(
        900, {"a": 6, "b": 6}, interaction=kind, class_sep=4, random_state=0, return_X_y=True
    )
    for name, model in models.items():
        scores[kind, name] = model.fit(X[:300], y[:300]).score_by_modality(X[300:], y[300:])
        print(f"{kind:10s} {name:9s}", {head: round(score, 2) for head, score in scores[kind, name].items()})

# %%
# Where the label is an exclusive or, the modalities' own heads and every linear fusion are at chance, and the
# products know. Where each modality tells by itself, nothing is gained.

figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharey=True, layout="constrained")
for ax, kind in zip(axes, ("synergy", "redundant"), strict=True):
    own = scores[kind, "concat"]
    values = [own["a"], own["b"], own["fused"], scores[kind, "products"]["fused"]]
    bars = ax.bar(["a", "b", "concat", "products"], values, 0.65, color=["0.6", "0.6", "C0", "C2"])
    ax.bar_label(bars, fmt="%.2f", color="0.45", fontsize="small")
    ax.axhline(0.5, color="0.5", linestyle="--", linewidth=1)
    ax.set(title=kind, ylim=(0, 1.1))
axes[0].set_ylabel("test accuracy")
plt.show()
