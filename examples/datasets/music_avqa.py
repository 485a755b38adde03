"""MUSIC-AVQA (Li et al., CVPR 2022): questions about music videos, as classification of the answer (42 classes).

The folder as published: ``json/avqa-train.json``, ``avqa-val.json`` and ``avqa-test.json`` (in ``json`` or
``data/json``), and the videos anywhere below, named ``VIDEOID.mp4``.

    python examples/datasets/music_avqa.py MUSIC-AVQA --out music_avqa

Three modalities: audio, video, question (``text``). A video is featurized once, however many questions are asked
about it; the final cache has a row per question, its id ``SPLIT/QUESTIONID``. Questions whose video is not there
keep their text: audio and video are missing. Words such as <Object> are replaced by the question's own.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
from common import VIDEO_SUFFIXES, arguments, featurize, finish, guarded, index_files, write_tables

from skmmal.features import FeatureStore

SLOT = re.compile(r"<[^<>]+>")


def fill_slots(question: str, values: list[str]) -> str:
    """Put a question's own words where its template has slots.

    >>> fill_slots("Is the <Object> louder than the <Object>?", ["flute", "cello"])
    'Is the flute louder than the cello?'
    """
    words = iter(values)
    return SLOT.sub(lambda slot: next(words, slot.group()), question)


def read(root: Path) -> pd.DataFrame:
    """List the questions: id, text, label (the answer), split, video_id, video, audio."""
    folder = next(
        (path for path in (root / "json", root / "data" / "json", root) if (path / "avqa-train.json").is_file()), None
    )
    if folder is None:
        raise ValueError(f"avqa-train.json is not in {root}, its json or data/json; is this the folder of MUSIC-AVQA?")
    files = index_files(root, VIDEO_SUFFIXES)
    rows = []
    for split in ("train", "val", "test"):
        file = folder / f"avqa-{split}.json"
        for entry in json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []:
            if entry.get("question_deleted"):
                continue
            name = str(entry["video_id"])
            path = str(files[name].resolve()) if name in files else ""
            text = fill_slots(entry["question_content"], json.loads(entry.get("templ_values") or "[]"))
            answer = entry.get("anser", entry.get("answer"))  # spelt so by the publishers
            rows.append((f"{split}/{entry['question_id']}", text, answer, split, name, path, path))
    columns = ["id", "text", "label", "split", "video_id", "video", "audio"]
    return pd.DataFrame(rows, columns=columns)


def main(argv: list[str] | None = None) -> int:
    """Make the manifest and the cache."""
    models = {
        "video": ("torchvision/r2plus1d_18", "DEFAULT"),
        "audio": ("torchaudio/WAV2VEC2_BASE", "DEFAULT"),
        "text": ("transformers/bert-base-uncased", "DEFAULT"),
    }
    parsed = arguments(__doc__.splitlines()[0], models).parse_args(argv)
    table = read(parsed.root)
    manifest = write_tables(table, parsed.out)
    videos = table.drop_duplicates("video_id").rename(columns={"id": "question", "video_id": "id"})
    videos[["id", "video", "audio"]].to_csv(parsed.out / "videos.csv", index=False)
    if parsed.manifest_only:
        return 0
    for script in ("video", "audio"):
        featurize(parsed, parsed.out / "videos.csv", script, parsed.out / "videos")
    featurize(parsed, manifest, "text", parsed.out / "features")
    per_video, per_question = FeatureStore.open(parsed.out / "videos"), FeatureStore.open(parsed.out / "features")
    rows = per_video.index(table["video_id"])
    for name, block in per_video.load().blocks.items():
        about = {key: per_video.metadata[name][key] for key in ("backbone", "weights", "preprocessing")}
        per_question.append(name, np.asarray(block)[rows], metadata=about)
    return finish(parsed.out)


if __name__ == "__main__":
    guarded(main)
