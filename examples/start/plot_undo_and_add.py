"""
Labels one by one, and a label taken back
=========================================

Annotation is not a benchmark: labels come in one at a time, and some are slips of the mouse. `add` puts rows in
without a fit, `fit` without rows fits on all that are held, `undo` takes the last lesson back, data and model.
"""

# %%
# A learner that holds 60 good labels.

import matplotlib.pyplot as plt
import numpy as np

from skmmal import ActiveLearner, LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_digits_views
from skmmal.query import MarginSampling

X, y = load_digits_views(["kar", "zer"], return_X_y=True)
X = ModalityScaler().fit_transform(X)
order = np.random.default_rng(0).permutation(len(y))
X, y = X[order], y[order]
X_test, y_test = X[1000:], y[1000:]
learner = ActiveLearner(LateFusionClassifier(), MarginSampling(), X[:60], y[:60], classes=range(10))
steps, scores = ["60 labels"], [learner.score(X_test, y_test)]

# %%
# **One by one**: 40 labels come in, and no fit happens in between; one at the end.

for row in range(60, 100):
    learner.add(X[[row]], y[[row]])
learner.fit()
steps.append("40 added")
scores.append(learner.score(X_test, y_test))

# %%
# **A file that was shifted by one line**: 100 wrong labels are taught. The model pays for it. `undo` takes them back.

before = learner.predict_proba(X_test)
learner.teach(X[100:200], np.roll(y[100:200], 1))
steps.append("100 wrong\nlabels taught")
scores.append(learner.score(X_test, y_test))
learner.undo()
steps.append("undone")
scores.append(learner.score(X_test, y_test))
print("labels held:", len(learner.y_training))
print("probabilities as before:", np.array_equal(before, learner.predict_proba(X_test)))

# %%
# **The right file.**

learner.teach(X[100:200], y[100:200])
steps.append("100 right\nlabels taught")
scores.append(learner.score(X_test, y_test))

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
bars = ax.bar(steps, scores, 0.6, color=["C0", "C0", "C4", "C0", "C2"])
ax.bar_label(bars, fmt="%.3f", color="0.45")
ax.set(ylabel="accuracy on 1,000 other digits", ylim=(0, 1), title="A bad lesson, and back")
plt.show()
