"""Ten rounds on a real Label Studio, played back: what comes of them, undisturbed, with every kind of harm, and killed.

The exchanges were recorded by tests/label_studio/check_campaign.py.
"""

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from label_studio_story import FIELDS, Nobody, begin, tell
from label_studio_wire import Recorded, Wire, in_a_process_of_its_own

from skmmal.campaign import LabelingCampaign, ServerError
from skmmal.campaign.connect import _client

EXCHANGES = Path(__file__).parents[2] / "data" / "label_studio" / "exchanges.json.gz"
SECRET = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", SECRET)
    no_pause = SimpleNamespace(sleep=lambda seconds: None, monotonic=time.monotonic)
    monkeypatch.setattr(_client, "time", no_pause)


@pytest.fixture
def wire():
    with Wire(Recorded(EXCHANGES)) as wire:
        yield wire
        assert wire.source.unknown == []


class Played:
    """A campaign in a folder, and the steps of the story as they were recorded."""

    def __init__(self, wire, folder, harm=None):
        self.wire, self.folder = wire, folder
        self.campaign = begin(folder)
        wire.source.mark = self.campaign.mark
        self.harm = harm or (lambda name, call: call())

    def step(self, name, call):
        self.wire.begin(name)
        return self.harm(name, call)

    def connect(self):
        options = {"new": "ten rounds", "data": self.folder / "items.csv", "fields": FIELDS}
        return self.step("connect", lambda: self.campaign.connect(self.wire.url, **options))

    def tell(self):
        return tell(self.campaign, self.step, Nobody())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, contents):
    """Bytes of a campaign to which nothing has happened, and the book of what people said."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch, Wire(Recorded(EXCHANGES)) as wire:
        patch.setenv("LABEL_STUDIO_API_KEY", SECRET)
        played = Played(wire, folder)
        played.connect()
        book = played.tell()
        assert wire.source.unknown == []
    return without_address(contents(folder / "campaign"), wire.url), book, played.campaign


def without_address(files, url):
    """The log but for what depends on the port: the connection, and the checksums that follow from it."""
    kept = {}
    for name, content in files.items():
        if name.endswith("receipt.json"):
            content = {key: value for key, value in json.loads(content).items() if key not in ("previous", "sha256")}
            content = json.dumps({**content, "server": ""}).encode()
        kept[name] = content
    return kept


def test_what_comes_of_ten_rounds(undisturbed):
    files, book, campaign = undisturbed
    labels = campaign.labels
    assert {row: (line["state"], line["label"]) for row, line in labels.to_dict("index").items()} == book.labels()
    assert labels["state"].value_counts().to_dict().keys() == {"label", "skip", "unsure", "conflict"}
    assert set(campaign.history["annotator"]) == {"ann@example.com", "bob@example.com"}
    assert not any(SECRET.encode() in content for content in files.values())
    kinds = campaign.log["kind"].tolist()
    assert kinds[0] == "connect"
    assert kinds.count("push") == kinds.count("round") == kinds.count("labels") == 10  # a repeated pull is no entry
    campaign.verify()


HARM = {
    "away": ("drop",),
    "half an answer": ("half",),
    "a web page": ("answer", 200, b"<!DOCTYPE html><title>Log in</title>", {"Content-Type": "text/html"}),
    "an empty page": ("answer", 200, b""),
    "null": ("answer", 200, b"null"),
    "other data": ("answer", 200, b'{"hello": ["world"]}'),
    "a list": ("answer", 200, b"[1, 2]"),
    "deep": ("answer", 200, b"[" * 100_000),
    "redirect": ("answer", 302, b"", {"Location": "https://other.example/login"}),
    "401": ("answer", 401, b'{"detail": "Invalid token."}'),
    "403": ("answer", 403, b'{"detail": "no"}'),
    "404": ("answer", 404, b'{"detail": "No Project matches the given query."}'),
    "429": ("answer", 429, b"{}", {"Retry-After": "7"}),
    "500": ("answer", 500, b"<h1>Server Error</h1>", {"Content-Type": "text/html"}),
    "502 that repeats the token": ("answer", 502, json.dumps({"detail": f"Token {SECRET}"}).encode()),
}
ADVICE = {
    "away": "is the server running",
    "half an answer": "give the command again|breaks off",
    "a web page": "web page",
    "redirect": "redirects to https://other.example/login",
    "401": "does not take the token in LABEL_STUDIO_API_KEY",
    "403": "does not allow",
    "404": "url and project|has no project",
    "429": "less often",
    "500": "has failed",
    "502 that repeats the token": "Token (token)",
}


@pytest.fixture(scope="module")
def first_round(tmp_path_factory, contents):
    """A campaign that can be put back, with the steps of its first round: what each asks for, and leads to."""
    folder = tmp_path_factory.mktemp("first_round")
    with pytest.MonkeyPatch.context() as patch, Wire(Recorded(EXCHANGES)) as wire:
        patch.setenv("LABEL_STUDIO_API_KEY", SECRET)
        played = Played(wire, folder)
        campaign = played.campaign
        options = {"new": "ten rounds", "data": folder / "items.csv", "fields": FIELDS}
        calls = {
            "connect": lambda: campaign.connect(wire.url, **options),
            "push 1": campaign.push,
            "pull 1": campaign.pull,
        }
        steps = []
        for name, call in calls.items():
            before = contents(campaign.folder)
            kept = folder / f"before {name}"
            kept.mkdir()
            if len(campaign.log):
                shutil.copytree(campaign.folder / "log", kept, dirs_exist_ok=True)
            played.step(name, call)
            steps.append((name, call, before, contents(campaign.folder), len(wire.requests)))
            if name == "connect":
                campaign.next_batch(round=1)
        yield campaign, wire, steps
        assert wire.source.unknown == []


@pytest.mark.parametrize("harm", HARM)
def test_harm_at_every_request(first_round, contents, harm):
    """Whatever a server answers, to whichever request: it is said, nothing is recorded, and the next try is as if not."""
    campaign, wire, steps = first_round
    for name, call, before, _, n_requests in steps:
        for number in range(1, n_requests + 1):
            put_back(campaign.folder, name)
            wire.begin(name, dict.fromkeys(range(number, number + 20), HARM[harm]))
            with pytest.raises(ServerError) as error:
                call()
            assert SECRET not in str(error.value)
            assert any(part in str(error.value) for part in ADVICE.get(harm, "").split("|")), str(error.value)
            assert contents(campaign.folder) == before, (name, number)
    name, call, _, after, _ = steps[-1]
    put_back(campaign.folder, name)
    wire.begin(name)
    call()
    assert contents(campaign.folder) == after


def put_back(folder, name):
    """The log as it was before a step."""
    shutil.rmtree(folder / "log", ignore_errors=True)
    shutil.copytree(folder.parent / f"before {name}", folder / "log")


@pytest.mark.parametrize("harm", ["drop", "half", "429", "500"])
def test_a_moment_s_trouble_is_no_trouble(wire, tmp_path, harm):
    """What is asked for is asked again; what is sent only where the server has done nothing with it."""
    played = Played(wire, tmp_path)
    played.connect()
    played.campaign.next_batch(round=1)
    played.step("push 1", played.campaign.push)
    what = HARM.get(harm, (harm,))
    wire.begin("pull 1", {1: what, 3: what, 5: what})
    assert played.campaign.pull()["new"] == 6
    assert len([path for _, path, _ in wire.requests]) == 6


def test_killed_at_every_request(undisturbed, wire, tmp_path, contents):
    """Killed before and after each answer, then told once more: byte for byte the campaign to which nothing happened."""
    n_kills = 0

    def killed(name, call):
        nonlocal n_kills
        number = 1
        while True:
            for how in ("kill", "kill after"):
                wire.begin(name, {number: (how,)})
                code = in_a_process_of_its_own(wire, call)
                if code == 0:
                    return None
                assert code == -9, name
                n_kills += 1
            number += 1

    files, _, _ = undisturbed
    played = Played(wire, tmp_path, killed)
    played.connect()
    for number in (1, 2, 3):
        played.campaign.next_batch(round=number)
        played.step(f"push {number}", played.campaign.push)
        played.step(f"pull {number}", played.campaign.pull)
    found = without_address(contents(tmp_path / "campaign"), wire.url)
    assert found == {name: content for name, content in files.items() if name in found}
    assert sum(name.startswith("log/") and name.endswith("receipt.json") for name in found) == 10
    assert n_kills >= 50


def test_slow_servers_are_cut_off(wire, tmp_path):
    played = Played(wire, tmp_path)
    played.connect()
    played.campaign.next_batch(round=1)
    for how in (("slow", 2.0), ("drip", 0.01)):
        wire.begin("push 1", dict.fromkeys(range(1, 20), how))
        started = time.monotonic()
        with pytest.raises(ServerError, match="has not answered within 0.3 seconds"):
            played.campaign.push(timeout=0.3)
        assert time.monotonic() - started < 30
    assert played.campaign.log["kind"].tolist() == ["connect", "round"]


def test_nobody_is_there(wire, tmp_path):
    played = Played(wire, tmp_path)
    played.connect()
    with Wire(wire.source) as gone:
        url = gone.url
    with pytest.raises(ServerError, match=f"{url} cannot be reached"):
        played.campaign.connect(url)
    with pytest.raises(ServerError, match="cannot be reached"):
        played.campaign.connect("http://no-such-host.invalid")
    assert len(played.campaign.log) == 1


def test_connected_before(wire, tmp_path):
    played = Played(wire, tmp_path)
    assert played.connect()["entry"] == 1
    reopened = LabelingCampaign(played.campaign.folder)
    wire.begin("connect")
    wire.source.skip(2)  # nothing is looked for, and nothing made
    assert reopened.connect()["entry"] is None
    assert len(reopened.log) == 1


def test_people_are_numbers_where_their_names_are_not_shown(first_round, contents):
    """A user who may not list people pulls all the same; who is who is learned later."""
    campaign, wire, steps = first_round
    name, call, *_ = steps[-1]
    put_back(campaign.folder, name)
    wire.begin(name, {2: HARM["403"]})
    assert call()["new"] == 6
    assert set(campaign.history["annotator"]) <= {"1", "2"}
    wire.begin(name)
    assert call()["new"] == 0
    assert set(campaign.history["annotator"]) <= {"ann@example.com", "bob@example.com"}
