"""D² sampling from pools on disk: seconds, microseconds per row and pick, and the most memory that the process held.

The pool is written first, in float16 as the featurization scripts store it: 6.9 GB for the largest size. Every size is
measured in a process of its own, which maps the files; pages of files that it holds count as its memory. Linux only.

    python examples/benchmarks/larger_than_memory.py                          # up to 200,000 rows
    python examples/benchmarks/larger_than_memory.py --rows 10000,2000000     # two minutes
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from memory import peak_megabytes, resident_megabytes

N_CLASSES, N_FEATURES = 101, 1_664
CHUNK = 20_000


def write_pool(folder: Path, n_rows: int) -> None:
    """Residuals of softmax probabilities (float32) and clustered features (float16), chunk by chunk."""
    from numpy.lib.format import open_memmap

    left = open_memmap(folder / "left.npy", "w+", np.float32, (n_rows, N_CLASSES))
    right = open_memmap(folder / "right.npy", "w+", np.float16, (n_rows, N_FEATURES))
    rng = np.random.default_rng(0)
    means = rng.standard_normal((N_CLASSES, N_FEATURES), dtype=np.float32)
    for start in range(0, n_rows, CHUNK):
        n = min(CHUNK, n_rows - start)
        label = rng.integers(0, N_CLASSES, n)
        logits = rng.standard_normal((n, N_CLASSES), dtype=np.float32)
        logits[np.arange(n), label] += 4
        residuals = np.exp(logits)
        residuals /= residuals.sum(axis=1, keepdims=True)
        residuals[np.arange(n), residuals.argmax(axis=1)] -= 1
        left[start : start + n] = residuals
        right[start : start + n] = rng.standard_normal((n, N_FEATURES), dtype=np.float32) + means[label]
    left.flush()
    right.flush()


def measure(folder: Path, n_samples: int) -> dict:
    """Sample from the files; the figures of this process."""
    from skmmal.selection import OuterProductEmbedding, d2_sampling

    left, right = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("left", "right"))
    before = resident_megabytes()
    start, start_cpu = time.perf_counter(), time.process_time()
    picks = d2_sampling(OuterProductEmbedding(left, right), n_samples, random_state=0)
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    return {
        "rows": len(left),
        "picks": len(np.unique(picks)),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "ns_per_row_and_pick": 1e9 * seconds / len(left) / n_samples,
        "cpu_ns_per_row_and_pick": 1e9 * cpu / len(left) / n_samples,
        "peak_mb": peak_megabytes(),
        "before_mb": before,
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,50000,200000", help="numbers of rows by commas")
    parser.add_argument("--picks", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the pools are written (default: the system's)")
    parser.add_argument("--out", type=Path, help="CSV file for the figures")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        import torch

        torch.set_num_threads(arguments.threads)
        print(json.dumps(measure(arguments.measure, arguments.picks)))
        return

    import pandas as pd

    records = []
    print(f"{N_CLASSES} ⊗ {N_FEATURES:,}, {arguments.picks:,} picks, {arguments.threads} threads")
    for n_rows in map(int, arguments.rows.split(",")):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            write_pool(Path(folder), n_rows)
            command = [__file__, "--measure", folder, "--picks", str(arguments.picks)]
            command += ["--threads", str(arguments.threads)]
            done = subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, text=True, check=True)
        records.append(json.loads(done.stdout))
        print(", ".join(f"{name} {value:,.0f}" for name, value in records[-1].items()), flush=True)
    if arguments.out is not None:
        pd.DataFrame(records).to_csv(arguments.out, index=False)


if __name__ == "__main__":
    main()
