"""
Coming from modAL
=================

`ActiveLearner` has modAL's surface: the same names, and any function ``f(learner, X_pool, ...)`` as a strategy. One
modality and a scikit-learn classifier will do.
"""

# %%
# The classic: iris, a classifier of scikit-learn's, a strategy written as a function.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from skmmal import ActiveLearner

X, y = load_iris(return_X_y=True)


def least_sure(learner, X_pool, n_instances=1):
    confidence = learner.predict_proba(X_pool).max(axis=1)
    return np.argsort(confidence)[:n_instances]


first = np.array([0, 50, 100])  # one of each species
learner = ActiveLearner(
    estimator=LogisticRegression(C=10, max_iter=1000),
    query_strategy=least_sure,
    X_training=X[first],
    y_training=y[first],
)
pool = np.delete(np.arange(len(y)), first)

# %%
# The loop is modAL's, word for word.

before, scores = learner.predict(X), [learner.score(X, y)]
asked = []
for _ in range(15):
    query_idx, query_inst = learner.query(X[pool])
    learner.teach(query_inst, y[pool[query_idx]])
    asked.append(pool[query_idx[0]])
    pool = np.delete(pool, query_idx)
    scores.append(learner.score(X, y))
print(f"accuracy with 3 labels {scores[0]:.2f}, with {len(learner.y_training)} labels {scores[-1]:.2f}")

# %%
# Left: iris in two principal components; triangles are the three first labels, numbers the rows asked for, in order,
# and crosses what the model of three labels had wrong. Right: the accuracy after each answer.

points = PCA(2).fit_transform(X)
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
for code, color in enumerate(("C0", "C1", "C2")):
    left.scatter(*points[y == code].T, s=14, color=color, alpha=0.6)
left.scatter(*points[before != y].T, s=30, marker="x", color="0.5", linewidth=0.8)
left.scatter(*points[first].T, s=70, marker="^", color="0.35")
for rank, row in enumerate(asked, start=1):
    left.annotate(str(rank), points[row], xytext=(4, 4), textcoords="offset points", color="C4", weight="bold")
left.set(title="What was asked", xticks=[], yticks=[])
right.plot(range(3, 3 + len(scores)), scores, marker="o", color="C0")
right.set(xlabel="labels", ylabel="accuracy on all of iris", title="What it brought")
plt.show()
