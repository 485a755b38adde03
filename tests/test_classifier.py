"""LateFusionClassifier against scikit-learn, closed forms, the reference values and invariants."""

import json
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from samples import containers, make_blocks
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression

import skmmal._chunks
from skmmal import LateFusionClassifier, MultimodalArray
from skmmal._store import sealed
from skmmal.heads import ConcatFusion, Fusion


def logistic(**params):
    return LogisticRegression(tol=1e-10, max_iter=100_000, **params)


def resealed(text):
    """A description with a checksum that is right."""
    return json.dumps(sealed({key: value for key, value in json.loads(text).items() if key != "sha256"}))


def objective(features, y, classes, weight, intercept, C, sample_weight=None):
    """C Σ losses + ½‖W‖², as scikit-learn writes it."""
    log_p = log_softmax(features @ weight.T + intercept, axis=1)
    losses = -log_p[np.arange(len(y)), np.searchsorted(classes, y)]
    return C * np.average(losses, weights=sample_weight) * (len(y) if sample_weight is None else sum(sample_weight)) + (
        0.5 * (weight**2).sum()
    )


# ------------------------------------------------------------------------------------------- the convex solver


@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
@pytest.mark.parametrize("C", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("n", [40, 400])
def test_reaches_the_optimum_of_logistic_regression(solver, C, n, emoji):
    """Fewer rows than features, and more; every head of the fused model."""
    X, y = emoji
    X = X[:n] if n == 40 else MultimodalArray({name: block[:n, :60] for name, block in X.blocks.items()})
    y = y[:n]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf = LateFusionClassifier(C=C, solver=solver, max_iter=2000).fit(X, y)
    blocks = [block.astype(np.float64) for block in X.blocks.values()]
    heads = [clf.module_.head.fused, *clf.module_.head.unimodal]
    for features, head in zip([np.hstack(blocks), *blocks], heads, strict=True):
        peer = logistic(C=C).fit(features, y)
        ours = objective(features, y, clf.classes_, head.weight.detach().numpy(), head.bias.detach().numpy(), C)
        theirs = objective(features, y, clf.classes_, peer.coef_, peer.intercept_, C)
        assert ours <= theirs * (1 + 1e-6)
        p = softmax(features @ head.weight.detach().numpy().T + head.bias.detach().numpy(), axis=1)
        np.testing.assert_allclose(p, peer.predict_proba(features), atol=2e-4)


def test_one_modality_is_logistic_regression_binary_and_weighted():
    blocks, y = make_blocks(n=80)
    rng = np.random.default_rng(0)
    X, sample_weight = blocks["image"], rng.integers(0, 4, 80).astype(float)
    for labels in (y == 1, y):
        clf = LateFusionClassifier(C=0.7).fit(X, labels, sample_weight)
        peer = logistic(C=0.7).fit(X, labels, sample_weight)
        np.testing.assert_allclose(clf.predict_proba(X), peer.predict_proba(X), atol=1e-6)
        np.testing.assert_allclose(clf.decision_function(X), peer.decision_function(X), atol=1e-4)
    for class_weight in ("balanced", {0: 3.0, 2: 0.5}):
        uneven = y[:50]
        clf = LateFusionClassifier(class_weight=class_weight).fit(X[:50], uneven)
        peer = logistic(class_weight=class_weight).fit(X[:50], uneven)
        np.testing.assert_allclose(clf.predict_proba(X), peer.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_the_gradient_vanishes_at_the_solution(fusion):
    """Checked by automatic differentiation of the objective as documented, with missing modalities and weights."""
    blocks, y = make_blocks(n=90, widths={"a": 7, "b": 4, "c": 3}, missing=0.3)
    rng = np.random.default_rng(1)
    sample_weight = rng.random(90) + 0.1
    clf = LateFusionClassifier(fusion=fusion, C=2.0).fit(MultimodalArray(blocks), y, sample_weight)
    module = clf.module_
    present = np.column_stack([~np.isnan(block[:, 0]) for block in blocks.values()])
    z = [torch.from_numpy(np.nan_to_num(block)) for block in blocks.values()]
    labels, weights = torch.from_numpy(y), torch.from_numpy(2.0 * sample_weight)
    loss = 0.0
    for logits, counted in zip(
        [module.head(z), *module.head.unimodal_logits(z)], [np.ones(90, bool), *present.T], strict=True
    ):
        each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        loss = loss + (weights * each * torch.from_numpy(counted)).sum()
    loss = loss + 0.5 * sum((layer.weight**2).sum() for layer in module.head.class_layers())
    assert clf.loss_curve_[-1] == pytest.approx(float(loss), rel=1e-9)
    for gradient in torch.autograd.grad(loss, list(module.parameters())):
        assert float(gradient.abs().max()) < 1e-3


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_warm_start_reaches_the_same_optimum(emoji, fusion):
    X, y = emoji
    for n in (120, 360):
        warm = LateFusionClassifier(fusion=fusion, warm_start=True).fit(X[:n], y[:n], classes=np.unique(y))
        warm.fit(X[: n + 40], y[: n + 40], classes=np.unique(y))
        cold = LateFusionClassifier(fusion=fusion).fit(X[: n + 40], y[: n + 40], classes=np.unique(y))
        np.testing.assert_allclose(warm.predict_proba(X), cold.predict_proba(X), atol=1e-4)
        assert warm.n_iter_ <= cold.n_iter_
        again = warm.fit(X[: n + 40], y[: n + 40], classes=np.unique(y))
        assert again.n_iter_ == 1


def test_solver_that_does_not_finish_says_so(emoji):
    X, y = emoji
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        LateFusionClassifier(max_iter=2).fit(X[:100], y[:100])


def test_permuting_modalities_permutes_everything():
    blocks, y = make_blocks(missing=0.2)
    a = LateFusionClassifier().fit(MultimodalArray(blocks), y)
    swapped = dict(reversed(blocks.items()))
    b = LateFusionClassifier().fit(MultimodalArray(swapped), y)
    X = MultimodalArray(blocks)
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), atol=1e-8)
    np.testing.assert_allclose(a.modality_contributions(X), b.modality_contributions(X)[:, ::-1], atol=1e-6)
    # a fitted estimator takes blocks in any order
    np.testing.assert_allclose(a.predict_proba(MultimodalArray(swapped)), a.predict_proba(X), atol=1e-12)


