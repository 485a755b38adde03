# ruff: noqa: E402
"""The site's inventory, without building it: every method has a whole card, every public name its place and example."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import api_reference
import command_line
import method_cards
import public_names
import repository_files

from skmmal._registry import ENTRIES
from skmmal.heads import FUSIONS

METHODS = method_cards.methods()


def named(method):
    return method.name


def test_everything_that_has_a_name_has_a_card():
    assert {(method.kind, method.name) for method in METHODS} == {(entry.kind, entry.name) for entry in ENTRIES} | {
        ("fusion", name) for name in FUSIONS
    }
    names = [method.name for method in METHODS]
    assert len(set(names)) == len(names)  # a card's address is its name alone
    pages = method_cards.pages()
    assert set(pages) == {f"{name}.rst" for name in names} | {"index.rst"}
    for name in names:
        assert f":doc:`{name} <{name}>`" in pages["index.rst"]
        assert f"\n   {name}\n" in pages["index.rst"]  # of the toctree


def test_formula_and_use_are_written_for_every_method_and_for_no_other():
    assert set(method_cards.written()) == {method.name for method in METHODS}
    for name, own in method_cards.written().items():
        assert set(own) == {"formula", "when"}, name
        assert all(text.strip() for text in own.values()), name
        assert own["formula"].count("{") == own["formula"].count("}"), name
        for opening, closing in (("left", "right"), ("bigl", "bigr"), ("Bigl", "Bigr")):
            assert len(re.findall(rf"\\{opening}\b", own["formula"])) == len(
                re.findall(rf"\\{closing}\b", own["formula"])
            ), name


NOT_MEASURED: set[str] = set()
"""Methods that docs/measure_cards.py has yet to measure; their cards say so."""


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_every_method_is_measured(method):
    facts = method_cards.measured()[method.kind].get(method.name)
    assert (facts is None) == ("Not yet: ``python docs/measure_cards.py" in method_cards.card(method))
    assert (facts is None) == (method.name in NOT_MEASURED)
    if facts is None:
        return
    if method.kind == "strategy":
        assert 1 <= facts["groups_covered"] <= method_cards.measured()["sizes"]["copies"]["groups"]
        assert 0 <= facts["share_lacking"] <= 1
        given = facts.get("instead_of_defaults", {})
        assert given.keys() <= method.cls().get_params().keys()
        assert all(f"``{key}={value}``" in method_cards.card(method) for key, value in given.items())
    if method.kind == "stopping":
        assert 0 <= facts["stopped"] <= facts["runs"]
    else:
        assert facts["processor_seconds"] >= 0


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_a_card_answers_its_questions(method):
    text = method_cards.card(method)
    sections = set(re.findall(r"\n([^\n]+)\n-{4,}\n", text))
    assert {"Formula", "When to use it", "What it needs", "Measured", "Example"} <= sections
    if method.kind == "strategy":
        assert {"Cost and memory", "Rows that lack a modality"} <= sections
    if method.kind in ("strategy", "balancing") and method.name != "random":
        assert "Sources" in sections
    assert method.summary in text
    for paragraph in method.section("References").split("\n\n"):
        assert paragraph in text


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.kind == "strategy"], ids=named)
def test_answers_are_the_registrys(entry):
    answers = method_cards.strategy_needs(entry)
    assert answers["Needs a fitted model"].startswith("yes") == entry.needs_model
    assert answers["Looks at features"].startswith("yes") == entry.needs_features
    assert answers["One modality's head, or all (``on``)"].startswith("yes") == entry.on
    assert answers["Several labels a row"].startswith("yes") == entry.multi_label


def test_parts_of_a_docstring_are_found():
    badge = next(method for method in METHODS if method.name == "badge")
    assert method_cards.cost(badge).startswith("Cost: memory N (K + D)")
    assert method_cards.lacking(badge).startswith("Rows that lack a modality: an absent modality has no gradient")
    coreset = next(method for method in METHODS if method.name == "coreset")
    assert any("as in the papers' code" in part for part in method_cards.departures(coreset))
    bmmal = next(method for method in METHODS if method.name == "bmmal")
    assert any("our extension" in part for part in method_cards.departures(bmmal))
    assert method_cards.sentences("One, e.g. this. Two `that`. (Three.)") == ["One, e.g. this.", "Two `that`. (Three.)"]


def test_areas_are_those_of_the_report():
    """Means of the trapezoids over the labels, as `ExperimentResults.area_under_curve` has them."""
    report = (ROOT / "examples" / "results" / "emoji" / "report.txt").read_text(encoding="utf-8")
    for name in ("bmmal", "margin", "random"):
        printed = float(re.search(rf"^ *{name} [\d.]+ ± [\d.]+ ([\d.]+) ±", report, re.M)[1])
        assert method_cards.areas("emoji")[name] == pytest.approx(printed, abs=6e-4)


def test_every_public_name_is_in_the_reference():
    pages = api_reference.pages()
    for public in public_names.public_names():
        assert f"\n   {public.name}\n" in pages[f"api/{public.module}.rst"], public.full_name
    for module in public_names.module_names():
        assert f":mod:`{module}`" in pages["index.rst"]
        assert f"api/{module}\n" in pages["index.rst"]


def test_every_public_name_has_an_example():
    """In its docstring; a constant has none."""
    assert not [
        public.full_name for public in public_names.public_names() if not public.is_constant and ">>> " not in public.docstring
    ]


def test_names_lead_to_their_pages():
    assert public_names.resolve("skmmal.LateFusionClassifier") == "skmmal.classifier.LateFusionClassifier"
    assert public_names.resolve("skmmal.classifier.LateFusionClassifier") == "skmmal.classifier.LateFusionClassifier"
    assert public_names.resolve("QueryStrategy") == "skmmal.query.QueryStrategy"
    assert public_names.resolve("LateFusionClassifier.read()") == "skmmal.classifier.LateFusionClassifier.read"
    assert public_names.resolve("skmmal.LateFusionClassifier.read") == "skmmal.classifier.LateFusionClassifier.read"
    assert public_names.resolve("get_strategy") == "skmmal.query.get_strategy"
    assert public_names.resolve("image") is None  # one word may mean anything
    assert public_names.resolve("skmmal.nothing") is None
    assert public_names.resolve("numpy.ndarray") is None


def test_methods_listed_are_ours():
    members = public_names.own_members("skmmal.classifier.LateFusionClassifier")
    assert {"fit", "predict_proba", "shapley_values", "coef_"} <= set(members)
    assert "get_params" not in members  # scikit-learn's
    assert "set_fit_request" not in members


def test_every_command_is_described():
    text = command_line.page()
    words = {path: command for path, command, _ in command_line.commands()}
    assert {"skmmal simulate", "skmmal campaign next", "skmmal strategies"} <= set(words)
    for path, command in words.items():
        assert f"{path} [" in text or f"{path} " in text
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option not in ("--install-completion", "--show-completion"):
                    assert option in text, (path, option)


def test_links_of_the_repositorys_files():
    page = repository_files.page("[a](CHANGELOG.md) [b](docs/scaling.md#x) [c](examples/x.py) [d](https://x.org) ![e](f.png)")
    assert page == "[a](changelog.md) [b](scaling.md#x) c [d](https://x.org) ![e](f.png)"


def test_the_landing_page_counts_strategies():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert f"{sum(entry.kind == 'strategy' for entry in ENTRIES)} query strategies" in text


def test_broken_links_are_found(tmp_path):
    sys.path.insert(0, str(ROOT / "docs"))
    import build

    (tmp_path / "searchindex.js").write_text("Search.setIndex({bmmal:1,modal:2})")
    (tmp_path / "a.html").write_text('<h1 id="here">A</h1><a href="b.html#there">b</a><a href="#here">a</a>')
    (tmp_path / "b.html").write_text('<p id="there"></p><a href="https://x.org/">x</a><img src="data:x"/>')
    assert build.check(tmp_path) == []
    (tmp_path / "b.html").write_text('<a href="c.html">c</a><a href="a.html#no">a</a><script src="https://x.org/y.js"></script>')
    assert build.check(tmp_path) == [
        "a.html: b.html#there: no such anchor",
        "b.html: c.html: no such file",
        "b.html: a.html#no: no such anchor",
        "b.html: https://x.org/y.js: loaded from elsewhere",
    ]
    (tmp_path / "b.html").write_text('<p id="there"></p>')
    (tmp_path / "searchindex.js").write_text("Search.setIndex({})")
    assert len(build.check(tmp_path)) == 2


def test_the_style_is_readable_on_white_and_on_black():
    """Text has a contrast of three or more on both, and neighboring colors differ in lightness."""
    from matplotlib import colors, rc_params_from_file

    style = rc_params_from_file(ROOT / "docs" / "_static" / "skmmal.mplstyle", use_default_template=False)

    def luminance(color):
        channels = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colors.to_rgb(color)]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), channels, strict=True))

    for name in ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "legend.labelcolor"):
        assert 1.05 / (luminance(style[name]) + 0.05) > 3
        assert (luminance(style[name]) + 0.05) / (luminance("#14181e") + 0.05) > 3
    cycle = style["axes.prop_cycle"].by_key()
    for (one, dash), (other, next_dash) in zip(
        zip(cycle["color"], cycle["linestyle"], strict=True),
        list(zip(cycle["color"], cycle["linestyle"], strict=True))[1:],
        strict=False,
    ):
        assert abs(luminance(one) - luminance(other)) > 0.05 or dash != next_dash


def test_what_was_measured_says_with_what():
    measured = json.loads((ROOT / "docs" / "cards" / "measured.json").read_text())
    assert measured["with"].startswith("skmmal ")
