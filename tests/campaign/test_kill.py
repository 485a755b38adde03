"""Commands that are killed, and commands at the same time."""

import contextlib
import json
import os
import signal
import time

import numpy as np
import pandas as pd
import pytest

from skmmal.campaign import LabelingCampaign


def begin(server, folder, pool, *options):
    assert server.run("campaign", "init", folder, "--features", pool[0], *options) == 0, server.output()


@pytest.fixture(scope="module")
def small(pool, server, tmp_path_factory, write_labels):
    """Commands of a small campaign, each with the number of times it touches the disk, and the folder they lead to."""
    root = tmp_path_factory.mktemp("small")
    folder = root / "whole" / "campaign"
    labels, shorter = root / "labels.csv", root / "shorter.csv"
    commands = [
        ("init", "FOLDER", "--features", str(pool[0]), "-n", "12", "--initial", "random", "--estimator", "late-fusion"),
        ("next", "FOLDER", "--round", "1", "--out", "OUT"),
        ("add-labels", "FOLDER", str(labels), "--annotator", "ann"),
        ("next", "FOLDER", "--round", "2"),
        ("undo", "FOLDER", "--entry", "3"),
        ("retract", "FOLDER", "RETRACTED", "--annotator", "ann"),
        ("add-labels", "FOLDER", str(shorter), "--annotator", "ann", "--snapshot"),
    ]
    counts = []
    for command in commands:
        assert server.run("campaign", *fill(command, folder)) == 0, server.output()
        counts.append(server.disk_calls())
        if len(counts) == 2:
            answers = {name: pool[1][name] for name in LabelingCampaign(folder).batches["id"]}
            write_labels(labels, answers)
            first, second, *others = answers
            commands[-2] = tuple(first if part == "RETRACTED" else part for part in commands[-2])
            # one of ann's labels is another one now, and some are gone
            other = next(label for label in answers.values() if label != answers[second])
            write_labels(shorter, {second: other, **{name: answers[name] for name in others[:6]}})
    return commands, counts, folder


def fill(command, folder):
    return [
        str(folder) if part == "FOLDER" else str(folder.parent / "next.csv") if part == "OUT" else part
        for part in command
    ]


def test_killed_at_every_touch_of_the_disk(small, server, contents, tmp_path):
    """Every command, killed before every call that changes the disk, has either happened or not; repeated, it has."""
    commands, counts, whole = small
    assert min(counts) > 3
    n_kills = 0
    folder = tmp_path / "killed" / "campaign"
    for number, (command, n_calls) in enumerate(zip(commands, counts, strict=True)):
        before = contents(folder) if folder.exists() else {}
        for kill_at in range(1, n_calls + 1):
            code = server.run("campaign", *fill(command, folder), kill_at=kill_at)
            n_kills += code == -9
            after = contents(folder) if folder.exists() else {}
            if after != before:
                break  # it has happened: later kills change nothing any more
        assert server.run("campaign", *fill(command, folder)) == 0, server.output()
        after = contents(folder)
        expected = {
            name: content
            for name, content in contents(whole).items()
            if not name.startswith("log/") or int(name.split("/")[1][:6]) <= number
        }
        assert after == expected
    assert n_kills > 60
    final = LabelingCampaign(folder)
    assert final.log["kind"].tolist()[-2:] == ["retract", "labels"]
    assert len(final.labels) == 7
    assert not list(folder.rglob("*.tmp-*"))
    assert (folder.parent / "next.csv").read_bytes() == (whole.parent / "next.csv").read_bytes()


# ------------------------------------------------------------------------------------------ ten rounds on emoji


