"""The ``skmmal`` command. What is slow to import is imported when it is used, so that ``--help`` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from skmmal.cli._campaign import campaign
from skmmal.cli._examples import examples
from skmmal.cli._featurize import featurize
from skmmal.cli._import import import_files
from skmmal.cli._label import benefit, label
from skmmal.cli._labelled_data import Columns, has_features, labelled_data, pool_table
from skmmal.cli._progress import stage
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
    complete_last,
    complete_strategy,
    friendly,
    make_classifier,
    new_app,
    note,
    out_console,
    path_to_write,
    print_table,
    split_names,
    write_csv,
)

if TYPE_CHECKING:
    import numpy as np

    from skmmal.experiment import ExperimentResults
    from skmmal.experiment.sources import Features

__all__ = ["app"]

app = new_app("skmmal", "Multimodal active learning over precomputed features.", pretty_exceptions_show_locals=False)
campaign.command(
    epilog="Example: skmmal campaign label emoji --data items.csv --image picture --text name --annotator ann"
)(label)
campaign.command(epilog="Example: skmmal campaign benefit emoji")(benefit)
app.add_typer(campaign)
app.add_typer(featurize, name="featurize")
app.command("import", epilog="Example: skmmal import arrays/ --out data")(import_files)


def _version(wanted: bool) -> None:
    if wanted:
        from skmmal._version import __version__

        out_console.print(f"skmmal {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Multimodal active learning over precomputed features."""


def _complete_dataset(incomplete: str) -> list[str]:
    from skmmal.experiment.sources import DATASETS

    return [name for name in DATASETS if name.startswith(incomplete)]


def _complete_robustness(incomplete: str) -> list[str]:
    from skmmal.experiment._evaluations import EVALUATIONS

    return complete_last(EVALUATIONS, incomplete)


FeaturesOption = Annotated[
    Path | None,
    typer.Option("--features", help="A feature cache (a folder), or an .npz file with one array for each modality."),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option("--labels", help="CSV with the columns id,label (and split: train or test)."),
]
ScaleOption = Annotated[
    Scale, typer.Option(help="How each modality is brought to the same scale, over all rows; none: raw features.")
]


# ---------------------------------------------------------------------------------------------------- simulate


