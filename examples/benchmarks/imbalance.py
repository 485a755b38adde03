"""What class weights and class balance do on a catalogue whose classes are as unequal as words are.

    python examples/benchmarks/imbalance.py --out imbalance.csv
    python examples/benchmarks/imbalance.py --classes 120 --rows 20000 --first 480 --batch 240 --seeds 5

The catalogue is generated: the k-th of K classes has a share that falls as k^-1.1; an image vector (rectified, 5 % of
the rows lack it) and a text vector (of length one) of one row are noisy views of its class's centers. Prints accuracy,
balanced accuracy and the classes that have a label, after the last round, for every combination of strategy, class
weights and class balance; and the same for one fit on as many random labels, with C and weights found, and sum fusion.
"""

from __future__ import annotations

import argparse
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from skmmal import LateFusionClassifier, LateFusionClassifierCV, ModalityScaler, MultimodalArray, run_experiment


def catalogue(n_rows: int, n_classes: int, seed: int) -> tuple[MultimodalArray, np.ndarray]:
    """Image and text vectors, and classes of very unequal size."""
    rng = np.random.default_rng(seed)
    shares = np.arange(1, n_classes + 1) ** -1.1
    y = rng.choice(n_classes, n_rows, p=shares / shares.sum())
    views = []
    for strength, width in ((0.55, 128), (0.75, 96)):
        hidden = strength * rng.normal(size=(n_classes, 64))[y] + rng.normal(size=(n_rows, 64))
        views.append(hidden @ rng.normal(size=(64, width)) / 8 + 0.3 * rng.normal(size=(n_rows, width)))
    image, text = np.maximum(views[0], 0), views[1] / np.linalg.norm(views[1], axis=1, keepdims=True)
    image[rng.random(n_rows) < 0.05] = np.nan
    return ModalityScaler().fit_transform(MultimodalArray({"image": image, "text": text})), y


def curves(arguments: argparse.Namespace) -> pd.DataFrame:
    """Accuracy after the last round."""
    lines = []
    for seed in range(arguments.seeds):
        X, y = catalogue(arguments.rows, arguments.classes, seed)
        half = len(y) // 2
        for weight, is_balanced in product((None, "balanced"), (False, True)):
            results = run_experiment(
                LateFusionClassifier(class_weight=weight), arguments.strategies.split(","), X[:half], y[:half],
                X_test=X[half:], y_test=y[half:], n_initial=arguments.first, n_instances=arguments.batch,
                n_rounds=arguments.rounds, seeds=[seed], class_balance=is_balanced,
            )  # fmt: skip
            last = results.frame[results.frame["round"] == arguments.rounds]
            for line in last.itertuples():
                rows = results.selected.query("strategy == @line.strategy")["row"]
                lines.append({
                    "strategy": line.strategy, "class_weight": str(weight), "class_balance": is_balanced, "seed": seed,
                    "accuracy": line.accuracy, "balanced": line.balanced_accuracy,
                    "classes met": len(np.unique(y[:half][rows])),
                })  # fmt: skip
    return pd.DataFrame(lines)


def fits(arguments: argparse.Namespace) -> pd.DataFrame:
    """The same of one fit on random labels."""
    n_labels, lines = arguments.first + arguments.rounds * arguments.batch, []
    for seed in range(arguments.seeds):
        X, y = catalogue(arguments.rows, arguments.classes, seed)
        test = slice(len(y) // 2, None)
        kinds = ((LateFusionClassifier, "concat"), (LateFusionClassifier, "sum"), (LateFusionClassifierCV, "concat"))
        for (of, fusion), weight in product(kinds, (None, "balanced")):
            clf = of(fusion=fusion, class_weight=weight).fit(X[:n_labels], y[:n_labels], classes=np.unique(y))
            hits = clf.predict(X[test]) == y[test]
            recalls = pd.Series(hits).groupby(y[test]).mean()
            lines.append({
                "classifier": of.__name__, "fusion": fusion, "class_weight": str(weight), "seed": seed,
                "accuracy": hits.mean(), "balanced": recalls.mean(), "C": getattr(clf, "C_", 1.0),
            })  # fmt: skip
    return pd.DataFrame(lines)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6000, help="half of them to measure on")
    parser.add_argument("--classes", type=int, default=60)
    parser.add_argument("--first", type=int, default=120)
    parser.add_argument("--batch", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--strategies", default="random,margin,auto")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="CSV with a line for every curve")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table = curves(arguments)
    if arguments.out is not None:
        table.to_csv(arguments.out, index=False)
    keys = ["strategy", "class_weight", "class_balance"]
    print(table.groupby(keys, sort=False).mean(numeric_only=True).drop(columns="seed").round(3).to_string(), flush=True)
    table = fits(arguments)
    keys = ["classifier", "fusion", "class_weight"]
    print(table.groupby(keys, sort=False).mean(numeric_only=True).drop(columns="seed").round(3).to_string())


if __name__ == "__main__":
    main()
