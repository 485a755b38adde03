"""The papers' datasets, as small folders of the publishers' layout, from files to labels and caches."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skmmal.features import FeatureStore

from .conftest import tone, write_video

FOLDER = Path(__file__).parents[2] / "examples" / "datasets"


@pytest.fixture
def pipeline(monkeypatch):
    """Load a pipeline as its script does: with its folder on the path."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.modules.pop("common", None)


def test_food101(pipeline, models, tmp_path):
    root, out = tmp_path / "UPMC_Food101", tmp_path / "out"
    rng = np.random.default_rng(0)
    (root / "texts").mkdir(parents=True)
    for split, count in (("train", 4), ("test", 2)):
        lines = []
        for label in ("apple_pie", "waffles"):
            folder = root / "images" / split / label
            folder.mkdir(parents=True)
            for k in range(count):
                name = f"{label}_{k}.jpg"
                Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / name)
                lines.append(f'{name},"the quick, brown {label}",{label}')
        (root / "texts" / f"{split}_titles.csv").write_text("\n".join(lines[1:]))  # one has no title
    (root / "images" / "train" / "waffles" / "waffles_2.jpg").unlink()  # one has no image
    arguments = [str(root), "--out", str(out), "--workers", "0", "--device", "cpu"]
    arguments += ["--image-model", "torchvision/resnet18", "--image-weights", str(models / "resnet18.pth")]
    assert pipeline("food101").main([*arguments, "--text-model", f"transformers/{models / 'bert'}"]) == 0
    store = FeatureStore.open(out / "features")
    assert store.modalities == {"image": 512, "text": 32}
    labels = pd.read_csv(out / "labels.csv")
    assert list(labels.columns) == ["id", "label", "split"]
    assert sorted(labels["id"]) == sorted(store.ids)
    assert labels["split"].value_counts().to_dict() == {"train": 8, "test": 4}
    assert set(store.ids[~store.present("image")]) == {"train/waffles_2"}
    assert set(store.ids[~store.present("text")]) == {"train/apple_pie_0", "test/apple_pie_0"}
    assert (labels["label"] == labels["id"].str.extract(r"/(.*)_\d", expand=False)).all()


def clip(path, seconds=2, sound=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, int(5 * seconds), sound=tone(seconds, 16000, 300) if sound else None)


def small_audio_video(models, out):
    shared = ["--out", str(out), "--workers", "0", "--device", "cpu"]
    video = ["--video-model", "torchvision/resnet18", "--video-weights", str(models / "resnet18.pth")]
    return [*shared, *video, "--audio-model", f"transformers/{models / 'wav2vec2'}"]


@pytest.mark.parametrize("with_test_list", [True, False])
def test_kinetics_sound(pipeline, models, tmp_path, with_test_list, capsys):
    root, out = tmp_path / "k400", tmp_path / "out"
    lists = {
        "train.csv": [("tickling", "aaaaaaaaaaa", 5), ("bowling", "-bbbbbbbbbb", 10), ("yoga", "ccccccccccc", 0)],
        "validate.csv": [("bowling", "ddddddddddd", 7)],
        "test.csv": [("laughing", "eeeeeeeeeee", 100), ("laughing", "gone_gone_g", 3)],
    }
    for name, rows in lists.items():
        if name == "test.csv" and not with_test_list:
            continue
        lines = ["label,youtube_id,time_start,time_end,split"]
        for label, youtube, start in rows:
            lines.append(f"{label},{youtube},{start},{start + 10},{name.split('.')[0]}")
            if not youtube.startswith("gone"):
                clip(root / name.split(".")[0] / label / f"{youtube}_{start:06d}_{start + 10:06d}.mp4")
        root.mkdir(exist_ok=True)
        (root / name).write_text("\n".join(lines))
    assert pipeline("kinetics_sound").main([str(root), *small_audio_video(models, out)]) == 0
    store = FeatureStore.open(out / "features")
    assert store.modalities == {"video": 512, "audio": 32}
    assert store.present("video").all()
    assert store.present("audio").all()
    labels = pd.read_csv(out / "labels.csv").set_index("id")
    expected = {"aaaaaaaaaaa_000005_000015": "train", "-bbbbbbbbbb_000010_000020": "train"}
    expected |= {"eeeeeeeeeee_000100_000110": "test"} if with_test_list else {"ddddddddddd_000007_000017": "test"}
    assert labels["split"].to_dict() == expected
    if with_test_list:
        assert "1 of 5 samples have no file" in capsys.readouterr().out
        assert pd.read_csv(out / "missing.csv")["id"].tolist() == ["gone_gone_g_000003_000013"]
    assert len(pipeline("kinetics_sound").CLASSES) == len(set(pipeline("kinetics_sound").CLASSES)) == 31