# ----------------------------------------------------------------------------------------------- reference values


def set_weights(clf, reference):
    """Give the classifier the reference's weights."""
    head, weight = clf.module_.head, torch.from_numpy(reference["W"])
    with torch.no_grad():
        for layer, columns, bias in zip(head.unimodal, (slice(0, 6), slice(6, 15)), ("b", "b2"), strict=True):
            layer.weight.copy_(weight[:, columns])
            layer.bias.copy_(torch.from_numpy(reference[bias]))
        if reference["fusion"] == "concat":
            head.fused.weight.copy_(weight)
            head.fused.bias.copy_(torch.from_numpy(reference["b"]))


@pytest.fixture
def reference_model(reference):
    X = MultimodalArray({"m1": reference["z1"], "m2": reference["z2"]})
    clf = LateFusionClassifier(fusion=reference["fusion"]).fit(X, np.arange(160) % 5)
    set_weights(clf, reference)
    return clf, X


def test_the_papers_probabilities_and_contributions(reference, reference_model):
    clf, X = reference_model
    np.testing.assert_allclose(clf.predict_proba(X), reference["probs"], atol=1e-12)
    phi = np.column_stack([reference["shapley1"], reference["shapley2"]])
    np.testing.assert_allclose(clf.shapley_values(X), phi, atol=1e-12)
    share = np.column_stack([reference["contribution1"], reference["contribution2"]])
    np.testing.assert_allclose(clf.modality_contributions(X), share, atol=1e-10)


# -------------------------------------------------------------------------------------------------- missing data


@pytest.mark.parametrize("params", [{}, {"fusion": "sum"}, {"encoder_dim": 6, "random_state": 0, "max_iter": 20}])
def test_missing_modalities(params):
    blocks, y = make_blocks(n=120, widths={"a": 6, "b": 5, "c": 4}, missing=0.3)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(**params).fit(X, y)
    absent = np.column_stack([np.isnan(block[:, 0]) for block in blocks.values()])
    assert absent.any(axis=0).all()
    for m, values in enumerate(clf.embed(X).values()):
        assert (values[absent[:, m]] == 0).all()
        assert np.isfinite(values).all()
    for probabilities in (clf.predict_proba(X), *clf.predict_proba_by_modality(X).values()):
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    for y_or_none in (None, y):
        phi, share = clf.shapley_values(X, y_or_none), clf.modality_contributions(X, y_or_none)
        assert (phi[absent] == 0).all()
        assert (share[absent] == 0).all()
        np.testing.assert_allclose(share.sum(axis=1), 1)
    # efficiency: the values of a row sum to what all modalities add to none
    nothing = MultimodalArray({n: np.where([[i == 0] for i in range(120)], b, b) for n, b in blocks.items()})
    p_all = clf.predict_proba(nothing)
    z = [torch.zeros(120, e.n_out, dtype=torch.float64) for e in clf.module_.encoders]
    p_none = softmax(clf.module_.head(z).detach().numpy(), axis=1)
    rows, target = np.arange(120), p_all.argmax(axis=1)
    np.testing.assert_allclose(clf.shapley_values(X).sum(axis=1), (p_all - p_none)[rows, target], atol=1e-10)


