"""Exact D² sampling beside the matrix products it cannot beat and the one-at-a-time loop, in one process.

The default size is a tenth of Food101's; ``--full`` is Food101's own (45,719 × (101 ⊗ 2,816), 1,000 picks). Values are
synthetic. Every side runs `--repeat` times, in turn; medians and spreads are printed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

from skmmal.selection import OuterProductEmbedding, d2_sampling

SIZES = {"small": (10_000, 101, 1_024, 300), "full": (45_719, 101, 2_816, 1_000)}


def make_factors(n_rows, n_classes, n_features, confidence, seed=0):
    """Residuals of softmax probabilities (sharper with `confidence`), and features."""
    rng = np.random.default_rng(seed)
    logits = confidence * rng.standard_normal((n_rows, n_classes), dtype=np.float32)
    residuals = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
    residuals[np.arange(n_rows), residuals.argmax(axis=1)] -= 1
    return residuals, rng.standard_normal((n_rows, n_features), dtype=np.float32)


def plain_products(left, right, picks):
    """The products N × K × B and N × D × B, in chunks, and nothing else."""
    a, h = torch.from_numpy(left), torch.from_numpy(right)
    a_picks, h_picks = a[picks].T.contiguous(), h[picks].T.contiguous()
    for start in range(0, len(a), 4096):
        a[start : start + 4096] @ a_picks
        h[start : start + 4096] @ h_picks


def one_at_a_time(left, right, n_samples, seed=0):
    """D² sampling as written in the literature, on the factors: one matrix-vector pass for every pick."""
    a, h = torch.from_numpy(left), torch.from_numpy(right)
    rng = np.random.RandomState(seed)
    norms = a.square().sum(1) * h.square().sum(1)
    picked = [int(norms.argmax())]
    nearest = torch.full((len(a),), float("inf"))
    while len(picked) < n_samples:
        last = picked[-1]
        distances = norms + norms[last] - 2 * (a @ a[last]) * (h @ h[last])
        nearest = torch.minimum(nearest, distances.clamp_min(0))
        nearest[picked] = 0
        cumulative = nearest.double().cumsum(0).numpy()
        picked.append(int(np.searchsorted(cumulative, rng.random_sample() * cumulative[-1], side="right")))
    return picked


def ours(left, right, n_samples, seed):
    """What is measured: from the factors to the picks."""
    return d2_sampling(OuterProductEmbedding(left, right), n_samples, random_state=seed)


def timed(function, *arguments):
    """Seconds that a call takes, and what it returns."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def peak_memory(size, confidence):
    """Megabytes that sampling needs beyond its inputs, measured in a process of its own."""
    code = f"""
import resource, sys
sys.path.insert(0, {str(__file__.rsplit("/", 1)[0])!r})
from selection import make_factors
from skmmal.selection import OuterProductEmbedding, d2_sampling
n, k, d, b = {size}
d2_sampling(OuterProductEmbedding(*make_factors(100, k, d, {confidence})), 5, random_state=0)
embedding = OuterProductEmbedding(*make_factors(n, k, d, {confidence}))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
current = lambda: int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20
before = current()
print("ready", flush=True); sys.stdin.readline()
open("/proc/self/clear_refs", "w").write("5")  # forget the peak of making the inputs
d2_sampling(embedding, b, random_state=0)
high = [int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
print(high - before)
"""
    done = subprocess.run([sys.executable, "-c", code], input="\n", capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="Food101's size (about 5 minutes)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    size = SIZES["full" if arguments.full else "small"]
    n_rows, n_classes, n_features, n_samples = size
    print(f"{n_rows} rows, {n_classes} ⊗ {n_features}, {n_samples} picks, float32, {torch.get_num_threads()} threads")
    for label, confidence in (("unconfident", 1.0), ("confident", 8.0)):
        left, right = make_factors(n_rows, n_classes, n_features, confidence)
        seconds = {"d2_sampling": [], "plain products": [], "one at a time": []}
        for repeat in range(arguments.repeat):
            took, picks = timed(ours, left, right, n_samples, repeat)
            seconds["d2_sampling"].append(took)
            seconds["plain products"].append(timed(plain_products, left, right, picks)[0])
            seconds["one at a time"].append(timed(one_at_a_time, left, right, n_samples, repeat)[0])
        reference = statistics.median(seconds["d2_sampling"])
        print(f"\n{label} pool")
        for name, values in seconds.items():
            median = statistics.median(values)
            spread = f"({min(values):.2f} to {max(values):.2f})"
            print(f"  {name:15s} median {median:7.2f} s  {spread}  d2/this {reference / median:.2f}")
        print(f"  d2_sampling: {peak_memory(size, confidence):.0f} MB beyond its inputs")


if __name__ == "__main__":
    main()
