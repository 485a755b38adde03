"""Missing modalities through every fusion: learned stand-ins, losses, contributions, embeddings, selection."""

import warnings

import numpy as np
import pytest
import torch
from samples import make_blocks
from scipy.special import log_softmax, softmax
from torch.func import functional_call

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.contributions import balance_weights, shapley_values
from skmmal.heads import FUSIONS
from skmmal.query import get_strategy
from skmmal.reading import read

WIDTHS = {"a": 6, "b": 5, "c": 4}
NAMES = list(FUSIONS)


def data(n=90, missing=0.3, seed=0):
    blocks, y = make_blocks(n, WIDTHS, seed, missing)
    return MultimodalArray(blocks), y


def presence(X):
    return np.column_stack([~np.isnan(block[:, 0]) for block in X.blocks.values()])


def quick(fusion, **params):
    params = {"random_state": 0, "max_iter": 20, "learning_rate": 0.02, "missing": "token", "solver": "adamw", **params}
    return LateFusionClassifier(fusion=fusion, **params)


def as_tensors(X):
    return [torch.from_numpy(np.nan_to_num(block)) for block in X.blocks.values()], torch.from_numpy(presence(X))


def tokens_of(clf):
    return [token.detach().numpy() for token in clf.module_.absent]


# -------------------------------------------------------------------------------------------- learned embeddings


@pytest.mark.parametrize("fusion", NAMES)
def test_a_token_stands_in_for_what_is_absent(fusion):
    """Predictions are those on rows whose embedding is the token's values."""
    X, y = data()
    clf = quick(fusion).fit(X, y)
    tokens = tokens_of(clf)
    assert all(np.abs(token).max() > 1e-3 for token in tokens)
    there = presence(X)
    filled = MultimodalArray(
        {n: np.where(there[:, [m]], b, tokens[m]) for m, (n, b) in enumerate(X.blocks.items())}
    )
    np.testing.assert_allclose(clf.predict_proba(X), clf.predict_proba(filled), atol=1e-12)
    own, own_filled = clf.predict_proba_by_modality(X), clf.predict_proba_by_modality(filled)
    for name in WIDTHS:
        np.testing.assert_allclose(own[name], own_filled[name], atol=1e-12)


@pytest.mark.parametrize("fusion", NAMES)
def test_gradient_of_the_tokens(fusion):
    """Against finite differences; and rows that have a modality do not move its token."""
    X, y = data(n=30)
    module = quick(fusion, max_iter=3).fit(X, y).module_
    blocks, present = as_tensors(X)
    labels = torch.from_numpy(y)

    def loss(*tokens, rows=slice(None)):
        values = {f"absent.{m}": token for m, token in enumerate(tokens)}
        logits = functional_call(module, values, ([block[rows] for block in blocks], present[rows]))
        return torch.nn.functional.cross_entropy(logits, labels[rows])

    tokens = tuple((token.detach() + 0.1).requires_grad_() for token in module.absent)
    assert torch.autograd.gradcheck(loss, tokens)
    for m in range(3):
        (gradient,) = torch.autograd.grad(loss(*tokens, rows=present[:, m]), tokens[m], allow_unused=True)
        assert gradient is None or (gradient == 0).all()
        (gradient,) = torch.autograd.grad(loss(*tokens, rows=~present[:, m]), tokens[m])
        assert (gradient != 0).any()