def test_unimodal_heads_skip_the_rows_they_do_not_have():
    blocks, y = make_blocks(n=90, missing=0.4)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier().fit(X, y)
    for name, block in blocks.items():
        there = ~np.isnan(block[:, 0])
        peer = logistic().fit(block[there], y[there])
        np.testing.assert_allclose(
            clf.predict_proba_by_modality(X)[name][there], peer.predict_proba(block[there]), atol=1e-5
        )
        assert clf.score_by_modality(X, y)[name] == pytest.approx(peer.score(block[there], y[there]))
    assert clf.score_by_modality(X, y)["fused"] == clf.score(X, y)
    without = MultimodalArray({"image": blocks["image"][~np.isnan(blocks["image"][:, 0])]})
    empty = MultimodalArray({**without.blocks, "text": np.full((len(without), 3), np.nan)})
    assert np.isnan(clf.score_by_modality(empty, y[: len(without)])["text"])


def test_a_modality_that_is_missing_everywhere_in_training():
    blocks, y = make_blocks()
    blocks["text"][:] = np.nan
    clf = LateFusionClassifier().fit(MultimodalArray(blocks), y)
    assert clf.score(MultimodalArray(blocks), y) > 0.5
    probabilities = clf.predict_proba_by_modality(MultimodalArray(make_blocks()[0]))["text"]
    np.testing.assert_allclose(probabilities, 1 / 3)


# ------------------------------------------------------------------------------------------------ contributions


@pytest.mark.parametrize("n_modalities", [1, 3, 4])
def test_shapley_values_equal_predictions_with_modalities_zeroed(n_modalities):
    """The value of a coalition is what the network predicts on embeddings with the others zeroed."""
    widths = {f"m{i}": i + 2 for i in range(n_modalities)}
    blocks, y = make_blocks(n=40, widths=widths)
    X = MultimodalArray(blocks)
    for params in (
        {},
        {"fusion": "sum"},
        {"encoder_dim": 4, "random_state": 0, "max_iter": 5},
        {"fusion": NoisyFusion},
    ):
        clf = LateFusionClassifier(**params, **({"solver": "adamw"} if "fusion" in params else {})).fit(X, y)
        z = [torch.from_numpy(np.array(v, dtype=np.float64)) for v in clf.embed(X).values()]
        target = clf.predict_proba(X).argmax(axis=1)

        def value(present, clf=clf, z=z, target=target):
            kept = [v * float(p) for v, p in zip(z, present, strict=True)]
            return softmax(clf.module_.head(kept).detach().numpy(), axis=1)[np.arange(40), target]

        from skmmal.contributions import shapley_values

        np.testing.assert_allclose(clf.shapley_values(X), shapley_values(value, n_modalities), atol=1e-6)


class NoisyFusion(Fusion):
    """A head of one's own that is not linear: products of embeddings' sums."""

    def forward(self, embeddings):
        sums = torch.stack([z.sum(dim=1) for z in embeddings], dim=1)
        return sum(self.unimodal_logits(embeddings)) + sums.prod(dim=1, keepdim=True).tanh()


def test_a_class_of_ones_own():
    blocks, y = make_blocks()
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier()
    clf.fit(X, y)
    other = clf.modality_contributions(X, (y + 1) % 3)
    assert not np.allclose(other, clf.modality_contributions(X, y))
    with pytest.raises(ValueError, match=r"y has the label 9 in row 1.*not among the classes"):
        clf.modality_contributions(X[:2], [0, 9])


# ------------------------------------------------------------------------------------------------------- classes


