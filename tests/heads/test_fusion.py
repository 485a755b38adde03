"""Fusions that gate and attend, against numpy written from their formulas, and their invariants."""

import json
import pickle
from itertools import product

import numpy as np
import pytest
import torch
from samples import make_blocks
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skmmal._chunks
from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal._store import sealed
from skmmal.contributions import shapley_values
from skmmal.heads import FUSIONS, AttentionPooling, ConcatFusion, Fusion, GatedUnit, LinearFusion, NLGate, SumFusion
from skmmal.query import BADGE
from skmmal.reading import read

GRIDS = {"sound": (2, 3), "video": (4, 5), "text": (1, 6)}
FACTORIES = {
    "nl-gate": NLGate(),
    "nl-gate-heads": NLGate(query="video", width=6, n_heads=3),
    "gated": GatedUnit(width=7),
    "gated-sigmoid": GatedUnit(width=3, gate="sigmoid"),
    "attention": AttentionPooling(width=5),
}
NAMES = list(FACTORIES)


def token_data(n=60, missing=0.3, seed=0, grids=GRIDS):
    """Token grids with a class signal, rows with modalities missing; and labels 0..2."""
    widths = {name: tokens * dim for name, (tokens, dim) in grids.items()}
    blocks, y = make_blocks(n, widths, seed, missing)
    return MultimodalArray({name: block.reshape(n, *grids[name]) for name, block in blocks.items()}), y


def presence(X):
    return np.column_stack([~np.isnan(block[:, 0]) for block in X.blocks.values()])


def head_and_embeddings(name, n=9, grids=GRIDS, n_classes=4, seed=0):
    """A head with random weights and intercepts, and embeddings, in float64."""
    generator = torch.Generator().manual_seed(seed)
    head = FACTORIES[name].build(grids, n_classes, generator).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.7, generator=generator)
    z = [
        torch.randn(n, tokens * dim, dtype=torch.float64, generator=generator, requires_grad=True)
        for tokens, dim in grids.values()
    ]
    return head, z


def array(values):
    return values.detach().numpy()


def linear(layer, values):
    return values @ array(layer.weight).T + array(layer.bias)


# ----------------------------------------------------------------------------- the formulas, one row at a time


def nl_gate_by_hand(head, tokens, there):
    """o_i = x_i + H Σ_j softmax_j(θ(x_i)·φ(y_j)/√w) g(y_j), over the tokens that are there; the mean, classified."""
    heads, width = head.n_heads, head.queries.out_features // head.n_heads
    x = tokens[head.query] if there[head.query] else np.zeros_like(tokens[head.query])
    pieces = []
    for token in x:
        asked = linear(head.queries, token).reshape(heads, width)
        attended = np.zeros((heads, width))
        for h in range(heads):
            scores, values = [], []
            for m in np.flatnonzero(there):
                for y in tokens[m]:
                    scores.append(asked[h] @ linear(head.keys[m], y).reshape(heads, width)[h] / np.sqrt(width))
                    values.append(linear(head.values[m], y).reshape(heads, width)[h])
            if scores:
                attended[h] = softmax(scores) @ np.array(values)
        pieces.append(token + array(head.output) @ attended.ravel())
    return linear(head.fused, np.mean(pieces, axis=0))


def gated_by_hand(head, tokens, there):
    pooled = [grid.mean(axis=0) if present else 0 * grid[0] for grid, present in zip(tokens, there, strict=True)]
    scores = linear(head.gates, np.concatenate(pooled)).reshape(len(tokens), -1)
    hidden = np.array([np.tanh(linear(layer, z)) for layer, z in zip(head.hidden, pooled, strict=True)])
    kept = np.flatnonzero(there)
    if len(kept) == 0:
        return array(head.fused.bias)
    gates = softmax(scores[kept], axis=0) if head.gate == "softmax" else expit(scores[kept])
    return linear(head.fused, (gates * hidden[kept]).sum(axis=0))


