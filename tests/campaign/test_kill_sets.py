"""Sets of labels, several annotators, groups and costs through files; killed anywhere, resumed, the same bytes."""

import json

import numpy as np
import pandas as pd
import pytest

from skmmal import FeatureStore
from skmmal.campaign import LabelingCampaign

LABELS = ["boat", "sea", "sky", "town"]
N = 240


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Feature cache, table of items, and the labels of each id."""
    rng = np.random.default_rng(0)
    has = rng.random((N, 4)) < [0.2, 0.4, 0.6, 0.3]
    a, b = rng.normal(size=(N, 6)), rng.normal(size=(N, 4))
    a[:, :4] += 2.0 * has
    b[:, :2] += 1.5 * has[:, 2:]
    b[::9] = np.nan
    ids = [f"s{i:03d}" for i in range(N)]
    folder = tmp_path_factory.mktemp("sets")
    FeatureStore.write(folder / "features", {"a": a, "b": b}, ids=ids)
    items = pd.DataFrame({"id": ids, "patient": [f"p{i:02d}" for i in rng.integers(0, 70, N)]})
    items.assign(minutes=rng.uniform(1, 5, N).round(2)).to_csv(folder / "items.csv", index=False)
    names = np.array(LABELS, dtype=object)
    return folder, {name: list(names[row]) for name, row in zip(ids, has, strict=True)}


class Script:
    """A campaign of five rounds: every step is a command, and its files depend on the steps before."""

    def __init__(self, run, folder, work, pool):
        self.run, self.folder, self.work = run, folder, work
        self.source, self.truth = pool
        work.mkdir()

    def do(self, *command, code=0):
        assert self.run("campaign", command[0], self.folder, *command[1:]) == code

    def play(self):
        self.do(
            "init", "--features", self.source / "features", "--multilabel", "--classes", "boat,sea,sky", "-n", 8,
            "--groups", self.source / "items.csv", "--group-column", "patient", "--max-rows", 36, "--group-score", "mean",
            "--costs", self.source / "items.csv", "--cost-column", "minutes", "--random-fraction", 0.25, "--estimator", "late-fusion",
            "--stop", "budget=150", "--stop", "stabilizing-predictions",
        )  # fmt: skip
        for number in range(1, 6):
            self.play_round(number)
        self.do("status")
        self.do("export", "--what", "labels", "--to", "indicator", "--out", self.work / "indicator.csv")

    def known(self, number, name):
        """The fourth label is not in the plan of the first two rounds."""
        return [label for label in self.truth[name] if label != "town" or number > 2]

    def play_round(self, number):
        out = self.work / f"next-{number}.csv"
        budget = ["--budget", 60] if number == 4 else []
        self.do("next", "--round", number, "--out", out, "--measure" if number == 5 else "--no-measure", *budget)
        ids = pd.read_csv(out, dtype=str)["id"].tolist()
        new = ["--allow-new-classes"] if number == 3 else []
        third = len(ids) // 3
        self.do("add-labels", self.bars(number, ids[:third]), "--annotator", "ann", *new)
        self.do("add-labels", self.columns(number, ids[third:], number > 2), "--annotator", "ann", *new)
        self.do("add-labels", self.columns(number, ids[third:], number > 2), "--annotator", "ann")  # twice
        # bob sees half of them, leaves a label out here and there, and cannot tell in one
        lines = [{"id": name, "label": self.known(number, name)} for name in ids[::2]]
        for line in lines[::3]:
            line["label"] = line["label"][1:]
        lines.append({"id": ids[1], "state": "unsure"})
        path = self.work / f"bob-{number}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.do("add-labels", path, "--annotator", "bob")
        self.do("add-labels", self.label_studio(number, ids[:4]))
        if number == 2:
            self.do("retract", ids[0], "--annotator", "bob", "--reason", "wrong picture")
            last = max(int(path.name[:6]) for path in (self.folder / "log").iterdir() if path.name[0] != ".")
            self.do("undo", "--entry", last)
        if number == 3:
            odd = self.work / "odd.csv"
            odd.write_text(f"id,label\n{ids[0]},sea|fog\n")
            self.do("add-labels", odd, code=1)
            self.do("retract", ids[0], "--annotator", "ann")

    def bars(self, number, ids):
        path = self.work / f"bars-{number}.csv"
        rows = [(name, "|".join(self.known(number, name)), "" if self.known(number, name) else "none") for name in ids]
        pd.DataFrame(rows, columns=["id", "label", "state"]).to_csv(path, index=False)
        return path

    def columns(self, number, ids, has_town):
        path = self.work / f"columns-{number}.csv"
        labels = LABELS if has_town else LABELS[:3]
        table = {"id": ids, **{label: [int(label in self.known(number, name)) for name in ids] for label in labels}}
        pd.DataFrame(table).to_csv(path, index=False)
        return path

    def label_studio(self, number, ids):
        tasks = []
        for i, name in enumerate(ids):
            choices = {"choices": [label for label in self.known(number, name) if label != "sky" or i]}
            part = {"from_name": "label", "to_name": "a", "type": "choices", "value": choices}
            annotation = {
                "id": 100 * number + i, "completed_by": 7, "lead_time": 3.5 + i,
                "updated_at": f"2026-01-{number:02d}T09:00:00Z", "result": [part] if choices["choices"] else [],
                "was_cancelled": i == 3,
            }  # fmt: skip
            tasks.append({"id": 10 * number + i, "data": {"skmmal_id": name}, "annotations": [annotation]})
        path = self.work / f"late-{number}.json"
        path.write_text(json.dumps(tasks))
        return path


def test_sets_groups_and_costs_with_kills(pool, play_with_kills, tmp_path):
    n_kills = play_with_kills(lambda run, folder, work: Script(run, folder, work, pool))
    assert n_kills > 15
    for name in [*(f"next-{number}.csv" for number in range(1, 6)), "indicator.csv"]:
        assert (tmp_path / "killed-files" / name).read_bytes() == (tmp_path / "whole-files" / name).read_bytes()
    # and it was a campaign worth the name
    campaign = LabelingCampaign(tmp_path / "whole")
    campaign.verify()
    state = campaign.state()
    assert state.classes == LABELS
    states = campaign.labels["state"].value_counts()
    assert states["label"] > 60
    assert states["conflict"] > 5
    assert campaign.batches["id"].is_unique
    assert campaign.batches.groupby("group")["round"].nunique().max() == 1
    assert (campaign.batches.groupby("round").size() <= 36).all()
    assert campaign.batches["cost"][campaign.batches["round"] == 4].sum() <= 60
    status = campaign.status()
    assert {"hamming_loss", "mean_average_precision"} <= set(status.estimates)
    assert (status.measured["n_rounds"], status.measured["is_current"]) == (5, False)
    found = pd.read_csv(tmp_path / "whole-files" / "indicator.csv", index_col="id")
    assert found["town"].isna().any()  # rows that were answered before that label was there
    right = [found.loc[name, label] == (label in pool[1][name]) for name in found.index for label in LABELS[:3]
             if pd.notna(found.loc[name, label])]  # fmt: skip
    assert np.mean(right) > 0.95
