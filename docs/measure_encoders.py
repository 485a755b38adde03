"""Compare features of jobs with the code of each model's documentation, and write docs/results/encoders.md.

python docs/measure_encoders.py                 everything (minutes on one core; nothing is downloaded)
python docs/measure_encoders.py siglip clap     the models whose names hold these words, on the screen only

Every model is a small one with random weights, saved as its library saves it. A job featurizes files, and the code that
stands on the page runs on the same files, item by item. The largest difference is that of any item, in units of the
largest feature.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import soundfile
import torch
from encoder_cases import INSTRUCTION, RATE, Case, cases
from PIL import Image

from skmmal.features import FeatureStore
from skmmal.featurize import JobOptions, run
from skmmal.featurize._compat import import_torchaudio


def items(folder: Path) -> dict[str, tuple[list[str], list[Any], str]]:
    """Write items of every kind; return their cells, what they are, and the name they have in the code."""
    rng = np.random.default_rng(0)
    texts = ["the quick brown fox", "a dog", "seven wizards mix potions in silence while the fox jumps", "lazy"]
    pictures, sounds, clips = [], [], []
    for k, size in enumerate(((40, 60), (60, 40), (200, 50), (64, 64))):
        pictures.append(Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)))
        pictures[-1].save(folder / f"{k}.png")
    for k, seconds in enumerate((0.5, 0.3, 1.0, 0.723)):
        sounds.append(0.1 * rng.standard_normal(round(RATE * seconds)).astype(np.float32))
        soundfile.write(folder / f"{k}.wav", sounds[-1], RATE, subtype="FLOAT")
    for k, size in enumerate(((48, 64), (64, 48), (50, 50))):
        clips.append(rng.integers(0, 256, (4, *size, 3), dtype=np.uint8))
        (folder / f"clip{k}").mkdir()
        for number, frame in enumerate(clips[-1]):
            Image.fromarray(frame).save(folder / f"clip{k}" / f"{number}.png")
    return {
        "text": (texts, texts, "text"),
        "image": ([f"{k}.png" for k in range(4)], pictures, "image"),
        "audio": ([f"{k}.wav" for k in range(4)], sounds, "sound"),
        "video": ([f"clip{k}" for k in range(3)], clips, "clip"),
    }


def by_job(case: Case, model: Path, folder: Path, cells: list[str]) -> np.ndarray:
    """Return what a job makes of the items."""
    manifest = folder / f"{case.kind}.csv"
    pd.DataFrame({"id": range(len(cells)), case.kind: cells}).to_csv(manifest, index=False)
    settings = dict(case.settings) | ({"pooling": case.pooling} if case.pooling else {})
    if case.kind == "video":
        settings["frames"] = 4
    place, weights = case.model.format(folder=model), case.weights.format(folder=model)
    with tempfile.TemporaryDirectory() as out:
        options = JobOptions(
            case.kind, manifest, Path(out) / "cache", place, weights, settings, dtype="float32", workers=0, device="cpu"
        )
        receipt = run(options, quiet=True)
        if receipt["errors"]:
            raise RuntimeError(f"{case.name}: {FeatureStore.open(options.out).errors(case.kind)}")
        return np.array(FeatureStore.open(options.out).load()[case.kind])


def by_code(case: Case, model: Path, values: list[Any], name: str) -> np.ndarray:
    """Return what the documentation's code makes of each item."""
    import open_clip
    import sentence_transformers
    import timm.data
    import torchvision.models.video
    import transformers as tf

    known = {"torch": torch, "timm": timm, "open_clip": open_clip, "torchvision": torchvision, "Image": Image}
    known["torchaudio"] = import_torchaudio()
    known |= {"SentenceTransformer": sentence_transformers.SentenceTransformer, "instruction": INSTRUCTION}
    for part in ("AutoModel", "AutoTokenizer", "AutoImageProcessor", "AutoFeatureExtractor", "AutoVideoProcessor"):
        known[part] = getattr(tf, part)
    known["VJEPA2ForVideoClassification"] = tf.VJEPA2ForVideoClassification
    rows = []
    for value in values:
        names = {**known, "folder": str(model), name: value}
        with torch.inference_mode():
            exec(dedent(case.code), names)
        rows.append(names["features"].reshape(-1).numpy())
    return np.stack(rows)


def compare(case: Case, folder: Path) -> float:
    """Return the largest difference, in units of the largest feature."""
    folder.mkdir()
    model = folder / "model"
    model.mkdir()
    case.save(model)
    cells, values, name = items(folder)[case.kind]
    found, expected = by_job(case, model, folder, cells), by_code(case, model, values, name)
    if found.shape != expected.shape:
        raise RuntimeError(f"{case.name}: {found.shape} and {expected.shape}")
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def main(words: list[str]) -> int:
    """Compare, and write the page."""
    chosen = [case for case in cases() if not words or any(word.lower() in case.name.lower() for word in words)]
    rows = []
    with tempfile.TemporaryDirectory() as root:
        for number, case in enumerate(chosen):
            try:
                difference = compare(case, Path(root) / str(number))
            except Exception as error:
                raise RuntimeError(f"{case.kind} {case.name} {case.pooling}: {error}") from error
            rows.append((case, difference))
            print(
                f"{case.kind:6} {case.name:30} {case.pooling or 'as the folder says':20} {difference:.1e}", flush=True
            )
    if not words:
        Path(__file__).parent.joinpath("results", "encoders.md").write_text(page(rows))
    return int(any(difference > 1e-5 for _, difference in rows))


def page(rows: list[tuple[Case, float]]) -> str:
    """Return the page."""
    codes = list(dict.fromkeys(dedent(case.code).strip() for case, _ in rows))
    import sentence_transformers
    import timm
    import transformers as tf

    versions = f"transformers {tf.__version__}, torch {torch.__version__.partition('+')[0]}, timm {timm.__version__}"
    versions += f", sentence-transformers {sentence_transformers.__version__}"
    table = []
    for case, difference in rows:
        pooling, number = case.pooling or "as the folder says", codes.index(dedent(case.code).strip()) + 1
        table.append(f"| {case.kind} | {case.name} | `{pooling}` | {number} | {difference:.1e} |")
    parts = [HEAD.format(n=len(rows), largest=f"{max(difference for _, difference in rows):.1e}", versions=versions)]
    parts.append(
        "\n".join(["| command | model | `--pooling` | code | largest difference |", "|---|---|---|---|---|", *table])
    )
    parts.append(FOOT)
    parts += [f"{number}.\n\n   ```text\n{indent(code, '   ')}\n   ```" for number, code in enumerate(codes, 1)]
    return "\n\n".join(parts) + "\n"


HEAD = """# Features and the models' own code

`skmmal featurize` gives what a model's documentation computes. Below, {n} combinations of model and pooling: a job
featurized items of several lengths and sizes in one batch; the numbered code, as the models' documentation has it, ran
on each item alone. The difference is the largest of any item, in units of the largest feature: {largest} at most, which
is the rounding of float32. The models are small and have random weights; nothing here depends on what the weights are.

Measured with {versions}, in float32 on a CPU. Again, from a clone: `python docs/measure_encoders.py`.

What the page does not show: the published weights themselves, which were not at hand; half precision, which a job
measures on its first batch and prints."""

FOOT = """## The code

`text`, `image` (Pillow), `sound` (16 kHz, float32) and `clip` (frames, height, width, channels) are the items,
`folder` is the model's."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
