"""MVOPT against its definition, written out over every row of the pool."""

import numpy as np
import pytest
import torch
from samples import make_blocks
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.query import MVOPT, _mvopt


def margin_uncertainty(probabilities):
    ordered = np.sort(probabilities, axis=1)
    return 1 - (ordered[:, -1] - ordered[:, -2])


def sq_distances(rows):
    return ((rows[:, None] - rows[None]) ** 2).sum(axis=2)


def by_hand(blocks, labelled, n, weights, noise=0.1, beliefs=None):
    """Greedy V-optimal design; `labelled` says how many rows, at the end of the blocks, are labelled.

    `beliefs` holds, for each block, the probabilities of the heads that tell its rows apart.
    """
    n_rows = len(next(iter(blocks.values())))
    kernel = np.zeros((n_rows, n_rows))
    for name, block in blocks.items():
        there = ~np.isnan(block[:, 0])
        z = block[there]
        distances = sq_distances(z)
        exponents = distances / np.median(distances[np.triu_indices(len(z), 1)])
        if beliefs is not None:
            exponents += np.mean([sq_distances(np.sqrt(head[there])) for head in beliefs[name]], axis=0)
        kernel[np.ix_(there, there)] += np.exp(-exponents)
    counts = sum(~np.isnan(block[:, 0]) for block in blocks.values())
    kernel /= np.sqrt(np.outer(counts, counts))  # every row has variance one
    pool, known = np.arange(n_rows - labelled), np.arange(n_rows - labelled, n_rows)
    C = kernel - kernel[:, known] @ np.linalg.solve(
        kernel[np.ix_(known, known)] + noise * np.eye(labelled), kernel[known]
    )
    C = C[np.ix_(pool, pool)]
    picked, gains = [], []
    for _ in range(n):
        scores = (weights[:, None] * C**2).sum(axis=0) / (C.diagonal() + noise)
        scores[picked] = -1
        picked.append(int(scores.argmax()))
        gains.append(scores.max())
        C = C - np.outer(C[:, picked[-1]], C[:, picked[-1]]) / (C[picked[-1], picked[-1]] + noise)
    return picked, gains


def beliefs_of(clf, X):
    fused, own = clf.predict_proba(X), clf.predict_proba_by_modality(X)
    return {name: [fused, own[name]] for name in own}


def split(blocks, y, n_labelled):
    """Pool first, labelled rows at the end."""
    X = MultimodalArray(blocks)
    return X[:-n_labelled], X[-n_labelled:], y[-n_labelled:]


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_picks_are_those_of_the_definition(n_modalities, missing):
    widths = dict(list({"b": 4, "a": 3, "c": 5}.items())[:n_modalities])
    blocks, y = make_blocks(n=151, widths=widths, missing=missing if n_modalities > 1 else 0.0)
    pool, labelled, labels = split(blocks, y, 30)
    clf = LateFusionClassifier().fit(labelled, labels)
    weights = margin_uncertainty(clf.predict_proba(pool))
    for name, probabilities in clf.predict_proba_by_modality(pool).items():
        there = ~np.isnan(pool[name][:, 0])
        weights += there * margin_uncertainty(probabilities) / n_modalities
    picked, gains = MVOPT().query(clf, pool, 60, X_labeled=labelled, return_scores=True)
    expected = by_hand(blocks, 30, 60, weights, beliefs=beliefs_of(clf, MultimodalArray(blocks)))
    np.testing.assert_array_equal(picked, expected[0])
    np.testing.assert_allclose(gains, expected[1], rtol=1e-8)
    features_alone = MVOPT(kernel="features").query(clf, pool, 60, X_labeled=labelled).tolist()
    assert features_alone == by_hand(blocks, 30, 60, weights)[0] != picked.tolist()
    alone = by_hand({name: block[:-30] for name, block in blocks.items()}, 0, 30, weights, beliefs=beliefs_of(clf, pool))
    assert MVOPT().query(clf, pool, 30).tolist() == alone[0]  # without the labelled rows


def test_plain_classifiers_weigh_by_their_own_margin():
    blocks, y = make_blocks(n=151, widths={"X": 6})
    X = blocks["X"]
    clf = LogisticRegression().fit(X[-30:], y[-30:])
    picked = MVOPT().query(clf, X[:-30], 40, X_labeled=X[-30:])
    beliefs = {"X": [clf.predict_proba(X)]}
    assert picked.tolist() == by_hand(blocks, 30, 40, margin_uncertainty(beliefs["X"][0][:-30]), beliefs=beliefs)[0]
    as_sparse = sparse.csr_array(X)
    assert MVOPT().query(clf, as_sparse[:-30], 40, X_labeled=as_sparse[-30:]).tolist() == picked.tolist()