@pytest.mark.parametrize(
    "params", [{}, {"solver": "adamw", "random_state": 0, "learning_rate": 0.05}, {"fusion": "sum"}]
)
def test_classes_keep_their_columns(params):
    blocks, y = make_blocks()
    names = np.array(["zebra", "ant", "moth", "bee"])  # neither sorted nor all seen
    labels = names[y]
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(**params).fit(X, labels, classes=names)
    assert clf.classes_.tolist() == names.tolist()
    p = clf.predict_proba(X)
    assert p.shape == (60, 4)
    assert (p[:, 3] < 1e-6).all()
    assert all((q[:, 3] < 1e-6).all() for q in clf.predict_proba_by_modality(X).values())
    assert clf.score(X, labels) > 0.6
    assert np.isfinite(clf.modality_contributions(X)).all()


@pytest.mark.parametrize("params", [{}, {"solver": "adamw", "random_state": 0}])
def test_one_class_only(params):
    blocks, _ = make_blocks()
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(**params).fit(X, np.zeros(60), classes=[2, 0, 1])
    np.testing.assert_allclose(clf.predict_proba(X), np.tile([0, 1, 0], (60, 1)), atol=1e-9)
    alone = LateFusionClassifier(**params).fit(X, np.full(60, "x"))
    assert alone.predict(X).tolist() == ["x"] * 60
    np.testing.assert_allclose(alone.predict_proba(X), 1)
    np.testing.assert_allclose(alone.modality_contributions(X), 0.5)


def test_a_new_class_under_warm_start():
    blocks, y = make_blocks(n=90)
    X = MultimodalArray(blocks)
    few = np.flatnonzero(y != 2)[:20]
    for classes in ([2, 1, 0], None):
        warm = LateFusionClassifier(warm_start=True).fit(X[few], y[few], classes=classes)
        warm.fit(X, y, classes=classes)
        cold = LateFusionClassifier().fit(X, y, classes=classes)
        np.testing.assert_allclose(warm.predict_proba(X), cold.predict_proba(X), atol=1e-6)


def test_many_classes_and_label_types():
    blocks, _ = make_blocks(n=120)
    X = MultimodalArray(blocks)
    for labels in (np.arange(120) % 60, pd.Series(np.arange(120) % 4).astype(str), np.arange(120) % 2 == 0):
        clf = LateFusionClassifier().fit(X, labels)
        assert set(clf.predict(X)) <= set(labels)
        assert clf.predict_proba(X).shape == (120, len(set(labels)))
    assert LateFusionClassifier().fit(X, np.arange(120) % 2).decision_function(X).shape == (120,)


# -------------------------------------------------------------------------------------------------------- adamw


def test_adamw_approaches_the_convex_optimum_without_regularisation():
    blocks, y = make_blocks(n=300)
    noisy = np.random.default_rng(0).random(300) < 0.3  # classes that overlap, so that the optimum is finite
    y = np.where(noisy, np.random.default_rng(1).integers(0, 3, 300), y)
    X = MultimodalArray(blocks)
    convex = LateFusionClassifier(C=1e4).fit(X, y)
    trained = LateFusionClassifier(
        solver="adamw", weight_decay=0.0, learning_rate=0.02, max_iter=400, batch_size=300, random_state=0
    ).fit(X, y)
    np.testing.assert_allclose(trained.predict_proba(X), convex.predict_proba(X), atol=0.02)
    assert trained.loss_curve_[-1] < trained.loss_curve_[0]
    assert len(trained.loss_curve_) == trained.n_iter_ == 400


def test_one_adamw_step_by_hand():
    """Full batch, one epoch: the update equals torch's own AdamW on the documented loss."""
    blocks, y = make_blocks(n=50, missing=0.3)
    X = MultimodalArray(blocks)
    params = {"solver": "adamw", "batch_size": 50, "random_state": 3, "weight_decay": 0.1, "learning_rate": 0.01}
    weights = np.random.default_rng(0).random(50)
    start = LateFusionClassifier(**{**params, "learning_rate": 1e-30}, max_iter=1).fit(X, y, weights).module_
    done = LateFusionClassifier(**params, max_iter=1).fit(X, y, weights).module_
    present = torch.from_numpy(np.column_stack([~np.isnan(b[:, 0]) for b in blocks.values()]))
    z = [torch.from_numpy(np.nan_to_num(b)) for b in blocks.values()]
    logits = [start.head(z), *start.head.unimodal_logits(z)]
    counted = [torch.ones(50, dtype=torch.bool), *present.T]
    losses = []
    for values, mask in zip(logits, counted, strict=True):
        each = torch.nn.functional.cross_entropy(values, torch.from_numpy(y), reduction="none")
        w = torch.from_numpy(weights) * mask
        losses.append((w * each).sum() / w.sum())
    torch.stack(losses).mean().backward()
    decay = [p for p in start.parameters() if p.ndim > 1]
    free = [p for p in start.parameters() if p.ndim == 1]
    torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": free, "weight_decay": 0.0}], lr=0.01).step()
    for expected, found in zip(start.parameters(), done.parameters(), strict=True):
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), atol=2e-5)


