"""What can be chosen among on the command line of a campaign."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["GroupScore", "LabelKind", "Predictions", "Source", "Target", "What"]


class Source(StrEnum):
    """Files that labels come in."""

    auto = "auto"
    csv = "csv"
    excel = "excel"
    parquet = "parquet"
    json = "json"
    jsonl = "jsonl"
    label_studio = "label-studio"
    label_studio_min = "label-studio-min"
    label_studio_csv = "label-studio-csv"
    prodigy = "prodigy"
    huggingface = "huggingface"


class Target(StrEnum):
    """Files that batches and labels go out in."""

    csv = "csv"
    jsonl = "jsonl"
    label_studio = "label-studio"
    indicator = "indicator"
    prodigy = "prodigy"
    huggingface = "huggingface"


class Predictions(StrEnum):
    """Rows whose prediction annotators may see."""

    strategy = "strategy"
    all = "all"
    none = "none"


class LabelKind(StrEnum):
    """What labels are."""

    classes = "class"
    number = "number"


class GroupScore(StrEnum):
    """What counts of the rows of a group."""

    sum = "sum"
    mean = "mean"
    best = "best"


class What(StrEnum):
    """What is written out."""

    batch = "batch"
    labels = "labels"
    history = "history"
