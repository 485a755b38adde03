"""
A strategy of your own
======================

A strategy is a class with one method, `_select`, that gets the pool as the model reads it: probabilities, features,
presence, contributions. What it returns is checked, and it works everywhere a built-in one does.
"""

# %%
# **The idea**: ask for rows whose modalities contradict each other. The score is the probability that two heads, each
# drawing a class at random, draw different ones.

import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split

from skmmal import LateFusionClassifier, ModalityScaler, run_experiment
from skmmal.datasets import load_digits_views
from skmmal.display import LearningCurveDisplay
from skmmal.query import QueryStrategy


class Disagreement(QueryStrategy):
    """Rows whose modalities' heads would name different classes."""

    compares_modalities = True

    def _select(self, pool, labelled, n_instances, rng):
        a, b = pool.probabilities_by_modality.values()
        scores = 1 - (a * b).sum(axis=1)
        return pool.highest(scores, n_instances)


# %%
# **Ask it.** All of `query` is there: any container of rows, `candidates=`, an error for a second modality that is
# not there.

X, y = load_digits_views(["fou", "zer"], return_X_y=True)
X = ModalityScaler().fit_transform(X)
X_pool, X_test, y_pool, y_test = train_test_split(X, y, train_size=700, stratify=y, random_state=0)
model = LateFusionClassifier().fit(X_pool[:60], y_pool[:60])
batch = Disagreement().query(model, X_pool[60:], 5)
heads = model.predict_proba_by_modality(X_pool[60:][batch])
for at, row in enumerate(batch):
    says = {name: f"{p[at].argmax()} ({p[at].max():.2f})" for name, p in heads.items()}
    print(f"row {row}:", says, "true:", y_pool[60:][row])

# %%
# **Compare it.** An experiment takes it beside those that have a name.

results = run_experiment(
    LateFusionClassifier(C=0.1),
    {"disagreement": Disagreement(), "margin": "margin", "random": "random"},
    X_pool,
    y_pool,
    X_test=X_test,
    y_test=y_test,
    n_initial=20,
    n_instances=20,
    n_rounds=3,
    seeds=3,
)
print(results.summary()[["final", "area", "area_se"]].round(3))

# %%
# The idea does not hold here: contradiction does no better than random. Margin has the largest area of the three,
# within the noise of three seeds. In three of the five rows above one of the heads is right already, and sure of it.

LearningCurveDisplay.from_results(results)
plt.show()