def test_encoders():
    blocks, y = make_blocks(n=200)
    X = MultimodalArray(blocks)
    quick = {"random_state": 0, "learning_rate": 0.02}
    clf = LateFusionClassifier(encoder_dim={"image": (8, 4), "text": None}, **quick).fit(X, y)
    embedded = clf.embed(X)
    assert embedded["image"].shape == (200, 4)
    np.testing.assert_allclose(embedded["text"], blocks["text"], rtol=1e-6)
    assert clf.score(X, y) > 0.8
    whole = LateFusionClassifier(encoder_dim=8, dropout=0.3, modality_dropout=0.3, **quick).fit(X, y)
    assert whole.score(X, y) > 0.8
    np.testing.assert_array_equal(whole.predict_proba(X), whole.predict_proba(X))  # no dropout when predicting


def test_modality_dropout_keeps_at_least_one():
    from skmmal.heads._batches import drop_modalities

    generator = torch.Generator().manual_seed(0)
    present = torch.tensor([[True, True, False]] * 4000 + [[False, True, False]] * 1000)
    kept = drop_modalities(present, 0.4, generator)
    assert kept.any(dim=1).all()
    assert not (kept & ~present).any()
    assert kept[4000:, 1].all()
    # of two present modalities, both stay with 0.6² and each alone with (1 − 0.36) / 2
    assert float(kept[:4000, :2].all(dim=1).float().mean()) == pytest.approx(0.36, abs=0.03)
    assert float(kept[:4000, 0].float().mean()) == pytest.approx(0.36 + 0.32, abs=0.03)


def test_random_state():
    blocks, y = make_blocks()
    X = MultimodalArray(blocks)
    params = {"encoder_dim": 5, "dropout": 0.2, "modality_dropout": 0.2, "max_iter": 5}
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    a = LateFusionClassifier(**params, random_state=1).fit(X, y).predict_proba(X)
    b = LateFusionClassifier(**params, random_state=1).fit(X, y).predict_proba(X)
    c = LateFusionClassifier(**params, random_state=2).fit(X, y).predict_proba(X)
    LateFusionClassifier(**params).fit(X, y)
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


# ---------------------------------------------------------------------------------------------- forms and chunks


@pytest.mark.parametrize("form", ["mapping", "matrix", "matrix-slices", "matrix-columns", "frame", "multiindex"])
def test_every_form_gives_the_same_model(form):
    blocks, y = make_blocks(missing=0.2)
    forms = containers(blocks)
    expected = LateFusionClassifier().fit(forms["multimodal"][0], y)
    X, modalities = forms[form]
    clf = LateFusionClassifier(modalities).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), expected.predict_proba(forms["multimodal"][0]), atol=1e-10)
    assert clf.n_features_in_ == 8
    assert list(clf.modalities_) == ["image", "text"]
    assert clf.modalities_["text"] == slice(5, 8)
    # and takes blocks, too
    np.testing.assert_allclose(clf.predict_proba(forms["mapping"][0]), expected.predict_proba(blocks), atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32, np.uint8])
def test_dtypes(dtype):
    blocks, y = make_blocks()
    blocks = {name: (block * 10 + 50).clip(0, 200).astype(dtype) for name, block in blocks.items()}
    exact = {name: block.astype(np.float64) for name, block in blocks.items()}
    clf = LateFusionClassifier().fit(MultimodalArray(blocks), y)
    np.testing.assert_allclose(
        clf.predict_proba(MultimodalArray(blocks)),
        LateFusionClassifier().fit(MultimodalArray(exact), y).predict_proba(MultimodalArray(exact)),
        atol=1e-8,
    )


