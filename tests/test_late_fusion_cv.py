"""Weights of modalities in front of the fused head, and the classifier that chooses them: against brute force."""

import itertools
import pickle

import numpy as np
import pytest
from samples import make_blocks
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneGroupOut, StratifiedKFold

from skmmal import ActiveLearner, LateFusionClassifier, LateFusionClassifierCV, MultimodalArray, run_experiment
from skmmal.classifier._divisions import divided, rows_that_decide
from skmmal.classifier._search import gain_of
from skmmal.heads import _tempering
from skmmal.heads.convex import LabeledRows
from skmmal.query import get_strategy


def noisy(n=120, seed=0, n_classes=3, width=40, signal=0.8):
    """A block of noise and one with the classes in it."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    centers = signal * rng.standard_normal((n_classes, 6))
    blocks = {"noise": rng.standard_normal((n, width)), "signal": centers[y] + rng.standard_normal((n, 6))}
    order = rng.permutation(n)
    return MultimodalArray({name: block[order] for name, block in blocks.items()}), y[order]


def scaled(X, weights):
    return MultimodalArray({name: block * weights.get(name, 1.0) for name, block in X.blocks.items()})


# ------------------------------------------------------------------------------------------- modality_weights


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_weight_is_a_factor_of_the_block_before_the_fused_head(missing):
    blocks, y = make_blocks(n=90, missing=missing)
    X, weights = MultimodalArray(blocks), {"image": 0.3}
    weighted = LateFusionClassifier(modality_weights=weights).fit(X, y)
    peer, plain = LateFusionClassifier().fit(scaled(X, weights), y), LateFusionClassifier().fit(X, y)
    np.testing.assert_allclose(weighted.predict_proba(X), peer.predict_proba(scaled(X, weights)), atol=1e-7)
    np.testing.assert_allclose(weighted.shapley_values(X, y), peer.shapley_values(scaled(X, weights), y), atol=1e-7)
    np.testing.assert_allclose(weighted.coef_[:, :5], 0.3 * peer.coef_[:, :5], atol=1e-7)
    # it is part of the coefficients: what the head sees are the features, and the own heads know nothing of it
    np.testing.assert_allclose(weighted.embed(X)["image"], np.nan_to_num(blocks["image"]))
    of_own, of_plain = weighted.predict_proba_by_modality(X), plain.predict_proba_by_modality(X)
    np.testing.assert_allclose(of_own["image"], of_plain["image"], atol=1e-9)
    packed = np.nan_to_num(np.hstack(list(blocks.values())))
    np.testing.assert_allclose(
        packed @ weighted.coef_.T + weighted.intercept_, weighted.decision_function(X), atol=1e-9
    )


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_weights_of_one_change_nothing_and_the_order_of_modalities_does_not_matter(fusion):
    blocks, y = make_blocks(n=60, missing=0.2)
    X = MultimodalArray(blocks)
    ones = LateFusionClassifier(fusion=fusion, modality_weights={"text": 1, "image": 1.0}).fit(X, y)
    plain = LateFusionClassifier(fusion=fusion).fit(X, y)
    np.testing.assert_allclose(ones.decision_function(X), plain.decision_function(X), rtol=1e-12)
    weights = {"text": 0.2, "image": 2.0}
    turned = MultimodalArray(dict(reversed(blocks.items())))
    one = LateFusionClassifier(fusion=fusion, modality_weights=weights).fit(X, y)
    other = LateFusionClassifier(fusion=fusion, modality_weights=weights).fit(turned, y)
    np.testing.assert_allclose(one.decision_function(X), other.decision_function(turned), atol=1e-6)
    assert abs(one.decision_function(X) - plain.decision_function(X)).max() > 0.1


def test_with_sum_fusion_weights_are_factors_in_the_mean_and_the_optimum_is_reached():
    blocks, y = make_blocks(n=60)
    X, C, factors = MultimodalArray(blocks), 0.7, [0.3, 2.0]
    clf = LateFusionClassifier(fusion="sum", C=C, modality_weights=dict(zip(blocks, factors, strict=True))).fit(X, y)
    own = [block @ each.weight.T + each.intercept for block, each in zip(blocks.values(), clf.heads_.own, strict=True)]
    fused = np.mean([factor * logits for factor, logits in zip(factors, own, strict=True)], axis=0)
    np.testing.assert_allclose(clf.decision_function(X), fused, atol=1e-10)
    np.testing.assert_allclose(softmax(own[1], axis=1), clf.predict_proba_by_modality(X)["text"], atol=1e-12)
    # the gradient of C Σ losses of all heads + ½‖W‖² vanishes
    for block, factor, logits, each in zip(blocks.values(), factors, own, clf.heads_.own, strict=True):
        pull = factor / 2 * (softmax(fused, axis=1) - np.eye(3)[y]) + softmax(logits, axis=1) - np.eye(3)[y]
        np.testing.assert_allclose(C * pull.T @ block + each.weight, 0, atol=1e-5)
        np.testing.assert_allclose(pull.sum(axis=0), 0, atol=1e-5)
    # and the network says the same
    import torch

    parts = [torch.from_numpy(block) for block in blocks.values()]
    partial, intercept = clf.module_.head.partial_logits(parts)
    np.testing.assert_allclose((sum(partial) + intercept).detach().numpy(), fused, atol=1e-10)
    np.testing.assert_allclose(clf.module_.head(parts).detach().numpy(), fused, atol=1e-10)


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_a_class_that_nobody_has_met_stays_out_of_reach_whatever_the_weights(fusion):
    blocks, y = make_blocks(n=30)
    weights = dict.fromkeys(blocks, 0.01)
    clf = LateFusionClassifier(fusion=fusion, modality_weights=weights).fit(
        MultimodalArray(blocks), y, classes=range(5)
    )
    assert clf.predict_proba(MultimodalArray(blocks))[:, 3:].max() < 1e-30


def test_weights_that_cannot_be_used_are_answered():
    blocks, y = make_blocks(n=30)
    X = MultimodalArray(blocks)
    with pytest.raises(
        ValueError, match=r"unknown modality 'imag'; there are \['image', 'text'\]. Did you mean 'image'"
    ):
        LateFusionClassifier(modality_weights={"imag": 0.5}).fit(X, y)
    for wrong in (0, -1.0, float("nan"), float("inf"), "much", True, None):
        with pytest.raises(ValueError, match="modality_weights of 'text' must be a positive finite number"):
            LateFusionClassifier(modality_weights={"text": wrong}).fit(X, y)
    for params in ({"encoder_dim": 4}, {"fusion": "gated"}, {"solver": "adamw"}, {"missing": "token"}):
        with pytest.raises(ValueError, match="modality_weights=.* are of the convex case"):
            LateFusionClassifier(modality_weights={"text": 0.5}, **params).fit(X, y)


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_weights_are_kept_by_save_clone_and_warm_starts(fusion, tmp_path):
    blocks, y = make_blocks(n=60)
    X, weights = MultimodalArray(blocks), {"image": 0.1, "text": 3.0}
    clf = LateFusionClassifier(fusion=fusion, modality_weights=weights, warm_start=True).fit(X, y)
    clf.save(tmp_path / "model")
    again = LateFusionClassifier.load(tmp_path / "model")
    assert type(again) is LateFusionClassifier
    for other in (again, pickle.loads(pickle.dumps(clf))):
        np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
        assert other.modality_weights == weights
    assert clone(clf).modality_weights == weights
    anew = LateFusionClassifier(fusion=fusion, modality_weights={"image": 2.0}).fit(X, y)
    clf.set_params(modality_weights={"image": 2.0}).fit(X, y)
    np.testing.assert_allclose(clf.decision_function(X), anew.decision_function(X), atol=1e-5)


# --------------------------------------------------------------------------------------------- what is chosen


def out_of_fold(X, y, C, weights, splits, sample_weight):
    """Tempered losses by scikit-learn, refitted from nothing."""
    features = np.hstack([block * weights[name] for name, block in X.blocks.items()])
    n_classes = len(np.unique(y))
    logits, labels, of_rows = [], [], []
    for train, test in splits:
        known = np.unique(y[train])
        test = test[np.isin(y[test], known)]
        peer = LogisticRegression(C=C, tol=1e-8, max_iter=10_000)
        peer.fit(features[train], y[train], sample_weight[train])
        found = np.full((len(test), n_classes), -np.inf)
        found[:, known] = peer.decision_function(features[test])
        logits.append(found)
        labels.append(y[test])
        of_rows.append(sample_weight[test])
    logits, labels, of_rows = map(np.concatenate, (logits, labels, of_rows))

    def losses(log_temperature):
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[np.arange(len(labels)), labels]

    best = minimize_scalar(
        lambda t: of_rows @ losses(t), bounds=(-2.303, 2.303), method="bounded", options={"xatol": 1e-6}
    )
    return losses(best.x), of_rows, float(np.exp(best.x))


def surprise(C, weights):
    return np.log(C) ** 2 / 8 + sum(np.log(w) ** 2 for w in weights.values()) / 4.5


@pytest.mark.parametrize("is_weighted", [False, True])
def test_candidates_are_judged_by_tempered_losses_of_rows_held_out(is_weighted):
    """Every score, gain and error of the search, and what is chosen by them, from scikit-learn's refits."""
    X, y = noisy(n=80)
    sample_weight = np.random.default_rng(1).integers(1, 4, 80).astype(float) if is_weighted else np.ones(80)
    splits = list(StratifiedKFold(3).split(y, y))
    clf = LateFusionClassifierCV(Cs=[0.05, 1.0, 8.0], cv=splits).fit(X, y, sample_weight if is_weighted else None)
    gains, bounds, base = [], [], None
    results = clf.cv_results_
    assert len(results["params"]) > 5
    for i, params in enumerate(results["params"]):
        losses, weights, temperature = out_of_fold(X, y, **dict(zip(("C", "weights"), params.values(), strict=True)), splits=splits, sample_weight=sample_weight)  # fmt: skip
        total = weights.sum()
        base = losses if base is None else base
        gain = weights @ (base - losses) / total
        error = np.sqrt(weights @ (base - losses - gain) ** 2) / total
        assert results["mean_test_score"][i] == pytest.approx(-weights @ losses / total, abs=4e-3)
        assert results["gain"][i] == pytest.approx(gain, abs=4e-3)
        assert results["standard_error"][i] == pytest.approx(error, abs=2e-3)
        assert results["temperature"][i] == pytest.approx(temperature, rel=0.03)
        gains.append(gain - surprise(*params.values()) / total)
        bounds.append(gains[-1] - error)
    assert results["params"][0] == {"C": 1.0, "modality_weights": {"noise": 1.0, "signal": 1.0}}
    best = int(np.argmax(gains))
    taken, of_taken = (best, gains) if bounds[best] > 0 else (int(np.argmax(bounds)), bounds)
    assert of_taken[clf.best_index_] == pytest.approx(of_taken[taken], abs=5e-3)
    assert clf.best_params_ == results["params"][clf.best_index_]
    assert clf.best_score_ == results["mean_test_score"][clf.best_index_]
    assert results["rank_test_score"][results["mean_test_score"].argmax()] == 1


