"""Campaigns on a real Label Studio: connect, push and pull, and what goes wrong on the way.

Not part of the suite: it needs the server (see conftest.py). ``python -m pytest tests/label_studio/check_campaign.py``.
With ``RECORD=1`` what the campaign and the server say to each other in the story becomes the fixture of
tests/campaign/connect.
"""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path

import pandas as pd
import pytest
from label_studio_people import choice
from label_studio_story import CLASSES, FIELDS, IDS, begin, summary, tell, truth
from label_studio_wire import Forwarded, Wire, in_a_process_of_its_own

from skmmal.campaign import LabelingCampaign, ServerError

EXPORTS = {"JSON": "json", "JSON_MIN": "json", "CSV": "csv", "TSV": "tsv"}
"""Formats of the server that hold choices."""
EXCHANGES = Path(__file__).parents[1] / "data" / "label_studio" / "exchanges.json.gz"


def connected(folder, url, **options):
    campaign = begin(folder, **options)
    said = campaign.connect(url, new=f"story {secrets.token_hex(4)}", data=folder / "items.csv", fields=FIELDS)
    return campaign, said


@pytest.fixture(scope="module")
def undisturbed(studio, tmp_path_factory):
    """Ten rounds to which nothing happens: the campaign, its project, and the book of what people said."""
    folder = tmp_path_factory.mktemp("undisturbed")
    title = "ten rounds" if os.environ.get("RECORD") else f"ten rounds {secrets.token_hex(4)}"
    ann = studio.users["ann"]
    if os.environ.get("RECORD"):  # one of a former recording would be found again
        for one in ann.api("GET", "/projects?page_size=1000&include=id,title")["results"]:
            if one["title"] == title:
                ann.api("DELETE", f"/projects/{one['id']}/")
    with Wire(Forwarded(studio.url)) as wire:
        campaign = begin(folder)

        def step(name, call):
            wire.begin(name)
            return call()

        options = {"new": title, "data": folder / "items.csv", "fields": FIELDS}
        said = step("connect", lambda: campaign.connect(wire.url, **options))
        again = step("connect again", lambda: LabelingCampaign(campaign.folder).connect())
        assert (again["entry"], again["project"]) == (None, said["project"])
        book = tell(campaign, step, studio.people(said["project"]))
        if os.environ.get("RECORD"):
            wire.source.write(
                EXCHANGES, mark=campaign.mark, url=wire.url, release=ann.api("GET", "/version")["release"]
            )
    return campaign, said["project"], book


def test_ten_rounds(studio, undisturbed):
    """Late, changed, skipped, deleted, conflicting: what comes of it is what was counted by hand."""
    campaign, project, book = undisturbed
    assert {
        row: tuple(line) for row, line in campaign.labels[["state", "label"]].T.to_dict("list").items()
    } == book.labels()
    events = campaign.history
    assert set(events["annotator"]) == {"ann@example.com", "bob@example.com"}
    assert set(events["lead_time"]) == {"4.25", ""}
    campaign.verify()
    # every row is there once
    there = [task["data"]["skmmal_id"] for task in studio.people(project).tasks()]
    assert sorted(there) == sorted(campaign.batches["id"])
    for path in campaign.folder.rglob("*"):
        assert not path.is_file() or b"0123456789abcdef0123" not in path.read_bytes()


def killed(wire, name, call, *numbers):
    """A call in a process that is killed before and after some of its requests, then once more undisturbed."""
    for number, how in [*((number, how) for number in numbers for how in ("kill", "kill after")), (0, "")]:
        wire.begin(name, {number: (how,)})
        code = in_a_process_of_its_own(wire, call)
        assert code == (-9 if how else 0), (name, number, how)


def test_ten_rounds_killed_in_between(studio, wire, undisturbed, tmp_path):
    """Every command of ten rounds is killed: the campaign is the undisturbed one, and no row is there twice."""
    whole, project_of_whole, book = undisturbed
    campaign = begin(tmp_path)
    options = {"new": f"killed {secrets.token_hex(4)}", "data": tmp_path / "items.csv", "fields": FIELDS}
    killed(wire, "connect", lambda: campaign.connect(wire.url, **options), 2, 3)
    project = campaign.connect()["project"]
    found = studio.users["ann"].api("GET", "/projects?page_size=1000&include=id,title")["results"]
    assert [one["id"] for one in found if one["title"] == options["new"]] == [project]
    n_killed = 0

    def step(name, call):
        nonlocal n_killed
        number = int(name.split()[1])
        numbers = (1, 2, 3) if number == 4 else (1 + number % 3,)
        n_killed += 2 * len(numbers)
        return killed(wire, name, call, *numbers)

    assert tell(campaign, step, studio.people(project)).labels() == book.labels()
    assert n_killed >= 2 * 2 * 10
    mine, others = summary(campaign), summary(whole)
    mine["what"] = [what.replace(f"project {project}", "project") for what in mine["what"]]
    others["what"] = [what.replace(f"project {project_of_whole}", "project") for what in others["what"]]
    assert mine == others
    there = [task["data"]["skmmal_id"] for task in studio.people(project).tasks()]
    assert sorted(there) == sorted(whole.batches["id"])


