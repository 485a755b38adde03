"""The pages below docs/cards: one for each strategy, fusion, balancing method and stopping criterion.

What a card says comes from the registry, from the docstring, from what was measured (docs/cards/measured.json, which
docs/measure_cards.py writes; the tables below examples/results), and, of formula and use alone, from
docs/cards/methods.toml.
"""

from __future__ import annotations

import csv
import functools
import inspect
import json
import re
import textwrap
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from api_reference import heading, write_if_changed
from numpydoc.docscrape import NumpyDocString
from public_names import resolve

from skmmal import heads
from skmmal._registry import ENTRIES, Entry

__all__ = ["KINDS", "Method", "card", "index_page", "measured", "methods", "pages", "written"]

ROOT = Path(__file__).parents[2]
CARDS = ROOT / "docs" / "cards"
RESULTS = ROOT / "examples" / "results"

KINDS = {
    "strategy": "Query strategies",
    "fusion": "Fusions",
    "balancing": "Balancing methods",
    "stopping": "Stopping criteria",
}
DATA_SETS = {
    "emoji": "emoji, 8 classes",
    "digits-fou-pix": "digits, fou + pix",
    "digits-zer-kar": "digits, zer + kar",
    "digits-mor-fou-zer": "digits, mor + fou + zer",
}
"""Folders of runs that hold (nearly) all strategies."""


@dataclass(frozen=True)
class Method:
    """One thing that has a card.

    Parameters
    ----------
    kind : {"strategy", "fusion", "balancing", "stopping"}
    name : str
    cls : type
        Its docstring is the card's.
    entry : Entry or None
        Of the registry; a fusion has none.
    """

    kind: str
    name: str
    cls: type
    entry: Entry | None = None

    @functools.cached_property
    def docstring(self) -> NumpyDocString:
        """Sections of the docstring."""
        return NumpyDocString(inspect.getdoc(self.cls) or "")

    def section(self, name: str) -> str:
        """Text of a section, empty if there is none."""
        return "\n".join(self.docstring[name])

    @property
    def summary(self) -> str:
        """The docstring's first line."""
        return " ".join(self.docstring["Summary"])

    @property
    def paragraphs(self) -> list[str]:
        """What the docstring says beside the summary and the parameters, a paragraph each."""
        text = self.section("Extended Summary") + "\n\n" + self.section("Notes")
        return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


@functools.cache
def methods() -> tuple[Method, ...]:
    """Everything that has a card, by kind and name."""
    fusions = {name: type(made) for name, made in heads.FUSIONS.items() if name not in _PLAIN}
    fusions |= {name: getattr(heads, cls) for name, cls in _PLAIN.items()}
    registered = [Method(entry.kind, entry.name, entry.load(), entry) for entry in ENTRIES]
    found = registered + [Method("fusion", name, cls) for name, cls in sorted(fusions.items())]
    return tuple(sorted(found, key=lambda method: (list(KINDS).index(method.kind), method.name)))


_PLAIN = {"concat": "ConcatFusion", "sum": "SumFusion"}
"""Fusions that have no settings: the class of their head."""


@functools.cache
def measured() -> dict[str, Any]:
    """What docs/measure_cards.py has measured."""
    return json.loads((CARDS / "measured.json").read_text(encoding="utf-8"))


@functools.cache
def written() -> dict[str, dict[str, str]]:
    """Formula and use of every method."""
    return tomllib.loads((CARDS / "methods.toml").read_text(encoding="utf-8"))


# --------------------------------------------------------------------------- what a docstring says of one question

_SENTENCE = re.compile(r"(?<=[.)])\s+(?=[A-Z`‘“])(?!e\.g\.)")
_OURS = re.compile(
    r"\b(ours?|extensions?|papers?('s)?|official code|authors?|published|reconstruction|substitute|ALFM benchmark)\b",
    re.IGNORECASE,
)