def test_vggsound(pipeline, models, tmp_path):
    root, out = tmp_path / "VGGSound", tmp_path / "out"
    rows = [("aaaaaaaaaaa", 30, "bird chirping, tweeting", "train"), ("-b_bbbbbbbb", 0, "dog barking", "test")]
    rows += [("ccccccccccc", 120, "dog barking", "train")]
    root.mkdir()
    (root / "vggsound.csv").write_text("\n".join(f'{y},{s},"{label}",{split}' for y, s, label, split in rows))
    for youtube, start, _, _ in rows:
        clip(root / "video" / f"{youtube}_{start:06d}.mp4", sound=youtube[0] != "c")
    assert pipeline("vggsound").main([str(root), *small_audio_video(models, out)]) == 0
    store = FeatureStore.open(out / "features")
    assert list(store.ids) == ["aaaaaaaaaaa_000030", "-b_bbbbbbbb_000000", "ccccccccccc_000120"]
    assert store.present("audio").tolist() == [True, True, False]
    labels = pd.read_csv(out / "labels.csv")
    assert labels["label"].tolist() == ["bird chirping, tweeting", "dog barking", "dog barking"]
    assert labels["split"].tolist() == ["train", "test", "train"]


def test_music_avqa(pipeline, models, tmp_path):
    root, out = tmp_path / "MUSIC-AVQA", tmp_path / "out"
    (root / "data" / "json").mkdir(parents=True)
    clip(root / "videos" / "MUSIC-AVQA-videos-Real" / "00000093.mp4")
    clip(root / "videos" / "MUSIC-AVQA-videos-Synthetic" / "sa00007434.mp4", seconds=3)

    def question(number, video, text, values, answer, deleted=0):
        return {
            "video_id": video, "question_id": number, "type": '["Audio", "Counting"]', "question_content": text,
            "templ_values": json.dumps(values), "question_deleted": deleted, "anser": answer,
        }  # fmt: skip

    train = [
        question(1, "00000093", "How many fox jumps over the <Object>?", ["dog"], "two"),
        question(2, "00000093", "Is the <Object> lazy?", ["fox"], "yes"),
        question(3, "sa00007434", "quick brown", [], "no"),
        question(4, "sa00007434", "gone", [], "no", deleted=1),
    ]
    test = [question(1, "99999999", "Is the wizards seven?", [], "yes")]
    for split, entries in (("train", train), ("val", []), ("test", test)):
        (root / "data" / "json" / f"avqa-{split}.json").write_text(json.dumps(entries))
    arguments = [str(root), *small_audio_video(models, out), "--text-model", f"transformers/{models / 'bert'}"]
    assert pipeline("music_avqa").main(arguments) == 0
    store = FeatureStore.open(out / "features")
    assert store.modalities == {"text": 32, "video": 512, "audio": 32}
    assert list(store.ids) == ["train/1", "train/2", "train/3", "test/1"]
    assert store.present("video").tolist() == store.present("audio").tolist() == [True, True, True, False]
    block = store.load()["video"]
    np.testing.assert_array_equal(block[0], block[1])
    assert not np.array_equal(block[0], block[2])
    assert len(FeatureStore.open(out / "videos")) == 3
    table = pd.read_csv(out / "manifest.csv")
    assert table["text"].tolist()[:2] == ["How many fox jumps over the dog?", "Is the fox lazy?"]
    assert table["label"].tolist() == ["two", "yes", "no", "yes"]
    # again: nothing is done twice, nothing is refused
    assert pipeline("music_avqa").main(arguments) == 0


@pytest.mark.parametrize("name", ["food101", "kinetics_sound", "vggsound", "music_avqa"])
def test_a_folder_that_is_not_the_dataset_is_said(pipeline, name, tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match=r"is not there|has none of|is not in"):
        pipeline(name).main([str(tmp_path / "data"), "--out", str(tmp_path / "out")])
    shutil.rmtree(tmp_path / "data")
    assert not (tmp_path / "out").exists()
