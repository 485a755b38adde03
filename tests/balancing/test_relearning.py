"""Diagnosing and re-learning: purity, the hold-out, and what becomes of the weights."""

import warnings
from itertools import permutations

import numpy as np
import pytest
import torch
from samples import make_blocks

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.balancing import DiagnosingRelearning, purity, relearning_weights
from skmmal.balancing._relearning import stratified_holdout


def test_purity_of_separated_clusters():
    """Clusters that k-means cannot miss; purity is what one counts."""
    rng = np.random.default_rng(0)
    cluster = np.repeat([0, 1, 2], 20)
    features = np.column_stack([cluster * 10.0, cluster * -4.0, np.zeros(60)]) + rng.normal(0, 0.1, (60, 3)) * [1, 1, 0]
    labels = cluster.copy()
    labels[[0, 1, 2, 25]] = [1, 1, 2, 0]
    assert purity(features, labels, 3) == pytest.approx((17 + 19 + 20) / 60)
    for renamed in permutations(range(3)):
        assert purity(features, np.array(renamed)[labels], 3) == pytest.approx(56 / 60)


def test_purity_does_not_depend_on_the_units_of_a_column():
    rng = np.random.default_rng(1)
    features, labels = rng.standard_normal((80, 4)), rng.integers(0, 3, 80)
    assert purity(features, labels, 3) == purity(features * [1e-3, 1.0, 1e4, 7.0] + 5.0, labels, 3)


def test_purity_where_there_is_nothing_to_cluster():
    labels = np.array([0, 0, 0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert purity(np.zeros((4, 3)), labels, 3) == 0.75
        assert purity(np.array([[0.0], [0.0], [1.0], [1.0]]), labels, 3) == 0.75


def test_weights():
    weights = relearning_weights(np.array([0.9, 0.6, 0.5]), np.array([0.7, 0.6, np.nan]), 3.0)
    np.testing.assert_allclose(weights, [np.tanh(0.6), 0.0, 0.0])
    assert relearning_weights(np.array([0.9]), np.array([0.1]), 0.0).tolist() == [0.0]
    assert relearning_weights(np.array([0.9, 0.9]), np.array([0.1, 0.9]), 1e9).tolist() == [1.0, 0.0]


def test_the_holdout_is_stratified_and_leaves_a_row_of_each_class():
    labels = torch.tensor([0] * 40 + [1] * 10 + [2] * 3 + [3])
    for seed in range(5):
        held = stratified_holdout(labels, 0.2, torch.Generator().manual_seed(seed))
        assert torch.bincount(labels[held], minlength=4).tolist() == [8, 2, 1, 0]
        most = stratified_holdout(labels, 0.99, torch.Generator().manual_seed(seed))
        assert torch.bincount(labels[~most], minlength=4).tolist() == [1, 1, 1, 1]
    drawn = [tuple(stratified_holdout(labels, 0.2, torch.Generator().manual_seed(s)).tolist()) for s in range(5)]
    assert len(set(drawn)) == 5


def test_one_diagnosis(tiny):
    """Weights after it are the mix of the weights before and the initial ones, by encoder; heads are kept."""
    problem = tiny(n=60, missing=0.2)
    method = DiagnosingRelearning(strength=2.0, period=3, holdout=0.3)
    start = problem.copy()
    seen = {}
    forget = method._forget

    def spy(weights):
        seen.update(before=problem.copy(), weights=weights)
        forget(weights)
        seen.update(after=problem.copy())

    method._forget = spy
    done = problem.run(method, n_epochs=5)
    assert [line["epoch"] for line in done.log] == [2, 2]
    held = torch.zeros(60, dtype=torch.bool)
    held[method._held] = True
    assert int(held.sum()) == 18
    purities = []
    for rows in (~held, held):
        z = problem.embeddings(seen["before"])
        purities.append(
            [
                purity(v[rows & problem.present[:, m]].numpy(), problem.y[rows & problem.present[:, m]].numpy(), 3)
                for m, v in enumerate(z)
            ]
        )
    expected = np.tanh(2.0 * np.abs(np.subtract(*purities)))
    assert (expected > 0).any()
    np.testing.assert_allclose(seen["weights"], expected)
    np.testing.assert_allclose([line["weight"] for line in done.log], expected)
    for name in start:
        mixed = seen["before"][name]
        if name.startswith("encoders"):
            w = expected[int(name.split(".")[1])]
            mixed = w * start[name] + (1 - w) * mixed
        np.testing.assert_allclose(seen["after"][name].numpy(), mixed.numpy(), atol=1e-12)


def test_endless_strength_gives_the_initial_encoders(tiny):
    problem = tiny(n=60, missing=0.0, seed=2)
    start = problem.copy()
    method = DiagnosingRelearning(strength=1e12, period=2, holdout=0.3)
    at_the_time = {}
    forget = method._forget
    method._forget = lambda weights: (forget(weights), at_the_time.update(problem.copy()))
    done = problem.run(method, n_epochs=3)
    gaps = [line["purity_train"] != line["purity_holdout"] for line in done.log]
    assert any(gaps)
    for m, gap in enumerate(gaps):
        name = f"encoders.{m}.layers.0.weight"
        assert torch.equal(at_the_time[name], start[name]) == gap


def test_no_strength_is_training_without_the_holdout(tiny):
    a, b = tiny(n=60), tiny(n=60)
    done = a.run(DiagnosingRelearning(strength=0.0, period=2), n_epochs=6)
    assert len(done.log) == 4
    assert all(line["weight"] == 0.0 for line in done.log)
    b.run(DiagnosingRelearning(strength=5.0, max_times=0), n_epochs=6)
    for p, q in zip(a.module.parameters(), b.module.parameters(), strict=True):
        assert torch.equal(p, q)


def test_when_it_diagnoses(tiny):
    for n_epochs, period, times, epochs in [(12, 3, 2, [2, 5]), (12, 3, 9, [2, 5, 8]), (4, 4, 3, []), (5, 4, 3, [3])]:
        log = tiny(n=60).run(DiagnosingRelearning(period=period, max_times=times), n_epochs=n_epochs).log
        assert sorted({line["epoch"] for line in log}) == epochs


def test_a_small_holdout_is_skipped_with_a_warning(tiny):
    plain, problem = tiny(n=12), tiny(n=12)
    plain.run(n_epochs=4, batch_size=5)
    with pytest.warns(UserWarning, match=r"hold out 3 of 12 labelled rows and needs 6"):
        done = problem.run(DiagnosingRelearning(period=1), n_epochs=4, batch_size=5)
    assert done.log == []
    for p, q in zip(plain.module.parameters(), problem.module.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_modality_without_an_encoder_or_enough_rows_is_left_alone():
    blocks, y = make_blocks(n=90, widths={"a": 5, "b": 3, "c": 4})
    blocks["c"][10:] = np.nan
    method = DiagnosingRelearning(period=2)
    clf = LateFusionClassifier(encoder_dim={"a": 4, "c": 4}, balancing=method, max_iter=4, random_state=0)
    log = clf.fit(MultimodalArray(blocks), y).balancing_log_
    by_name = {line["modality"]: line for line in log}
    assert np.isfinite(by_name["a"]["purity_holdout"])
    for name in ("b", "c"):
        assert np.isnan(by_name[name]["purity_holdout"])
        assert by_name[name]["weight"] == 0.0


def test_the_optimisers_state_is_kept(tiny):
    problem = tiny(n=60)
    run = problem.run(DiagnosingRelearning(period=2), n_epochs=5, solver="adamw").run
    steps = {float(state["step"]) for state in run.optimizer.state.values()}
    assert steps == {5.0}
