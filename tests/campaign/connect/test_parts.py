"""Addresses, tokens, interfaces, media: what each part refuses, and what it says."""

import base64
import json
import time

import pandas as pd
import pytest
from label_studio_story import FIELDS, begin
from label_studio_wire import Wire

from skmmal.campaign import LabelingCampaign, ServerError, labeling_config
from skmmal.campaign.connect._client import Client, check_url
from skmmal.campaign.connect._connecting import agree, our_tasks
from skmmal.campaign.connect._interface import read_interface, same_interface
from skmmal.campaign.connect._media import check_media, local_prefix
from skmmal.campaign.connect._server import Server
from skmmal.campaign.connect._token import Token
from skmmal.campaign.connect._watching import run
from skmmal.campaign.formats._data import as_data


class Says:
    """A server that answers by path, and keeps what it was asked."""

    def __init__(self, answers):
        self.answers, self.bodies = answers, []

    def begin(self, step):
        pass

    def answer(self, method, path, body, headers):
        self.bodies.append((method, path, body, headers))
        found = self.answers[path.partition("?")[0]]
        status, kind, content = found(headers) if callable(found) else found
        return status, {"Content-Type": kind}, content


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8080", "must be an address"),
        ("ftp://host", "must be an address"),
        ("http://", "must be an address"),
        ("http://user:pass@host", "holds a name or a password"),
        ("http://host/projects/7/data?tab=1", r"give the root of the server: http://host, project 7"),
        ("https://host/ls/projects/", r"root of the server: https://host/ls$"),
        ("http://host:port", "expected an address"),
        ("http://host/a b", "must be an address"),
    ],
)
def test_addresses_that_are_none(url, message):
    with pytest.raises(ValueError, match=message) as error:
        check_url(url)
    assert "pass" not in str(error.value).replace("password", "")


def test_addresses():
    assert check_url(" https://host/label-studio/ ") == "https://host/label-studio"
    with pytest.raises(TypeError, match="must be an address"):
        check_url(7)


def access(seconds):
    content = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + seconds}).encode()).decode().rstrip("=")
    return f"header.{content}.signature"


def test_personal_tokens_are_exchanged_again_when_they_end(monkeypatch):
    made = iter([access(300), access(5), access(300)])
    answers = {
        "/api/token/refresh": lambda headers: (200, "application/json", json.dumps({"access": next(made)}).encode()),
        "/api/version": (200, "application/json", b"{}"),
    }
    with Wire(Says(answers)) as wire:
        client = Client(wire.url, Token("a.b.c"))
        client.get("/api/version")
        client.get("/api/version")
        client._token.expire()
        client.get("/api/version")  # its token ends in 5 seconds
        client.get("/api/version")
        paths = [path for _, path, _ in wire.requests]
    refresh, version = "/api/token/refresh", "/api/version"
    assert paths == [refresh, version, version, refresh, version, refresh, version]
    assert [headers.get("Authorization", "")[:6] for _, _, headers in wire.requests if "Authorization" in headers]
    assert "Authorization" not in wire.requests[0][2]


def test_the_token_is_shown_nowhere(monkeypatch):
    secret = "f" * 40
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", f" {secret}\n")
    token = Token.from_environment()
    assert token.header == f"Token {secret}"
    assert secret not in repr(token)
    assert token.hide(f"you sent {secret}") == "you sent (token)"
    for bad in ("", "two words"):
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", bad)
        with pytest.raises(ValueError, match="LABEL_STUDIO_API_KEY") as error:
            Token.from_environment()
        assert "two words" not in str(error.value)


def test_the_token_does_not_follow_to_another_host():
    other = Says({"/api/version": (200, "application/json", b"{}"), "/x.png": (200, "image/png", b"x")})
    with Wire(other) as elsewhere, Wire(Says({})) as wire:
        wire.harm = {n: ("answer", 302, b"", {"Location": f"{elsewhere.url}/api/version"}) for n in range(1, 9)}
        client = Client(wire.url, Token("f" * 40))
        with pytest.raises(ServerError, match="redirects to"):
            client.get("/api/version")
        table = pd.DataFrame({"picture": [f"{elsewhere.url}/x.png"]}, index=["a"])
        assert check_media(table, {"picture": "image"}, Server(client), timeout=5) == []
    assert [path for _, path, _, _ in other.bodies] == ["/x.png"]
    assert "Authorization" not in other.bodies[0][3]


