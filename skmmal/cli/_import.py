"""``skmmal import``: what other programs wrote becomes a feature cache and a file of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skmmal.cli._shared import friendly, note, path_to_write, say, write_csv

__all__ = ["import_files"]


@friendly
def import_files(
    files: Annotated[
        list[Path],
        typer.Argument(
            help=".npy, folders of .npy, .npz, CSV, Parquet, safetensors, folders of datasets' save_to_disk.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="New folder: the cache in features/, and labels.csv.")],
    id_column: Annotated[
        str | None, typer.Option(help="Array or column with the ids. Default: id or ids; without any, row numbers.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Array or column with the labels. Default: label, y or target.")
    ] = None,
) -> None:
    """Make a feature cache, and labels.csv, of files that are there already.

    Arrays of two or three dimensions and columns of vectors become modalities by their names; columns of numbers become
    one modality for each beginning of their names (image_0, image_1, ...). Rows of several files are joined by id.
    """
    import pandas as pd

    from skmmal._store import new_folder
    from skmmal.features import FeatureStore
    from skmmal.features._gather import gather

    out = path_to_write(out)
    found = gather(files, id_column, label_column, room=out.parent)
    with new_folder(out) as folder:
        store = FeatureStore.write(folder / "features", found.blocks, found.ids)
        widths = ", ".join(f"{name} {width}" for name, width in store.modalities.items())
        if found.labels is not None:
            write_csv(folder / "labels.csv", pd.DataFrame({"id": found.ids, "label": found.labels}))
    for text in found.notes:
        note(f"{text}.")
    say(f"{len(found.ids)} rows ({widths}): {out / 'features'}")
    if found.labels is None:
        note("No labels were found (an array or column label, y or target; --label-column).")
        say(f"Next: skmmal campaign init CAMPAIGN --features {out / 'features'}")
        return
    n = sum(label != "" for label in found.labels)
    say(f"{n} labels of {len(set(found.labels) - {''})} classes: {out / 'labels.csv'}")
    say(f"Next: skmmal simulate --features {out / 'features'} --labels {out / 'labels.csv'} --out RUN")
