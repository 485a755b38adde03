"""Reports in a real browser: no clipped column, tables that sort and filter, series that can be switched off, axe-core.

See check_page.py for what it needs.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from check_page import browser, keep, serious  # noqa: F401
from PIL import Image

from skmmal import LateFusionClassifier
from skmmal.campaign import LabelingCampaign, read_data, write_campaign_report
from skmmal.datasets import make_multimodal_classification
from skmmal.display import write_report
from skmmal.experiment import run_experiment

NASTY = "<script>window.hacked=1</script><b>row</b>"
CLIPPED = """() => [...document.querySelectorAll('td, th, img, svg, figcaption, p, li, input, .tools a')]
  .filter((e) => { const box = e.getBoundingClientRect();
    return box.width && (box.right > document.documentElement.clientWidth + 1 || box.left < -1); })
  .map((e) => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """A report of a campaign with two annotators, pictures and conflicts, and one of an experiment."""
    folder = tmp_path_factory.mktemp("reports")
    X, y = make_multimodal_classification(120, {"image": 5, "text": 4}, n_classes=3, random_state=0, return_X_y=True)
    ids, names = [f"row-{i:04d}" for i in range(120)], np.array(["a cat with a rather long name", "dog", NASTY])[y]
    campaign = LabelingCampaign.create(
        folder / "campaign", X.blocks, ids=ids, estimator=LateFusionClassifier(), initial="random", n_instances=15,
        random_fraction=0.2, classes=sorted(set(names)),
    )  # fmt: skip
    for i, name in enumerate(ids):
        Image.new("RGB", (64, 48), (2 * i, 90, 160)).save(folder / f"{name}.png")
    truth = dict(zip(ids, names, strict=True))
    for day in range(1, 5):
        batch = campaign.next_batch()
        for who, flip in (("ann", 99), ("bob", 4)):
            said = [truth[name] if i % flip else "dog" for i, name in enumerate(batch["id"])]
            campaign.add_labels(pd.DataFrame({"id": batch["id"], "label": said, "annotator": who, "lead_time": "3.5", "when": f"2026-11-0{day}T10:00:00+00:00", "origin": ["prediction", "manual", "prediction-changed"] * 5}))
    pd.DataFrame({"id": ids, "picture": [f"{name}.png" for name in ids], "words": NASTY}).to_csv(folder / "items.csv", index=False)
    fields = {"picture": "image", "words": "text"}
    data = read_data(folder / "items.csv", fields)
    first = write_campaign_report(campaign, folder / "campaign" / "report", data=data, fields=fields, root=folder)
    half = np.arange(120) < 80
    run_experiment(
        LateFusionClassifier(), ["bmmal", "margin", "random"], X[half], y[half], X_test=X[~half], y_test=y[~half], n_initial=8,
        n_instances=8, n_rounds=3, seeds=2, results_dir=folder / "run", verbose=0,
    )  # fmt: skip
    pd.DataFrame({"row": range(80), "id": ids[:80]}).to_csv(folder / "run" / "pool.csv", index=False)
    pictures = {name: folder / f"{name}.png" for name in ids}
    return {"campaign": first, "experiment": write_report(folder / "run", folder / "run", images=pictures)}


@pytest.mark.parametrize("width", [1000, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["campaign", "experiment"])
def test_nothing_is_clipped(browser, reports, kind, scheme, width):  # noqa: F811
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(reports[kind].as_uri())
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious(page) == {}
    assert page.evaluate("window.hacked") is None
    assert page.locator("h2").count() == page.locator("nav a").count()
    for link in page.locator("a").all():
        target = link.get_attribute("href")
        assert page.locator(target).count() == 1 if target.startswith("#") else (reports[kind].parent / target).is_file()
    assert page.locator("main img, main svg image").count() >= 24  # what was chosen
    if os.environ.get("SCREENSHOTS"):
        Path(os.environ["SCREENSHOTS"]).mkdir(exist_ok=True)
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{kind}-{scheme}-{width}.png", full_page=True)
    assert said == []
    context.close()


def test_sorting_and_filtering(browser, reports):  # noqa: F811
    page = browser.new_page()
    page.goto(reports["campaign"].as_uri())
    table = page.locator("[aria-label='table chosen'] table")
    column = page.evaluate("[...document.querySelectorAll(\"[aria-label='table chosen'] th\")].findIndex(e => e.innerText.trim() === 'confidence')")

    def shown():
        cells = table.locator(f"tbody tr td:nth-child({column + 1})").all_inner_texts()
        return [float(cell) if cell else None for cell in cells]

    given = shown()
    known = sorted(value for value in given if value is not None)
    blank = [None] * given.count(None)
    button = table.locator("th").nth(column).locator("button")
    for expected, sort in ((known + blank, "ascending"), (known[::-1] + blank, "descending"), (given, None)):
        button.click()
        assert shown() == expected
        assert table.locator("th").nth(column).get_attribute("aria-sort") == sort
    search = page.get_by_label("filter the rows of chosen")
    search.fill("random-slice")
    visible = table.locator("tbody tr:visible")
    assert visible.count() == 12  # a fifth of 15, four times
    assert all("random-slice" in text for text in visible.all_inner_texts())
    assert "12 of 60 rows" in page.locator("[role=status]").all_inner_texts()
    search.fill("")
    assert visible.count() == 60
    assert page.locator("[aria-label='table doubts'] img").count() > 0
    page.close()


def test_series_are_switched_off(browser, reports):  # noqa: F811
    page = browser.new_page()
    page.goto(reports["experiment"].as_uri())
    figure = page.locator("figure").first
    button = figure.get_by_role("button", name="bmmal")
    parts = [f"#{name}" for name in button.get_attribute("data-series").split()]
    assert len(parts) > 1  # the line, and its band
    assert all(page.locator(part).is_visible() for part in parts)
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert not any(page.locator(part).is_visible() for part in parts)
    others = figure.get_by_role("button", name="margin").get_attribute("data-series").split()
    assert page.locator(f"#{others[0]}").is_visible()
    button.click()
    assert all(page.locator(part).is_visible() for part in parts)
    assert "labels" in figure.locator("use title").first.text_content()
    page.close()
