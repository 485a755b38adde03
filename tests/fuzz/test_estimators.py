"""Scaler, classifier, encoder: fit, predict, explain, keep."""

import tempfile

import numpy as np
import pandas as pd
import pytest
import sklearn
from fuzz.harness import REFUSED, answer, fuzz
from fuzz.inputs import CONTAINERS, ODD, draw_labels, features, seeds
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmmal import CrossModalEncoder, LateFusionClassifier, ModalityScaler, PerModality
from skmmal.balancing import available_balancings
from skmmal.modalities import as_multimodal, presence_mask


def presence(given):
    return np.stack([~np.isnan(block.astype(np.float64)).all(axis=1) for block in given.blocks.values()], axis=1)



@fuzz(200)
def test_scaler(data):
    given = data.draw(features())
    method = data.draw(st.sampled_from(["standard", "standard", "l2", "none", *ODD]))
    norm = data.draw(st.sampled_from([8.0, 8.0, 1, *ODD]))
    good = method in ("standard", "l2", "none") and type(norm) is not bool and norm in (8.0, 1, 2, 0.5)
    scaler = ModalityScaler(given.modalities, method=method, norm=norm)
    fitted = answer("ModalityScaler.fit", lambda: scaler.fit(given.X), valid=given.valid if good else None)
    if fitted is REFUSED:
        return
    found = answer("ModalityScaler.transform", lambda: fitted.transform(given.X), valid=given.valid)
    if found is not REFUSED:
        matrix = isinstance(found, np.ndarray)
        blocks = {name: found[:, at] for name, at in scaler.modalities_.items()} if matrix else found.blocks
        present = presence(given)
        for column, (name, block) in enumerate(blocks.items()):
            assert block.shape == given.blocks[name].shape
            assert np.isfinite(block[present[:, column]]).all()
            assert np.isnan(block[~present[:, column]]).all()
    other = data.draw(features())
    answer("ModalityScaler.transform", lambda: fitted.transform(other.X))


SETTINGS = [
    *({}, {}, {"fusion": "sum"}, {"solver": "lbfgs"}, {"class_weight": "balanced"}, {"C": 0.01}),
    *({"encoder_dim": 3, "dropout": 0.2}, {"fusion": "nl-gate"}, {"fusion": "gated"}, {"fusion": "attention", "encoder_dim": 2}),
    *({"solver": "lbfgs", "fusion": "sum"}, {"solver": "newton-cg", "class_weight": "balanced", "fusion": "sum"}),
    *({"missing": "token"}, {"missing": "token", "modality_dropout": 0.3}, {"ablation_point": "input"}),
    *({"solver": "sgd", "encoder_dim": (4, 2)}, {"solver": "adamw", "batch_size": 1}),
    *({"encoder_dim": 2, "balancing": name} for name in available_balancings()),
]


def draw_fit(data, **options):
    """A classifier with settings, features, labels; and whether it must fit."""
    given = data.draw(features(**options))
    labels = draw_labels(data.draw, given.n, bad=options.get("defects") != [])
    setting = data.draw(st.sampled_from(SETTINGS))
    classifier = LateFusionClassifier(given.modalities, max_iter=3, random_state=0, **setting)
    several = len(given.blocks) > 1 or "balancing" not in setting  # balancing needs two modalities
    if given.valid is False or not labels.good:
        valid = False
    else:
        valid = given.valid if several else None
    return classifier, given, labels, valid


