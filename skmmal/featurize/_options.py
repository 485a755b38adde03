"""What a featurization job can be told. A plain dataclass: it travels to workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skmmal._paths import is_url, local_path, place_of


@dataclass(frozen=True)
class JobOptions:
    """Options of a job. The scripts' command lines say the same with dashes.

    Parameters
    ----------
    script : {"image", "text", "audio", "video"}
        Which script's backbones and readers to use.
    manifest : path or URL
        CSV, JSON Lines or Parquet with an id column and a column of paths (relative to the manifest), URLs or texts.
        In Parquet the files themselves may lie, as bytes or as Hugging Face's ``{"bytes", "path"}``; tables may be
        several files (``train-{00000..00004}-of-00005.parquet``, ``data/*.parquet``). Or a folder that
        ``datasets.Dataset.save_to_disk`` wrote, or tar shards as webdataset has them (``train-{000..127}.tar``),
        whose ids are the samples' keys.
    out : path
        The feature cache: new, or one with the same ids.
    model, weights : str
        ``torchvision/NAME``, ``torchaudio/NAME``, ``transformers/NAME-OR-FOLDER``,
        ``sentence-transformers/NAME-OR-FOLDER`` or ``spectrogram/resnet18``; and ``DEFAULT``, a name the library
        knows, a local file or folder, or ``random``.
    settings : dict
        What only this script knows (pooling, frames, window, ...). ``pooling="none"`` is `tokens`.
    modality, column : str, optional
        Default: the script's name. Of tar shards the column is a suffix, or several with semicolons between; by
        default those of the script's kind of file. ``json.caption`` is a text in the samples' JSON members.
    id_column : str
        Column of the ids; ``:row`` for the number of each row, ``shard/key`` for tar shards whose keys are not
        distinct, or ``json.uid`` for a field of the samples' JSON members.
    views : {None, "mean", "max", "tokens"}
        Cells may hold several files, or texts, of an item: lists, or texts with a `separator`. Their features are
        averaged (images count equally, recordings by duration), the largest of each column is taken, or they are kept
        as tokens, zero where an item has fewer. A view that cannot be read is noted, and its item is there as long
        as one can.
    separator : str, optional
        Between the views in a cell.
    n_views : int, optional
        The most views of an item, with ``"max"`` and ``"tokens"``. Default: the most that the manifest has.
    lines : bool
        The manifest is no table, but a list: on each line a text, which is its id, too.
    device : str
        ``auto`` takes a GPU where there is one.
    dtype : {"float16", "float32", "bfloat16"}
        What is stored.
    batch_size : int
        Units (images, texts, windows, frames) per forward pass; halved when memory runs out.
    workers : int, optional
        Processes that read ahead; 0 reads in the job's own process. Default: by the number of cores.
    tokens : bool
        Keep a grid of tokens instead of pooling.
    amp : bool, optional
        Autocast. Default: on a GPU.
    compile : bool
        Compile the model with ``torch.compile``: minutes at the beginning, faster later. It rounds differently, so that
        the cache does not mix with others.
    limit : int, optional
        Stop after this many rows.
    shard : (int, int)
        ``(i, n)``: the i-th of n contiguous parts.
    strict : bool
        Stop at the first item that fails, or is noted as doubtful, instead of recording it.
    extend : {None, "stat", "content"}
        Go on with a manifest that has more rows, or other ones, than the cache: rows that are still right stay. Files
        are compared by path, size and modification time, and by contents where these differ, or at once.
    retry_errors : bool
        Try only the items that failed, or were noted, before.
    max_error_rate : float, optional
        Stop when more than this share of the items fails (looked at from 100 items on, and at the end). Default: a
        half; with `retry_errors`, which takes up what is bad, all may fail.
    range_rows : int, optional
        Rows that are committed together. Fixed when the modality is created.
    seed : int
        Of random weights.
    threads : int, optional
        torch's threads. Default: torch's own choice.

    Examples
    --------
    >>> from skmmal.featurize import JobOptions
    >>> options = JobOptions("image", "manifest.csv", "features", "torchvision/resnet101")
    >>> options.weights, options.script
    ('DEFAULT', 'image')
    """

    script: str
    manifest: Path | str
    out: Path
    model: str
    weights: str = "DEFAULT"
    settings: dict[str, Any] = field(default_factory=dict)
    modality: str | None = None
    column: str | None = None
    id_column: str = "id"
    views: str | None = None
    separator: str | None = None
    n_views: int | None = None
    lines: bool = False
    device: str = "auto"
    dtype: str = "float16"
    batch_size: int = 32
    workers: int | None = None
    tokens: bool = False
    amp: bool | None = None
    compile: bool = False
    limit: int | None = None
    shard: tuple[int, int] = (0, 1)
    strict: bool = False
    extend: str | None = None
    retry_errors: bool = False
    max_error_rate: float | None = None
    range_rows: int | None = None
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "float32", "bfloat16"):
            raise ValueError(f"dtype must be 'float16', 'float32' or 'bfloat16', got {self.dtype!r}")
        for name in ("batch_size", "limit", "range_rows", "threads", "n_views"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers must not be negative, got {self.workers}")
        if self.extend not in (None, "stat", "content"):
            raise ValueError(f"extend must be None, 'stat' or 'content', got {self.extend!r}")
        if self.max_error_rate is not None and not 0 <= self.max_error_rate <= 1:
            raise ValueError(f"max_error_rate must lie in 0..1, got {self.max_error_rate}")
        index, count = self.shard
        if not 0 <= index < count:
            raise ValueError(f"shard (i, n) needs 0 <= i < n, got {self.shard}")
        if self.settings.get("pooling") == "none":
            object.__setattr__(self, "settings", {k: v for k, v in self.settings.items() if k != "pooling"})
            object.__setattr__(self, "tokens", True)
        if self.views not in (None, "mean", "max", "tokens"):
            raise ValueError(f"views must be None, 'mean', 'max' or 'tokens', got {self.views!r}")
        if self.views is None and (self.separator is not None or self.n_views is not None):
            raise ValueError(
                "separator and n_views are for items of several files; say with views what becomes of them"
            )
        if self.separator == "":
            raise ValueError("separator is empty; give what stands between the views, such as ';'")
        manifest = place_of(self.manifest, "manifest") if is_url(self.manifest) else self.manifest
        object.__setattr__(self, "manifest", manifest if is_url(manifest) else local_path(manifest, "manifest"))
        object.__setattr__(self, "out", local_path(self.out, "out"))

    @property
    def error_limit(self) -> float:
        """The share of failures that the job bears."""
        if self.max_error_rate is None:
            return 1.0 if self.retry_errors else 0.5
        return self.max_error_rate

    @property
    def name(self) -> str:
        """Name of the modality."""
        return self.modality or self.script
