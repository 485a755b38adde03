"""Linear heads as arrays, and the network that they are."""

import copy
import pickle

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from samples import make_blocks
from scipy.special import softmax

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.heads import ConcatFusion, LateFusionModule, LinearHeads
from skmmal.heads._linear_network import as_network, linear_heads_of

WIDTHS = {"a": 5, "b": 4, "c": 2}


def problem(complete=False):
    blocks, y = make_blocks(n=80, widths=WIDTHS)
    if not complete:
        blocks["a"][1::7], blocks["c"][3::7] = np.nan, np.nan
        blocks["b"][y == 2] = np.nan  # a class that one own head has not met
    return MultimodalArray(blocks), y


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_the_network_says_the_same(fusion):
    X, y = problem()
    clf = LateFusionClassifier(fusion=fusion).fit(X, y)
    assert isinstance(clf.heads_, LinearHeads)
    module = clf.module_
    assert isinstance(module, LateFusionModule)
    assert clf.module_ is module
    present = torch.from_numpy(np.column_stack([~np.isnan(block[:, 0]) for block in X.blocks.values()]))
    z = module.embed([torch.from_numpy(np.nan_to_num(block)) for block in X.blocks.values()], present)
    with torch.no_grad():
        np.testing.assert_allclose(softmax(module.fused_logits(z, present).numpy(), axis=1), clf.predict_proba(X), atol=1e-12)
        own = [softmax(logits.numpy(), axis=1) for logits in module.head.own_logits(z)]
        weights, intercepts = (part.numpy() for part in module.head.last_layer())
    for expected, found in zip(own, clf.predict_proba_by_modality(X).values(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
    assert clf.predict_proba_by_modality(X)["b"][:, 2].max() < 1e-12
    np.testing.assert_allclose(clf.heads_.fused.weight, weights, atol=1e-15)
    np.testing.assert_allclose(clf.heads_.fused.intercept, intercepts, atol=1e-15)
    np.testing.assert_array_equal(module.met, clf.heads_.met)


@pytest.mark.parametrize("fusion", ["concat", "sum"])
@pytest.mark.parametrize("solver", ["auto", "adamw"])
def test_the_network_is_on_the_same_memory_and_a_copy_is_not(solver, fusion):
    X, y = problem()
    clf = LateFusionClassifier(fusion=fusion, solver=solver, max_iter=50, random_state=0).fit(X, y)
    with torch.no_grad():
        clf.module_.head.unimodal[0].weight *= 2.0
    doubled = clf.heads_.own[0].weight.copy()
    others = [copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))]
    clf.heads_.own[0].weight[:] = 0.0
    assert not clf.module_.head.unimodal[0].weight.any()
    for other in others:
        np.testing.assert_array_equal(other.heads_.own[0].weight, doubled)
        np.testing.assert_array_equal(other.module_.head.unimodal[0].weight.detach().numpy(), doubled)


def test_torchs_own_generator_is_not_touched():
    X, y = problem()
    clf = LateFusionClassifier().fit(X, y)
    before = torch.random.get_rng_state()
    assert clf.module_ is not None
    assert torch.equal(torch.random.get_rng_state(), before)


def test_there_and_back():
    rng = np.random.default_rng(0)
    for is_sum in (False, True):
        heads = LinearHeads.zeros([3, 2], 4, is_sum=is_sum)
        for each in heads.maps:
            each.weight[:], each.intercept[:] = rng.standard_normal(each.weight.shape), rng.standard_normal(4)
        again = linear_heads_of(as_network(heads))
        assert again.is_sum == is_sum
        for old, new in zip(heads.maps, again.maps, strict=True):
            assert np.shares_memory(old.weight, new.weight)
            assert np.shares_memory(old.intercept, new.intercept)
        blocks = [rng.standard_normal((6, 3)), rng.standard_normal((6, 2))]
        own = heads.own_logits(blocks)
        by_hand = (own[0] + own[1]) / 2 if is_sum else np.hstack(blocks) @ heads.maps[0].weight.T + heads.maps[0].intercept
        np.testing.assert_allclose(heads.fused_logits(blocks), by_hand, atol=1e-14)


class OwnFusion(ConcatFusion):
    """A head of a user's own, which may do anything."""


def test_what_is_arrays_and_what_a_network():
    X, y = problem(complete=True)
    batches = {"max_iter": 2, "random_state": 0}
    for params in ({}, {"fusion": ConcatFusion}, {"solver": "sgd", **batches}, {"balancing": "modality-dropout", **batches}):
        assert isinstance(LateFusionClassifier(**params).fit(X, y).heads_, LinearHeads), params
    for params in ({"encoder_dim": {"a": 3}}, {"dropout": 0.1}, {"fusion": "gated"}, {"fusion": OwnFusion}, {"missing": "token", "modality_dropout": 0.1}):
        clf = LateFusionClassifier(**params, **batches).fit(X, y)
        assert clf.module_ is clf.heads_, params
    np.testing.assert_allclose(
        LateFusionClassifier(fusion=ConcatFusion).fit(X, y).predict_proba(X), LateFusionClassifier().fit(X, y).predict_proba(X)
    )
    assert not hasattr(LateFusionClassifier(), "module_")


def test_a_warm_start_from_arrays_to_batches_and_back():
    X, y = problem()
    clf = LateFusionClassifier(warm_start=True).fit(X, y)
    expected = clf.predict_proba(X)
    clf.set_params(solver="adamw", max_iter=1, learning_rate=1e-12, random_state=0).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-5)
    clf.set_params(solver="auto", max_iter=200).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-6)
    with pytest.raises(ValueError, match="shape has changed"):
        clf.set_params(fusion="sum").fit(X, y)
    with pytest.raises(ValueError, match="shape has changed"):
        clf.set_params(fusion="concat", encoder_dim=3, solver="auto", max_iter=2).fit(X, y)


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_folders_have_the_names_that_they_always_had(tmp_path, fusion):
    X, y = problem()
    clf = LateFusionClassifier(fusion=fusion, warm_start="anchor").fit(X, y).fit(X[:20], y[:20])
    clf.save(tmp_path / "model")
    saved = load_file(tmp_path / "model" / "weights.safetensors")
    layers = [*(["head.fused"] if fusion == "concat" else []), *(f"head.unimodal.{m}" for m in range(3))]
    names = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")} | {"centre"}
    assert set(saved) == names | {f"anchor_.{name}" for name in names}
    state = clf.module_.state_dict()
    assert set(state) == names - {"centre"}
    for name, values in state.items():
        np.testing.assert_array_equal(saved[name], values.numpy())
    again = LateFusionClassifier.load(tmp_path / "model")
    for one, other in ((clf.heads_, again.heads_), (clf.anchor_, again.anchor_)):
        np.testing.assert_array_equal(one.met, other.met)
        np.testing.assert_array_equal(one.center, other.center)
    np.testing.assert_array_equal(clf.fit(X[:30], y[:30]).predict_proba(X), again.fit(X[:30], y[:30]).predict_proba(X))