def sentences(text: str) -> list[str]:
    """A text's sentences."""
    return [part for part in _SENTENCE.split(" ".join(text.split())) if part]


def departures(method: Method) -> list[str]:
    """Sentences of the docstring that set the method against its source; a paragraph on what is ours is one."""
    found = []
    for paragraph in method.paragraphs:
        if paragraph.startswith("Ours:"):
            found.append(paragraph)
        else:
            found += [part for part in sentences(paragraph) if _OURS.search(part) and not is_about_rows_or_cost(part)]
    for parameter in method.docstring["Parameters"]:
        about = [part for part in sentences(" ".join(parameter.desc)) if _OURS.search(part)]
        if about:
            found.append(f"``{parameter.name}``: {' '.join(about)}")
    return found


def is_about_rows_or_cost(sentence: str) -> bool:
    """Whether another part of the card has it."""
    return sentence.startswith(("Cost", "Memory", "Rows that lack"))


def cost(method: Method) -> str:
    """What the docstring says of cost and memory: from the word on to the end of its paragraph."""
    found = []
    for paragraph in method.paragraphs:
        parts = sentences(paragraph)
        first = next((i for i, part in enumerate(parts) if part.startswith("Cost")), len(parts))
        found += parts[first:]
        found += [part for part in parts[:first] if part.startswith(("Memory", "Epochs grow", "Valuations take"))]
    return " ".join(found)


def lacking(method: Method) -> str:
    """What the docstring says of rows that lack a modality."""
    whole = [paragraph for paragraph in method.paragraphs if paragraph.startswith("Rows that lack a modality")]
    if whole:
        return " ".join(whole)
    words = re.compile(r"\b(lacks?|missing|absent|present)\b")
    return " ".join(part for paragraph in method.paragraphs for part in sentences(paragraph) if words.search(part))


# ------------------------------------------------------------------------------------------------- what it needs


def yes(value: bool) -> str:
    """A word for a truth."""
    return "yes" if value else "no"


def needs(method: Method) -> dict[str, str]:
    """Question and answer, from the registry and the class."""
    if method.kind == "strategy":
        return strategy_needs(method.entry)
    if method.kind == "balancing":
        return {
            "Needs encoders": yes(method.cls.needs_encoders),
            "Brings a fusion of its own": yes(method.cls.fusion is not None),
            "Several labels a row": "no",
        }
    if method.kind == "stopping":
        fields = ", ".join(f"``{field}``" for field in method.cls.needs) or "the number of labels and of rounds alone"
        return {
            "Needs of a round": f"{fields} (see :class:`skmmal.stopping.RoundState`)",
            "Main parameter": f"``{method.cls.main_parameter}``, what ``--stop {method.name}=VALUE`` sets",
            "Fooled by a model that predicts one class": yes(method.cls.watches_model),
        }
    return {
        "Spelled": f"``LateFusionClassifier(fusion=\"{method.name}\")``",
        "Settings": ", ".join(f"``{name}``" for name in inspect.signature(method.cls).parameters)
        if method.name not in _PLAIN
        else "none",
        "Linear in the embeddings": yes(issubclass(method.cls, heads.LinearFusion))
        if method.name in _PLAIN
        else "no",
        "Convex without encoders": yes(method.name in _PLAIN),
        "Several labels a row": "no",
    }


def strategy_needs(entry: Entry) -> dict[str, str]:
    """Question and answer of a strategy."""
    return {
        "Needs a fitted model": "yes" if entry.needs_model else "no: it can choose the first batch",
        "Looks at features": "yes" if entry.needs_features else "no: rows may be texts",
        "Needs labeled rows": yes(entry.needs_labels),
        "One modality's head, or all (``on``)": yes(entry.on),
        "Weighs modalities against each other": yes(entry.compares_modalities),
        "Rows that lack a modality": "served" if entry.missing_modalities else "refused",
        "``candidates``": "yes",
        "Several labels a row": yes(entry.multi_label),
        "Whole groups of rows, costs, a budget": yes(entry.groups),
        "A pool spread over workers": yes(entry.shards),
    }


