"""UPMC Food-101 (Wang et al., ICMEW 2015): photographs of 101 dishes with the titles of the pages they came from.

The folder as published::

    images/train/CLASS/CLASS_0.jpg      images/test/CLASS/...
    texts/train_titles.csv              texts/test_titles.csv      (no header: file name, title, class)

    python examples/datasets/food101.py UPMC_Food101 --out food101

The publishers' split and the BMMAL paper's backbones: ResNet-101 (2048) and the first token of BERT-base (768).
The paper fine-tunes both; here they are frozen. A title or photograph that is not there is a missing modality.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from common import arguments, featurize, finish, guarded, write_tables


def read(root: Path) -> pd.DataFrame:
    """List the samples: id, image (absolute), text, label, split."""
    parts = []
    for split in ("train", "test"):
        file = root / "texts" / f"{split}_titles.csv"
        if not file.is_file():
            raise ValueError(f"{file} is not there; is {root} the folder of UPMC Food-101?")
        titles = pd.read_csv(file, header=None, names=["name", "text", "label"], dtype=str, keep_default_na=False)
        images = (root / "images" / split).resolve()
        titles["image"] = [
            str(images / label / name) for name, label in zip(titles["name"], titles["label"], strict=True)
        ]
        titles["id"] = split + "/" + titles["name"].str.removesuffix(".jpg")
        titles["split"] = split
        listed = set(titles["name"])
        untitled = [path for path in sorted(images.glob("*/*.jpg")) if path.name not in listed]
        rows = [(f"{split}/{path.stem}", str(path), "", path.parent.name, split) for path in untitled]
        columns = ["id", "image", "text", "label", "split"]
        parts += [titles[columns], pd.DataFrame(rows, columns=columns)]
    return pd.concat(parts, ignore_index=True)


def main(argv: list[str] | None = None) -> int:
    """Make the manifest and the cache."""
    models = {"image": ("torchvision/resnet101", "DEFAULT"), "text": ("transformers/bert-base-uncased", "DEFAULT")}
    parsed = arguments(__doc__.splitlines()[0], models).parse_args(argv)
    manifest = write_tables(read(parsed.root), parsed.out)
    if parsed.manifest_only:
        return 0
    featurize(parsed, manifest, "image", parsed.out / "features")
    featurize(parsed, manifest, "text", parsed.out / "features", pooling="cls")
    return finish(parsed.out)


if __name__ == "__main__":
    guarded(main)
