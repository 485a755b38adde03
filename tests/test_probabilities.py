"""Probabilities that are none, wherever they enter."""

import numpy as np
import pytest
import torch
from samples import make_blocks
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, MultimodalArray, run_experiment
from skmmal._probabilities import check_distribution
from skmmal.diagnostics import accuracy_shapley
from skmmal.query import BALD, MarginSampling
from skmmal.robustness import noise_curve


def test_good_ones_stay_as_they_are():
    p = np.random.default_rng(0).dirichlet(np.full(309, 0.05), 200)
    assert check_distribution(p) is p
    for dtype in (np.float16, np.float32):
        np.testing.assert_array_equal(check_distribution(p.astype(dtype)), p.astype(dtype).astype(float))
    for tensor in (torch.from_numpy(p).bfloat16(), torch.from_numpy(p).half().requires_grad_()):
        assert check_distribution(tensor).shape == p.shape
    assert check_distribution([[1], [1]]).tolist() == [[1], [1]]
    assert check_distribution(np.empty((0, 3))).shape == (0, 3)
    assert check_distribution([[1 + 1e-9, -1e-9]]).tolist() == [[1, 0]]


def test_the_row_is_the_callers():
    p = np.array([[0.5, 0.5], [0.5, 0.6]])
    with pytest.raises(ValueError, match=r"Net.say: rows must sum to one, but row 9 of X_labeled sums to 1.1 \(1 of 2 rows"):
        check_distribution(p, source="Net.say", argument="X_labeled", rows=np.array([7, 9]))
    with pytest.raises(ValueError, match=r"has shape \(2, 2\), expected \(n_samples, 3\)"):
        check_distribution(p, n_classes=3)


class Modal(LateFusionClassifier):
    """A multimodal classifier whose heads of the modalities are sigmoids."""

    def predict_proba_by_modality(self, X):
        return {name: 0.5 + p / 2 for name, p in super().predict_proba_by_modality(X).items()}


class Logits(LogisticRegression):
    def predict_proba(self, X):
        return self.decision_function(X)


class Member:
    def __init__(self, answer):
        self.estimator, self.answer, self.classes_ = self, answer, np.arange(3)

    def predict_proba(self, X):
        return self.answer[: len(X)]


class Committee:
    """Members that say what they are told to, and a consensus that is one all the same."""

    def __init__(self, answer):
        self.learner_list, self.classes_ = [Member(answer), Member(answer)], np.arange(3)

    def predict_proba(self, X):
        return np.full((len(X), 3), 1 / 3)


def test_heads_of_the_modalities():
    blocks, y = make_blocks(n=40, missing=0.2)
    X = MultimodalArray(blocks)
    model = Modal().fit(X[:20], y[:20])
    for on in ("text", "all"):
        with pytest.raises(ValueError, match="modality '.*': Modal.predict_proba_by_modality: rows must sum to one"):
            MarginSampling(on=on).query(model, X[20:], 2)
    assert len(MarginSampling().query(model, X[20:], 2)) == 2


def test_members_of_a_committee():
    with pytest.raises(ValueError, match="Member.predict_proba .a member or copy of Committee.: rows must sum to one"):
        BALD(source="committee").query(Committee(np.ones((5, 3))), np.eye(5), 2)


def test_labelled_rows():
    class Late:
        classes_ = np.arange(2)

        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5 if len(X) == 9 else 0.7)

    with pytest.raises(ValueError, match="Late.predict_proba: rows must sum to one, but row 0 of X_labeled sums to 1.4"):
        BALD(random_state=0).query(Late(), np.eye(9), 2, X_labeled=np.eye(9)[:4])


def test_experiments():
    blocks, y = make_blocks(n=60)
    X = np.hstack(list(blocks.values()))
    arguments = {"X_test": X[40:], "y_test": y[40:], "n_initial": 9, "n_instances": 3, "n_rounds": 1, "seeds": 1}
    with pytest.raises(ValueError, match="Logits.predict_proba: .*row .* of X_test .*logits"):
        run_experiment(Logits(), ["random"], X[:40], y[:40], **arguments)
    with pytest.raises(TypeError, match="Member cannot be cloned: it has no get_params. Derive its class from sklearn"):
        run_experiment(Member(None), ["random"], X[:40], y[:40], **arguments)
    with pytest.raises(TypeError, match="estimator must be a classifier .* got 'model'"):
        run_experiment("model", ["random"], X[:40], y[:40], **arguments)


def test_diagnostics_of_what_is_no_estimator():
    X, y = np.eye(3), [0, 1, 2]
    with pytest.raises(TypeError, match="Member has no network, which this needs; use a LateFusionClassifier"):
        accuracy_shapley(Member(np.eye(3)), X, y)
    with pytest.raises(TypeError, match="estimator must be a classifier .* got 'model' of type str"):
        accuracy_shapley("model", X, y)

    class Duck(Member):
        def predict(self, X):
            return np.asarray(X).argmax(axis=1)

    curve = noise_curve(Duck(np.eye(3)), X, y, levels=[0.0], n_repeats=1)
    assert set(curve["accuracy"]) == {1.0}
