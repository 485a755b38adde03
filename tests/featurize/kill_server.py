"""Runs a featurization job in a fresh process per line of its input: the name of a folder in, pid and exit code out.

Forking from one process that has imported torch makes twenty restarts a matter of seconds. This process never
computes with torch itself, so a child finds no half-copied thread pool.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch

from skmmal.featurize import Backbone, FileReader, JobOptions, Unit, run

N = 300
BAD = {5: "", 123: "not there.txt", 250: "corrupt.txt"}


class NumbersReader(FileReader):
    """Files of numbers."""

    def decode(self, raw, notes):
        time.sleep(0.002)
        numbers = [float(word) for word in raw.decode().split()]
        notes["long"] = notes.get("long", 0) + (len(numbers) > 4)
        return [Unit({"x": torch.tensor(numbers[:4])}, weight=0.5 + k, slot=k) for k in range(2)]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = torch.nn.Parameter(torch.randn(4, 32, generator=generator))
        self.second = torch.nn.Parameter(torch.randn(32, 16, generator=generator))

    def forward(self, x):
        return torch.relu(x @ self.first) @ self.second


def forward(module, inputs):
    time.sleep(0.01)
    return module(inputs["x"])


def make_files(root):
    rows = ["id,number"]
    for k in range(N):
        (root / f"{k}.txt").write_text(" ".join(str((k * j) % 17 / 7) for j in range(1, 5 + k % 2)))
        rows.append(f"item {k},{BAD.get(k, f'{k}.txt')}")
    (root / "corrupt.txt").write_text("1 2 oops 4")
    (root / "m.csv").write_text("\n".join(rows))


def main():
    root = Path(sys.argv[1])
    make_files(root)
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            sys.stdin.close()
            model = Backbone(Net(), forward, 16, NumbersReader(root), {"backbone": "net"})
            options = JobOptions(
                "text", root / "m.csv", root / line.strip(), "test/net", modality="number", column="number",
                batch_size=4, workers=2, range_rows=6, device="cpu",
            )  # fmt: skip
            run(options, model, quiet=True)
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
