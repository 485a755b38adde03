"""
Learning curves with their areas
================================

One run of a strategy is an anecdote. `run_experiment` repeats each over seeds, from the same first rows, and the area
under the learning curve sums a run up in one number.
"""

# %%
# Digits in two views; a small pool, three strategies, three seeds.

import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split

from skmmal import LateFusionClassifier, ModalityScaler, run_experiment
from skmmal.datasets import load_digits_views
from skmmal.display import LearningCurveDisplay

X, y = load_digits_views(["fou", "zer"], return_X_y=True)
X = ModalityScaler().fit_transform(X)
X_pool, X_test, y_pool, y_test = train_test_split(X, y, train_size=700, stratify=y, random_state=0)
results = run_experiment(
    LateFusionClassifier(C=0.1),
    ["mvopt", "margin", "random"],
    X_pool,
    y_pool,
    X_test=X_test,
    y_test=y_test,
    n_initial=20,
    n_instances=20,
    n_rounds=3,
    seeds=3,
)

# %%
# The area is normalized: it is the mean accuracy over the curve. `labels` is what a strategy needs to reach random's
# last accuracy, `saved` how much less than random that is.

summary = results.summary()
print(summary[["final", "area", "area_se", "labels", "saved"]].round(3))

# %%
# Bands are one standard error over the seeds. MVOPT reaches random's last accuracy with some 45 labels in place of
# 73. Margin's lead over random is hardly larger than the errors: with three seeds that is no result.

display = LearningCurveDisplay.from_results(results)
area = results.area_under_curve()
for text in display.ax_.get_legend().get_texts():
    text.set_text(f"{text.get_text()}: area {area['mean'][text.get_text()]:.3f}")
display.ax_.set_title("Digits in two views, mean of three seeds")
plt.show()
