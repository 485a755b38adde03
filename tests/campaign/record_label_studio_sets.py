"""Record what a real Label Studio gives back where several choices are allowed: sets*.* in tests/data/label_studio.

Not a test; see record_label_studio.py for the server, which must be fresh. Then, here:
``python tests/campaign/record_label_studio_sets.py http://127.0.0.1:8917 PASSWORD``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from skmmal.campaign import LabelingCampaign, export_batch, read_data

sys.path.insert(0, str(Path(__file__).parent))
from record_label_studio import OUT, User, answer, export, tasks_of, write

LABELS = ["boat", "Home, Kitchen & Garden", '["a"]', '{"choices": ["x"]}', "sea", "ünï <b>"]
FIELDS = {"photo": "image", "caption": "text"}
N = 40


def said(*labels: str) -> list[dict]:
    """What the browser sends for some choices; for none it sends nothing."""
    choice = {"from_name": "label", "to_name": "photo", "type": "choices", "origin": "manual"}
    return [{**choice, "value": {"choices": list(labels)}}] if labels else []


def main(url: str, password: str) -> None:
    ann = User(url).enter("/user/login/", "ann@example.com", password)
    invited = ann.api("GET", "/invite")["invite_url"]
    bob = User(url).enter(invited[invited.index("/user/") :], "bob@example.com", password + "-bob")
    with tempfile.TemporaryDirectory() as folder:
        record(ann, bob, Path(folder))


def record(ann: User, bob: User, folder: Path) -> None:
    ids = [f"s{i:02d}" for i in range(N)]
    rng = np.random.default_rng(0)
    has = rng.random((N, len(LABELS))) < 0.4
    X = {"a": rng.normal(size=(N, 6)) + 3 * has, "b": rng.normal(size=(N, 2))}
    campaign = LabelingCampaign.create(
        folder / "c", X, ids=ids, classes=LABELS, multilabel=True, initial="random", strategy="margin", n_instances=16,
        random_fraction=0.25,
    )  # fmt: skip
    names = np.array(LABELS, dtype=object)
    start = {name: list(names[row]) for name, row in zip(ids[:12], has, strict=False)}
    campaign.add_labels(start, annotator="start")
    items = pd.DataFrame(
        {"id": ids, "photo": [f"{name}.jpg" for name in ids], "caption": [f"about {name}" for name in ids]}
    )
    items.to_csv(folder / "items.csv", index=False)
    data = read_data(folder / "items.csv", FIELDS, prefix="https://host.example/")
    batch = campaign.next_batch()["id"].tolist()
    export_batch(campaign, folder / "tasks.json", "label-studio", data=data, fields=FIELDS)
    sent = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    config = (folder / "tasks.xml").read_text(encoding="utf-8")
    write("sets_tasks.json", sent)
    (OUT / "sets_tasks.xml").write_text(config, encoding="utf-8")
    project = ann.api("POST", "/projects", {"title": "sets", "label_config": config})["id"]
    observed: dict[str, object] = {"version": ann.api("GET", "/version")["release"]}
    found = ann.api("POST", f"/projects/{project}/import", sent)
    observed["import"] = {name: found[name] for name in ("task_count", "prediction_count")}
    there = {task["data"]["skmmal_id"]: task for task in tasks_of(ann, project)}
    task_of = {name: there[name]["id"] for name in batch}
    observed["predictions shown"] = {
        name: sorted(there[name]["predictions"][0]["result"][0]["value"]["choices"])
        for name in batch
        if there[name].get("predictions")
    }
    words: dict[str, dict[str, object]] = {}
    for i, name in enumerate(batch[:12]):  # both answer 12 rows, with sets of 0 to 4 labels, and differ in 3 of them
        chosen = [LABELS[(i + k) % len(LABELS)] for k in range(i % 5)]
        other = [label for label in chosen if label != "sea"] if i % 4 == 3 else chosen
        answer(ann, task_of[name], said(*chosen), lead_time=3.0 + i)
        answer(bob, task_of[name], said(*other), lead_time=5.0 + i)
        words[name] = {"ann": sorted(chosen), "bob": sorted(other)}
    answer(ann, task_of[batch[12]], [], was_cancelled=True)
    answer(bob, task_of[batch[13]], said("skmmal:unsure"))
    answer(bob, task_of[batch[14]], said("sea", "skmmal:unsure"))
    words |= {batch[12]: {"ann": "skip"}, batch[13]: {"bob": "unsure"}, batch[14]: {"bob": "unsure"}}
    observed["said"] = words
    export(ann, project, "sets", more="&download_all_tasks=true")
    write("sets_observed.json", observed)


if __name__ == "__main__":
    main(*sys.argv[1:])