def test_embed_is_a_view_that_cannot_be_written():
    blocks, y = make_blocks()
    clf = LateFusionClassifier().fit(MultimodalArray(blocks), y)
    values = clf.embed(MultimodalArray(blocks))["image"]
    assert np.shares_memory(values, blocks["image"])
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0


def test_chunks_do_not_show(monkeypatch):
    blocks, y = make_blocks(n=600, missing=0.2)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier().fit(X, y)
    methods = (clf.predict_proba, clf.shapley_values, clf.decision_function)
    whole = [method(X) for method in methods]
    monkeypatch.setattr(skmmal._chunks, "CHUNK_ELEMENTS", 512)
    for method, expected in zip(methods, whole, strict=True):
        np.testing.assert_allclose(method(X), expected, rtol=1e-12, atol=1e-14)


def test_inputs_are_not_changed():
    blocks, y = make_blocks(missing=0.2)
    copies = {name: block.copy() for name, block in blocks.items()}
    LateFusionClassifier().fit(MultimodalArray(blocks), y).predict(MultimodalArray(blocks))
    for name, block in blocks.items():
        np.testing.assert_array_equal(block, copies[name])


# ------------------------------------------------------------------------------------------------- keeping it


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"fusion": "sum", "class_weight": {"b": 2.0}},
        {"encoder_dim": {"image": (4, 3)}, "random_state": 0, "max_iter": 3},
        {"modalities": {"image": slice(0, 5), "text": [5, 6, 7]}},
    ],
)
def test_save_load_pickle_clone(tmp_path, params):
    blocks, y = make_blocks()
    labels = np.array(["b", "a", "c"])[y]
    X = np.hstack(list(blocks.values())) if "modalities" in params else MultimodalArray(blocks)
    clf = LateFusionClassifier(**params).fit(X, labels)
    clf.save(tmp_path / "model")
    clf.save(tmp_path / "model")  # over itself
    assert {p.name for p in (tmp_path / "model").iterdir()} == {"estimator.json", "weights.safetensors"}
    joblib.dump(clf, tmp_path / "model.joblib")
    for again in (
        LateFusionClassifier.load(tmp_path / "model"),
        pickle.loads(pickle.dumps(clf)),
        joblib.load(tmp_path / "model.joblib"),
    ):
        np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
        assert again.classes_.tolist() == clf.classes_.tolist()
        assert again.score_by_modality(X, labels) == clf.score_by_modality(X, labels)
        assert clone(again).fit(X, labels).predict(X).tolist() == clf.predict(X).tolist()
    assert not hasattr(clone(clf), "module_")


