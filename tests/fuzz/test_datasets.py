"""The generators and loaders of data."""

import numpy as np
from fuzz.harness import REFUSED, answer, fuzz
from fuzz.inputs import ODD, seeds
from hypothesis import strategies as st

from skmmal.datasets import (
    MIND_THE_GAP_PITFALLS,
    load_digits_views,
    load_emoji,
    make_mind_the_gap,
    make_multimodal_classification,
    make_pid_classification,
)
from skmmal.modalities import presence_mask

counts = st.sampled_from([4, 10, 30, 30, 0, 1, -3, 2.0, "a", None, True, np.int64(9)])
rates = st.one_of(st.floats(-0.5, 1.5), st.sampled_from([None, 0, 1, "a", np.nan, {"a": 0.3}, {"a": 1.0}, {"z": 0.5}, {"a": 1.0, "b": 1.0}, {"a": "x"}, True, {"a": 0.5, "b": 0.5}]))


@fuzz(300)
def test_multimodal_classification(data):
    draw = data.draw
    good = {
        "n_samples": draw(st.integers(4, 40)),
        "modalities": draw(st.sampled_from([None, {"a": 3, "b": 2}, {"a": 4, "b": (2, 3), "c": 4}, {"a": 2, "b": 2}])),
        "n_classes": draw(st.sampled_from([2, 2, 3])),
        "interaction": draw(st.sampled_from(["redundant", "unique", "synergy", "mixed"])),
        "missing": draw(st.sampled_from([None, 0.2, {"a": 0.5}])),
        "missing_pattern": draw(st.sampled_from(["random", "class"])),
        "random_state": draw(st.integers(0, 99)),
    }
    layouts = [None, {"a": 3, "b": 2}, {"a": 3, "b": 2}, {"a": 4, "b": (2, 3), "c": 1}, {"a": 2}, {}, {"a": 0}, {"a": "3"}, {3: 3}, [3, 3], {"a": 2.5}, {"a": 1, "b": 1}]
    odd = {
        "n_samples": draw(counts),
        "modalities": draw(st.sampled_from(layouts)),
        "n_classes": draw(st.sampled_from([2, 2, 3, 4, 1, 0, 50, 2.0, "a", None])),
        "interaction": draw(st.sampled_from(["redundant", "unique", "synergy", "mixed", "other", None, 3])),
        "difficulty": draw(st.one_of(st.none(), rates)),
        "missing": draw(st.one_of(st.none(), rates)),
        "missing_pattern": draw(st.sampled_from(["random", "random", "class", "a-only", "b", "z-only", "", None, 3])),
        "class_sep": draw(st.sampled_from([6.0, 6.0, 0, -1, np.nan, np.inf, "a", None, True])),
        "random_state": draw(seeds())[0],
    }
    wrong = draw(st.lists(st.sampled_from(sorted(odd)), max_size=2))
    arguments = {**good, **{name: odd[name] for name in wrong}}
    found = answer("make_multimodal_classification", lambda: make_multimodal_classification(**arguments, return_X_y=True))
    if found is not REFUSED:
        X, y = found
        assert len(X) == len(y) == arguments["n_samples"]
        assert set(y.tolist()) <= set(range(arguments["n_classes"]))
        presence_mask(X)  # the contract holds


@fuzz(100)
def test_other_generators(data):
    seed, _ = data.draw(seeds())
    n = data.draw(counts)
    pitfall = data.draw(st.sampled_from([*MIND_THE_GAP_PITFALLS, "other", None, 3, []]))
    found = answer("make_mind_the_gap", lambda: make_mind_the_gap(pitfall, n, n_classes=data.draw(st.sampled_from([4, 4, 2, 1, "a"])), random_state=seed, return_X_y=True))
    if found is not REFUSED:
        assert len(found[0]) == len(found[1]) == n
        presence_mask(found[0])
    setting = data.draw(st.sampled_from(["redundancy", "synergy", "mix1", "mix6", "other", None, []]))
    options = {name: data.draw(st.sampled_from([2, 5, 1, 0, -1, "a", None, 2.0])) for name in ("n_classes", "latent_dim", "transform_dim")}
    found = answer("make_pid_classification", lambda: make_pid_classification(setting, n, **options, random_state=seed, return_X_y=True))
    if found is not REFUSED:
        assert len(found[0]) == len(found[1]) == n
        assert np.isfinite(np.asarray(found[0])).all()


@fuzz(40)
def test_loaders(data):
    views = data.draw(st.sampled_from([None, "fou", ["fou", "mor"], ["fou", "fou"], "other", [], 3, [3], ["fou", None], {"fou": 1}]))
    found = answer("load_digits_views", lambda: load_digits_views(views, return_X_y=True))
    if found is not REFUSED:
        assert len(found[0]) == len(found[1]) == 2000
    target = data.draw(st.sampled_from(["category", "subcategory", *ODD]))
    least = data.draw(st.sampled_from([1, 5, *ODD]))
    found = answer("load_emoji", lambda: load_emoji(target=target, min_samples_per_class=least, return_X_y=True))
    if found is not REFUSED:
        assert len(found[0]) == len(found[1])
