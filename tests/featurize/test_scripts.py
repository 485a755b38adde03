"""Every script on real files with real models: what it writes is what the model says of each file alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from skmmal.features import FeatureStore
from skmmal.featurize import audio, decode, image, text, video
from skmmal.featurize._manifest import Wanted, read_manifest

from .conftest import BAD, N

SCRIPTS = {"image": image, "text": text, "audio": audio, "video": video}


def featurize(script, data, out, *arguments, **environment):
    return SCRIPTS[script].main(
        [str(data / "manifest.csv"), "--out", str(out), "--workers", "0", "--quiet", *arguments]
    )


def errors(out):
    return [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]


def check(script, out, width):
    """Check shape, missing rows and their reasons, and return the block."""
    store = FeatureStore.open(out)
    assert store.modalities == {script: width}
    report = store.verify(checksum=True)
    assert report["ok"], report["problems"]
    assert np.flatnonzero(~store.present(script)).tolist() == BAD[script]
    found = errors(out)
    assert [error["row"] for error in found] == BAD[script]
    assert [error["id"] for error in found] == [f"sample {row}" for row in BAD[script]]
    for error in found:
        assert {"modality", "path", "stage", "exception", "message", "attempt"} < set(error)
        assert error["message"]
    return store.load()[script].astype(np.float32)


CASES = [
    ("image", "torchvision/resnet18", ["--weights", "random"], 512),
    ("image", "torchvision/resnet18", ["--weights", "random", "--tokens"], (49, 512)),
    ("image", "torchvision/vit_b_16", ["--weights", "random", "--tokens", "--limit", "12"], (197, 768)),
    ("image", "torchvision/mobilenet_v3_small", ["--weights", "random", "--dtype", "bfloat16"], 1024),
    ("image", "vit", ["--pooling", "cls"], 32),
    ("image", "vit", ["--tokens"], (5, 32)),
    ("image", "dinov2", [], 32),
    ("image", "clip", [], 24),
    ("image", "clip", ["--pooling", "mean"], 32),
    ("image", "siglip", [], 32),
    ("text", "bert", [], 32),
    ("text", "bert", ["--pooling", "mean", "--normalize", "--dtype", "float32"], 32),
    ("text", "bert", ["--tokens", "--max-length", "7"], (7, 32)),
    ("text", "clip", ["--pooling", "pooled"], 24),
    ("text", "siglip", ["--pooling", "mean"], 32),
    ("audio", "spectrogram/resnet18", ["--weights", "random", "--window", "2"], 512),
    ("audio", "torchaudio/WAV2VEC2_BASE", ["--weights", "random", "--window", "2"], 768),
    ("audio", "wav2vec2", ["--window", "1.5"], 32),
    ("audio", "hubert", [], 32),
    ("audio", "ast", ["--pooling", "pooled"], 32),
    ("audio", "clap", ["--pooling", "pooled"], 24),
    ("video", "torchvision/r2plus1d_18", ["--weights", "random", "--frames", "4"], 512),
    ("video", "torchvision/resnet18", ["--weights", "random", "--frames", "3"], 512),
    ("video", "vit", ["--frames", "3", "--tokens"], (3, 32)),
]


@pytest.mark.parametrize(("script", "model", "options", "width"), CASES, ids=lambda v: str(v).replace("/", "-"))
def test_script(script, model, options, width, data, models, tmp_path):
    model = model if "/" in model else f"transformers/{models / model}"
    out = tmp_path / "cache"
    assert featurize(script, data, out, "--model", model, "--batch-size", "5", "--range-rows", "7", *options) == 0
    block = check(script, out, width)
    present = ~np.isnan(block).any(axis=1)
    assert np.ptp(block[present], axis=0).max() > 0  # different files have different features
    manifest = json.loads((out / "manifest.json").read_text())["modalities"][script]
    assert manifest["backbone"].endswith(model.rpartition("/")[2])
    assert len(manifest["fingerprint"]["weights_sha256"]) == 64
    assert str(models) not in json.dumps(manifest)


def test_image_features_are_the_models_own(data, models, tmp_path):
    """By hand: the state dict's network without its classifier, the weights' own transform, one image at a time."""
    from torchvision.models import ResNet18_Weights, resnet18

    weights = str(models / "resnet18.pth")
    out = tmp_path / "cache"
    arguments = ("--model", "torchvision/resnet18", "--weights", weights, "--dtype", "float32", "--batch-size", "5")
    assert featurize("image", data, out, *arguments) == 0
    block = check("image", out, 512)
    network = resnet18(weights=None)
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.fc = torch.nn.Identity()
    transform = ResNet18_Weights.DEFAULT.transforms()
    cells = read_manifest(data / "manifest.csv", Wanted("image")).cells
    for row in (0, 2, 5, 11):
        picture = Image.open(data / cells[row]).convert("RGB")
        with torch.inference_mode():
            expected = network.eval()(transform(picture).unsqueeze(0))[0].numpy()
        np.testing.assert_allclose(block[row], expected, rtol=1e-4, atol=1e-5)


def test_the_papers_image_backbone(data, tmp_path):
    out = tmp_path / "cache"
    assert featurize("image", data, out, "--weights", "random", "--limit", "3") == 0  # ResNet-101 is the default
    store = FeatureStore.open(out)
    assert store.modalities == {"image": 2048}  # as float16 too: random weights are kept from overflowing it
    assert store.present("image").sum() == 3
    assert 0.01 < np.abs(np.load(out / "image.npy")[:3].astype(np.float32)).mean() < 100


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_text_features_do_not_depend_on_padding(data, models, tmp_path, pooling):
    import transformers as tf

    out = tmp_path / "cache"
    arguments = ("--model", f"transformers/{models / 'bert'}", "--pooling", pooling, "--dtype", "float32")
    assert featurize("text", data, out, *arguments, "--batch-size", "5") == 0
    block = check("text", out, 32)
    model = tf.BertModel.from_pretrained(models / "bert").eval()
    tokenizer = tf.AutoTokenizer.from_pretrained(models / "bert")
    for row, cell in enumerate(read_manifest(data / "manifest.csv", Wanted("text")).cells):
        if row in BAD["text"]:
            continue
        with torch.inference_mode():
            states = model(**tokenizer(cell, return_tensors="pt")).last_hidden_state[0]
        expected = states[0] if pooling == "cls" else states.mean(0)
        np.testing.assert_allclose(block[row], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_truncation_is_reported(data, models, tmp_path):
    out = tmp_path / "cache"
    assert featurize("text", data, out, "--model", f"transformers/{models / 'bert'}", "--max-length", "8") == 0
    # texts have 1 + 2k words; with [CLS] and [SEP] those from row 3 on are longer than 8 tokens, and row 5 is empty
    assert FeatureStore.open(out).info()["modalities"]["text"]["notes"] == {"truncated": N - 3 - 1}


@pytest.mark.parametrize("name", ["wav2vec2", "hubert"])
def test_waveform_features_are_the_mean_over_windows(name, data, models, tmp_path):
    """By hand, each window alone and not padded, averaged by duration."""
    import transformers as tf

    out = tmp_path / "cache"
    arguments = ("--model", f"transformers/{models / name}", "--window", "1", "--dtype", "float32", "--batch-size", "3")
    assert featurize("audio", data, out, *arguments) == 0
    block = check("audio", out, 32)
    model = tf.AutoModel.from_pretrained(models / name).eval()
    row, cell = 11, read_manifest(data / "manifest.csv", Wanted("audio")).cells[11]
    samples, rate = decode.sound(data / cell)
    samples = decode.resample(samples, rate, 16000)
    total, weight = np.zeros(32), 0.0
    for part in decode.windows(len(samples), 16000, 4000):
        window = samples[part]
        normal = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
        with torch.inference_mode():
            states = model(torch.from_numpy(normal)[None]).last_hidden_state[0]
        total += states.mean(0).numpy() * len(window)
        weight += len(window)
    np.testing.assert_allclose(block[row], total / weight, atol=1e-5)


def test_the_papers_spectrogram():
    from skmmal.featurize.backbones._sound import SpectrogramReader

    samples = np.random.default_rng(0).normal(size=16000 * 10).astype(np.float32) * 0.1
    made = SpectrogramReader(".", 16000, 10.0).unit(samples).inputs["spectrogram"]
    assert made.shape == (1, 257, 1 + (160000 - 512) // (512 - 353))
    assert abs(float(made.mean())) < 1e-4
    assert abs(float(made.std()) - 1) < 1e-3
    # a pure tone stands in the row of its frequency
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    made = SpectrogramReader(".", 16000, 10.0).unit(tone).inputs["spectrogram"]
    assert int(made[0].mean(1).argmax()) == round(1000 / 16000 * 512)
    assert made.shape == (1, 257, 1004)  # tiled to the window


def test_the_sound_track_of_a_video_and_mono(data):
    samples, rate = decode.sound(data / "loud.mp4")
    assert rate == 16000
    assert abs(len(samples) / rate - 2) < 0.2
    spectrum = np.abs(np.fft.rfft(samples[4000:20000]))
    assert abs(int(spectrum.argmax()) - 440) <= 1
    stereo, rate = decode.sound(data / "8.wav")
    assert stereo.ndim == 1
    assert rate == 8000


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_a_tone(rate):
    tone = np.sin(2 * np.pi * 440 * np.arange(rate * 2) / rate).astype(np.float32)
    made = decode.resample(tone, rate, 16000)
    assert len(made) == 32000
    expected = np.sin(2 * np.pi * 440 * np.arange(32000) / 16000)
    np.testing.assert_allclose(made[2000:-2000], expected[2000:-2000], atol=5e-3)


def test_frames_are_those_shown_at_their_times(data):
    # 60 frames at 5 per second, grey level 8k; ten at one per second around the middle of 12 s: seconds 1 to 10
    found = decode.frames(data / "11.mp4", 10, 1.0)
    levels = [int(frame.mean()) for frame in found]
    expected = [8 * (5 * second) % 200 for second in range(1, 11)]
    np.testing.assert_allclose(levels, expected, atol=6)
    # a second of video: its last frame fills up
    short = decode.frames(data / "0.mp4", 3, 1.0)
    np.testing.assert_array_equal(short[1], short[2])
    # a folder of twelve: the middle ten, in the order of the numbers
    reds = [int(frame[..., 0].mean()) for frame in decode.frames(data / "frames", 10, 1.0)]
    assert reds == [20 * k for k in range(1, 11)]


def test_a_late_clip_is_found_by_seeking(tmp_path):
    from .conftest import write_video

    write_video(tmp_path / "long.mp4", 40 * 5)
    levels = [int(frame.mean()) for frame in decode.frames(tmp_path / "long.mp4", 4, 2.0)]
    np.testing.assert_allclose(levels, [8 * int(5 * (19 + k / 2)) % 200 for k in range(4)], atol=9)


def test_pictures_of_every_kind(tmp_path):
    red = Image.new("RGB", (8, 4), (200, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned on its side
    red.save(tmp_path / "turned.jpg", exif=exif)
    assert decode.image((tmp_path / "turned.jpg").read_bytes()).size == (4, 8)
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert np.asarray(decode.image((tmp_path / "clear.png").read_bytes())).min() == 255
    Image.fromarray(np.full((4, 4), 0x8000, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert np.asarray(decode.image((tmp_path / "deep.png").read_bytes())).max() == 0x80


def test_random_weights_depend_on_the_seed_alone(data, tmp_path):
    made = {}
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        torch.manual_seed(len(made))
        state = torch.get_rng_state()
        arguments = ("--model", "torchvision/resnet18", "--weights", "random", "--seed", seed, "--limit", "2")
        assert featurize("image", data, tmp_path / name, *arguments) == 0
        assert torch.equal(state, torch.get_rng_state())
        made[name] = np.load(tmp_path / name / "image.npy")[:2]
    np.testing.assert_array_equal(made["a"], made["b"])
    assert not np.array_equal(made["a"], made["c"])


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("image", ["--model", "resnet18"], "must be one of torchvision/NAME, transformers/NAME"),
        ("image", ["--model", "torchvision/resnet19"], "torchvision has no model 'resnet19'"),
        ("image", ["--model", "torchvision/resnet18", "--weights", "BEST"], "it has .'IMAGENET1K_V1'"),
        ("image", ["--model", "torchvision/resnet18", "--weights", "gone.pth"], "are not a file"),
        ("image", ["--column", "picture"], "has no column 'picture'; it has"),
        ("image", ["--batch-size", "0"], "batch_size must be at least 1"),
        ("audio", ["--model", "spectrogram/resnet18"], "no weights of its own"),
        ("audio", ["--model", "torchaudio/NOTHING"], "no speech model 'NOTHING'"),
        ("video", ["--model", "torchvision/r2plus1d_18", "--weights", "random", "--fps", "0"], "fps positive"),
    ],
)
def test_what_cannot_begin_says_why(script, arguments, message, data, tmp_path, capsys):
    import re

    assert featurize(script, data, tmp_path / "cache", *arguments) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "cache").exists()


def test_weights_of_another_model_are_refused(data, models, tmp_path, capsys):
    arguments = ("--model", "torchvision/resnet34", "--weights", str(models / "resnet18.pth"))
    assert featurize("image", data, tmp_path / "cache", *arguments) == 2
    assert "does not fit the model" in capsys.readouterr().err


def test_a_pickle_is_not_loaded(data, tmp_path, capsys):
    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'sprung'}",)

    torch.save({"w": Trap()}, tmp_path / "trap.pth")
    arguments = ("--model", "torchvision/resnet18", "--weights", str(tmp_path / "trap.pth"))
    assert featurize("image", data, tmp_path / "cache", *arguments) != 0
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("id,image\na,x.jpg\nb,y.jpg\na,z.jpg\n", "id 'a' stands in row 0 and again in row 2"),
        ("id,image\n,x.jpg\n", "row 0: an id is a non-empty text"),
        ("id,image\n", "has no rows"),
        ("name,image\na,x.jpg\n", "has no column 'id'"),
    ],
)
def test_bad_manifests_are_refused(rows, message, tmp_path):
    (tmp_path / "m.csv").write_text(rows)
    with pytest.raises(ValueError, match=message):
        read_manifest(tmp_path / "m.csv", Wanted("image"))


def test_manifests_read_alike_and_texts_stay_as_they_are(data, tmp_path):
    one, other = (read_manifest(data / f"manifest.{kind}", Wanted("text")) for kind in ("csv", "parquet"))
    assert one == other
    (tmp_path / "m.csv").write_text('id,text\n001,NA\n2,"null, or not"\n3,\n')
    manifest = read_manifest(tmp_path / "m.csv", Wanted("text"))
    assert manifest.ids == ["001", "2", "3"]
    assert manifest.cells == ["NA", "null, or not", ""]


def test_as_a_module_with_workers_and_its_own_names(data, models, tmp_path):
    """The real command, with reader processes, another modality name and absolute paths."""
    command = [sys.executable, "-m", "skmmal.featurize.text", str(data / "manifest.parquet"), "--out", str(tmp_path / "c")]
    command += ["--model", f"transformers/{models / 'bert'}", "--modality", "caption", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "12 items" in done.stderr
    assert "1 items have no features" in done.stderr
    assert "differ from float32 by at most" in done.stderr
    assert FeatureStore.open(tmp_path / "c").modalities == {"caption": 32}
    status = [sys.executable, "-m", "featurize.status", str(tmp_path / "c")]  # from a clone
    done = subprocess.run(status, capture_output=True, text=True, check=True, timeout=60, cwd=Path(__file__).parents[2])
    assert "12/12" in done.stdout