def test_the_search_finds_what_the_whole_grid_holds():
    X, y = noisy(n=60, seed=3)
    splits = list(StratifiedKFold(3).split(y, y))
    Cs, steps = [0.1, 1.0, 10.0], 0.5 ** np.arange(6)
    clf = LateFusionClassifierCV(Cs=Cs, cv=splits).fit(X, y)

    def score(losses, params):
        return losses + surprise(*params) / 60

    of_grid = []
    for C, noise, signal in itertools.product(Cs, steps, steps):
        weights = {"noise": float(noise), "signal": float(signal)}
        if max(noise, signal) == 1:
            losses, _, _ = out_of_fold(X, y, C, weights, splits, np.ones(60))
            of_grid.append(score(losses.mean(), (C, weights)))
    found = [
        score(-loss, params.values())
        for loss, params in zip(clf.cv_results_["mean_test_score"], clf.cv_results_["params"], strict=True)
    ]
    assert min(found) == pytest.approx(min(of_grid), abs=5e-3)
    assert len(found) < len(of_grid) / 2


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_it_is_the_plain_classifier_with_what_was_chosen(fusion):
    X, y = noisy()
    clf = LateFusionClassifierCV(fusion=fusion).fit(X, y)
    plain = LateFusionClassifier(fusion=fusion, C=clf.C_, modality_weights=clf.modality_weights_).fit(X, y)
    np.testing.assert_allclose(clf.decision_function(X), plain.decision_function(X) / clf.temperature_, atol=1e-5)
    np.testing.assert_array_equal(clf.predict(X), plain.predict(X))
    np.testing.assert_allclose(softmax(clf.decision_function(X), axis=1), clf.predict_proba(X), atol=1e-12)
    packed = np.hstack(list(X.blocks.values()))
    np.testing.assert_allclose(packed @ clf.coef_.T + clf.intercept_, clf.decision_function(X), atol=1e-9)
    own, same = clf.predict_proba_by_modality(X), plain.predict_proba_by_modality(X)
    if fusion == "concat":
        np.testing.assert_allclose(own["noise"], same["noise"], atol=1e-9)


