"""Gradient embeddings: of a committee, and of layers that modalities share."""

import numpy as np
import pytest
import torch
from samples import make_blocks
from sklearn.pipeline import make_pipeline

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.contributions import balance_weights
from skmmal.query import BADGE, BMMAL
from skmmal.reading import read, read_with_labels


class Member:
    def __init__(self, estimator):
        self.estimator = estimator


class Committee:
    """As modAL's: the mean of the members' probabilities, a class that a member never met counting as zero."""

    def __init__(self, *members):
        self.learner_list = [Member(member) for member in members]
        self.classes_ = np.unique(np.concatenate([member.classes_ for member in members]))

    def predict_proba(self, X):
        return np.mean([whole(member.estimator, X, self.classes_) for member in self.learner_list], axis=0)


def whole(model, X, classes):
    out = np.zeros((len(X), len(classes)))
    out[:, np.searchsorted(classes, model.classes_)] = model.predict_proba(X)
    return out


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_contributions_of_a_committee_are_those_of_its_class(missing):
    """Shapley values of v(S) = mean over the members of their probability of the committee's class."""
    blocks, y = make_blocks(n=150, missing=missing)
    names = np.array(["cat", "dog", "owl"])[y]
    X = MultimodalArray(blocks)
    some = np.flatnonzero(y < 2)[:30]  # a member that has never seen an owl
    members = [
        LateFusionClassifier(C=10).fit(X[:12], names[:12]),
        make_pipeline(ModalityScaler(), LateFusionClassifier()).fit(X[20:70], names[20:70]),
        LateFusionClassifier().fit(X[some], names[some]),
    ]
    committee = Committee(*members)
    target = committee.predict_proba(X).argmax(axis=1)
    own = [np.searchsorted(committee.classes_, member.predict(X)) for member in members]
    assert any((codes != target).any() for codes in own)  # or nothing would be tested

    def value(kept):
        total = 0.0
        for member in members:
            final, Z = (member[-1], member[:-1].transform(X)) if hasattr(member, "steps") else (member, X)
            p = np.zeros((len(X), 3))
            p[:, np.searchsorted(committee.classes_, final.classes_)] = final.predict_proba_with(Z, kept)
            total = total + p[np.arange(len(X)), target] / 3
        return total

    both, a, b, none = (value(kept) for kept in (["image", "text"], ["image"], ["text"], []))
    phi = np.column_stack([both - b + a - none, both - a + b - none]) / 2
    phi[np.column_stack([np.isnan(block).all(axis=1) for block in blocks.values()])] = 0.0
    expected = np.abs(phi) / np.abs(phi).sum(axis=1, keepdims=True)
    found = read(committee, X).contributions
    np.testing.assert_allclose(found, expected, atol=1e-8)
    scale = np.repeat(balance_weights(expected), [3 * block.shape[1] for block in blocks.values()], axis=1)
    embedded = [m.embed(X) for m in (members[0], members[2])]
    embedded.insert(1, members[1][-1].embed(members[1][:-1].transform(X)))
    right = scale * np.hstack([np.hstack([e[name] for e in embedded]) for name in blocks]) / np.sqrt(3)
    residual = committee.predict_proba(X) - np.eye(3)[target]
    inner = (residual @ residual.T) * (right @ right.T)
    np.testing.assert_allclose(BMMAL().embedding(committee, X).inner(), inner, atol=1e-8)


@pytest.mark.parametrize("rows_lack", [0.0, 0.4])
@pytest.mark.parametrize("encoder_dim", [None, 4])
@pytest.mark.parametrize("fusion", ["gated", "attention", "nl-gate"])
def test_badge_is_the_gradient_of_a_shared_last_layer(fusion, encoder_dim, rows_lack):
    blocks, y = make_blocks(n=40, widths={"a": 5, "b": 8, "c": 3}, missing=rows_lack)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(fusion=fusion, encoder_dim=encoder_dim, max_iter=3, random_state=0).fit(X, y)
    module = clf.module_
    values = [torch.from_numpy(np.nan_to_num(block)) for block in X.blocks.values()]
    there = torch.from_numpy(np.column_stack([~np.isnan(block).all(axis=1) for block in X.blocks.values()]))
    fused, own = [], {name: [] for name in X.blocks}
    for row in range(len(X)):
        z = module.embed([block[row : row + 1] for block in values], there[row : row + 1])
        heads = [(fused, module.fused_logits(z, there[row : row + 1]), module.head.fused.weight)]
        heads += [
            (own[name], logits, layer.weight)
            for name, logits, layer in zip(X.blocks, module.head.unimodal_logits(z), module.head.unimodal, strict=True)
        ]
        for found, logits, weight in heads:
            loss = torch.nn.functional.cross_entropy(logits, logits.argmax(dim=1))
            found.append(torch.autograd.grad(loss, weight, retain_graph=True)[0].flatten().numpy())
    fused, own = np.stack(fused), {name: np.stack(g) for name, g in own.items()}
    for m, name in enumerate(own):
        own[name][~there[:, m].numpy()] = 0.0  # a head has no say in rows that lack its modality

    def assert_inner(strategy, *gradients):
        expected = sum(g @ g.T for g in gradients)
        found = strategy.embedding(clf, X).inner()
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max(), rtol=0)

    assert_inner(BADGE(), fused)
    assert_inner(BADGE(on="b"), own["b"])
    assert_inner(BADGE(on="all"), fused, *own.values())


@pytest.mark.parametrize("fusion", ["gated", "attention", "nl-gate"])
def test_what_reads_a_shared_layer_reads_it_as_it_is(fusion):
    """Weights (K, F) of one layer, its input their sum; the posterior is that of these weights."""
    blocks, y = make_blocks(n=60)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(fusion=fusion, max_iter=3, random_state=0).fit(X[:40], y[:40])
    head = read_with_labels(clf, X[40:], X[:40], y[:40]).head
    weights, intercepts = head.linear
    np.testing.assert_array_equal(weights, clf.module_.head.fused.weight.detach().numpy())
    logits = head.layer_features @ weights.T + intercepts
    np.testing.assert_allclose(logits, clf.decision_function(X[40:]), atol=1e-8)
    assert head.laplace.axes.shape[1] == weights.shape[1] + 1
    assert head.labelled.layer_features.shape == (40, weights.shape[1])
    embedded = clf.embed(X[40:])
    np.testing.assert_allclose(head.layer_features, sum(embedded.values()), atol=1e-12)
    # BMMAL needs a block for each modality to scale: it unties the layer
    scale = balance_weights(clf.modality_contributions(X[40:]))
    right = np.hstack([scale[:, [m]] * block for m, block in enumerate(embedded.values())])
    residual = head.residuals
    np.testing.assert_allclose(
        BMMAL().embedding(clf, X[40:]).inner(), (residual @ residual.T) * (right @ right.T), atol=1e-6
    )
