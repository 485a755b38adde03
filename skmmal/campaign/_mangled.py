"""Ids that a spreadsheet has changed: ``007`` to 7, ``1e5`` to 1.00E+05, ``1-2`` to 02-Jan. Recognized, not guessed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from decimal import Decimal, InvalidOperation

__all__ = ["advice_against_mangling", "mangled"]

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan janv ene gen", "feb févr fév", "mar mär mrz mars maart mrt", "apr avr abr", "may mai mei mag",
            "jun juin giu", "jul juil lug", "aug août ago", "sep sept set", "oct okt ott out", "nov", "dec dez déc dic",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_WORDS = {"true": ("true", "wahr", "vrai", "verdadero", "vero"), "false": ("false", "falsch", "faux", "falso")}
_MOST = 3


def mangled(unknown: Iterable[str], known: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of an unknown id and the known one that a spreadsheet would write so.

    Parameters
    ----------
    unknown : iterable of str
        Ids that came in.
    known : collection of str
        Ids of the campaign.

    Returns
    -------
    list of tuple (str, str)

    Examples
    --------
    >>> mangled(["7", "1.00E+05", "02-Jan", "WAHR", "x9"], ["007", "1e5", "1-2", "true", "y"])
    [('7', '007'), ('1.00E+05', '1e5'), ('02-Jan', '1-2'), ('WAHR', 'true')]
    """
    numbers: dict[Decimal, str] = {}
    dates: dict[tuple[int, int], str] = {}
    words = {}
    exponents: dict[int, list[str]] = {}
    for name in known:
        value = _number(name)
        if value is not None:
            numbers.setdefault(value, name)
            if value:
                exponents.setdefault(value.adjusted(), []).append(name)
        for pair in _typed_dates(name):
            dates.setdefault(pair, name)
        if name.lower() in _WORDS:
            words.update(dict.fromkeys(_WORDS[name.lower()], name))
    pairs = []
    for name in unknown:
        match = words.get(name.lower()) or _as_number(name, numbers, exponents) or _as_date(name, dates)
        if match is not None and match != name:
            pairs.append((name, match))
    return pairs


def _number(text: str) -> Decimal | None:
    if not re.fullmatch(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,4})?\s*", text):
        return None
    try:
        return Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return None


def _as_number(text: str, numbers: dict[Decimal, str], exponents: dict[int, list[str]]) -> str | None:
    value = _number(text)
    if value is None or re.fullmatch(r"0\d+", text):  # a spreadsheet takes zeros away, and adds none
        return None
    if value in numbers:
        return numbers[value]
    # a long number is shown, and saved, with few digits: 1.23457E+15; and only 15 digits are kept at all
    digits = len(value.normalize().as_tuple().digits)
    if digits < 2 or not ("e" in text.lower() or len(text) > 15):
        return None
    for name in (*exponents.get(value.adjusted(), ()), *exponents.get(value.adjusted() - 1, ())):
        known = _number(name)
        if known is not None and abs(known - value) <= abs(value).scaleb(1 - digits) / 2:
            return name
    return None


def _typed_dates(name: str) -> set[tuple[int, int]]:
    """(month, day) or (month, year) that a spreadsheet may read in what was typed."""
    parts = re.split(r"[-/. ]", name)
    dates = set()
    if len(parts) in (2, 3) and all(part.isdecimal() and len(part) <= 4 for part in parts):
        values = [int(part) for part in parts]
        for month, other in ((values[0], values[1]), (values[1], values[0]), (values[-2], values[-1])):
            if 1 <= month <= 12:
                dates.add((month, other % 100))
    word = re.fullmatch(r"([^\W\d_]{3,9})[-/. ]?(\d{1,4})|(\d{1,4})[-/. ]?([^\W\d_]{3,9})", name)
    if word:
        named = _month(word[1] or word[4])
        if named:
            dates.add((named, int(word[2] or word[3]) % 100))
    return dates


def _as_date(text: str, dates: dict[tuple[int, int], str]) -> str | None:
    word = re.search(r"([^\W\d_]{3,9})", text)
    values = [int(part) for part in re.findall(r"\d{1,4}", text)]
    pairs = []
    if word and re.fullmatch(r"[^\W\d_]+|[\d\s./,-]+", text.replace(word[1], "").replace("de", "") or "0"):
        month = _month(word[1])
        pairs = [(month, value % 100) for value in values] if month else []
    elif re.fullmatch(r"\d{1,4}[-/.]\s?\d{1,2}[-/.]\s?(\d{1,4})?( 00:00:00)?", text) and len(values) >= 2:
        pairs = [(a, b % 100) for a in values[:3] for b in values[:3] if a is not b and 1 <= a <= 12]
    return next((dates[pair] for pair in pairs if pair in dates), None)


def _month(word: str) -> int | None:
    word = word.lower().rstrip(".")
    return next(
        (number for name, number in _MONTHS.items() if word == name or (len(word) > 4 and word[:3] == name[:3])), None
    )


def advice_against_mangling(pairs: Collection[tuple[str, str]]) -> str:
    """What has happened to the ids, and how to get them through."""
    examples = ", ".join(f"{name!r} for {match!r}" for name, match in list(pairs)[:_MOST])
    return (
        f"{len(pairs)} of them look like ids that a spreadsheet took for numbers or dates and changed: {examples}. "
        "Take the ids from the batch's own file again: in Excel open it by Data > From Text/CSV and set the column id "
        "to Text (in LibreOffice: 'Text' above the column), or fill in the labels where the ids are text; in pandas "
        "read it with dtype=str. Nothing was recorded"
    )
