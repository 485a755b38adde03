"""
Several labels a row, a missing modality, and patients
======================================================

Findings in pictures and notes: a row may have any of five, half of the notes are missing, and the unit that is asked
for is the patient. From the start without labels to the report.
"""

# %%
# Generated data whose optimum is known: five labels, shown by both modalities; every second row lacks its note. A
# patient has one to five rows, and a note takes longer to read than a picture alone.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skmmal import ActiveLearner, LateFusionClassifier, run_experiment
from skmmal.datasets import make_multimodal_classification
from skmmal.display import ClassGainDisplay, LearningCurveDisplay, write_report

rng = np.random.default_rng(0)
X, Y = make_multimodal_classification(
    700, {"picture": 16, "note": 10}, n_labels=5, class_sep=3.0, missing={"note": 0.5}, random_state=0, return_X_y=True
)
patients = np.repeat(np.arange(700), rng.integers(1, 6, size=700))[:700]
minutes = np.where(np.isnan(X.blocks["note"]).all(axis=1), 1.0, 2.0)
is_test = patients >= np.median(patients)  # whole patients
pool, Y_pool, X_test, Y_test = X[~is_test], Y[~is_test], X[is_test], Y[is_test]
groups, costs = patients[~is_test], minutes[~is_test]
print(len(set(groups.tolist())), "patients in the pool,", int(costs.sum()), "minutes for all")

# %%
# The first batch needs no model. Then, three times, the patients of highest margin uncertainty for the minutes they
# take, 30 minutes a batch.

learner = ActiveLearner(LateFusionClassifier(), "margin", initial="random")
left = np.arange(len(Y_pool))
for _ in range(4):
    rows, instances = learner.query(
        pool[left], n_instances=None, groups=groups[left], costs=costs[left], budget=30, group_score="mean"
    )
    learner.teach(instances, Y_pool[left][rows])
    print(f"{costs[left][rows].sum():.0f} minutes, {len(set(groups[left][rows].tolist()))} patients, {len(rows)} rows")
    left = np.delete(left, rows)
print({name: round(score, 2) for name, score in learner.estimator.score_by_modality(X_test, Y_test).items()})

# %%
# Is that better than random? An experiment with the same groups and costs, three seeds; the curves are over cost.
# Margin is ahead by less than a point of area, which three seeds cannot tell from chance.

run = Path(tempfile.mkdtemp()) / "run"
results = run_experiment(
    LateFusionClassifier(),
    ["margin", "random"],
    pool,
    Y_pool,
    X_test=X_test,
    y_test=Y_test,
    n_initial=6,
    n_instances=5,
    n_rounds=3,
    seeds=3,
    groups=groups,
    costs=costs,
    results_dir=run,
)
print(results.area_under_curve(x="cost").round(3))
LearningCurveDisplay.from_results(results, x="cost")
plt.show()

# %%
# Which labels gain? Top: average precision against random; bottom: that of each modality's own head.

ClassGainDisplay.from_results(results, "margin", "random")
plt.show()

# %%
# The report is one HTML file, with these figures and tables.

report = write_report(run, run)
print(report.name, sorted(path.stem for path in (run / "figures").glob("*.png"))[:4])
