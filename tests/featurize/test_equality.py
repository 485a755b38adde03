"""Features are what the code of a model's documentation gives: some of the models that the page of results compares."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
pytest.importorskip("sentence_transformers")
transformers = pytest.importorskip("transformers", minversion="5.0")  # the documentation's code is of these versions

CHOSEN = [
    ("text", "Qwen3 (Qwen3-Embedding)", "last"),
    ("text", "Mistral (E5-Mistral)", "last"),
    ("image", "DINOv3 ConvNeXt", "pooled"),
    ("image", "SigLIP, SigLIP 2 fixed", "attention"),
    ("image", "timm through transformers", "pooled"),
    ("video", "VideoMAE", "mean"),
    ("video", "V-JEPA 2", "mean"),
    ("video", "V-JEPA 2", "attention"),
    ("video", "ViViT", "cls"),
    ("video", "CLIP on frames", "pooled"),
]


@pytest.fixture(scope="module")
def measure():
    sys.path.insert(0, str(DOCS))
    try:
        yield importlib.import_module("measure_encoders")
    finally:
        sys.path.remove(str(DOCS))


@pytest.mark.parametrize(("kind", "name", "pooling"), CHOSEN)
def test_a_job_gives_what_the_models_own_code_gives(kind, name, pooling, measure, tmp_path):
    (case,) = [case for case in measure.cases() if (case.kind, case.name, case.pooling) == (kind, name, pooling)]
    assert measure.compare(case, tmp_path / "case") <= 1e-5


def test_the_page_has_a_line_for_every_model(measure):
    page = (DOCS / "results" / "encoders.md").read_text()
    for case in measure.cases():
        assert f"| {case.kind} | {case.name} | `{case.pooling or 'as the folder says'}` |" in page


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("VideoMAE", {"pooling": "cls"}, "no CLS token"),
        ("VideoMAE", {"pooling": "attention"}, "no attention pooling of its own; take --pooling mean"),
        ("VideoMAE", {"frames": 8, "pooling": "mean"}, "cannot be used for videos of 8 frames"),
        ("CLIP on frames", {"pooling": "attention"}, "no attention pooling of its own"),
        ("torchvision R(2+1)D-18", {"pooling": "attention"}, "a torchvision model has one answer, pooled"),
        ("timm on frames", {"pooling": "attention"}, "got 'attention'; a timm model that ends in .* as pooled"),
    ],
)
def test_what_a_video_model_cannot_do_is_refused(name, settings, message, measure, tmp_path):
    from skmmal.featurize.backbones import build_backbone

    case = next(case for case in measure.cases() if case.name == name)
    case.save(tmp_path)
    model, weights = case.model.format(folder=tmp_path), case.weights.format(folder=tmp_path)
    with pytest.raises(ValueError, match=message):
        build_backbone("video", model, weights, tmp_path, **settings)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("text", "BERT", "got 'attention'; no text model ends in attention pooling; mean is over the text's tokens"),
        ("audio", "AST", "got 'attention'; no model of sound here ends in attention pooling; take mean"),
        ("image", "open_clip", "of its towers .with the attention pooling of those that have one., got 'attention'"),
        ("image", "timm through transformers", "no attention pooling of its own; take --pooling mean or pooled"),
    ],
)
def test_attention_pooling_that_is_not_there_is_refused(kind, name, message, measure, tmp_path):
    from skmmal.featurize.backbones import build_backbone

    case = next(case for case in measure.cases() if (case.kind, case.name) == (kind, name))
    case.save(tmp_path)
    with pytest.raises(ValueError, match=message):
        build_backbone(kind, case.model.format(folder=tmp_path), "DEFAULT", tmp_path, pooling="attention")


def test_a_video_model_takes_as_many_frames_as_it_was_made_for(measure, tmp_path):
    from skmmal.featurize.backbones import build_backbone

    case = next(case for case in measure.cases() if case.name == "VideoMAE")
    case.save(tmp_path)
    backbone = build_backbone("video", f"transformers/{tmp_path}", "DEFAULT", tmp_path, pooling="mean")
    assert (backbone.width, backbone.reader.count) == (32, 4)
    assert backbone.description["preprocessing"]["frames"] == 4
    grid = build_backbone("video", f"transformers/{tmp_path}", "DEFAULT", tmp_path, tokens=True)
    assert grid.width == (8, 32)