def test_pushed_by_two_at_once_and_an_answer_that_is_lost(studio, wire, tmp_path):
    campaign, said = connected(tmp_path, wire.url)
    campaign.next_batch()
    wire.begin("lost", {3: ("lose",)})
    with pytest.raises(ServerError, match="Push again: what has arrived is not sent twice"):
        campaign.push()
    assert [path.rpartition("/")[2] for _, path, _ in wire.requests][-1] == "import"
    wire.begin("both")
    found: list[dict] = []
    both = [threading.Thread(target=lambda: found.append(LabelingCampaign(campaign.folder).push())) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one["sent"] for one in found] == [0, 0]
    assert sorted(one["entry"] is None for one in found) == [False, True]
    assert len(studio.people(said["project"]).tasks()) == 6


def test_what_goes_wrong_with_files_goes_right(studio, tmp_path):
    """The cases that were seen with exports: suggestions, people, conflicts, origins, classes, empty media."""
    campaign, said = connected(tmp_path, studio.url, random_fraction=0.5)
    people = studio.people(said["project"])
    first = campaign.next_batch()["id"].tolist()
    assert campaign.push()["placeholders"]
    for row in first:
        people.answer(row, "ann", truth(row))
    campaign.pull()
    second = campaign.next_batch(12)
    campaign.push()
    ann = studio.users["ann"]
    shown = ann.api("GET", f"/tasks?project={said['project']}&page_size=100&fields=all")["tasks"]
    with_suggestion = {task["data"]["skmmal_id"] for task in shown if task["predictions"]}
    assert with_suggestion == set(second["id"][second["chosen_by"] == "random"])
    assert all(task["data"]["picture"] and task["data"]["caption"] and task["data"]["skmmal_why"] for task in shown)
    accepted, changed, *others = sorted(with_suggestion)
    people.answer(accepted, "ann", truth(accepted), "prediction")
    people.answer(changed, "bob", truth(changed), "prediction-changed")
    slice_rows = second["id"][~second["id"].isin(with_suggestion)].tolist()
    people.answer(slice_rows[0], "ann", CLASSES[0])
    people.answer(slice_rows[0], "bob", CLASSES[1])
    pulled = campaign.pull()
    assert pulled["origins"] == {"manual": 8, "prediction": 1, "prediction-changed": 1}
    assert campaign.status().origins == pulled["origins"]
    assert campaign.conflicts["said"].tolist() == [f"ann@example.com: {CLASSES[0]}; bob@example.com: {CLASSES[1]}"]
    assert campaign.agreement()["pairs"][0]["kappa"] in (0.0, None)
    campaign.pull(authority="bob@example.com")
    assert campaign.labels.loc[slice_rows[0], "label"] == CLASSES[1]
    # an export of the same project brings nothing new in any format, and no person of another name
    words = campaign.history[campaign.history["state"] == "label"]
    words = set(zip(words["id"], words["annotation"], words["label"], strict=True))
    for kind, ending in EXPORTS.items():
        (tmp_path / kind).mkdir()
        path = tmp_path / kind / f"export.{ending}"
        path.write_bytes(ann.raw("GET", f"/api/projects/{said['project']}/export?exportType={kind}"))
        assert campaign.add_labels(path, snapshot=kind == "JSON")["new"] == 0
        alone = begin(tmp_path / kind)  # and says the same to a campaign that was never connected
        alone.add_labels(path)
        found = alone.history
        assert set(zip(found["id"], found["annotation"], found["label"], strict=True)) == words
    assert set(campaign.status().annotators.index) == {"ann@example.com", "bob@example.com"}
    # a class that comes later gets its button
    campaign.add_labels({others[0]: "eel"}, annotator="cyd", allow_new_classes=True)
    campaign.next_batch()
    assert campaign.push()["notes"] == ["the labeling interface has buttons for new classes now"]
    assert '<Choice value="eel"' in ann.api("GET", f"/projects/{said['project']}")["label_config"]