def check_predictions(classifier, X, given):
    n, k = given.n, len(classifier.classes_)
    present = presence(given)
    # what it was fitted on it must predict; values at the ends of the range may be refused
    valid = given.valid
    probabilities = answer("LateFusionClassifier.predict_proba", lambda: classifier.predict_proba(X), valid=valid)
    if probabilities is REFUSED:
        return
    assert probabilities.shape == (n, k)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-9)
    assert (probabilities >= 0).all()
    predicted = answer("LateFusionClassifier.predict", lambda: classifier.predict(X), valid=valid)
    assert predicted.shape == (n,)
    assert set(predicted.tolist()) <= set(classifier.classes_.tolist())
    decision = answer("LateFusionClassifier.decision_function", lambda: classifier.decision_function(X), valid=valid)
    assert decision.shape == ((n,) if k == 2 else (n, k))
    embedded = answer("LateFusionClassifier.embed", lambda: classifier.embed(X), valid=valid)
    for column, block in enumerate(embedded.values()):
        assert np.isfinite(block).all()
        assert (block[~present[:, column]] == 0).all()
    for name, block in answer(
        "LateFusionClassifier.predict_proba_by_modality", lambda: classifier.predict_proba_by_modality(X), valid=valid
    ).items():
        assert name in given.blocks
        np.testing.assert_allclose(block.sum(axis=1), 1, atol=1e-9)
    phi = answer("LateFusionClassifier.shapley_values", lambda: classifier.shapley_values(X), valid=valid)
    assert phi.shape == present.shape
    assert (phi[~present] == 0).all()
    nothing = answer(
        "LateFusionClassifier.predict_proba_with", lambda: classifier.predict_proba_with(X, []), valid=valid
    )
    rows, codes = np.arange(n), probabilities.argmax(axis=1)
    np.testing.assert_allclose(phi.sum(axis=1), (probabilities - nothing)[rows, codes], atol=1e-9)
    shares = answer(
        "LateFusionClassifier.modality_contributions", lambda: classifier.modality_contributions(X), valid=valid
    )
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-9)
    assert (shares[~present] == 0).all()


@fuzz(200)
def test_classifier(data):
    classifier, given, labels, valid = draw_fit(data)
    options = {}
    if data.draw(st.booleans()):
        options["sample_weight"] = data.draw(
            st.sampled_from([None, np.ones(given.n), np.arange(given.n), [0] * given.n, [-1] * given.n, [np.nan] * given.n, [1], "a", 2.0, ["a"] * given.n])
        )
        valid = False if valid is False else None
    if data.draw(st.booleans()):
        options["classes"] = data.draw(st.sampled_from([None, range(5), ["cat", "dog", "", "ä b"], [0, 0], [], "a", 3, [[0, 1]], [None], [np.nan, 0]]))
        valid = False if valid is False else None
    fitted = answer("LateFusionClassifier.fit", lambda: classifier.fit(given.X, labels.y, **options), valid=valid)
    if fitted is REFUSED:
        return
    assert list(classifier.modalities_) == list(given.blocks)
    check_predictions(classifier, given.X, given)
    score = answer("LateFusionClassifier.score_by_modality", lambda: classifier.score_by_modality(given.X, labels.y))
    if score is not REFUSED:
        assert all(np.isnan(value) or 0 <= value <= 1 for value in score.values())


@fuzz(80)
def test_classifier_on_other_data(data):
    classifier, given, labels, _ = draw_fit(data, defects=[], wild=False)
    if answer("LateFusionClassifier.fit", lambda: classifier.fit(given.X, labels.y)) is REFUSED:
        return
    other = data.draw(features())
    for name in ("predict", "predict_proba", "embed", "shapley_values", "modality_contributions", "predict_proba_by_modality"):
        answer(f"LateFusionClassifier.{name}", lambda name=name: getattr(classifier, name)(other.X))
    wrong = data.draw(st.sampled_from([None, "a", [0], labels.y, np.full(given.n, 99), [["a"]] * given.n, np.full(given.n, np.nan)]))
    answer("LateFusionClassifier.shapley_values", lambda: classifier.shapley_values(given.X, wrong))
    answer("LateFusionClassifier.score_by_modality", lambda: classifier.score_by_modality(given.X, wrong))
    # scikit-learn's own method, which warns of labels that are NaN
    answer(
        "LateFusionClassifier.score", lambda: classifier.score(given.X, wrong), expected_warnings=(UserWarning, RuntimeWarning)
    )
    kept = data.draw(st.sampled_from([[], ["a"], ["image"], "image", None, 3, [3], [None], {"a": 1}]))
    answer("LateFusionClassifier.predict_proba_with", lambda: classifier.predict_proba_with(given.X, kept))


