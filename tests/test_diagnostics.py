"""Diagnostics against brute force."""

from itertools import permutations

import numpy as np
import pytest
from samples import make_blocks
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.contributions import shapley_values
from skmmal.diagnostics import accuracy_shapley, cluster_purity, linear_probe, shapley_imbalance
from skmmal.experiment.metrics import expected_calibration_error
from skmmal.modalities import presence_mask


@pytest.fixture(scope="module", params=[2, 3])
def data(request):
    widths = dict(list({"a": 5, "b": 3, "c": 4}.items())[: request.param])
    blocks, y = make_blocks(160, widths, missing=0.2, seed=2)
    for block in blocks.values():
        block += np.random.default_rng(0).normal(0, 3, block.shape)  # not too easy
    return MultimodalArray(blocks), np.array(["x", "y", "z"])[y]


@pytest.fixture(scope="module")
def clf(data):
    X, y = data
    return LateFusionClassifier(C=0.1).fit(X[:100], y[:100])


def accuracy_with(clf, X, y, kept):
    """Accuracy of a linear head with the other modalities' features zero: their embeddings."""
    blocks = {name: np.nan_to_num(block) if name in kept else np.zeros_like(block) for name, block in X.blocks.items()}
    return (clf.predict(MultimodalArray(blocks)) == y).mean()


def test_accuracy_shapley(clf, data):
    X, y = data
    X, y = X[100:], y[100:]
    names = list(X.blocks)
    found = accuracy_shapley(clf, X, y)
    assert list(found) == names
    # Shapley: the mean gain over all orders in which the modalities may join
    orders = list(permutations(names))
    for name in names:
        gains = [
            accuracy_with(clf, X, y, order[: order.index(name) + 1]) - accuracy_with(clf, X, y, order[: order.index(name)])
            for order in orders
        ]
        assert found[name] == pytest.approx(np.mean(gains))
    everything, nothing = accuracy_with(clf, X, y, names), accuracy_with(clf, X, y, [])
    assert everything == clf.score(X, y)
    assert sum(found.values()) == pytest.approx(everything - nothing)
    distances = [abs(found[a] - found[b]) for i, a in enumerate(names) for b in names[i + 1 :]]
    assert shapley_imbalance(found) == pytest.approx(np.mean(distances))
    assert shapley_imbalance([0.3]) == 0


def test_accuracy_shapley_of_a_useless_modality(clf, data):
    X, y = data
    blocks = {name: block.copy() for name, block in X.blocks.items()}
    blocks["b"][:] = np.where(np.isnan(blocks["b"]), np.nan, 0.0)
    found = accuracy_shapley(clf, MultimodalArray(blocks), y)
    assert found["b"] == pytest.approx(0, abs=1e-12)


