"""Many shards of one job, through joblib: on this machine, or wherever joblib's backend runs (Dask, Ray)."""

from __future__ import annotations

import dataclasses
from collections import Counter
from concurrent.futures import BrokenExecutor
from typing import Any

from joblib import Parallel, delayed

from skmmal.featurize._job import problem, run
from skmmal.featurize._options import JobOptions

ATTEMPTS = 3
"""Rounds after which shards whose workers keep dying are given up."""


def run_shards(options: JobOptions, n_shards: int, *, n_jobs: int | None = None, quiet: bool = False) -> dict[str, Any]:
    r"""Featurize in several shards.

    Inside ``joblib.parallel_config(backend="dask")`` (or Ray's) the shards run on that cluster; its workers need
    the same files under the same paths. The result does not depend on the number of shards, nor on who runs
    them. When a worker dies, its shard is taken up again where it stopped.

    Parameters
    ----------
    options : JobOptions
        `shard` is set here. With several GPUs and ``device="auto"`` or ``"cuda"``, shard *i* takes GPU *i* modulo
        their number.
    n_shards : int
        Contiguous parts of the manifest.
    n_jobs : int, optional
        How many run at once, as in joblib.
    quiet : bool, default=False
        Print nothing. Otherwise each shard says when it begins, once a minute how far it is, and what it did.

    Returns
    -------
    dict
        The sums of the shards' receipts, and these as ``"shards"``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skmmal.featurize import JobOptions, run_shards
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("red", "blue"):
    ...         Image.new("RGB", (40, 30), name).save(Path(folder) / f"{name}.png")
    ...     manifest = Path(folder) / "images.csv"
    ...     written = manifest.write_text("id,image\nr,red.png\nb,blue.png\n")
    ...     options = JobOptions(
    ...         "image", manifest, Path(folder) / "cache", "torchvision/squeezenet1_1", "random",
    ...         workers=0, device="cpu",
    ...     )
    ...     receipt = run_shards(options, 2, quiet=True)
    >>> receipt["total"], receipt["encoded"], len(receipt["shards"])
    (2, 2, 2)
    """
    if n_shards < 1:
        raise ValueError(f"n_shards must be at least 1, got {n_shards}")
    todo = list(range(n_shards))
    receipts: dict[int, dict[str, Any]] = {}
    for attempt in range(ATTEMPTS):
        tasks = (delayed(_run_shard)(options, index, n_shards, quiet) for index in todo)
        try:
            found = Parallel(n_jobs=n_jobs)(tasks)
        except BrokenExecutor:  # joblib loses all results of a round in which a worker died; the cache does not
            if attempt == ATTEMPTS - 1:
                raise
            continue
        receipts.update(zip(todo, found, strict=True))
        break
    return _sum(options, [receipts[index] for index in sorted(receipts)])


def _run_shard(options: JobOptions, index: int, count: int, quiet: bool) -> dict[str, Any]:
    device = _device(options.device, index)
    return run(dataclasses.replace(options, shard=(index, count), device=device), quiet=quiet, bar=False)


def _device(name: str, index: int) -> str:
    """Give each shard a GPU of its own, where there are several."""
    import torch

    if name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    return f"cuda:{index % torch.cuda.device_count()}"


def _sum(options: JobOptions, receipts: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {"modality": options.name, "shards": receipts}
    for key in ("total", "done", "encoded", "failed", "noted", "present", "errors", "notes"):
        total[key] = sum(receipt[key] for receipt in receipts)
    reasons: Counter[str] = Counter()
    for receipt in receipts:
        reasons.update(receipt["reasons"])
    total["reasons"] = dict(reasons.most_common())
    total["complete"] = all(receipt["complete"] for receipt in receipts)
    total["problem"] = problem(total)
    return total
