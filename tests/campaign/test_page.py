"""The labelling page: answers reach the log at once, and nobody else gets in or reads anything."""

import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.parse
import wave
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from skmmal.campaign import LabelingCampaign, export_batch
from skmmal.campaign.page import LabelingPage
from skmmal.campaign.page._media import byte_range

NASTY = "<img src=x onerror=alert(1)></script><script>alert('a')</script> & \"co\""
FIELDS = {"picture": "image", "sound": "audio", "name": "text"}


@pytest.fixture
def data(pool, tmp_path):
    """What annotators see: a picture, a sound and a text for each row, in a folder with other things around it."""
    from PIL import Image

    root = tmp_path / "files"
    (root / "a b").mkdir(parents=True)
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(root / "a b" / "x&y #1.png")
    with wave.open(str(root / "tone.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(range(256)) * 40)
    (tmp_path / "secret.png").write_bytes(b"secret")
    (root / "page.html").write_text("<script>alert(1)</script>")
    (root / "text.png.txt").write_text("secret")
    table = pd.DataFrame({"picture": "a b/x&y #1.png", "sound": "tone.wav", "name": NASTY}, index=list(pool[1]))
    return table, root


@pytest.fixture
def campaign(begin):
    opened = begin(classes=["cat", "dog", "eel"], random_fraction=0.25)
    opened.next_batch()
    return opened


@pytest.fixture
def page(campaign, data):
    with LabelingPage(campaign, data[0], FIELDS, root=data[1], annotator="ann") as served:
        yield served


class Browser:
    """A browser that does what it is told."""

    def __init__(self, page):
        self.page, self.cookie = page, None
        self.origin = f"http://127.0.0.1:{page.port}"

    def ask(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            headers.setdefault("Cookie", self.cookie)
        with closing(http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=20)) as connection:
            connection.request(method, path, body, {name: value for name, value in headers.items() if value is not None})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def enter(self):
        status, headers, _ = self.ask("GET", self.page.url.removeprefix(self.origin))
        assert status == 303
        assert headers["Location"] == "/"
        assert {"HttpOnly", "SameSite=Strict"} <= set(headers["Set-Cookie"].split("; "))
        self.cookie = headers["Set-Cookie"].split(";")[0]
        return self

    def view(self):
        status, _, content = self.ask("GET", "/view")
        assert status == 200
        return json.loads(content)

    def post(self, path, content, code=200, **headers):
        sent = {"Content_Type": "application/json", "Origin": self.origin, **headers}
        status, _, answer = self.ask("POST", path, json.dumps(content), **sent)
        assert status == code, answer
        return json.loads(answer)

    def answer(self, row, *labels, state="label", code=200):
        return self.post("/answer", {"id": row, "labels": list(labels), "state": state, "seconds": 2.5}, code)


@pytest.fixture
def browser(page):
    return Browser(page).enter()


# ------------------------------------------------------------------------------------------------------ the round


def test_a_whole_round(campaign, browser, pool):
    batch, seen = campaign.batches, []
    while (view := browser.view())["task"]:
        task = view["task"]
        assert [medium["kind"] for medium in task["media"]] == ["image", "audio", "text"]
        seen.append(task["id"])
        browser.answer(task["id"], pool[1][task["id"]])
    assert seen == batch["id"].tolist()
    assert campaign.labels["label"].to_dict() == {name: pool[1][name] for name in seen}
    events = campaign.history
    assert set(events["annotator"]) == {"ann"}
    assert set(events["lead_time"]) == {"2.5"}
    assert set(events["origin"]) == {"manual"}  # there was no model yet
    view = browser.post("/next", {"round": 2})
    assert (view["round"], view["n_left"]) == (2, 12)
    assert browser.post("/next", {"round": 2})["n_rounds"] == 2  # once more: nothing changes
    assert "round 9 is not the next one" in browser.post("/next", {"round": 9}, code=400)["error"]


def test_every_answer_is_in_the_log_before_the_page_hears_of_it(campaign, browser):
    first, second, third = campaign.batches["id"][:3]
    for row, state in ((first, "skip"), (second, "unsure")):
        assert browser.answer(row, state=state)["task"]["id"] != row
    assert campaign.labels.loc[[first, second], "state"].tolist() == ["skip", "unsure"]
    undone = browser.post("/undo", {})
    assert (undone["task"]["id"], undone["can_undo"]) == (second, True)
    assert browser.post("/undo", {})["task"]["id"] == first
    assert "nothing to undo" in browser.post("/undo", {}, code=400)["error"]
    assert len(campaign.labels) == 0
    assert campaign.log["kind"].tolist() == ["round", "labels", "labels", "undo", "undo"]
    assert browser.answer(first, "cat")["n_labels"] == 1
    answered = browser.answer(first, "dog", code=409)
    assert answered["view"]["task"]["id"] == second
    assert "not wait" in answered["error"]
    assert "new here" in browser.answer(second, "horse", code=400)["error"]
    assert "one class" in browser.answer(third, "cat", "dog", code=400)["error"]
    assert campaign.labels["label"].to_dict() == {first: "cat"}


def test_suggestions_are_not_shown_where_they_would_bias(campaign, browser, data, pool, answer):
    campaign.add_labels(answer(campaign.batches))
    batch = campaign.next_batch()
    slices = set(batch["id"][batch["chosen_by"] == "random-slice"])
    predicted = dict(zip(batch["id"], batch["predicted"], strict=True))
    n = {"prediction": 0, "prediction-changed": 0, "manual": 0}
    while (task := browser.view()["task"]) is not None:
        if task["id"] in slices:
            assert task["suggestion"] is None
            assert predicted[task["id"]] not in task["why"]
            n["manual"] += 1
        else:
            assert task["suggestion"]["labels"] == [predicted[task["id"]]]
            right = predicted[task["id"]] == pool[1][task["id"]]
            n["prediction" if right else "prediction-changed"] += 1
        browser.answer(task["id"], pool[1][task["id"]])
    assert len(slices) == n["manual"] == 3
    assert campaign.status().origins == {name: count for name, count in n.items() if count}
    campaign.undo(len(campaign.log))
    for predictions, expected in (("all", 12), ("none", 0)):
        with LabelingPage(campaign, data[0], FIELDS, root=data[1], predictions=predictions) as other:
            shown = Browser(other).enter().view()["task"]["suggestion"]
            assert (shown is not None) == (expected > 0)
    with pytest.raises(ValueError, match="predictions must be one of"):
        LabelingPage(campaign, data[0], FIELDS, root=data[1], predictions="some")


def test_a_row_that_is_handed_out_once_more_waits(campaign, browser, tmp_path):
    first = campaign.batches["id"].iloc[0]
    browser.answer(first, state="skip")
    campaign.add_labels(dict.fromkeys(campaign.batches["id"][1:], "cat"))
    campaign.next_batch(200, include=["skip"])
    assert first in campaign.state().waiting
    assert first not in campaign.state().pending
    rows = campaign.batches[campaign.batches["round"] == 2]["id"].tolist()
    assert list(campaign.state().waiting) == rows
    assert export_batch(campaign, tmp_path / "again.csv", "csv") == len(rows)
    campaign.add_labels({name: "cat" for name in rows if name != first})
    task = browser.view()["task"]
    assert task["said"] == "labelled once more: it was skipped"
    browser.answer(first, "dog")
    assert campaign.labels.at[first, "label"] == "dog"
    assert first not in campaign.state().waiting


def test_rows_with_several_labels(pool, data, tmp_path):
    opened = LabelingCampaign.create(
        tmp_path / "sets", pool[0], multilabel=True, classes=["cat", "dog", "eel"], initial="random", n_instances=4
    )
    opened.next_batch()
    with LabelingPage(opened, data[0], FIELDS, root=data[1]) as served:
        browser = Browser(served).enter()
        view = browser.view()
        assert view["several"]
        said = [["dog", "cat"], [], ["eel"]]
        rows = []
        for labels in said:
            rows.append(view["task"]["id"])
            view = browser.answer(rows[-1], *labels)
        assert "cannot be the name" in browser.answer(view["task"]["id"], "cat|dog", code=400)["error"]
        assert browser.answer(view["task"]["id"], state="unsure")["task"] is None
    assert opened.labels.loc[rows, "label"].tolist() == ["cat|dog", "", "eel"]
    assert opened.labels.loc[rows, "state"].tolist() == ["label"] * 3


def test_classes_may_be_named_where_there_are_none(begin, data):
    opened = begin()
    with LabelingPage(opened, data[0], FIELDS, root=data[1]) as served:
        browser = Browser(served).enter()
        assert browser.view()["task"] is None
        view = browser.post("/next", {"round": 1})
        assert view["may_name_classes"]
        view = browser.answer(view["task"]["id"], "sphinx <b>")
        assert (view["classes"], view["may_name_classes"]) == (["sphinx <b>"], False)


def test_rows_of_a_group_are_shown_behind_each_other(campaign, data, monkeypatch):
    state = campaign.state()
    ids = state.batches[0]["id"].tolist()
    grouped = state.batches[0].assign(group=["p", "", "q", "p", *[""] * 6, "q", "p"])
    del state.batches
    monkeypatch.setattr(type(state), "batches", [grouped])
    with LabelingPage(campaign, data[0], FIELDS, root=data[1]) as served:
        browser, seen = Browser(served).enter(), []
        while (task := browser.view()["task"]) is not None:
            seen.append((task["id"], task["group"] and (task["group"]["name"], task["group"]["answered"])))
            browser.answer(task["id"], "cat")
    expected = [ids[i] for i in (0, 3, 11, 1, 2, 10, 4, 5, 6, 7, 8, 9)]
    assert [name for name, _ in seen] == expected
    assert [group for _, group in seen][:6] == [("p", 0), ("p", 1), ("p", 2), None, ("q", 0), ("q", 1)]


def test_a_killed_page_loses_nothing(campaign, data, tmp_path):
    data[0].rename_axis("id").reset_index().to_csv(data[1] / "items.csv", index=False)
    command = [sys.executable, "-m", "skmmal", "campaign", "label", str(campaign.folder), "--data", str(data[1] / "items.csv"), "--image", "picture", "--text", "name", "--annotator", "bob"]  # fmt: skip
    row = campaign.batches["id"].iloc[0]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        served = SimpleNamespace(url=process.stdout.readline().split()[1])
        served.port = urllib.parse.urlsplit(served.url).port
        assert Browser(served).enter().answer(row, "cat")["n_labels"] == 1
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    assert campaign.labels["label"].to_dict() == {row: "cat"}
    assert set(campaign.history["annotator"]) == {"bob"}
    campaign.verify()


# -------------------------------------------------------------------------------------------------------- attacks


def test_the_token_works_once(page):
    stranger = Browser(page)
    status, headers, _ = stranger.ask("GET", "/?token=guess")
    assert (status, "Set-Cookie" in headers) == (403, False)
    for path in ("/", "/view", "/media?id=s000&field=picture"):
        assert stranger.ask("GET", path)[0] == 403
    first = Browser(page).enter()
    second = stranger.ask("GET", page.url.removeprefix(stranger.origin))
    assert (second[0], "Set-Cookie" in second[1]) == (403, False)
    assert first.ask("GET", page.url.removeprefix(first.origin))[0] == 303  # the one who is in may come back
    for cookie in (f"skmmal_{page.port}=guess", f"skmmal_{page.port}=", "x=y", "skmmal_1=" + first.cookie.split("=")[1], "\x80"):
        assert stranger.ask("GET", "/view", Cookie=cookie)[0] == 403, cookie


def test_only_its_own_address(page, browser):
    for host in ("evil.example", f"evil.example:{page.port}", "127.0.0.1", f"127.0.0.1:{page.port + 1}", "", f"127.0.0.1:{page.port}.evil.example"):
        for path in ("/", "/view", page.url.removeprefix(browser.origin)):
            assert browser.ask("GET", path, Host=host)[0] == 421, host
        assert browser.ask("POST", "/undo", "{}", Host=host, Origin=browser.origin, Content_Type="application/json")[0] == 421
    assert browser.ask("GET", "/view", Host=f"localhost:{page.port}")[0] == 200
    with closing(http.client.HTTPConnection("127.0.0.1", page.port)) as connection:
        connection.putrequest("GET", "/view", skip_host=True)
        connection.putheader("Host", f"127.0.0.1:{page.port}")
        connection.putheader("Host", "evil.example")
        connection.endheaders()
        assert connection.getresponse().status == 421


def test_only_the_page_itself_writes(campaign, page, browser):
    row = campaign.batches["id"].iloc[0]
    content = {"id": row, "labels": ["cat"], "state": "label", "seconds": 1}
    for origin in (None, "null", "http://evil.example", f"https://127.0.0.1:{page.port}", f"http://127.0.0.1:{page.port + 1}", f"http://localhost:{page.port}"):
        browser.post("/answer", content, code=403, Origin=origin)
        browser.post("/undo", {}, code=403, Origin=origin)
        browser.post("/next", {"round": 2}, code=403, Origin=origin)
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):  # what a form of another page can send
        browser.post("/answer", content, code=415, Content_Type=kind)
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert browser.ask(method, "/answer")[0] == 501
    assert browser.ask("GET", "/answer?id=" + row)[0] == 404
    assert Browser(page).ask("POST", "/answer", json.dumps(content), Content_Type="application/json", Origin=browser.origin)[0] == 403
    assert campaign.log["kind"].tolist() == ["round"]


@pytest.mark.parametrize(
    "content",
    [
        [], {}, {"id": 1, "labels": [], "state": "label"}, {"id": "s", "labels": "cat", "state": "label"},
        {"id": "s", "labels": [1], "state": "label"}, {"id": "s", "labels": ["cat"], "state": "label", "seconds": "1"},
        {"id": "s", "labels": ["cat"], "state": "label", "seconds": -1}, {"id": "s", "labels": ["cat"], "state": "reject"},
        {"id": "s", "labels": ["cat"], "state": "skip"}, {"id": "s", "labels": [], "state": "label"},
    ],
)  # fmt: skip
def test_answers_that_are_none(campaign, browser, content):
    browser.post("/answer", content, code=400)
    assert len(campaign.log) == 1


def test_requests_that_are_none(campaign, browser):
    sent = {"Content_Type": "application/json", "Origin": browser.origin}
    assert browser.ask("POST", "/answer", "{", **sent)[0] == 400
    assert browser.ask("POST", "/answer", "[" * 60_000, **sent)[0] == 400
    assert browser.ask("POST", "/answer", b"\xff\xfe", **sent)[0] == 400
    assert browser.ask("POST", "/answer", " " * 70_000, **sent)[0] == 413
    assert browser.ask("POST", "/answer", None, Content_Length="-1", **sent)[0] in (400, 415)
    browser.post("/next", {"round": "x"}, code=400)
    browser.post("/next", {}, code=400)
    assert len(campaign.log) == 1


def test_nothing_else_is_readable(page, browser, campaign):
    for path in (
        "/campaign.json", "/page.html", "/files/page.html", "/../secret.png", "/%2e%2e/secret.png", "/..%2fsecret.png",
        "/media/../../secret.png", "//etc/passwd", "/etc/passwd", "/%00", "/log", "/media", "/media?id=../secret.png",
        "/media?id=s000", "/media?id=s000&field=../secret.png", "/media?id=s000&field=name", "/media?id=nobody&field=picture",
        "/media?id=s000&field=page.html", "/favicon.ico",
    ):  # fmt: skip
        assert browser.ask("GET", path)[0] == 404, path
        assert browser.ask("HEAD", path)[0] == 404, path


def media_path(row="s000", field="picture"):
    return "/media?" + urllib.parse.urlencode({"id": row, "field": field})


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png", "a b/../../secret.png", "a b/../../../../../../etc/passwd", "/etc/passwd", "{tmp}/secret.png",
        "outside.png", "folder/secret.png", "loop.png", "page.html", "page.svg.html", "text.png.txt", "a b", "", ".", "..",
        "nowhere.png", "%2e%2e/secret.png", "..%2fsecret.png", "..\\secret.png", "x" * 5000 + ".png", "a\0.png", "fifo.png",
        "tone.wav",
    ],
)  # fmt: skip
def test_files_outside_the_root_or_of_another_kind(campaign, data, tmp_path, name):
    table, root = data
    (root / "outside.png").symlink_to(tmp_path / "secret.png")
    (root / "folder").symlink_to(tmp_path)
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "fifo.png")
    table.loc["s000", "picture"] = name.replace("{tmp}", str(tmp_path))
    with LabelingPage(campaign, table, FIELDS, root=root) as served:
        browser = Browser(served).enter()
        status, _, content = browser.ask("GET", media_path())
        assert status == 404
        assert b"secret" not in content
        assert browser.ask("GET", media_path("s001"))[0] == 200


