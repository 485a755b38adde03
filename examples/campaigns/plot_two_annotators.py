"""
Several annotators
==================

Two people label the same rows, and do not always agree. Their labels are kept apart; majority settles, ties are
conflicts until an authority decides.
"""

# %%
# Ann and Bob label the same 200 digits. Both slip now and then; Bob takes a 4 for a 9 half of the time.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skmmal import LabelingCampaign
from skmmal.datasets import load_digits_views

digits = load_digits_views(["fou", "kar"])
rng = np.random.default_rng(0)
rows = rng.permutation(2000)[:400]
ids = np.array([f"scan-{row:04d}" for row in rows])
truth = dict(zip(ids, digits.target_names[digits.target[rows]], strict=True))
folder = tempfile.TemporaryDirectory()
campaign = LabelingCampaign.create(
    Path(folder.name) / "digits", digits.data[rows], ids=ids, initial="random", n_instances=200
)
batch = campaign.next_batch()["id"].tolist()


def answer(name, slips, takes_4_for_9):
    if truth[name] == "4" and rng.random() < takes_4_for_9:
        return "9"
    return str(rng.integers(10)) if rng.random() < slips else truth[name]


campaign.add_labels({name: answer(name, 0.02, 0.0) for name in batch}, annotator="ann")
campaign.add_labels({name: answer(name, 0.02, 0.5) for name in batch}, annotator="bob")
status = campaign.status()
print(status.annotators[["labels", "compared", "agrees"]].round(2))
print("states:", {name: status.counts[name] for name in ("label", "conflict")})
print(campaign.conflicts.head(3).to_string(index=False))

# %%
# **An authority settles the conflicts**: what a lead says counts above all others.

open_cases = campaign.conflicts["id"].tolist()
campaign.add_labels({name: truth[name] for name in open_cases}, annotator="lead", authority="lead")
print("states:", {name: campaign.status().counts[name] for name in ("label", "conflict")})

# %%
# Who said what: off the diagonal they differ. Nine of nineteen disagreements are the same, a 4 that Bob calls a 9: a
# case for the guidelines, not for a vote.

history = campaign.history
by_name = {name: history[history["annotator"] == name].set_index("id")["label"] for name in ("ann", "bob")}
both = by_name["ann"].index.intersection(by_name["bob"].index)
table = np.zeros((10, 10), dtype=int)
for name in both:
    table[int(by_name["ann"][name]), int(by_name["bob"][name])] += 1
figure, ax = plt.subplots(figsize=(5, 4.4), layout="constrained")
ax.imshow(table, cmap="Blues", vmax=table.max() * 1.3)
for i, j in zip(*np.nonzero(table), strict=True):
    ax.text(j, i, str(table[i, j]), ha="center", va="center", color="0.2")
ax.set(
    xlabel="Bob said",
    ylabel="Ann said",
    xticks=range(10),
    yticks=range(10),
    title=f"{len(both)} digits, said twice",
)
plt.show()
folder.cleanup()