def test_without_heads_of_their_own_modalities_share_the_fused_beliefs():
    blocks, y = make_blocks(n=151, missing=0.2)
    pool, labelled, labels = split(blocks, y, 30)
    clf = LateFusionClassifier().fit(labelled, labels)

    class FusedOnly:
        classes_ = clf.classes_

        def predict_proba(self, X):
            return clf.predict_proba(X)

    probabilities = clf.predict_proba(MultimodalArray(blocks))
    beliefs = {name: [probabilities] for name in blocks}
    expected = by_hand(blocks, 30, 40, margin_uncertainty(probabilities[:-30]), beliefs=beliefs)[0]
    assert MVOPT().query(FusedOnly(), pool, 40, X_labeled=labelled).tolist() == expected


@pytest.mark.parametrize("estimator", [None, LateFusionClassifier(), make_pipeline(LateFusionClassifier())])
def test_without_a_model_every_row_counts_the_same(estimator):
    blocks, _ = make_blocks(n=101, missing=0.2)
    X = MultimodalArray(blocks)
    assert MVOPT().query(estimator, X, 30).tolist() == by_hand(blocks, 0, 30, np.ones(101))[0]
    known = MVOPT().query(estimator, X[:80], 20, X_labeled=X[80:])
    assert known.tolist() == by_hand(blocks, 21, 20, np.ones(80))[0]


def test_a_model_that_is_sure_of_every_row_counts_as_none():
    blocks, _ = make_blocks(n=60, widths={"X": 4})

    class Certain:
        classes_ = np.arange(3)

        def predict_proba(self, X):
            return np.eye(3)[np.arange(len(X)) % 3]

    assert MVOPT().query(Certain(), blocks["X"], 20).tolist() == MVOPT().query(None, blocks["X"], 20).tolist()


def test_labelled_rows_keep_the_batch_away():
    """Two clusters of equal size; one is labelled."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 2)) * 0.1 + np.repeat([[0.0, 0.0], [5.0, 5.0]], 50, axis=0)
    picked = MVOPT().query(None, X, 1, X_labeled=rng.standard_normal((10, 2)) * 0.1)
    assert picked[0] >= 50
    assert MVOPT().query(None, X, 1, X_labeled=rng.standard_normal((10, 2)) * 0.1 + 5)[0] < 50


def test_uncertain_regions_come_first():
    """Two like clusters; the model is sure of one."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 2)) * 0.1 + np.repeat([[0.0, 0.0], [5.0, 5.0]], 50, axis=0)

    class HalfSure:
        classes_ = np.arange(2)

        def predict_proba(self, X):
            sure = X[:, 0] < 2.5
            return np.where(sure[:, None], [0.99, 0.01], [0.5, 0.5])

    assert (MVOPT().query(HalfSure(), X, 2) >= 50).all()


def test_rows_of_different_classes_tell_little_of_each_other():
    """Three points: two are nearer to each other, but the model holds two others for the same class."""
    X = np.array([[0.0], [1.0], [2.2]])

    class Believer:
        classes_ = np.arange(2)

        def predict_proba(self, X):
            return np.where(X > 0.5, [0.1, 0.9], [0.9, 0.1])

    first = MVOPT().query(Believer(), X, 1)
    assert first[0] == 1
    # row 1 tells more of row 2 than of row 0, which is nearer
    assert MVOPT().query(Believer(), X, 2).tolist() == [1, 0]
    assert MVOPT().query(None, X, 2).tolist() == [1, 2]


def test_the_size_of_the_pool_decides_between_kernel_and_features(monkeypatch):
    blocks, y = make_blocks(n=160, missing=0.2)
    pool, labelled, labels = split(blocks, y, 30)
    clf = LateFusionClassifier().fit(labelled, labels)

    def answer(**params):
        return MVOPT(random_state=0, **params).query(clf, pool, 50, X_labeled=labelled).tolist()

    exact, fourier = answer(kernel_approximation="exact"), answer(kernel_approximation="fourier")
    assert exact != fourier
    monkeypatch.setattr(_mvopt, "_EXACT_ROWS", 160)  # labelled rows count, too
    assert answer() == exact
    monkeypatch.setattr(_mvopt, "_EXACT_ROWS", 159)
    assert answer() == fourier
    monkeypatch.setattr(_mvopt, "average_kernel", None)  # no N × N matrix is made
    assert answer() == fourier
    assert answer(n_components=64) != fourier


