"""
Which labels to look at again
=============================

Annotators err. `doubts` fits models that did not see a label and asks how probable it is to them; the least probable
labels come first. That is a reason to look again, not a proof.
"""

# %%
# 300 labels of digits, 24 of them wrong.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LabelingCampaign, LateFusionClassifier
from skmmal.datasets import load_digits_views

digits = load_digits_views(["fou", "kar"])
rng = np.random.default_rng(0)
rows = rng.permutation(2000)[:400]
ids = np.array([f"scan-{row:04d}" for row in rows])
given = dict(zip(ids, digits.target_names[digits.target[rows]], strict=True))

folder = tempfile.TemporaryDirectory()
campaign = LabelingCampaign.create(
    Path(folder.name) / "digits",
    digits.data[rows],
    ids=ids,
    initial="random",
    n_instances=300,
    estimator=LateFusionClassifier(tol=1e-4),
)
batch = campaign.next_batch()["id"].to_numpy()
wrong = set(rng.choice(batch, 24, replace=False))
said = {name: str((int(given[name]) + rng.integers(1, 10)) % 10) if name in wrong else given[name] for name in batch}
campaign.add_labels(said, annotator="ann")

# %%
# All labels, the most doubtful first.

doubts = campaign.doubts()
doubts["wrong"] = doubts["id"].isin(wrong)
print(doubts[["id", "label", "predicted", "self_confidence", "wrong"]].head(6).round(3).to_string(index=False))

# %%
# Right: looking at the 30 most doubtful labels finds most of the wrong ones; looking at 30 at random would find two
# or three. Left: some right labels have no confidence either. They are the digits that are hard to read.

found = doubts["wrong"].cumsum()
print(f"wrong labels among the first 30: {found[29]} of {len(wrong)}")
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
bins = np.linspace(0, 1, 21)
left.hist(doubts["self_confidence"][~doubts["wrong"]], bins, color="0.6", label="right")
left.hist(doubts["self_confidence"][doubts["wrong"]], bins, color="C4", alpha=0.85, label="wrong")
left.set(xlabel="probability of the label, to a model that did not see it", ylabel="labels", title="Self-confidence")
left.legend()
right.plot(np.arange(1, len(found) + 1), found, linestyle="-", label="by doubt")
right.plot([0, len(found)], [0, len(wrong)], color="0.6", linestyle="--", label="at random")
right.set(xlabel="labels looked at again", ylabel="wrong ones found", title=f"{len(wrong)} wrong of {len(batch)}")
right.legend()
plt.show()
folder.cleanup()
