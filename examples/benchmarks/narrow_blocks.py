"""Whether a block of one or five columns should count as much as one of a thousand.

    python examples/benchmarks/narrow_blocks.py --seeds 5

Generated: a narrow and a wide block, of which both, the narrow one alone or the wide one alone know the classes.
Accuracy of the fused head with every block at the same norm (`ModalityScaler`'s default), with every column at the same
norm (blocks count by the roots of their widths), and with weights that are found; and of each modality's own head.
"""

from __future__ import annotations

import argparse
import warnings
from itertools import product

import numpy as np
import pandas as pd

from skmmal import LateFusionClassifier, LateFusionClassifierCV, ModalityScaler, MultimodalArray


def data(width: int, knows: str, seed: int) -> tuple[MultimodalArray, np.ndarray]:
    """Rows of three classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 1500)
    narrow, wide = rng.normal(size=(1500, width)), rng.normal(size=(1500, 1000))
    if knows in ("both", "narrow"):
        narrow += np.linspace(-1.2, 1.2, 3)[y, None] / np.sqrt(width)
    if knows in ("both", "wide"):
        wide += 0.14 * rng.normal(size=(3, 1000))[y]
    return ModalityScaler().fit_transform(MultimodalArray({"narrow": narrow, "wide": wide})), y


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    n, lines = arguments.labels, []
    for width, knows, seed in product((1, 5), ("both", "narrow", "wide"), range(arguments.seeds)):
        X, y = data(width, knows, seed)
        plain = LateFusionClassifier().fit(X[:n], y[:n])
        by_column = LateFusionClassifier(modality_weights={"narrow": (width / 1000) ** 0.5}).fit(X[:n], y[:n])
        found = LateFusionClassifierCV().fit(X[:n], y[:n])
        own = plain.score_by_modality(X[n:], y[n:])
        lines.append({
            "columns": width, "who knows": knows, "narrow alone": own["narrow"], "wide alone": own["wide"],
            "blocks equal": own["fused"], "columns equal": by_column.score(X[n:], y[n:]),
            "found": found.score(X[n:], y[n:]),
        })  # fmt: skip
    print(pd.DataFrame(lines).groupby(["columns", "who knows"], sort=False).mean().round(3).to_string())


if __name__ == "__main__":
    main()
