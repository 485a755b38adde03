"""
Several labels a row
====================

A picture with its caption may be of a beach, with a dog, at dusk: `y` is an indicator matrix, and every head is one
logistic regression for each label. Each modality's own head says which labels it can tell.
"""

# %%
# Generated captions and pictures of six tags. Some show in the picture, some stand in the text, one is in both, weakly.
# A tag that is rare is asked for too seldom by chance.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from skmmal import ActiveLearner, LateFusionClassifier, MultimodalArray
from skmmal.query import MMC, MarginSampling, RandomSampling

tags = ["beach", "snow", "dog", "wedding", "dusk", "goal"]
share = np.array([0.4, 0.3, 0.2, 0.15, 0.1, 0.05])
in_picture = np.array([2.5, 2.0, 1.5, 0.0, 1.0, 0.3])
in_text = np.array([0.0, 0.5, 1.0, 2.5, 1.0, 2.5])
rng = np.random.default_rng(0)
truth = (rng.random((1200, len(tags))) < share).astype(int)
blocks = {}
for name, strength in (("image", in_picture), ("text", in_text)):
    directions = np.linalg.qr(rng.normal(size=(30, len(tags))))[0].T
    blocks[name] = (truth * strength) @ directions + 0.6 * rng.normal(size=(len(truth), 30))
X, Y = MultimodalArray(blocks), pd.DataFrame(truth, columns=tags)
X_pool, Y_pool, X_test, Y_test = X[:700], Y[:700], X[700:], Y[700:]

# %%
# Start from 30 rows, ask for 20 at a time; three draws of the 30.

n_rounds, seeds = 5, range(3)
precision = {name: np.zeros((len(seeds), n_rounds + 1)) for name in ("random", "margin", "mmc")}
for seed in seeds:
    start = np.random.default_rng(seed).choice(len(X_pool), 30, replace=False)
    choosers = {"random": RandomSampling(random_state=seed), "margin": MarginSampling(), "mmc": MMC()}
    for name, chooser in choosers.items():
        rest = np.setdiff1d(np.arange(len(X_pool)), start)
        learner = ActiveLearner(
            LateFusionClassifier(), query_strategy=chooser, X_training=X_pool[start], y_training=Y_pool.iloc[start]
        )
        for at in range(n_rounds + 1):
            answers = learner.predict_proba(X_test)
            precision[name][seed, at] = average_precision_score(Y_test, answers)
            if at < n_rounds:
                rows, instances = learner.query(X_pool[rest], n_instances=20)
                learner.teach(instances, Y_pool.iloc[rest[rows]])
                rest = np.delete(rest, rows)
for name, values in precision.items():
    print(f"{name:7} {values.mean(axis=0).round(3)}")

# %%
# Margin sampling goes by the mean over the labels (``aggregate="max"``: by the least sure one); `MMC` asks for sets of
# labels. On the right, what the heads of the last learner can tell: the wedding is read, the beach is seen, and dog and
# dusk take both.

heads = learner.estimator.predict_proba_by_modality(X_test) | {"both": learner.predict_proba(X_test)}
figure, (ax, bars) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
labeled = 30 + 20 * np.arange(n_rounds + 1)
for (name, values), marker in zip(precision.items(), "os^", strict=True):
    ax.errorbar(
        labeled, values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(seeds)), marker=marker, label=name
    )
ax.set(xlabel="labeled rows", ylabel="average precision, mean of the tags", title="Which rows?")
ax.legend()
for at, (name, answers) in enumerate(heads.items()):
    each = average_precision_score(Y_test, answers, average=None)
    print(f"{name:6}", dict(zip(tags, each.round(2).tolist(), strict=True)))
    bars.bar(np.arange(len(tags)) + 0.27 * (at - 1), each, width=0.25, label=name)
bars.set_xticks(range(len(tags)), tags)
bars.set(ylim=(0, 1.25), ylabel="average precision", title="Which modality tells which tag?")
bars.legend(ncols=3, loc="upper center")
plt.show()