def test_damaged_saves_are_refused(tmp_path):
    blocks, y = make_blocks()
    folder = tmp_path / "model"
    with pytest.raises(FileNotFoundError, match="no estimator.json"):
        LateFusionClassifier.load(folder)
    clf = LateFusionClassifier().fit(MultimodalArray(blocks), y)
    clf.save(folder)
    description, weights = folder / "estimator.json", folder / "weights.safetensors"
    text, content = description.read_text(), weights.read_bytes()
    for damaged, match in (
        (content[:-5], "checksum differs"),
        (content[:50] + b"x" + content[51:], "checksum differs"),
        (pickle.dumps({"a": 1}), "checksum differs"),
    ):
        weights.write_bytes(damaged)
        with pytest.raises(ValueError, match=match):
            LateFusionClassifier.load(folder)
    weights.write_bytes(content)
    for damaged, match in (
        (text[: len(text) // 2], "not valid JSON"),
        ("[]", "expected 'skmmal-late-fusion-classifier'"),
        (text.replace('"version": 3', '"version": 4'), "format version 4"),
        (text.replace('"C"', '"nonsense"'), "was changed since it was written"),
        (resealed(text.replace('"C"', '"nonsense"')), "does not describe"),
        (resealed(json.dumps({**json.loads(text), "fitted": {}})), "does not describe"),
    ):
        description.write_text(damaged)
        with pytest.raises(ValueError, match=match):
            LateFusionClassifier.load(folder)
    description.write_text(text)
    weights.unlink()
    with pytest.raises(ValueError, match="no weights"):
        LateFusionClassifier.load(folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(FileExistsError, match="other files"):
        clf.save(tmp_path / "mine")
    with pytest.raises(TypeError, match="random_state=.* cannot be saved without pickle"):
        clf.set_params(random_state=np.random.RandomState(0)).save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


# ------------------------------------------------------------------------------------------------------- errors


def fitted(**params):
    blocks, y = make_blocks()
    return LateFusionClassifier(**params).fit(MultimodalArray(blocks), y)


def fit(X=None, y=None, sample_weight=None, classes=None, **params):
    blocks, labels = make_blocks()
    X = MultimodalArray(blocks) if X is None else X
    return LateFusionClassifier(**params).fit(X, labels if y is None else y, sample_weight, classes=classes)


def matrix():
    return np.hstack(list(make_blocks()[0].values()))


def partly_nan():
    blocks, _ = make_blocks()
    blocks["text"][7, 0] = np.nan
    return MultimodalArray(blocks)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: fit(partly_nan()), ValueError, "modality 'text' is partly NaN in row 7"),
        (lambda: fitted().predict(partly_nan()), ValueError, "modality 'text' is partly NaN in row 7"),
        (lambda: fit(matrix(), modalities={"image": 5, "text": 4}), ValueError, "describe 9 columns, X has 8"),
        (lambda: fitted().predict({"image": np.zeros((2, 5)), "sound": np.zeros((2, 3))}), ValueError, "'sound'"),
        (lambda: fitted().predict({"image": np.zeros((2, 5))}), ValueError, "modality 'text' is missing from X"),
        (lambda: fitted().predict({"image": np.zeros((2, 4)), "text": np.zeros((2, 3))}), ValueError, "declared as 5"),
        (lambda: fitted().predict(np.zeros((2, 7))), ValueError, "7 features, but LateFusionClassifier is expecting 8"),
        (lambda: fit(y=np.zeros(59)), ValueError, r"inconsistent numbers of samples: \[60, 59\]"),
        (lambda: LateFusionClassifier().fit(MultimodalArray({"a": np.zeros((3, 1))}), None), ValueError, "y is None"),
        (lambda: fit(y=np.where(np.arange(60) == 4, None, "a")), ValueError, "y is missing .* in row 4"),
        (lambda: fit(y=np.where(np.arange(60) == 4, np.nan, 1.0)), ValueError, "y is missing .* in row 4"),
        (lambda: fit(y=np.linspace(0, 1, 60)), ValueError, "Unknown label type: continuous"),
        (lambda: fit(classes=[0, 1]), ValueError, r"label .*2.* in row 2, which is not among the classes"),
        (lambda: fit(classes=[0, 1, 2, 2]), ValueError, "classes must be distinct"),
        (lambda: fit(sample_weight=np.zeros(60)), ValueError, "(?i)zero"),
        (lambda: fit(sample_weight=-np.ones(60)), ValueError, "(?i)negative"),
        (lambda: fit(X=np.zeros(60)), ValueError, "Reshape your data"),
        (lambda: fit(X=np.full((60, 2), "a", dtype=object)), ValueError, "could not convert string to float"),
        (lambda: fit(X={"a": np.full((60, 2), "a", dtype=object)}), TypeError, "modality 'a': expected a numeric"),
        (lambda: fit(X=MultimodalArray({"fused": np.zeros((60, 2))})), ValueError, "cannot be named 'fused'"),
        (lambda: fit(X={"a": np.zeros((0, 2))}, y=[]), ValueError, "0 sample"),
        (lambda: fit(fusion="product"), ValueError, "'fusion' parameter"),
        (lambda: fit(C=-1), ValueError, "'C' parameter"),
        (lambda: fit(dropout=1.0), ValueError, "'dropout' parameter"),
        (lambda: fit(device="gpu7"), ValueError, "device='gpu7' is not a torch device"),
        (lambda: fit(encoder_dim={"sound": 3}), ValueError, "unknown modality 'sound'"),
        (lambda: fit(encoder_dim=[4, 0]), ValueError, "must be positive integers"),
        (lambda: fit(solver="lbfgs", encoder_dim=3), ValueError, "needs the convex case"),
        (lambda: fit(solver="newton-cg", dropout=0.1), ValueError, "needs the convex case"),
        (lambda: LateFusionClassifier().predict(matrix()), NotFittedError, "not fitted"),
        (lambda: LateFusionClassifier().embed(matrix()), NotFittedError, "not fitted"),
        (lambda: LateFusionClassifier().modality_contributions(matrix()), NotFittedError, "not fitted"),
        (lambda: LateFusionClassifier().save("somewhere"), NotFittedError, "not fitted"),
        (
            lambda: fitted(warm_start=True).set_params(encoder_dim=3).fit(matrix(), make_blocks()[1]),
            ValueError,
            "warm_start",
        ),
    ],
)
def test_helpful_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_frames_whose_features_change_places_are_refused():
    blocks, y = make_blocks()
    frame = containers(blocks)["multiindex"][0]
    clf = LateFusionClassifier().fit(frame, y)
    with pytest.raises(ValueError, match="modality 'image': the feature names should match"):
        clf.predict(frame[[("image", "f1"), ("image", "f0"), *frame.columns[2:]]])
    assert clf.predict(frame[[*frame.columns[5:], *frame.columns[:5]]]).shape == (60,)


