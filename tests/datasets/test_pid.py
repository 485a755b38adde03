"""The PID suite follows its formulae."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skmmal.datasets import make_pid_classification
from skmmal.datasets._pid import PID_SETTINGS


def scores(bunch):
    """Held-out accuracy of modality 0, of modality 1, and of both."""
    half = len(bunch.target) // 2
    found = []
    for X in (bunch.data["0"], bunch.data["1"], np.asarray(bunch.data)):
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        found.append(
            LogisticRegression(max_iter=300)
            .fit(X[:half], bunch.target[:half])
            .score(X[half:], bunch.target[half:])
        )
    return found


def test_redundancy_each_modality_knows_what_both_know():
    first, second, both = scores(make_pid_classification("redundancy", 4000, random_state=0))
    assert both > 0.8
    assert max(abs(both - first), abs(both - second)) < 0.02


@pytest.mark.parametrize("known", [0, 1])
def test_uniqueness_one_modality_knows(known):
    found = scores(make_pid_classification(f"uniqueness{known}", 6000, random_state=0))
    assert found[known] > 0.8
    assert abs(found[1 - known] - 0.5) < 0.03
    assert abs(found[known] - found[2]) < 0.02


def test_synergy_is_additive_each_modality_knows_something():
    first, second, both = scores(make_pid_classification("synergy", 4000, random_state=0))
    assert min(first, second) > 0.65
    assert both > max(first, second) + 0.1


@pytest.mark.parametrize(
    ("setting", "correlated"),
    [
        ("redundancy", ["01"]),
        ("uniqueness0", ["0"]),
        ("uniqueness1", ["1"]),
        ("synergy", ["0", "1"]),
        *[(f"mix{k}", ["0", "1", "01"]) for k in (1, 2, 3, 4)],
        ("mix5", ["1", "01"]),
        ("mix6", ["1", "01"]),
    ],
)
def test_score_depends_on_the_latents_of_the_setting(setting, correlated):
    """The mean slope of the score is the share of a latent's dimensions, over the number of all of them."""
    bunch = make_pid_classification(setting, 20_000, random_state=0)
    logit = np.log(bunch.latents.score / (1 - bunch.latents.score))
    chosen = [int(share * 5) for share in PID_SETTINGS[setting].shares]
    for part, n_dims in zip(("0", "1", "01"), chosen, strict=True):
        w = bunch.latents.factors[part]
        np.testing.assert_allclose(w.var(axis=0), 1.5, rtol=0.06)
        slope = w.T @ logit / len(w) / 1.5  # dropout rescales, so it does not change the mean
        np.testing.assert_allclose(slope, n_dims / 5 / sum(chosen), atol=0.012)
        assert (n_dims > 0) == (part in correlated)


def test_blocks_are_the_mapped_latents_and_classes_cut_the_score():
    bunch = make_pid_classification("mix2", 1001, n_classes=4, latent_dim=3, transform_dim=7, random_state=2)
    factors, maps = bunch.latents.factors, bunch.latents.maps
    assert bunch.data.modalities == {"0": 14, "1": 14}
    for m in ("0", "1"):
        np.testing.assert_allclose(bunch.data[m][:, :7], factors[m] @ maps[m])
        np.testing.assert_allclose(bunch.data[m][:, 7:], factors["01"] @ maps["01"])
    for mapping in maps.values():
        assert mapping.shape == (3, 7)
        assert 0 <= mapping.min() < mapping.max() <= 1
    counts = np.bincount(bunch.target)
    assert counts.sum() == 1001
    assert np.ptp(counts) <= 1
    by_class = [bunch.latents.score[bunch.target == code] for code in range(4)]
    assert all(low.max() <= high.min() for low, high in pairwise(by_class))


def test_defaults_are_the_suites():
    bunch = make_pid_classification(random_state=0)
    assert bunch.data.shape == (20_000, 128)
    assert np.bincount(bunch.target).tolist() == [10_000, 10_000]
    assert bunch.target_names.tolist() == ["0", "1"]
    assert "redundancy" in bunch.DESCR


@pytest.mark.parametrize("setting", PID_SETTINGS)
def test_same_seed_same_bytes(setting):
    before = np.random.get_state()  # noqa: NPY002
    X, y = make_pid_classification(setting, 60, random_state=1, return_X_y=True)
    again = make_pid_classification(setting, 60, random_state=1)
    after = np.random.get_state()  # noqa: NPY002
    assert np.asarray(X).tobytes() == np.asarray(again.data).tobytes()
    assert y.tobytes() == again.target.tobytes()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    other, _ = make_pid_classification(setting, 60, random_state=2, return_X_y=True)
    assert np.asarray(X).tobytes() != np.asarray(other).tobytes()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"setting": "mix7"}, ValueError, "setting must be one of .*'mix6'.*got 'mix7'"),
        ({"n_samples": 1}, ValueError, "n_samples must be at least 2, got 1"),
        ({"n_classes": 1}, ValueError, "n_classes must be at least 2"),
        ({"latent_dim": 0}, ValueError, "latent_dim must be at least 1"),
        ({"transform_dim": 1.5}, TypeError, "transform_dim must be an integer"),
        ({"setting": "mix1", "latent_dim": 1}, ValueError, "latent_dim=1 leaves setting 'mix1' no dimension"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        make_pid_classification(**arguments)
