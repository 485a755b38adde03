"""How much of the bare model's speed a featurization job keeps.

    python examples/benchmarks/featurize_throughput.py image text
    python examples/benchmarks/featurize_throughput.py image text --device cuda --items 20000 --batch-size 256

Bare: forward passes on batches that were decoded and collated before the clock starts. Job: the whole of it, from
files to a verified cache: reading, decoding, encoding, checksums, fsync. Same model, same batches, same process,
rounds of both in turn; the ratio is of the medians. ``--clock processor`` counts the seconds of all the job's
processes instead of those on the wall, which others on the machine do not change; what a job does beside the model then
counts in full, also what workers do while the model runs. ResNet-101 on photographs of 500 × 375 pixels (noise: decodes
like a photograph full of detail), BERT-base on texts of 5 to 60 words. Random weights: they cost what trained ones
do. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from skmmal.featurize import Backbone, JobOptions, run
from skmmal.featurize._encoding import Encoder
from skmmal.featurize._job import build
from skmmal.featurize._manifest import Wanted, read_manifest
from skmmal.featurize._reading import read_chunk


def now(clock: str) -> float:
    """Return the seconds of a clock; of the processor's, those of finished children too."""
    return time.perf_counter() if clock == "wall" else sum(os.times()[:4])


def make_images(folder: Path, count: int) -> pd.DataFrame:
    """Write JPEGs: smooth noise of the size that photographs on the web have."""
    rng = np.random.default_rng(0)
    names = []
    for k in range(count):
        if k < 64:  # the same 64 pictures under many names: what is measured is reading and decoding
            coarse = Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{k}.jpg", quality=90)
        names.append(f"{k % 64}.jpg")
    return pd.DataFrame({"id": range(count), "image": names})


def make_texts(folder: Path, count: int) -> pd.DataFrame:
    """Write a BERT-base configuration with a vocabulary, and texts of very different lengths."""
    from skmmal.featurize._compat import import_transformers

    transformers = import_transformers()
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size=6)) for _ in range(5000)]
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    transformers.BertConfig().save_pretrained(folder / "bert")
    texts = [" ".join(rng.choice(words, size=rng.integers(5, 61))) for _ in range(count)]
    return pd.DataFrame({"id": range(count), "text": texts})


def bare_seconds(
    encoder: Encoder, backbone: Backbone, cells: list[str], size: int, range_rows: int, clock: str = "wall"
) -> float:
    """Time forward passes on preloaded batches, the job's own."""
    step = range_rows if backbone.reader.whole_range else size
    batches = []
    for start in range(0, len(cells), range_rows):
        part = cells[start : start + range_rows]
        for first in range(0, len(part), step):
            batches += read_chunk(backbone.reader, part[first : first + step], size).batches
    began = now(clock)
    for batch in batches:
        for _, features in encoder.encode(batch.inputs):
            assert isinstance(features, torch.Tensor)
            features.cpu()
    return now(clock) - began


def measure(script: str, parsed: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time bare model and job in turn."""
    make = {"image": make_images, "text": make_texts}[script]
    make(folder, parsed.items).to_csv(folder / "manifest.csv", index=False)
    model = {"image": "torchvision/resnet101", "text": f"transformers/{folder / 'bert'}"}[script]
    options = JobOptions(
        script,
        folder / "manifest.csv",
        folder / "cache 0",
        model,
        "random",
        batch_size=parsed.batch_size,
        device=parsed.device,
        workers=parsed.workers,
        amp=parsed.amp,
        compile=parsed.compile,
        range_rows=parsed.range_rows,
    )
    manifest = read_manifest(options.manifest, Wanted(script))
    backbone = build(options, manifest)
    encoder = Encoder(backbone, torch.device(parsed.device), parsed.amp, compiled=parsed.compile)
    bare_seconds(encoder, backbone, manifest.cells[: parsed.batch_size], parsed.batch_size, parsed.range_rows)
    bare, job, receipt = [], [], {}
    for round_ in range(parsed.rounds):
        sizes = parsed.batch_size, parsed.range_rows
        bare.append(bare_seconds(encoder, backbone, manifest.cells, *sizes, parsed.clock))
        out = folder / f"cache {round_ + 1}"
        fresh = JobOptions(**{**vars(options), "out": out})
        began = now(parsed.clock)
        receipt = run(fresh, backbone, quiet=True)
        job.append(now(parsed.clock) - began)
        assert receipt["complete"]
        assert receipt["failed"] == 0
    rates = [parsed.items / statistics.median(seconds) for seconds in (bare, job)]
    return {
        "script": script,
        "model": {"image": "ResNet-101, 224 px", "text": "BERT-base"}[script],
        "device": torch.cuda.get_device_name() if parsed.device.startswith("cuda") else "cpu",
        "threads": torch.get_num_threads(),
        "items": parsed.items,
        "batch_size": parsed.batch_size,
        "amp": str(encoder.dtype),
        "compile": parsed.compile,
        "clock": parsed.clock,
        "bare_per_second": round(rates[0], 2),
        "job_per_second": round(rates[1], 2),
        "ratio": round(rates[1] / rates[0], 3),
        "seconds": receipt["seconds"],
    }


def main(arguments: list[str] | None = None) -> int:
    """Print one line of JSON per script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scripts", nargs="+", choices=("image", "text"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--items", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--range-rows", type=int, default=64)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--amp", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--require", type=float, default=0.0, help="exit with 1 below this ratio")
    parsed = parser.parse_args(arguments)
    worst = 1.0
    for script in parsed.scripts:
        with tempfile.TemporaryDirectory() as folder:
            result = measure(script, parsed, Path(folder))
        print(json.dumps(result), flush=True)
        worst = min(worst, result["ratio"])
    return 0 if worst >= parsed.require else 1


if __name__ == "__main__":
    raise SystemExit(main())
