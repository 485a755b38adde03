"""
Which classes gain, which lose
==============================

The same accuracy can hide that a strategy helps some classes and neglects others. An experiment records the accuracy
of each class.
"""

# %%
# Emoji in fewer columns; MVOPT against random, four seeds, after two batches of 40.

import matplotlib.pyplot as plt
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skmmal import LateFusionClassifier, ModalityScaler, run_experiment
from skmmal.datasets import load_emoji
from skmmal.display import ClassGainDisplay
from skmmal.preprocessing import PerModality

emoji = load_emoji()
X = PerModality(PCA(40, random_state=0)).fit_transform(ModalityScaler().fit_transform(emoji.data))
y = emoji.target_names[emoji.target]
X_pool, X_test, y_pool, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
results = run_experiment(
    LateFusionClassifier(C=0.1),
    ["mvopt", "random"],
    X_pool,
    y_pool,
    X_test=X_test,
    y_test=y_test,
    n_initial=40,
    n_instances=40,
    n_rounds=2,
    seeds=4,
)
print(results.summary()[["final", "final_se"]].round(3))

# %%
# Top: the gain in each class, with one standard error over the seeds. Seven classes gain; activities lose ten points,
# with an error as large as the loss: a reason to look again with more seeds. Bottom: the accuracy that each
# modality's own head reaches on the class. Activities are the class that neither knows.

display = ClassGainDisplay.from_results(results, "mvopt", "random", n_classes=8)
print((100 * display.gains[["gain", "standard_error"]]).round(1))
plt.show()
