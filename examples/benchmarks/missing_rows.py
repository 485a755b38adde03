"""Which share of a batch lacks a modality, for every strategy, and what accuracy comes of it.

Rows lack a modality at random, so that their share in the pool is the share a fair strategy picks. Printed is the share
picked over the pool's share (1: as many as there are, 0: none), a mean over seeds; then the accuracy of the classifier
after the batch, on test rows that have everything and on those that lack a modality.

    python examples/benchmarks/missing_rows.py
    python examples/benchmarks/missing_rows.py --rows 600 --batch 50 --seeds 1 --strategy mvopt --strategy coreset
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.datasets import load_digits_views, make_multimodal_classification
from skmmal.query import available_strategies, get_strategy

N_INITIAL, N_TEST = 60, 600
RATES = (0.05, 0.3)


def without_some(blocks, rate, rng):
    """Blocks of which a share `rate` of the rows lacks one, drawn evenly."""
    names, n_rows = list(blocks), len(next(iter(blocks.values())))
    lacking = rng.permutation(n_rows)[: round(rate * n_rows)]
    which = rng.integers(0, len(names), len(lacking))
    cut = {name: np.array(block, dtype=np.float64) for name, block in blocks.items()}
    for m, name in enumerate(names):
        cut[name][lacking[which == m]] = np.nan
    return MultimodalArray(cut), np.isin(np.arange(n_rows), lacking)


def problem(data, rate, n_rows, seed):
    """Scaled features in random order, classes, and which rows lack a modality."""
    rng = np.random.default_rng(seed)
    if data == "digits":
        X, y = load_digits_views(["fou", "pix"], return_X_y=True)
    else:
        X, y = make_multimodal_classification(
            n_rows + N_INITIAL + N_TEST,
            dict.fromkeys("abc"[: int(data[0])], 30),
            n_classes=8,
            class_sep=4.0,
            random_state=seed,
            return_X_y=True,
        )
    order = rng.permutation(len(y))
    X, lacks = without_some({name: np.asarray(block)[order] for name, block in X.blocks.items()}, rate, rng)
    return ModalityScaler().fit_transform(X), y[order], lacks


def measure(name, data, rate, n_rows, n_picks, seed, kernel_approximation):
    """One batch: the share that lacks a modality over the pool's, and accuracy on whole and on incomplete test rows."""
    X, y, lacks = problem(data, rate, n_rows, seed)
    known, test = np.arange(N_INITIAL), np.arange(N_INITIAL, N_INITIAL + N_TEST)
    pool = np.arange(N_INITIAL + N_TEST, len(y))
    clf = LateFusionClassifier().fit(X[known], y[known], classes=np.unique(y))
    strategy = get_strategy(name)
    if "random_state" in strategy.get_params():
        strategy.set_params(random_state=seed)
    if name == "mvopt":
        strategy.set_params(kernel_approximation=kernel_approximation)
    picked = pool[strategy.query(clf, X[pool], n_picks, X_labeled=X[known], y_labeled=y[known])]
    labeled = np.concatenate([known, picked])
    right = clf.fit(X[labeled], y[labeled], classes=np.unique(y)).predict(X[test]) == y[test]
    return {
        "share": lacks[picked].mean() / lacks[pool].mean(),
        "whole": right[~lacks[test]].mean(),
        "incomplete": right[lacks[test]].mean(),
    }


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategy", action="append", choices=available_strategies(), help="by default all")
    parser.add_argument("--data", action="append", choices=["2 modalities", "3 modalities", "digits"])
    parser.add_argument("--rows", type=int, default=3000, help="rows of the generated pools")
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kernel-approximation", default="auto", choices=["auto", "exact", "fourier"], help="of MVOPT")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found = [
        {"strategy": name, "data": data, "rate": rate, "seed": seed}
        | measure(name, data, rate, given.rows, given.batch, seed, given.kernel_approximation)
        for name in given.strategy or available_strategies()
        for data in given.data or ["2 modalities", "3 modalities", "digits"]
        for rate in RATES
        for seed in range(given.seeds)
    ]
    frame = pd.DataFrame(found)
    for column, digits, title in (
        ("share", 2, "share picked over the pool's share"),
        ("whole", 3, "accuracy on test rows that have everything"),
        ("incomplete", 3, "accuracy on test rows that lack a modality"),
    ):
        print(f"\n{title}, mean of {given.seeds} seeds, batches of {given.batch}")
        print(frame.pivot_table(index="strategy", columns=["data", "rate"], values=column).round(digits).to_string())


if __name__ == "__main__":
    main()
