"""What a featurization job costs beside the model when its manifest is long: to start, to resume, to extend.

    python examples/benchmarks/featurize_rows.py --rows 1000000

A manifest of short texts, and a model that does next to nothing. Every step is a process of its own: the first range of
a new cache, the next range, all the rest, the finished cache once more, and a manifest with one percent more rows
(`--extend`). Printed for each: rows that were encoded, seconds of the processor (the interpreter's start and the import
of torch included, which are also given alone), and the largest memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

STEPS = ("import", "start", "resume", "finish", "again", "extend", "again extended")


def write(path: Path, count: int) -> None:
    """Write a manifest of texts, one percent of them equal."""
    words = [
        "the",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "a",
        "lazy",
        "dog",
        "while",
        "seven",
        "wizards",
        "mix",
        "potions",
    ]
    with open(path, "w", encoding="utf-8") as file:
        file.write("id,text\n")
        for k in range(count):
            file.write(f"item {k:09d},{' '.join(words[(k * step) % 14] for step in range(1, 4 + k % 12))} {k % 99}\n")


def step(name: str, folder: Path) -> None:
    """Do one step, and print what it cost."""
    import torch

    from skmmal.featurize import Backbone, JobOptions, Unit, run
    from skmmal.featurize.backbones import TextReader

    class Lengths(TextReader):
        """A text becomes its length."""

        def decode(self, raw: str, notes: dict[str, int]) -> list[Unit]:
            return [Unit({"x": torch.tensor([float(len(raw))])}, length=len(raw))]

    encoded = 0
    if name != "import":
        model = Backbone(
            torch.nn.Linear(1, 64), lambda module, inputs: module(inputs["x"]), 64, Lengths(), {"backbone": "lengths"}
        )
        torch.nn.init.ones_(model.module.weight)
        limit = {"start": 1024, "resume": 2048}.get(name)
        extended = "extend" in name
        options = JobOptions(
            "text", folder / ("longer.csv" if extended else "m.csv"), folder / "cache", "own/lengths", limit=limit,
            extend="stat" if extended else None, workers=0, batch_size=256, device="cpu", threads=1,
        )  # fmt: skip
        encoded = run(options, model, quiet=True)["encoded"]
    seconds = sum(os.times()[:2])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"step": name, "encoded": encoded, "seconds": round(seconds, 1), "GiB": round(memory, 2)}))


def main() -> int:
    """Run the steps in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--folder", type=Path)
    parsed = parser.parse_args()
    if parsed.step:
        step(parsed.step, parsed.folder)
        return 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(folder / "m.csv", parsed.rows)
        write(folder / "longer.csv", parsed.rows + parsed.rows // 100)
        for name in STEPS:
            subprocess.run([sys.executable, __file__, "--step", name, "--folder", place], check=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
