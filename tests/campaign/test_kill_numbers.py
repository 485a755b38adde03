"""Numbers by several annotators through files; killed anywhere, resumed, the same bytes."""

import json

import numpy as np
import pandas as pd
import pytest

from skmmal import FeatureStore
from skmmal.campaign import LabelingCampaign

N = 160


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Folder with a feature cache, groups and validation labels, and the number of each id."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(N, 5)), rng.normal(size=(N, 4))
    numbers = np.round(2 * a[:, 0] + b[:, 1] + 0.1 * rng.normal(size=N), 2)
    b[::9] = np.nan
    ids = [f"s{i:03d}" for i in range(N)]
    folder = tmp_path_factory.mktemp("numbers")
    FeatureStore.write(folder / "features", {"a": a, "b": b}, ids=ids)
    patients = [f"p{i // 3:02d}" for i in range(N)]
    pd.DataFrame({"id": ids, "patient": patients}).to_csv(folder / "items.csv", index=False)
    pd.DataFrame({"id": ids[:15], "label": numbers[:15]}).to_csv(folder / "validation.csv", index=False)
    return folder, dict(zip(ids, numbers.tolist(), strict=True))


class Script:
    """A campaign of three rounds: every step is a command, and its files depend on the steps before."""

    def __init__(self, run, folder, work, pool):
        self.run, self.folder, self.work = run, folder, work
        self.source, self.truth = pool
        work.mkdir()

    def do(self, *command, code=0):
        assert self.run("campaign", command[0], self.folder, *command[1:]) == code

    def play(self):
        self.do(
            "init", "--features", self.source / "features", "--target", "number", "--tolerance", 0.5, "-n", 7,
            "--groups", self.source / "items.csv", "--group-column", "patient", "--random-fraction", 0.3,
            "--validation", self.source / "validation.csv", "--stop", "budget=40",
        )  # fmt: skip
        for number in range(1, 4):
            self.play_round(number)
        self.do("status")
        self.do("export", "--what", "labels", "--to", "jsonl", "--out", self.work / "labels.jsonl")

    def play_round(self, number):
        out = self.work / f"next-{number}.csv"
        self.do("next", "--round", number, "--out", out)
        ids = pd.read_csv(out, dtype=str)["id"].tolist()
        path = self.work / f"ann-{number}.csv"
        pd.DataFrame({"id": ids, "label": [self.truth[name] for name in ids]}).to_csv(path, index=False)
        self.do("add-labels", path, "--annotator", "ann")
        self.do("add-labels", path, "--annotator", "ann")  # twice
        lines = [{"id": name, "label": self.truth[name] + 0.4 * (i % 3)} for i, name in enumerate(ids[::2])]
        lines.append({"id": ids[1], "state": "unsure"})
        path = self.work / f"bob-{number}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.do("add-labels", path, "--annotator", "bob")
        part = {"from_name": "label", "to_name": "a", "type": "number", "value": {"number": 9.25}}
        note = {"id": number, "completed_by": 7, "lead_time": 2.5, "updated_at": "2026-01-02T09:00:00Z", "result": [part]}
        path = self.work / f"late-{number}.json"
        path.write_text(json.dumps([{"id": number, "data": {"skmmal_id": ids[3]}, "annotations": [note]}]))
        self.do("add-labels", path)
        if number == 2:
            odd = self.work / "odd.csv"
            odd.write_text(f'id,label\n{ids[0]},"1,5"\n')
            self.do("add-labels", odd, code=1)
            self.do("retract", ids[0], "--annotator", "ann")


def test_numbers_with_kills(pool, play_with_kills, tmp_path):
    n_kills = play_with_kills(lambda run, folder, work: Script(run, folder, work, pool))
    assert n_kills > 8
    for name in [*(f"next-{number}.csv" for number in range(1, 4)), "labels.jsonl"]:
        assert (tmp_path / "killed-files" / name).read_bytes() == (tmp_path / "whole-files" / name).read_bytes()
    campaign = LabelingCampaign(tmp_path / "whole")
    campaign.verify()
    states = campaign.labels["state"].value_counts()
    assert states["label"] > 25
    assert states["conflict"] > 3
    assert campaign.batches.groupby("group")["round"].nunique().max() == 1
    assert campaign.status().rounds["validation r2"].iloc[-1] > 0.8
    assert campaign.advice()[0].stop is not None
