"""Predicted labels and accuracies by head, against the classifier's own answers."""

import numpy as np
import pytest
from samples import make_blocks
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.diagnostics import accuracy_shapley, cluster_purity, linear_probe
from skmmal.heads import Encoder
from skmmal.modalities import presence_mask
from skmmal.reading import accuracies, read


@pytest.fixture(scope="module")
def data():
    blocks, y = make_blocks(120, {"a": 5, "b": 3}, missing=0.2, seed=4)
    return MultimodalArray(blocks), np.array(["x", "y", "z"])[y]


@pytest.fixture(scope="module")
def deep(data):
    X, y = data
    options = {"encoder_dim": 4, "solver": "adamw", "max_iter": 5, "random_state": 0}
    return make_pipeline(ModalityScaler(), LateFusionClassifier(**options)).fit(X[:60], y[:60])


class Stubborn(LateFusionClassifier):
    """A subclass with an answer of its own."""

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


def test_predictions_are_the_classifiers(data, deep):
    X, y = data
    clf, seen = deep[-1], deep[0].transform(X)
    found = read(deep, X).source.predictions
    assert list(found) == ["a", "b", "fused"]
    np.testing.assert_array_equal(found["fused"], deep.predict(X))
    for name, probabilities in clf.predict_proba_by_modality(seen).items():
        np.testing.assert_array_equal(found[name], clf.classes_[probabilities.argmax(axis=1)])
    hits = {head: labels == y for head, labels in found.items()}
    assert accuracies(hits, ["a", "b"], presence_mask(X)) == clf.score_by_modality(seen, y)


def test_who_has_a_word_of_their_own_is_asked(data):
    X, y = data
    found = read(Stubborn().fit(X, y), X).source.predictions
    assert set(found["fused"]) == {"x"}
    assert len(set(found["a"])) > 1
    matrix = np.nan_to_num(np.asarray(X))
    for plain in (LogisticRegression(max_iter=500), LinearSVC()):  # the last one has no probabilities
        plain.fit(matrix, y)
        found = read(plain, matrix).source.predictions
        assert list(found) == ["fused"]
        np.testing.assert_array_equal(found["fused"], plain.predict(matrix))


def test_accuracy_where_nobody_has_the_modality():
    hits = {"a": np.array([True, False]), "b": np.array([True, True]), "fused": np.array([False, False])}
    found = accuracies(hits, ["a", "b"], np.array([[True, False], [True, False]]))
    assert found["a"] == 0.5
    assert np.isnan(found["b"])
    assert found["fused"] == 0.0


def test_diagnostics_take_a_reading_and_the_encoders_run_once(data, deep, monkeypatch):
    X, y = data
    expected = accuracy_shapley(deep, X, y), cluster_purity(deep, X, y), linear_probe(deep, X, y, X, y)
    calls = []
    forward = Encoder.forward

    def counted(self, block):
        calls.append(len(block))
        return forward(self, block)

    monkeypatch.setattr(Encoder, "forward", counted)
    reading = read(deep, X)
    found = accuracy_shapley(deep, reading, y), cluster_purity(deep, reading, y), linear_probe(deep, reading, y, reading, y)
    assert found == expected
    # one row more an encoder: what remains where a modality is taken away
    assert sorted(calls) == [1, 1, 120, 120]


def test_what_error_messages_call_the_rows():
    with pytest.raises(ValueError, match="X_test must have shape"):
        read(LogisticRegression().fit(np.eye(3), [0, 1, 2]), np.ones(3), argument="X_test")
