"""
How modalities can go together
==============================

Do all modalities say the same, does one of them know alone, or does only their combination tell?
`make_multimodal_classification` makes data of each kind, with answers that can be worked out.
"""

# %%
# Two classes, two modalities. A linear fused head beside one that may multiply modalities (a gated unit on encoders).

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier
from skmmal.datasets import make_multimodal_classification

kinds = ("redundant", "unique", "synergy", "mixed")
models = {
    "linear": LateFusionClassifier(),
    "encoders and gate": LateFusionClassifier(
        fusion="gated", encoder_dim=32, learning_rate=0.01, weight_decay=0.1, max_iter=25, random_state=0
    ),
}
data, scores = {}, {}
for kind in kinds:
    data[kind] = make_multimodal_classification(1000, {"a": 6, "b": 6}, interaction=kind, random_state=0)
    X, y = data[kind].data, data[kind].target
    for name, model in models.items():
        scores[kind, name] = model.fit(X[:500], y[:500]).score_by_modality(X[500:], y[500:])
    print(f"{kind:10s}", {name: round(scores[kind, name]["fused"], 2) for name in models})

# %%
# Top: the latent factor of modality a against that of b, marked by class. Redundant: either axis is enough. Unique:
# only a tells. Synergy: an exclusive or; no line separates it. In mixed data each row is one of the three kinds
# (drawn are those whose label is in the shared part).
#
# Bottom: what linear heads reach, and the gate. In synergy each modality is at chance, and no linear model gets far
# from it. No strategy can choose labels that mend that: the model has to fit the data.

figure, axes = plt.subplots(2, 4, figsize=(11, 5.6), layout="constrained", height_ratios=[1.2, 1])
for column, kind in enumerate(kinds):
    y, latents = data[kind].target, data[kind].latents
    top, bottom = axes[:, column]
    shown = slice(None)
    if kind == "mixed":
        shown = latents.symbols["shared"][:, 0] >= 0
    a, b = (latents.factors[name][shown, 0] for name in "ab")
    jitter = np.random.default_rng(0).normal(scale=0.3, size=(2, len(a)))
    for code, (color, marker) in enumerate((("C0", "o"), ("C1", "^"))):
        rows = y[shown] == code
        top.scatter(a[rows] + jitter[0, rows], b[rows] + jitter[1, rows], s=5, color=color, marker=marker, alpha=0.5)
    top.set(title=kind, xlabel="factor of a", xticks=[], yticks=[])
    heads = ("a", "b", "fused")
    values = [scores[kind, "linear"][head] for head in heads] + [scores[kind, "encoders and gate"]["fused"]]
    bars = bottom.bar(["a", "b", "linear", "gated"], values, 0.65, color=["0.6", "0.6", "C0", "C2"])
    bottom.bar_label(bars, fmt="%.2f", fontsize="small", color="0.45")
    bottom.axhline(0.5, color="0.6", linestyle="--", linewidth=1)
    bottom.set_ylim(0, 1.15)
axes[0, 0].set_ylabel("factor of b")
axes[1, 0].set_ylabel("test accuracy")
plt.show()