def test_a_head_of_ones_own():
    class Own(ConcatFusion):
        pass

    blocks, y = make_blocks()
    clf = LateFusionClassifier(fusion=Own, random_state=0, max_iter=30, learning_rate=0.05)
    assert clf.fit(MultimodalArray(blocks), y).score(MultimodalArray(blocks), y) > 0.8
    with pytest.raises(TypeError, match="fusion=.* cannot be saved"):
        clf.save("never-written")


def test_given_classes_are_not_taken_for_a_regression_target():
    """With many classes and a row or two of each, scikit-learn would warn of numbers that look continuous."""
    X, y = np.random.default_rng(0).random((30, 3)), np.arange(30) % 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert LateFusionClassifier().fit(X, y, classes=np.arange(40)).predict_proba(X).shape == (30, 40)


# ------------------------------------------------------------------------- found by generated inputs (tests/fuzz)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "too large to be squared: scale the features first"),
        ({"solver": "adamw", "max_iter": 1}, "modality 'image' holds values too large for float32"),
    ],
)
def test_features_beyond_the_range_are_named(options, match):
    blocks, y = make_blocks(n=12)
    blocks["image"] *= 1e200
    with pytest.raises(ValueError, match=match):
        LateFusionClassifier(**options).fit(blocks, y)


@pytest.mark.parametrize("device", ["cuda:99", "nothing", "meta:x"])
def test_a_device_that_is_none(device):
    blocks, y = make_blocks(n=12)
    with pytest.raises(ValueError, match="is not a torch device that can be used here"):
        LateFusionClassifier(device=device).fit(blocks, y)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"y": [np.inf, 0, 1]}, "y is infinite in row 0"),
        ({"y": [0, 1, 1], "sample_weight": ["a"] * 3}, "sample_weight: could not convert"),
        ({"y": np.array([0, "a", 1], dtype=object)}, "^y: "),
        ({"y": [0, 1, 1], "classes": [0, None]}, "classes must not be None or NaN"),
    ],
)
def test_labels_and_weights_are_named(arguments, match):
    with pytest.raises((TypeError, ValueError), match=match):
        LateFusionClassifier().fit(np.eye(3), **arguments)


def test_a_changed_description_is_noticed(tmp_path):
    blocks, y = make_blocks(n=12)
    LateFusionClassifier(C=0.5).fit(blocks, y).save(tmp_path)
    path = tmp_path / "estimator.json"
    path.write_text(path.read_text().replace("0.5", "0.7"))
    with pytest.raises(ValueError, match="was changed since it was written"):
        LateFusionClassifier.load(tmp_path)


def test_models_of_the_first_version_are_read(tmp_path):
    blocks, y = make_blocks(n=12)
    clf = LateFusionClassifier().fit(blocks, y)
    clf.save(tmp_path)
    path = tmp_path / "estimator.json"
    description = json.loads(path.read_text())
    del description["sha256"]
    path.write_text(json.dumps({**description, "version": 1}))
    np.testing.assert_array_equal(LateFusionClassifier.load(tmp_path).predict_proba(blocks), clf.predict_proba(blocks))


def test_training_that_diverges_is_said():
    blocks, y = make_blocks(n=12)
    with pytest.raises(ValueError, match="ended in weights that are not finite"):
        LateFusionClassifier(encoder_dim=3, learning_rate=1e30, max_iter=30, random_state=0).fit(blocks, y)


def test_predictions_that_overflow_are_said():
    blocks, y = make_blocks(n=12)
    clf = LateFusionClassifier(C=100.0).fit(blocks, y)
    with pytest.raises(ValueError, match="so large that the predictions overflow"):
        clf.predict_proba({name: np.where(block > 0, 1.7e308, -1.7e308) for name, block in blocks.items()})
