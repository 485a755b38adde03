"""Whether a graphics card gives what the processor gives, and how fast.

``python examples/benchmarks/gpu.py`` takes a few minutes on any CUDA card: fits, predictions, training with encoders
and balancing, strategies, selection kernels and featurization run on the processor and on the card, and every check
says how far the two may be apart. Products are in full float32 (TF32 off) unless a line says otherwise. The exit code
is 1 if a check disagrees or fails, 0 otherwise, also without a card. Nothing is downloaded: data and weights are
generated. ``--device cpu --quick`` holds the processor against itself, in seconds: a test of this script.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.balancing import available_balancings
from skmmal.datasets import make_multimodal_classification
from skmmal.query import get_strategy
from skmmal.robustness import adversarial_examples
from skmmal.selection import DenseEmbedding, OuterProductEmbedding, d2_sampling, k_center_greedy, kernel_herding

Measured = tuple[float, str]
"""How far apart two results are, and what that is."""


@dataclass(frozen=True)
class Check:
    """One thing that is run on both devices.

    `run` is called with the device; `compare` with both results (the processor's first). They may be `tolerance` apart.
    """

    name: str
    run: Callable[[str], Any]
    compare: Callable[[Any, Any], Measured]
    tolerance: float


@dataclass
class Line:
    """What a check found."""

    name: str
    cpu_seconds: float | None
    device_seconds: float | None
    difference: float | None
    measure: str
    tolerance: float
    verdict: str
    """``ok``, ``differs``, ``failed``, ``absent`` (a library is not installed) or ``skipped`` (no time left)."""
    note: str = ""


# --------------------------------------------------------------------------------------------------- comparisons


def apart(one: Any, other: Any) -> Measured:
    """Largest difference, as a share of the largest value."""
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return float("inf"), "shape, or not finite"
    return float(np.abs(one - other).max() / max(np.abs(one).max(), 1e-300)), "largest relative difference"


def all_apart(one: tuple, other: tuple) -> Measured:
    """The largest of several differences."""
    return max((apart(a, b) for a, b in zip(one, other, strict=True)), key=lambda found: found[0])


def picked_otherwise(one: Any, other: Any) -> Measured:
    """Share of the picks that the other did not make."""
    one, other = set(np.asarray(one).tolist()), set(np.asarray(other).tolist())
    return 1.0 - len(one & other) / max(len(one), len(other)), "share of other picks"


def accuracy_apart(chance: float) -> Callable[[float, float], Measured]:
    """Difference of two accuracies; neither may be near chance, where all are alike."""

    def compare(one: float, other: float) -> Measured:
        learned = min(one, other) > 1.3 * chance
        return abs(one - other) if learned else float("inf"), f"accuracy {one:.3f} and {other:.3f}"

    return compare


# -------------------------------------------------------------------------------------------------------- checks


@dataclass(frozen=True)
class Sizes:
    """How large the checks are."""

    rows: int
    width: int
    classes: int
    epochs: int
    picks: int
    images: int
    texts: int
    text_layers: int
    image_model: str
    balancings: tuple[str, ...]


FULL = Sizes(20_000, 512, 20, 20, 200, 64, 128, 12, "resnet101", tuple(available_balancings()))
QUICK = Sizes(400, 12, 3, 12, 10, 2, 4, 1, "resnet18", ("crmt", "ogm-ge"))


def make_data(sizes: Sizes) -> tuple[MultimodalArray, np.ndarray]:
    """Two modalities, one of them missing in a tenth of the rows, on the scale that `ModalityScaler` gives."""
    X, y = make_multimodal_classification(
        sizes.rows,
        {"image": sizes.width, "text": sizes.width // 2},
        n_classes=sizes.classes,
        missing={"text": 0.1},
        interaction="redundant",
        random_state=0,
        return_X_y=True,
    )
    blocks = {name: 8.0 * block / np.sqrt(block.shape[1]) for name, block in X.blocks.items()}
    return MultimodalArray({name: block.astype(np.float32) for name, block in blocks.items()}), y


def checks(sizes: Sizes) -> Iterator[Check]:
    """All checks, the quick ones first."""
    X, y = make_data(sizes)
    half = sizes.rows // 2
    few = slice(0, max(60, sizes.rows // 20))
    pool = X[half:]
    yield from convex_fits(X, y, half)
    model = LateFusionClassifier(solver="lbfgs", device="cpu").fit(X[:half], y[:half])
    yield from predictions(model, pool, y[half:])
    yield from kernels(sizes)
    yield from strategies(model, X[few], y[few], pool, sizes.picks)
    yield Check("images, float32", lambda device: images(device, sizes, amp=False), apart, 1e-3)
    yield Check("images, autocast", lambda device: images(device, sizes, amp=device != "cpu"), apart, 5e-2)
    yield Check("texts, float32", lambda device: texts(device, sizes, amp=False), apart, 1e-3)
    yield Check("texts, autocast", lambda device: texts(device, sizes, amp=device != "cpu"), apart, 5e-2)
    yield from trainings(X, y, half, sizes)


def convex_fits(X: MultimodalArray, y: np.ndarray, half: int) -> Iterator[Check]:
    """The convex solvers reach one optimum: both devices' objectives and probabilities."""
    n = {"newton-cg": min(half, 2000), "lbfgs": half}
    for solver, fusion in (("newton-cg", "concat"), ("lbfgs", "concat"), ("lbfgs", "sum")):
        rows = slice(0, n[solver])

        def fit(device: str, solver: str = solver, fusion: str = fusion, rows: slice = rows) -> tuple:
            clf = LateFusionClassifier(solver=solver, fusion=fusion, max_iter=1000, device=device).fit(X[rows], y[rows])
            return np.array([clf.loss_curve_[-1]]), clf.predict_proba(X[half:])

        # at equal objectives to 1e-8 the weights along flat directions may be 1e-4 apart
        yield Check(f"fit {solver}, {fusion}", fit, all_apart, 1e-3)


def predictions(model: LateFusionClassifier, X: MultimodalArray, y: np.ndarray) -> Iterator[Check]:
    """One model on both devices: in float64, so rounding alone tells them apart."""

    def on(device: str) -> LateFusionClassifier:
        return model.set_params(device=device)

    def predict(device: str) -> tuple:
        by_modality = on(device).predict_proba_by_modality(X)
        return (model.predict_proba(X), model.decision_function(X), *by_modality.values())

    yield Check("probabilities", predict, all_apart, 1e-9)
    yield Check("embeddings", lambda device: tuple(on(device).embed(X).values()), all_apart, 1e-9)
    yield Check("Shapley values", lambda device: on(device).shapley_values(X), apart, 1e-9)

    def attack(device: str) -> np.ndarray:
        return adversarial_examples(on(device), X, y, "image", epsilon=0.1, method="pgd", n_steps=5)["image"]

    yield Check("adversarial steps", attack, apart, 1e-6)


def kernels(sizes: Sizes) -> Iterator[Check]:
    """Selection from points that lie on the device; in float64, so that rounding decides no pick but exact ties."""
    rng = np.random.RandomState(0)
    left, right = rng.dirichlet(np.ones(sizes.classes), sizes.rows), rng.normal(size=(sizes.rows, sizes.width))
    right[rng.uniform(size=sizes.rows) < 0.5] *= 3.0

    def outer(device: str) -> OuterProductEmbedding:
        return OuterProductEmbedding(left - 1.0 / sizes.classes, right).to(device)

    yield Check("norms", lambda device: outer(device).sq_norms(), apart, 1e-9)
    yield Check(
        "D² sampling", lambda device: d2_sampling(outer(device), sizes.picks, random_state=0), picked_otherwise, 0.05
    )
    yield Check(
        "greedy k-centre",
        lambda device: k_center_greedy(DenseEmbedding(right).to(device), sizes.picks),
        picked_otherwise,
        0.0,
    )
    unit = right / np.linalg.norm(right, axis=1, keepdims=True)
    few = np.arange(0, sizes.rows, max(1, sizes.rows // 2000))
    yield Check(
        "kernel herding",
        lambda device: kernel_herding(unit, sizes.picks, references=few, random_state=0, device=device)[0],
        picked_otherwise,
        0.0,
    )


# ------------------------------------------------------------------------------------------------ the card's limit


def limits(sizes: Sizes, device: str) -> dict[str, Any]:
    """How many rows of the kernels' points the card holds: bytes a row, from the peaks at two numbers of rows.

    On the processor, in a dry run, the peaks are those of numpy's arrays, and what torch holds is not in them.
    """
    rng = np.random.RandomState(0)
    left = rng.dirichlet(np.ones(sizes.classes), 2 * sizes.rows).astype(np.float32)
    right = rng.normal(size=(2 * sizes.rows, sizes.width)).astype(np.float32)
    references = np.arange(min(2000, sizes.rows))
    runs: dict[str, Callable[[int], Any]] = {
        "D² sampling": lambda n: d2_sampling(
            OuterProductEmbedding(left[:n], right[:n]).to(device), sizes.picks, random_state=0
        ),
        "greedy k-centre": lambda n: k_center_greedy(DenseEmbedding(right[:n]).to(device), sizes.picks),
        "kernel herding": lambda n: kernel_herding(right[:n], sizes.picks, references=references, device=device),
    }
    total = torch.cuda.get_device_properties(0).total_memory if device == "cuda" else machine_bytes()
    found = {}
    for name, run in runs.items():
        run(2 * sizes.rows)  # kernels are loaded, buffers that stay are made
        small, large = (peak_bytes(lambda n=n, run=run: run(n), device) for n in (sizes.rows, 2 * sizes.rows))
        per_row = max((large - small) / sizes.rows, 0.0)
        found[name] = {"bytes_a_row": round(per_row, 1), "rows": int((total - small) / per_row) if per_row else None}
    return found


def peak_bytes(run: Callable[[], Any], device: str) -> float:
    """The most that a call holds, of the card's memory or of the process's."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        run()
        return float(torch.cuda.max_memory_allocated())
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return float(peak)


def machine_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def strategies(
    model: LateFusionClassifier, X_labeled: MultimodalArray, y_labeled: np.ndarray, pool: MultimodalArray, picks: int
) -> Iterator[Check]:
    """Strategies that ask one model, which predicts on the device; MVOPT searches there, too."""

    def query(name: str, params: dict[str, Any]) -> Callable[[str], np.ndarray]:
        def run(device: str) -> np.ndarray:
            found = get_strategy(name, **params, **({"device": device} if name == "mvopt" else {}))
            clf = model.set_params(device=device)
            return found.query(clf, pool, picks, X_labeled=X_labeled, y_labeled=y_labeled)

        return run

    for name in ("margin", "badge", "bmmal", "coreset", "falcun", "bald"):
        params = {} if name in ("margin", "coreset") else {"random_state": 0}
        yield Check(f"query {name}", query(name, params), picked_otherwise, 0.05)
    # float32: neighbours of almost equal worth may take each other's place
    yield Check("query mvopt", query("mvopt", {"random_state": 0}), picked_otherwise, 0.1)
    fourier = {"random_state": 0, "kernel_approximation": "fourier"}
    yield Check("query mvopt, fourier", query("mvopt", fourier), picked_otherwise, 0.1)


def trainings(X: MultimodalArray, y: np.ndarray, half: int, sizes: Sizes) -> Iterator[Check]:
    """Training in epochs. The devices draw other random numbers, so what draws any is held to its accuracy."""
    LateFusionClassifier(encoder_dim=2, max_iter=1, device="cpu").fit(X[:60], y[:60])  # loads what torch loads late
    common = {"encoder_dim": 32, "max_iter": sizes.epochs, "random_state": 0}
    n = min(half, 4000)
    rows, test = slice(0, n), slice(half, half + n)

    def train(device: str, settings: dict[str, Any]) -> LateFusionClassifier:
        return LateFusionClassifier(**{**common, **settings}, device=device).fit(X[rows], y[rows])

    # one batch of all rows: nothing is drawn but the initial weights, which are drawn on the processor
    whole = {"batch_size": n, "learning_rate": 1e-2}
    for solver in ("adamw", "sgd"):
        settings = {**whole, "solver": solver}
        yield Check(f"train {solver}", lambda device, s=settings: train(device, s).predict_proba(X[test]), apart, 2e-2)
    for fusion in ("gated", "attention", "nl-gate"):
        settings = {**whole, "solver": "adamw", "fusion": fusion}
        yield Check(f"train {fusion}", lambda device, s=settings: train(device, s).predict_proba(X[test]), apart, 2e-2)
    drawn = [{"dropout": 0.3}, {"modality_dropout": 0.3}, *({"balancing": name} for name in sizes.balancings)]
    for settings in drawn:
        what = ", ".join(str(value) for value in settings.values())
        name = f"train {next(iter(settings))} {what}"
        score = accuracy_apart(1.0 / sizes.classes)
        yield Check(name, lambda device, s=settings: float(train(device, s).score(X[test], y[test])), score, 0.1)


def encode(backbone: Any, units: list[Any], device: str, amp: bool) -> np.ndarray:
    """Features of units that a backbone's reader made, in one batch."""
    from skmmal.featurize._encoding import Encoder

    inputs = backbone.reader.collate(units)
    encoder = Encoder(backbone, torch.device(device), amp)
    found = [features for _, features in encoder.encode(inputs)]
    for part in found:
        if isinstance(part, Exception):
            raise part
    return torch.cat(found).cpu().numpy()


def images(device: str, sizes: Sizes, amp: bool) -> np.ndarray:
    """Random pictures through a torchvision model of random weights."""
    return encode(*pictures_and_model(sizes), device, amp)


def texts(device: str, sizes: Sizes, amp: bool) -> np.ndarray:
    """Random sentences of unequal lengths through a BERT of random weights."""
    return encode(*sentences_and_model(sizes), device, amp)


@cache  # made once, so that encoding alone is timed
def pictures_and_model(sizes: Sizes) -> tuple[Any, list[Any]]:
    """A backbone, and its inputs."""
    from PIL import Image

    from skmmal.featurize.backbones import build_backbone

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        backbone = build_backbone("image", f"torchvision/{sizes.image_model}", "random", Path(folder), seed=0)
        units = []
        for k in range(sizes.images):
            path = Path(folder) / f"{k}.png"
            Image.fromarray(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)).save(path)
            units += backbone.reader.decode(path.read_bytes(), {})
    return backbone, units


@cache
def sentences_and_model(sizes: Sizes) -> tuple[Any, list[Any]]:
    """A backbone, and its inputs."""
    from transformers import BertConfig, BertTokenizer

    from skmmal.featurize.backbones import build_backbone

    rng = np.random.default_rng(0)
    words = [f"word{k}" for k in range(500)]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.txt"
        vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
        BertTokenizer(str(vocabulary)).save_pretrained(folder)
        BertConfig(vocab_size=505, num_hidden_layers=sizes.text_layers).save_pretrained(folder)
        backbone = build_backbone("text", f"transformers/{folder}", "random", seed=0)
        sentences = [" ".join(rng.choice(words, rng.integers(3, 100))) for _ in range(sizes.texts)]
        units = [unit for sentence in sentences for unit in backbone.reader.decode(sentence, {})]
    return backbone, units


# ------------------------------------------------------------------------------------------------------- running


def timed(run: Callable[[str], Any], device: str) -> tuple[Any, float]:
    """Result and seconds; on the card, of a second call: the first one pays for loading its kernels."""
    if device != "cpu":
        run(device)
        torch.cuda.synchronize()
    before = time.perf_counter()
    found = run(device)
    if device != "cpu":
        torch.cuda.synchronize()
    return found, time.perf_counter() - before


def judge(check: Check, device: str) -> Line:
    """Run a check on the processor and on the device."""
    line = Line(check.name, None, None, None, "", check.tolerance, "ok")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a few epochs do not converge
            on_cpu, line.cpu_seconds = timed(check.run, "cpu")
            on_device, line.device_seconds = timed(check.run, device)
        line.difference, line.measure = check.compare(on_cpu, on_device)
        if not line.difference <= check.tolerance:
            line.verdict = "differs"
    except ImportError as error:
        line.verdict, line.note = "absent", str(error)
    except Exception as error:  # every other check is still worth its answer
        line.verdict, line.note = "failed", f"{type(error).__name__}: {error}"
    return line


def run_all(sizes: Sizes, device: str, seconds: float, only: str) -> list[Line]:
    """Run the checks, as long as there is time."""
    end = time.perf_counter() + seconds
    lines = []
    for check in checks(sizes):
        if only not in check.name:
            continue
        if time.perf_counter() > end:
            lines.append(Line(check.name, None, None, None, "", check.tolerance, "skipped", "no time left"))
        else:
            lines.append(judge(check, device))
        show(lines[-1])
    return lines


def show(line: Line) -> None:
    """Print a line of the table as soon as it is known."""
    seconds = [f"{value:9.3f}" if value is not None else f"{'':9}" for value in (line.cpu_seconds, line.device_seconds)]
    both = line.cpu_seconds and line.device_seconds
    faster = f"{(line.cpu_seconds or 0) / (line.device_seconds or 1):7.1f}×" if both else f"{'':8}"
    found = f"{line.difference:.1e}" if line.difference is not None else ""
    print(
        f"{line.name:34.34} {seconds[0]} {seconds[1]} {faster} {found:>9} {line.tolerance:9.0e}  {line.verdict:8}"
        f"{line.note or line.measure}",
        flush=True,
    )


def about(device: str) -> dict[str, Any]:
    """The machine, and the versions of what matters."""
    import skmmal

    found: dict[str, Any] = {
        "skmmal": skmmal.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "device": device,
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found["card"] = properties.name
        found["card_gib"] = round(properties.total_memory / 2**30, 1)
        found["driver"] = driver()
    return found


def driver() -> str:
    """Version of the card's driver, as nvidia-smi says."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.split("\n")[0]
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: against itself, a dry run")
    parser.add_argument("--quick", action="store_true", help="small data and models")
    parser.add_argument("--only", default="", help="checks whose name holds this")
    parser.add_argument("--seconds", type=float, default=300.0, help="begin no check after that (default: 300)")
    parser.add_argument("--json", type=Path, help="write everything to this file as well")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA card that torch can use here: nothing was compared. (--device cpu: a dry run)")
        return 0
    if options.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.cuda.reset_peak_memory_stats()
    machine = about(options.device)
    print(", ".join(f"{name} {value}" for name, value in machine.items() if value is not None))
    print(f"{'check':34} {'cpu s':>9} {options.device + ' s':>9} {'faster':>8} {'found':>9} {'allowed':>9}")
    started = time.perf_counter()
    sizes = QUICK if options.quick else FULL
    lines = run_all(sizes, options.device, options.seconds, options.only)
    counts = Counter(line.verdict for line in lines)
    machine["seconds"] = round(time.perf_counter() - started, 1)
    if options.device == "cuda":
        machine["peak_gpu_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        print(f"peak GPU memory: {machine['peak_gpu_gib']} GiB")
    if not options.only:
        machine["limits"] = limits(sizes, options.device)
        for name, limit in machine["limits"].items():
            print(f"{name}: {limit['bytes_a_row']} bytes a row, {limit['rows']} rows of {sizes.width} columns fit")
    print(f"{', '.join(f'{n} {verdict}' for verdict, n in counts.items())} in {machine['seconds']} s")
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine, "checks": [asdict(line) for line in lines]}, indent=1))
    return int(any(line.verdict in ("differs", "failed") for line in lines))


if __name__ == "__main__":
    sys.exit(main())