def test_sets_of_labels(studio, wire, tmp_path):
    """Rows with several labels: a project with choice="multiple", sets that are changed, empty, unsure, deleted."""
    labels = ["fur", "legs", "sea, sky & land"]
    campaign = begin(tmp_path, classes=labels, multilabel=True, random_fraction=0.25, n_instances=8)
    ann = studio.users["ann"]
    single = '<View><Image name="picture" value="$picture"/><Choices name="label" toName="picture" choice="{}">{}</Choices></View>'
    buttons = "".join(f'<Choice value="{name}"/>' for name in ["fur", "legs", "sea, sky &amp; land"])
    config = single.format("single", buttons)
    number = ann.api("POST", "/projects", {"title": f"one {secrets.token_hex(4)}", "label_config": config})["id"]
    options = {"data": tmp_path / "items.csv", "fields": FIELDS}
    with pytest.raises(ValueError, match=r'takes one choice, and a row of this campaign has any.*choice="multiple"'):
        campaign.connect(wire.url, project=number, **options)
    title = f"sets {secrets.token_hex(4)}"
    killed(wire, "connect", lambda: campaign.connect(wire.url, new=title, **options), 3)
    project = campaign.connect()["project"]
    assert 'choice="multiple"' in ann.api("GET", f"/projects/{project}")["label_config"]
    people = studio.people(project)
    first = campaign.next_batch()["id"].tolist()
    killed(wire, "push 1", campaign.push, 3)
    said = [["fur"], ["fur", "legs"], [], labels, ["legs"], ["sea, sky & land"], ["fur"], ["legs"]]
    for row, chosen in zip(first, said, strict=True):
        people.answer(row, "ann", chosen)
    people.answer(first[0], "bob", ["fur", "legs"])  # they differ about one label
    people.answer(first[1], "bob", ["legs", "fur"])  # the order says nothing
    killed(wire, "pull 1", campaign.pull, 2)
    found = campaign.labels
    assert found.loc[first[0], ["state", "label"]].tolist() == ["conflict", "fur|?legs"]
    assert found.loc[first[1:], "label"].tolist() == ["|".join(sorted(chosen)) for chosen in said[1:]]
    assert set(found.loc[first[1:], "state"]) == {"label"}
    second = campaign.next_batch()
    assert campaign.push()["sent"] == 8
    tasks = ann.api("GET", f"/tasks?project={project}&page_size=100&fields=all")["tasks"]
    suggested = {
        task["data"]["skmmal_id"]: task["predictions"][0]["result"][0]["value"]["choices"]
        for task in tasks
        if task["predictions"]
    }
    chosen = second[(second["chosen_by"] == "random") & (second["predicted"] != "")]
    assert suggested == {row: label.split("|") for row, label in zip(chosen["id"], chosen["predicted"], strict=True)}
    people.change(first[0], "bob", ["fur"])  # settled
    people.change(first[1], "ann", [])
    people.delete(first[1], "bob")
    people.delete(first[4], "ann")
    rows = second["id"].tolist()
    people.answer(rows[0], "ann", "skmmal:unsure")
    people.cancel(rows[1], "ann")
    people.answer(rows[2], "bob", ["legs"])
    people.settle(rows[2], "bob")
    people.answer(rows[2], "ann", [])
    pulled = campaign.pull()
    assert (pulled["vanished"], pulled["changed"]) == (2, 2)  # deleted; changed
    now = campaign.labels
    assert now.loc[first[0], ["state", "label", "n_votes"]].tolist() == ["label", "fur", 2]
    assert now.loc[first[1], ["state", "label", "n_votes"]].tolist() == ["label", "", 1]
    assert first[4] in campaign.state().pending
    assert [now.loc[row, "state"] for row in rows[:3]] == ["unsure", "skip", "label"]
    assert now.loc[rows[2], "label"] == "legs"
    assert campaign.pull()["entry"] is None
    export = ann.raw("GET", f"/api/projects/{project}/export?exportType=JSON")
    (tmp_path / "export.json").write_bytes(export)
    assert campaign.add_labels(tmp_path / "export.json", snapshot=True)["new"] == 0
    campaign.verify()


