"""What the fusions cost on token grids: rows per second of training and of prediction, and of contributions.

Two modalities of ``(tokens, dim)`` features, synthetic values. One epoch of ``adamw`` trains (float32), predictions are
made in float64. Every fusion runs `--repeat` times, in turn; medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.heads import NLGate

GRIDS = {"audio": (8, 512), "video": (5, 512)}
FUSIONS = {
    "concat": "concat",
    "attention": "attention",
    "gated": "gated",
    "nl-gate": NLGate(query="video"),
    "nl-gate, 8 heads": NLGate(query="video", n_heads=8),
    "nl-gate, audio asks": NLGate(query="audio"),
}


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(fusion, X, y, device):
    """Rows per second: one epoch, predictions, contributions."""
    clf = LateFusionClassifier(fusion=fusion, solver="adamw", max_iter=1, random_state=0, device=device)
    times = [seconds(lambda: clf.fit(X, y)), seconds(lambda: clf.predict_proba(X))]
    times.append(seconds(lambda: clf.modality_contributions(X)))
    return [len(X) / each for each in times]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--classes", type=int, default=30)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    X = MultimodalArray({n: rng.standard_normal((args.rows, *grid), dtype=np.float32) for n, grid in GRIDS.items()})
    y = np.arange(args.rows) % args.classes
    found = {name: [] for name in FUSIONS}
    for _ in range(args.repeat):
        for name, fusion in FUSIONS.items():
            found[name].append(measure(fusion, X, y, args.device))
    print(f"{X}, {args.classes} classes, {args.device}, {torch.get_num_threads()} threads; rows per second")
    print(f"{'fusion':<22}{'one epoch':>12}{'predict':>12}{'contributions':>16}")
    for name, runs in found.items():
        epoch, predict, shares = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name:<22}{epoch:>12,.0f}{predict:>12,.0f}{shares:>16,.0f}")


if __name__ == "__main__":
    main()
