"""
See what was chosen
===================

Numbers say how much a strategy gains; pictures say what it asks for. Here the rows are pictures: digits, of which the
model sees pixels and Zernike moments.
"""

# %%
# A short experiment with margin; the results hold which rows were chosen, round by round.

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier, ModalityScaler, run_experiment
from skmmal.datasets import load_digits_views
from skmmal.display import SelectionGridDisplay

raw, y = load_digits_views(["pix", "zer"], return_X_y=True)
X = ModalityScaler().fit_transform(raw)
rows = np.random.default_rng(0).permutation(len(y))
pool, test = rows[:800], rows[800:]
results = run_experiment(
    LateFusionClassifier(C=0.1),
    ["margin", "random"],
    X[pool],
    y[pool],
    X_test=X[test],
    y_test=y[test],
    n_initial=20,
    n_instances=12,
    n_rounds=4,
    seeds=[0],
)
ink = 1 - raw["pix"][pool].reshape(-1, 16, 15, 1) / 6
pictures = np.repeat(ink, 3, axis=3)  # gray, as red, green and blue
for name in results.strategies:
    frame = results.frame[results.frame["strategy"] == name]
    asked = results.selected.query("strategy == @name and round > 0")["row"]
    print(
        f"{name:8s}", frame["accuracy"].round(3).tolist(), "of each digit:", np.bincount(y[pool][asked], minlength=10)
    )

# %%
# What margin asked for, in the order of its doubt: not one zero, and digits that are blurred, slanted or cut.

SelectionGridDisplay.from_results(results, pictures, "margin", n_rounds=4)

# %%
# What random asked for: a sample of all digits as they come.

SelectionGridDisplay.from_results(results, pictures, "random", n_rounds=4)
plt.show()