def test_a_block_of_noise_weighs_less_and_the_fused_head_is_better_for_it():
    gains = []
    for seed in range(3):
        X, y = noisy(n=460, seed=seed, width=80)
        clf, plain = LateFusionClassifierCV().fit(X[:160], y[:160]), LateFusionClassifier().fit(X[:160], y[:160])
        assert clf.modality_weights_["noise"] < clf.modality_weights_["signal"] == 1.0
        scores = plain.score_by_modality(X[160:], y[160:])
        gains.append(clf.score(X[160:], y[160:]) - scores["fused"])
        assert clf.score(X[160:], y[160:]) > max(scores.values()) - 0.025
    assert min(gains) > 0
    assert np.mean(gains) > 0.05


def test_without_evidence_it_is_mostly_the_plain_classifier_and_never_far_from_it():
    n_plain = 0
    for seed in range(12):
        X, y = noisy(n=24, seed=seed, width=6, signal=0.0)
        clf = LateFusionClassifierCV().fit(X, y)
        assert min(clf.modality_weights_.values()) >= 0.5
        assert clf.C_ >= 0.3
        n_plain += clf.best_index_ == 0
    assert n_plain >= 6


def test_the_order_of_modalities_and_of_rows_does_not_matter_where_folds_are_the_same():
    X, y = noisy(n=90)
    splits = list(StratifiedKFold(4).split(y, y))
    clf = LateFusionClassifierCV(cv=splits).fit(X, y)
    turned = MultimodalArray(dict(reversed(X.blocks.items())))
    other = LateFusionClassifierCV(cv=splits).fit(turned, y)
    assert (other.C_, other.modality_weights_) == (clf.C_, clf.modality_weights_)
    np.testing.assert_allclose(other.predict_proba(turned), clf.predict_proba(X), atol=1e-3)
    order = np.random.default_rng(0).permutation(90)
    place = np.argsort(order)
    moved = [(place[train], place[test]) for train, test in splits]
    again = LateFusionClassifierCV(cv=moved).fit(X[order], y[order])
    assert (again.C_, again.modality_weights_) == (clf.C_, clf.modality_weights_)


