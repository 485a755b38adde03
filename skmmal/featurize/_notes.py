"""What is remarkable about an item that has features all the same."""

from __future__ import annotations


class Notes(dict[str, int]):
    """How often something was noted about an item, and in what words.

    A reader that only counts (cut texts) does ``notes[kind] = notes.get(kind, 0) + 1``; `remark` also keeps the words,
    which stand in ``notes.jsonl`` beside the item.

    Examples
    --------
    >>> notes = Notes()
    >>> remark(notes, "truncated", "1.0 of 2.0 s are there")
    >>> notes, notes.remarks
    ({'truncated': 1}, {'truncated': '1.0 of 2.0 s are there'})
    """

    def __init__(self) -> None:
        super().__init__()
        self.remarks: dict[str, str] = {}


def remark(notes: dict[str, int] | None, kind: str, text: str) -> None:
    """Note something about an item, once for each kind, where somebody keeps notes.

    Parameters
    ----------
    notes : dict, optional
        Those that a reader is given; None where nobody keeps any.
    kind : str
        One word, such as ``truncated``: what is counted.
    text : str
        What stands in ``notes.jsonl``.

    Examples
    --------
    >>> from skmmal.featurize import remark
    >>> notes = {}
    >>> remark(notes, "truncated", "600 words, 512 read")
    >>> list(notes)
    ['truncated']
    """
    if notes is None or (isinstance(notes, Notes) and kind in notes.remarks):
        return
    notes[kind] = notes.get(kind, 0) + 1
    if isinstance(notes, Notes):
        notes.remarks[kind] = text
