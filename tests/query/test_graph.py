"""The graph strategies against dense formulas."""

import warnings

import numpy as np
import pytest
import torch
from samples import make_blocks

from skmmal.query import CoreGCN, UncertainGCN
from skmmal.query._gcn import _graph, _loss, _train
from skmmal.reading import read


def dense_graph(points, k):
    distances = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    edges = np.zeros_like(distances)
    for row, order in enumerate(np.argsort(distances, axis=1)):
        edges[row, order[:k]] = 1
    edges = np.maximum(edges, edges.T) + np.eye(len(points))
    degrees = edges.sum(axis=1)
    return edges / np.sqrt(np.outer(degrees, degrees))


def test_the_graph_by_hand():
    points = np.random.default_rng(0).standard_normal((40, 3))
    np.testing.assert_allclose(_graph(points, 4).toarray(), dense_graph(points, 4), atol=1e-12)
    assert _graph(points[:1], 4).toarray().tolist() == [[1.0]]
    np.testing.assert_allclose(_graph(points[:3], 10).toarray(), np.full((3, 3), 1 / 3))


def test_the_loss_by_hand():
    s = np.array([0.9, 0.2, 0.4])
    logits = torch.as_tensor(np.log(s / (1 - s)))
    expected = -np.log(0.9) - 1.2 * (np.log(0.8) + np.log(0.6)) / 2
    assert float(_loss(logits, torch.tensor([True, False, False]))) == pytest.approx(expected)
    assert float(_loss(logits, torch.tensor([False] * 3))) == pytest.approx(-1.2 * np.log([0.1, 0.8, 0.6]).mean())


def test_training_tells_where_the_labels_are():
    rng = np.random.default_rng(0)
    points = np.repeat(np.eye(3), 30, axis=0) + 0.05 * rng.standard_normal((90, 3))
    is_labelled = np.arange(90) < 20  # in the first clump
    trained = _train(points, _graph(points, 5), is_labelled, 200, np.random.RandomState(0))
    assert trained.scores[20:30].mean() > trained.scores[30:].mean() + 0.3
    assert ((trained.scores > 0) & (trained.scores < 1)).all()
    untrained = _train(points, _graph(points, 5), is_labelled, 0, np.random.RandomState(0))
    assert (untrained.hidden != trained.hidden).any()


def test_uncertain_gcn_takes_scores_nearest_to_the_margin():
    X = make_blocks(n=90)[0]["image"]
    chosen = UncertainGCN(margin=0.3, n_steps=30, random_state=0)
    picked, scores = chosen.query(None, X[20:], 70, X_labeled=X[:20], return_scores=True)
    s = chosen._trained(read(None, X[20:]), read(None, X[:20]), np.random.RandomState(0)).scores[:70]
    np.testing.assert_array_equal(picked, np.argsort(np.abs(s - 0.3), kind="stable"))
    np.testing.assert_allclose(scores, -np.abs(s - 0.3)[picked])


def test_core_gcn_is_farthest_first_in_the_hidden_layer():
    X = make_blocks(n=90)[0]["image"]
    chosen = CoreGCN(n_steps=30, random_state=0)
    picked, scores = chosen.query(None, X[20:], 12, X_labeled=X[:20], return_scores=True)
    hidden = chosen._trained(read(None, X[20:]), read(None, X[:20]), np.random.RandomState(0)).hidden
    pool, centres = hidden[:70], list(hidden[70:])
    for row, score in zip(picked, scores, strict=True):
        distances = np.min([np.linalg.norm(pool - c, axis=1) for c in centres], axis=0)
        assert distances[row] == pytest.approx(distances.max(), rel=1e-6)
        assert score == pytest.approx(distances.max(), rel=1e-5)
        centres.append(pool[row])


def test_components_are_taken_of_wide_embeddings():
    X = np.random.default_rng(0).standard_normal((60, 20))
    answers = [UncertainGCN(n_directions=c, n_steps=5, random_state=0).query(None, X, 9).tolist() for c in (4, None)]
    assert answers[0] != answers[1]


def test_equal_points_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picked = UncertainGCN(n_directions=1, n_steps=2, random_state=0).query(None, np.ones((5, 3)), 2)
    assert len(set(picked.tolist())) == 2