def test_media_that_are_not_given_out():
    answers = {
        "/login": (200, "text/html", b"<html>"),
        "/gone.png": (404, "text/plain", b""),
        "/a.wav": (200, "audio/wav", b"x"),
        "/data/local-files/": (404, "text/html", b""),
    }
    with Wire(Says(answers)) as wire:
        server = Server(Client(wire.url, Token("f" * 40)))

        def check(value, kind="image", **more):
            table = pd.DataFrame({"m": ["", value]}, index=["a", "b"])
            return check_media(table, {"m": kind}, server, timeout=5, **more)

        for value, message in {
            f"{wire.url}/login": "is a web page and no image",
            f"{wire.url}/gone.png": r"the image of 'b' \(column 'm'\).*status 404",
            "17.png": "is no address that a browser can open.*--prefix.*--local-files",
            "/data/local-files/?d=x.png": "status 404.*set the variables",
            "file:///etc/passwd": None,
        }.items():
            if message is None:
                assert "only a storage of the server" in check(value)[0]
            else:
                with pytest.raises(ValueError, match=message):
                    check(value, hint="set the variables")
        assert check("data:image/png;base64,xx") == []
        assert check("17.png", "text") == []
        assert check(f"{wire.url}/a.wav", "audio") == []
        with pytest.raises(ServerError, match="cannot be reached"):
            check("http://no-such-host.invalid/a.png")


def test_folders_of_the_server():
    assert local_prefix("/srv/m & m/pictures", "/srv") == ("/data/local-files/?d=m%20%26%20m/pictures/", "/srv")
    for folder, root in (("pictures", None), ("/srv/media", "/srv/media"), ("/srv/../etc", None), ("/srv", "/media")):
        with pytest.raises(ValueError, match=r"absolute path|below the document root"):
            local_prefix(folder, root)
    table = as_data(
        pd.DataFrame({"id": [1, 2], "p": ["/srv/media/a b.png", "c.png"]}), {"p": "image"}, "id",
        "/data/local-files/?d=media/", base="/srv/media",
    )  # fmt: skip
    assert table["p"].to_dict() == {
        "1": "/data/local-files/?d=media/a%20b.png",
        "2": "/data/local-files/?d=media/c.png",
    }


@pytest.mark.parametrize("classes", [["a"], ["a", "b, c", "<d> & 'e'"], [f"c{i}" for i in range(40)]])
def test_our_own_interface_is_known_again(classes):
    config = labeling_config(FIELDS, classes)
    assert same_interface(config, FIELDS, "label")
    assert same_interface(config.replace("\n", "\n   "), FIELDS, "label")
    assert not same_interface(config.replace('maxHeight="55vh"', 'maxHeight="99vh"'), FIELDS, "label")
    assert not same_interface(config, {"picture": "image"}, "label")
    found = read_interface(config, "label", "it")
    found.check("label", FIELDS, classes, "it")
    assert found.classes == [*classes, "skmmal:unsure"]
    assert found.foreign_classes(classes[:1]) == classes[1:]
    assert found.to == "picture"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("<View><Text", "is no XML"),
        ("<View/>", "has no choice called 'label'"),
        ('<View><Labels name="label" toName="t"/></View>', "it is a Labels"),
        (
            '<View><Choices name="label" toName="t" choice="multiple"><Choice value="a"/></Choices></View>',
            "several choices",
        ),
        ('<View><Choices name="label" toName="t"><Choice value="b"/></Choices></View>', "no button for 1 of 1 classes"),
        (
            '<View><Text value="$x"/><Choices name="label" toName="t"><Choice value="a"/></Choices></View>',
            r"fields \['x'\]",
        ),
    ],
)
def test_interfaces_that_will_not_do(config, message):
    with pytest.raises(ValueError, match=message):
        read_interface(config, "label", "it").check("label", {"t": "text"}, ["a"], "it")


def test_interfaces_for_sets_of_labels():
    config = labeling_config({"t": "text"}, ["a", "b"], multilabel=True)
    found = read_interface(config, "label", "it")
    assert not found.is_single
    assert same_interface(config, {"t": "text"}, "label", True)
    assert not same_interface(config, {"t": "text"}, "label")
    found.check("label", {"t": "text"}, ["a", "b"], "it", multilabel=True)
    single = labeling_config({"t": "text"}, ["a", "b"])
    with pytest.raises(ValueError, match='takes one choice, and a row of this campaign has any of the classes; make it choice="multiple"'):
        read_interface(single, "label", "it").check("label", {"t": "text"}, ["a", "b"], "it", multilabel=True)


