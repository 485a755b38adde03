"""Does a GPU give what the CPU gives, and how much sooner? Whatever card is there, in under six minutes.

    python examples/benchmarks/gpu.py                  # the first CUDA device; without one it says so and ends well
    python examples/benchmarks/gpu.py --json gpu.json  # the table as JSON, too
    python examples/benchmarks/gpu.py --device cpu --quick   # the CPU beside itself: tries the script, not a card

Every check runs on the CPU and on the device and compares the two: convex fits, encoders and balanced training,
predictions, embeddings and contributions, selection kernels, queries, robustness curves, and featurization with
ResNet-101 and BERT-base (random weights: nothing is downloaded). Where a method draws random numbers on the device, the
draws differ from the CPU's, and accuracies are compared instead of numbers. The exit code is 1 where a check disagrees
or fails, 0 otherwise. Checks that would begin after the time allowed are listed as not run.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import MVOPT
from skmmal.selection import DenseEmbedding, OuterProductEmbedding, d2_sampling, k_center_greedy


@dataclass(frozen=True)
class Check:
    """Something to be computed on both devices.

    Parameters
    ----------
    name : str
    size : str
        What of, for the table.
    run : callable
        Takes a device's name, and returns arrays by name, or a single one.
    tolerance : float
        Largest difference that is allowed, relative to the largest value on the CPU. For rows picked: the largest
        share of rows that may differ (sums are rounded differently, and what is nearly equal may change places).
    picks : bool
        Whether the arrays hold rows picked.
    """

    name: str
    size: str
    run: Callable[[str], Any]
    tolerance: float
    picks: bool = False


@dataclass
class Outcome:
    """What came of a check; seconds are of one run each, after one on the device that is not counted."""

    name: str
    size: str
    verdict: str
    difference: float | None = None
    tolerance: float | None = None
    cpu_seconds: float | None = None
    device_seconds: float | None = None
    peak_mb: float | None = None
    message: str = ""


# ------------------------------------------------------------------------------------------------------------ the data


def blocks(n: int, widths: dict[str, int], n_classes: int, seed: int = 0) -> tuple[MultimodalArray, np.ndarray]:
    """Gaussian clusters, one modality missing in every tenth row."""
    rng = np.random.default_rng(seed)
    y = rng.integers(n_classes, size=n)
    found = {}
    for m, (name, width) in enumerate(widths.items()):
        centres = rng.normal(size=(n_classes, width)) * 2.0
        values = (centres[y] + 3.0 * rng.normal(size=(n, width))) * 8.0 / (width**0.5 * 3.6)
        values[m :: 10 * len(widths)] = np.nan
        found[name] = values.astype(np.float32)
    return MultimodalArray(found), y


# ---------------------------------------------------------------------------------------------------------- the checks


def estimator_checks(quick: bool) -> Iterator[Check]:
    """Fits, predictions, embeddings, contributions."""
    from skmmal.balancing import available_balancings

    small = {"image": 40, "text": 24} if quick else {"image": 1280, "text": 384}
    n, k = (120, 4) if quick else (600, 8)
    X, y = blocks(2 * n, small, k)
    size = f"{n} x {X.shape[1]}, {k} classes"

    def fit(device: str, **parameters: Any) -> LateFusionClassifier:
        return LateFusionClassifier(device=device, random_state=0, **parameters).fit(X[:n], y[:n])

    def probabilities(device: str, **parameters: Any) -> dict[str, np.ndarray]:
        clf = fit(device, **parameters).set_params(device="cpu")
        return {"fused": clf.predict_proba(X[n:]), **clf.predict_proba_by_modality(X[n:])}

    for solver in ("newton-cg", "lbfgs"):
        yield Check(f"fit, {solver}", size, lambda device, s=solver: probabilities(device, solver=s), 2e-3)
    if not quick:
        large, labels = blocks(8000, {"image": 2048, "text": 768}, 101, seed=1)

        def large_fit(device: str) -> np.ndarray:
            clf = LateFusionClassifier(device=device, solver="lbfgs").fit(large[:7000], labels[:7000])
            return clf.set_params(device="cpu").predict_proba(large[7000:])

        yield Check("fit, lbfgs", "7,000 x 2,816, 101 classes", large_fit, 5e-3)

    whole = {"encoder_dim": 16 if quick else 256, "max_iter": 5 if quick else 40}
    for solver in ("adamw", "sgd"):
        settings = {**whole, "solver": solver, "batch_size": n}
        yield Check(
            f"encoders, {solver}, whole batches", size, lambda device, s=settings: probabilities(device, **s), 2e-3
        )

    def accuracies(device: str, **parameters: Any) -> np.ndarray:
        clf = fit(device, **whole, **parameters).set_params(device="cpu")
        return np.asarray(list(clf.score_by_modality(X[n:], y[n:]).values()))

    allowed = 0.5 if quick else 0.1
    for name in (None, *available_balancings()):
        label = "none" if name is None else name
        yield Check(
            f"encoders, balancing {label}, accuracies",
            size,
            lambda device, b=name: accuracies(device, balancing=b),
            allowed,
        )

    fitted = {
        "concat": fit("cpu"),
        "encoders": fit("cpu", **whole),
        **{name: fit("cpu", fusion=name, max_iter=3) for name in ("gated", "attention", "nl-gate")},
    }
    n_rows = 500 if quick else 50_000
    many, _ = blocks(n_rows, small, k, seed=2)

    def answers(device: str, clf: LateFusionClassifier) -> dict[str, np.ndarray]:
        clf.set_params(device=device)
        try:
            return {
                "probabilities": clf.predict_proba(many),
                "contributions": clf.modality_contributions(many[:5000]),
                **clf.embed(many[:5000]),
            }
        finally:
            clf.set_params(device="cpu")

    for name, clf in fitted.items():
        yield Check(
            f"predict, embed, contributions: {name}",
            f"{n_rows:,} rows",
            lambda device, c=clf: answers(device, c),
            1e-6,
        )

    from skmmal.robustness import adversarial_curve

    def attacked(device: str) -> np.ndarray:
        clf = fitted["encoders"].set_params(device=device)
        try:
            table = adversarial_curve(clf, X[n:], y[n:], levels=[0, 0.1], method="pgd")
        finally:
            clf.set_params(device="cpu")
        return table["accuracy"].to_numpy()

    yield Check("adversarial curve, encoders", f"{n} rows", attacked, 0.02)


def selection_checks(quick: bool) -> Iterator[Check]:
    """Kernels on the device, and queries that search there."""
    rng = np.random.default_rng(3)
    n, k, d, picks = (500, 5, 32, 40) if quick else (45_719, 101, 2816, 1000)
    left = rng.dirichlet(np.full(k, 0.2), size=n).astype(np.float32)
    left[np.arange(n), left.argmax(axis=1)] -= 1.0
    right = rng.normal(size=(n, d)).astype(np.float32)
    size = f"{n:,} x ({k} ⊗ {d:,}), {picks} picks"

    def sampled(device: str) -> np.ndarray:
        return d2_sampling(OuterProductEmbedding(left, right).to(device), picks, random_state=0)

    yield Check("D² sampling", size, sampled, 0.02, picks=True)

    def centred(device: str) -> np.ndarray:
        return k_center_greedy(DenseEmbedding(right).to(device), picks)

    yield Check("greedy k-centre", f"{n:,} x {d:,}, {picks} picks", centred, 0.02, picks=True)

    for kernel, rows in (("exact", 300 if quick else 5000), ("fourier", 400 if quick else 50_000)):
        X, y = blocks(rows + 100, {"image": 40, "text": 24} if quick else {"image": 1280, "text": 384}, 5, seed=4)
        clf = LateFusionClassifier(device="cpu").fit(X[:100], y[:100])

        def query(device: str, X: Any = X, y: Any = y, clf: Any = clf, kernel: str = kernel) -> np.ndarray:
            strategy = MVOPT(kernel_approximation=kernel, device=device, random_state=0)
            return strategy.query(clf, X[100:], 20 if quick else 500, X_labeled=X[:100], y_labeled=y[:100])

        yield Check(f"MVOPT, {kernel}", f"{rows:,} rows", query, 0.1, picks=True)


def featurization_checks(quick: bool, folder: Path) -> Iterator[Check]:
    """Whole jobs: files, decoding, the model, the cache."""
    from PIL import Image

    from featurize import JobOptions, run
    from skmmal import FeatureStore

    n = 6 if quick else 64
    rng = np.random.default_rng(5)
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"]
    lines = ["id,image,text"]
    for row in range(n):
        Image.fromarray(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)).save(folder / f"{row}.png")
        lines.append(f"{row},{row}.png,{' '.join(rng.choice(words, size=5 + 3 * row))}")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n")
    bert = folder / "bert"
    _write_bert(bert, words, quick)

    def job(device: str, script: str, model: str, amp: bool) -> np.ndarray:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            options = JobOptions(
                script,
                manifest,
                Path(out) / "features",
                model,
                "random",
                device=device,
                dtype="float32",
                amp=amp,
                workers=2,
            )
            run(options, quiet=True)
            return np.asarray(FeatureStore.open(Path(out) / "features").load()[script])

    network = "resnet18" if quick else "resnet101"
    for script, model, name in (
        ("image", f"torchvision/{network}", network),
        ("text", f"transformers/{bert}", "BERT, small" if quick else "BERT-base"),
    ):
        yield Check(f"featurize, {name}", f"{n} items", lambda d, s=script, m=model: job(d, s, m, False), 2e-3)
        yield Check(
            "the same, autocast on the device",
            f"{n} items",
            lambda d, s=script, m=model: job(d, s, m, d != "cpu"),
            5e-2,
        )


def _write_bert(folder: Path, words: list[str], quick: bool) -> None:
    from featurize._compat import import_transformers

    transformers = import_transformers()
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = transformers.BertConfig(vocab_size=len(vocabulary), **(small if quick else {}))
    config.architectures = ["BertModel"]
    config.save_pretrained(folder)
    transformers.BertTokenizer(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)


# ------------------------------------------------------------------------------------------------------------- the run


def difference(expected: Any, found: Any, picks: bool) -> float:
    """Return the largest difference relative to the largest value, or the share of rows that differ."""
    if not isinstance(expected, dict):
        expected, found = {"": expected}, {"": found}
    worst = 0.0
    for name, values in expected.items():
        ours, theirs = np.asarray(values), np.asarray(found[name])
        if ours.shape != theirs.shape:
            raise AssertionError(f"{name or 'the result'} has shape {theirs.shape}, on the CPU {ours.shape}")
        if picks:
            worst = max(worst, 1 - len(np.intersect1d(ours, theirs)) / len(ours))
            continue
        if (np.isnan(ours) != np.isnan(theirs)).any():
            raise AssertionError(f"{name or 'the result'} is NaN elsewhere than on the CPU")
        scale = max(float(np.nanmax(np.abs(ours), initial=0.0)), 1e-12)
        worst = max(worst, float(np.nanmax(np.abs(ours - theirs), initial=0.0)) / scale)
    return worst


def carry_out(check: Check, device: str) -> Outcome:
    """Run a check on both devices."""
    outcome = Outcome(check.name, check.size, "failed", tolerance=check.tolerance)
    on_card = torch.device(device).type == "cuda"
    try:
        expected, outcome.cpu_seconds = _timed(check.run, "cpu")
        if on_card:
            check.run(device)  # kernels are loaded, memory is taken
            torch.cuda.reset_peak_memory_stats(device)
        found, outcome.device_seconds = _timed(check.run, device)
        if on_card:
            outcome.peak_mb = torch.cuda.max_memory_allocated(device) / 2**20
        outcome.difference = difference(expected, found, check.picks)
        outcome.verdict = "agrees" if outcome.difference <= check.tolerance else "DISAGREES"
    except Exception as error:
        outcome.message = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    return outcome


def _timed(function: Callable[[str], Any], device: str) -> tuple[Any, float]:
    begin = time.perf_counter()
    found = function(device)
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return found, time.perf_counter() - begin


def machine(device: str) -> dict[str, Any]:
    """Return what the figures depend on."""
    about = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cpu_threads": torch.get_num_threads(),
        "device": device,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
    }
    if torch.device(device).type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        about |= {"card": properties.name, "card_gb": round(properties.total_memory / 2**30, 1)}
    return about


def print_line(outcome: Outcome) -> None:
    """One line of the table, as soon as it is known."""

    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    times = ""
    if outcome.cpu_seconds and outcome.device_seconds:
        times = f"{outcome.cpu_seconds / outcome.device_seconds:.1f}x"
    print(
        f"{outcome.name[:46]:<46} {outcome.size[:38]:<38} {outcome.verdict:<10} {number(outcome.difference, '.1e'):>8} "
        f"{number(outcome.cpu_seconds, '.2f'):>8} {number(outcome.device_seconds, '.2f'):>8} {times:>7} "
        f"{number(outcome.peak_mb, ',.0f'):>7} {outcome.message[:80]}",
        flush=True,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run all checks; 0 where all agree."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", help="a torch device; cpu tries the script itself")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--seconds", type=float, default=300, help="no check begins later than this (default: 300)")
    parser.add_argument("--json", type=Path, help="write the table there, too")
    options = parser.parse_args(arguments)
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device here (or this torch is a CPU build): nothing was checked")
        return 0
    begin = time.perf_counter()
    about = machine(options.device)
    print("  ".join(f"{key} {value}" for key, value in about.items()))
    print(
        f"{'check':<46} {'size':<38} {'verdict':<10} {'differs':>8} {'cpu s':>8} {'device s':>8} {'faster':>7} "
        f"{'peak MB':>7}"
    )
    outcomes = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fits of a few epochs, and sizes chosen for their time
        for room in (
            estimator_checks(options.quick),
            selection_checks(options.quick),
            featurization_checks(options.quick, Path(folder)),
        ):
            for check in room:
                if time.perf_counter() - begin > options.seconds:
                    outcomes.append(Outcome(check.name, check.size, "not run"))
                else:
                    outcomes.append(carry_out(check, options.device))
                print_line(outcomes[-1])
    counts = {
        verdict: sum(one.verdict == verdict for one in outcomes)
        for verdict in ("agrees", "DISAGREES", "failed", "not run")
    }
    print(
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items()), f"in {time.perf_counter() - begin:.0f} s"
    )
    if options.json:
        record = {"machine": about, "checks": [asdict(one) for one in outcomes]}
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return int(counts["DISAGREES"] + counts["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
