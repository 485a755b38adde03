"""
Someone else's probabilities
============================

The model need not be ours: fine-tuned in another framework, or behind an interface that returns probabilities.
`Reading.from_arrays` takes what it says, and every strategy works on that.
"""

# %%
# The stand-in for such a model: a random forest on all columns. All we keep of it are its probabilities, and features
# for those strategies that measure distances.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from skmmal import ModalityScaler
from skmmal.datasets import load_digits_views
from skmmal.query import BADGE, CoreSet, MarginSampling, RandomSampling
from skmmal.reading import Reading

X, y = load_digits_views(["zer", "mor"], return_X_y=True)
X = ModalityScaler().fit_transform(X)
flat = np.concatenate([X["zer"], X["mor"]], axis=1)
rows = np.random.default_rng(0).permutation(len(y))
labeled, pool, test = rows[:80], rows[80:1000], rows[1000:]


def forest(rows):
    return RandomForestClassifier(n_estimators=60, random_state=0).fit(flat[rows], y[rows])


theirs = forest(labeled)
probabilities = theirs.predict_proba(flat[pool])
reading = Reading.from_arrays(probabilities, features=X[pool], classes=theirs.classes_)

# %%
# In the pool's place goes the reading, in the model's place goes ``None``.

strategies = {
    "margin": MarginSampling(),
    "badge": BADGE(random_state=0),
    "coreset": CoreSet(),
    "random": RandomSampling(random_state=0),
}
already = Reading.from_arrays(theirs.predict_proba(flat[labeled]), features=X[labeled], classes=theirs.classes_)
batches = {name: strategy.query(None, reading, 120, X_labeled=already) for name, strategy in strategies.items()}
print(f"the forest of 80 labels: {theirs.score(flat[test], y[test]):.3f}")
accuracy = {}
for name, batch in batches.items():
    accuracy[name] = forest(np.concatenate([labeled, pool[batch]])).score(flat[test], y[test])
    print(f"with 120 more by {name:8s} {accuracy[name]:.3f}")

# %%
# Left: how sure the forest was of the rows it was asked for. Right: what a new forest makes of them. Margin takes 120
# rows of which the forest was least sure, all at once, and ends behind random; BADGE and CoreSet spread their batch,
# and end ahead. (One run: a hint, not a comparison.)

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained", width_ratios=[3, 2])
left.hist(probabilities.max(axis=1), np.linspace(0, 1, 26), density=True, color="0.85", label="pool")
for name, batch in batches.items():
    values, edges = np.histogram(probabilities[batch].max(axis=1), np.linspace(0, 1, 13), density=True)
    left.plot((edges[1:] + edges[:-1]) / 2, values, label=name)
left.set(xlabel="the forest's largest probability", ylabel="density", title="How sure it was of the batch")
left.legend(fontsize="small")
bars = right.bar(list(accuracy), list(accuracy.values()), color=["C0", "C1", "C2", "0.6"])
right.bar_label(bars, fmt="%.3f", color="0.45", fontsize="small")
right.axhline(theirs.score(flat[test], y[test]), color="0.5", linestyle="--", linewidth=1)
right.set(ylim=(0.5, 0.9), ylabel="test accuracy", title="200 labels")
plt.show()
