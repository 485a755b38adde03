"""Seconds and memory of every query strategy, each in a process of its own.

Seconds are those on the wall. Beside them stands the processor time of all threads: where the machine does other things
meanwhile, half of it is what two threads would take at best.

The pool is synthetic: two modalities of clustered features, a `LateFusionClassifier` fitted on the labelled rows. The
default size takes a few seconds a strategy; ``--n 50000 --d 1664 --k 68 -b 500`` is a pool as one meets it. Linux only
(memory is read from /proc).

    python examples/benchmarks/strategies.py
    python examples/benchmarks/strategies.py --n 50000 --d 1664 --k 68 -b 500 --strategy badge --strategy bmmal
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from memory import forget_peak, peak_megabytes, resident_megabytes

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
FIRST_SHARE = 768 / 1664
"""Share of the columns that the first modality has."""


def make_problem(n_rows, n_columns, n_classes, n_labelled, encoder_dim=None, seed=0):
    """A pool and labelled rows of two clustered modalities, labels, and a classifier fitted on them."""
    import numpy as np

    from skmmal import LateFusionClassifier, MultimodalArray

    rng = np.random.default_rng(seed)
    first = round(n_columns * FIRST_SHARE)
    widths = {"text": first, "image": n_columns - first}
    # several clusters to a class; how far they are apart does not depend on the width
    centres = {name: rng.standard_normal((4 * n_classes, width), dtype=np.float32) for name, width in widths.items()}

    def draw(n):
        cluster = rng.integers(0, 4 * n_classes, n)
        blocks = {}
        for name, width in widths.items():
            block = rng.standard_normal((n, width), dtype=np.float32)
            block += 5.0 / np.sqrt(width) * centres[name][cluster]
            blocks[name] = block / np.float32(np.sqrt(width))
        return MultimodalArray(blocks), cluster % n_classes

    X_labeled, y_labeled = draw(n_labelled)
    X_pool, _ = draw(n_rows)
    settings = {} if encoder_dim is None else {"encoder_dim": encoder_dim, "max_iter": 30, "device": "cpu"}
    estimator = LateFusionClassifier(C=100.0, random_state=seed, **settings)
    return estimator.fit(X_labeled, y_labeled, classes=np.arange(n_classes)), X_pool, X_labeled, y_labeled


def measure(arguments):
    """Run one strategy in this process and print what it took as JSON."""
    import torch

    from skmmal.query import get_strategy

    torch.set_num_threads(arguments.threads)
    estimator, X_pool, X_labeled, y_labeled = make_problem(
        arguments.n, arguments.d, arguments.k, arguments.labeled, arguments.encoder_dim, arguments.seed
    )
    strategy = get_strategy(arguments.child)
    if "random_state" in strategy.get_params():
        strategy.set_params(random_state=arguments.seed)
    before = resident_megabytes()
    forget_peak()
    start, processor_start = time.perf_counter(), time.process_time()
    picked = strategy.query(estimator, X_pool, arguments.batch, X_labeled=X_labeled, y_labeled=y_labeled)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor_start
    assert len(set(picked.tolist())) == arguments.batch
    peak = peak_megabytes()
    print(json.dumps({"seconds": seconds, "cpu_seconds": processor, "beyond_data_mb": peak - before, "total_mb": peak}))


def run_child(name, arguments):
    """Measure one strategy in a fresh process; what went wrong stands under ``"error"``."""
    command = [sys.executable, __file__, "--child", name]
    for option in ("n", "d", "k", "batch", "labeled", "threads", "seed"):
        command += [f"--{option}", str(getattr(arguments, option))]
    if arguments.encoder_dim is not None:
        command += ["--encoder-dim", str(arguments.encoder_dim)]
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(arguments.threads))}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=arguments.limit)
    except subprocess.TimeoutExpired:
        return {"error": f"stopped after {arguments.limit} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=5_000, help="rows of the pool")
    parser.add_argument("--d", type=int, default=256, help="columns of both modalities together")
    parser.add_argument("--k", type=int, default=20, help="classes")
    parser.add_argument("-b", "--batch", type=int, default=100, help="rows to pick")
    parser.add_argument("--labeled", type=int, default=500, help="labelled rows")
    parser.add_argument("--encoder-dim", type=int, default=None, help="MLP encoders of that width in the classifier")
    parser.add_argument("--strategy", nargs="+", action="extend", metavar="NAME", help="by default all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=900.0, help="seconds after which a strategy is stopped")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default=None, metavar="FILE.csv", help="where to write the table")
    parser.add_argument("--child", default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        measure(arguments)
        return

    import pandas as pd

    from skmmal.query import available_strategies

    print(
        f"pool of {arguments.n} rows, {arguments.d} columns in two modalities, {arguments.k} classes, "
        f"{arguments.labeled} labelled rows, {arguments.batch} picks; {arguments.threads} threads each",
        flush=True,
    )
    rows = []
    for name in arguments.strategy or available_strategies():
        found = run_child(name, arguments)
        rows.append({"strategy": name, **found})
        said = found.get("error") or (
            f"{found['seconds']:8.1f} s ({found['cpu_seconds']:.1f} s of processor time) "
            f"{found['beyond_data_mb']:8.0f} MB beyond the data {found['total_mb']:8.0f} MB"
        )
        print(f"  {name:18s} {said}", flush=True)
        table = pd.DataFrame(rows).set_index("strategy")
        if arguments.out:  # after each strategy: a run that is broken off leaves what it has
            table.to_csv(arguments.out)
    if "seconds" in table:
        print("\n" + table.sort_values("seconds").round(1).to_string())
    if "error" in table:
        sys.exit(1)


if __name__ == "__main__":
    main()
