"""BALD and its sources of draws against closed forms and brute force."""

import tracemalloc
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from samples import make_blocks
from scipy.special import softmax
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import BALD, EPIG, BatchBALD, PowerBALD, mutual_information, predictive_information
from skmmal.query._batchbald import _JointLabels
from skmmal.reading import read, read_with_labels
from skmmal.reading._posterior import LaplacePosterior, prior_precision


def entropy(p):
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)


def test_the_papers_monte_carlo_probabilities(reference):
    draws = reference["mc_probs"]
    scores = mutual_information(draws)
    np.testing.assert_allclose(scores, entropy(draws.mean(axis=0)) - entropy(draws).mean(axis=0), atol=1e-12)
    np.testing.assert_array_equal(np.argsort(-scores, kind="stable")[:25], reference["bald_indices"])


class Member:
    def __init__(self, probabilities, classes=(0, 1, 2)):
        self.probabilities, self.classes_ = np.asarray(probabilities, dtype=float), np.asarray(classes)

    def predict_proba(self, X):
        return self.probabilities


def committee(*members):
    learners = [SimpleNamespace(estimator=member) for member in members]
    whole = Member(np.mean([np.eye(3)[list(m.classes_)].T @ m.probabilities.T for m in members], axis=0).T)
    whole.learner_list = learners
    return whole


def test_bald_of_a_committee():
    rng = np.random.default_rng(0)
    draws = rng.dirichlet(np.ones(3), (4, 50))
    whole = committee(*(Member(p) for p in draws))
    picked, scores = BALD().query(whole, np.zeros((50, 2)), 50, return_scores=True)
    expected = entropy(draws.mean(axis=0)) - entropy(draws).mean(axis=0)
    np.testing.assert_array_equal(picked, np.argsort(-expected, kind="stable"))
    np.testing.assert_allclose(scores, np.sort(expected)[::-1], atol=1e-12)


def test_members_that_lack_a_class_are_aligned():
    two = Member([[0.25, 0.75]], classes=(2, 0))
    three = Member([[0.1, 0.2, 0.7]])
    draws = list(read(committee(two, three), np.zeros((1, 2))).head.draws(9, 0))
    np.testing.assert_allclose(np.stack(draws), [[[0.75, 0.0, 0.25]], [[0.1, 0.2, 0.7]]])


@pytest.mark.parametrize("make", [RandomForestClassifier, BaggingClassifier])
def test_ensembles_are_committees(make):
    blocks, y = make_blocks(n=90)
    X = np.hstack(list(blocks.values()))
    names = np.array(["c", "a", "b"])[y]
    clf = make(n_estimators=5, random_state=0).fit(X[:12], names[:12])
    draws = list(read(clf, X[12:]).head.draws(3, 0))
    assert len(draws) == 5
    np.testing.assert_allclose(np.mean(draws, axis=0), clf.predict_proba(X[12:]), atol=1e-12)


