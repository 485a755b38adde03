"""The labelling page in a real browser: a whole round by keyboard, on a desk and on a phone.

Not part of the quick suite: it needs Playwright, axe-core (``axe-playwright-python``) and a Chromium, by the environment
variable ``CHROMIUM`` or on the path. With ``SCREENSHOTS=FOLDER`` it keeps what it saw.
"""

import json
import os
import shutil
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import sync_playwright

from skmmal import LateFusionClassifier
from skmmal.campaign import LabelingCampaign
from skmmal.campaign.page import LabelingPage

NASTY = "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script> & \"co\""
SCREENS = {"desk": (1400, 900), "phone": (390, 844)}
CLASSES = ["cat", "dog", "eel", *(f"kind {i}" for i in range(4, 13))]


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


def keep(page, name):
    if os.environ.get("SCREENSHOTS"):
        folder = Path(os.environ["SCREENSHOTS"])
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png", full_page=name.startswith("phone"))


def wait(page, condition, **values):
    """Ask until it is so: the page's policy forbids what Playwright would do for it."""
    for _ in range(600):
        if page.evaluate(f"values => Boolean({condition})", values):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"in vain: {condition} {values}")


def serious(page):
    found = Axe().run(page).response["violations"]
    return {each["id"]: [node["html"] for node in each["nodes"]] for each in found if each["impact"] in ("serious", "critical")}


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Eight rows in two groups of colors, each with a picture, a sound and a text that is full of markup."""
    root, rng = tmp_path_factory.mktemp("items"), np.random.default_rng(0)
    ids = [f"row{i}" for i in range(24)]
    for i, name in enumerate(ids):
        Image.fromarray(np.full((480, 640, 3), [[(200, 60, 60), (60, 60, 200)][i % 2]], np.uint8)).save(root / f"{name}.png")
    with wave.open(str(root / "tone.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes((8000 * np.sin(np.arange(8000) / 3)).astype("<i2").tobytes())
    data = pd.DataFrame({"picture": [f"{name}.png" for name in ids], "sound": "tone.wav", "name": NASTY}, index=ids)
    X = {"a": np.arange(24)[:, None] % 2 + 0.1 * rng.random((24, 3)), "b": rng.random((24, 2))}
    return data, root, X


@pytest.mark.parametrize("screen", SCREENS)
def test_a_round_by_keyboard(browser, items, tmp_path, screen):
    data, root, X = items
    campaign = LabelingCampaign.create(
        tmp_path / "colors", X, ids=list(data.index), estimator=LateFusionClassifier(), initial="random", n_instances=8,
        random_fraction=0.25, classes=CLASSES,
    )  # fmt: skip
    fields = {"picture": "image", "sound": "audio", "name": "text"}
    context = browser.new_context(viewport=dict(zip(("width", "height"), SCREENS[screen], strict=True)))
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    outside = []
    page.on("request", lambda request: outside.append(request.url) if "127.0.0.1" not in request.url and not request.url.startswith("data:") else None)

    def answered(n):
        wait(page, "view && view.n_labels === values.n && !busy", n=n)

    with LabelingPage(campaign, data, fields, root=root, annotator="ann") as served:
        page.goto(served.url)
        assert page.url == f"http://127.0.0.1:{served.port}/"  # the token is out of sight
        page.get_by_text("No batch was handed out yet").wait_for()
        page.keyboard.press("n")
        page.locator("#media img").wait_for()
        wait(page, "document.querySelector('#media img').naturalWidth === 640")
        wait(page, "document.querySelector('#media audio').readyState >= 1")
        assert page.locator("#media blockquote").inner_text() == NASTY
        assert page.evaluate("window.hacked") is None
        assert not serious(page)
        keep(page, f"{screen}-first")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= SCREENS[screen][0]  # nothing to scroll sideways
        if screen == "desk":  # all on one screen
            assert page.evaluate("document.documentElement.scrollHeight") <= 900
            assert page.locator("#undo").bounding_box()["y"] < 900
        else:  # fingers need room
            assert all(box["height"] >= 40 for box in (each.bounding_box() for each in page.locator("#classes button").all()))
        for i in range(8):
            row = page.evaluate("view.task.id")
            page.keyboard.press("1" if int(row[3:]) % 2 else "2")
            answered(i + 1)
        page.get_by_text("Every row that was handed out has an answer").wait_for()
        keep(page, f"{screen}-done")
        assert not serious(page)
        page.keyboard.press("z")  # the last answer was wrong
        answered(7)
        page.keyboard.press("3")
        answered(8)
        page.keyboard.press("n")
        wait(page, "view.round === 2 && view.task")
        while page.evaluate("view.task.suggestion") is None:
            before = page.evaluate("view.n_waiting")
            page.keyboard.press("s")
            wait(page, "view.n_waiting < values.n && !busy", n=before)
        page.locator("button.suggested").wait_for()
        keep(page, f"{screen}-suggestion")
        assert not serious(page)
        suggested = page.evaluate("view.task")
        page.keyboard.press("Enter")
        answered(9)
        unsure = page.evaluate("view.task.id")
        page.keyboard.press("u")
        wait(page, "view.task.id !== values.id && !busy", id=unsure)
        page.keyboard.press("/")
        page.keyboard.type("kind 12")
        typed = page.evaluate("view.task.id")
        page.keyboard.press("Enter")
        answered(10)
    context.close()
    history = campaign.history.set_index("id")
    assert history.at[suggested["id"], "label"] == suggested["suggestion"]["labels"][0]
    assert history.at[suggested["id"], "origin"] == "prediction"
    assert campaign.labels.at[unsure, "state"] == "unsure"
    assert campaign.labels.at[typed, "label"] == "kind 12"
    assert set(history["annotator"]) == {"ann"}
    assert (history["lead_time"].astype(float) < 600).all()
    assert "undo" in campaign.log["kind"].tolist()
    assert said == []
    assert outside == []


def test_dark(browser, items, tmp_path):
    data, root, X = items
    campaign = LabelingCampaign.create(tmp_path / "c", X, ids=list(data.index), initial="random", n_instances=4, classes=CLASSES)
    campaign.next_batch()
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    with LabelingPage(campaign, data, {"picture": "image", "name": "text"}, root=root) as served:
        page.goto(served.url)
        page.locator("#media img").wait_for()
        keep(page, "dark")
        assert not serious(page)
        assert json.loads(page.evaluate("JSON.stringify(getComputedStyle(document.body).backgroundColor)")) != "rgb(255, 255, 255)"
    context.close()
