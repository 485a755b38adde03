"""A model reads rows once: what the heads say and see is what the model's own methods answer."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.query import BADGE, BALD, BMMAL, MVOPT, EntropySampling, MarginSampling
from skmmal.reading import Head, Reading, read, read_with_labels

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 120)
    blocks = {n: rng.standard_normal((120, w)) + y[:, None] * 0.4 for n, w in zip(NAMES, (4, 5, 6), strict=True)}
    blocks["b"][rng.permutation(120)[:30]] = np.nan
    blocks["c"][rng.permutation(120)[:20]] = np.nan
    return MultimodalArray(blocks), np.array(["x", "y", "z"])[y]


MODELS = {
    "convex": LateFusionClassifier(),
    "sum": LateFusionClassifier(fusion="sum"),
    "encoder": LateFusionClassifier(encoder_dim=7, max_iter=8, random_state=0),
    "gated": LateFusionClassifier(fusion="gated", encoder_dim=6, max_iter=8, random_state=0),
    "token": LateFusionClassifier(missing="token", encoder_dim=5, modality_dropout=0.2, max_iter=8, random_state=0),
    "input": LateFusionClassifier(encoder_dim=5, ablation_point="input", max_iter=8, random_state=0),
    "pipeline": make_pipeline(ModalityScaler(), LateFusionClassifier(encoder_dim=4, max_iter=5, random_state=0)),
    "search": GridSearchCV(LateFusionClassifier(), {"C": [0.1, 1.0]}, cv=2),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_reading_says_what_the_methods_say(problem, name):
    X, y = problem
    model = MODELS[name].fit(X[:60], y[:60])
    final, seen = model, X[60:]
    if name == "pipeline":
        final, seen = model[-1], model[:-1].transform(seen)
    elif name == "search":
        final = model.best_estimator_
    reading = read(model, X[60:])
    present = np.column_stack([~np.isnan(X[n][60:, 0]) for n in NAMES])
    assert len(reading) == 60
    assert reading.modality_names == list(NAMES)
    np.testing.assert_array_equal(reading.present, present)
    # BMMAL's order: contributions make the probabilities on the way
    np.testing.assert_allclose(reading.contributions, final.modality_contributions(seen), atol=1e-12)
    np.testing.assert_allclose(reading.head.probabilities, model.predict_proba(X[60:]), atol=1e-12)
    own = final.predict_proba_by_modality(seen)
    embedded, embedded_own = final.embed(seen), final.embed_by_modality(seen)
    assert list(reading.heads) == ["fused", *NAMES]
    np.testing.assert_array_equal(reading.heads["fused"].features, np.hstack(list(embedded.values())))
    for m, (modality, head) in enumerate(list(reading.heads.items())[1:]):
        rows = np.flatnonzero(present[:, m])
        np.testing.assert_array_equal(head.rows, rows)
        np.testing.assert_array_equal(head.probabilities, own[modality][rows])
        np.testing.assert_array_equal(head.features, embedded_own[modality][rows])
        assert head.present.all()
        np.testing.assert_array_equal(head.spread(head.probabilities)[rows], own[modality][rows])
        assert not head.spread(head.probabilities)[~present[:, m]].any()
    # logits at the very points are those of the rows
    for head in reading.heads.values():
        logits = head.logits(head.features)
        shifted = logits - logits.max(axis=1, keepdims=True)
        predicted = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        if name != "token" or head.name == "fused":  # a token is no part of what is embedded
            there = present.all(axis=1) if name == "token" else np.ones(60, dtype=bool)
            np.testing.assert_allclose(predicted[there[head.rows]], head.probabilities[there[head.rows]], atol=1e-6)
    assert isinstance(model.read(X[60:]) if name not in ("pipeline", "search") else reading, Reading)


def test_some_rows_are_the_rows_of_the_whole(problem):
    X, y = problem
    clf = LateFusionClassifier().fit(X[:60], y[:60])
    pool = read_with_labels(clf, X[60:], X[:60], y[:60])
    rows = np.array([50, 3, 17, 4])
    some = pool.take(rows)
    np.testing.assert_array_equal(some.head.probabilities, pool.head.probabilities[rows])
    np.testing.assert_array_equal(some.contributions, pool.contributions[rows])
    np.testing.assert_array_equal(some.present, pool.present[rows])
    np.testing.assert_array_equal(some.head.features, pool.head.features[rows])
    np.testing.assert_array_equal(some.labelled.head.features, pool.labelled.head.features)
    own = pool.on("b")
    has = np.flatnonzero(pool.present[:, 1])
    assert own.modality_names == ["b"]
    assert len(own) == len(has)
    np.testing.assert_array_equal(own.contributions, np.ones((len(has), 1)))
    np.testing.assert_array_equal(own.take(np.arange(5)).rows, has[:5])
    assert len(own.labelled) == int((~np.isnan(X["b"][:60, 0])).sum())
    np.testing.assert_array_equal(
        own.labelled.codes, clf.classes_.searchsorted(y[:60][~np.isnan(X["b"][:60, 0])])
    )
    # without labels codes are the predicted ones; without labelled rows there are none, in the right shapes
    np.testing.assert_array_equal(pool.codes, pool.head.probabilities.argmax(axis=1))
    nothing = read_with_labels(clf, X[60:]).labelled
    assert nothing.head.probabilities.shape == (0, 3)
    assert nothing.head.features.shape == (0, 15)
    assert nothing.codes.shape == (0,)


def test_mean_score_is_over_the_heads_that_have_a_say(problem):
    X, y = problem
    pool = read(LateFusionClassifier().fit(X[:60], y[:60]), X[60:]).on("all")
    scores = {name: head.spread(head.probabilities.max(axis=1)) for name, head in pool.heads.items()}
    found = pool.mean_score(lambda head: head.probabilities.max(axis=1))
    np.testing.assert_allclose(found, sum(scores.values()) / (1 + pool.present.sum(axis=1)))
    largest = np.finfo(np.float64).max
    with np.errstate(all="raise"):
        np.testing.assert_allclose(pool.mean_score(lambda head: np.full(len(head), largest)), largest)


def test_highest_takes_candidates_only():
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4], [0.5, 0.5]])
    pool = Reading.from_arrays(p)
    assert MarginSampling().query(None, pool, 3).tolist() == [1, 3, 2]
    assert MarginSampling().query(None, pool, 2, candidates=[0, 2]).tolist() == [2, 0]
    assert MarginSampling().query(None, pool, 2, candidates=[True, False, False, True]).tolist() == [3, 0]
    for wrong, words in (([4], "row 4"), ([True], "mask of 1"), ([0], "candidates has 1 row"), ([0.5, 1], "row numbers")):
        with pytest.raises((TypeError, ValueError), match=words):
            MarginSampling().query(None, pool, 2, candidates=wrong)


# --------------------------------------------------------------------------------------- arrays of any model


STRATEGIES = [
    BADGE(random_state=0),
    BADGE(on="a", random_state=0),
    BADGE(on="all", random_state=0),
    BMMAL(random_state=0),
    MVOPT(),
    MarginSampling(on="all"),
    EntropySampling(on="b"),
    BALD(source="laplace", random_state=0),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_arrays_serve_as_the_model_does(problem, strategy):
    X, y = problem
    clf = LateFusionClassifier().fit(X[:60], y[:60])

    def arrays(rows):
        return Reading.from_arrays(
            clf.predict_proba(rows),
            features={n: np.where(np.isnan(X_), np.nan, X_) for n, X_ in rows.blocks.items()},
            by_modality=clf.predict_proba_by_modality(rows),
            contributions=clf.modality_contributions(rows),
            classes=clf.classes_,
        )

    expected = strategy.query(clf, X[60:], 8, X_labeled=X[:60], y_labeled=y[:60])
    found = strategy.query(None, arrays(X[60:]), 8, X_labeled=arrays(X[:60]), y_labeled=y[:60])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        strategy.query(arrays(X[60:]), None, 8, X_labeled=arrays(X[:60]), y_labeled=y[:60]), expected
    )


def test_what_arrays_lack_is_said():
    p = np.array([[0.9, 0.1], [0.5, 0.5]])
    features = {"a": np.eye(2), "b": np.ones((2, 3))}
    only_p, only_features = Reading.from_arrays(p), Reading.from_arrays(features=features)
    assert MarginSampling().query(None, only_p, 1).tolist() == [1]
    assert len(MVOPT().query(None, only_features, 1)) == 1
    for strategy, reading, words in (
        (BADGE(), only_p, "no features"),
        (BMMAL(), Reading.from_arrays(p, features=features), "no contributions"),
        (MarginSampling(), only_features, "no probabilities"),
        (MarginSampling(on="a"), Reading.from_arrays(p, features=features), "no by_modality"),
    ):
        with pytest.raises(TypeError, match=words):
            strategy.query(None, reading, 1)
    with pytest.raises(ValueError, match="neither"):
        Reading.from_arrays()
    with pytest.raises(ValueError, match="sums to 1.9"):
        Reading.from_arrays([[0.9, 1.0]])
    with pytest.raises(ValueError, match=r"by_modality has \['b'\]"):
        Reading.from_arrays(p, features={"a": np.eye(2)}, by_modality={"b": p})
    with pytest.raises(ValueError, match="contributions must be finite"):
        Reading.from_arrays(p, features=features, contributions=[[1.0, np.nan], [0.5, 0.5]])
    with pytest.raises(ValueError, match="classes has shape"):
        Reading.from_arrays(p, classes=["x"])
    with pytest.raises(TypeError, match="give a Reading of the labelled rows"):
        MarginSampling().query(None, only_p, 1, X_labeled=np.eye(2))


def test_rows_that_lack_a_modality_may_say_anything_there():
    p = np.full((3, 2), 0.5)
    features = {"a": np.eye(3), "b": np.array([[1.0], [np.nan], [2.0]])}
    own = {"a": p, "b": np.array([[0.5, 0.5], [np.nan, 7.0], [0.2, 0.8]])}
    pool = Reading.from_arrays(p, features=features, by_modality=own)
    assert pool.heads["b"].rows.tolist() == [0, 2]
    assert MarginSampling(on="b").query(None, pool, 2).tolist() == [0, 2]
    own["b"][0] = np.nan
    with pytest.raises(ValueError, match=r"by_modality\['b'\] is not finite in row 0"):
        Reading.from_arrays(p, features=features, by_modality=own)


# ------------------------------------------------------------------------------------------- at new points


@pytest.mark.parametrize("name", ["convex", "pipeline", "search"])
def test_out_of_fold_is_cross_validation(problem, name, monkeypatch):
    X, y = problem
    model = MODELS[name].fit(X, y)
    monkeypatch.setattr("skmmal.reading._reading.draw_seed", lambda rng: 7)
    labelled = read(model, X, y=y)
    folds = StratifiedKFold(4, shuffle=True, random_state=7)
    fused, own = np.empty((120, 3)), np.empty((120, 3))
    for train, test in folds.split(y, y):
        part = clone(model).fit(X[train], y[train])
        final, seen = part, X[test]
        if name == "pipeline":
            final, seen = part[-1], part[:-1].transform(seen)
        elif name == "search":
            final = part.best_estimator_
        fused[test], own[test] = final.predict_proba(seen), final.predict_proba_by_modality(seen)["b"]
    np.testing.assert_allclose(labelled.head.out_of_fold(), fused, atol=1e-12)
    has = ~np.isnan(X["b"][:, 0])
    np.testing.assert_allclose(labelled.heads["b"].out_of_fold(), own[has], atol=1e-12)


def test_out_of_fold_equals_scikit_learns(problem, monkeypatch):
    X, y = problem
    X = np.nan_to_num(np.asarray(X))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    monkeypatch.setattr("skmmal.reading._reading.draw_seed", lambda rng: 7)
    found = read(model, X, y=y).head.out_of_fold(n_folds=4)
    folds = StratifiedKFold(4, shuffle=True, random_state=7)
    expected = cross_val_predict(model, X, y, cv=folds, method="predict_proba")
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_out_of_fold_with_classes_of_few_rows():
    X = np.arange(14.0).reshape(7, 2)
    y = np.array([0, 0, 0, 1, 1, 1, 2])
    model = LogisticRegression().fit(X, y)
    found = read(model, X, y=y).head.out_of_fold(n_folds=3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert found[6, 2] == 0  # nobody else has met its class
    with pytest.raises(ValueError, match="need the labels"):
        read(model, X).head.out_of_fold()
    with pytest.raises(ValueError, match="not of some"):
        Head(read(model, X, y=y).take(np.arange(3)), "fused").out_of_fold()
    with pytest.raises(TypeError, match="cannot be fitted again"):
        Reading.from_arrays(np.full((4, 2), 0.5), y=[0, 1, 0, 1]).head.out_of_fold()


def test_draws_of_an_ensemble_are_its_members(problem):
    X, y = problem
    X = np.nan_to_num(np.asarray(X))
    forest = RandomForestClassifier(4, random_state=0).fit(X[:60], y[:60])
    draws = list(read(forest, X[60:]).head.draws(99))
    assert len(draws) == 4
    np.testing.assert_allclose(np.mean(draws, axis=0), forest.predict_proba(X[60:]), atol=1e-12)
    with pytest.raises(ValueError, match="has no dropout"):
        read(forest, X).head.draws(3, source="dropout")


# ------------------------------------------------------------------------------------------------- the door


def test_texts_and_cold_starts():
    texts = ["red cat", "blue dog", "green eel", "red dog"]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    cold = read(model, texts)
    assert not cold.is_fitted
    assert cold.head.features.shape == (4, 6)
    with pytest.raises(NotFittedError, match="LogisticRegression is not fitted"):
        _ = cold.head.probabilities
    warm = read(model.fit(texts, [0, 1, 1, 0]), texts)
    np.testing.assert_array_equal(warm.head.probabilities, model.predict_proba(texts))
    nothing = read(None, {"a": np.eye(4), "b": [[1.0], [np.nan], [2.0], [0.0]]})
    assert nothing.modality_names == ["a", "b"]
    assert nothing.present[:, 1].tolist() == [True, False, True, True]
    assert not nothing.head.features[1, 4:].any()
    with pytest.raises(TypeError, match="must be a classifier"):
        read("model", np.eye(2))
    assert read(model, cold) is cold


def test_a_subclass_that_answers_itself_is_asked(problem):
    class Sure(LateFusionClassifier):
        def predict_proba(self, X):
            p = super().predict_proba(X) ** 4
            return p / p.sum(axis=1, keepdims=True)

    X, y = problem
    clf = Sure().fit(X[:60], y[:60])
    reading = read(clf, X[60:])
    np.testing.assert_array_equal(reading.head.probabilities, clf.predict_proba(X[60:]))
    plain = LateFusionClassifier().fit(X[:60], y[:60])
    np.testing.assert_allclose(reading.heads["a"].probabilities, read(plain, X[60:]).heads["a"].probabilities)


def test_labelled_modalities_come_in_the_pools_order():
    pool = {"a": np.zeros((3, 1)), "b": np.ones((3, 2))}
    labelled = {"b": np.full((2, 2), 5.0), "a": np.full((2, 1), 4.0)}
    reading = read_with_labels(None, pool, labelled)
    assert reading.labelled.modality_names == ["a", "b"]
    np.testing.assert_array_equal(reading.labelled.head.features, [[4.0, 5.0, 5.0]] * 2)
