"""
The first loop
==============

A classifier, a strategy, and a pool of rows without labels: ask for a batch, label it, teach it, ask again.

The data are handwritten digits seen in two ways (Fourier coefficients and Zernike moments): two modalities, as image
and text would be.
"""

# %%
# **A pool, and rows to measure on.** `ModalityScaler` puts the blocks on one scale; it needs no labels.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from skmmal import ActiveLearner, LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_digits_views
from skmmal.query import get_strategy

X, y = load_digits_views(["fou", "zer"], return_X_y=True)
X = ModalityScaler().fit_transform(X)
X_pool, X_test, y_pool, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
print(X_pool)

# %%
# **The loop.** `query` returns row numbers and the rows; `teach` adds them with their labels and fits again. Here the
# labels are known and stand for the person who labels.


def learn(name, n_rounds=6, n_instances=20, random_state=0):
    first = np.random.RandomState(random_state).choice(len(y_pool), 20, replace=False)
    learner = ActiveLearner(
        LateFusionClassifier(),
        get_strategy(name, random_state=random_state),
        X_pool[first],
        y_pool[first],
        classes=range(10),
    )
    left = np.setdiff1d(np.arange(len(y_pool)), first)
    scores = [learner.estimator.score_by_modality(X_test, y_test)]
    for _ in range(n_rounds):
        rows, instances = learner.query(X_pool[left], n_instances=n_instances)
        learner.teach(instances, y_pool[left[rows]])
        left = np.delete(left, rows)
        scores.append(learner.estimator.score_by_modality(X_test, y_test))
    return {head: [score[head] for score in scores] for head in scores[0]}


curves = {name: learn(name) for name in ("bmmal", "random")}
for name, by_head in curves.items():
    print(f"{name}: {by_head['fused'][0]:.3f} with 20 labels, {by_head['fused'][-1]:.3f} with 140")

# %%
# **What it learned.** Both thick lines start from the same 20 random labels. After the first batch random is ahead,
# from the second on BMMAL is. The dotted lines are the two modalities' own heads: either alone ends below both
# together.
#
# This is one start. Strategies that are close can only be told apart over several: see
# :ref:`sphx_glr_auto_examples_experiments_plot_learning_curves.py`.

n_labels = np.arange(20, 141, 20)
figure, ax = plt.subplots(layout="constrained")
ax.plot(
    n_labels, curves["random"]["fused"], color="0.55", linestyle="-", linewidth=2.5, label="random, both modalities"
)
ax.plot(n_labels, curves["bmmal"]["fused"], color="C0", linestyle="-", marker="o", label="BMMAL, both")
for color, modality in (("C1", "fou"), ("C2", "zer")):
    ax.plot(n_labels, curves["bmmal"][modality], color=color, linestyle=":", label=f"BMMAL, {modality} alone")
ax.set(xlabel="labels", ylabel="test accuracy", title="Digits in two modalities")
ax.legend()
plt.show()
