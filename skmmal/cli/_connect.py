"""``skmmal campaign connect``, ``push`` and ``pull``: a campaign and a Label Studio server."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from skmmal.cli._campaign_choices import Predictions
from skmmal.cli._campaign_options import (
    ByOption,
    FolderArgument,
    LockOption,
    MovedOption,
    open_campaign,
    pairs,
    shown_fields,
)
from skmmal.cli._campaign_words import say_measured, say_received
from skmmal.cli._shared import friendly, note, say

__all__ = ["connect", "pull", "push"]

TimeoutOption = Annotated[float, typer.Option(help="Seconds to wait for an answer of the server.", min=1)]
PredictionsOption = Annotated[
    Predictions,
    typer.Option(help="Rows whose prediction is shown; on those drawn at random it would bias the accuracy."),
]
DataOption = Annotated[Path | None, typer.Option(help="Where the table is that annotators are shown, if it moved.")]


@friendly
def connect(
    folder: FolderArgument,
    url: Annotated[str | None, typer.Option(help="Root of the server, such as http://localhost:8080.")] = None,
    project: Annotated[int | None, typer.Option(help="Number of a project that is there.", min=1)] = None,
    new: Annotated[str | None, typer.Option(help="Name of a project to make.")] = None,
    data: Annotated[Path | None, typer.Option(help="CSV: an id, and what annotators are to see.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of the id in --data. Default: id.")] = None,
    image: Annotated[list[str] | None, typer.Option(help="Column of --data with images.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="Column of --data with texts.")] = None,
    audio: Annotated[list[str] | None, typer.Option(help="Column of --data with sound.")] = None,
    video: Annotated[list[str] | None, typer.Option(help="Column of --data with videos.")] = None,
    prefix: Annotated[
        str | None, typer.Option(help="Put before names of files, such as https://host/pictures/.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Of --data, if it is not Unicode.")] = None,
    local_files: Annotated[
        str | None, typer.Option(help="Folder on the server's machine with the files, which it is to give out.")
    ] = None,
    document_root: Annotated[
        str | None,
        typer.Option(help="LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT there. Default: the folder above --local-files."),
    ] = None,
    control: Annotated[str | None, typer.Option(help="Control whose choice is the label. Default: label.")] = None,
    replace_config: Annotated[
        bool, typer.Option("--replace-config", help="Write the project's labeling interface anew.")
    ] = False,
    check_media: Annotated[
        bool, typer.Option("--check-media/--no-check-media", help="Ask for one medium of each column.")
    ] = True,
    timeout: TimeoutOption = 60.0,
    features: MovedOption = None,
    by: ByOption = None,
    lock_timeout: LockOption = 60.0,
) -> None:
    """Connect the campaign to a project of a Label Studio server: make it, or check it.

    The token of a Label Studio user is taken from the environment variable LABEL_STUDIO_API_KEY and written nowhere.
    The same command again changes nothing; what is not said stays as it was.
    """
    fields = shown_fields(image, text, audio, video)
    result = open_campaign(folder, features, lock_timeout).connect(
        url,
        project=project,
        new=new,
        data=data,
        fields=fields or None,
        id_column=id_column,
        prefix=prefix,
        encoding=encoding,
        local_files=local_files,
        document_root=document_root,
        control=control,
        replace_config=replace_config,
        check_media=check_media,
        timeout=timeout,
        by=by,
    )
    made = "made and connected" if result["made"] else "connected"
    if result["entry"] is None:
        made = "connected before; nothing changes"
    say(f"Project {result['project']} ({result['title']}): {made}. {result['link']}{_entry(result)}")
    _say_notes(result)


@friendly
def push(
    folder: FolderArgument,
    predictions: PredictionsOption = Predictions.strategy,
    data: DataOption = None,
    timeout: TimeoutOption = 60.0,
    features: MovedOption = None,
    by: ByOption = None,
    lock_timeout: LockOption = 60.0,
) -> None:
    """Send what was handed out and is not answered to the project; what is there is not sent twice."""
    opened = open_campaign(folder, features, lock_timeout)
    _say_pushed(opened.push(predictions=predictions.value, data=data, timeout=timeout, by=by))


@friendly
def pull(
    folder: FolderArgument,
    watch: Annotated[
        float | None,
        typer.Option(help="Run by itself: pull every so many seconds, and hand out and push batches.", min=0.01),
    ] = None,
    next_when: Annotated[
        float, typer.Option(help="With --watch: share of the last batch that must be answered.", min=0.01, max=1)
    ] = 0.9,
    predictions: PredictionsOption = Predictions.strategy,
    data: DataOption = None,
    map_class: Annotated[
        list[str] | None,
        typer.Option(
            "--map-class", help="OLD=NEW: rename a label (NEW may be skip or unsure); may be given several times."
        ),
    ] = None,
    allow_new_classes: Annotated[
        bool, typer.Option("--allow-new-classes", help="Admit classes that the campaign has not seen.")
    ] = False,
    authority: Annotated[
        list[str] | None,
        typer.Option(help="Annotator whose word settles conflicts, from now on; may be given several times."),
    ] = None,
    timeout: TimeoutOption = 60.0,
    features: MovedOption = None,
    by: ByOption = None,
    lock_timeout: LockOption = 60.0,
) -> None:
    """Take in every annotation of the project; what was deleted there is retracted.

    With --watch the campaign runs by itself: pull, next, push, until nothing is left. Ctrl+C ends it at any time.
    """
    opened = open_campaign(folder, features, lock_timeout)

    def report(what: str, said: Any) -> None:
        _report(what, said)
        if what == "push":  # while people label
            say_measured(opened.status(measure="auto"))

    try:
        result = opened.pull(
            watch=watch,
            next_when=next_when,
            predictions=predictions.value,
            data=data,
            map_classes=pairs(map_class or []),
            allow_new_classes=allow_new_classes,
            authority=authority or (),
            timeout=timeout,
            by=by,
            report=report,
        )
    except KeyboardInterrupt:
        if watch is None:
            raise
        say("Ended. The same command goes on.")
        return
    if watch is None:
        _say_pulled(result)
    else:
        say("Nothing is left to hand out, and everything is answered.")


def _report(what: str, said: Any) -> None:
    time = datetime.now().strftime("%H:%M:%S ")
    if what == "pull" and said["entry"] is not None:
        _say_pulled(said, time)
    elif what == "next":
        say(f"{time}Round {said['round']}: {len(said['batch'])} rows are handed out")
    elif what == "push":
        _say_pushed(said, time)
    elif what == "wait":
        note(f"{time}{said}. Going on in a while.")
    elif what == "over":
        note(f"{time}{said}.")


def _say_pulled(result: dict[str, Any], before: str = "") -> None:
    say_received(result, f"{before}Project {result['project']}")
    origins = result["origins"]
    suggested = origins.get("prediction", 0) + origins.get("prediction-changed", 0)
    if suggested:
        note(f"Of {suggested} suggestions that were looked at {origins.get('prediction', 0)} were accepted as given.")
    if result["not_there"]:
        note(f"{result['not_there']} of {result['pending']} rows that wait are not on the server; push sends them.")


def _say_pushed(result: dict[str, Any], before: str = "") -> None:
    there = f"; {result['there']} that wait were there already" if result["there"] else ""
    say(f"{before}Project {result['project']}: {result['sent']} tasks sent{there}. {result['link']}{_entry(result)}")
    for name, n in result["placeholders"].items():
        note(f"{n} of {result['sent']} rows have no {name}: a note that says so stands in its place.")
    _say_notes(result)


def _say_notes(result: dict[str, Any]) -> None:
    for text in result["notes"]:
        note(f"{text[:1].upper()}{text[1:]}.")


def _entry(result: dict[str, Any]) -> str:
    return "" if result["entry"] is None else f" [entry {result['entry']}]"
