"""Templates around texts, lists of class names, and the prior that is made of them."""

from __future__ import annotations

import numpy as np
import pytest

from skmmal.classifier import ZeroShotPrior
from skmmal.features import FeatureStore
from skmmal.featurize._cli import run_script
from skmmal.featurize._manifest import read_lines
from skmmal.featurize.backbones import build_backbone

from .small import encode

PROMPTS = ["the {} jumps", "over a lazy {} in silence"]


@pytest.mark.parametrize("normalize", [False, True])
def test_features_are_the_mean_over_the_templates(models, normalize):
    texts = ["fox", "dog", "seven wizards"]
    settings = {"pooling": "mean", "normalize": normalize}
    name = f"transformers/{models / 'bert'}"
    found, failures = encode(build_backbone("text", name, prompt=PROMPTS, **settings), texts)
    plain = build_backbone("text", name, **settings)
    alone = [encode(plain, [prompt.replace("{}", text) for text in texts])[0] for prompt in PROMPTS]
    assert not failures
    np.testing.assert_allclose(found, np.mean(alone, axis=0), atol=1e-5)


@pytest.mark.parametrize("prompt", ["a photo", "{} and {}", 3])
def test_templates_have_one_place_for_the_text(models, prompt):
    with pytest.raises(ValueError, match="a prompt has {} once, where the text goes"):
        build_backbone("text", f"transformers/{models / 'bert'}", prompt=[prompt])


def test_tokens_of_several_templates_are_refused(models):
    with pytest.raises(ValueError, match="give one --prompt"):
        build_backbone("text", f"transformers/{models / 'bert'}", prompt=PROMPTS, tokens=True)


def test_class_names_become_a_prior(models, tmp_path):
    (tmp_path / "classes.txt").write_text("lazy dog\n\n quick fox \nwizards\n")
    command = [str(tmp_path / "classes.txt"), "--lines", "--out", str(tmp_path / "names"), "--normalize", "--quiet"]
    command += ["--model", f"transformers/{models / 'bert'}", "--workers", "0", "--dtype", "float32", "--device", "cpu"]
    assert run_script("text", [*command, "--prompt", PROMPTS[0], "--prompt", PROMPTS[1]]) == 0
    store = FeatureStore.open(tmp_path / "names")
    assert store.ids.tolist() == ["lazy dog", "quick fox", "wizards"]
    assert store.metadata["text"]["fingerprint"]["prompts"] == PROMPTS
    values = np.asarray(store.load()["text"])
    prior = ZeroShotPrior.from_store(store.path, {"image": "text"}, temperature=0.05)
    assert prior.predict({"image": values}).tolist() == store.ids.tolist()
    expected = ZeroShotPrior({"image": values}, 0.05, classes=store.ids).predict_proba({"image": values})
    np.testing.assert_allclose(prior.predict_proba({"image": values}), expected)


def test_what_is_no_cache_of_class_names(tmp_path):
    blocks = {"text": np.array([[1.0, 0.0], [np.nan, np.nan]]), "image": np.eye(2)}
    store = FeatureStore.write(tmp_path / "c", blocks, ["cat", "dog"])
    with pytest.raises(ValueError, match="has no embedding of the class 'dog'"):
        ZeroShotPrior.from_store(store.path)
    with pytest.raises(ValueError, match="has no modality 'sound'; it has"):
        ZeroShotPrior.from_store(store.path, {"image": "sound"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no rows"),
        (b"cat\ndog\ncat\n", "'cat' stands in row 0 and again in row 2"),
        (b"caf\xe9\n", "is not UTF-8"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path, content, message):
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_lines(tmp_path / "classes.txt")
