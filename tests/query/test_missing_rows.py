"""Which share of the picks lacks a modality, where rows lack one at random."""

import numpy as np
import pytest

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.datasets import make_multimodal_classification
from skmmal.query import MVOPT, CoreSet
from skmmal.selection import DenseEmbedding, k_center_greedy


def problem(n_modalities, rate, seed, n=700):
    X, y = make_multimodal_classification(
        n, dict.fromkeys("abc"[:n_modalities], 12), n_classes=4, class_sep=4.0, random_state=seed, return_X_y=True
    )
    rng = np.random.default_rng(seed)
    lacking = rng.permutation(n)[: round(rate * n)]
    blocks = {name: np.array(block) for name, block in X.blocks.items()}
    which = rng.integers(0, n_modalities, len(lacking))
    for m, name in enumerate(blocks):
        blocks[name][lacking[which == m]] = np.nan
    return ModalityScaler().fit_transform(MultimodalArray(blocks)), y, np.isin(np.arange(n), lacking)


@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize("rate", [0.1, 0.4])
@pytest.mark.parametrize("n_modalities", [2, 3])
@pytest.mark.parametrize(
    "strategy",
    [
        CoreSet(),
        MVOPT(kernel_approximation="exact"),
        MVOPT(kernel_approximation="fourier", n_components=128, random_state=0),
        MVOPT(kernel="features"),
    ],
    ids=["coreset", "exact", "fourier", "features"],
)
def test_rows_that_lack_a_modality_are_picked_about_as_often_as_they_are_there(strategy, n_modalities, rate, fitted):
    picked, expected = 0.0, 0.0
    for seed in range(3):
        X, y, lacks = problem(n_modalities, rate, seed)
        clf = LateFusionClassifier().fit(X[:40], y[:40]) if fitted else None
        rows = strategy.query(clf, X[40:], 100, X_labeled=X[:40], y_labeled=y[:40])
        picked += lacks[40:][rows].mean()
        expected += lacks[40:].mean()
    # rows of which the model is less sure are picked more often, and so are kinds of rows of which nothing is known yet
    assert 1 / 3 < picked / expected < (3 if fitted else 4)


def test_coreset_measures_over_what_both_rows_have():
    """Against the textbook loop, with a scale for each modality and labelled rows that lack some."""
    X, _, _ = problem(3, 0.5, 0, n=150)
    names = list(X.blocks)
    blocks = [(m + 1) * X[name] for m, name in enumerate(names)]
    there = np.column_stack([~np.isnan(block[:, 0]) for block in blocks])
    scales = np.array(
        [
            np.square(block[own][:, None] - block[own]).sum(axis=2).mean()
            for block, own in zip(blocks, there.T, strict=True)
        ]
    )
    distances = np.empty((150, 150))
    for i in range(150):
        both = there[i] & there
        seen = both @ scales
        squares = np.column_stack([np.nan_to_num(np.square(block - block[i]).sum(axis=1)) for block in blocks])
        share = np.divide(scales.sum(), seen, out=np.zeros(150), where=seen > 0)
        distances[i] = np.where(seen > 0, (squares * both).sum(axis=1) * share, scales.sum())
    nearest, expected = distances[:, 120:].min(axis=1)[:120], []
    for _ in range(40):
        expected.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distances[:120, expected[-1]])
    whole = MultimodalArray(dict(zip(names, blocks, strict=True)))
    assert CoreSet().query(None, whole[:120], 40, X_labeled=whole[120:]).tolist() == expected


def test_where_nothing_is_missing_coreset_is_k_centre_of_the_features():
    X, _, _ = problem(2, 0.0, 0)
    expected = k_center_greedy(
        DenseEmbedding([block[40:] for block in X.blocks.values()]),
        60,
        initial=DenseEmbedding([block[:40] for block in X.blocks.values()]),
    )
    np.testing.assert_array_equal(CoreSet().query(None, X[40:], 60, X_labeled=X[:40]), expected)
    partly = X[np.r_[0:40]].blocks
    partly = {"a": np.where(np.arange(40)[:, None] < 3, np.nan, partly["a"]), "b": partly["b"]}
    # labelled rows may lack something that the pool has throughout
    assert len(set(CoreSet().query(None, X[40:], 60, X_labeled=partly).tolist())) == 60
