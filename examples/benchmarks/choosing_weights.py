"""What it gains, and costs, to choose C and the weights of the modalities: LateFusionClassifierCV beside the plain one.

    python examples/benchmarks/choosing_weights.py FOLDER... --labels 40,100,400 --seeds 10 --out choosing_weights.csv

Takes folders of .npz files (one array for each modality, rows aligned, and the classes in ``y``), or single files; the
shipped ``emoji`` and ``digits`` go by these names. For every set, number of labels and seed: rows are drawn at random,
labelled, and all others are the test rows. Measured are the accuracy of the plain classifier's fused head and of its
best modality, the accuracy of the chosen one, both calibration errors, what was chosen, and the time of a fit in
processor seconds. ``--query`` runs strategies with both classifiers instead, and with and without the temperature.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from skmmal import LateFusionClassifier, LateFusionClassifierCV, ModalityScaler, MultimodalArray, run_experiment
from skmmal.datasets import load_digits_views, load_emoji
from skmmal.experiment.metrics import expected_calibration_error

CLASSIFIERS = {
    "plain": LateFusionClassifier(),
    "cv": LateFusionClassifierCV(),
    "cv, not tempered": LateFusionClassifierCV(calibrate=False),
}
"""Beside each other with --query."""


def data_sets(sources: list[str], scale: str) -> Iterator[tuple[str, MultimodalArray, np.ndarray]]:
    """Names, scaled features and classes."""
    files = []
    for source in sources:
        path = Path(source)
        files += sorted(path.glob("*.npz")) if path.is_dir() else [path]
    for path in files:
        if path.name == "emoji":
            X, y = load_emoji(return_X_y=True)
        elif path.name == "digits":
            X, y = load_digits_views(["fou", "pix"], return_X_y=True)
        else:
            content = np.load(path)
            if "y" not in content.files or content["y"].ndim != 1:
                continue  # not one class a row
            X = MultimodalArray({name: content[name] for name in content.files if name != "y"})
            y = content["y"]
        yield path.stem, ModalityScaler(method=scale).fit_transform(X), y


def timed_fit(classifier: LateFusionClassifier, X: MultimodalArray, y: np.ndarray) -> float:
    """Fit; return the processor seconds."""
    start = time.process_time()
    classifier.fit(X, y)
    return time.process_time() - start


def calibration_error(classifier: LateFusionClassifier, X: MultimodalArray, y: np.ndarray) -> float:
    """Expected calibration error of the fused head."""
    probabilities = classifier.predict_proba(X)
    return expected_calibration_error(probabilities.max(axis=1), classifier.classes_[probabilities.argmax(axis=1)] == y)


def compared(X: MultimodalArray, y: np.ndarray, n_labels: int, seed: int) -> dict[str, object]:
    """One line of the table: both classifiers on the same rows."""
    order = np.random.default_rng(seed).permutation(len(y))
    labeled, test = order[:n_labels], order[n_labels:]
    plain, chosen = LateFusionClassifier(), LateFusionClassifierCV()
    seconds = [timed_fit(each, X[labeled], y[labeled]) for each in (plain, chosen)]
    scores = plain.score_by_modality(X[test], y[test])
    return {
        "plain": scores.pop("fused"),
        "best modality": max(scores.values()),
        "cv": chosen.score(X[test], y[test]),
        "best modality of cv": max(v for k, v in chosen.score_by_modality(X[test], y[test]).items() if k != "fused"),
        "ece plain": calibration_error(plain, X[test], y[test]),
        "ece cv": calibration_error(chosen, X[test], y[test]),
        "C": chosen.C_,
        "least weight": min(chosen.modality_weights_.values()),
        "temperature": chosen.temperature_,
        "candidates": len(chosen.cv_results_["params"]),
        "s plain": seconds[0],
        "s cv": seconds[1],
    }


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds, and the t values of what is gained."""
    found = table.groupby(["data", "labels"], sort=False)
    means = found.mean(numeric_only=True).drop(columns="seed")
    for name, other in (("t", table["plain"]), ("t to best", table[["plain", "best modality"]].max(axis=1))):
        gains = (table["cv"] - other).groupby([table["data"], table["labels"]], sort=False)
        means.insert(3, name, gains.mean() / (gains.std() / np.sqrt(gains.size()) + 1e-9))
    return means


def queried(X: MultimodalArray, y: np.ndarray, n_labels: int, n_seeds: int, strategies: list[str]) -> pd.DataFrame:
    """Areas under the fused curves of strategies, with each classifier."""
    order = np.random.default_rng(0).permutation(len(y))
    test, pool = order[: len(y) // 3], order[len(y) // 3 :]
    areas = {}
    for name, classifier in CLASSIFIERS.items():
        results = run_experiment(
            classifier, strategies, X[pool], y[pool], X_test=X[test], y_test=y[test],
            n_initial=n_labels, n_instances=n_labels, n_rounds=4, seeds=n_seeds,
        )  # fmt: skip
        areas[name] = results.frame.groupby("strategy")["accuracy"].mean()
    return pd.DataFrame(areas)


def main() -> None:
    """Print the table, and write it where it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", help="folders or files (.npz), emoji, digits")
    parser.add_argument("--labels", default="40,100,400", help="numbers of labeled rows, by commas")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--scale", default="standard", choices=["standard", "l2", "none"])
    parser.add_argument("--query", default="", help="strategies, by commas, to run with both classifiers")
    parser.add_argument("--out", type=Path, help="CSV with a line for every fit")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    lines = []
    for name, X, y in data_sets(arguments.sources, arguments.scale):
        for n_labels in map(int, arguments.labels.split(",")):
            if n_labels > 0.8 * len(y):
                continue
            if arguments.query:
                table = queried(X, y, n_labels, arguments.seeds, arguments.query.split(","))
                print(f"{name}, {n_labels} labels at first\n{table.round(3).to_string()}\n", flush=True)
                continue
            of_set = [
                {"data": name, "labels": n_labels, "seed": seed, **compared(X, y, n_labels, seed)}
                for seed in range(arguments.seeds)
            ]
            print(summary(pd.DataFrame(of_set)).round(3).to_string(header=not lines), flush=True)
            lines += of_set
    if arguments.out is not None and lines:
        pd.DataFrame(lines).to_csv(arguments.out, index=False)


if __name__ == "__main__":
    main()