def test_given_and_no_weights_leave_C_to_be_found():
    X, y = noisy()
    given = LateFusionClassifierCV(modality_weights={"noise": 0.3}).fit(X, y)
    none = LateFusionClassifierCV(modality_weights=None).fit(X, y)
    assert given.modality_weights_ == {"noise": 0.3, "signal": 1.0}
    assert none.modality_weights_ == {"noise": 1.0, "signal": 1.0}
    assert len({params["C"] for params in none.cv_results_["params"]}) == len(none.cv_results_["params"]) > 2
    alone = LateFusionClassifierCV(Cs=[0.2]).fit(np.hstack(list(X.blocks.values())), y)
    assert (alone.C_, alone.modality_weights_, len(alone.cv_results_["params"])) == (0.2, {"X": 1.0}, 1)


# -------------------------------------------------------------------------------------------------- the folds


def rows_of(labels, present=None):
    labels = np.asarray(labels)
    present = np.ones((len(labels), 1), bool) if present is None else present
    return LabeledRows([np.zeros((len(labels), 2))], present, labels, np.ones(len(labels)))


def test_every_row_is_tested_once_and_classes_are_dealt_evenly():
    labels = np.repeat([0, 1, 2], [9, 8, 4])
    folds = divided(rows_of(labels), None, np.arange(21), None, 3)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(21))
    for fold in folds:
        assert not fold.train[fold.test].any()
        assert fold.train.sum() + len(fold.test) == 21
        assert np.abs(np.bincount(labels[fold.test], minlength=3) - [9 / 4, 2, 1]).max() < 1