class Script:
    """A campaign of ten rounds as its people live it: labels come late, in parts, twice, wrong, for unknown ids."""

    def __init__(self, run, folder, work, truth):
        self.run, self.folder, self.work, self.truth = run, folder, work, truth
        self.work.mkdir()
        self.late = []
        self.rng = np.random.default_rng(0)

    def file(self, name, rows, **columns):
        path = self.work / name
        pd.DataFrame(rows, columns=["id", "label", "state"]).assign(**columns).to_csv(path, index=False)
        return path

    def do(self, *command, code=0):
        assert self.run("campaign", command[0], self.folder, *command[1:]) == code

    def play(self, features):
        self.do(
            "init", "--features", features, "--classes", ",".join(sorted(set(self.truth.values()) - {"Symbols"})), "-n", 30, "--random-fraction", 0.1, "--stop", "budget=300", "--estimator", "late-fusion", "--strategy", "bmmal",
            "--stop", "stabilizing-predictions",
        )  # fmt: skip
        for number in range(1, 11):
            self.play_round(number)
        self.do("status")

    def play_round(self, number):
        out = self.work / f"next-{number}.csv"
        # with few labels, and with enough of them
        measure = "--measure" if number in (5, 10) else "--no-measure"
        self.do("next", "--round", number, "--out", out, measure)
        ids = pd.read_csv(out, dtype=str)["id"].tolist()
        # "Symbols" is not in the plan of the first three rounds: annotators skip it
        known = [name for name in ids if number > 3 or self.truth[name] != "Symbols"]
        skipped = [(name, "", "skip") for name in ids if name not in known]
        now, later = known[: len(known) * 2 // 3], known[len(known) * 2 // 3 :]
        rows = [(name, self.truth[name], "") for name in now]
        wrong = now[::9]
        rows = [(name, "Objects" if name in wrong else label, state) for name, label, state in rows]
        allow = ["--allow-new-classes"] if number == 4 else []
        part = self.file(f"part-{number}.csv", rows + skipped, when=f"2026-01-{number:02d}T10:00:00")
        if number == 4:
            self.do("add-labels", part, "--annotator", "ann", code=1)  # a class that was not there before
        self.do("add-labels", part, "--annotator", "ann", *allow)
        self.do("add-labels", part, "--annotator", "ann", *allow)  # twice
        if self.late:
            self.do("add-labels", self.label_studio(number), *(["--allow-new-classes"] if number == 5 else []))
        self.late = later
        # second thoughts about what was wrong, and a colleague who disagrees about something
        better = [(name, self.truth[name], "") for name in wrong] + [(now[1], "", "unsure")]
        self.do(
            "add-labels",
            self.file(f"better-{number}.csv", better, when=f"2026-01-{number:02d}T12:00:00"),
            "--annotator", "ann", *allow,
        )  # fmt: skip
        if number % 3 == 0:
            other = [(now[2], "Objects", ""), (now[3], self.truth[now[3]], "")]
            self.do("add-labels", self.file(f"bob-{number}.csv", other), "--annotator", "bob")
            odd = self.file(f"odd-{number}.csv", [("no-such-id", "Objects", ""), (now[4], self.truth[now[4]], "")])
            self.do("add-labels", odd, "--annotator", "bob", code=1)
            self.do("add-labels", odd, "--annotator", "bob", "--ignore-unknown")
        if number == 5:  # a delivery that was nonsense
            nonsense = self.file("nonsense.csv", [(name, "Objects", "") for name in now])
            self.do("add-labels", nonsense, "--annotator", "eve")
            last = max(int(path.name[:6]) for path in (self.folder / "log").iterdir() if path.name[0] != ".")
            self.do("undo", "--entry", last)

    def label_studio(self, number):
        tasks = [
            {
                "id": 1000 * number + i,
                "data": {"skmmal_id": name},
                "annotations": [
                    {
                        "id": 5000 * number + i,
                        "completed_by": 7,
                        "was_cancelled": False,
                        "updated_at": f"2026-01-{number:02d}T09:00:00.000000Z",
                        "lead_time": 3.5,
                        "result": [
                            {"from_name": "label", "to_name": "image", "type": "choices",
                             "value": {"choices": [self.truth[name]]}}
                        ],
                    }
                ],
            }
            for i, name in enumerate(self.late)
        ]  # fmt: skip
        path = self.work / f"late-{number}.json"
        path.write_text(json.dumps(tasks))
        return path


def test_ten_rounds_on_emoji_with_kills(emoji_pool, server, contents, tmp_path):
    features, truth = emoji_pool
    counts = []

    def undisturbed(*command):
        code = server.run(*command)
        counts.append(server.disk_calls())
        return code

    Script(undisturbed, tmp_path / "whole", tmp_path / "whole-files", truth).play(features)
    rng = np.random.default_rng(1)
    expected = iter(counts)
    n_kills = 0

    def disturbed(*command):
        nonlocal n_kills
        n_calls = next(expected)
        if n_calls > 3 and (command[1] != "add-labels" or rng.random() < 0.35):
            n_kills += server.run(*command, kill_at=int(rng.integers(1, n_calls + 1))) == -9
        if command[1] == "next":  # and once by the clock, while it computes
            (pid,) = server.start(command)
            time.sleep(float(rng.uniform(0.0, 0.5)))
            with contextlib.suppress(ProcessLookupError):  # it was faster
                os.kill(pid, signal.SIGKILL)
            n_kills += server.wait()[0] == -9
        if command[2].exists():
            LabelingCampaign(command[2]).state()  # what a kill leaves can be read
        return server.run(*command)

    Script(disturbed, tmp_path / "killed", tmp_path / "killed-files", truth).play(features)
    assert n_kills > 25
    killed, whole = contents(tmp_path / "killed"), contents(tmp_path / "whole")
    assert list(killed) == list(whole)
    assert killed == whole
    for number in range(1, 11):
        name = f"next-{number}.csv"
        assert (tmp_path / "killed-files" / name).read_bytes() == (tmp_path / "whole-files" / name).read_bytes()
    # and it was a campaign worth the name
    campaign = LabelingCampaign(tmp_path / "whole")
    status = campaign.status()
    assert status.measured["n_rounds"] == 10
    assert not status.measured["is_current"]  # answers have come since
    assert status.benefit.n_random >= 20
    state = campaign.state()
    assert len(state.rounds) == 10
    assert "Symbols" in state.classes
    assert state.class_counts["Symbols"] > 5
    labels = campaign.labels
    settled = labels[labels["state"] == "label"]
    right = np.mean([truth[name] == label for name, label in settled["label"].items()])
    assert len(settled) > 220
    assert right > 0.98  # bob's mistakes conflict, ann's were corrected, eve's were undone
    assert (labels["state"] == "conflict").sum() >= 2
    assert (labels["state"] == "unsure").sum() >= 5
    assert not state.events["annotator"].eq("eve").any()
    assert status.estimates["n"].sum() > 15
    handed_out = campaign.batches["id"]
    assert handed_out.is_unique
    assert len(handed_out) == 300


# -------------------------------------------------------------------------------------------------- at the same time


def test_two_at_the_same_time(pool, server, write_labels, tmp_path):
    folder = tmp_path / "campaign"
    begin(server, folder, pool, "-n", "10", "--initial", "random")
    server.start(*[("campaign", "next", folder)] * 4)
    assert server.wait() == [0, 0, 0, 0], server.output()
    campaign = LabelingCampaign(folder)
    assert campaign.batches["id"].nunique() == 40
    assert sorted(campaign.batches["round"].unique()) == [1, 2, 3, 4]
    files = []
    for number, batch in enumerate(campaign.state().batches):
        labels = {name: pool[1][name] for name in batch["id"]}
        files.append(write_labels(tmp_path / f"{number}.csv", labels))
    # four deliveries, one of them twice, two batches, and readers
    server.start(
        *[("campaign", "add-labels", folder, file, "--annotator", "ann", "--allow-new-classes") for file in files],
        ("campaign", "add-labels", folder, files[0], "--annotator", "ann", "--allow-new-classes"),
        ("campaign", "next", folder),
        ("campaign", "next", folder),
        ("campaign", "status", folder),
        ("campaign", "log", folder),
    )
    assert server.wait() == [0] * 9, [server.output(i) for i in range(9)]
    campaign.verify()
    assert len(campaign.history) == 40
    assert campaign.labels["label"].to_dict() == {name: pool[1][name] for name in campaign.labels.index}
    assert campaign.batches["id"].is_unique
    assert len(campaign.log) == 10


def test_the_message_names_who_holds_it(pool, server, begin, tmp_path):
    from skmmal.campaign._lock import locked

    campaign = begin()
    with locked(campaign.folder, "a long fit", 1.0):
        assert server.run("campaign", "next", campaign.folder, "--lock-timeout", "0.2") == 1
        output = " ".join(server.output().split())
        assert f"process {os.getpid()} on" in output
        assert "'a long fit' since 20" in output
        assert server.run("campaign", "status", campaign.folder) == 0  # readers do not wait
    assert server.run("campaign", "next", campaign.folder, "--lock-timeout", "0.2") == 0