def test_links_inside_the_root_are_followed(campaign, data):
    table, root = data
    (root / "inside.png").symlink_to(root / "a b" / "x&y #1.png")
    linked = root.parent / "linked"
    linked.symlink_to(root)
    table.loc["s000", "picture"] = "inside.png"
    with LabelingPage(campaign, table, FIELDS, root=linked) as served:
        status, headers, content = Browser(served).enter().ask("GET", media_path())
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert content == (root / "a b" / "x&y #1.png").read_bytes()


def test_a_link_that_is_turned_outside_later(campaign, data, tmp_path):
    table, root = data
    table.loc["s000", "picture"] = "later.png"
    (root / "later.png").write_bytes(b"harmless")
    with LabelingPage(campaign, table, FIELDS, root=root) as served:
        browser = Browser(served).enter()
        assert browser.ask("GET", media_path())[2] == b"harmless"
        (root / "later.png").unlink()
        (root / "later.png").symlink_to(tmp_path / "secret.png")
        assert browser.ask("GET", media_path())[0] == 404


def test_texts_travel_as_data_and_the_page_runs_its_own_script_only(browser):
    status, headers, content = browser.ask("GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    nonce = policy["script-src"].removeprefix("'nonce-").removesuffix("'")
    text = content.decode()
    assert text.count(f'nonce="{nonce}"') == 2
    assert "innerHTML" not in text
    assert "insertAdjacentHTML" not in text
    assert "://" not in text  # nothing from elsewhere
    assert browser.ask("GET", "/")[1]["Content-Security-Policy"] != headers["Content-Security-Policy"]  # another nonce
    shown = browser.ask("GET", "/view")
    assert shown[1]["Content-Type"] == "application/json"
    assert shown[1]["X-Content-Type-Options"] == "nosniff"
    assert json.loads(shown[2])["task"]["media"][2]["text"] == NASTY


def test_a_picture_with_a_script_is_put_in_a_sandbox(campaign, data):
    table, root = data
    (root / "x.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    table.loc["s000", "picture"] = "x.svg"
    with LabelingPage(campaign, table, FIELDS, root=root) as served:
        status, headers, _ = Browser(served).enter().ask("GET", media_path())
    assert (status, headers["Content-Security-Policy"]) == (200, "default-src 'none'; sandbox")


def test_urls_are_refused(campaign, data):
    table, root = data
    for value in ("https://host/x.png", "//host/x.png", "data:image/png;base64,AAAA", "file:///etc/passwd"):
        table.loc["s003", "picture"] = value
        with pytest.raises(ValueError, match=r"s003.*is a URL"):
            LabelingPage(campaign, table, FIELDS, root=root)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        LabelingPage(campaign, table, {"name": "text"}, root=root / "nowhere")
    with pytest.raises(ValueError, match="nothing is to be shown"):
        LabelingPage(campaign, table, {}, root=root)


def test_rows_that_lack_something(campaign, data):
    table, root = data
    first, second, third = campaign.batches["id"][:3]
    table.loc[first, ["picture", "name"]] = ""
    table.loc[second, "picture"] = "gone.png"
    table = table.drop(index=third)
    with LabelingPage(campaign, table, FIELDS, root=root) as served:
        assert served.absent() == {"picture": 3, "sound": 1, "name": 2}
        browser = Browser(served).enter()
        assert [medium["text"] for medium in browser.view()["task"]["media"]] == ["No picture.", "tone.wav", "No name."]
        shown = browser.answer(first, state="skip")["task"]["media"][0]
        assert shown == {"name": "picture", "kind": "none", "text": "The file 'gone.png' cannot be shown."}
        assert browser.answer(second, state="skip")["task"]["media"][0]["text"] == f"The data have no row {third!r}."


# --------------------------------------------------------------------------------------------------------- ranges


def test_parts_of_a_sound(browser, data):
    whole = (data[1] / "tone.wav").read_bytes()
    n, path = len(whole), media_path(field="sound")
    status, headers, content = browser.ask("GET", path)
    assert (status, headers["Accept-Ranges"], headers["Content-Type"], content) == (200, "bytes", headers["Content-Type"], whole)
    assert headers["Content-Type"].startswith("audio/")
    for asked, (first, end) in {"bytes=0-": (0, n), "bytes=10-19": (10, 20), "bytes=-7": (n - 7, n), "bytes=5-999999": (5, n)}.items():
        status, headers, content = browser.ask("GET", path, Range=asked)
        assert (status, content) == (206, whole[first:end])
        assert headers["Content-Range"] == f"bytes {first}-{end - 1}/{n}"
    status, headers, content = browser.ask("GET", path, Range=f"bytes={n}-")
    assert (status, headers["Content-Range"], content) == (416, f"bytes */{n}", b"")
    assert browser.ask("HEAD", path)[1]["Content-Length"] == str(n)
    for ignored in ("bytes=3-2", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=a-b", "bytes=１-２"):
        with_range = browser.ask("GET", path, Range=ignored.encode())
        assert (with_range[0], with_range[2]) == (200, whole), ignored


def test_ranges_against_slices():
    content = bytes(range(20))
    for first in range(20):
        for last in range(first, 25):
            start, end = byte_range(f"bytes={first}-{last}", 20)
            assert content[start:end] == content[first : last + 1]
    for n in range(1, 25):
        start, end = byte_range(f"bytes=-{n}", 20)
        assert content[start:end] == content[-n:]
    with pytest.raises(ValueError, match="the file has 0"):
        byte_range("bytes=0-", 0)
    with pytest.raises(ValueError, match="the file has 20"):
        byte_range("bytes=-0", 20)


def test_two_tabs_at_once(campaign, browser):
    """Requests at the same time take turns; one answer of two for the same row is told that it was too late."""
    import threading

    row, codes = campaign.batches["id"].iloc[0], []

    def say(label):
        content = json.dumps({"id": row, "labels": [label], "state": "label", "seconds": 1})
        codes.append(browser.ask("POST", "/answer", content, Content_Type="application/json", Origin=browser.origin)[0])

    threads = [threading.Thread(target=say, args=(label,)) for label in ("cat", "dog")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 409]
    assert len(campaign.history) == 1


def test_a_campaign_that_is_held_by_another_command(begin, data):
    from skmmal.campaign._lock import locked

    begin(classes=["cat"]).next_batch()
    opened = begin(classes=["cat"], lock_timeout=0.2)
    with LabelingPage(opened, data[0], FIELDS, root=data[1]) as served, locked(opened.folder, "next", 1):
        browser = Browser(served).enter()
        assert "next" in browser.answer(browser.view()["task"]["id"], "cat", code=503)["error"]


def test_several_campaigns_each_with_a_port(campaign, data, page):
    with LabelingPage(campaign, data[0], FIELDS, root=data[1]) as other:
        assert other.port != page.port
        with pytest.raises(OSError, match=f"port {other.port} cannot be used"):
            LabelingPage(campaign, data[0], FIELDS, root=data[1], port=other.port)
    LabelingPage(campaign, data[0], FIELDS, root=data[1], port=other.port).close()  # it is free again


