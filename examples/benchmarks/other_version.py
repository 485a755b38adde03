"""Another version of skmmal, at work in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

VARIABLE = "SKMMAL_BENCHMARK_BEFORE"
"""Where run.py says which checkout ``--before`` named."""
N_FIRST = 60
"""Rows of a first fit, which nobody times: what is imported with it is no part of the others."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class OtherVersion:
    """The classifier of another checkout; rows and labels travel to it in a file.

    Parameters
    ----------
    tree : path
        The checkout.
    n_threads : int
    """

    def __init__(self, tree: str | Path, n_threads: int = 1) -> None:
        self._folder = tempfile.TemporaryDirectory()
        environment = {**os.environ, "PYTHONPATH": str(Path(tree).resolve()), **dict.fromkeys(THREADS, str(n_threads))}
        command = [sys.executable, "-W", "ignore", __file__]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self._folder.name
        )
        place = self._ask("where")
        if not place.startswith(str(Path(tree).resolve())):
            raise RuntimeError(f"{tree} holds no skmmal: found {place}")

    @staticmethod
    def given() -> OtherVersion | None:
        """Return the version that ``--before`` named."""
        tree = os.environ.get(VARIABLE)
        return None if tree is None else OtherVersion(tree)

    def clock(self) -> float:
        """Processor seconds that its process has taken."""
        return float(self._ask("clock"))

    def hand_over(self, X: Any, y: np.ndarray) -> None:
        """Give it the labelled rows; it also imports what a fit needs."""
        self._write("rows.npz", X, y)
        self._ask("read")

    def fit(self) -> OtherVersion:
        """Fit a classifier with default settings."""
        self._ask("fit")
        return self

    def score(self, X: Any, y: np.ndarray) -> float:
        """Accuracy of what it fitted last."""
        self._write("test.npz", X, y)
        return float(self._ask("score"))

    def _write(self, name: str, X: Any, y: np.ndarray) -> None:
        np.savez(Path(self._folder.name) / name, y=y, **{f"block {m}": block for m, block in X.blocks.items()})

    def _ask(self, what: str) -> Any:
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the other version ended at {what!r}")
        return json.loads(answer)


def _rows(file: str) -> tuple[Any, np.ndarray]:
    from skmmal import MultimodalArray

    with np.load(file) as arrays:
        blocks = {name.removeprefix("block "): arrays[name] for name in arrays.files if name != "y"}
        return MultimodalArray(blocks), arrays["y"]


def _serve() -> None:
    """Answer, a line for a line."""
    import skmmal

    X = y = model = None
    for line in sys.stdin:
        what, answer = line.strip(), None
        if what == "where":
            answer = skmmal.__file__
        elif what == "clock":
            answer = time.process_time()
        elif what == "read":
            X, y = _rows("rows.npz")
            skmmal.LateFusionClassifier().fit(X[:N_FIRST], y[:N_FIRST])
        elif what == "fit":
            model = skmmal.LateFusionClassifier().fit(X, y)
        elif what == "score":
            answer = model.score(*_rows("test.npz"))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
