"""What the dataset pipelines share: manifests and labels out of tables, caches out of manifests."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from skmmal.features import FeatureStore
from skmmal.featurize import JobOptions, run, run_shards

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")


def index_files(folder: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    """Return every file below a folder by its name without suffix."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    return {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in tuple(suffixes)}


def write_tables(table: pd.DataFrame, out: Path) -> Path:
    """Write manifest.csv (all columns) and labels.csv (id, label, split: train and test rows only)."""
    out.mkdir(parents=True, exist_ok=True)
    if table["id"].duplicated().any():
        raise ValueError(f"the dataset lists {table['id'][table['id'].duplicated()].iloc[0]!r} twice")
    if table.empty:
        raise ValueError("no sample of the dataset was found")
    table.to_csv(out / "manifest.csv", index=False)
    labels = table[table["split"].isin(["train", "test"])]
    labels[["id", "label", "split"]].to_csv(out / "labels.csv", index=False)
    counts = ", ".join(f"{count} {name}" for name, count in table["split"].value_counts().items())
    print(f"{len(table)} samples ({counts}), {table['label'].nunique()} classes")
    return out / "manifest.csv"


def keep_found(table: pd.DataFrame, column: str, out: Path) -> pd.DataFrame:
    """Leave out rows whose only file is not there, and list them in missing.csv: videos vanish from the web."""
    found = table[column] != ""
    if not found.all():
        out.mkdir(parents=True, exist_ok=True)
        table[~found].drop(columns=column).to_csv(out / "missing.csv", index=False)
        print(f"{int((~found).sum())} of {len(table)} samples have no file; they are listed in missing.csv")
    return table[found]


def arguments(description: str, models: dict[str, tuple[str, str]]) -> argparse.ArgumentParser:
    """Return a parser with a model and weights per modality, and what runs them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("root", type=Path, help="the dataset as its publishers lay it out")
    parser.add_argument("--out", type=Path, required=True, help="folder for manifest, labels and the cache")
    for name, (model, weights) in models.items():
        parser.add_argument(f"--{name}-model", default=model)
        parser.add_argument(f"--{name}-weights", default=weights)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--jobs", type=int, default=1, help="shards at once, a GPU each where there are some")
    parser.add_argument("--manifest-only", action="store_true", help="write the tables and stop")
    return parser


def featurize(parsed: argparse.Namespace, manifest: Path, script: str, out: Path, **settings: Any) -> None:
    """Fill one modality with the model that the command line names."""
    options = JobOptions(
        script,
        manifest,
        out,
        getattr(parsed, f"{script}_model"),
        getattr(parsed, f"{script}_weights"),
        settings=settings,
        device=parsed.device,
        batch_size=parsed.batch_size,
        workers=parsed.workers,
    )
    if parsed.jobs > 1:
        run_shards(options, parsed.jobs, n_jobs=parsed.jobs)
    else:
        run(options)


def list_clips(table: pd.DataFrame, root: Path, out: Path) -> pd.DataFrame:
    """Complete a table of id, label and split with the clip of each id below `root`, which is seen and heard."""
    files = index_files(root, VIDEO_SUFFIXES)
    clips = [str(files[name].resolve()) if name in files else "" for name in table["id"]]
    table = keep_found(table[["id", "label", "split"]].assign(video=clips), "video", out)
    return table[["id", "video", "label", "split"]].assign(audio=table["video"])


def run_clips(description: str, read: Callable[[Path, Path], pd.DataFrame], argv: list[str] | None) -> int:
    """Make manifest and cache of a dataset of clips with the BMMAL paper's backbones for video and sound.

    `read` takes the dataset's folder and the folder to write to, and lists the clips.
    """
    models = {"video": ("torchvision/r2plus1d_18", "DEFAULT"), "audio": ("spectrogram/resnet18", "DEFAULT")}
    parsed = arguments(description, models).parse_args(argv)
    manifest = write_tables(read(parsed.root, parsed.out), parsed.out)
    if parsed.manifest_only:
        return 0
    featurize(parsed, manifest, "video", parsed.out / "features", frames=10, fps=1.0)
    featurize(parsed, manifest, "audio", parsed.out / "features", window=10.0)
    return finish(parsed.out)


def finish(out: Path) -> int:
    """Say what there is, and what to do with it."""
    store = FeatureStore.open(out / "features")
    print(store)
    print(f"next: skmmal simulate --features {out / 'features'} --labels {out / 'labels.csv'} --out {out / 'run'}")
    return 0


def guarded(main: Any) -> None:
    """Run a pipeline's main; what the user can mend is a message, not a traceback."""
    try:
        sys.exit(main())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
