"""
Balanced training
=================

Where encoders are trained, the modality that is learned quickest can leave the others behind: once the fused loss is
small, nothing pushes their encoders on. `balancing=` names a method against that; the curves show whether it is
needed.
"""

# %%
# An easy modality, in which each class is one cluster, and a hard one, in which each class is eight. The encoders
# learn from the fused loss alone (``unimodal_weight=0``): the setting in which modalities are left behind most.

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.diagnostics import linear_probe

rng = np.random.default_rng(0)
y = np.arange(1600) % 4
centers = rng.normal(size=(4, 20)) * 4 / np.sqrt(20)
clusters = rng.normal(size=(4, 8, 40))
X = MultimodalArray(
    {
        "easy": centers[y] + rng.normal(size=(len(y), 20)),
        "hard": clusters[y, rng.integers(0, 8, len(y))] + rng.normal(size=(len(y), 40)),
    }
)
train, test = np.arange(800), np.arange(800, 1600)
settings = {
    "fused loss only": {"unimodal_weight": 0.0},
    "with OPM": {"unimodal_weight": 0.0, "balancing": "opm"},
    "every head's loss (default)": {},
}
models, probes = {}, {}
for name, setting in settings.items():
    model = LateFusionClassifier(
        encoder_dim=64, solver="sgd", learning_rate=0.04, max_iter=30, random_state=0, **setting
    ).fit(X[train], y[train])
    models[name] = model
    probes[name] = linear_probe(model, X[train], y[train], X[test], y[test])
    fused = model.score(X[test], y[test])
    print(f"{name:28s} fused {fused:.3f}", {key: round(value, 3) for key, value in probes[name].items()})

# %%
# Left: the discrepancy ratio of the hard modality over the epochs: how much its part of the fused logits says of the
# true class, against the easy one's. It is behind in all three, and OPM brings it back. Right: how well a new linear
# classifier reads the classes from each encoder's output. Trained on the fused loss alone the hard modality's encoder
# is worst. OPM, which hides the easy modality from the fused head now and then, brings it up; so does training every
# modality's own head, which is the default. The fused accuracy hardly shows any of this: the easy modality carries
# it.

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
for name, model in models.items():
    left.plot(range(1, 31), model.discrepancy_["hard"], label=name)
left.axhline(1, color="0.6", linewidth=0.8, linestyle="-")
left.set(xlabel="epoch", ylabel="discrepancy ratio", title="The hard modality against the easy one")
left.legend(fontsize="small", loc="center right")
at = np.arange(2)
for offset, (name, scores) in zip((-0.27, 0, 0.27), probes.items(), strict=True):
    bars = right.bar(at + offset, list(scores.values()), 0.25, label=name)
    right.bar_label(bars, fmt="%.2f", fontsize="x-small", color="0.45")
right.set_xticks(at, ["easy", "hard"])
right.set(ylabel="accuracy of a linear probe", ylim=(0, 1.1), title="What the encoders have learned")
plt.show()