@app.command(epilog="Example: skmmal simulate --dataset emoji --strategies bmmal,random --seeds 5 --out runs/emoji")
@friendly
def simulate(
    out: Annotated[Path, typer.Option(help="Folder of the run; a run that was killed goes on there.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="emoji, digits, mind-the-gap:PITFALL or pid:SETTING, with their options as in digits:fou,pix.",
            autocompletion=_complete_dataset,
        ),
    ] = None,
    features: FeaturesOption = None,
    labels: LabelsOption = None,
    strategies: Annotated[
        str, typer.Option(help="Names, separated by commas.", autocompletion=complete_strategy)
    ] = "bmmal,badge,margin,random",
    n_initial: Annotated[int, typer.Option(help="Rows labelled at first.", min=1)] = 40,
    n_instances: Annotated[int, typer.Option(help="Rows chosen in a round.", min=1)] = 40,
    n_rounds: Annotated[int, typer.Option(help="Rounds of choosing.", min=0)] = 8,
    seeds: Annotated[int, typer.Option(help="Repetitions.", min=1)] = 5,
    initial: Annotated[
        str,
        typer.Option(help="Chooses the first rows; one that needs no model.", autocompletion=complete_strategy),
    ] = "random",
    several_labels: Annotated[
        bool,
        typer.Option(
            "--several-labels",
            help="Rows have several labels: sets as sea|boat in the column label, or a column of 0 and 1 for each.",
        ),
    ] = False,
    label_separator: Annotated[str, typer.Option(help="What stands between the labels of a set.")] = "|",
    group_column: Annotated[
        str | None, typer.Option(help="Column of the labels: whole groups are chosen, and n counts groups.")
    ] = None,
    cost_column: Annotated[
        str | None, typer.Option(help="Column of the labels: what a row costs; curves are over cost, too.")
    ] = None,
    scale: ScaleOption = Scale.standard,
    estimator: EstimatorOption = Classifier.cv,
    fusion: FusionOption = Fusion.concat,
    C: COption = None,
    class_weight: ClassWeightOption = ClassWeight.none,
    modality_weights: ModalityWeightsOption = None,
    class_balance: ClassBalanceOption = False,
    test_size: Annotated[
        float, typer.Option(help="Share of the rows to measure on, unless the labels have a column split.")
    ] = 0.3,
    split_seed: Annotated[int, typer.Option(help="Draws the test rows and generated data.", min=0)] = 0,
    scoring: Annotated[str, typer.Option(help="More measures: scikit-learn's scorers, by commas.")] = "",
    robustness: Annotated[
        str,
        typer.Option(
            help="Accuracy under disturbances after the last round: missing, noise, fgsm, pgd, by commas.",
            autocompletion=_complete_robustness,
        ),
    ] = "",
    annotator_error: Annotated[
        float, typer.Option(help="Share of the labels that are wrong, at random.", min=0, max=1)
    ] = 0.0,
    annotator_skip: Annotated[
        float, typer.Option(help="Share of the rows chosen that get no label.", min=0, max=1)
    ] = 0.0,
    annotators: Annotated[int, typer.Option(help="How many label each row; most votes count.", min=1)] = 1,
    oracle: Annotated[
        bool, typer.Option("--oracle", help="Add the curve of the best of many batches, by known labels: slow.")
    ] = False,
    n_jobs: Annotated[int, typer.Option(help="Processes; -1: one for each core.")] = 1,
    memory_limit: MemoryOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Compare strategies on data whose labels are known, over several seeds.

    Writes config.json, results.csv (one line for each strategy, seed and round), selected.csv (the rows chosen),
    classes.csv, timings.csv and pool.csv (row numbers to ids); with --robustness, evaluation-NAME.csv. The same
    command goes on with a run that was killed, and ends with the same bytes.
    """
    from skmmal._paths import local_path
    from skmmal.experiment import NoisyAnnotator, run_experiment
    from skmmal.experiment.sources import split
    from skmmal.preprocessing._modality_scaler import on_one_scale

    out = local_path(out, "--out")
    if (dataset is None) == (features is None):
        raise typer.BadParameter("give either --dataset or --features with --labels")
    if dataset is not None and labels is not None:
        raise typer.BadParameter("--labels goes with --features; a --dataset has its own")
    if not 0 < test_size < 1:
        raise typer.BadParameter(f"--test-size must lie between 0 and 1, got {test_size}")
    errs = annotator_error > 0 or annotator_skip > 0
    if annotators > 1 and not errs:
        raise typer.BadParameter("--annotators needs --annotator-error or --annotator-skip: they would all agree")
    if dataset is not None and (several_labels or group_column or cost_column):
        raise typer.BadParameter("--several-labels, --group-column and --cost-column are about --labels")
    beside = Columns(several_labels, label_separator, group_column, cost_column)
    data = labelled_data(dataset, features, labels, split_seed, beside)
    data.X = on_one_scale(data.X, scale.value)
    pool, test = split(data, test_size, split_seed)
    results = run_experiment(
        make_classifier(estimator, fusion, C, class_weight, modality_weights),
        split_names(strategies),
        pool.X,
        pool.y,
        X_test=test.X,
        y_test=test.y,
        n_initial=n_initial,
        n_instances=n_instances,
        n_rounds=n_rounds,
        seeds=seeds,
        initial=initial,
        groups=pool.groups,
        costs=pool.costs,
        class_balance=class_balance,
        scoring=split_names(scoring) or None,
        evaluations=split_names(robustness) or None,
        annotator=NoisyAnnotator(annotator_error, annotator_skip, n_annotators=annotators) if errs else None,
        oracle=oracle,
        n_jobs=n_jobs,
        results_dir=out,
        metadata={"dataset": dataset or str(features), "scale": scale.value, "split_seed": split_seed},
        verbose=0 if quiet else 1,
    )
    write_csv(out / "pool.csv", pool_table(pool))
    if not quiet:
        _print_summary(results)
        note(f"Written to {out}. Tables and figures: skmmal report {out}")


def _print_summary(results: ExperimentResults) -> None:
    import warnings

    from skmmal.experiment._results import summary_text

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        summary = results.summary()
    for warning in said:
        note(str(warning.message))
    text = summary_text(summary).drop(columns="s/fit", errors="ignore")
    print_table("Accuracy on the test rows, mean ± standard error", text)


# ------------------------------------------------------------------------------------------------------ report


@app.command(epilog="Example: skmmal report runs/emoji runs/digits --out runs/comparison")
@friendly
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the report. Default: the run's own; with several runs, comparison."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="What to compare: a column of results.csv. Default: accuracy, of several labels mean AP."),
    ] = None,
    baseline: Annotated[str, typer.Option(help="Strategy that the others are tested against.")] = "random",
    confidence: Annotated[float, typer.Option(help="Of the pairwise matrix.")] = 0.9,
    images: Annotated[
        Path | None, typer.Option(help="Folder of pictures named by id (17.png, 17.jpg), to show what was chosen.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="CSV: an id and the names of pictures, in place of --images.")
    ] = None,
    id_column: Annotated[str, typer.Option(help="Column of the id in --data.")] = "id",
    image: Annotated[str | None, typer.Option(help="Column of --data with names of images.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the images. Default: that of --data.")] = None,
) -> None:
    """Write tables and figures of runs.

    report.html is one file and needs no network; report.txt and tables/ hold the tables, figures/ PNG and PDF.

    Every run gets a report of its own. Several runs also get one that compares the strategies over all of them.
    """
    from skmmal.display import write_comparison, write_report

    pictures = _pictures(images, data, id_column, image, root)
    written = []
    for run in runs:
        folder = out if out is not None and len(runs) == 1 else run
        written.append(
            write_report(run, folder, metric=metric, baseline=baseline, confidence=confidence, images=pictures)
        )
    if len(runs) > 1:
        written.append(write_comparison(runs, out or Path("comparison"), metric=metric, confidence=confidence))
    for path in written:
        out_console.print(str(path), markup=False, highlight=False)


def _pictures(
    images: Path | None, data: Path | None, id_column: str, image: str | None, root: Path | None
) -> Path | dict[str, Path] | None:
    """Folder of pictures, or the picture of each id that a table names; nothing outside the root is read."""
    from skmmal.campaign import read_data
    from skmmal.campaign.page._media import Media

    if (data is None) != (image is None) or (images is not None and data is not None):
        raise ValueError("pictures come from --images FOLDER, or from --data FILE with --image COLUMN")
    if data is None or image is None:
        return images
    media = Media(read_data(data, {image: "image"}, id_column), {image: "image"}, data.parent if root is None else root)
    found = {str(name): media.find(name, image) for name in media.data.index}
    return {name: path for name, path in found.items() if path is not None}


# ------------------------------------------------------------------------------------------------------ select


@app.command(epilog="Example: skmmal select --features features --labels labels.csv -n 200 --out next.csv")
@friendly
def select(
    features: Annotated[Path, typer.Option(help="A feature cache (a folder), or an .npz file.")],
    out: Annotated[Path, typer.Option(help="CSV to write: id, rank, score, and what the model thinks of the row.")],
    labels: LabelsOption = None,
    strategy: Annotated[str, typer.Option(help="Name of the strategy.", autocompletion=complete_strategy)] = "auto",
    n_instances: Annotated[int, typer.Option("--n-instances", "-n", help="Rows to choose.", min=1)] = 100,
    scale: ScaleOption = Scale.standard,
    estimator: EstimatorOption = Classifier.cv,
    fusion: FusionOption = Fusion.concat,
    C: COption = None,
    class_weight: ClassWeightOption = ClassWeight.none,
    modality_weights: ModalityWeightsOption = None,
    seed: Annotated[int, typer.Option(help="Draws what the strategy leaves to chance.", min=0)] = 0,
    class_balance: ClassBalanceOption = False,
    memory_limit: MemoryOption = None,
) -> None:
    """Choose what to label next: fit on the labels so far, and ask a strategy.

    next.csv: id, rank, the strategy's score, who chose the row, the predicted label, its confidence, each modality's
    contribution, and why. Without --labels, a strategy that needs no model chooses the first rows. Same input, same
    next.csv.
    """
    from collections import Counter

    import numpy as np

    from skmmal._paths import local_path
    from skmmal.campaign import batch_table, choose
    from skmmal.experiment import sources
    from skmmal.experiment._problem import random_seed, resolve_strategies, set_random_states
    from skmmal.modalities._array import on_demand
    from skmmal.preprocessing._modality_scaler import on_one_scale
    from skmmal.query import available_strategies, get_strategy

    ((strategy, query),) = resolve_strategies([get_strategy(strategy)]).items()
    set_random_states(query, "select", seed)
    out = local_path(out, "--out")
    cache = sources.load_features(features)
    rows, y = _labels_so_far(cache, labels)
    usable = has_features(cache)
    if not usable.all():  # labels are joined by id before any row is left out
        y, rows = y[usable[rows]], (np.cumsum(usable) - 1)[rows[usable[rows]]]
        cache = sources.Features(on_demand(cache.X)[usable], cache.ids[usable])
    stage(f"bringing {len(cache.X):,} rows to one scale")
    X = on_one_scale(cache.X, scale.value)
    pool = np.setdiff1d(np.arange(len(X)), rows)
    if n_instances > len(pool):
        raise ValueError(f"--n-instances {n_instances}: only {len(pool)} of {len(X)} rows are not labelled yet")
    model = make_classifier(estimator, fusion, C, class_weight, modality_weights)
    model.set_params(random_state=random_seed("fit", seed))
    if query.requires_model and not len(rows):
        able = available_strategies(needs_model=False)
        raise ValueError(f"{strategy} needs labels (--labels); without any, use one of {able}")
    fitted = query.requires_model or len(np.unique(y)) > 1
    if fitted:
        stage(f"fitting on {len(rows):,} labels")
        model.fit(X[rows], y)
    elif class_balance:
        raise ValueError("--class-balance needs labels of two classes (--labels)")
    counts = Counter(y.tolist()) if class_balance else None
    stage(f"choosing {n_instances:,} of {len(pool):,} rows by {strategy}")
    pick = choose(query, model, X, pool, rows, y, n_instances, name=strategy, class_counts=counts)
    write_csv(path_to_write(out), batch_table(np.asarray(cache.ids), pick, X, model if fitted else None))
    note(f"{n_instances} of {len(pool)} rows that are not labelled, chosen by {strategy}: {out}")


def _labels_so_far(cache: Features, labels: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are labelled, in their order in the features, and their labels."""
    import numpy as np

    from skmmal.experiment import sources

    if labels is None:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=str)
    table = sources.read_labels(labels)
    rows = sources.labelled_rows(cache, table, labels)
    done = np.flatnonzero(table["label"] != "")
    if len(done) < len(table):
        note(f"{len(table) - len(done)} lines of {labels} have no label; they count as not labelled.")
    done = done[np.argsort(rows[done])]  # the order of the lines must not matter
    return rows[done], table["label"].to_numpy(dtype=str)[done]


