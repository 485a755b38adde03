"""Record what a real Label Studio gives back for our tasks: the files in tests/data/label_studio.

Not a test. In an environment of its own::

    pip install label-studio
    export LABEL_STUDIO_BASE_DATA_DIR=$PWD/data COLLECT_ANALYTICS=False LATEST_VERSION_CHECK=false
    label-studio start --no-browser --internal-host 127.0.0.1 --port 8917 --username ann@example.com --password PASSWORD

and then, here: ``PYTHONPATH=tests python tests/campaign/record_label_studio.py http://127.0.0.1:8917 PASSWORD``. The server must be
fresh: the numbers of its users, projects and annotations are in the files. Only the standard library talks to it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import urllib.error
import urllib.parse
from pathlib import Path

import numpy as np
import pandas as pd
from label_studio_people import User

from skmmal.campaign import LabelingCampaign, export_batch, read_data

OUT = Path(__file__).parents[1] / "data" / "label_studio"
CLASSES = ["cat", "dog", "Home, Kitchen & Garden", '["a"]', '{"choices": ["x"]}', "123", "true", "null", "ünï <b>"]
FORMATS = {"JSON": "json", "JSON_MIN": "min.json", "CSV": "csv", "TSV": "tsv"}
FIELDS = {"photo": "image", "caption": "text", "sound": "audio", "clip": "video"}


def write(name: str, content: object) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def export(user: User, project: int, name: str, formats: tuple[str, ...] = tuple(FORMATS), more: str = "") -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for kind in formats:
        found = user.raw("GET", f"/api/projects/{project}/export?exportType={kind}{more}")
        if kind == "JSON":  # as it is, but for the blanks
            write(f"{name}.json", json.loads(found))
        else:
            (OUT / f"{name}.{FORMATS[kind]}").write_bytes(found)


def choice(label: str, control: str = "label", to: str = "photo", **more: object) -> dict:
    return {"from_name": control, "to_name": to, "type": "choices", "value": {"choices": [label]}, **more}


def answer(user: User, task: int, result: list, **more: object) -> int:
    return user.api("POST", f"/tasks/{task}/annotations/", {"result": result, "lead_time": 4.25, **more})["id"]


def tasks_of(user: User, project: int) -> list[dict]:
    """Tasks with their predictions, as the list in the browser asks for them."""
    fields = urllib.parse.quote(json.dumps({}))
    found = user.api("GET", f"/tasks?project={project}&page_size=200&fields=all&query={fields}")
    return sorted(found["tasks"], key=lambda task: task["id"])


def main(url: str, password: str) -> None:
    ann = User(url).enter("/user/login/", "ann@example.com", password)
    invited = ann.api("GET", "/invite")["invite_url"]
    bob = User(url).enter(invited[invited.index("/user/") :], "bob@example.com", password + "-bob")
    assert bob.api("GET", "/current-user/whoami")["email"] == "bob@example.com"
    observed: dict[str, object] = {"version": ann.api("GET", "/version")["release"]}
    with tempfile.TemporaryDirectory() as folder:
        record_campaign(ann, bob, Path(folder), observed)
    record_others(ann, bob, observed)
    write("observed.json", observed)


def record_campaign(ann: User, bob: User, folder: Path, observed: dict) -> None:
    ids = [f"s{i:02d}" for i in range(60)]
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(60, 3)) + np.arange(60)[:, None] % 2 * 4, "b": rng.normal(size=(60, 2))}
    campaign = LabelingCampaign.create(
        folder / "c", X, ids=ids, classes=CLASSES, initial="random", strategy="margin", n_instances=24,
        random_fraction=0.25,
    )  # fmt: skip
    campaign.add_labels({name: "cat" if i % 2 else "dog" for i, name in enumerate(ids[:12])}, annotator="start")
    items = pd.DataFrame({"id": ids})
    items["photo"] = [f"{name} & #1 100%.jpg" for name in ids]
    items["caption"] = [f'"{name}" <b> & co, "ünï"' for name in ids]
    items["sound"] = [f"{name}.wav" for name in ids]
    items["clip"] = [f"{name}.mp4" for name in ids]
    items.loc[items.index % 5 == 0, "photo"] = ""
    items.loc[items.index % 7 == 0, "caption"] = ""
    items.loc[items.index % 25 == 14, ["sound", "clip"]] = ""
    items.to_csv(folder / "items.csv", index=False)
    data = read_data(folder / "items.csv", FIELDS, prefix="https://host.example/")

    batch = campaign.next_batch()
    export_batch(campaign, folder / "tasks.json", "label-studio", data=data, fields=FIELDS)
    sent = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    config = (folder / "tasks.xml").read_text(encoding="utf-8")
    write("tasks.json", sent)
    (OUT / "tasks.xml").write_text(config, encoding="utf-8")
    project = ann.api("POST", "/projects", {"title": "skmmal", "label_config": config})["id"]
    lacking = {"data": {key: value for key, value in sent[0]["data"].items() if key != "photo"}}
    try:
        ann.api("POST", f"/projects/{project}/import", [lacking])
    except urllib.error.HTTPError as error:
        said = json.loads(error.read())
        observed["a task without a field"] = [error.code, str(said.get("validation_errors") or said)[:120]]
    found = ann.api("POST", f"/projects/{project}/import", sent)
    observed["first import"] = {name: found[name] for name in ("task_count", "prediction_count")}
    there = {task["data"]["skmmal_id"]: task for task in tasks_of(ann, project)}
    task_of = {name: there[name]["id"] for name in batch["id"]}
    observed["model_version after the first import"] = ann.api("GET", f"/projects/{project}")["model_version"]
    formats = ann.api("GET", f"/projects/{project}/export/formats")
    observed["formats"] = [one["name"] for one in formats if not one.get("disabled")]

    names = batch["id"].tolist()
    chosen = [name for name, task in zip(names, sent, strict=True) if task.get("predictions")]
    accepted, changed = chosen[5:7]
    numbers: dict[tuple[str, str], int] = {}
    for i, name in enumerate(names[:22]):  # both label 22 rows, and differ in 6 of them
        label = CLASSES[i % len(CLASSES)]
        more: dict[str, object] = {}
        result = choice(label, origin="manual")
        if name in (accepted, changed):
            (prediction,) = ann.api("GET", f"/predictions?task={task_of[name]}")
            (said,) = prediction["result"]
            more = {"parent_prediction": prediction["id"]}
            label = said["value"]["choices"][0] if name == accepted else "null"
            result = choice(
                label, id=said.get("id", "p1"), origin="prediction" if name == accepted else "prediction-changed"
            )
        numbers[name, "ann"] = answer(ann, task_of[name], [result], **more)
        other = label if i < 16 else CLASSES[(i + 1) % len(CLASSES)]
        numbers[name, "bob"] = answer(bob, task_of[name], [choice(other, origin="manual")])
    numbers[names[22], "ann"] = answer(ann, task_of[names[22]], [], was_cancelled=True)
    numbers[names[23], "bob"] = answer(bob, task_of[names[23]], [choice("skmmal:unsure", origin="manual")])
    export(ann, project, "first")
    whole = ann.api(
        "POST",
        f"/projects/{project}/exports/",
        {"serialization_options": {"annotations__completed_by": {"only_id": False}}},
    )
    for _ in range(50):
        about = ann.api("GET", f"/projects/{project}/exports/{whole['id']}")
        if about["status"] == "completed":
            break
        time.sleep(0.2)
    found = ann.raw("GET", f"/api/projects/{project}/exports/{whole['id']}/download?exportType=JSON")
    write("with_emails.json", json.loads(found))

    # second thoughts: one label goes to dog and back, one annotation and one task are deleted, one word settles
    back = numbers[names[0], "ann"]
    ann.api("PATCH", f"/annotations/{back}/", {"result": [choice("dog", origin="manual")]})
    export(ann, project, "changed", ("JSON",))
    ann.api("PATCH", f"/annotations/{back}/", {"result": [choice("cat", origin="manual")]})
    export(ann, project, "changed_back", ("JSON",))
    ann.api("DELETE", f"/annotations/{numbers[names[1], 'bob']}/")
    ann.api("DELETE", f"/tasks/{task_of[names[2]]}/")
    ann.api("PATCH", f"/annotations/{numbers[names[20], 'ann']}/", {"ground_truth": True})
    export(ann, project, "last", ("JSON",))

    # a second round into the same project
    campaign.add_labels(OUT / "last.json")
    second = campaign.next_batch(8)
    export_batch(campaign, folder / "second.json", "label-studio", data=data, fields=FIELDS)
    more_tasks = json.loads((folder / "second.json").read_text(encoding="utf-8"))
    write("second_tasks.json", more_tasks)
    ann.api("POST", f"/projects/{project}/import", more_tasks)
    about = ann.api("GET", f"/projects/{project}")
    observed["model_version after the second import"] = about["model_version"]
    observed["model versions"] = ann.api("GET", f"/projects/{project}/model-versions")
    shown = {task["data"]["skmmal_id"]: len(task.get("predictions") or []) for task in tasks_of(ann, project)}
    observed["rows with predictions shown"] = sorted(name for name, n in shown.items() if n)
    observed["rows with predictions sent"] = sorted(
        task["data"]["skmmal_id"]
        for task in [*sent, *more_tasks]
        if task.get("predictions") and task["data"]["skmmal_id"] in shown
    )
    assert set(second["id"]) <= set(shown)
    export(ann, project, "two_rounds", ("JSON",), "&download_all_tasks=true")


OTHERS = {
    "category": (
        '<Image name="image" value="$image"/><Choices name="category" toName="image"><Choice value="cat"/>'
        '<Choice value="dog"/></Choices><TextArea name="comment" toName="image"/>',
        [choice("cat", "category", "image"),
         {"from_name": "comment", "to_name": "image", "type": "textarea", "value": {"text": ["hm"]}}],
    ),
    "boxes": (
        '<Image name="image" value="$image"/><RectangleLabels name="label" toName="image"><Label value="cat"/>'
        "</RectangleLabels>",
        [{"from_name": "label", "to_name": "image", "type": "rectanglelabels", "original_width": 10,
          "original_height": 10, "image_rotation": 0,
          "value": {"x": 1, "y": 1, "width": 5, "height": 5, "rotation": 0, "rectanglelabels": ["cat"]}}],
    ),
    "taxonomy": (
        '<Image name="image" value="$image"/><Taxonomy name="label" toName="image"><Choice value="animal">'
        '<Choice value="cat"/></Choice></Taxonomy>',
        [{"from_name": "label", "to_name": "image", "type": "taxonomy", "value": {"taxonomy": [["animal", "cat"]]}}],
    ),
    "several": (
        '<Image name="image" value="$image"/><Choices name="label" toName="image" choice="multiple">'
        '<Choice value="cat"/><Choice value="dog"/></Choices>',
        [{"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["cat", "dog"]}}],
    ),
    "comment": (
        '<Image name="image" value="$image"/><Choices name="label" toName="image"><Choice value="cat"/></Choices>'
        '<TextArea name="comment" toName="image"/>',
        [{"from_name": "comment", "to_name": "image", "type": "textarea", "value": {"text": ["hm"]}}],
    ),
}  # fmt: skip


def record_others(ann: User, bob: User, observed: dict) -> None:
    """Projects that people configured themselves, with our ids."""
    for name, (config, result) in OTHERS.items():
        project = ann.api("POST", "/projects", {"title": name, "label_config": f"<View>{config}</View>"})["id"]
        tasks = [{"data": {"skmmal_id": f"s{i:02d}", "image": f"https://host.example/{i}.jpg"}} for i in range(4)]
        ann.api("POST", f"/projects/{project}/import", tasks)
        for number, task in enumerate(tasks_of(ann, project)[:3]):
            answer(ann if number != 1 else bob, task["id"], result)
        export(ann, project, name)
    # a project that was never ours: its tasks have numbers of their own and nothing else
    config = '<View><Text name="text" value="$text"/><Choices name="label" toName="text"><Choice value="cat"/></Choices></View>'
    project = ann.api("POST", "/projects", {"title": "foreign", "label_config": config})["id"]
    ann.api("POST", f"/projects/{project}/import", [{"data": {"text": f"text {i}"}} for i in range(3)])
    for task in tasks_of(ann, project):
        answer(ann, task["id"], [choice("cat", to="text")])
    export(ann, project, "foreign")


if __name__ == "__main__":
    main(*sys.argv[1:])