def attention_by_hand(head, tokens, there):
    vectors = np.array(
        [linear(layer, grid.mean(axis=0)) for layer, grid, present in zip(head.project, tokens, there, strict=True) if present]
    ).reshape(-1, head.fused.in_features)
    scores = [(array(head.score) @ np.tanh(linear(head.hidden, v))).item() for v in vectors]
    return linear(head.fused, softmax(scores) @ vectors if scores else np.zeros(head.fused.in_features))


def by_hand(name, head, z, present, grids=GRIDS):
    formula = {"nl": nl_gate_by_hand, "ga": gated_by_hand, "at": attention_by_hand}[name[:2]]
    rows = []
    for i, there in enumerate(present):
        tokens = [array(values)[i].reshape(grid) for values, grid in zip(z, grids.values(), strict=True)]
        rows.append(formula(head, tokens, there))
    return np.array(rows)


ONE_TOKEN = {"a": (1, 4), "b": (1, 3)}


@pytest.mark.parametrize("grids", [GRIDS, ONE_TOKEN, {"a": (3, 4)}], ids=["grids", "one-token", "one-modality"])
@pytest.mark.parametrize("name", NAMES)
def test_logits_by_hand_for_every_pattern_of_absence(name, grids):
    """Absent tokens are left out of the softmax altogether: the formula never sees them."""
    if name == "nl-gate-heads" and "video" not in grids:
        name = "nl-gate"
    patterns = np.array(list(product([True, False], repeat=len(grids))))  # also: nothing there
    head, z = head_and_embeddings(name, len(patterns), grids)
    present = torch.from_numpy(patterns)
    zeroed = [values * present[:, [m]] for m, values in enumerate(z)]  # as they come from the encoders
    np.testing.assert_allclose(array(head(zeroed, present)), by_hand(name, head, z, patterns, grids), atol=1e-12)
    everything = np.ones_like(patterns)
    np.testing.assert_allclose(array(head(z)), by_hand(name, head, z, everything, grids), atol=1e-12)


def test_two_modalities_with_softmax_gates_are_the_bimodal_unit():
    """g ⊙ h_1 + (1 − g) ⊙ h_2 with one sigmoid gate, as in the paper."""
    grids = {"a": (1, 4), "b": (1, 3)}
    head, z = head_and_embeddings("gated", grids=grids)
    a, b = (array(values) for values in z)
    scores = linear(head.gates, np.hstack([a, b]))
    g = expit(scores[:, :7] - scores[:, 7:])
    h = g * np.tanh(linear(head.hidden[0], a)) + (1 - g) * np.tanh(linear(head.hidden[1], b))
    np.testing.assert_allclose(array(head(z)), linear(head.fused, h), atol=1e-12)


def test_attention_weights_of_the_gate():
    head, z = head_and_embeddings("nl-gate-heads")
    present = torch.ones(9, 3, dtype=torch.bool)
    present[:4, 0] = False
    weights = head.attention(z, present)
    assert weights.shape == (9, 3, 4, 7)
    np.testing.assert_allclose(array(weights.sum(dim=3)), 1.0)
    assert (weights[:4, :, :, :2] == 0).all()


# ------------------------------------------------------------------------------------------------- invariants


