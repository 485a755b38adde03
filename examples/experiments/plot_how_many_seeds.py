"""
How many seeds?
===============

Two strategies that are close differ more from seed to seed than from each other. How many seeds does it take until
the difference shows, or until one may say that there is none worth having?
"""

# %%
# Margin and BADGE against random on digits, one view and a logistic regression: 16 seeds of a quick experiment.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skmmal import run_experiment
from skmmal.datasets import load_digits_views

X, y = load_digits_views("zer", return_X_y=True)
X = StandardScaler().fit_transform(X["zer"])
rows = np.random.default_rng(0).permutation(len(y))
pool, test = rows[:600], rows[600:]
results = run_experiment(
    LogisticRegression(),
    ["margin", "badge", "random"],
    X[pool],
    y[pool],
    X_test=X[test],
    y_test=y[test],
    n_initial=20,
    n_instances=20,
    n_rounds=2,
    seeds=16,
)
means = results.frame.groupby(["strategy", "seed"])["accuracy"].mean().unstack("strategy")
ahead = 100 * means[["margin", "badge"]].sub(means["random"], axis=0)
for name in ahead:
    error = ahead[name].sem()
    lowest, highest = ahead[name].min(), ahead[name].max()
    print(f"{name}: {ahead[name].mean():+.1f} ± {error:.1f} points, single seeds {lowest:+.1f} to {highest:+.1f}")

# %%
# Dots: the difference in one seed. Line: the mean of the seeds so far; band: two standard errors. A single seed could
# have been reported as a loss of twelve points or a gain of six. After sixteen, zero is still within both bands: in
# the first two batches on these data neither is told apart from random. With two or three seeds the band itself is a
# matter of luck.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
for ax, (name, values) in zip(axes, ahead.items(), strict=True):
    n_seeds = np.arange(1, len(values) + 1)
    mean, error = values.expanding().mean().to_numpy(), values.expanding().sem().to_numpy()
    ax.scatter(n_seeds, values, s=14, color="0.6")
    ax.plot(n_seeds, mean, color="C0", linestyle="-")
    ax.fill_between(n_seeds, mean - 2 * error, mean + 2 * error, color="C0", alpha=0.2, linewidth=0)
    ax.axhline(0, color="0.5", linewidth=0.8, linestyle="-")
    ax.set(title=f"{name} against random", xlabel="seeds", ylim=(-13, 9))
axes[0].set_ylabel("points of mean accuracy")
plt.show()
