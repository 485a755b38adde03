"""Options that several commands of a campaign have, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skmmal.cli._campaign_choices import GroupScore, LabelKind
from skmmal.cli._shared import complete_strategy, note

if TYPE_CHECKING:
    from skmmal.campaign import LabelingCampaign

__all__ = [
    "BudgetOption",
    "ByLabelOption",
    "ByOption",
    "CostColumnOption",
    "CostsOption",
    "FolderArgument",
    "GroupColumnOption",
    "GroupScoreOption",
    "GroupsOption",
    "LockOption",
    "MaxRowsOption",
    "MeasureOption",
    "MovedOption",
    "SchedulerOption",
    "StrategyOption",
    "TargetOption",
    "ThenMeasureOption",
    "ToleranceOption",
    "named_classes",
    "open_campaign",
    "pairs",
    "shown_fields",
]


FolderArgument = Annotated[Path, typer.Argument(help="Folder of the campaign.", show_default=False)]
MovedOption = Annotated[Path | None, typer.Option("--features", help="Where the features are, if they have moved.")]
LockOption = Annotated[
    float, typer.Option("--lock-timeout", help="Seconds to wait for another command that changes the campaign.", min=0)
]
SchedulerOption = Annotated[
    str | None,
    typer.Option("--scheduler", help="Who opens a campaign's pool: tcp://HOST:PORT of a Dask scheduler, or ray."),
]
ByOption = Annotated[str | None, typer.Option("--by", help="Who gives the command. Default: the user.")]
ByLabelOption = Annotated[
    bool, typer.Option("--by-label", help="Time to stop: of each label by itself, too, where rows have several.")
]
StrategyOption = Annotated[
    str | None, typer.Option(help="For this round: another strategy.", autocompletion=complete_strategy)
]
TargetOption = Annotated[
    LabelKind,
    typer.Option(help="What labels are: classes, or numbers (ridge regression; strategies without a model)."),
]
ToleranceOption = Annotated[
    float | None, typer.Option(help="Of numbers: two that differ by more contradict each other.", min=0)
]
GroupsOption = Annotated[
    Path | None, typer.Option(help="CSV with the columns id and --group-column: hand out whole groups of rows.")
]
GroupColumnOption = Annotated[str, typer.Option(help="Column of --groups.")]
GroupScoreOption = Annotated[
    GroupScore, typer.Option(help="What counts of the rows of a group: their sum, mean, or best.")
]
MaxRowsOption = Annotated[
    int | None, typer.Option(help="Rows in a batch at most, where groups are handed out.", min=1)
]
CostsOption = Annotated[
    Path | None, typer.Option(help="CSV with the columns id and --cost-column: what labelling each row costs.")
]
BudgetOption = Annotated[
    float | None,
    typer.Option(help="What the batch may cost: in the unit of --costs, or in seconds as answers took so far.", min=0),
]
CostColumnOption = Annotated[str, typer.Option(help="Column of --costs.")]
MeasureOption = Annotated[
    bool,
    typer.Option(
        "--measure",
        help="Fit models anew: whether choosing helps, how good annotators are. Without, the last ones are shown.",
    ),
]
ThenMeasureOption = Annotated[
    bool | None,
    typer.Option(
        "--measure/--no-measure",
        help="Then fit models: whether choosing helps, how good annotators are. Default: where that is a matter of a "
        "minute.",
    ),
]


def named_classes(text: str, file: Path | None) -> list[str] | None:
    """Classes from ``a,b,"c, d"``, or from a file with one a line."""
    from skmmal.cli._class_names import read_classes, split_classes

    if file is not None:
        if text:
            raise ValueError("--classes and --classes-file both name the classes; give one of them")
        return read_classes(file)
    found, doubt = split_classes(text)
    if doubt:
        note(doubt)
    return found or None


def open_campaign(
    folder: Path, features: Path | None = None, lock_timeout: float = 60.0, scheduler: str | None = None
) -> LabelingCampaign:
    """Open a campaign as the options say."""
    from skmmal.campaign import LabelingCampaign

    client = None if scheduler is None else _client_of(scheduler)
    return LabelingCampaign(folder, features=features, client=client, lock_timeout=lock_timeout)


def _client_of(scheduler: str) -> Any:
    """The module ray, connected to its cluster, or a client of a Dask scheduler."""
    try:
        if scheduler == "ray":
            import ray

            if not ray.is_initialized():
                ray.init(address="auto", log_to_driver=False)
            return ray
        from dask.distributed import Client
    except ImportError as error:
        raise ImportError(
            f'--scheduler {scheduler} needs {error.name}, which is not installed: pip install "skmmal[distributed]"'
        ) from None
    except ConnectionError as error:
        raise ValueError(f"--scheduler ray: no cluster of Ray to connect to was found ({error})") from None
    try:
        return Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--scheduler {scheduler}: no Dask scheduler answers there ({error}); give its address, such as "
            "tcp://host:8786, or ray"
        ) from None


def pairs(given: list[str]) -> dict[str, str]:
    """Names of classes to rename, from ``OLD=NEW``."""
    renamed: dict[str, str] = {}
    for text in given:
        old, separator, new = (part.strip() for part in text.partition("="))
        if not separator or not old or not new or "=" in new:
            raise ValueError(
                f"--map-class must be OLD=NEW, got {text!r} (names with '=' can be mapped from Python only)"
            )
        if renamed.setdefault(old, new) != new:
            raise ValueError(f"--map-class names {old!r} twice")
    return renamed


def shown_fields(
    image: list[str] | None, text: list[str] | None, audio: list[str] | None, video: list[str] | None
) -> dict[str, str]:
    """Columns that annotators are shown, to their kinds."""
    kinds = {"image": image, "text": text, "audio": audio, "video": video}
    named = [(column, kind) for kind, columns in kinds.items() for column in columns or ()]
    fields = dict(named)
    if len(fields) < len(named):
        raise ValueError("a column of --data can be shown once: name each in one of --image, --text, --audio, --video")
    return fields
