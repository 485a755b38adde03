"""Peak of anonymous memory of `skmmal select` and `skmmal campaign next` on a catalogue, each in a process of its own.

Pages of memory-mapped files do not count: the system takes them back when it needs them. The catalogue has image
(1,024 columns) and text (768) in float16, 120 classes of which the first are frequent and the last rare, 5 % of the
rows without an image, and labels of 2,000 rows.

    python examples/benchmarks/command_memory.py --rows 200000 --strategies margin,bmmal,coreset
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from memory import anonymous_megabytes

from skmmal import FeatureStore

WIDTHS = {"image": 1024, "text": 768}
STRATEGIES = "random,margin,badge,bmmal,coreset,mvopt,uherding,kmeans,typiclust"


def make_catalogue(folder: Path, n_rows: int, n_classes: int, n_labels: int, widths: dict[str, int]) -> None:
    """Write the cache `features` and `labels.csv`, a range of rows at a time."""
    rng = np.random.default_rng(0)
    frequency = 1 / np.arange(1, n_classes + 1) ** 1.1
    y = rng.choice(n_classes, n_rows, p=frequency / frequency.sum())
    centers = {name: rng.standard_normal((n_classes, 64), dtype=np.float32) for name in widths}
    maps = {name: rng.standard_normal((64, width), dtype=np.float32) / 8 for name, width in widths.items()}
    ids = [f"sku-{row:07d}" for row in range(n_rows)]
    lacks = rng.random(n_rows) < 0.05
    store = FeatureStore.create(folder / "features", ids)
    for name, width in widths.items():
        with store.writer(name, width, dtype="float16") as writer:
            for pending in writer.pending():
                rows = slice(pending.start, pending.stop)
                latent = 0.65 * centers[name][y[rows]]
                latent += rng.standard_normal(latent.shape, dtype=np.float32)
                values = latent @ maps[name]
                values += 0.3 * rng.standard_normal(values.shape, dtype=np.float32)
                if name == "image":
                    values = np.maximum(values, 0.0)
                writer.commit(pending, values, ~lacks[rows] if name == "image" else None)
    labeled = rng.permutation(n_rows)[:n_labels]
    labels = pd.DataFrame({"id": np.array(ids)[labeled], "label": [f"category {k:03d}" for k in y[labeled]]})
    labels.to_csv(folder / "labels.csv", index=False)


def measured(arguments: list[str], folder: Path) -> tuple[float, float, float]:
    """Peak in megabytes, processor seconds and seconds of one command, which must succeed."""
    before, started = os.times(), time.perf_counter()
    with open(folder / "said.txt", "wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "skmmal", *arguments], cwd=folder, stdout=said, stderr=subprocess.STDOUT
        )
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, anonymous_megabytes(process.pid))
            time.sleep(0.01)
    if process.returncode:
        raise RuntimeError(f"skmmal {' '.join(arguments)} failed:\n{(folder / 'said.txt').read_text()}")
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return peak, used, time.perf_counter() - started


def main() -> None:
    """Measure, and print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=120)
    parser.add_argument("--labels", type=int, default=2_000)
    parser.add_argument("--widths", default=",".join(f"{name}={width}" for name, width in WIDTHS.items()))
    parser.add_argument("--picks", type=int, default=500)
    parser.add_argument("--strategies", default=STRATEGIES)
    parser.add_argument("--commands", default="select,next")
    parser.add_argument("--estimator", default="late-fusion")
    parser.add_argument("--folder", type=Path, help="Where the catalogue is, or is to be kept.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "labels.csv").exists():
            widths = {name: int(width) for name, width in (each.split("=") for each in options.widths.split(","))}
            make_catalogue(folder, options.rows, options.classes, options.labels, widths)
        print("command   strategy            peak MB   processor s   seconds", flush=True)
        for strategy in options.strategies.split(","):
            for command in options.commands.split(","):
                arguments = prepared(command, strategy, options, folder)
                peak, used, seconds = measured(arguments, folder)
                print(f"{command:<10}{strategy:<16}{peak:11.0f}{used:14.1f}{seconds:10.1f}", flush=True)


def prepared(command: str, strategy: str, options: argparse.Namespace, folder: Path) -> list[str]:
    """What is to be measured; for a campaign, after it was begun and given the labels."""
    if command == "select":
        return [
            *("select", "--features", "features", "--labels", "labels.csv", "--out", f"{strategy}.csv"),
            *("--strategy", strategy, "-n", str(options.picks), "--estimator", options.estimator),
        ]
    campaign = f"campaign-{strategy}"
    if not (folder / campaign).exists():
        begin = ["campaign", "init", campaign, "--features", "features", "--strategy", strategy]
        measured([*begin, "-n", str(options.picks), "--estimator", options.estimator], folder)
        measured(["campaign", "add-labels", campaign, "labels.csv"], folder)
    return ["campaign", "next", campaign]


if __name__ == "__main__":
    main()
