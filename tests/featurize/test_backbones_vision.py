"""Image features are what the model's documentation computes, each image alone, whatever its size."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers as tf
from PIL import Image

from skmmal.features import FeatureStore
from skmmal.featurize import image as script
from skmmal.featurize.backbones import build_backbone

from .small import LAYERS, PATCHES, TEXT, encode, save, tensor_of

SMALL = {"height": 32, "width": 32}
SWIN = {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
STAGES = {"hidden_sizes": [16, 32], "depths": [1, 1]}
YOLOS = {**LAYERS, "image_size": [32, 32], "patch_size": 16, "num_detection_tokens": 5}

# configuration, tokens in front of the patches, tokens behind them, what the model's own pooled output is
MODELS = {
    "vit": (lambda: tf.ViTConfig(**PATCHES), 1, 0, "pooler"),
    "deit": (lambda: tf.DeiTConfig(**PATCHES), 2, 0, "pooler"),
    "beit": (lambda: tf.BeitConfig(**PATCHES), 1, 0, "pooler"),
    "dinov2": (lambda: tf.Dinov2Config(**PATCHES), 1, 0, "pooler"),
    "registers": (lambda: tf.Dinov2WithRegistersConfig(num_register_tokens=3, **PATCHES), 4, 0, "pooler"),
    "msn": (lambda: tf.ViTMSNConfig(**PATCHES), 1, 0, "cls"),
    "ijepa": (lambda: tf.IJepaConfig(**PATCHES), 0, 0, None),
    "yolos": (lambda: tf.YolosConfig(**YOLOS), 1, 5, "pooler"),
    "pvt": (
        lambda: tf.PvtConfig(
            image_size=32,
            hidden_sizes=[8, 16, 16, 32],
            depths=[1] * 4,
            num_attention_heads=[1, 2, 2, 2],
            sequence_reduction_ratios=[2, 1, 1, 1],
        ),
        1,
        0,
        "cls",
    ),
    "swin": (lambda: tf.SwinConfig(**SWIN), 0, 0, "pooler"),
    "convnext": (lambda: tf.ConvNextConfig(hidden_sizes=[8, 16, 16, 32], depths=[1] * 4), 0, 0, "pooler"),
    "resnet": (lambda: tf.ResNetConfig(embedding_size=16, layer_type="basic", **STAGES), 0, 0, "pooler"),
    "poolformer": (lambda: tf.PoolFormerConfig(hidden_sizes=[8, 16, 16, 32], depths=[1] * 4), 0, 0, None),
    "clip": (
        lambda: tf.CLIPConfig(text_config=TEXT, vision_config=PATCHES, projection_dim=24),
        1,
        0,
        "projected",
    ),
    "siglip": (lambda: tf.SiglipConfig(text_config=TEXT, vision_config=PATCHES), 0, 0, "projected"),
}
if hasattr(tf, "DINOv3ViTConfig"):  # newer than the oldest version that runs
    MODELS["dinov3"] = (lambda: tf.DINOv3ViTConfig(num_register_tokens=4, **PATCHES), 5, 0, "pooler")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Images of many sizes, the last smaller than a patch."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number, size in enumerate(((40, 60), (60, 40), (33, 33), (200, 50), (64, 64), (40, 60), (5, 5))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("vision models")
    for name, (config, *_) in MODELS.items():
        save(root / name, config(), tf.ViTImageProcessor(size=SMALL), spread=2.0)
    return root


def names_of(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooled"])
@pytest.mark.parametrize("name", MODELS)
def test_each_image_is_what_it_is_alone(name, pooling, folders, pictures):
    _, front, behind, own = MODELS[name]
    model = f"transformers/{folders / name}"
    if (pooling == "cls" and front == 0) or (pooling == "pooled" and own is None):
        with pytest.raises(ValueError, match="no CLS token.*--pooling mean"):
            build_backbone("image", model, "DEFAULT", pictures, pooling=pooling)
        return
    backbone = build_backbone("image", model, "DEFAULT", pictures, pooling=pooling)
    found, failures = encode(backbone, names_of(pictures))
    assert not failures
    module, processor = tf.AutoModel.from_pretrained(folders / name).eval(), tf.AutoImageProcessor.from_pretrained(folders / name)
    expected = []
    for file in names_of(pictures):
        inputs = processor(images=Image.open(pictures / file), return_tensors="pt")
        with torch.inference_mode():
            if pooling == "pooled" and own == "projected":
                expected.append(tensor_of(module.get_image_features(**inputs))[0])
                continue
            output = getattr(module, "vision_model", module)(**inputs)
        states = output.last_hidden_state[0]
        if states.ndim == 3:
            states = states.flatten(1).T
        if pooling == "mean":
            expected.append(states[front : len(states) - behind].mean(0))
        else:
            expected.append(states[0] if pooling == "cls" or own == "cls" else output.pooler_output[0].flatten())
    np.testing.assert_allclose(found, torch.stack(expected).numpy(), atol=1e-5)
    np.testing.assert_allclose(encode(backbone, names_of(pictures)[::-1], 3)[0][::-1], found, atol=1e-5)


@pytest.mark.parametrize("name", ["dinov2", "convnext", "vit"])
def test_a_processor_without_a_crop_stops_no_job(name, folders, pictures, tmp_path):
    """Images keep their shapes; what a model does not take is that item's failure, with every other one present."""
    processor = tf.ViTImageProcessor(do_resize=False)
    save(tmp_path / "model", MODELS[name][0](), processor)
    files = names_of(pictures)
    (pictures.parent / "m.csv").write_text("\n".join(["id,image", *(f"{file},{pictures / file}" for file in files)]))
    out = tmp_path / "cache"
    arguments = ["--model", f"transformers/{tmp_path / 'model'}", "--dtype", "float32", "--pooling", "mean"]
    arguments += ["--quiet", "--workers", "0", "--batch-size", "3"]
    # a model that takes one size only cannot begin with such a processor
    status = script.main([str(pictures.parent / "m.csv"), "--out", str(out), *arguments])
    if name == "vit":
        assert status == 2
        assert not out.exists()
        return
    assert status == 0
    store = FeatureStore.open(out)
    present = store.present("image")
    errors = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert sorted(error["id"] for error in errors) == [file for file, there in zip(files, present, strict=True) if not there]
    assert present[:6].all()
    module = tf.AutoModel.from_pretrained(tmp_path / "model").eval()
    block = store.load()["image"]
    for row in np.flatnonzero(present):
        inputs = processor(images=Image.open(pictures / files[row]), return_tensors="pt")
        with torch.inference_mode():
            states = module(**inputs).last_hidden_state[0]
        states = states[1:] if states.ndim == 2 else states.flatten(1).T
        np.testing.assert_allclose(block[row], states.mean(0).numpy(), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (50, 3)])