def test_whose_tasks_are_whose():
    tasks = [
        {"id": 1, "data": {"skmmal_id": "a", "skmmal_campaign": "m"}},
        {"id": 2, "data": {"skmmal_id": "a"}},
        {"id": 3, "data": {"skmmal_id": "b", "skmmal_campaign": "other"}},
        {"id": 4, "data": {"text": "x"}},
        {"id": 5, "data": None},
    ]
    found = our_tasks(tasks, "m")
    assert (found.numbers, found.n_foreign, found.marks) == ({"a": [1, 2]}, 3, {"other": 1})
    assert "3 tasks of the project are not this campaign's" in found.notes[0]
    assert "'a' (tasks 1, 2)" in found.notes[1]


ASKED = dict.fromkeys(
    [
        "url",
        "project",
        "new",
        "data",
        "fields",
        "id_column",
        "prefix",
        "encoding",
        "local_files",
        "document_root",
        "control",
    ]
)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "url is needed"),
        ({"url": "http://h"}, "name a project"),
        ({"url": "http://h", "project": 1, "new": "x"}, "name a project"),
        ({"url": "http://h", "project": 1}, "no data field"),
        ({"url": "http://h", "project": 1, "fields": {"p": "image"}}, "data is needed"),
        ({"url": "http://h", "project": 0, "fields": {"p": "image"}, "data": "x.csv"}, "project must be"),
        ({"url": "http://h", "project": 1, "fields": {"p": "image"}, "data": "x.csv", "prefix": "/a", "local_files": "/b/c"}, "one of prefix"),
    ],
)  # fmt: skip
def test_what_is_asked_for(tmp_path, asked, message):
    with pytest.raises((ValueError, TypeError), match=message):
        agree(None, tmp_path, **{**ASKED, **asked})


def test_before_anything_is_asked_of_a_server(tmp_path, monkeypatch):
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    campaign = begin(tmp_path)
    for call in (campaign.push, campaign.pull):
        with pytest.raises(ValueError, match="is not connected"):
            call()
    items = pd.read_csv(tmp_path / "items.csv")
    options = {"new": "x", "fields": FIELDS}
    with pytest.raises(ValueError, match="LABEL_STUDIO_API_KEY is not set"):
        campaign.connect("http://localhost:1", data=items, **options)
    with pytest.raises(ValueError, match="1 of 64 ids of the campaign are not in it"):
        campaign.connect("http://localhost:1", data=items[1:], **options)
    for watch, next_when in ((0, 0.9), ("x", 0.9), (1, 0), (1, 1.5)):
        with pytest.raises((ValueError, TypeError), match="watch must be|next_when must be"):
            campaign.pull(watch=watch, next_when=next_when)
    with pytest.raises(ValueError, match="predictions must be"):
        campaign.push(predictions="some")
    assert len(LabelingCampaign(campaign.folder).log) == 0


def test_watching_waits_for_a_server_and_ends(monkeypatch):
    """The order of things, with what the server would say put in by hand."""
    pauses = []
    monkeypatch.setattr("skmmal.campaign.connect._watching.time.sleep", pauses.append)
    away = ServerError("away", passes=True)
    busy = ServerError("busy", passes=True, status=429, pause=99.0)
    said = {"not_there": 0, "pending": 3, "entry": 1}
    pulls = iter([away, away, busy, said, {**said, "not_there": 2}, {**said, "pending": 0}])
    batches = iter([{"round": 1}, None])
    happened = []

    def pull():
        found = next(pulls)
        if isinstance(found, Exception):
            raise found
        return found

    def hand_out():
        from skmmal.campaign._batches import NothingLeftError

        try:
            return next(batches)
        except StopIteration:
            raise NothingLeftError("nothing is left") from None

    last = run(pull, hand_out, lambda: {"sent": 1}, lambda what, _: happened.append(what), 10.0)
    assert last["pending"] == 0
    assert happened == ["wait"] * 3 + ["pull", "next", "push", "pull", "push", "pull", "over"]
    assert pauses == [10.0, 20.0, 99.0, 10.0, 10.0]
    with pytest.raises(ServerError, match="refused"):
        run(lambda: (_ for _ in ()).throw(ServerError("refused")), hand_out, dict, lambda *_: None, 1.0)