def test_what_trains_the_tokens():
    X, y = data(missing=0.0)
    with pytest.warns(UserWarning, match=r"missing='token', but nothing trains .* set modality_dropout") as caught:
        idle = quick("concat").fit(X, y)
    assert caught[0].filename == __file__
    assert all((token == 0).all() for token in tokens_of(idle))
    # zeros stand for zeros: the same network as without tokens
    plain = quick("concat", missing="zero").fit(X, y)
    lost = MultimodalArray({**X.blocks, "b": np.full((90, 5), np.nan)})
    np.testing.assert_allclose(idle.predict_proba(lost), plain.predict_proba(lost), atol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dropped = quick("concat", modality_dropout=0.3).fit(X, y)
        some = quick("concat").fit(MultimodalArray({**X.blocks, "b": np.where(np.arange(90)[:, None] % 3, X["b"], np.nan)}), y)
    assert all((token != 0).any() for token in tokens_of(dropped))
    assert [bool((token != 0).any()) for token in tokens_of(some)] == [False, True, False]
    alone = MultimodalArray({"a": X["a"]})
    with pytest.warns(UserWarning, match="nothing trains"):  # a row's only modality is never dropped
        quick("concat", modality_dropout=0.3, max_iter=1).fit(alone, y)


def test_tokens_see_that_absence_means_something():
    """The class is whether modality b is there; a zero embedding is the middle of what is there."""
    X, _ = data(n=400, missing=0.0)
    there = np.random.default_rng(0).random(400) < 0.5
    blocks = {n: np.random.default_rng(i).normal(size=b.shape) for i, (n, b) in enumerate(X.blocks.items())}
    blocks["b"][~there] = np.nan
    X = MultimodalArray(blocks)
    accuracy = {missing: quick("concat", missing=missing, max_iter=60).fit(X, there).score(X, there) for missing in ("zero", "token")}
    assert accuracy["token"] > 0.95
    assert accuracy["zero"] < 0.75


def test_tokens_need_mini_batches():
    X, y = data()
    assert quick("concat", solver="auto", max_iter=7).fit(X, y).n_iter_ == 7  # epochs
    with pytest.raises(ValueError, match="needs the convex case.*missing='zero'"):
        quick("concat", solver="newton-cg").fit(X, y)
    with pytest.raises(ValueError, match="'missing' parameter"):
        quick("concat", missing="mean").fit(X, y)


@pytest.mark.parametrize("missing", ["zero", "token"])
@pytest.mark.parametrize("fusion", NAMES)
def test_losses_count_the_rows_that_have_the_modality(fusion, missing):
    """The first full-batch loss is the mean of the heads' weighted means, from the starting weights."""
    X, y = data()
    sample_weight = np.random.default_rng(0).random(90)
    clf = quick(fusion, missing=missing, batch_size=90, max_iter=1, learning_rate=1e-30).fit(X, y, sample_weight)
    there = presence(X)
    heads = [clf.predict_proba(X), *clf.predict_proba_by_modality(X).values()]
    losses = [
        np.average(-np.log(p[np.arange(90), y]), weights=sample_weight * counted)
        for p, counted in zip(heads, [np.ones(90), *there.T], strict=True)
    ]
    assert clf.loss_curve_[0] == pytest.approx(np.mean(losses), rel=1e-5)


# ------------------------------------------------------------------------------- what strategies get to see of it


@pytest.mark.parametrize("missing", ["zero", "token"])
@pytest.mark.parametrize("fusion", NAMES)
def test_contributions_and_gradient_embeddings(fusion, missing):
    X, y = data()
    clf = quick(fusion, missing=missing).fit(X, y)
    there = presence(X)
    proba = clf.predict_proba(X)
    target = proba.argmax(axis=1)

    def value(kept):
        if (there & kept).any(axis=1).all():  # a row that has nothing cannot be predicted from outside
            cut = {n: np.where(k, b, np.nan) for (n, b), k in zip(X.blocks.items(), kept, strict=True)}
            p = clf.predict_proba(MultimodalArray(cut))
        else:
            blocks, present = as_tensors(X)
            with torch.no_grad():
                p = softmax(clf.module_(blocks, present & torch.from_numpy(kept)).numpy(), axis=1)
        return p[np.arange(90), target]

    phi = shapley_values(value, 3)
    np.testing.assert_allclose(phi[~there], 0, atol=1e-12)
    np.testing.assert_allclose(clf.shapley_values(X), phi, atol=1e-10)
    assert (clf.shapley_values(X)[~there] == 0).all()
    share = clf.modality_contributions(X)
    assert (share[~there] == 0).all()
    np.testing.assert_allclose(share.sum(axis=1), 1.0)
    single = there.sum(axis=1) == 1
    assert single.any()
    np.testing.assert_allclose(share[single], there[single])
    # gradients of the last layer: a block of weights for each modality, or one for their sum; none of an absent one
    embedded = clf.embed(X)
    for m, values in enumerate(embedded.values()):
        assert (values[~there[:, m]] == 0).all()
        assert np.isfinite(values).all()
        assert (values[there[:, m]] != 0).any(axis=1).all()
    residual = proba - np.eye(3)[target]
    blocks = [residual[:, :, None] * values[:, None, :] for values in embedded.values()]
    shared = fusion not in ("concat", "sum")
    badge = sum(blocks).reshape(90, -1) if shared else np.hstack([block.reshape(90, -1) for block in blocks])
    np.testing.assert_allclose(get_strategy("badge").embedding(clf, X).inner(), badge @ badge.T, atol=1e-5)
    scale = balance_weights(share)
    bmmal = np.concatenate([(scale[:, [m]] * block.reshape(90, -1)) for m, block in enumerate(blocks)], axis=1)
    np.testing.assert_allclose(get_strategy("bmmal").embedding(clf, X).inner(), bmmal @ bmmal.T, atol=1e-5)


@pytest.mark.parametrize("fusion", ["nl-gate", "gated", "attention", "sum", "concat"])
def test_the_gradient_embedding_is_the_gradient(fusion):
    """By automatic differentiation of the loss at the predicted class, by the weights that multiply the features."""
    X, y = data(n=30)
    clf = quick(fusion, missing="zero", max_iter=5).fit(X, y)
    blocks, present = as_tensors(X)
    found = get_strategy("badge").embedding(clf, X).inner()
    head = clf.module_.head
    gradients = []
    for i in range(30):
        row, there = [block[i : i + 1] for block in blocks], present[i : i + 1]
        if fusion == "sum":  # tied classifiers: the weights are those of their mean
            weights, intercepts = (values.detach() for values in head.last_layer())
            weight = weights.requires_grad_()
            logits = torch.cat(clf.module_.embed(row, there), dim=1) @ weight.T + intercepts
        else:
            weight, logits = head.fused.weight, clf.module_(row, there)
        (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, logits.argmax(dim=1)), weight)
        gradients.append(gradient.flatten())
    expected = torch.stack(gradients)
    expected = (expected @ expected.T).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