def test_accuracy_shapley_of_many_modalities():
    """Thirteen: estimated, and close to the values over all 8192 coalitions."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    X = MultimodalArray({f"m{i}": rng.normal(size=(120, 2)) + 0.4 * rng.normal(size=(3, 2))[y] for i in range(13)})
    clf = LateFusionClassifier(C=0.1).fit(X[::2], y[::2])
    rest, truth = X[1::2], y[1::2]
    weights, intercept = (part.detach().numpy() for part in clf.module_.head.fused.parameters())
    features = np.hstack(list(rest.blocks.values()))

    def accuracy(kept):
        logits = (features * np.repeat(kept, 2)) @ weights.T + intercept
        return np.array([(logits.argmax(axis=1) == truth).mean()])

    exact = shapley_values(accuracy, 13)[0]
    found = accuracy_shapley(clf, rest, truth)
    assert sum(found.values()) == pytest.approx(exact.sum())
    np.testing.assert_allclose(list(found.values()), exact, atol=0.01)
    assert accuracy_shapley(clf, rest, truth) == found


def test_labels_that_the_classifier_does_not_know_are_never_right(clf, data):
    X, y = data
    unknown = np.where(np.arange(len(y)) < 20, "another", y)
    found = accuracy_shapley(clf, X, unknown)
    everything, nothing = (accuracy_with(clf, X, unknown, kept) for kept in (list(X.blocks), []))
    assert sum(found.values()) == pytest.approx(everything - nothing)


def test_pipelines(data):
    X, y = data
    pipeline = make_pipeline(ModalityScaler(), LateFusionClassifier(C=0.1)).fit(X[:100], y[:100])
    scaled = pipeline[0].transform(X)
    assert accuracy_shapley(pipeline, X, y) == accuracy_shapley(pipeline[-1], scaled, y)
    assert cluster_purity(pipeline, X, y) == cluster_purity(pipeline[-1], scaled, y)
    rows = X[:100], y[:100], X[100:], y[100:]
    assert linear_probe(pipeline, *rows) == linear_probe(pipeline[-1], scaled[:100], y[:100], scaled[100:], y[100:])


@pytest.mark.parametrize("encoder_dim", [None, 4])
def test_linear_probe(data, encoder_dim):
    X, y = data
    clf = LateFusionClassifier(
        encoder_dim=encoder_dim, solver="adamw", max_iter=20, learning_rate=0.01, random_state=0
    ).fit(X[:100], y[:100])
    found = linear_probe(clf, X[:100], y[:100], X[100:], y[100:], C=0.5)
    present = presence_mask(X)
    for m, name in enumerate(X.blocks):
        # concat fusion: what the last layer sees is the encoder's output
        values = clf.embed(X)[name]
        train, test = np.arange(160) < 100, np.arange(160) >= 100
        train, test = train & present[:, m], test & present[:, m]
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=1000)).fit(values[train], y[train])
        assert found[name] == probe.score(values[test], y[test])


def test_cluster_purity():
    y = np.repeat([0, 1, 2], 40)
    rng = np.random.default_rng(0)
    blocks = {
        "apart": y[:, None] * np.array([[1.0, 1000.0]]) + 0.01 * rng.standard_normal((120, 2)),
        "mixed": rng.standard_normal((120, 2)),
        "absent": np.full((120, 3), np.nan),
    }
    blocks["apart"][y == 2] = np.nan
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier().fit(X, np.array(["p", "q", "r"])[y])
    found = cluster_purity(clf, X, np.array(["p", "q", "r"])[y])
    assert found["apart"] == 1.0
    assert 1 / 3 <= found["mixed"] < 0.6
    assert np.isnan(found["absent"])


def test_what_is_absent_and_what_cannot_be_done(clf, data):
    X, y = data
    blocks = {name: block.copy() for name, block in X[:40].blocks.items()}
    blocks["b"][:] = np.nan
    blocks["a"] = np.nan_to_num(blocks["a"])
    without = MultimodalArray(blocks)
    assert np.isnan(linear_probe(clf, X[:100], y[:100], without, y[:40])["b"])
    with pytest.raises(ValueError, match="modality 'b': y_train has 0 classes in the 0 rows that have it"):
        linear_probe(clf, without, y[:40], X, y)
    with pytest.raises(ValueError, match="y_test has 3 labels, there are 160 rows"):
        linear_probe(clf, X, y, X, y[:3])
    with pytest.raises(ValueError, match="C must be finite and above 0, got 0"):
        linear_probe(clf, X, y, X, y, C=0)
    with pytest.raises(ValueError, match="y has 3 labels, there are 160 rows"):
        accuracy_shapley(clf, X, y[:3])
    plain = LogisticRegression().fit(np.eye(3), [0, 1, 2])
    for function in (accuracy_shapley, cluster_purity):
        with pytest.raises(TypeError, match="LogisticRegression has no .* use a LateFusionClassifier"):
            function(plain, np.eye(3), [0, 1, 2])


def test_gated_fusions_are_probed_before_the_gate(data):
    """What one encoder makes of a row must not depend on the other modalities."""
    X, y = data
    clf = LateFusionClassifier(fusion="gated", solver="adamw", max_iter=5, random_state=0).fit(X, y)
    rng = np.random.default_rng(0)
    noise = MultimodalArray({**X.blocks, "b": np.where(np.isnan(X["b"]), np.nan, rng.standard_normal(X["b"].shape))})
    assert linear_probe(clf, X, y, X, y)["a"] == linear_probe(clf, noise, y, noise, y)["a"]
    assert cluster_purity(clf, X, y)["a"] == cluster_purity(clf, noise, y)["a"]


@pytest.mark.parametrize("values", ["a", None, {"a": "x"}, [[1.0]], [np.nan]], ids=repr)
def test_values_that_are_none(values):
    with pytest.raises((TypeError, ValueError), match="^values must"):
        shapley_imbalance(values)


@pytest.mark.parametrize(
    ("confidence", "correct", "n_bins", "match"),
    [
        ([], [], 32, "of one length above 0"),
        ([0.5], [True, False], 32, "of one length"),
        ([1.5], [True], 32, "confidence must hold probabilities"),
        ([np.nan], [True], 32, "confidence must hold probabilities"),
        (["a"], [True], 32, "confidence must be numeric"),
        ([0.5], [True], 0, "n_bins must be at least 1"),
        ([0.5], [True], None, "n_bins must be an integer"),
    ],
)
def test_calibration_of_what_is_no_confidence(confidence, correct, n_bins, match):
    with pytest.raises((TypeError, ValueError), match=match):
        expected_calibration_error(confidence, correct, n_bins)