def test_rows_of_classes_that_the_rest_of_a_fold_lacks_do_not_count():
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3])
    folds = divided(rows_of(labels), 3, np.arange(9), None, 4)
    assert 8 not in np.concatenate([fold.test for fold in folds])
    for fold in folds:
        assert fold.met[0][labels[fold.test]].all()
    X, y = MultimodalArray({"a": np.arange(18.0).reshape(9, 2), "b": np.ones((9, 1))}), labels
    clf = LateFusionClassifierCV().fit(X, y)
    assert clf.predict_proba(X)[8, 3] > 0.1
    assert np.isfinite(clf.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("n_groups", [2, 7])
def test_groups_are_held_out_as_a_whole_and_errors_are_over_groups(n_groups):
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 3, 50), rng.integers(0, n_groups, 50)
    folds = divided(rows_of(labels), None, np.arange(50), groups, 3)
    assert len(folds) == min(4, n_groups)
    for fold in folds:
        assert not set(groups[fold.test]) & set(groups[fold.train])
    assert divided(rows_of(labels), None, np.arange(50), np.zeros(50, int), 3) == []


def test_copies_in_a_group_do_not_count_as_evidence():
    """Each row three times: without groups the copies are told from memory; with them it is as if there were one."""
    X, y = noisy(n=60)
    names = np.repeat([f"patient {i}" for i in range(60)], 3)
    tripled, labels = X[np.repeat(np.arange(60), 3)], np.repeat(y, 3)
    groups = list(LeaveOneGroupOut().split(labels, labels, np.repeat(np.arange(60) % 4, 3)))
    given = LateFusionClassifierCV(cv=groups).fit(tripled, labels, np.full(180, 1 / 3), groups=names)
    single = LateFusionClassifierCV(cv=list(LeaveOneGroupOut().split(y, y, np.arange(60) % 4))).fit(X, y)
    np.testing.assert_allclose(
        given.cv_results_["standard_error"][:3], single.cv_results_["standard_error"][:3], atol=1e-3
    )
    assert (given.C_, given.modality_weights_) == (single.C_, single.modality_weights_)
    memory = LateFusionClassifierCV().fit(tripled, labels).best_score_
    assert memory > LateFusionClassifierCV().fit(tripled, labels, groups=names).best_score_ + 0.1


def test_one_group_or_one_class_leaves_nothing_to_compare():
    X, y = noisy(n=30)
    for clf in (
        LateFusionClassifierCV().fit(X, y, groups=np.zeros(30)),
        LateFusionClassifierCV().fit(X, np.zeros(30), classes=[0, 1]),
        LateFusionClassifierCV().fit(X[:1], y[:1]),
    ):
        assert (clf.C_, clf.temperature_, clf.cv_results_["params"]) == (1.0, 1.0, [])
        assert set(clf.modality_weights_.values()) == {1.0}
        assert np.isnan(clf.best_score_)


def test_a_row_of_weight_two_is_two_rows_and_one_of_weight_zero_is_none():
    X, y = noisy(n=60)
    fold = np.arange(60) % 3
    weight = np.random.default_rng(0).integers(0, 3, 60)
    splits = list(LeaveOneGroupOut().split(y, y, fold))
    weighted = LateFusionClassifierCV(cv=splits).fit(X, y, weight)
    rows = np.repeat(np.arange(60), weight)
    repeated = LateFusionClassifierCV(cv=LeaveOneGroupOut()).fit(X[rows], y[rows], groups=fold[rows])
    # the groups there also say what varies together: only scores and answers are the same
    n = min(map(len, (weighted.cv_results_["params"], repeated.cv_results_["params"])))
    np.testing.assert_allclose(weighted.cv_results_["gain"][:n], repeated.cv_results_["gain"][:n], atol=2e-3)
    places = np.repeat(np.arange(60), weight)
    moved = [(np.flatnonzero(np.isin(places, train)), np.flatnonzero(np.isin(places, test))) for train, test in splits]
    same = LateFusionClassifierCV(cv=moved).fit(X[rows], y[rows])
    np.testing.assert_allclose(same.predict_proba(X), weighted.predict_proba(X), atol=1e-4)


