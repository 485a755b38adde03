"""``skmmal campaign label`` and ``benefit``: a labelling page on this machine, and whether choosing helps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skmmal.cli._campaign_choices import Predictions
from skmmal.cli._campaign_options import FolderArgument, LockOption, MovedOption, shown_fields
from skmmal.cli._shared import friendly, note, print_table, say

__all__ = ["benefit", "label"]


@friendly
def label(
    folder: FolderArgument,
    data: Annotated[Path, typer.Option(help="CSV: an id, and what annotators are to see.")],
    id_column: Annotated[str, typer.Option(help="Column of the id in --data.")] = "id",
    image: Annotated[list[str] | None, typer.Option(help="Column of --data with names of images.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="Column of --data with texts.")] = None,
    audio: Annotated[list[str] | None, typer.Option(help="Column of --data with names of sound files.")] = None,
    video: Annotated[list[str] | None, typer.Option(help="Column of --data with names of videos.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the files; nothing outside it is read. Default: that of --data.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Of --data, if it is not Unicode.")] = None,
    annotator: Annotated[str | None, typer.Option(help="Whose answers they are. Default: the user.")] = None,
    port: Annotated[int, typer.Option(help="0 takes one that is free.", min=0, max=65535)] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    n_instances: Annotated[
        int | None, typer.Option("--n-instances", "-n", help="Rows of a next batch. Default: the campaign's.", min=1)
    ] = None,
    predictions: Annotated[
        Predictions,
        typer.Option(help="Rows with a suggestion; on those drawn at random it would bias the accuracy."),
    ] = Predictions.strategy,
    allow_new_classes: Annotated[
        bool, typer.Option("--allow-new-classes", help="The annotator may name classes that are not there.")
    ] = False,
    features: MovedOption = None,
    lock_timeout: LockOption = 60.0,
) -> None:
    """Label in the browser: a page on this machine only, no server to install, no network.

    Every answer is in the campaign at once. Press Ctrl+C to stop.
    """
    from skmmal.campaign import LabelingCampaign, read_data
    from skmmal.campaign.page import LabelingPage

    fields = shown_fields(image, text, audio, video)
    table = read_data(data, fields, id_column, encoding=encoding)
    page = LabelingPage(
        LabelingCampaign(folder, features=features, lock_timeout=lock_timeout),
        table,
        fields,
        root=data.parent if root is None else root,
        annotator=annotator,
        port=port,
        predictions=predictions.value,
        n_instances=n_instances,
        allow_new_classes=allow_new_classes,
    )
    for name, n in page.absent().items():
        note(f"{n} of the rows that wait have no {name} that can be shown; the page says so in its place.")
    say(f"Open {page.url}\n(it works for the first browser only; Ctrl+C stops the page, every answer is kept)")
    if open_:
        typer.launch(page.url)
    try:
        page.serve()
    except KeyboardInterrupt:
        note("Stopped.")
    finally:
        page.close()


@friendly
def benefit(
    folder: FolderArgument,
    folds: Annotated[int, typer.Option(help="Of the rows drawn at random.", min=2)] = 5,
    features: MovedOption = None,
) -> None:
    """Say whether choosing helps: chosen labels against as many of rows drawn at random (--random-fraction)."""
    from skmmal.campaign import LabelingCampaign

    found = LabelingCampaign(folder, features=features).benefit(n_folds=folds)
    for line in found.sentences:
        say(line)
    print_table("Accuracy on rows drawn at random", found.curve)