STRATEGIES = ["badge", "bmmal", "margin", "coreset", "deepfool", "dropquery", "alfa-mix", "bald", "bait", "mmcsal"]


@pytest.mark.parametrize("missing", ["zero", "token"])
@pytest.mark.parametrize("fusion", ["nl-gate", "gated", "attention"])
def test_strategies_run_on_every_fusion(fusion, missing):
    blocks, y = make_blocks(150, {"a": 6, "b": 20, "c": 12}, 0, 0.3)
    X = MultimodalArray({"a": blocks["a"], "b": blocks["b"].reshape(-1, 4, 5), "c": blocks["c"].reshape(-1, 2, 6)})
    clf = quick(fusion, missing=missing, max_iter=5).fit(X[:50], y[:50])
    for name in STRATEGIES:
        strategy = get_strategy(name)
        if "random_state" in strategy.get_params():
            strategy.set_params(random_state=0)
        batch = strategy.query(clf, X[50:], 6, X_labeled=X[:50], y_labeled=y[:50])
        assert len(set(batch.tolist())) == 6
        assert (batch >= 0).all()
        assert (batch < 100).all()
    assert [block.shape[0] for block in read(clf, X).head.blocks] == [150] * 3


@pytest.mark.parametrize("fusion", NAMES)
def test_save_and_warm_start_keep_the_tokens(tmp_path, fusion):
    X, y = data()
    clf = quick(fusion, warm_start=True).fit(X, y)
    clf.save(tmp_path / "model")
    again = LateFusionClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    for token, loaded in zip(tokens_of(clf), tokens_of(again), strict=True):
        np.testing.assert_array_equal(token, loaded)
    clf.set_params(learning_rate=1e-12).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), again.predict_proba(X), atol=1e-5)


def test_log_probabilities_of_all_rows_are_finite():
    X, y = data()
    for fusion in NAMES:
        clf = quick(fusion, modality_dropout=0.3, dropout=0.2, encoder_dim=4, max_iter=5).fit(X, y)
        assert np.isfinite(log_softmax(clf.decision_function(X), axis=1)).all()
        assert np.isfinite(clf.loss_curve_).all()
