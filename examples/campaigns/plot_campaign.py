"""
A campaign from the first batch to advice
=========================================

A campaign is a folder: batches go out, labels come in, and every command that changes something is one entry in a
log. The annotators here are the known labels; the folder is a temporary one.
"""

# %%
# Digits in two views, one id a row. Three rows in ten of every batch are drawn at random: those rows measure the
# accuracy without bias.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LabelingCampaign, LateFusionClassifier
from skmmal.datasets import load_digits_views

digits = load_digits_views(["fou", "zer"])
rows = np.random.default_rng(0).permutation(2000)
pool = rows[:1000]
ids = np.array([f"scan-{row:04d}" for row in pool])
truth = dict(zip(ids, digits.target_names[digits.target[pool]], strict=True))

folder = tempfile.TemporaryDirectory()
campaign = LabelingCampaign.create(
    Path(folder.name) / "digits",
    digits.data[pool],
    ids=ids,
    strategy="margin",
    estimator=LateFusionClassifier(tol=1e-4),
    n_instances=50,
    random_fraction=0.3,
    classes=list(digits.target_names),
    stopping=["budget=400", "stabilizing-predictions", "selected-accuracy"],
)

# %%
# **Six rounds.** In the third, the last five rows of the batch come back unanswered; they are not handed out again.

for number in range(1, 7):
    batch = campaign.next_batch()
    answered = batch["id"][:-5] if number == 3 else batch["id"]
    campaign.add_labels({name: truth[name] for name in answered}, annotator="ann")
print(batch[["id", "rank", "chosen_by", "predicted", "confidence"]].head(4).to_string(index=False))

# %%
# **Where it stands**, in sentences. Criteria advise, nothing halts by itself.

status = campaign.status()
print("\n".join(status.sentences))

# %%
# **The log**: every entry stays. An undo would be one more.

print(campaign.log[["entry", "kind", "what"]].tail(4).to_string(index=False))

# %%
# The accuracy that each round's random slice measures, with its 95 % interval, beside the truth: the accuracy of the
# round's model on the rows that were never handed out, whose labels are known here. A slice of fifteen rows says
# little, and says so.

estimates = status.estimates
print(estimates.round(2).to_string(index=False))
X, names = campaign.scaled_features()
never = ~np.isin(names, campaign.batches["id"])
labels = np.array([truth[name] for name in names[never]])
true_accuracy = [campaign.model(number).score(X[never], labels) for number in estimates["round"]]

figure, ax = plt.subplots(layout="constrained")
spread = [estimates["accuracy"] - estimates["low"], estimates["high"] - estimates["accuracy"]]
ax.errorbar(
    estimates["round"], estimates["accuracy"], yerr=spread, fmt="o", capsize=3, label="random slice, 95 % interval"
)
ax.plot(estimates["round"], true_accuracy, color="C4", linestyle="-", marker="s", label="the truth")
ax.set(
    xlabel="round",
    ylabel="accuracy of the model",
    xticks=estimates["round"],
    ylim=(0, 1.02),
    title="What a campaign knows of its model",
)
ax.legend(loc="lower right")
plt.show()
folder.cleanup()
