"""timm's and open_clip's models give what their own documentation's code gives."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from skmmal.featurize._compat import import_torchvision
from skmmal.featurize.backbones import build_backbone

from .small import encode

import_torchvision()
import open_clip  # noqa: E402
import timm  # noqa: E402
from timm.data import create_transform, resolve_model_data_config  # noqa: E402

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
MEANS = {"mean": [0.48, 0.45, 0.4], "std": [0.27, 0.26, 0.28]}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for k, size in enumerate([(40, 60), (64, 64), (90, 50)]):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A small model as open_clip saves one: its configuration and weights."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": MEANS}))
    torch.manual_seed(0)
    made = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    torch.save(made.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet", "test_convnext"])
@pytest.mark.parametrize("pooling", ["pooled", "mean", "cls", "tokens"])
def test_timm(name, pooling, pictures, tmp_path):
    torch.manual_seed(1)
    model = timm.create_model(name, pretrained=False, num_classes=0).eval()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    arguments = ("image", f"timm/{name}", str(tmp_path / "w.pt"), pictures)
    if pooling == "cls" and name != "test_vit":
        with pytest.raises(ValueError, match="has no CLS token; take --pooling pooled or mean"):
            build_backbone(*arguments, pooling=pooling)
        return
    settings = {"tokens": True} if pooling == "tokens" else {"pooling": pooling}
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    with torch.inference_mode():
        batch = torch.stack([transform(Image.open(pictures / f"{k}.png").convert("RGB")) for k in range(3)])
        states = model.forward_features(batch)
        if states.ndim == 4:
            states = states.flatten(2).transpose(1, 2)
        front = getattr(model, "num_prefix_tokens", 0)
        expected = {
            "pooled": lambda: model(batch),
            "mean": lambda: states[:, front:].mean(1),
            "cls": lambda: states[:, 0],
            "tokens": lambda: states,
        }[pooling]()
    found, failures = encode(build_backbone(*arguments, **settings), [f"{k}.png" for k in range(3)])
    assert not failures
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_timm_models_that_are_not_there(pictures):
    with pytest.raises(ValueError, match="timm has no model 'resnet1000'"):
        build_backbone("image", "timm/resnet1000", root=pictures)
    with pytest.raises(ValueError, match="DEFAULT, a file or random"):
        build_backbone("image", "timm/test_vit", "a_tag", pictures)
    with pytest.raises(ValueError, match=r"the weights none.pt are not a file"):
        build_backbone("image", "timm/test_vit", "none.pt", pictures)


def test_timm_random_weights_fit_float16(pictures):
    features, _ = encode(build_backbone("image", "timm/test_efficientnet", "random", pictures), ["0.png"])
    again, _ = encode(build_backbone("image", "timm/test_efficientnet", "random", pictures), ["0.png"])
    assert np.abs(features).max() < 6e4
    np.testing.assert_array_equal(features, again)


def test_open_clip_both_towers(clip_folder, pictures):
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{clip_folder}")
    tokenizer, texts = open_clip.get_tokenizer(f"local-dir:{clip_folder}"), ["a diagram", "a dog and a cat in the rain"]
    with torch.inference_mode():
        batch = torch.stack([transform(Image.open(pictures / f"{k}.png")) for k in range(3)])
        images, words = model.eval().encode_image(batch), model.encode_text(tokenizer(texts))
    name = f"open_clip/{clip_folder}"
    found, _ = encode(build_backbone("image", name, root=pictures), [f"{k}.png" for k in range(3)])
    np.testing.assert_allclose(found, images.numpy(), atol=1e-5)
    found, _ = encode(build_backbone("text", name), texts)
    np.testing.assert_allclose(found, words.numpy(), atol=1e-5)
    found, _ = encode(build_backbone("text", name, normalize=True), texts)
    np.testing.assert_allclose(found, torch.nn.functional.normalize(words, dim=-1).numpy(), atol=1e-5)


def test_open_clip_counts_texts_that_are_cut(clip_folder):
    reader, notes = build_backbone("text", f"open_clip/{clip_folder}").reader, {}
    reader.decode("short", notes)
    assert notes == {}
    reader.decode("one two three four five six seven eight nine ten eleven twelve", notes)
    assert notes == {"truncated": 1}


@pytest.mark.parametrize(
    ("name", "weights", "more", "message"),
    [
        ("no-such-model", "random", {}, "open_clip has no model 'no-such-model', and it is no folder"),
        ("ViT-B-32", "DEFAULT", {}, "several sets of weights: give --weights one of .*laion"),
        (None, "DEFAULT", {"tokens": True}, "one vector for an item"),
        (None, "DEFAULT", {"pooling": "mean"}, "pooling must be 'pooled' for an open_clip model"),
    ],
)
def test_open_clip_refusals(name, weights, more, message, clip_folder):
    with pytest.raises(ValueError, match=message):
        build_backbone("image", f"open_clip/{name or clip_folder}", weights, **more)