# ----------------------------------------------------------------------------------------------- what was measured


@functools.cache
def areas(folder: str) -> dict[str, float]:
    """Mean accuracy over rounds and seeds of every strategy of a run: a curve's mean height, each batch of one size."""
    curves: dict[tuple[str, str], list[tuple[int, float]]] = {}
    with open(RESULTS / folder / "results.csv", newline="", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            point = int(line["n_labeled"]), float(line["accuracy"])
            curves.setdefault((line["strategy"], line["seed"]), []).append(point)
    heights: dict[str, list[float]] = {}
    for (strategy, _), points in curves.items():
        points.sort()
        area = sum((right - left) * (low + high) / 2 for (left, low), (right, high) in pairwise(points))
        heights.setdefault(strategy, []).append(area / (points[-1][0] - points[0][0]))
    return {strategy: sum(values) / len(values) for strategy, values in heights.items()}


def strategy_facts(method: Method) -> list[str]:
    """Measured facts of a strategy, an item each."""
    facts, sizes = measured()["strategy"][method.name], measured()["sizes"]
    copies, missing, size = sizes["copies"], sizes["missing"], sizes["cost"]
    by_chance = measured()["strategy"]["random"]["groups_covered"]
    given = ", ".join(f"``{key}={value}``" for key, value in facts.get("instead_of_defaults", {}).items())
    note = [f"Measured with {given}: its defaults take much longer, and may choose otherwise."] if given else []
    return [
        *note,
        f"**Near-copies.** A batch of {copies['n_instances']} covers {facts['groups_covered']:.1f} of "
        f"{copies['groups']} groups of {copies['copies']} near-copies each (random: {by_chance:.1f}; means of "
        f"{copies['seeds']} seeds).",
        f"**Rows that lack a modality.** {facts['share_lacking']:.0%} of its picks, where "
        f"{missing['share_lacking']:.0%} of the pool lack one (emoji, {missing['n_labeled']} labels, batches of "
        f"{missing['n_instances']}, {missing['seeds']} seeds).",
        f"**Time.** {facts['processor_seconds']:.2g} s of processor time for {size['n_instances']} of "
        f"{size['n_pool']:,} rows, {size['modalities']} modalities of {size['features']} features, "
        f"{size['n_classes']} classes, {size['n_labeled']} labels, one thread.",
    ]


def accuracy_table(method: Method) -> str:
    """Mean accuracy over a run's rounds beside random's and margin's, where the strategy was run."""
    rows = []
    for folder, title in DATA_SETS.items():
        means = areas(folder)
        if method.name in means:
            rows.append(
                [title, f"{means[method.name]:.3f}", f"{means['random']:.3f}", f"{means['margin']:.3f}",
                 f"{100 * (means[method.name] - means['random']):+.1f}"]
            )  # fmt: skip
    if not rows:
        return ""
    head = ["Ten seeds", method.name, "random", "margin", "points over random"]
    return "\n" + grid(head, rows, "Mean accuracy along the learning curve; see :doc:`/results/index`.")


def balancing_facts(method: Method) -> list[str]:
    """Measured facts of a balancing method, an item each."""
    facts, plain, size = measured()["balancing"][method.name], measured()["plain"], measured()["sizes"]["training"]
    return [
        f"**Time.** {facts['processor_seconds']:.2g} s of processor time for {size['max_iter']} epochs on "
        f"{size['n_train']} emoji (encoders of {size['encoder_dim']}, SGD, one thread), plain training "
        f"{plain['processor_seconds']:.2g} s."
    ]


def balancing_table(method: Method) -> str:
    """How far the method brings the hard modality's encoder, on data that are out of balance."""
    rows = []
    with open(RESULTS / "balancing" / "table.csv", newline="", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            if line["method"] == method.name:
                rows.append([line["solver"], line["losses"], f"{float(line['gap_closed']):.0%}", line["fused"][:5]])
    return "\n" + grid(
        ["Solver", "Losses", "share of the gap closed", "fused accuracy"],
        rows,
        "The gap: how much less a linear probe reads from the hard modality's encoder after joint training (fused loss "
        "only) than after training it alone. Ten seeds of generated data, ``examples/balanced_training.py``.",
    )


def fusion_facts(method: Method) -> list[str]:
    """Measured facts of a fusion, an item each."""
    facts, size = measured()["fusion"][method.name], measured()["sizes"]["fusing"]
    return [
        f"**Time.** A fit on {size['n_train']} emoji (1280 + 384 features, 8 classes) with the defaults takes "
        f"{facts['processor_seconds']:.2g} s of processor time, one thread.",
        f"**Accuracy there**: fused {facts['accuracy_fused']:.3f}, image {facts['accuracy_image']:.3f}, text "
        f"{facts['accuracy_text']:.3f} on {size['n_test']} test rows; {size['seeds']} seeds.",
    ]


def stopping_facts(method: Method) -> list[str]:
    """Measured facts of a stopping criterion, an item each."""
    facts, size = measured()["stopping"][method.name], measured()["sizes"]["stopping"]
    at = f"emoji, {facts['classes']} classes, {size['strategy']}, {size['n_initial']} labels and {size['n_rounds']} "
    at += f"batches of {size['n_instances']}, defaults"
    if not facts["stopped"]:
        return [f"**Where it stops** ({at}): in none of {facts['runs']} runs."]
    return [
        f"**Where it stops** ({at}): in {facts['stopped']} of {facts['runs']} runs, at {facts['n_labeled']:.0f} labels "
        f"with an accuracy of {facts['accuracy']:.3f}; at the end of the run it is {facts['final_accuracy']:.3f}. "
        f"{facts['saved']:.0%} of the labels saved."
    ]


FACTS = {
    "strategy": (strategy_facts, accuracy_table),
    "balancing": (balancing_facts, balancing_table),
    "fusion": (fusion_facts, lambda method: ""),
    "stopping": (stopping_facts, lambda method: ""),
}


# -------------------------------------------------------------------------------------------------------- the pages


def grid(head: list[str], rows: Iterable[list[str]], caption: str = "", widths: str = "") -> str:
    """A table."""
    lines = [f".. list-table:: {caption}".rstrip(), "   :header-rows: 1", "   :class: wide-table"]
    lines += [f"   :widths: {widths}"] if widths else []
    lines.append("")
    for row in [head, *rows]:
        lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def bullets(items: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"* {item}" for item in items) + "\n"


def card(method: Method) -> str:
    """The page of a method."""
    public = resolve(method.cls.__name__)
    own = written()[method.name]
    facts, tabled = FACTS[method.kind]
    kind = KINDS[method.kind]
    is_measured = method.name in measured().get(method.kind, {})
    not_yet = f"Not yet: ``python docs/measure_cards.py {method.name}``."
    parts = [
        f".. meta::\n   :description: {method.summary}\n",
        heading(method.name),
        f"{method.summary}\n",
        f":doc:`{kind} <index>` · :class:`{public}`\n",
        heading("Formula", "-"),
        ".. math::\n\n" + textwrap.indent(own["formula"], "   ") + "\n",
        method.section("Extended Summary") + "\n",
        heading("When to use it", "-"),
        own["when"].replace("`", "``") + "\n",
        heading("What it needs", "-"),
        grid(["Question", "Answer"], [list(pair) for pair in needs(method).items()], widths="60 40"),
    ]
    sections = {
        "Cost and memory": cost(method),
        "Rows that lack a modality": lacking(method) if method.kind != "stopping" else "",
        "Measured": bullets(facts(method) if is_measured else [not_yet]) + tabled(method),
        "Compared with the source": bullets(departures(method)) if departures(method) else "",
        "Sources": method.section("References"),
        "Example": method.section("Examples"),
    }
    for title, text in sections.items():
        if text:
            parts += [heading(title, "-"), text + "\n"]
    return "\n".join(parts)


def link(method: Method) -> str:
    """To a method's card."""
    return f":doc:`{method.name} <{method.name}>`"


def decision_row(method: Method) -> list[str]:
    """A strategy's line of the table."""
    facts = measured()["strategy"].get(method.name)
    means = [areas(folder) for folder in DATA_SETS if method.name in areas(folder)]
    gains = [of_run[method.name] - of_run["random"] for of_run in means]
    on_fewer = "" if len(gains) == len(DATA_SETS) else f" ({len(gains)} set)"
    return [
        link(method),
        "model" if method.entry.needs_model else "nothing",
        "features" if method.entry.needs_features else "probabilities" if method.entry.needs_model else "nothing",
        yes(method.entry.on),
        *(
            [
                f"{facts['groups_covered']:.1f}",
                f"{facts['share_lacking']:.0%}",
                f"{facts['processor_seconds']:.2g}" + (r"\ \*" if "instead_of_defaults" in facts else ""),
            ]
            if facts
            else ["–"] * 3
        ),
        f"{100 * sum(gains) / len(gains):+.1f}{on_fewer}" if gains else "–",
    ]


def decision_table() -> str:
    """All strategies, by what they need and what was measured."""
    copies, missing = measured()["sizes"]["copies"], measured()["sizes"]["missing"]
    head = ["Strategy", "needs", "looks at", "``on``", f"groups of {copies['groups']}"]
    head += [f"lack a modality (of {missing['share_lacking']:.0%})", "seconds", "points over random"]
    return grid(head, (decision_row(method) for method in methods() if method.kind == "strategy"))


def index_page() -> str:
    """The table of all methods."""
    size = measured()["sizes"]["cost"]
    parts = [
        heading("Method cards"),
        "A card says of one method what it does, when to use it, what it needs and costs, how it treats near-copies "
        "and rows that lack a modality, how it departs from its source, and what we measured. Cards are made from the "
        "registry, the docstrings and the measurements; nothing in them is kept by hand but formula and advice.\n",
        heading("Query strategies", "-"),
        "*needs*: a fitted model, or nothing (then it can choose the first batch). *groups*: how many groups of "
        "near-copies a batch covers. *lack a modality*: share of such rows among its picks. *seconds*: of processor "
        f"time for {size['n_instances']} of {size['n_pool']:,} rows. *points over random*: mean accuracy along the "
        "learning curve, four data sets. \\*: with fewer batches than its default, as the card says. Whether a "
        "strategy serves several labels a row stands on its card.\n",
        decision_table(),
    ]
    for kind in ("fusion", "balancing", "stopping"):
        rows = [[link(method), method.summary] for method in methods() if method.kind == kind]
        parts += [heading(KINDS[kind], "-"), grid(["Name", "What it does"], rows, widths="25 75")]
    for kind, title in KINDS.items():
        names = "\n".join(f"   {method.name}" for method in methods() if method.kind == kind)
        parts.append(f".. toctree::\n   :hidden:\n   :caption: {title}\n\n{names}\n")
    parts.append(f"Measured with {measured()['with']}.\n")
    return "\n".join(parts)


def pages() -> dict[str, str]:
    """Texts by their path below docs/cards."""
    return {"index.rst": index_page()} | {f"{method.name}.rst": card(method) for method in methods()}


def _write(app: Any, config: Any) -> None:
    for path, text in pages().items():
        write_if_changed(Path(app.srcdir) / "cards" / path, text)


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before the sources are looked for."""
    app.connect("config-inited", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