@pytest.mark.parametrize("name", NAMES)
def test_order_of_tokens_does_not_matter(name):
    head, z = head_and_embeddings(name)
    shuffled = [
        values.unflatten(1, grid)[:, torch.randperm(grid[0], generator=torch.Generator().manual_seed(m))].flatten(1)
        for m, (values, grid) in enumerate(zip(z, GRIDS.values(), strict=True))
    ]
    assert not torch.equal(shuffled[1], z[1])
    np.testing.assert_allclose(array(head(shuffled)), array(head(z)), atol=1e-12)
    for own, other in zip(head.unimodal_logits(shuffled), head.unimodal_logits(z), strict=True):
        np.testing.assert_allclose(array(own), array(other), atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_an_absent_modality_has_no_influence_and_no_gradient(name):
    head, z = head_and_embeddings(name)
    for m in range(3):
        present = torch.ones(9, 3, dtype=torch.bool)
        present[:, m] = False
        zeroed = [values if k != m else torch.zeros_like(values).requires_grad_() for k, values in enumerate(z)]
        features = head.features(zeroed, present)
        assert (features[m] == 0).all()
        logits = head(zeroed, present)
        np.testing.assert_allclose(array(head.classify(features)), array(logits), atol=1e-13)
        if not name.startswith("gated") and m != getattr(head, "query", None):  # the gates, and who asks, see zeros
            (gradient,) = torch.autograd.grad(logits.square().sum(), zeroed[m])
            assert (gradient == 0).all()


@pytest.mark.parametrize("name", ["concat", "sum", *NAMES])
def test_the_last_layer_is_linear_in_the_features(name):
    if name in FACTORIES:
        head, z = head_and_embeddings(name)
        logits = head(z)
    else:
        widths = [t * d for t, d in GRIDS.values()]
        z = [torch.randn(9, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) for width in widths]
        head = FUSIONS[name](widths, 4, torch.Generator().manual_seed(0)).double()
        logits = head(z)
    weights, intercepts = head.last_layer()
    np.testing.assert_allclose(
        array(torch.cat(head.features(z), dim=1) @ weights.T + intercepts), array(logits), atol=1e-12
    )


def test_only_linear_heads_have_partial_logits():
    assert issubclass(ConcatFusion, LinearFusion)
    assert issubclass(SumFusion, LinearFusion)
    assert not hasattr(Fusion, "partial_logits")
    assert not Fusion.linear
    for name in NAMES:
        assert not hasattr(head_and_embeddings(name)[0], "partial_logits")


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_right(name):
    """Against finite differences, also where something is absent (masked softmaxes are where NaN would come from)."""
    head, z = head_and_embeddings(name, n=8)
    present = torch.from_numpy(np.array(list(product([True, False], repeat=3))))
    assert torch.autograd.gradcheck(lambda *embeddings: head(list(embeddings), present), tuple(z))


def test_default_width_of_the_gate_is_half_of_the_querys():
    for n_heads, expected in ((1, 10), (3, 9), (40, 40)):
        head = NLGate(query="v", n_heads=n_heads).build({"a": (1, 4), "v": (3, 20)}, 2, None)
        assert head.queries.out_features == expected
        assert [layer.in_features for layer in head.keys] == [4, 20]


# -------------------------------------------------------------------------------------------- in the classifier


def quick(fusion, **params):
    """A classifier that trains in a moment."""
    return LateFusionClassifier(fusion=fusion, **{"random_state": 0, "max_iter": 15, "learning_rate": 0.02, **params})


@pytest.mark.parametrize("encoder_dim", [None, (6, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_predictions_embeddings_and_contributions(name, encoder_dim):
    X, y = token_data(n=36)
    clf = quick(FACTORIES[name], encoder_dim=encoder_dim, modality_dropout=0.2, max_iter=60).fit(X, y)
    assert clf.score(X, y) > 0.7
    there = presence(X)
    proba = clf.predict_proba(X)
    # what the network computes, once more from numpy
    clean = [torch.from_numpy(np.nan_to_num(block)) for block in X.blocks.values()]
    with torch.no_grad():
        z = clf.module_.embed(clean, torch.from_numpy(there))
    grids = {n: (e.n_tokens, e.n_out // e.n_tokens) for n, e in zip(GRIDS, clf.module_.encoders, strict=True)}
    assert grids == ({n: (t, 4) for n, (t, _) in GRIDS.items()} if encoder_dim else GRIDS)
    np.testing.assert_allclose(proba, softmax(by_hand(name, clf.module_.head, z, there, grids), axis=1), atol=1e-10)
    # the embedding is what the last layer sees, absent modalities zero
    embedded = clf.embed(X)
    for m, values in enumerate(embedded.values()):
        assert values.dtype == np.float64
        assert (values[~there[:, m]] == 0).all()
    weights, intercepts = clf.module_.head.last_layer()
    seen = np.hstack(list(embedded.values()))
    np.testing.assert_allclose(softmax(seen @ array(weights).T + array(intercepts), axis=1), proba, atol=1e-10)
    head = read(clf, X).head
    # the modalities share it: it sees their sum
    np.testing.assert_array_equal(head.linear[0], array(clf.module_.head.fused.weight))
    np.testing.assert_allclose(head.layer_features, sum(embedded.values()), atol=1e-12)
    assert (head.logits(head.features).argmax(axis=1) == proba.argmax(axis=1)).all()
    # the modalities' own heads see the mean token
    for m, (own, head) in enumerate(zip(clf.embed_by_modality(X).values(), clf.module_.head.unimodal, strict=True)):
        mean = array(z[m]).reshape(len(X), *list(grids.values())[m]).mean(axis=1)
        np.testing.assert_allclose(own, mean * there[:, [m]], atol=1e-12)
        found = clf.predict_proba_by_modality(X)[list(GRIDS)[m]]
        np.testing.assert_allclose(found, softmax(linear(head, own), axis=1), atol=1e-10)
    # contributions, from the formula: a coalition is a row that has nothing else
    target = proba.argmax(axis=1)
    for labels, columns in ((None, target), (y, y)):

        def value(kept, columns=columns):
            logits = by_hand(name, clf.module_.head, z, there & kept, grids)
            return softmax(logits, axis=1)[np.arange(len(X)), columns]

        phi = shapley_values(value, 3)
        np.testing.assert_allclose(clf.shapley_values(X, labels), phi, atol=1e-10)
        share = clf.modality_contributions(X, labels)
        assert (share[~there] == 0).all()
        np.testing.assert_allclose(share.sum(axis=1), 1.0)
        np.testing.assert_allclose(share, np.abs(phi) * there / (np.abs(phi) * there).sum(1, keepdims=True), atol=1e-8)


@pytest.mark.parametrize("name", ["concat", "sum", *NAMES])
def test_to_keep_some_modalities_is_to_predict_without_the_others(name):
    X, y = token_data(missing=0.0)
    clf = quick(FACTORIES.get(name, name), encoder_dim=4, max_iter=3).fit(X, y)
    for kept in (["video"], ["sound", "text"], list(GRIDS)):
        without = MultimodalArray({n: b if n in kept else np.full(b.shape, np.nan) for n, b in X.blocks.items()}, GRIDS)
        np.testing.assert_allclose(clf.predict_proba_with(X, kept), clf.predict_proba(without), atol=1e-12)
    nothing = clf.predict_proba_with(X, [])
    np.testing.assert_allclose(nothing, np.broadcast_to(nothing[0], nothing.shape), atol=1e-12)
    with pytest.raises(ValueError, match="unknown modality 'smell'"):
        clf.predict_proba_with(X, ["smell"])
    with pytest.raises(TypeError, match="got 'text'"):
        clf.predict_proba_with(X, "text")


@pytest.mark.parametrize("name", ["concat", "sum", *NAMES])
def test_ablation_of_the_input(name):
    """Features of zero go through the encoder and are seen; what was absent stays absent."""
    X, y = token_data()
    clf = quick(FACTORIES.get(name, name), encoder_dim=4, ablation_point="input").fit(X, y)
    with torch.no_grad():
        for encoder in clf.module_.encoders:  # without intercepts nothing would remain of zero features
            encoder.layers[0].bias += 0.5
    there = presence(X)
    target = clf.predict(X)

    def value(kept):
        blocks = {n: b if k else np.where(np.isnan(b), b, 0.0) for (n, b), k in zip(X.blocks.items(), kept, strict=True)}
        return clf.predict_proba(MultimodalArray(blocks, GRIDS))[np.arange(len(X)), target]

    phi = clf.shapley_values(X)
    np.testing.assert_allclose(phi, shapley_values(value, 3) * there, atol=1e-10)
    elsewhere = clone(clf).set_params(ablation_point="embedding")
    elsewhere.__dict__.update({k: v for k, v in vars(clf).items() if k.endswith("_") or k.startswith("_")})
    assert not np.allclose(elsewhere.shapley_values(X), phi, atol=1e-4)


def test_encoders_work_on_tokens_only_where_the_fusion_takes_them():
    X, y = token_data(missing=0.0)
    flat = quick("concat", encoder_dim=4, max_iter=1).fit(X, y).module_.encoders
    assert [encoder.layers[0].in_features for encoder in flat] == [6, 20, 6]
    encoders = quick("gated", encoder_dim=4, max_iter=1).fit(X, y).module_.encoders
    assert [encoder.layers[0].in_features for encoder in encoders] == [3, 5, 6]
    video = torch.from_numpy(X["video"])
    by_token = [encoders[1].layers(video.reshape(60, 4, 5)[:, token]) for token in range(4)]
    np.testing.assert_allclose(array(encoders[1](video)), array(torch.cat(by_token, dim=1)), atol=1e-12)


def test_permuting_tokens_of_the_data_changes_no_prediction():
    X, y = token_data()
    clf = quick("nl-gate", encoder_dim=4).fit(X, y)
    shuffled = {name: block.reshape(60, *GRIDS[name])[:, ::-1] for name, block in X.blocks.items()}
    np.testing.assert_allclose(clf.predict_proba(MultimodalArray(shuffled)), clf.predict_proba(X), atol=1e-12)


def test_the_query_may_be_any_modality():
    X, y = token_data()
    first = quick(NLGate(query=0)).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(quick("nl-gate").fit(X, y).predict_proba(X), first)
    np.testing.assert_array_equal(quick(NLGate(query="sound")).fit(X, y).predict_proba(X), first)
    assert not np.allclose(quick(NLGate(query="text")).fit(X, y).predict_proba(X), first)


def test_the_gate_finds_the_token_that_the_query_asks_for():
    """The text names a class of objects, one token of the picture holds one and says whether it is broken."""
    rng = np.random.default_rng(0)
    n, tokens = 900, 3
    wanted = rng.integers(0, tokens, n)
    broken = rng.integers(0, 2, (n, tokens)) * 2.0 - 1
    picture = np.zeros((n, tokens, tokens + 1))
    for i in range(n):  # in random order: no position says anything
        order = rng.permutation(tokens)
        picture[i, np.arange(tokens), order] = 3.0
        picture[i, :, -1] = 3.0 * broken[i, order]
    X = MultimodalArray({"text": 3.0 * np.eye(tokens)[wanted], "picture": picture})
    y = broken[np.arange(n), wanted]
    accuracy = {
        fusion if isinstance(fusion, str) else "nl-gate": quick(fusion, max_iter=60, weight_decay=0.0)
        .fit(X[:600], y[:600])
        .score(X[600:], y[600:])
        for fusion in ("attention", NLGate(query="text", width=16))
    }
    assert accuracy["nl-gate"] > 0.95
    assert accuracy["attention"] < 0.75  # sees the mean token


@pytest.mark.parametrize("name", NAMES)
def test_chunks_and_company_do_not_show(name, monkeypatch):
    X, y = token_data(n=300)
    clf = quick(FACTORIES[name], encoder_dim=4, max_iter=3).fit(X, y)
    methods = (clf.predict_proba, clf.shapley_values, clf.decision_function, lambda part: np.hstack([*clf.embed(part).values()]))
    whole = [method(X) for method in methods]
    for method, expected in zip(methods, whole, strict=True):
        np.testing.assert_allclose(method(X[17:18]), expected[17:18], rtol=1e-12, atol=1e-14)
    monkeypatch.setattr(skmmal._chunks, "CHUNK_ELEMENTS", 512)
    for method, expected in zip(methods, whole, strict=True):
        np.testing.assert_allclose(method(X), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("fusion", ["concat", *NAMES])
def test_token_grids_in_every_form_and_in_pipelines(fusion):
    X, y = token_data()
    expected = make_pipeline(ModalityScaler(), quick(FACTORIES.get(fusion, fusion))).fit(X, y).predict_proba(X)
    forms = {
        "mapping": ({n: block.reshape(60, *GRIDS[n]) for n, block in X.blocks.items()}, None),
        "flat": (MultimodalArray(dict(X.blocks)), GRIDS),
        "matrix": (np.asarray(X), GRIDS),
    }
    for rows, modalities in forms.values():
        model = make_pipeline(ModalityScaler(modalities), quick(FACTORIES.get(fusion, fusion), modalities=modalities))
        np.testing.assert_allclose(model.fit(rows, y).predict_proba(rows), expected, atol=1e-6)


@pytest.mark.parametrize("method", ["standard", "l2", "none"])
def test_the_scaler_keeps_grids_and_absences(method):
    X, _ = token_data()
    scaled = ModalityScaler(method=method).fit_transform(X)
    assert scaled.modalities == GRIDS
    assert (presence(scaled) == presence(X)).all()
    if method != "none":
        for block in scaled.blocks.values():
            assert np.sqrt(np.nanmean((block**2).sum(axis=1))) * 0 == 0
            kept = block[~np.isnan(block[:, 0])]
            assert np.sqrt((kept**2).sum(axis=1).mean()) == pytest.approx(8.0, rel=1e-6)


# ------------------------------------------------------------------------------------------ classes, keeping it


@pytest.mark.parametrize("name", NAMES)
def test_classes_that_come_later(name):
    """Hidden layers as wide as there are classes are not taken for class layers."""
    X, y = token_data(missing=0.2)
    factory = clone(FACTORIES[name]).set_params(width=3)
    if "n_heads" in factory.get_params():
        factory.set_params(n_heads=1)
    names = np.array(["zebra", "ant", "moth"])
    labels = names[y]
    early = np.flatnonzero(y != 2)
    clf = quick(factory, warm_start=True, max_iter=40).fit(X[early], labels[early], classes=names)
    p = clf.predict_proba(X)
    assert (p[:, 2] < 1e-9).all()
    assert all((q[:, 2] < 1e-9).all() for q in clf.predict_proba_by_modality(X).values())
    assert clf.score(X[early], labels[early]) > 0.8
    clf.fit(X, labels, classes=names)
    assert clf.score(X, labels) > 0.8
    without = quick(factory, warm_start=True, max_iter=40).fit(X[early], labels[early]).fit(X, labels)
    assert without.classes_.tolist() == sorted(names)
    assert without.score(X, labels) > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_warm_start_continues(name):
    X, y = token_data()
    params = {"encoder_dim": 4, "missing": "token", "warm_start": True}
    clf = quick(FACTORIES[name], **params).fit(X, y)
    before = clf.predict_proba(X)
    clf.set_params(learning_rate=1e-12).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), before, atol=1e-5)
    # from the same weights in another order of the classes
    clf.fit(X, y, classes=[2, 0, 1])
    np.testing.assert_allclose(clf.predict_proba(X)[:, [1, 2, 0]], before, atol=1e-5)
    with pytest.raises(ValueError, match="warm_start=True, but the network's shape has changed"):
        clf.set_params(fusion=GatedUnit(width=50)).fit(X, y)
    with pytest.raises(ValueError, match="warm_start=True, but the network's shape has changed"):
        clf.set_params(fusion=FACTORIES[name], missing="zero").fit(X, y)


@pytest.mark.parametrize("missing", ["zero", "token"])
@pytest.mark.parametrize("fusion", ["nl-gate", "gated", "attention", *FACTORIES.values()], ids=str)
def test_save_load_pickle_clone(tmp_path, fusion, missing):
    X, y = token_data()
    clf = quick(fusion, missing=missing, modality_dropout=0.2, max_iter=2, encoder_dim={"video": 3}).fit(X, y)
    clf.save(tmp_path / "model")
    for again in (LateFusionClassifier.load(tmp_path / "model"), pickle.loads(pickle.dumps(clf))):
        np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
        np.testing.assert_array_equal(again.shapley_values(X), clf.shapley_values(X))
        assert str(again.get_params()) == str(clf.get_params())
        np.testing.assert_array_equal(clone(again).fit(X, y).predict_proba(X), clf.predict_proba(X))
    fresh = clone(clf)
    assert not hasattr(fresh, "module_")
    assert type(fresh.fusion) is type(clf.fusion)


def test_an_unknown_object_in_a_save_is_refused(tmp_path):
    X, y = token_data()
    quick(GatedUnit(width=3), max_iter=1).fit(X, y).save(tmp_path / "model")
    description = tmp_path / "model" / "estimator.json"
    content = json.loads(description.read_text().replace("GatedUnit", "Popen"))
    content.pop("sha256")
    description.write_text(json.dumps(sealed(content)))  # whoever forges a save seals it, too
    with pytest.raises(ValueError, match="does not describe a LateFusionClassifier"):
        LateFusionClassifier.load(tmp_path / "model")


class OwnFactory(GatedUnit):
    pass


def test_factories_of_ones_own_work_and_are_not_saved(tmp_path):
    X, y = token_data()
    clf = quick(OwnFactory(width=4), max_iter=40).fit(X, y)
    assert clf.score(X, y) > 0.7
    with pytest.raises(TypeError, match="fusion=OwnFactory.* cannot be saved"):
        clf.save(tmp_path / "never")


def test_grid_search_over_fusions_and_their_settings():
    X, y = token_data(n=90)
    choices = [{"fusion": ["concat", "nl-gate", AttentionPooling(width=4)]}, {"fusion": [GatedUnit()], "fusion__width": [3, 9]}]
    search = GridSearchCV(quick("concat"), choices, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 5
    assert search.best_score_ > 0.6
    assert search.best_estimator_.predict_proba(X).shape == (90, 3)
    assert FUSIONS["gated"].width == 128  # the defaults were not touched


@pytest.mark.parametrize(
    ("fusion", "error", "match"),
    [
        (NLGate(query="smell"), ValueError, r"query='smell' is no modality; there are \['sound', 'video', 'text'\]"),
        (NLGate(query=3), ValueError, "query=3 is out of range for the 3 modalities"),
        (NLGate(width=6, n_heads=4), ValueError, "width=6 cannot be shared evenly by n_heads=4"),
        (NLGate(n_heads=0), ValueError, "'n_heads' parameter of NLGate"),
        (GatedUnit(gate="max"), ValueError, "'gate' parameter of GatedUnit"),
        (AttentionPooling(width=0), ValueError, "'width' parameter of AttentionPooling"),
        (NLGate, TypeError, r"the class NLGate; give an object, NLGate\(\)"),
        ("nl-gates", ValueError, "Did you mean 'nl-gate'"),
    ],
    ids=str,
)
def test_helpful_errors(fusion, error, match):
    X, y = token_data()
    with pytest.raises(error, match=match):
        quick(fusion).fit(X, y)


def test_gates_are_not_convex():
    X, y = token_data()
    with pytest.raises(ValueError, match="needs the convex case"):
        quick("gated", solver="newton-cg").fit(X, y)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_the_modalities_own_heads(name):
    """They see the mean token, which is not what the fused head sees of the modality."""
    X, y = token_data(n=40)
    clf = quick(FACTORIES[name], encoder_dim=4).fit(X, y)
    there = presence(X)
    own, fused = clf.embed_by_modality(X), clf.embed(X)

    def gradient(probabilities, features):
        residual = probabilities - np.eye(3)[probabilities.argmax(axis=1)]
        return (residual[:, :, None] * features[:, None, :]).reshape(40, -1)

    by_modality = {
        n: gradient(p, own[n]) * there[:, [m]] for m, (n, p) in enumerate(clf.predict_proba_by_modality(X).items())
    }
    found = BADGE(on="video").embedding(clf, X).inner()
    np.testing.assert_allclose(found, by_modality["video"] @ by_modality["video"].T, atol=1e-5)
    everything = np.hstack([gradient(clf.predict_proba(X), sum(fused.values())), *by_modality.values()])
    np.testing.assert_allclose(BADGE(on="all").embedding(clf, X).inner(), everything @ everything.T, atol=1e-5)
