"""Heads that are flat where they were fitted are sharpened, others are left alone."""

import numpy as np
import pytest
from scipy.special import softmax

from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.datasets import load_digits_views
from skmmal.query import MVOPT, Auto, UHerding
from skmmal.query._sharpening import exponent, exponents, sharpened
from skmmal.reading import Reading, read


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def readings(rng, temperature, n_classes=4):
    """Pool and labelled rows of a head, its logits divided by a temperature."""
    points = rng.normal(size=(90, 6))
    logits = 8 * points @ rng.normal(size=(6, n_classes)) / temperature
    y = logits.argmax(axis=1)
    y[:6] = (y[:6] + 1) % n_classes  # not all are right

    def of(rows):
        p = softmax(logits[rows], axis=1)
        return Reading.from_arrays(
            p, features={"a": points[rows][:, :3], "b": points[rows][:, 3:]}, y=y[rows], classes=range(n_classes)
        )

    return of(slice(30, None)), of(slice(None, 30))


def test_half_as_sure_as_right(rng):
    _, known = readings(rng, 40.0)
    power = exponent(known.head)
    assert power > 1
    confidence = sharpened(known.head.probabilities, power, known.head.target).max(axis=1).mean()
    accuracy = (known.head.probabilities.argmax(axis=1) == known.y).mean()
    assert confidence - 1 / 4 == pytest.approx((accuracy - 1 / 4) / 2)


def test_who_is_sure_is_left_alone(rng):
    _, known = readings(rng, 1.0)
    assert exponents(known) == {"fused": 1.0}
    probabilities = known.head.probabilities
    assert sharpened(probabilities, 1.0, known.head.target) is probabilities


def test_a_head_that_is_no_better_than_chance_is_left_alone():
    p = np.full((40, 4), 0.25) + 1e-3 * np.eye(4)[np.zeros(40, dtype=int)]
    y = np.arange(40) % 4
    known = Reading.from_arrays(p / p.sum(axis=1, keepdims=True), features={"a": np.ones((40, 2))}, y=y)
    assert exponent(known.head) == 1.0


def test_without_labelled_rows_there_is_nothing_to_go_by(rng):
    pool, _ = readings(rng, 40.0)
    assert exponents(pool.labelled) == {}


@pytest.mark.parametrize("strategy", [MVOPT(), UHerding(), Auto()], ids=["mvopt", "uherding", "auto"])
def test_how_flat_does_not_matter(rng, strategy):
    """Two classifiers that differ by a temperature, both flat, are the same to those who weigh by them."""
    seed = rng.randint(1000)
    picks = []
    for temperature in (40.0, 400.0):
        pool, known = readings(np.random.RandomState(seed), temperature)
        picks.append(strategy.query(None, pool, 10, X_labeled=known, y_labeled=known.y).tolist())
    assert picks[0] == picks[1]


def test_a_strongly_regularized_classifier():
    X, y = load_digits_views(["fou", "pix"], return_X_y=True)
    X, y = ModalityScaler().fit_transform(X)[::20], y[::20]
    powers = [exponents(read(LateFusionClassifier(C=C).fit(X, y), X, y=y)) for C in (1e-3, 1.0)]
    assert list(powers[0]) == ["fused", "fou", "pix"]
    assert min(powers[0].values()) > 1
    assert set(powers[1].values()) == {1.0}


def test_labels_of_rows_are_sharpened_each_for_itself(rng):
    logits = rng.normal(size=(50, 3)) / 20
    states = (logits > 0).astype(int)
    p = 1 / (1 + np.exp(-logits))
    known = Reading.from_arrays(p, features={"a": rng.normal(size=(50, 2))}, y=states, multilabel=True)
    power = exponent(known.head)
    sharp = sharpened(p, power, known.head.target)
    np.testing.assert_allclose(sharp, 1 / (1 + np.exp(-power * logits)), rtol=1e-9)
    assert np.maximum(sharp, 1 - sharp).mean() == pytest.approx(0.75)
