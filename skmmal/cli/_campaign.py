"""``skmmal campaign``: a labelling campaign from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skmmal.cli._campaign_choices import GroupScore, LabelKind, Predictions, Source, Target, What
from skmmal.cli._campaign_options import (
    BudgetOption,
    ByLabelOption,
    ByOption,
    CostColumnOption,
    CostsOption,
    FolderArgument,
    GroupColumnOption,
    GroupScoreOption,
    GroupsOption,
    LockOption,
    MaxRowsOption,
    MeasureOption,
    MovedOption,
    SchedulerOption,
    StrategyOption,
    TargetOption,
    ThenMeasureOption,
    ToleranceOption,
    named_classes,
    open_campaign,
    pairs,
    shown_fields,
)
from skmmal.cli._campaign_words import say_measured, say_received, say_round, show_status
from skmmal.cli._connect import connect, pull, push
from skmmal.cli._shared import (
    ClassBalanceOption,
    Classifier,
    ClassWeight,
    ClassWeightOption,
    COption,
    EstimatorOption,
    Fusion,
    FusionOption,
    MemoryOption,
    ModalityWeightsOption,
    Scale,
    complete_strategy,
    friendly,
    make_classifier,
    new_app,
    note,
    path_to_write,
    print_table,
    say,
    split_names,
    write,
    write_csv,
)

__all__ = ["campaign"]

campaign = new_app("campaign", "Run a labelling campaign: batches out, labels in, round after round, in a folder.")


# -------------------------------------------------------------------------------------------------------- begin


@campaign.command(epilog="Example: skmmal campaign init emoji --features features --classes cat,dog -n 50")
@friendly
def init(
    folder: FolderArgument,
    features: Annotated[Path, typer.Option(help="A feature cache (a folder), or an .npz file.")],
    labels: Annotated[Path | None, typer.Option(help="Labels that are there already.")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Labelled rows to measure on; they are never handed out.")
    ] = None,
    classes: Annotated[
        str,
        typer.Option(help="All classes, by commas; a name with a comma in quotes. Default: those of the first labels."),
    ] = "",
    classes_file: Annotated[
        Path | None, typer.Option("--classes-file", help="Text file with all classes, one a line.")
    ] = None,
    multilabel: Annotated[
        bool,
        typer.Option(
            "--multilabel", "--several-labels", help="A row may have any of the classes, or none: its label is a set."
        ),
    ] = False,
    target: TargetOption = LabelKind.classes,
    tolerance: ToleranceOption = None,
    groups: GroupsOption = None,
    group_column: GroupColumnOption = "group",
    group_score: GroupScoreOption = GroupScore.sum,
    max_rows: MaxRowsOption = None,
    costs: CostsOption = None,
    cost_column: CostColumnOption = "cost",
    strategy: Annotated[
        str | None,
        typer.Option(
            help="Name of the strategy. Default: auto (of numbers mvopt), or what the campaign was begun with.",
            autocompletion=complete_strategy,
        ),
    ] = None,
    initial: Annotated[
        str | None,
        typer.Option(
            help="Chooses while there is no model. Default: kmeans, with groups or costs maxherding.",
            autocompletion=complete_strategy,
        ),
    ] = None,
    n_instances: Annotated[
        int, typer.Option("--n-instances", "-n", help="Rows in a batch; with --groups, groups.", min=1)
    ] = 100,
    random_fraction: Annotated[
        float, typer.Option(help="Share of each batch drawn at random, to measure the accuracy.", min=0, max=1)
    ] = 0.0,
    relabel_fraction: Annotated[
        float,
        typer.Option(help="Share of each batch, at most, of doubted labels handed out once more.", min=0, max=1),
    ] = 0.0,
    class_balance: ClassBalanceOption = False,
    stop: Annotated[
        list[str] | None,
        typer.Option(help="Stopping criterion, such as budget=500 or target-accuracy=0.9; may be given several times."),
    ] = None,
    scale: Annotated[Scale, typer.Option(help="How each modality is brought to the same scale.")] = Scale.standard,
    estimator: EstimatorOption = Classifier.cv,
    fusion: FusionOption = Fusion.concat,
    C: COption = None,
    class_weight: ClassWeightOption = ClassWeight.none,
    modality_weights: ModalityWeightsOption = None,
    seed: Annotated[int, typer.Option(help="Draws all that is left to chance.", min=0)] = 0,
    lock_timeout: LockOption = 60.0,
) -> None:
    """Begin a campaign. The same command again changes nothing."""
    from skmmal.campaign import LabelingCampaign

    # the usual one of a campaign that is there already may be another
    given = (estimator, fusion, C, class_weight, modality_weights)
    is_usual = given == (Classifier.cv, Fusion.concat, None, ClassWeight.none, None)
    if target is LabelKind.number and not is_usual:
        raise ValueError(
            "--estimator, --fusion, --C, --class-weight and --modality-weights are about a classifier, and --target "
            "number has a regressor; in Python LabelingCampaign.create(estimator=...) takes one of scikit-learn's"
        )
    begun = LabelingCampaign.create(
        folder,
        features,
        strategy=strategy,
        initial=initial,
        estimator=None if is_usual else make_classifier(*given),
        scale=scale.value,
        n_instances=n_instances,
        random_fraction=random_fraction,
        relabel_fraction=relabel_fraction,
        class_balance=class_balance,
        classes=named_classes(classes, classes_file),
        multilabel=multilabel,
        target=target.value if target is LabelKind.number else None,
        tolerance=tolerance,
        groups=groups,
        group_column=group_column,
        group_score=group_score.value,
        max_rows=max_rows,
        costs=costs,
        cost_column=cost_column,
        validation=validation,
        stopping=stop or None,
        seed=seed,
        lock_timeout=lock_timeout,
    )
    if labels is not None:
        say_received(begun.add_labels(labels), labels)
    counts = begun.status().counts
    say(f"{folder}: a campaign on {counts['samples']} samples. Next: skmmal campaign next {folder} --out next.csv")


# ------------------------------------------------------------------------------------------------------- rounds


@campaign.command("next", epilog="Example: skmmal campaign next emoji -n 50 --out next.csv")
@friendly
def next_(
    folder: FolderArgument,
    out: Annotated[Path | None, typer.Option(help="CSV to write the batch to as well.")] = None,
    n_instances: Annotated[
        int | None,
        typer.Option("--n-instances", "-n", help="Rows (or groups) in this batch. Default: the campaign's.", min=1),
    ] = None,
    max_rows: Annotated[
        int | None, typer.Option(help="Rows at most, where groups are handed out. Default: the campaign's.", min=1)
    ] = None,
    budget: BudgetOption = None,
    round_: Annotated[
        int | None,
        typer.Option(
            "--round", help="Number of the round that is meant; if it is there already, nothing changes.", min=1
        ),
    ] = None,
    strategy: StrategyOption = None,
    random_fraction: Annotated[
        float | None, typer.Option(help="For this round: share drawn at random.", min=0, max=1)
    ] = None,
    relabel_fraction: Annotated[
        float | None,
        typer.Option(
            help="For this round: share, at most, of doubted labels that are handed out once more.", min=0, max=1
        ),
    ] = None,
    class_balance: Annotated[
        bool | None, typer.Option("--class-balance/--no-class-balance", help="For this round.")
    ] = None,
    also: Annotated[
        str, typer.Option(help="Hand these out once more, by commas: pending, skip, unsure, conflict.")
    ] = "",
    allow_changed_features: Annotated[
        bool, typer.Option("--allow-changed-features", help="Go on with features that have changed.")
    ] = False,
    memory_limit: MemoryOption = None,
    features: MovedOption = None,
    measure: ThenMeasureOption = None,
    scheduler: SchedulerOption = None,
    by: ByOption = None,
    lock_timeout: LockOption = 60.0,
) -> None:
    """Hand out the next batch: fit on the labels so far, and ask the strategy.

    What is measured is kept: skmmal campaign status shows it. The batch is there before that begins.
    """
    out = None if out is None else path_to_write(out)
    opened = open_campaign(folder, features, lock_timeout, scheduler)
    batch = opened.next_batch(
        n_instances,
        max_rows=max_rows,
        budget=budget,
        round=round_,
        strategy=strategy,
        random_fraction=random_fraction,
        relabel_fraction=relabel_fraction,
        class_balance=class_balance,
        include=split_names(also),
        allow_changed_features=allow_changed_features,
        by=by,
    )
    state = opened.state()
    entry = state.rounds[-1 if round_ is None else round_ - 1]
    if out is not None:
        write(out, entry.read("next.csv"))
    wanted = opened.settings.n_instances if n_instances is None else n_instances
    if len(batch) < wanted and round_ is None and "group" not in batch and budget is None:
        note(f"Only {len(batch)} rows were left.")
    say_round(batch, entry, state.answers.few, out)
    if measure is not False:
        say_measured(opened.status(measure=measure or "auto"))


@campaign.command("add-labels", epilog="Example: skmmal campaign add-labels emoji labelled.csv --annotator ann")
@friendly
def add_labels(
    folder: FolderArgument,
    files: Annotated[list[Path], typer.Argument(help="Files with labels.", show_default=False)],
    source: Annotated[Source, typer.Option("--from", help="What the files are.")] = Source.auto,
    annotator: Annotated[
        str | None, typer.Option(help="Who labelled, where the file does not say. Default: the user.")
    ] = None,
    control: Annotated[str, typer.Option(help="Label Studio: control whose choice or number is the label.")] = "label",
    map_class: Annotated[
        list[str] | None,
        typer.Option(
            "--map-class", help="OLD=NEW: rename a label (NEW may be skip or unsure); may be given several times."
        ),
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Of a CSV that is not Unicode, such as cp1252.")] = None,
    allow_new_classes: Annotated[
        bool, typer.Option("--allow-new-classes", help="Admit classes that the campaign has not seen.")
    ] = False,
    ignore_unknown: Annotated[
        bool, typer.Option("--ignore-unknown", help="Leave out labels for ids that are not in the campaign.")
    ] = False,
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="The file is a full export: retract what it no longer holds.")
    ] = False,
    authority: Annotated[
        list[str] | None,
        typer.Option(help="Annotator whose word settles conflicts, from now on; may be given several times."),
    ] = None,
    separator: Annotated[str, typer.Option(help="Stands between the labels of a row that has several.")] = "|",
    features: MovedOption = None,
    by: ByOption = None,
    lock_timeout: LockOption = 60.0,
) -> None:
    """Take labels in; what was received before is left alone.

    Tables (CSV, Excel, JSON, Parquet) need id and label, and may have state (label, skip, unsure, reject), annotator
    and when. Where rows have several labels, label holds them with a separator, or there is a column for each label (1,
    0 or nothing); the state none says that no label applies. Numbers have a decimal point. The latest word of each
    annotator counts.
    """
    opened = open_campaign(folder, features, lock_timeout)
    if snapshot and len(files) > 1:
        raise ValueError("--snapshot takes one file: each would retract what only the others hold")
    for file in files:
        result = opened.add_labels(
            file,
            annotator=annotator,
            source=source.value,
            control=control,
            map_classes=pairs(map_class or []),
            encoding=encoding,
            snapshot=snapshot,
            authority=authority or (),
            allow_new_classes=allow_new_classes,
            ignore_unknown=ignore_unknown,
            separator=separator,
            by=by,
        )
        say_received(result, file)


@campaign.command(epilog="Example: skmmal campaign retract emoji U+1F408 --annotator ann")
@friendly
def retract(
    folder: FolderArgument,
    ids: Annotated[list[str], typer.Argument(help="Ids whose labels are taken back.", show_default=False)],
    annotator: Annotated[str | None, typer.Option(help="Whose labels. Default: everybody's.")] = None,
    reason: Annotated[str, typer.Option(help="Kept in the log.")] = "",
    features: MovedOption = None,
    by: ByOption = None,
    lock_timeout: LockOption = 60.0,
) -> None:
    """Take labels back: the rows are unlabelled again. Nothing is deleted; undo brings them back."""
    result = open_campaign(folder, features, lock_timeout).retract(ids, annotator=annotator, reason=reason, by=by)
    if result["entry"] is None:
        say(f"{', '.join(ids[:5])}: retracted before; nothing changes.")
    else:
        say(f"{result['retracted']} labels of {len(result['ids'])} ids are retracted [entry {result['entry']}]")


@campaign.command(epilog="Example: skmmal campaign undo emoji --entry 7")
@friendly
def undo(
    folder: FolderArgument,
    entry: Annotated[int | None, typer.Option(help="Number of the entry. Default: the last one.", min=1)] = None,
    reason: Annotated[str, typer.Option(help="Kept in the log.")] = "",
    by: ByOption = None,
    lock_timeout: LockOption = 60.0,
) -> None:
    """Undo a batch or a delivery of labels, by an entry that reverses it. Nothing is deleted."""
    result = open_campaign(folder, None, lock_timeout).undo(entry, by=by, reason=reason)
    if result["entry"] is None:
        say(f"Entry {result['undoes']} ({result['what']}) was undone before; nothing changes.")
    else:
        say(f"Entry {result['undoes']} ({result['what']}) is undone [entry {result['entry']}]")


# ------------------------------------------------------------------------------------------------------ looking


@campaign.command(epilog="Example: skmmal campaign status emoji")
@friendly
def status(
    folder: FolderArgument,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    measure: MeasureOption = False,
    by_label: ByLabelOption = False,
    features: MovedOption = None,
) -> None:
    """Say where the campaign stands: labels, classes, accuracy, and whether it is time to stop."""
    standing = open_campaign(folder, features).status(measure=measure, by_label=by_label)
    if as_json:
        print(standing.to_json(), end="")
        return
    show_status(standing)


@campaign.command(epilog="Example: skmmal campaign log emoji")
@friendly
def log(folder: FolderArgument) -> None:
    """List every entry: what was done, when, by whom, and what was undone."""
    print_table("Log", open_campaign(folder).log)


@campaign.command(epilog="Example: skmmal campaign doubts emoji -n 20 --out doubts.csv")
@friendly
def doubts(
    folder: FolderArgument,
    n: Annotated[int, typer.Option("-n", help="How many to show.", min=1)] = 20,
    out: Annotated[Path | None, typer.Option(help="CSV to write all of them to.")] = None,
    folds: Annotated[int, typer.Option(help="Of the cross-validation.", min=2)] = 5,
    features: MovedOption = None,
) -> None:
    """List the labels that the model doubts most: worth a second look."""
    out = None if out is None else path_to_write(out)
    table = open_campaign(folder, features).doubts(n_folds=folds)
    if out is not None:
        write_csv(out, table)
    print_table(f"The most doubtful of {len(table)} labels", table.head(n))
    if table.attrs["unchecked"]:
        note(
            f"{table.attrs['unchecked']} labels are the only one of their class and cannot be checked."
            if "given" not in table
            else f"{table.attrs['unchecked']} entries are about labels that too few rows have, or have not, to check."
        )
    if "likely_wrong" not in table and "deviation" not in table:
        note("With cleanlab (pip install 'skmmal[noise]') the list also says which labels are likely wrong.")


@campaign.command(epilog="Example: skmmal campaign report emoji")
@friendly
def report(
    folder: FolderArgument,
    out: Annotated[Path | None, typer.Option(help="Folder of the report. Default: report in the campaign.")] = None,
    data: Annotated[Path | None, typer.Option(help="CSV: an id, and what annotators see, to show rows by.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of the id in --data.")] = "id",
    image: Annotated[str | None, typer.Option(help="Column of --data with names of images.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of --data with texts.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the images. Default: that of --data.")] = None,
    measure: MeasureOption = False,
) -> None:
    """Write the campaign's history as one HTML page that needs no network."""
    from skmmal.campaign import read_data, write_campaign_report

    out = folder / "report" if out is None else path_to_write(out)
    fields = shown_fields([image] if image else None, [text] if text else None, None, None)
    if (data is None) != (not fields):
        raise ValueError("--data goes with --image or --text, the columns that are shown")
    table = None if data is None else read_data(data, fields, id_column)
    root = data.parent if root is None and data is not None else root
    opened = open_campaign(folder)
    say(str(write_campaign_report(opened, out, data=table, fields=fields, root=root, measure=measure)))