@fuzz(60)
def test_refit_and_warm_start(data):
    classifier, given, labels, _ = draw_fit(data, defects=[], wild=False, max_rows=8)
    classifier.set_params(warm_start=data.draw(st.sampled_from([False, True, "anchor"])))
    if answer("LateFusionClassifier.fit", lambda: classifier.fit(given.X, labels.y)) is REFUSED:
        return
    labels = draw_labels(data.draw, given.n)
    again = answer("LateFusionClassifier.fit", lambda: classifier.fit(given.X, labels.y), valid=None if labels.good else False)
    if again is not REFUSED:
        check_predictions(classifier, given.X, given)
    other = data.draw(features(defects=[]))
    labels = draw_labels(data.draw, other.n, bad=False)
    answer("LateFusionClassifier.fit", lambda: classifier.fit(other.X, labels.y))


@fuzz(60)
def test_weights_of_zero_are_absence(data):
    """Whatever the rows of weight zero hold; and a refused fit in between changes nothing."""
    classifier, given, labels, _ = draw_fit(data, defects=[], wild=False, max_rows=12)
    blocks = as_multimodal(given.X, given.modalities)
    weights = np.array([data.draw(st.sampled_from([0.0, 0.5, 1.0, 2.0])) for _ in range(given.n)])
    kept = weights > 0
    one = answer("LateFusionClassifier.fit", lambda: clone(classifier).fit(blocks, labels.y, weights))
    if one is REFUSED or not labels.good:
        return
    y = np.asarray(labels.y)
    other = answer("LateFusionClassifier.fit", lambda: clone(classifier).fit(blocks[kept], y[kept], weights[kept]))
    assert other is not REFUSED
    assert one.classes_.tolist() == other.classes_.tolist()
    expected = other.predict_proba(blocks)
    np.testing.assert_array_equal(one.predict_proba(blocks), expected)
    answer("LateFusionClassifier.fit", lambda: one.fit(blocks, [None] * given.n), valid=False)
    np.testing.assert_array_equal(one.predict_proba(blocks), expected)


PARAMETERS = [name for name in LateFusionClassifier().get_params() if name not in ("verbose", "max_iter")]


@fuzz(200)
def test_classifier_parameters(data):
    given = data.draw(features(defects=[], wild=False, containers=["multimodal", "matrix"]))
    name = data.draw(st.sampled_from(PARAMETERS))
    value = data.draw(st.sampled_from([*ODD, {"a": 1}, {"image": "x"}, "cpu", "cuda:7", "concat", lambda *_: None, 10**9]))
    params = {"modalities": given.modalities, "max_iter": 2, name: value}
    if name == "encoder_dim" and value == 10**9:
        return  # a network that large is what was asked for
    if name == "fusion" and value is object:
        return  # what a callable of one's own raises is its own
    base = data.draw(st.sampled_from([{}, {"encoder_dim": 2}, {"solver": "adamw"}]))
    classifier = LateFusionClassifier(**{**base, **params})
    fitted = answer("LateFusionClassifier(parameter)", lambda: classifier.fit(given.X, np.arange(given.n) % 2))
    if fitted is not REFUSED:
        probabilities = answer("LateFusionClassifier.predict_proba", lambda: classifier.predict_proba(given.X), valid=True)
        assert np.isfinite(probabilities).all()


