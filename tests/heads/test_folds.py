"""Heads of several folds, solved as one array."""

from dataclasses import replace

import numpy as np
import pytest

from skmmal.heads.convex import Fold, FusedFolds, LabeledRows, LinearMap, fit_layers


def rows_of(widths, n=60, n_classes=4, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    blocks = [rng.normal(size=(n, width)) + rng.normal(size=(n_classes, width))[labels] for width in widths]
    present = rng.random((n, len(widths))) >= missing
    present[:, 0] |= ~present.any(axis=1)
    return LabeledRows(blocks, present, labels, rng.uniform(0.5, 2.0, n))


def folds_of(rows, n_folds=3):
    n_classes = int(rows.labels.max()) + 1
    folds = []
    for f in range(n_folds):
        train = np.arange(len(rows)) % n_folds != f
        met = np.isin(np.arange(n_classes), rows.labels[train])
        test = np.flatnonzero(~train & met[rows.labels])
        folds.append(Fold(train, test, np.tile(met, (len(rows.blocks) + 1, 1))))
    return folds


def by_itself(rows, fold, C, factors):
    """Logits of the test rows by the fit of one head, on the training rows alone."""
    kept = rows.at(np.flatnonzero(fold.train))
    n_classes = fold.met.shape[1]
    widths = [block.shape[1] for block in rows.blocks]
    shapes = [sum(widths), *widths]
    layers = [LinearMap(np.zeros((n_classes, width)), np.zeros(n_classes)) for width in shapes]
    fit_layers(layers, kept, fold.met, C=C, max_iter=5000, tol=1e-12, modality_weights=factors)
    features = np.hstack(
        [np.where(there[:, None], block, 0.0) for block, there in zip(rows.blocks, rows.present.T, strict=True)]
    )
    logits = features[fold.test] @ layers[0].weight.T + layers[0].intercept
    return np.where(fold.met[0], logits, -np.inf)


def centered(logits):
    finite = np.isfinite(logits)
    return np.where(
        finite,
        logits - np.where(finite, logits, 0.0).sum(axis=1, keepdims=True) / finite.sum(axis=1, keepdims=True),
        -9,
    )


@pytest.mark.parametrize("widths", [(5, 3), (70, 40), (4, 90), (6,)])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_every_fold_is_the_fit_of_its_rows(widths, missing):
    if len(widths) == 1 and missing:
        missing = 0.0
    rows = rows_of(widths, missing=missing)
    # with rows that lack a block the fits differ by where features are centered, which no optimum depends on
    folds, factors = folds_of(rows), [0.5, 2.0][: len(widths)]
    found, start = FusedFolds(rows, folds, is_sum=False, tol=1e-6, max_iter=2000).fitted(0.7, factors)
    assert isinstance(start, np.ndarray)  # this way, not in step
    expected = np.concatenate([by_itself(rows, fold, 0.7, factors) for fold in folds])
    np.testing.assert_allclose(centered(found), centered(expected), atol=0.02)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_folds_may_know_different_classes(n_classes):
    rows = rows_of((5, 3), n_classes=n_classes + 1)
    rows = rows.at(np.flatnonzero((rows.labels < n_classes) | (np.arange(60) % 5 == 0)))  # the last one is rare
    train = np.ones(len(rows), dtype=bool)
    train[rows.labels == n_classes] = False
    train[:6] = False
    met = np.tile(np.arange(n_classes + 1) < n_classes, (3, 1))
    folds = [Fold(train, np.arange(6)[rows.labels[:6] < n_classes], met), *folds_of(rows)]
    found, _ = FusedFolds(rows, folds, is_sum=False, tol=1e-6, max_iter=2000).fitted(1.0, None)
    expected = np.concatenate([by_itself(rows, fold, 1.0, None) for fold in folds])
    assert np.isneginf(found[: len(folds[0].test), n_classes]).all()
    np.testing.assert_allclose(centered(found), centered(expected), atol=0.02)


@pytest.mark.parametrize("widths", [(5, 3), (70, 40)])
def test_where_it_starts_does_not_matter(widths):
    rows = rows_of(widths)
    fits = FusedFolds(rows, folds_of(rows), is_sum=False, tol=1e-6, max_iter=2000)
    cold, _ = fits.fitted(2.0, [1.0, 0.25])
    _, start = fits.fitted(0.1, [0.25, 1.0])
    warm, _ = fits.fitted(2.0, [1.0, 0.25], start)
    np.testing.assert_allclose(centered(warm), centered(cold), atol=0.02)
    again, _ = fits.fitted(2.0, [1.0, 0.25], fits.fitted(2.0, [1.0, 0.25])[1])
    np.testing.assert_allclose(centered(again), centered(cold), atol=0.02)
    nonsense = np.full_like(start, 50.0)  # worse than zero
    np.testing.assert_allclose(centered(fits.fitted(2.0, [1.0, 0.25], nonsense)[0]), centered(cold), atol=0.02)


def test_copies_of_rows_and_a_wide_block_leave_something_to_solve():
    rows = rows_of((90, 70), n=20)
    twice = rows.at(np.repeat(np.arange(20), 2))  # products of rows without an inverse
    twice = replace(twice, weights=twice.weights / 2)
    once = [Fold(np.arange(20) < 16, np.arange(16, 20), np.ones((3, 4), dtype=bool))]
    doubled = [Fold(np.repeat(once[0].train, 2), np.arange(32, 40, 2), once[0].met)]
    fits = [
        FusedFolds(each, folds, is_sum=False, tol=1e-6, max_iter=2000).fitted(1.0, None)[0]
        for each, folds in ((rows, once), (twice, doubled))
    ]
    np.testing.assert_allclose(centered(fits[0]), centered(fits[1]), atol=0.02)


def test_columns_of_very_different_scale_are_solved_in_step():
    rows = rows_of((5, 3))
    rows.blocks[0][:, 0] *= 1e9
    found, start = FusedFolds(rows, folds_of(rows), is_sum=False, tol=1e-4, max_iter=500).fitted(1.0, None)
    assert isinstance(start, list)
    assert np.isfinite(found).all()
    _, other = FusedFolds(rows_of((5, 3)), folds_of(rows), is_sum=False, tol=1e-4, max_iter=500).fitted(1.0, None)
    again, _ = FusedFolds(rows, folds_of(rows), is_sum=False, tol=1e-4, max_iter=500).fitted(1.0, None, other)
    np.testing.assert_allclose(again, found)  # a start of the other kind is none
