"""
What is lost when a modality goes missing
=========================================

A model that was trained on complete rows meets rows that are not. `RobustnessDisplay` takes each modality away from a
growing share of the test rows, and all of them.
"""

# %%
# Emoji, 500 complete labels.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_emoji
from skmmal.display import RobustnessDisplay
from skmmal.robustness import missing_curve

X, y = load_emoji(return_X_y=True)
X = ModalityScaler().fit_transform(X)
train, test = train_test_split(np.arange(len(y)), train_size=500, stratify=y, random_state=0)
model = LateFusionClassifier().fit(X[train], y[train])
table = missing_curve(model, X[test], y[test], rates=[0, 0.25, 0.5, 0.75, 1], random_state=0)
fused = table[table["head"] == "fused"].pivot_table(index="modality", columns="level", values="accuracy")
print(fused.round(2))

# %%
# Without any text the fused head is left with the picture and falls to 0.64, further than without any picture. There
# the picture's own head is better, 0.72: it was fitted to do without. A modality's own head is measured on the rows
# that have the modality, so its line is level but for chance, and ends where no row has it.

RobustnessDisplay.from_table(table)
plt.show()
