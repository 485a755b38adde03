"""The labelling interface of a project: ours, or one that people wrote, held against what a campaign needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from skmmal.campaign.formats import labeling_config
from skmmal.campaign.formats._label_studio import CAMPAIGN_KEY, KEY, ROUND, UNSURE, UNSURE_TEXT

__all__ = ["Interface", "read_interface", "same_interface"]

GIVEN = {KEY, CAMPAIGN_KEY, ROUND, "skmmal_rank", "skmmal_why"}
"""What every task of ours holds beside its media."""


@dataclass(frozen=True)
class Interface:
    """What a labelling configuration shows and asks.

    Attributes
    ----------
    tags : dict of str to str
        Kind of tag by the name of each control.
    classes : list of str
        What the control offers that the campaign reads.
    variables : set of str
        Fields of a task that it shows.
    is_single : bool
        Whether the control takes one choice.
    to : str
        What the control is about: the first name in its ``toName``.
    """

    tags: dict[str, str]
    classes: list[str]
    variables: set[str]
    is_single: bool
    to: str

    @property
    def is_empty(self) -> bool:
        """Whether nothing was set up yet."""
        return not self.tags and not self.variables

    def check(
        self,
        control: str,
        fields: Mapping[str, str],
        classes: Sequence[str],
        where: str,
        *,
        multilabel: bool = False,
    ) -> None:
        """Raise unless the control offers every class, and shows nothing that the tasks lack."""
        way = "or let it be written anew (replace_config, --replace-config)"
        if self.tags.get(control) != "Choices":
            able = sorted(name for name, tag in self.tags.items() if tag == "Choices")
            found = f"it is a {self.tags[control]}" if control in self.tags else f"controls are {sorted(self.tags)}"
            named = f"; name the one that holds the class (control, --control): {able}" if able else ""
            raise ValueError(f"{where} has no choice called {control!r}, {found}{named}, {way}")
        if self.is_single == multilabel:
            takes, has, wanted = "several choices", "one", "single"
            if multilabel:
                takes, has, wanted = "one choice", "any", "multiple"
            raise ValueError(
                f"{where}: {control!r} takes {takes}, and a row of this campaign has {has} of the classes; make it "
                f'choice="{wanted}" {way}'
            )
        strange = sorted(self.variables - GIVEN - set(fields))
        if strange:
            raise ValueError(
                f"{where} shows the fields {strange}, which the tasks do not hold (they hold {sorted(fields)}): the "
                "server would refuse them. Take them out of it (Settings, Labeling Interface), name their columns, "
                f"{way}"
            )
        missing = [name for name in classes if name not in self.classes]
        if missing:
            raise ValueError(
                f"{where} has no button for {len(missing)} of {len(classes)} classes: {missing[:10]}; add them there "
                f"(Settings, Labeling Interface), {way}"
            )

    def foreign_classes(self, classes: Sequence[str]) -> list[str]:
        """Classes that it offers and that the campaign does not know."""
        return [name for name in self.classes if name not in {*classes, UNSURE, UNSURE_TEXT}]


def read_interface(config: str, control: str, where: str) -> Interface:
    """Read a labelling configuration."""
    try:
        root = ElementTree.fromstring(config.strip() or "<View/>")
    except ElementTree.ParseError as error:
        raise ValueError(f"{where} is no XML ({error}); mend it on the server (Settings, Labeling Interface)") from None
    tags, variables = {}, set()
    for tag in root.iter():
        if tag.get("name") and tag.get("toName"):
            tags[tag.attrib["name"]] = tag.tag
        for value in tag.attrib.values():
            variables.update(re.findall(r"\$([A-Za-z_]\w*)", value))
    choices = next((tag for tag in root.iter("Choices") if tag.get("name") == control), None)
    classes: list[str] = []
    if choices is not None:
        classes = [choice.get("alias") or choice.get("value") or "" for choice in choices.iter("Choice")]
    single = choices is None or choices.get("choice", "single") != "multiple"
    to = "" if choices is None else choices.get("toName", "").split(",")[0]
    return Interface(tags, classes, variables, single, to)


def same_interface(config: str, fields: Mapping[str, str], control: str, multilabel: bool = False) -> bool:
    """Whether a configuration is one that we write, for whichever classes."""
    try:
        classes = read_interface(config, control, "").classes
        named = [name for name in classes if name != UNSURE]
        ours = labeling_config(fields, named, control=control, multilabel=multilabel)
        return _canonical(config) == _canonical(ours)
    except ValueError:
        return False


def _canonical(config: str) -> str:
    return ElementTree.canonicalize(config, strip_text=True)