def test_dropout_draws_vary_and_leave_the_estimator_alone():
    blocks, y = make_blocks(n=90)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(dropout=0.5, max_iter=20, random_state=0).fit(X[:40], y[:40])
    before = clf.predict_proba(X[40:])
    head = read(clf, X[40:]).head
    draws = np.stack(list(head.draws(400, 0)))
    again = np.stack(list(head.draws(400, 0)))
    np.testing.assert_array_equal(draws, again)
    np.testing.assert_array_equal(clf.predict_proba(X[40:]), before)
    assert draws.std(axis=0).max() > 0.05
    # the linear head by hand: inverted dropout of the features
    weight = clf.module_.head.fused.weight.detach().numpy()
    bias = clf.module_.head.fused.bias.detach().numpy()
    Z = np.hstack([blocks["image"], blocks["text"]])[40:]
    masks = np.random.default_rng(0).random((4000, *Z.shape)) >= 0.5
    by_hand = softmax((2 * Z * masks) @ weight.T + bias, axis=2)
    np.testing.assert_allclose(draws.mean(axis=0), by_hand.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(mutual_information(draws), mutual_information(by_hand), atol=0.1)


def test_laplace_is_the_exact_posterior_where_factors_are_exact():
    """With the same probabilities in every labelled row, the Hessian is a Kronecker product plus λ."""
    rng = np.random.default_rng(0)
    for n in (4, 30):  # fewer and more rows than columns
        Z, p = rng.standard_normal((n, 6)), rng.dirichlet(np.ones(3))
        fitted = LaplacePosterior(Z, np.tile(p, (n, 1)), precision=0.7)
        design = np.column_stack([Z, np.ones(n)])
        hessian = 0.7 * np.eye(21) + np.kron(design.T @ design, np.diag(p) - np.outer(p, p))
        covariance = np.linalg.inv(hessian)
        pool = rng.standard_normal((5, 6))
        deviations = fitted.logit_deviations(pool)
        for row in range(5):
            jacobian = np.kron(np.append(pool[row], 1.0)[None], np.eye(3))
            ours = fitted.classes @ np.diag(deviations[row] ** 2) @ fitted.classes.T
            np.testing.assert_allclose(ours, jacobian @ covariance @ jacobian.T, atol=1e-9)


def test_laplace_without_labelled_rows_is_the_prior():
    fitted = LaplacePosterior(np.empty((0, 3)), np.empty((0, 2)), precision=0.5)
    np.testing.assert_allclose(fitted.logit_deviations(np.array([[3.0, 0, 4.0]])) ** 2, 26 / 0.5)


def test_weight_samples_have_the_posteriors_covariance():
    rng = np.random.default_rng(0)
    Z, p = rng.standard_normal((3, 4)), rng.dirichlet(np.ones(2), 3)
    fitted = LaplacePosterior(Z, p, precision=1.0)
    draw = np.random.RandomState(0)
    pool = rng.standard_normal((4, 4))
    design = np.column_stack([pool, np.ones(4)])
    logits = np.stack([design @ fitted.weight_sample(draw) for _ in range(20000)])
    expected = np.einsum("ck,nk,dk->ncd", fitted.classes, fitted.logit_deviations(pool) ** 2, fitted.classes)
    np.testing.assert_allclose(np.einsum("snc,snd->ncd", logits, logits) / 20000, expected, rtol=0.08, atol=0.08)


def test_bald_knows_what_the_labelled_rows_taught():
    """Far along a direction without labels, draws disagree; far along one with labels, they agree."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal(200) * 3, np.zeros(200)])
    y = (X[:, 0] > 0).astype(int)
    clf = LogisticRegression(C=1.0).fit(X, y)
    pool = np.array([[6.0, 0.0], [-6.0, 0.0], [0.0, 6.0], [6.0, 6.0]])
    picked = BALD(n_draws=200, random_state=0).query(clf, pool, 4, X_labeled=X)
    assert picked[0] == 2
    assert set(picked[2:].tolist()) == {0, 1} or picked[1] == 3


def test_power_bald_draws_in_proportion_to_bald():
    draws = np.random.default_rng(0).dirichlet(np.ones(3), (4, 8))
    whole = committee(*(Member(p) for p in draws))
    scores = mutual_information(draws)
    for beta in (1.0, 0.0):
        counts = np.zeros(8)
        for seed in range(2000):
            counts[PowerBALD(beta=beta, random_state=seed).query(whole, np.zeros((8, 1)), 1)] += 1
        assert chisquare(counts, scores**beta / (scores**beta).sum() * 2000).pvalue > 1e-3


def test_sources_that_are_not_there_are_refused():
    X = np.random.default_rng(0).standard_normal((20, 3))
    clf = LogisticRegression().fit(X, np.arange(20) % 2)
    with pytest.raises(ValueError, match="LogisticRegression has no members"):
        BALD(source="committee").query(clf, X, 2)
    with pytest.raises(ValueError, match="LogisticRegression has no dropout"):
        BALD(source="dropout").query(clf, X, 2)
    with pytest.raises(ValueError, match="draws is empty"):
        mutual_information([])


def epig_by_hand(draws, targets):
    out = np.zeros(draws.shape[1])
    for n in range(draws.shape[1]):
        for m in range(targets.shape[1]):
            joint = np.mean([np.outer(a[n], b[m]) for a, b in zip(draws, targets, strict=True)], axis=0)
            apart = np.outer(joint.sum(axis=1), joint.sum(axis=0))
            out[n] += (joint * np.log(joint / apart)).sum() / targets.shape[1]
    return out


def test_epig_by_its_definition():
    draws = np.random.default_rng(0).dirichlet(np.ones(3), (5, 30))
    expected = epig_by_hand(draws, draws)
    np.testing.assert_allclose(predictive_information(draws, draws), expected, atol=1e-12)
    assert (expected <= mutual_information(draws) + 1e-12).all()  # BALD is an upper bound
    whole = committee(*(Member(p) for p in draws))
    picked, scores = EPIG(n_targets=30).query(whole, np.zeros((30, 1)), 10, return_scores=True)
    np.testing.assert_array_equal(picked, np.argsort(-expected, kind="stable")[:10])
    np.testing.assert_allclose(scores, np.sort(expected)[::-1][:10], atol=1e-12)
    with pytest.raises(ValueError, match="must share draws and classes"):
        predictive_information(draws, draws[:3])


def test_epig_among_the_candidates_of_highest_bald():
    draws = np.random.default_rng(1).dirichlet(np.ones(3), (4, 60))
    whole = committee(*(Member(p) for p in draws))
    picked = EPIG(n_targets=60, max_candidates=8).query(whole, np.zeros((60, 1)), 3)
    candidates = np.argsort(-mutual_information(draws), kind="stable")[:8]
    values = epig_by_hand(draws[:, candidates], draws)
    assert set(picked.tolist()) == set(candidates[np.argsort(-values)[:3]].tolist())


def test_joint_draws_are_one_network_for_all_rows():
    blocks, y = make_blocks(n=60)
    Z = np.hstack(list(blocks.values()))
    twice = np.vstack([Z[30:], Z[30:]])
    linear = LogisticRegression().fit(Z[:30], y[:30])
    head = read_with_labels(linear, twice, Z[:30]).head
    for p in head.draws(3, 0, joint=True):
        np.testing.assert_allclose(p[:30], p[30:], atol=1e-12)
        # differences between rows are what one set of weights makes of them: logits lie in an affine space
        logits = np.log(p[:30]) - np.log(p[:30]).mean(axis=1, keepdims=True)
        design = np.column_stack([Z[30:], np.ones(30)])
        residual = logits - design @ np.linalg.lstsq(design, logits, rcond=None)[0]
        np.testing.assert_allclose(residual, 0, atol=1e-9)
    clf = LateFusionClassifier({"a": 5, "b": 3}, dropout=0.4, max_iter=5, random_state=0).fit(Z[:30], y[:30])
    head = read(clf, twice).head
    draws = list(head.draws(4, 0, joint=True))
    for p in draws:
        np.testing.assert_allclose(p[:30], p[30:], atol=1e-12)
    assert np.abs(draws[0] - draws[1]).max() > 1e-3
    apart = next(iter(head.draws(1, 0)))
    assert np.abs(apart[:30] - apart[30:]).max() > 1e-3


# ------------------------------------------------------------------------------------------------- the prior


def linear_problem(n_classes=3):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((160, 5))
    return X, (X[:, :2].sum(axis=1) + 0.7 * rng.standard_normal(160) > 0).astype(int) + (n_classes > 2) * (X[:, 2] > 1)


@pytest.mark.parametrize("strategy", [BALD, PowerBALD, EPIG, BatchBALD])
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(C=np.inf),
        make_pipeline(StandardScaler(), LogisticRegression(C=np.inf)),
        LogisticRegression(penalty=None),
        LogisticRegression(C=1e300),
        SGDClassifier(loss="log_loss", penalty=None, random_state=0),
        SGDClassifier(loss="log_loss", alpha=0.0, learning_rate="constant", eta0=0.1, random_state=0),
    ],
    ids=str,
)
def test_there_is_no_posterior_without_a_penalty(strategy, model):
    X, y = linear_problem()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of deprecated spellings and of convergence
        model = clone(model).fit(X[:60], y[:60])
    with pytest.raises(ValueError, match=r"without a penalty.*finite C.*committee.*dropout"):
        strategy(random_state=0).query(model, X[60:], 5, X_labeled=X[:60], y_labeled=y[:60])


def test_members_need_no_penalty():
    X, y = linear_problem()
    bagging = BaggingClassifier(LogisticRegression(C=np.inf), random_state=0).fit(X[:60], y[:60])
    assert len(BALD().query(bagging, X[60:], 5)) == 5
    bagging.C = np.inf
    with pytest.raises(ValueError, match="without a penalty"):
        BALD(source="laplace").query(bagging, X[60:], 5)


def test_the_prior_is_the_penalty_of_the_model():
    X, y = linear_problem()
    plain = LogisticRegression(C=0.25).fit(X, y)
    assert prior_precision(plain, 160) == pytest.approx(4.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of what it will rename
        found = LogisticRegressionCV(Cs=[0.01, 0.1], cv=3).fit(X, y)
    assert prior_precision(found, 160) == pytest.approx(1 / np.ravel(found.C_)[0]) != 1.0
    found.C_ = np.array([0.5, 0.25, 0.25])  # one of each class
    assert prior_precision(found, 160) == pytest.approx(10 / 3)
    descent = SGDClassifier(loss="log_loss", alpha=0.02, random_state=0).fit(X, y)
    # it takes the mean of the losses: alpha / 2 for one row is n alpha / 2 beside their sum
    assert prior_precision(descent, 160) == pytest.approx(3.2)
    assert prior_precision(descent, 0) == pytest.approx(3.2)  # the number of rows it was fitted on
    assert prior_precision(LinearDiscriminantAnalysis().fit(X, y), 160) == 1.0
    assert prior_precision(SVC(C=100.0), 160) == 1.0
    assert prior_precision(LateFusionClassifier(C=0.1).fit(X, y), 160) == pytest.approx(10.0)
    for wrong in ("auto", -1.0, np.nan, []):
        plain.C = wrong
        with pytest.raises(ValueError, match="a number above zero"):
            prior_precision(plain, 160)


@pytest.mark.parametrize("given", ["balanced", {0: 3.0, 1: 0.5}])
def test_class_weights_count_in_the_posterior(given):
    """A row that weighs w is as good as w rows."""
    X, y = linear_problem()
    X, y = X[:40], y[:40]
    clf = LogisticRegression(class_weight=given).fit(X, y)
    weights = compute_sample_weight(given, y)
    found = read_with_labels(clf, X, X, y).head.laplace
    probabilities = clf.predict_proba(X)
    design = np.column_stack([X, np.ones(40)])
    A = (design * weights[:, None]).T @ design
    G = sum(w * (np.diag(p) - np.outer(p, p)) for w, p in zip(weights, probabilities, strict=True)) / weights.sum()
    covariance = np.linalg.inv(np.eye(18) + np.kron(A, G))
    jacobian = np.kron(design[7][None], np.eye(3))
    ours = found.classes @ np.diag(found.logit_deviations(X[7:8])[0] ** 2) @ found.classes.T
    np.testing.assert_allclose(ours, jacobian @ covariance @ jacobian.T, atol=1e-9)


# ------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(("n_classes", "n_draws", "n_rows", "n_targets"), [(400, 3, 2, 3), (7, 4, 300, 60)])
def test_predictive_information_in_blocks_is_the_brute_force(n_classes, n_draws, n_rows, n_targets):
    rng = np.random.default_rng(3)
    draws = rng.dirichlet(np.full(n_classes, 0.3), size=(n_draws, n_rows))
    targets = rng.dirichlet(np.full(n_classes, 0.3), size=(n_draws, n_targets))
    draws[0, 0], targets[0, 0] = np.eye(n_classes)[0], np.eye(n_classes)[1]  # zeros, too
    found = predictive_information(draws, targets)
    for row in (0, n_rows - 1):
        joint = np.einsum("sk,smc->mkc", draws[:, row], targets) / n_draws
        apart = draws[:, row].mean(axis=0)[None, :, None] * targets.mean(axis=0)[:, None, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = np.where(joint > 0, joint * np.log(joint / apart), 0.0).sum(axis=(1, 2)).mean()
        assert found[row] == pytest.approx(expected, abs=1e-10)


def peak_memory(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_of_epig_and_batchbald_does_not_grow_with_the_classes():
    rng = np.random.default_rng(0)
    draws, targets = (rng.dirichlet(np.ones(309), size=(2, n)) for n in (64, 4))
    assert peak_memory(lambda: predictive_information(draws, targets)) < 20e6
    many = rng.dirichlet(np.ones(600), size=(8, 64))
    joint = _JointLabels(8, 1000)
    for row in range(2):
        joint.add(many[:, row], np.random.RandomState(0))
    assert len(joint.weights) == 1000
    assert peak_memory(lambda: joint.conditional_entropies(many)) < 150e6