# ------------------------------------------------------------------------------------------- strategies, info


@app.command()
@friendly
def strategies() -> None:
    """List the strategies, and what they can do."""
    from skmmal.query import strategy_table

    rows = strategy_table()
    table = Table(box=None)
    for name in rows[0]:
        table.add_column(name, no_wrap=name in ("name", "class"))
    for row in rows:
        table.add_row(*row.values())
    out_console.print(table)


@app.command(epilog="Example: skmmal info features")
@friendly
def info(folder: Annotated[Path, typer.Argument(help="A feature cache, or the folder of a run.")]) -> None:
    """Say what a feature cache or a run holds."""
    from skmmal._paths import local_path
    from skmmal._store import put_back

    folder = put_back(local_path(folder, "folder"))
    if (folder / "manifest.json").is_file():
        _info_features(folder)
    elif (folder / "config.json").is_file():
        _info_run(folder)
    else:
        if (folder / "log").is_dir() or (folder / "campaign.json").is_file():
            raise ValueError(f"{folder} is a campaign: skmmal campaign status {folder}")
        raise FileNotFoundError(f"{folder} is neither a feature cache (manifest.json) nor a run (config.json)")


def _info_features(folder: Path) -> None:
    from skmmal.features import FeatureStore

    about = FeatureStore.open(folder).info()
    out_console.print(f"{about['n_samples']} samples, {about['bytes'] / 2**20:.1f} MiB", highlight=False)
    table = Table(box=None)
    for name in ("modality", "shape", "dtype", "rows done", "present", "missing", "failed", "backbone", "weights"):
        table.add_column(name)
    for name, entry in about["modalities"].items():
        table.add_row(
            name,
            " × ".join(map(str, entry["shape"])),
            str(entry["dtype"]),
            *(str(entry[key]) for key in ("rows_done", "present", "missing", "errors")),
            *(str(entry.get(key) or "") for key in ("backbone", "weights")),
        )
    out_console.print(table)


def _info_run(folder: Path) -> None:
    from skmmal.experiment import ExperimentResults
    from skmmal.experiment._folder import read_config

    config = read_config(folder)["experiment"]
    n_expected = len(config["strategies"]) * len(config["seeds"]) * (config["n_rounds"] + 1)
    results = ExperimentResults.load(folder)
    budget = config["n_initial"] + config["n_rounds"] * config["n_instances"]
    out_console.print(
        f"{len(results.frame)} of {n_expected} rounds done: {len(config['strategies'])} strategies, "
        f"{len(config['seeds'])} seeds, up to {budget} of {config['n_pool']} labels, "
        f"{config['n_test']} test rows, data {config['metadata'].get('dataset', 'not named')}",
        highlight=False,
    )
    _print_summary(results)


app.command(epilog="Example: skmmal examples skmmal-examples")(examples)
