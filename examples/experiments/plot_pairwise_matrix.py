"""
Who beats whom
==============

The pairwise matrix of the BADGE paper: in which share of the rounds does one strategy beat another significantly
(paired t-test over seeds)? It does not reward a lead that is within the noise.
"""

# %%
# Six strategies on digits, one view and a plain logistic regression; four seeds.

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skmmal import run_experiment
from skmmal.datasets import load_digits_views
from skmmal.display import PairwiseMatrixDisplay

X, y = load_digits_views("zer", return_X_y=True)
X = StandardScaler().fit_transform(X["zer"])
X_pool, X_test, y_pool, y_test = train_test_split(X, y, train_size=600, stratify=y, random_state=0)
results = run_experiment(
    LogisticRegression(),
    ["mvopt", "margin", "badge", "coreset", "entropy", "random"],
    X_pool,
    y_pool,
    X_test=X_test,
    y_test=y_test,
    n_initial=20,
    n_instances=20,
    n_rounds=3,
    seeds=4,
)
matrix = results.pairwise_matrix()
print(matrix.round(2))

# %%
# A row's numbers say whom it beats, a column's who beats it; the last row is a column's mean, and small is good. Here
# MVOPT beats margin, CoreSet and entropy in every round, random in two of three. None of the others ever beats
# random, and random beats entropy once: on one data set, with four seeds, that is all that can be said.

PairwiseMatrixDisplay.from_results(results)
plt.show()