def test_folds_may_be_a_number_a_splitter_or_masks():
    X, y = noisy(n=60)
    by_number = LateFusionClassifierCV(cv=3).fit(X, y)
    assert by_number.cv_results_["gain"][0] == 0
    splitter = LateFusionClassifierCV(cv=StratifiedKFold(3)).fit(X, y)
    masks = [
        (np.isin(np.arange(60), train), np.isin(np.arange(60), test)) for train, test in StratifiedKFold(3).split(y, y)
    ]
    given = LateFusionClassifierCV(cv=masks).fit(X, y)
    np.testing.assert_array_equal(given.predict_proba(X), splitter.predict_proba(X))


def test_of_large_problems_a_share_of_every_class_decides():
    labels = np.repeat(np.arange(100), 50)
    rows = rows_of(labels)
    np.testing.assert_array_equal(rows_that_decide(rows), np.arange(5000))
    rows.blocks = [np.broadcast_to(np.zeros(1), (5000, 2000))]
    taken = rows_that_decide(rows)
    assert len(taken) == 750
    assert np.bincount(labels[taken]).min() >= 7


def test_where_a_share_decides_the_last_fit_is_of_all_rows(monkeypatch):
    monkeypatch.setattr("skmmal.classifier._divisions._LARGE", 1000)
    X, y = noisy(n=400)
    groups = np.arange(400) // 2
    clf = LateFusionClassifierCV(tol=1e-8).fit(X, y, groups=groups)
    assert clf.modality_weights_["noise"] < 1
    assert len(clf.cv_results_["params"]) <= 14
    plain = LateFusionClassifier(C=clf.C_, modality_weights=clf.modality_weights_).fit(X, y)
    np.testing.assert_allclose(clf.decision_function(X) * clf.temperature_, plain.decision_function(X), atol=1e-4)
    loose = LateFusionClassifierCV().fit(X, y, groups=groups)
    assert (loose.C_, loose.modality_weights_) == (clf.C_, clf.modality_weights_)
    assert (loose.predict(X) == clf.predict(X)).mean() > 0.98


# ------------------------------------------------------------------------------------------------ temperature


def test_the_temperature_is_the_best_one_and_stays_near_one_with_few_rows():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((400, 4))
    labels = np.array([rng.choice(4, p=softmax(row / 2.5)) for row in logits])
    grid = np.exp(np.linspace(-2.3, 2.3, 4001))
    for weights in (np.ones(400), rng.random(400)):
        best = min(grid, key=lambda t: weights @ _tempering.tempered_losses(logits, labels, t))
        assert _tempering.fit_temperature(logits, labels, weights) == pytest.approx(best, rel=5e-3)
    free = _tempering.fit_temperature(logits[:20], labels[:20], np.ones(20))
    held = _tempering.fit_temperature(logits[:20], labels[:20], np.ones(20), spread=0.3)
    assert 1 < held < free
    assert _tempering.fit_temperature(logits[:0], labels[:0], np.ones(0)) == 1.0
    reach = np.hstack([logits, np.full((400, 1), -np.inf)])
    np.testing.assert_allclose(
        _tempering.tempered_losses(reach, labels, 2.0), -log_softmax(logits / 2, axis=1)[np.arange(400), labels]
    )


def test_calibration_changes_confidence_and_no_prediction():
    X, y = noisy(n=500, signal=0.6)
    tempered = LateFusionClassifierCV(Cs=[30.0], modality_weights=None).fit(X[:100], y[:100])
    raw = LateFusionClassifierCV(Cs=[30.0], modality_weights=None, calibrate=False).fit(X[:100], y[:100])
    assert tempered.temperature_ > 1.3
    assert raw.temperature_ == 1.0
    np.testing.assert_allclose(tempered.coef_ * tempered.temperature_, raw.coef_, atol=1e-6)
    np.testing.assert_array_equal(tempered.predict(X), raw.predict(X))

    def loss(clf):
        return -np.log(clf.predict_proba(X[100:])[np.arange(400), y[100:]]).mean()

    assert loss(tempered) < loss(raw) - 0.1


def test_gains_are_measured_over_clusters():
    from skmmal.classifier._search import Candidate

    rng = np.random.default_rng(0)
    a, b = rng.random(40), rng.random(40)
    clusters = np.repeat(np.arange(8), 5)
    gain, error = gain_of(Candidate((0,), a, 0, 1), Candidate((1,), b, 0, 1), np.ones(40), clusters)
    sums = (b - a - gain).reshape(8, 5).sum(axis=1)
    assert (gain, error) == (pytest.approx((b - a).mean()), pytest.approx(np.sqrt((sums**2).sum()) / 40))


