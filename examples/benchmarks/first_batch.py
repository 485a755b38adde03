"""First batches of a share of the pool, chosen without labels: MMCSAL at its authors' budget, and others.

    python examples/benchmarks/first_batch.py emoji digits:fou,pix FOLDER... --share 0.05 --seeds 5

Takes what evidence.py takes. Every seed has a split of its own. Prints the accuracy of the fused head (and of the mean
of the modalities' own heads) that is fitted on the batch alone, and how far that is ahead of a random batch of the same
seed, with the t value over seeds.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd
from evidence import all_sets

from skmmal import LateFusionClassifier
from skmmal.query import MMCSAL, get_strategy

STRATEGIES = {
    "random": get_strategy("random"),
    "mmcsal": MMCSAL(),
    "mmcsal, raw features": MMCSAL(on_features="raw"),
    **{name: get_strategy(name) for name in ("kmeans", "typiclust", "maxherding", "mvopt")},
}


def main() -> None:
    """Print a table for every set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", help="emoji, digits:fou,pix, ... or folders, files (.npz)")
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--most-pool", type=int, default=3000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for data, X, y in all_sets(arguments.sources):
        lines = []
        for seed in range(arguments.seeds):
            order = np.random.default_rng([seed, len(y)]).permutation(len(y))
            test, pool = order[: len(y) // 3], order[len(y) // 3 :][: arguments.most_pool]
            size = round(arguments.share * len(pool))
            for name, strategy in STRATEGIES.items():
                if "random_state" in strategy.get_params():
                    strategy.set_params(random_state=seed)
                picked = pool[strategy.query(None, X[pool], size)]
                scores = LateFusionClassifier().fit(X[picked], y[picked]).score_by_modality(X[test], y[test])
                lines.append({
                    "strategy": name, "seed": seed, "fused": scores.pop("fused"), "own": np.mean(list(scores.values())),
                    "classes": len(np.unique(y[picked])),
                })  # fmt: skip
        table = pd.DataFrame(lines)
        fused = table.pivot_table("fused", "seed", "strategy", sort=False)
        gain = fused.sub(fused["random"], axis=0)
        found = table.groupby("strategy", sort=False)[["fused", "own", "classes"]].mean()
        found["gain"], found["t"] = gain.mean(), gain.mean() / (gain.std() / np.sqrt(len(gain)) + 1e-12)
        print(f"{data}, {size} rows\n{found.round(3).to_string()}\n", flush=True)


if __name__ == "__main__":
    main()