def test_sides_are_not_taken_for_channels(size, folders, tmp_path):
    """An image of one color is the same image in every size."""
    for name, shape in (("odd", size), ("plain", (40, 40))):
        Image.new("RGB", shape, (200, 100, 0)).save(tmp_path / f"{name}.png")
    found, failures = encode(build_backbone("image", f"transformers/{folders / 'vit'}", "DEFAULT", tmp_path), ["odd.png", "plain.png"])
    assert not failures
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_a_grid_of_another_size_is_one_items_failure(pictures, tmp_path):
    save(tmp_path, MODELS["dinov2"][0](), tf.ViTImageProcessor(do_resize=False))
    backbone = build_backbone("image", f"transformers/{tmp_path}", "DEFAULT", pictures, tokens=True)
    assert backbone.width == (401, 32)  # of the example: 320 by 320
    failures = encode(backbone, names_of(pictures))[1]
    assert len(failures) == 7
    assert "for an item of this size" in failures[0]


def test_padding_of_images_of_many_sizes_is_left_out(pictures, tmp_path):
    """SigLIP 2 in its native resolution fills up with patches that a mask tells apart."""
    if not hasattr(tf, "Siglip2Config"):
        pytest.xfail("newer than this transformers")
    vision = {**LAYERS, "num_patches": 16, "patch_size": 16}
    processor = tf.Siglip2ImageProcessor(patch_size=16, max_num_patches=16)
    module = save(tmp_path, tf.Siglip2Config(text_config=TEXT, vision_config=vision), processor, spread=2.0)
    for pooling in ("mean", "pooled"):
        backbone = build_backbone("image", f"transformers/{tmp_path}", "DEFAULT", pictures, pooling=pooling)
        found, failures = encode(backbone, names_of(pictures)[:6])
        assert not failures
        for row, file in enumerate(names_of(pictures)[:6]):
            inputs = processor(images=Image.open(pictures / file).convert("RGB"), return_tensors="pt")
            mask = inputs["pixel_attention_mask"][0].bool()
            with torch.inference_mode():
                if pooling == "pooled":
                    expected = tensor_of(module.get_image_features(**inputs))[0]
                else:
                    expected = module.vision_model(
                        inputs["pixel_values"], inputs["pixel_attention_mask"], inputs["spatial_shapes"]
                    ).last_hidden_state[0][mask].mean(0)
            np.testing.assert_allclose(found[row], expected.numpy(), atol=1e-5)


