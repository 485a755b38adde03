"""
Can the probabilities be believed?
==================================

Strategies and stopping criteria read probabilities. A reliability diagram holds them against what comes true, for the
fused head and for each modality's own.
"""

# %%
# Emoji, 400 labels, heads of two strengths of regularization; 10 bins of equally many rows.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_emoji
from skmmal.preprocessing import PerModality

X, y = load_emoji(return_X_y=True)
X = PerModality(PCA(60, random_state=0)).fit_transform(ModalityScaler().fit_transform(X))
train, test = train_test_split(np.arange(len(y)), train_size=400, stratify=y, random_state=0)

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.2), sharex=True, sharey=True, layout="constrained")
for ax, C in zip(axes, (1.0, 0.01), strict=True):
    model = LateFusionClassifier(C=C).fit(X[train], y[train])
    heads = {"fused": model.predict_proba(X[test]), **model.predict_proba_by_modality(X[test])}
    for (name, probabilities), marker in zip(heads.items(), "os^", strict=True):
        confidence = probabilities.max(axis=1)
        right = model.classes_[probabilities.argmax(axis=1)] == y[test]
        true, claimed = calibration_curve(right, confidence, n_bins=10, strategy="quantile")
        ax.plot(claimed, true, marker=marker, label=name)
        print(f"C={C:<5g} {name:6s} claims {confidence.mean():.2f}, is right in {right.mean():.2f}")
    ax.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
    ax.set(title=f"C = {C:g}", xlabel="claimed probability of the predicted class")
axes[0].set_ylabel("how often it is right")
axes[0].legend()
plt.show()

# %%
# On the dashed line a head is right as often as it claims. With C = 1 all heads claim too much, the single modalities
# most. With C = 0.01 they claim too little. The fused head's accuracy is nearly the same, 0.82 and 0.80; what a
# strategy makes of its probabilities is not.