def test_rows_that_are_handed_out_once_more(studio, wire, tmp_path):
    """Doubted labels, and skips that are asked about again, become tasks of their own; each answer counts."""
    campaign, said = connected(tmp_path, wire.url, n_instances=24)
    people = studio.people(said["project"])
    first = campaign.next_batch()["id"].tolist()
    campaign.push()
    said_first = {row: truth(row) if i > 1 else _another(truth(row)) for i, row in enumerate(first[:-1])}
    for row, label in said_first.items():
        people.answer(row, "ann", label)
    people.cancel(first[-1], "ann")
    campaign.pull()
    batch = campaign.next_batch(10, relabel_fraction=0.2, random_fraction=0.0, include=["skip"])
    again = batch["id"][batch["chosen_by"] == "relabel"].tolist()
    assert len(again) == 2
    wire.begin("lost", {3: ("lose",)})
    with pytest.raises(ServerError, match="what has arrived is not sent twice"):
        campaign.push()
    pushed = campaign.push()
    assert (pushed["sent"], pushed["there"]) == (0, 10)
    assert not pushed["notes"]
    skipped = set(batch["id"]) & {first[-1]}
    tasks = studio.users["ann"].api("GET", f"/tasks?project={said['project']}&page_size=100&fields=all")["tasks"]
    twice = {row for row in batch["id"] if sum(task["data"]["skmmal_id"] == row for task in tasks) == 2}
    assert twice == {*again, *skipped}
    later = [task for task in tasks if task["data"]["skmmal_round"] == 2]
    assert {task["data"]["skmmal_id"] for task in later} == set(batch["id"])
    assert not any(task["predictions"] for task in later if task["data"]["skmmal_id"] in again)
    assert campaign.pull()["pending"] == 10
    people.look_again()
    words = {row: _another(said_first[row]) for row in again}
    people.answer(again[0], "bob", words[again[0]])  # somebody else's: a vote
    people.answer(again[1], "ann", words[again[1]])  # the same person's: the last word
    pulled = campaign.pull()
    assert (pulled["new"], pulled["pending"], pulled["not_there"]) == (2, 8, 0)
    labels = campaign.labels
    assert labels.loc[again[0], ["state", "n_votes"]].tolist() == ["conflict", 2]
    assert labels.loc[again[1], ["label", "n_votes"]].tolist() == [words[again[1]], 1]
    campaign.verify()


def _another(label):
    return CLASSES[(CLASSES.index(label) + 1) % 3]


def test_projects_of_others(studio, tmp_path):
    """An interface that people wrote: used if it will do, refused with what is missing, replaced if that is wanted."""
    ann = studio.users["ann"]
    own = (
        '<View><Image name="img" value="$picture"/><Choices name="kind" toName="img">'
        + "".join(f'<Choice value="{name}"/>' for name in ["cat", "dog", "Home, Kitchen &amp; Garden", "owl"])
        + "</Choices></View>"
    )
    number = ann.api("POST", "/projects", {"title": f"own {secrets.token_hex(4)}", "label_config": own})["id"]
    campaign = begin(tmp_path)
    options = {"project": number, "data": tmp_path / "items.csv", "fields": FIELDS}
    with pytest.raises(ValueError, match=r"has no choice called 'label'.*\['kind'\]"):
        campaign.connect(studio.url, **options)
    said = campaign.connect(studio.url, **options, control="kind")
    assert "owl" in said["notes"][0]
    campaign.next_batch()
    campaign.push()
    row = campaign.batches["id"][0]
    people = studio.people(number, "img")
    people.users["ann"].api(
        "POST", f"/tasks/{people.task(row)}/annotations/", {"result": [choice("dog", "kind", "img")]}
    )
    assert campaign.pull()["states"] == {"label": 1}
    # somebody edits the interface: what the server would refuse is refused before it is sent
    ann.api("PATCH", f"/projects/{number}", {"label_config": own.replace("$picture", "$photo")})
    campaign.next_batch()
    with pytest.raises(ValueError, match="photo"):
        campaign.push()
    ann.api("PATCH", f"/projects/{number}", {"label_config": own.replace('<Choice value="dog"/>', "")})
    with pytest.raises(ValueError, match=r"no button for 1 of 3 classes: \['dog'\]"):
        campaign.push()
    with pytest.raises(ValueError, match="for the life of a project"):
        campaign.connect(fields={"picture": "image"})
    # the server lets nobody take away a control that was answered
    with pytest.raises(ServerError, match="annotations are incompatible"):
        campaign.connect(control="label", replace_config=True)
    ann.api("PATCH", f"/projects/{number}", {"label_config": own})
    assert campaign.push()["sent"] == 6
    assert campaign.pull()["known"] == 1
    (tmp_path / "other").mkdir()
    other = begin(tmp_path / "other", seed=1)
    with pytest.raises(ValueError, match="tasks of another campaign"):
        other.connect(studio.url, project=number, data=tmp_path / "items.csv", fields=FIELDS)
    title = ann.api("GET", f"/projects/{number}")["title"]
    with pytest.raises(ValueError, match="has a project called"):
        other.connect(studio.url, new=title, data=tmp_path / "items.csv", fields=FIELDS)