def test_a_masked_autoencoder_sees_the_whole_image(pictures, tmp_path):
    """It hides most patches and shuffles the rest, at random; with nothing hidden its mean is the same each time."""
    save(tmp_path, tf.ViTMAEConfig(**PATCHES), tf.ViTImageProcessor(size=SMALL), spread=2.0)
    backbone = build_backbone("image", f"transformers/{tmp_path}", "DEFAULT", pictures, pooling="mean")
    found = [encode(backbone, names_of(pictures))[0] for _ in "12"]
    np.testing.assert_allclose(*found, atol=1e-5)
    with pytest.raises(ValueError, match="gives other features each time"):
        build_backbone("image", f"transformers/{tmp_path}", "DEFAULT", pictures, tokens=True)


def test_refused_before_the_job_begins(pictures, tmp_path):
    save(tmp_path / "bert", tf.BertConfig(**TEXT), tf.ViTImageProcessor(size=SMALL))
    with pytest.raises(ValueError, match="BertModel cannot be used for images here"):
        build_backbone("image", f"transformers/{tmp_path / 'bert'}", "DEFAULT", pictures)
    save(tmp_path / "vilt", tf.ViltConfig(**PATCHES, vocab_size=30), tf.ViltImageProcessor(size={"shortest_edge": 32}))
    with pytest.raises(ValueError, match="cannot be used for images here"):
        build_backbone("image", f"transformers/{tmp_path / 'vilt'}", "DEFAULT", pictures)
    save(tmp_path / "bare", tf.ViTConfig(**PATCHES))
    with pytest.raises(ValueError, match="has no image processor"):
        build_backbone("image", f"transformers/{tmp_path / 'bare'}", "DEFAULT", pictures)
    # a checkpoint of a classifier has no pooling layer, which would be random
    tf.ViTForImageClassification(tf.ViTConfig(**PATCHES)).save_pretrained(tmp_path / "head")
    tf.ViTImageProcessor(size=SMALL).save_pretrained(tmp_path / "head")
    with pytest.raises(ValueError, match=r"hold no pooling layer .*take cls"):
        build_backbone("image", f"transformers/{tmp_path / 'head'}", "DEFAULT", pictures)
    build_backbone("image", f"transformers/{tmp_path / 'head'}", "DEFAULT", pictures, pooling="cls")


def test_frames_of_another_size_share_an_item(tmp_path):
    save(tmp_path / "model", MODELS["dinov2"][0](), tf.ViTImageProcessor(do_resize=False), spread=2.0)
    (tmp_path / "clip").mkdir()
    rng = np.random.default_rng(0)
    for number, size in enumerate(((32, 32), (48, 32), (32, 64))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / "clip" / f"{number}.png")
    options = {"frames": 3, "pooling": "mean"}
    found, failures = encode(build_backbone("video", f"transformers/{tmp_path / 'model'}", "DEFAULT", tmp_path, **options), ["clip"])
    assert not failures
    alone = build_backbone("image", f"transformers/{tmp_path / 'model'}", "DEFAULT", tmp_path / "clip", pooling="mean")
    np.testing.assert_allclose(found[0], encode(alone, names_of(tmp_path / "clip"))[0].mean(0), atol=1e-5)