# ------------------------------------------------------------------------------------- as one of the estimators


def test_it_is_saved_cloned_and_pickled(tmp_path):
    X, y = noisy()
    clf = LateFusionClassifierCV(cv=3, Cs=[0.1, 1.0]).fit(X, y)
    clf.save(tmp_path / "model")
    for again in (
        LateFusionClassifierCV.load(tmp_path / "model"),
        LateFusionClassifier.load(tmp_path / "model"),
        pickle.loads(pickle.dumps(clf)),
    ):
        assert type(again) is LateFusionClassifierCV
        np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
        assert (again.C_, again.modality_weights_, again.temperature_) == (
            clf.C_,
            clf.modality_weights_,
            clf.temperature_,
        )
        np.testing.assert_array_equal(again.cv_results_["gain"], clf.cv_results_["gain"])
        assert again.best_params_ == clf.best_params_
        assert again.Cs == [0.1, 1.0]
    assert clone(clf).get_params() == clf.get_params()
    LateFusionClassifier().fit(X, y).save(tmp_path / "plain")
    with pytest.raises(ValueError, match="does not describe a LateFusionClassifierCV"):
        LateFusionClassifierCV.load(tmp_path / "plain")


def test_a_warm_start_ends_where_a_cold_one_does():
    X, y = noisy(n=160)
    warm = LateFusionClassifierCV(warm_start=True).fit(X[:60], y[:60]).fit(X, y)
    cold = LateFusionClassifierCV().fit(X, y)
    assert (warm.C_, warm.modality_weights_, warm.temperature_) == (cold.C_, cold.modality_weights_, cold.temperature_)
    np.testing.assert_allclose(warm.decision_function(X), cold.decision_function(X), atol=1e-5)


def test_a_fit_that_is_refused_leaves_it_as_it_was():
    X, y = noisy(n=60)
    clf = LateFusionClassifierCV().fit(X, y)
    before = clf.predict_proba(X)
    for params, groups, message in (
        ({"Cs": [1.0, -1.0]}, None, "Cs must be a list of positive numbers"),
        ({"Cs": [[1.0]]}, None, "Cs must be a list of positive numbers"),
        ({"modality_weights": {"nois": 0.5}}, None, "Did you mean 'noise'"),
        ({}, np.zeros(59), "inconsistent numbers of samples"),
    ):
        state = {**clf.__dict__}
        with pytest.raises(ValueError, match=message):
            clf.set_params(**params).fit(X, y, groups=groups)
        clf.__dict__ = state
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    with pytest.raises(ValueError, match="modality_weights"):
        LateFusionClassifierCV(modality_weights="automatic").fit(X, y)
    with pytest.raises(ValueError, match="fusion"):
        LateFusionClassifierCV(fusion="gated").fit(X, y)


def test_rows_may_lack_modalities():
    rng = np.random.default_rng(0)
    X, y = noisy(n=200)
    blocks = {name: block.copy() for name, block in X.blocks.items()}
    for i, block in enumerate(blocks.values()):
        block[rng.permutation(100)[:20] + 100 * i] = np.nan
    clf = LateFusionClassifierCV().fit(MultimodalArray(blocks), y)
    assert clf.modality_weights_["noise"] < 1
    assert clf.score(MultimodalArray(blocks), y) > 0.6


@pytest.mark.parametrize("strategy", ["bmmal", "badge", "margin", "uherding", "mvopt", "bald", "coreset"])
def test_strategies_read_it(strategy):
    X, y = noisy(n=120)
    clf = LateFusionClassifierCV().fit(X[:40], y[:40])
    picks = get_strategy(strategy).query(clf, X[40:], 5, X_labeled=X[:40], y_labeled=y[:40])
    assert len(set(picks.tolist())) == 5


