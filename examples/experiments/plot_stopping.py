"""
When to stop
============

Stopping criteria look at the rounds so far and give advice. In an experiment one can ask afterwards where each would
have ended, and what that would have cost.
"""

# %%
# Digits, one long run by margin.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from skmmal import LateFusionClassifier, ModalityScaler, run_experiment
from skmmal.datasets import load_digits_views
from skmmal.experiment import stopping_points

X, y = load_digits_views(["kar", "mor"], return_X_y=True)
X = ModalityScaler().fit_transform(X)
X_pool, X_test, y_pool, y_test = train_test_split(X, y, train_size=800, stratify=y, random_state=0)
estimator = LateFusionClassifier(C=0.1)
results = run_experiment(
    estimator,
    ["margin"],
    X_pool,
    y_pool,
    X_test=X_test,
    y_test=y_test,
    n_initial=20,
    n_instances=20,
    n_rounds=12,
    seeds=1,
)
criteria = [
    "budget=200",
    "target-accuracy=0.9",
    "patience",
    "performance-change",
    "stabilizing-predictions",
    "overall-uncertainty=0.2",
    "selected-accuracy",
]
points = stopping_points(results, criteria, estimator=estimator, X=X_pool, y=y_pool)
print(points[["criterion", "n_labeled", "accuracy", "saved"]].round(3).to_string(index=False))

# %%
# Where each would have stopped, on a curve that is flat from about 180 labels on. Budget and target accuracy need a
# decision of yours; target accuracy, patience and performance change need labeled rows to measure on; selected
# accuracy looks at the labels of the last batch, and the other two at predictions alone.

curve = results.frame
figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
ax.plot(curve["n_labeled"], curve["accuracy"], color="0.5", linestyle="-")
stops = points.dropna(subset="n_labeled").sort_values("n_labeled")
low = curve["accuracy"].min()
for at, (_, stop) in enumerate(stops.iterrows()):
    level = low + (0.03 + 0.115 * at) * (curve["accuracy"].max() - low)
    ax.plot([stop["n_labeled"]] * 2, [level, stop["accuracy"]], color=f"C{at}", linestyle="-", linewidth=1)
    ax.plot(stop["n_labeled"], stop["accuracy"], marker="o", color=f"C{at}")
    ax.annotate(f" {stop['criterion']}", (stop["n_labeled"], level), color=f"C{at}", fontsize="small", va="center")
ax.set(xlabel="labels", ylabel="test accuracy", xlim=(0, np.max(curve["n_labeled"]) + 70), title="Advice to stop")
plt.show()