# ---------------------------------------------------------------------------------------------------------- out


@campaign.command(
    epilog="Example: skmmal campaign export emoji --to label-studio --data items.csv --image url --out tasks.json"
)
@friendly
def export(
    folder: FolderArgument,
    out: Annotated[Path, typer.Option(help="File to write (a folder for huggingface).")],
    what: Annotated[
        What, typer.Option(help="batch: what is to be labelled; labels: as settled; history: as received.")
    ] = What.batch,
    to: Annotated[Target, typer.Option(help="Format.")] = Target.csv,
    round_: Annotated[int | None, typer.Option("--round", help="Round of the batch. Default: the last.", min=1)] = None,
    data: Annotated[Path | None, typer.Option(help="CSV: an id, and what annotators are to see.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of the id in --data.")] = "id",
    image: Annotated[list[str] | None, typer.Option(help="Column of --data with images (URLs).")] = None,
    text: Annotated[list[str] | None, typer.Option(help="Column of --data with texts.")] = None,
    audio: Annotated[list[str] | None, typer.Option(help="Column of --data with sound (URLs).")] = None,
    video: Annotated[list[str] | None, typer.Option(help="Column of --data with videos (URLs).")] = None,
    prefix: Annotated[str, typer.Option(help="Put before what is no URL, such as https://host/.")] = "",
    encoding: Annotated[str | None, typer.Option(help="Of --data, if it is not Unicode.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Rows of the batch that are answered, too.")] = False,
    predictions: Annotated[
        Predictions,
        typer.Option(help="Rows whose prediction is shown; on those drawn at random it would bias the accuracy."),
    ] = Predictions.strategy,
) -> None:
    """Write a batch for an annotation tool, or the labels."""
    from skmmal.campaign import empty_fields, export_batch, export_labels, read_data

    out = path_to_write(out)
    opened = open_campaign(folder)
    if what is not What.batch:
        n = export_labels(opened, out, to.value, history=what is What.history)
        say(f"{n} rows: {out}")
        return
    fields = shown_fields(image, text, audio, video)
    table = None if data is None else read_data(data, fields, id_column, prefix, encoding=encoding)
    n = export_batch(
        opened, out, to.value, round=round_, data=table, fields=fields, again=again, predictions=predictions.value
    )
    if table is not None and to is Target.label_studio:
        for name, n_empty in empty_fields(opened, table, round=round_, again=again).items():
            note(
                f"{n_empty} of {n} rows have no {name}: a note that says so stands in its place (Label Studio refuses "
                "tasks without a field that its configuration names)."
            )
    beside = f", and {out.with_suffix('.xml')}" if to is Target.label_studio else ""
    say(f"{n} rows that are not answered yet: {out}{beside}" if not again else f"{n} rows: {out}{beside}")


# ------------------------------------------------------------------------------------------------------- servers

campaign.command(
    epilog="Example: skmmal campaign connect emoji --url http://localhost:8080 --new emoji --data items.csv --image url"
)(connect)
campaign.command(epilog="Example: skmmal campaign push emoji")(push)
campaign.command(epilog="Example: skmmal campaign pull emoji --watch 60")(pull)