def test_fourier_features_get_near_the_exact_batch():
    blocks, y = make_blocks(n=230, missing=0.2)
    pool, labelled, labels = split(blocks, y, 30)
    clf = LateFusionClassifier().fit(labelled, labels)
    exact = MVOPT().query(clf, pool, 40, X_labeled=labelled, return_scores=True)[1].sum()
    errors = []
    for n_components in (8, 64, 512):
        strategies = [MVOPT(kernel_approximation="fourier", n_components=n_components, random_state=s) for s in range(4)]
        gains = [s.query(clf, pool, 40, X_labeled=labelled, return_scores=True)[1].sum() for s in strategies]
        errors.append(np.sqrt(np.mean((np.array(gains) / exact - 1) ** 2)))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05


def test_fourier_features_are_drawn_from_the_random_state():
    blocks, y = make_blocks(n=160, widths={"a": 4, "b": 3, "c": 5}, missing=0.2)
    pool, labelled, labels = split(blocks, y, 30)
    swapped, swapped_labelled, _ = split({name: blocks[name] for name in "cab"}, y, 30)

    def answer(seed, pool=pool, labelled=labelled):
        clf = LateFusionClassifier().fit(labelled, labels)
        strategy = MVOPT(kernel_approximation="fourier", n_components=8, random_state=seed)
        return strategy.query(clf, pool, 50, X_labeled=labelled).tolist()

    assert answer(0) == answer(0) == answer(np.random.RandomState(0))
    assert answer(0) != answer(1)
    assert answer(0) == answer(0, swapped, swapped_labelled)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_features(dtype):
    blocks, _ = make_blocks(n=151, missing=0.2)
    rounded = {name: block.astype(dtype) for name, block in blocks.items()}
    answers = []
    for each in (rounded, {name: block.astype(np.float64) for name, block in rounded.items()}):
        answers.append(MVOPT().query(None, MultimodalArray(each), 40).tolist())
    assert answers[0] == answers[1]


def test_scale_and_place_of_a_modality_do_not_matter_to_the_kernel():
    blocks, _ = make_blocks(n=101, missing=0.2)
    moved = {"image": 1e3 * blocks["image"] - 5e3, "text": 1e-3 * blocks["text"] + 7}
    assert MVOPT().query(None, blocks, 30).tolist() == MVOPT().query(None, moved, 30).tolist()


def test_learned_features_are_used_where_there_are_encoders():
    blocks, y = make_blocks(n=120)
    pool, labelled, labels = split(blocks, y, 40)
    clf = LateFusionClassifier(encoder_dim=6, max_iter=300, random_state=0).fit(labelled, labels)
    weights = margin_uncertainty(clf.predict_proba(pool))
    for probabilities in clf.predict_proba_by_modality(pool).values():
        weights += margin_uncertainty(probabilities) / 2
    learned = clf.embed(MultimodalArray(blocks))
    picked = MVOPT().query(clf, pool, 20, X_labeled=labelled)
    beliefs = beliefs_of(clf, MultimodalArray(blocks))
    assert picked.tolist() == by_hand(learned, 40, 20, weights, beliefs=beliefs)[0]


def test_scaled_features_in_a_pipeline():
    blocks, y = make_blocks(n=120)
    blocks["text"] = blocks["text"] * np.array([1.0, 50.0, 1.0])  # a column that would drown the others
    pool, labelled, labels = split(blocks, y, 40)
    pipeline = make_pipeline(ModalityScaler(), LateFusionClassifier()).fit(labelled, labels)
    scaler, clf = pipeline[0], pipeline[-1]
    expected = MVOPT().query(clf, scaler.transform(pool), 20, X_labeled=scaler.transform(labelled))
    np.testing.assert_array_equal(MVOPT().query(pipeline, pool, 20, X_labeled=labelled), expected)
    clf_alone = LateFusionClassifier().fit(labelled, labels)
    assert (MVOPT().query(clf_alone, pool, 20, X_labeled=labelled) != expected).any()


def test_torch_rows_and_devices():
    blocks, _ = make_blocks(n=60, widths={"X": 4})
    expected = MVOPT().query(None, blocks["X"], 10)
    np.testing.assert_array_equal(MVOPT(device="cpu").query(None, torch.as_tensor(blocks["X"]), 10), expected)
    with pytest.raises(ValueError, match="device='quantum' is not a torch device"):
        MVOPT(device="quantum").query(None, blocks["X"], 10)


@pytest.mark.parametrize(
    "params", [{"noise": 0}, {"n_components": 1}, {"kernel_approximation": "nystroem"}, {"random_state": "seed"}]
)
def test_parameters_are_checked(params):
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter of MVOPT must be"):
        MVOPT(**params).query(None, np.eye(4), 1)
