"""Each named pitfall is there, and only that one."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from skmmal.datasets import MIND_THE_GAP_PITFALLS, make_mind_the_gap

CHANCE = 0.25


@pytest.fixture(scope="module")
def suite():
    return {pitfall: make_mind_the_gap(pitfall, 6000, random_state=0) for pitfall in MIND_THE_GAP_PITFALLS}


def score(bunch, name=None):
    """Held-out accuracy of one modality, or of all, over the rows where it is there."""
    X = np.asarray(bunch.data) if name is None else bunch.data[name]
    rows = ~np.isnan(X).any(axis=1)
    X, y = X[rows], bunch.target[rows]
    half = len(y) // 2
    return KNeighborsClassifier(25).fit(X[:half], y[:half]).score(X[half:], y[half:])


def test_control_has_nothing_wrong(suite):
    control = suite["interaction-redundant"]
    assert control.present.all()
    assert score(control) - 0.03 < score(control, "a") < score(control) + 0.02
    assert abs(score(control, "a") - score(control, "b")) < 0.03


def test_labels_are_the_same_in_all_and_the_signal_in_the_first_five(suite):
    control = suite["interaction-redundant"]
    for pitfall in MIND_THE_GAP_PITFALLS:
        np.testing.assert_array_equal(suite[pitfall].target, control.target)
    for pitfall in ("missing", "missing-class", "missing-one", "difficulty"):
        for name in ("a", "b"):
            np.testing.assert_array_equal(suite[pitfall].latents.factors[name], control.latents.factors[name])


def test_missing(suite):
    gone = ~suite["missing"].present
    np.testing.assert_allclose(gone.mean(axis=0), 0.3, atol=0.03)
    by_class = np.array([gone[suite["missing"].target == code].mean(axis=0) for code in range(4)])
    np.testing.assert_allclose(by_class, 0.3, atol=0.05)


def test_missing_class(suite):
    gone = ~suite["missing-class"].present
    np.testing.assert_allclose(gone.mean(axis=0), 0.3, atol=0.03)
    by_class = np.array([gone[suite["missing-class"].target == code].mean(axis=0) for code in range(4)])
    assert (np.diff(by_class[:, 0]) > 0.1).all()
    assert (np.diff(by_class[:, 1]) < -0.1).all()


def test_missing_one(suite):
    present = suite["missing-one"].present
    assert present[:, 1].all()
    assert abs(present[:, 0].mean() - 0.5) < 0.03


def test_difficulty(suite):
    bunch = suite["difficulty"]
    assert score(bunch, "a") > score(bunch, "b") + 0.2
    assert score(bunch, "b") > CHANCE + 0.2


def test_interaction_unique(suite):
    bunch = suite["interaction-unique"]
    assert abs(score(bunch, "b") - CHANCE) < 0.03
    assert score(bunch, "a") > 0.85


def test_interaction_synergy(suite):
    bunch = suite["interaction-synergy"]
    assert abs(score(bunch, "a") - CHANCE) < 0.03
    assert abs(score(bunch, "b") - CHANCE) < 0.03
    assert score(bunch) > 0.75


def test_interaction_mixed(suite):
    bunch = suite["interaction-mixed"]
    assert CHANCE + 0.2 < max(score(bunch, "a"), score(bunch, "b")) < score(bunch) - 0.1


@pytest.mark.parametrize("pitfall", MIND_THE_GAP_PITFALLS)
def test_bunch_says_that_it_is_a_reconstruction(suite, pitfall):
    bunch = suite[pitfall]
    assert bunch.pitfall == pitfall
    assert "reconstruction" in bunch.DESCR
    assert pitfall in bunch.DESCR
    X, y = make_mind_the_gap(pitfall, 6000, random_state=0, return_X_y=True)
    assert np.asarray(X).tobytes() == np.asarray(bunch.data).tobytes()
    np.testing.assert_array_equal(y, bunch.target)


def test_defaults():
    bunch = make_mind_the_gap("missing")
    assert bunch.data.shape == (2000, 64)
    assert np.bincount(bunch.target).tolist() == [500] * 4


def test_unknown_pitfall_lists_what_there_is():
    with pytest.raises(ValueError, match=r"pitfall must be one of .*'interaction-mixed'.*got 'gap'"):
        make_mind_the_gap("gap")
