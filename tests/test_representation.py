"""CrossModalEncoder against closed forms, invariants and scikit-learn's own checks."""

import copy
import pickle

import numpy as np
import pytest
import torch
from samples import containers, make_blocks
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import skmmal._chunks
from skmmal import CrossModalEncoder, MultimodalArray
from skmmal.representation._cross_modal_encoder import info_nce, prototype_loss, spherical_k_means


@parametrize_with_checks(
    [
        CrossModalEncoder(n_components=4, max_iter=5, random_state=0),
        CrossModalEncoder(n_components=4, hidden_dim=8, max_iter=5, random_state=0),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def paired(n=300, widths=(20, 12), seed=0, n_classes=6):
    """Two modalities that show one latent cause, through different maps."""
    rng = np.random.default_rng(seed)
    latent = 2 * rng.standard_normal((n_classes, 5))[np.arange(n) % n_classes] + 0.5 * rng.standard_normal((n, 5))
    return {f"m{i}": np.maximum(latent @ rng.standard_normal((5, w)), 0) for i, w in enumerate(widths)}


def unit(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


# ------------------------------------------------------------------------------------------------- the formulas


def test_info_nce_is_the_formula():
    rng = np.random.default_rng(0)
    a, b = unit(rng.standard_normal((7, 4))), unit(rng.standard_normal((7, 4)))
    similarity = np.exp(a @ b.T / 0.2)
    forward = [-np.log(similarity[i, i] / similarity[i].sum()) for i in range(7)]
    backward = [-np.log(similarity[i, i] / similarity[:, i].sum()) for i in range(7)]
    expected = 0.5 * (np.mean(forward) + np.mean(backward))
    assert float(info_nce(torch.tensor(a), torch.tensor(b), 0.2)) == pytest.approx(expected, rel=1e-12)


def test_prototype_loss_is_the_formula():
    rng = np.random.default_rng(0)
    u, centres = unit(rng.standard_normal((9, 4))), unit(rng.standard_normal((3, 4)))
    expected = 0.0
    for row in u:
        weights = np.exp([row @ c / 0.3 for c in centres])
        expected -= np.log(weights.max() / weights.sum()) / 9
    assert float(prototype_loss(torch.tensor(u), torch.tensor(centres), 0.3)) == pytest.approx(expected, rel=1e-12)


def test_spherical_k_means_never_loses_similarity_and_keeps_empty_centres():
    rng = np.random.default_rng(0)
    u = torch.tensor(unit(rng.standard_normal((200, 5))))
    centres = torch.tensor(unit(rng.standard_normal((6, 5))))
    reached = [float((u @ centres.T).max(dim=1).values.mean())]
    for _ in range(5):
        centres = spherical_k_means(u, centres, 1)
        reached.append(float((u @ centres.T).max(dim=1).values.mean()))
    assert reached == sorted(reached)
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(6, dtype=torch.float64))
    pole = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    moved = spherical_k_means(torch.tensor([[0.6, 0.8]], dtype=torch.float64), pole, 2)
    torch.testing.assert_close(moved, torch.tensor([[0.6, 0.8], [-1.0, 0.0]], dtype=torch.float64))


# ------------------------------------------------------------------------------------------------- what it learns


def test_pairs_come_together_and_strangers_do_not():
    A = MultimodalArray(paired())
    encoder = CrossModalEncoder(n_components=16, random_state=0)
    untrained = clone(encoder).set_params(max_iter=0).fit(A).transform(A)
    trained = encoder.fit(A).transform(A)

    def margin(Z):
        pairs = (Z["m0"] * Z["m1"]).sum(axis=1)
        strangers = (Z["m0"] * np.roll(Z["m1"], 1, axis=0)).sum(axis=1)
        return pairs.mean() - strangers.mean()

    assert margin(trained) > 0.5
    assert margin(trained) > margin(untrained) + 0.3
    assert encoder.loss_curve_[-1] < encoder.loss_curve_[0]
    assert encoder.n_iter_ == len(encoder.loss_curve_) == 50


def test_the_reported_gaps_are_the_distances_between_mean_projections():
    A = MultimodalArray(paired(widths=(8, 6, 7)))
    encoder = CrossModalEncoder(n_components=6, max_iter=4, random_state=0).fit(A)
    untrained = clone(encoder).set_params(max_iter=0).fit(A)
    for Z, gaps, mean in (
        (encoder.transform(A), encoder.modality_gaps_after_, encoder.modality_gap_after_),
        (untrained.transform(A), encoder.modality_gaps_before_, encoder.modality_gap_before_),
    ):
        expected = {
            (a, b): np.linalg.norm(Z[a].mean(axis=0) - Z[b].mean(axis=0))
            for a, b in (("m0", "m1"), ("m0", "m2"), ("m1", "m2"))
        }
        assert gaps == pytest.approx(expected, rel=1e-9)
        assert mean == pytest.approx(np.mean(list(expected.values())), rel=1e-9)


@pytest.mark.parametrize("temperature", [0.05, 0.1])
def test_prototypes_shrink_the_gap(temperature):
    """Rectified heads start with a wide gap. Training with prototypes shrinks it, and more so than without."""
    A = MultimodalArray(paired(400, n_classes=8))
    after = {}
    for weight in (0.0, 1.0, 4.0):
        encoder = CrossModalEncoder(
            hidden_dim=64, lambda_proto=weight, temperature=temperature, max_iter=15, learning_rate=1e-3
        )
        fits = [clone(encoder).set_params(random_state=seed).fit(A) for seed in range(3)]
        before = np.mean([each.modality_gap_before_ for each in fits])
        after[weight] = np.mean([each.modality_gap_after_ for each in fits])
    assert after[4.0] < after[1.0] < after[0.0]
    assert after[1.0] < 0.9 * before


# ---------------------------------------------------------------------------------------- any number of modalities


@pytest.mark.parametrize("n_modalities", [1, 2, 3, 5])
def test_any_number_of_modalities(n_modalities):
    A = MultimodalArray(paired(80, widths=(6, 4, 7, 3, 5)[:n_modalities]))
    encoder = CrossModalEncoder(n_components=5, max_iter=3, random_state=0).fit(A)
    Z = encoder.transform(A)
    assert list(Z.modalities.items()) == [(f"m{i}", 5) for i in range(n_modalities)]
    for block in Z.blocks.values():
        np.testing.assert_allclose(np.linalg.norm(block, axis=1), 1, rtol=1e-9)
    assert len(encoder.modality_gaps_after_) == n_modalities * (n_modalities - 1) // 2
    if n_modalities == 1:
        assert encoder.modality_gap_before_ == encoder.modality_gap_after_ == 0.0


def test_missing_blocks_stay_missing_and_leave_the_other_rows_alone():
    blocks, _ = make_blocks(n=90, widths={"a": 6, "b": 4, "c": 5}, missing=0.3)
    A = MultimodalArray(blocks)
    encoder = CrossModalEncoder(n_components=4, max_iter=5, random_state=0).fit(A)
    Z = encoder.transform(A)
    for name, block in blocks.items():
        absent = np.isnan(block[:, 0])
        assert absent.any()
        assert np.isnan(Z[name][absent]).all()
        assert np.isfinite(Z[name][~absent]).all()
    # a modality projects the same whether or not the row's others are there
    alone = A[:1]
    there = [name for name in blocks if not np.isnan(blocks[name][0, 0])]
    without = MultimodalArray(
        {name: block[:1] if name == there[0] else np.full_like(block[:1], np.nan) for name, block in blocks.items()}
    )
    np.testing.assert_allclose(encoder.transform(without)[there[0]], encoder.transform(alone)[there[0]])


def test_modalities_that_never_meet_or_are_never_there():
    a, b = np.random.default_rng(0).standard_normal((2, 40, 3))
    apart_a, apart_b = a.copy(), b.copy()
    apart_a[:20], apart_b[20:] = np.nan, np.nan
    Z = CrossModalEncoder(n_components=2, max_iter=2, random_state=0).fit_transform({"a": apart_a, "b": apart_b})
    assert np.isfinite(Z["a"][20:]).all()
    assert np.isfinite(Z["b"][:20]).all()


def test_without_anything_to_learn_the_heads_stay_as_drawn():
    A = {"only": np.random.default_rng(0).standard_normal((30, 4))}
    still = CrossModalEncoder(n_components=3, lambda_proto=0, max_iter=4, random_state=0)
    np.testing.assert_array_equal(
        still.fit_transform(A)["only"], clone(still).set_params(max_iter=0).fit_transform(A)["only"]
    )


# ------------------------------------------------------------------------------------------ what must not matter


def test_every_form_of_x():
    blocks, _ = make_blocks(n=60, missing=0.2)
    answers = {}
    for form, (X, modalities) in containers(blocks).items():
        Z = CrossModalEncoder(modalities, n_components=3, max_iter=3, random_state=0).fit_transform(X)
        answers[form] = Z if isinstance(Z, np.ndarray) else np.asarray(Z)
    for form, Z in answers.items():
        np.testing.assert_allclose(Z, answers["multimodal"], rtol=1e-9, err_msg=form)


def test_order_of_modalities_and_units_of_columns_do_not_matter():
    blocks = paired(80)
    encoder = CrossModalEncoder(n_components=4, max_iter=5, random_state=0)
    Z = encoder.fit_transform(blocks)
    swapped = encoder.fit_transform({"m1": 1000 * blocks["m1"] + 7, "m0": blocks["m0"]})
    for name in blocks:
        np.testing.assert_allclose(swapped[name], Z[name], atol=1e-6)


def test_seeds_chunks_and_global_generators(monkeypatch):
    A = MultimodalArray(paired(150))
    encoder = CrossModalEncoder(n_components=4, max_iter=4, random_state=3)
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    Z = np.asarray(encoder.fit_transform(A))
    np.testing.assert_array_equal(np.asarray(clone(encoder).fit_transform(A)), Z)
    other = np.asarray(clone(encoder).set_params(random_state=4).fit_transform(A))
    assert np.abs(other - Z).max() > 0.01
    monkeypatch.setattr(skmmal._chunks, "CHUNK_ELEMENTS", 512)
    np.testing.assert_allclose(np.asarray(clone(encoder).fit_transform(A)), Z, atol=1e-8)
    CrossModalEncoder(max_iter=1).fit(A)
    assert (torch.random.get_rng_state() == torch_state).all()
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


def test_float32_stays_float32_and_the_pickle_answers_alike():
    A = MultimodalArray({name: block.astype(np.float32) for name, block in paired(60).items()})
    encoder = CrossModalEncoder(n_components=3, max_iter=2, max_samples=32, random_state=0).fit(A)
    Z = encoder.transform(A)
    assert Z.dtype == np.float32
    for copied in (pickle.loads(pickle.dumps(encoder)), copy.deepcopy(encoder)):
        np.testing.assert_array_equal(np.asarray(copied.transform(A)), np.asarray(Z))


def test_errors_name_modality_and_row():
    blocks, _ = make_blocks(n=20)
    blocks["text"][4, 1] = np.nan
    with pytest.raises(ValueError, match="modality 'text' is partly NaN in row 4"):
        CrossModalEncoder().fit(blocks)
    with pytest.raises(ValueError, match="temperature"):
        CrossModalEncoder(temperature=0).fit(paired(20))


def test_a_fit_that_fails_leaves_nothing_fitted():
    encoder = CrossModalEncoder(n_components=2, max_iter=1).fit(make_blocks(n=8)[0])
    with pytest.raises(ValueError, match="modality 'image' holds values that are too large"):
        encoder.fit({"image": np.array([[1e200], [-1e200]]), "text": np.ones((2, 1))})
    with pytest.raises(NotFittedError):
        encoder.transform(make_blocks(n=8)[0])
