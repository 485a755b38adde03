"""Ten rounds of a campaign with two annotators who are late, change their minds, skip, delete, and disagree.

The same story is told on a real server (`people` act there), and played back from what was recorded there. What has to
come of it is counted here by hand, from what the people did.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from skmmal import LateFusionClassifier
from skmmal.campaign import LabelingCampaign
from skmmal.features import FeatureStore

CLASSES = ["cat", "dog", "Home, Kitchen & Garden"]
IDS = [f"s{i:02d} & #{i % 3}" for i in range(64)]
FIELDS = {"picture": "image", "caption": "text"}
N_ROUNDS = 10
PICTURE = (
    "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI5NjAiIGhlaWdodD0iNzIwIj48"
    "cmVjdCB3aWR0aD0iMTAwJSIgaGVpZ2h0PSIxMDAlIiBmaWxsPSIjNDY4Ii8+PC9zdmc+"
)


def truth(name: str) -> str:
    return CLASSES[IDS.index(name) % 3]


def begin(folder, classes=CLASSES, **options) -> LabelingCampaign:
    """A campaign whose batches do not depend on the last bit of a model."""
    rng = np.random.RandomState(0)
    X = {"a": rng.normal(size=(64, 3)) + 4 * np.eye(3)[np.arange(64) % 3], "b": rng.normal(size=(64, 2))}
    FeatureStore.write(folder / "features", X, ids=IDS)
    items = pd.DataFrame({"id": IDS, "picture": PICTURE, "caption": [f'"{name}" <b>, ünï' for name in IDS]})
    items.loc[::5, "picture"] = ""
    items.loc[::7, "caption"] = ""
    items.to_csv(folder / "items.csv", index=False)
    options = {"n_instances": 6, "random_fraction": 0.2, **options}
    return LabelingCampaign.create(
        folder / "campaign", folder / "features", classes=classes, initial="random", strategy="random",
        estimator=LateFusionClassifier(), **options,
    )  # fmt: skip


class Book:
    """What annotators have said at last: by row, by person."""

    def __init__(self) -> None:
        self.said: dict[str, dict[str, str]] = {}
        self.settled: dict[str, str] = {}

    def write(self, row: str, who: str, word: str | None) -> None:
        if word is None:
            self.said.get(row, {}).pop(who, None)
        else:
            self.said.setdefault(row, {})[who] = word

    def labels(self) -> dict[str, tuple[str, str]]:
        """State and label of every row of which something is said, counted by hand."""
        found = {}
        for row, words in self.said.items():
            if not words:
                continue
            votes = Counter(word for word in words.values() if word not in ("skip", "unsure"))
            if row in self.settled:
                found[row] = ("label", self.settled[row])
            elif votes:
                (label, n), *_ = votes.most_common()
                found[row] = ("label", label) if 2 * n > sum(votes.values()) else ("conflict", "")
            else:
                found[row] = ("unsure" if "unsure" in words.values() else "skip", "")
        return found


class Nobody:
    """In place of people, where what they did was recorded."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


def tell(campaign, step, people, rounds=N_ROUNDS):
    """The story; `step(name, call)` makes the campaign talk to the server. Returns the book."""
    book = Book()
    late: list[str] = []
    before: list[str] = []
    for number in range(1, rounds + 1):
        batch = campaign.next_batch(round=number)["id"].tolist()
        step(f"push {number}", campaign.push)
        for row in late:  # of the round before
            people.answer(row, "bob", truth(row))
            book.write(row, "bob", truth(row))
        late = [batch[5]]
        for i, row in enumerate(batch[:5]):
            _first_words(people, book, row, i, number)
        if before:
            _second_thoughts(people, book, before, number)
        before = batch
        step(f"pull {number}", campaign.pull)
        if number % 3 == 0:
            step(f"pull {number} again", campaign.pull)
    return book


def _first_words(people, book, row, i, number):
    label = truth(row)
    if i == 3 and number % 2:
        people.cancel(row, "ann")
        return book.write(row, "ann", "skip")
    if i == 3:
        people.answer(row, "ann", "skmmal:unsure")
        return book.write(row, "ann", "unsure")
    people.answer(row, "ann", label)
    book.write(row, "ann", label)
    if i == 4:  # they disagree
        other = CLASSES[(CLASSES.index(label) + 1) % 3]
        people.answer(row, "bob", other)
        book.write(row, "bob", other)


def _second_thoughts(people, book, rows, number):
    """About the rows of the round before."""
    what = number % 5
    row = rows[0]
    if what == 0:  # changed, and back
        people.change(row, "ann", CLASSES[(CLASSES.index(truth(row)) + 1) % 3])
        people.change(row, "ann", truth(row))
    elif what == 1:  # changed
        other = CLASSES[(CLASSES.index(truth(row)) + 1) % 3]
        people.change(row, "ann", other)
        book.write(row, "ann", other)
    elif what == 2:  # the annotation goes, and the row is labelled anew by the other
        people.delete(row, "ann")
        book.write(row, "ann", None)
        people.answer(row, "bob", truth(row))
        book.write(row, "bob", truth(row))
    elif what == 3:  # the task goes: the row is pending again, and pushed again
        people.delete_task(row)
        for who in ("ann", "bob"):
            book.write(row, who, None)
    else:  # a word that settles the conflict of that round
        row = rows[4]
        people.settle(row, "ann")
        book.settled[row] = truth(row)


def summary(campaign) -> dict:
    """What a campaign amounts to, without numbers and times that differ between two runs."""
    history = campaign.history
    return {
        "labels": {
            row: (line["state"], line["label"]) for row, line in campaign.labels.to_dict("index").items()
        },
        "kinds": campaign.log["kind"].tolist(),
        "what": [what.partition(" of http")[0] for what in campaign.log["what"] if not what.startswith("connected")],
        "events": list(zip(history["id"], history["label"], history["state"], history["annotator"], strict=True)),
        "batches": campaign.batches["id"].tolist(),
    }  # fmt: skip