@fuzz(40)
def test_save_and_load(data):
    classifier, given, labels, _ = draw_fit(data, defects=[], wild=False)
    if answer("LateFusionClassifier.fit", lambda: classifier.fit(given.X, labels.y)) is REFUSED:
        return
    with tempfile.TemporaryDirectory() as folder:
        answer("LateFusionClassifier.save", lambda: classifier.save(folder), valid=True)
        loaded = answer("LateFusionClassifier.load", lambda: LateFusionClassifier.load(folder), valid=True)
    expected = classifier.predict_proba(given.X)
    np.testing.assert_array_equal(loaded.predict_proba(given.X), expected)
    if given.container == "selectors":  # what they selected is kept
        assert [len(columns) for columns in loaded.modalities.values()] == [b.shape[1] for b in given.blocks.values()]
        loaded.set_params(modalities=None)
        classifier.set_params(modalities=None)  # a selector's text is its place in memory
    assert repr(clone(loaded)) == repr(clone(classifier))


INNER = [
    *(PCA(1), StandardScaler(), "passthrough", None, TruncatedSVD(1), PCA(50), FunctionTransformer(np.sum), 3),
    *({}, {"a": PCA(1)}, {"image": PCA(1), "text": None}, ModalityScaler(), "scaler"),
]


@fuzz(60)
def test_per_modality(data):
    given = data.draw(features())
    transformer = data.draw(st.sampled_from(INNER))
    output = data.draw(st.sampled_from(["default", "default", "pandas", "polars"]))
    each = PerModality(transformer, given.modalities)
    valid = given.valid if given.valid is False else None
    if transformer in ("passthrough", None) and not np.all(~presence(given), axis=0).any():
        valid = given.valid
    # what the inner transformers say of odd numbers, in errors and warnings, is scikit-learn's own
    theirs = {"ours": False, "expected_warnings": (UserWarning, RuntimeWarning)}
    if answer("PerModality.fit", lambda: each.fit(given.X), valid=valid, **theirs) is REFUSED:
        return
    blocks = answer("PerModality.transform_blocks", lambda: each.transform_blocks(given.X), valid=valid, **theirs)
    if blocks is REFUSED:
        return
    np.testing.assert_array_equal(presence_mask(blocks), presence(given))
    with sklearn.config_context(transform_output=output):
        found = answer("PerModality.transform", lambda: each.transform(given.X), **theirs)
    if isinstance(found, pd.DataFrame) and found.columns.nlevels == 2:
        again = as_multimodal(found)
        assert again.modalities == blocks.modalities
        np.testing.assert_array_equal(np.asarray(again), np.asarray(blocks))
    elif output == "polars" and found is not REFUSED:
        assert list(blocks.modalities) == ["X"]  # several would have been lost


@fuzz(80)
def test_encoder(data):
    given = data.draw(features())
    options = {"n_components": 2, "max_iter": 2, "n_prototypes": 2}
    seed, seed_good = data.draw(seeds())
    name = data.draw(st.sampled_from([None, None, *CrossModalEncoder().get_params()]))
    if name is not None and name not in ("modalities", "verbose"):
        options[name] = data.draw(st.sampled_from([value for value in ODD if value is not object]))
    encoder = CrossModalEncoder(given.modalities, **{"random_state": seed, **options})
    valid = given.valid if seed_good and name in (None, "modalities", "verbose") else False if given.valid is False else None
    if answer("CrossModalEncoder.fit", lambda: encoder.fit(given.X), valid=valid) is REFUSED:
        return
    found = answer("CrossModalEncoder.transform", lambda: encoder.transform(given.X), valid=given.valid)
    if found is not REFUSED and not isinstance(found, np.ndarray) and not given.wild and name is None:
        present = presence(given)
        for column, block in enumerate(found.blocks.values()):
            assert np.isfinite(block[present[:, column]]).all()
            assert np.isnan(block[~present[:, column]]).all()
    answer("CrossModalEncoder.transform", lambda: encoder.transform(data.draw(features()).X))


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_is_generated(container):
    from fuzz.inputs import contain

    X, modalities = contain({"a": np.ones((3, 2)), "b": np.ones((3, 4))}, container)
    assert as_multimodal(X, modalities).shape == (3, 6)
    assert isinstance(X, pd.DataFrame) == (container in ("frame", "multiindex", "prefixes", "selectors", "vectors"))
