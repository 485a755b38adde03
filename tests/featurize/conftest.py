"""Real small files and real small models, made with the libraries' own writers. Nothing is downloaded."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import av
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image

from skmmal.featurize._compat import import_transformers
from skmmal.featurize.backbones._common import seeded

import_transformers()

N = 12
BAD = {"image": [3, 6], "audio": [4, 7], "video": [8], "text": [5]}
"""Rows of the manifest whose item is broken, missing or empty."""

WORDS = [
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
    "in",
    "silence",
]


def write_video(path, n_frames, *, rate=5, sound=None, size=64):
    """Write an mp4 whose k-th frame is grey level 8k (modulo 200)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        track = container.add_stream("aac", rate=16000, layout="mono") if sound is not None else None
        for k in range(n_frames):
            picture = np.full((size, size, 3), 8 * k % 200, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
        if track is not None:
            frame = av.AudioFrame.from_ndarray(sound.astype(np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(track.encode(frame))
            container.mux(track.encode())


def tone(seconds, rate, frequency=440.0):
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder with files of every kind, and its manifest.csv."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows = []
    for k in range(N):
        suffix = ("jpg", "png", "webp", "bmp")[k % 4]
        mode = {1: "RGBA", 5: "L", 9: "P"}.get(k, "RGB")
        noise = Image.fromarray(rng.integers(0, 256, (40 + 3 * k, 60, 3), dtype=np.uint8)).convert(mode)
        noise.save(folder / f"{k}.{suffix}")
        sound_suffix, rate = (("wav", 8000), ("flac", 44100), ("mp3", 22050), ("ogg", 48000))[k % 4]
        samples = np.stack([tone(0.6 + 0.3 * k, rate, 200 + 50 * k), tone(0.6 + 0.3 * k, rate, 300)], axis=1)
        soundfile.write(folder / f"{k}.{sound_suffix}", samples, rate)
        write_video(folder / f"{k}.mp4", 5 + 5 * k)
        text = " ".join(rng.choice(WORDS, size=1 + 2 * k))
        rows.append({"image": f"{k}.{suffix}", "audio": f"{k}.{sound_suffix}", "video": f"{k}.mp4", "text": text})
    # the bad ones
    corrupt = folder / "3.bmp"
    corrupt.write_bytes(corrupt.read_bytes()[:500])
    rows[6]["image"] = "not there.jpg"
    (folder / "4.wav").write_bytes(b"")
    rows[7]["audio"] = "7.mp4"  # a video without sound
    (folder / "8.mp4").write_bytes(b"this is no video at all")
    rows[5]["text"] = "  "
    # the sound of a video, and a video as a folder of frames
    write_video(folder / "loud.mp4", 10, sound=tone(2, 16000))
    rows[10]["audio"] = "loud.mp4"
    (folder / "frames").mkdir()
    for k in range(12):
        Image.new("RGB", (64, 64), (20 * k, 0, 0)).save(folder / "frames" / f"frame{k}.png")
    rows[2]["video"] = "frames"
    table = pd.DataFrame({"id": [f"sample {k}" for k in range(N)], **pd.DataFrame(rows)})
    table.to_csv(folder / "manifest.csv", index=False)
    table.to_parquet(folder / "manifest.parquet")
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder of small models, saved by the libraries themselves."""
    import transformers as tf
    from torchvision.models import resnet18

    folder = tmp_path_factory.mktemp("models")

    def save(name, build, *others):
        module = seeded(build, 1)
        for part in (module, *others):
            part.save_pretrained(folder / name)

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = tf.BertTokenizer(str(folder / "vocab.txt"), model_max_length=32)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    bert = tf.BertConfig(vocab_size=len(vocabulary), max_position_embeddings=32, **small)
    save("bert", lambda: tf.BertModel(bert), tokenizer)
    images = tf.ViTImageProcessor(size={"height": 32, "width": 32})
    save("vit", lambda: tf.ViTModel(tf.ViTConfig(image_size=32, patch_size=16, **small)), images)
    save("dinov2", lambda: tf.Dinov2Model(tf.Dinov2Config(image_size=32, patch_size=16, **small)), images)
    side = {**small, "projection_dim": 24}
    vision = {**side, "image_size": 32, "patch_size": 16}
    clip_text = {**side, "vocab_size": len(vocabulary), "max_position_embeddings": 32, "eos_token_id": 3}
    clip = tf.CLIPConfig(text_config=clip_text, vision_config=vision, projection_dim=24)
    save("clip", lambda: tf.CLIPModel(clip), tokenizer, images)
    siglip = tf.SiglipConfig(
        text_config={**small, "vocab_size": len(vocabulary), "max_position_embeddings": 32},
        vision_config={**small, "image_size": 32, "patch_size": 16},
    )
    save("siglip", lambda: tf.SiglipModel(siglip), tokenizer, images)
    waves = {"conv_dim": (16,) * 3, "conv_stride": (5, 4, 4), "conv_kernel": (10, 8, 4)}
    waves |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, **small}
    plain, masked = (tf.Wav2Vec2FeatureExtractor(return_attention_mask=mask) for mask in (False, True))
    save("wav2vec2", lambda: tf.Wav2Vec2Model(tf.Wav2Vec2Config(**waves)), plain)
    layer = tf.HubertConfig(feat_extract_norm="layer", do_stable_layer_norm=True, **waves)
    save("hubert", lambda: tf.HubertModel(layer), masked)
    ast = tf.ASTConfig(max_length=128, num_mel_bins=32, patch_size=16, **small)
    save("ast", lambda: tf.ASTModel(ast), tf.ASTFeatureExtractor(max_length=128, num_mel_bins=32))
    audio = {"hidden_size": 16, "patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [2, 2]}
    audio |= {"num_mel_bins": 32, "spec_size": 64, "window_size": 4, "projection_dim": 24, "num_hidden_layers": 2}
    clap = tf.ClapConfig(text_config={**small, "vocab_size": len(vocabulary)}, audio_config=audio, projection_dim=24)
    clap_extractor = tf.ClapFeatureExtractor(
        feature_size=32, max_length_s=2, nb_max_samples=96000, hop_length=800, truncation="rand_trunc"
    )
    save("clap", lambda: tf.ClapModel(clap), clap_extractor)
    torch.save(seeded(lambda: resnet18(weights=None), 5).state_dict(), folder / "resnet18.pth")
    return folder