def test_learners_experiments_and_searches_take_it():
    X, y = noisy(n=150)
    learner = ActiveLearner(LateFusionClassifierCV(warm_start=True), "margin", X[:30], y[:30])
    picks, _ = learner.query(X[30:100], n_instances=10)
    learner.teach(X[30:100][picks], y[30:100][picks])
    assert learner.estimator.C_ > 0
    assert learner.score(X[100:], y[100:]) > 0.4
    results = run_experiment(
        LateFusionClassifierCV(), ["random"], X[:100], y[:100], X_test=X[100:], y_test=y[100:],
        n_initial=20, n_instances=20, n_rounds=1, seeds=1,
    )  # fmt: skip
    assert results.frame["accuracy"].between(0.3, 1).all()
    search = GridSearchCV(LateFusionClassifierCV(), {"modality_weights": ["auto", None]}, cv=2).fit(X, y)
    assert search.best_params_["modality_weights"] == "auto"


# ------------------------------------------------------------------------------------------ several labels in a row


def labels_problem(n=60, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n, 4)), rng.standard_normal((n, 3))
    Y = (np.column_stack([a[:, 0], a[:, 1] + b[:, 0], b[:, 1]]) + 0.7 * rng.standard_normal((n, 3)) > 0).astype(float)
    return MultimodalArray({"a": a, "b": b}), Y


def test_every_known_label_of_a_held_out_row_is_a_case():
    X, Y = labels_problem()
    Y[::7, 1] = np.nan
    clf = LateFusionClassifierCV(Cs=[0.3], modality_weights=None, cv=KFold(3)).fit(X, Y)
    logits, states = [], []
    for train, test in KFold(3).split(Y):
        for label in range(3):
            known, asked = train[~np.isnan(Y[train, label])], test[~np.isnan(Y[test, label])]
            head = LogisticRegression(C=0.3, tol=1e-10, max_iter=1000).fit(np.asarray(X)[known], Y[known, label])
            logits.append(head.decision_function(np.asarray(X)[asked]))
            states.append(Y[asked, label])
    z, y = np.concatenate(logits), np.concatenate(states)
    best = min((np.logaddexp(0, -(2 * y - 1) * z / T).mean(), T) for T in np.exp(np.linspace(-2.3, 2.3, 4001)))
    assert clf.cv_results_["mean_test_score"][0] == pytest.approx(-best[0], abs=1e-4)
    assert clf.cv_results_["temperature"][0] == pytest.approx(best[1], rel=0.02)


def test_several_labels_find_the_modality_that_is_noise():
    rng = np.random.default_rng(1)
    X, Y = labels_problem(120, seed=1)
    noisy = MultimodalArray({**X.blocks, "noise": 5 * rng.standard_normal((120, 60))})
    clf = LateFusionClassifierCV().fit(noisy[:80], Y[:80])
    assert clf.modality_weights_["noise"] < 1
    assert clf.predict(noisy[80:]).shape == (40, 3)
    plain = LateFusionClassifier(C=clf.C_, modality_weights=clf.modality_weights_).fit(noisy[:80], Y[:80])
    both = clf.predict_proba(noisy[80:]), plain.predict_proba(noisy[80:])
    of_plain = np.log(both[1]) - np.log1p(-both[1])
    np.testing.assert_allclose(both[0], 1 / (1 + np.exp(-of_plain / clf.temperature_)), atol=1e-6)
    score = [np.mean((each > 0.5) == Y[80:]) for each in (both[0], LateFusionClassifier().fit(noisy[:80], Y[:80]).predict_proba(noisy[80:]))]
    assert score[0] > score[1]


def test_a_weight_of_two_is_two_rows_of_labels_too():
    X, Y = labels_problem(40)
    twice = LateFusionClassifierCV(Cs=[0.1, 1.0]).fit(X, Y, 2 * np.ones(40), groups=np.arange(40) // 2)
    doubled = LateFusionClassifierCV(Cs=[0.1, 1.0]).fit(
        X[np.repeat(np.arange(40), 2)], np.repeat(Y, 2, axis=0), groups=np.arange(80) // 4
    )
    assert (twice.C_, twice.modality_weights_) == (doubled.C_, doubled.modality_weights_)


def test_rare_labels_do_not_stop_the_search():
    X, Y = labels_problem(30)
    Y[:, 2] = 0
    Y[3, 2] = 1
    clf = LateFusionClassifierCV().fit(X, Y)
    assert np.isfinite(clf.predict_proba(X)).all()
    Y[3, 2] = 0
    assert (LateFusionClassifierCV().fit(X, Y).predict_proba(X)[:, 2] < 0.05).all()