def test_tokens(studio, wire, tmp_path, monkeypatch):
    """A personal token is exchanged for one of minutes, again when that has ended; refused ones say what to do."""
    campaign, _ = connected(tmp_path, wire.url)
    secret = studio.personal_token()
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", secret)
    wire.begin("personal")
    campaign.connect()
    paths = [path for _, path, _ in wire.requests]
    assert paths.count("/api/token/refresh") == 1
    assert paths[0] == "/api/token/refresh"
    assert all(headers["Authorization"].startswith("Bearer ") for _, path, headers in wire.requests[1:])
    wire.begin("ended", {3: ("answer", 401, b'{"detail": "Given token not valid for any token type"}')})
    campaign.connect()
    assert [path for _, path, _ in wire.requests].count("/api/token/refresh") == 2
    for bad, message in ((secret[:-3] + "abc", "personal token"), ("f" * 40, "does not take the token")):
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", bad)
        with pytest.raises(ServerError, match=message) as error:
            campaign.connect()
        assert bad not in str(error.value)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()


def test_files_of_the_server(studio, tmp_path):
    """A storage is registered; what the server does not give out is said, with the two variables."""
    folder = studio.root / "pictures"
    folder.mkdir(exist_ok=True)
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    for name in IDS:
        (folder / f"{name}.svg").write_text(svg)
    campaign = begin(tmp_path)
    items = pd.DataFrame({"id": IDS, "picture": [f"{folder}/{name}.svg" for name in IDS]})
    items.loc[1::2, "picture"] = [f"{name}.svg" for name in IDS[1::2]]
    title = f"files {secrets.token_hex(4)}"
    said = campaign.connect(studio.url, new=title, data=items, fields={"picture": "image"}, local_files=str(folder))
    campaign.next_batch()
    with pytest.raises(ValueError, match="give it again: data="):
        campaign.push()
    campaign.push(data=items)
    for task in studio.people(said["project"]).tasks():
        assert studio.users["bob"].raw("GET", task["data"]["picture"]) == svg.encode()
    gone = items.assign(picture="gone.svg")
    with pytest.raises(
        ValueError, match="LOCAL_FILES_SERVING_ENABLED=true and LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT="
    ):
        campaign.connect(data=gone)
    with pytest.raises(ServerError, match=r"does not exist.*LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT="):
        campaign.connect(data=items, local_files="/nowhere/pictures")
    assert len(campaign.log) == 3


def test_a_project_that_is_gone_takes_no_label_with_it(studio, tmp_path):
    campaign, said = connected(tmp_path, studio.url)
    people = studio.people(said["project"])
    campaign.next_batch()
    campaign.push()
    for row in campaign.batches["id"]:
        people.answer(row, "bob", truth(row))
    campaign.pull()
    ann = studio.users["ann"]
    for task in people.tasks():
        ann.api("DELETE", f"/tasks/{task['id']}/")
    with pytest.raises(ServerError, match="holds no task of this campaign any more"):
        campaign.pull()
    ann.api("DELETE", f"/projects/{said['project']}/")
    with pytest.raises(ServerError, match=f"has no project {said['project']}"):
        campaign.pull()
    assert len(campaign.labels) == 6


def test_it_runs_by_itself(studio, wire, tmp_path):
    """With watch: pull, next, push, until nothing is left; a server that stumbles is waited for."""
    campaign, said = connected(tmp_path, wire.url, n_instances=22)
    people = studio.people(said["project"])
    happened: list[str] = []

    def report(what, said):
        happened.append(what)
        if what == "push":
            for row in LabelingCampaign(campaign.folder).state().pending:
                people.answer(row, "bob", truth(row))
            wire.begin("stumbles", dict.fromkeys(range(1, 5), ("answer", 503, b"")))

    last = campaign.pull(watch=0.05, next_when=1.0, report=report)
    assert last["pending"] == 0
    assert happened.count("next") == happened.count("push") == 3
    assert happened[-1] in ("over", "pull")
    assert "wait" in happened
    labels = campaign.labels
    assert len(labels) == 64
    assert (labels["label"] == [truth(row) for row in labels.index]).all()
