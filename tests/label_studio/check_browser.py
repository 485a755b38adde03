"""A person at the screen: a headless browser labels tasks of a real Label Studio, and the labels arrive.

Needs Chromium (``CHROMIUM`` names it; default: the one on the path) and the package playwright.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path

import pytest
from label_studio_story import FIELDS, begin, truth

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
NUMBER = ".lsf-current-task__task-id"
SIZE = {"width": 1400, "height": 900}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "there is no Chromium: set CHROMIUM"
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(browser, studio, project):
    context = browser.new_context(viewport=SIZE)
    jar = studio.users["ann"].jar
    context.add_cookies([{"name": one.name, "value": one.value, "url": studio.url} for one in jar])
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.goto(f"{studio.url}/projects/{project}/data?labeling=1")
    page.get_by_test_id("bottombar-submit-button").or_(page.get_by_test_id("bottombar-skip-button")).first.wait_for()
    return page


def picture(page, name):
    if "SCREENSHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{name}.png")


def shown(page):
    """Our id of the task on the screen: the text that is shown is made of it."""
    page.locator(".lsf-choices").first.wait_for()
    return page.locator(".lsf-choices").first


def current_row(page, studio, project):
    number = int(re.match(r"\d+", page.locator(NUMBER).first.inner_text())[0])
    tasks = studio.people(project).tasks()
    (row,) = [task["data"]["skmmal_id"] for task in tasks if task["id"] == number]
    return row


def next_task(page, studio, project, before):
    """Wait until another task is on the screen."""
    for _ in range(300):
        page.wait_for_timeout(200)
        if page.locator(NUMBER).count() and (row := current_row(page, studio, project)) != before:
            shown(page)
            return row
    raise AssertionError(f"the task of {before!r} stays")


def test_tick_unsure_skip_accept(studio, browser, tmp_path):
    """A choice by its key, "I cannot tell", a skip, and a suggestion taken as it is: all of it arrives."""
    campaign = begin(tmp_path)
    title = f"browser {secrets.token_hex(4)}"
    project = campaign.connect(studio.url, new=title, data=tmp_path / "items.csv", fields=FIELDS)["project"]
    campaign.next_batch()
    campaign.add_labels({row: truth(row) for row in campaign.batches["id"]}, annotator="start")
    campaign.next_batch(5, random_fraction=0.0)
    campaign.push()
    predicted = campaign.batches.set_index("id")["predicted"]
    page = open_page(browser, studio, project)
    shown(page)
    rows = [current_row(page, studio, project)]
    picture(page, "suggestion")
    submit = page.get_by_test_id("bottombar-submit-button")
    submit.click()  # accept the suggestion
    rows.append(next_task(page, studio, project, rows[-1]))
    page.keyboard.press("2")  # another choice, by its key
    submit.click()
    rows.append(next_task(page, studio, project, rows[-1]))
    page.keyboard.press("0")
    submit.click()
    rows.append(next_task(page, studio, project, rows[-1]))
    page.get_by_test_id("bottombar-skip-button").click()
    next_task(page, studio, project, rows[-1])
    said = campaign.pull()
    assert (said["new"], said["states"]) == (4, {"label": 2, "skip": 1, "unsure": 1})
    labels = campaign.labels
    assert labels.loc[rows[0], "label"] == predicted[rows[0]]
    assert labels.loc[rows[1], "label"] == sorted(campaign.state().classes)[1]
    assert labels.loc[rows[2], "state"] == "unsure"
    assert labels.loc[rows[3], "state"] == "skip"
    history = campaign.history.set_index("id")
    assert history.loc[rows[0], "origin"] == "prediction"
    assert (history.loc[rows, "lead_time"].astype(float) > 0).all()
    assert set(history.loc[rows, "annotator"]) == {"ann@example.com"}


@pytest.mark.parametrize("n_classes", [9, 24])
def test_everything_is_on_one_screen(studio, browser, tmp_path, n_classes):
    """At 1400 × 900: media, the reason, the choices, and from 20 classes on a box that filters them."""
    import numpy as np
    import pandas as pd

    from skmmal.campaign import LabelingCampaign

    ids = [f"r{i}" for i in range(4)]
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="2000" height="3000"><rect width="2000" height="3000"/></svg>'
    folder = studio.root / "pictures"
    (folder / "large.svg").write_text(svg)
    items = pd.DataFrame({"id": ids, "picture": "large.svg", "name": "word " * 400})
    classes = [f"class {i:02d}" for i in range(n_classes)]
    campaign = LabelingCampaign.create(
        tmp_path / "c", {"a": np.eye(4)}, ids=ids, classes=classes, initial="random", n_instances=2
    )
    project = campaign.connect(
        studio.url, new=f"screen {secrets.token_hex(4)}", data=items, fields={"picture": "image", "name": "text"},
        local_files=str(folder),
    )["project"]  # fmt: skip
    campaign.next_batch()
    campaign.push(data=items)
    page = open_page(browser, studio, project)
    shown(page)
    page.wait_for_timeout(1500)
    picture(page, f"classes_{n_classes}")

    def on_screen(locator):
        box = locator.bounding_box()
        return box["x"] >= 0 and box["y"] >= 0 and box["x"] + box["width"] <= 1400 and box["y"] + box["height"] <= 850

    visible = [name for name in classes if on_screen(page.get_by_text(name, exact=False).first)]
    assert on_screen(page.locator("img[alt], canvas").first)
    assert on_screen(page.get_by_text("random chose it").first)
    if n_classes < 20:
        assert visible == classes
        assert on_screen(page.get_by_text("I cannot tell").first)
    else:
        assert len(visible) >= 14
        box = page.get_by_placeholder("filter").first
        assert on_screen(box)
        box.fill("23")
        page.wait_for_timeout(500)
        assert on_screen(page.get_by_text("class 23").first)
