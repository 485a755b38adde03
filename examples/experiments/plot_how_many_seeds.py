"""
How many seeds?
===============

Two strategies that are close differ more from seed to seed than from each other. How many seeds does it take until the
difference shows, or until one may say that there is none worth having?
"""

# %%
# Margin and BADGE against random on generated data: 16 seeds of a quick experiment.

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LateFusionClassifier, run_experiment
from skmmal.datasets import make_multimodal_classification

X, y = make_multimodal_classification(
    1200, {"image": 10, "text": 10}, n_classes=6, class_sep=3.0, random_state=0, return_X_y=True
)
results = run_experiment(
    LateFusionClassifier(C=0.1, tol=1e-4),
    ["margin", "badge", "random"],
    X[:600],
    y[:600],
    X_test=X[600:],
    y_test=y[600:],
    n_initial=20,
    n_instances=20,
    n_rounds=2,
    seeds=16,
)
means = results.frame.groupby(["strategy", "seed"])["accuracy"].mean().unstack("strategy")
ahead = 100 * means[["margin", "badge"]].sub(means["random"], axis=0)
for name in ahead:
    error = ahead[name].sem()
    print(f"{name}: {ahead[name].mean():+.1f} ± {error:.1f} points against random; single seeds {ahead[name].min():+.1f} to "
          f"{ahead[name].max():+.1f}")

# %%
# Dots: the difference in one seed. Line: the mean of the seeds so far; band: two standard errors.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
for ax, (name, values) in zip(axes, ahead.items(), strict=True):
    n_seeds = np.arange(1, len(values) + 1)
    mean, error = values.expanding().mean().to_numpy(), values.expanding().sem().to_numpy()
    ax.scatter(n_seeds, values, s=14, color="0.6")
    ax.plot(n_seeds, mean, color="C0", linestyle="-")
    ax.fill_between(n_seeds, mean - 2 * error, mean + 2 * error, color="C0", alpha=0.2, linewidth=0)
    ax.axhline(0, color="0.5", linewidth=0.8, linestyle="-")
    ax.set(title=f"{name} against random", xlabel="seeds", ylim=(-8, 10))
axes[0].set_ylabel("points of mean accuracy")
plt.show()
