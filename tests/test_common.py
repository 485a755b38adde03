"""Every strategy through one suite."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from samples import FEW_BATCHES, containers, make_blocks, quick_strategy
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skmmal._chunks
from skmmal import LateFusionClassifier, LateFusionClassifierCV, ModalityScaler, MultimodalArray
from skmmal._registry import find
from skmmal.query import Partitioned, available_strategies, get_strategy

NAMES = available_strategies()
MODEL_FREE = [name for name in NAMES if not get_strategy(name).requires_model]
NEEDS_MODEL = [name for name in NAMES if name not in MODEL_FREE]
UNIMODAL = [name for name in NAMES if name != "bmmal"]  # also serve plain scikit-learn classifiers
DIVERSE = ["badge", "bmmal", "coreset", "kmeans", "maxherding", "mmcsal", "typiclust", "uherding", "mvopt"]
DETERMINISTIC = ["auto", "dcom", "maxherding", "uherding", "alfamix", "mvopt", "tcm"]  # on small pools, though they have a random_state
# sums over columns, or draws for each column: another order, other rounding or draws
COLUMN_ORDER_SHOWS = ["kmeans", "dropquery", "epig", "batchbald", "coregcn", "uncertaingcn", "head-disagreement", "refine"]
TIES_BY_INDEX = ["maxherding", "alfamix"]  # two rows that cover only each other gain the same; candidates in a set
SEVERAL_LABELS = [name for name in NAMES if get_strategy(name).supports_multi_label]
BOTH_TARGETS = [
    *(pytest.param(name, "one class", id=name) for name in NAMES),
    *(pytest.param(name, "several labels", id=f"{name}-several labels") for name in SEVERAL_LABELS),
]
WITH_ON = [name for name in NAMES if "on" in get_strategy(name).get_params()]


def strategy(name, seed=0, **params):
    return quick_strategy(name, seed, **params)


def is_deterministic(name):
    return "random_state" not in get_strategy(name).get_params() or name in DETERMINISTIC


@pytest.fixture(scope="module")
def problem(request):
    """A fitted estimator, a pool with missing modalities, and labelled rows of one class, or of several labels."""
    blocks, y = make_blocks(n=120, missing=0.2)
    if getattr(request, "param", "one class") == "several labels":
        y = np.column_stack([np.eye(3, dtype=int)[y], np.random.default_rng(0).random(120) < 0.3]).astype(int)
    X = MultimodalArray(blocks)
    labelled, pool = X[:40], X[40:]
    return LateFusionClassifier().fit(labelled, y[:40]), pool, labelled, y[:40]


@pytest.fixture(scope="module")
def chosen_weights(problem):
    """The classifier that finds its weights, on the same rows."""
    _, _, labelled, y = problem
    return LateFusionClassifierCV().fit(labelled, y)


def check_answer(indices, n_instances, n_pool):
    assert isinstance(indices, np.ndarray)
    assert indices.shape == (n_instances,)
    assert indices.dtype.kind == "i"
    assert len(set(indices.tolist())) == n_instances
    assert indices.min() >= 0
    assert indices.max() < n_pool


@pytest.mark.parametrize("name", NAMES)
def test_a_classifier_that_chooses_its_weights_is_read_as_any_other(name, problem, chosen_weights):
    """It picks what it picks without its search: by its heads alone."""
    _, pool, labelled, y = problem
    alone = LateFusionClassifier(C=chosen_weights.C_)
    alone.__dict__.update({key: value for key, value in vars(chosen_weights).items() if key.endswith("_")})
    alone.__dict__.update({key: vars(chosen_weights)[key] for key in ("_widths", "_block_feature_names", "_n_rows")})
    picks, of_heads = (
        strategy(name).query(each, pool, 7, X_labeled=labelled, y_labeled=y) for each in (chosen_weights, alone)
    )
    check_answer(picks, 7, 80)
    np.testing.assert_array_equal(picks, of_heads)


@pytest.mark.parametrize(("name", "problem"), BOTH_TARGETS, indirect=["problem"])
@pytest.mark.parametrize("n_instances", [1, 2, 7, 79, 80])
def test_distinct_and_in_range(name, n_instances, problem):
    estimator, pool, labelled, y = problem
    chosen = strategy(name)
    indices, scores = chosen.query(estimator, pool, n_instances, X_labeled=labelled, y_labeled=y, return_scores=True)
    check_answer(indices, n_instances, 80)
    assert scores.shape == (n_instances,)
    assert np.isfinite(scores).all()
    assert (chosen.query(estimator, pool, n_instances, X_labeled=labelled, y_labeled=y) == indices).all()


@pytest.mark.parametrize(("name", "problem"), BOTH_TARGETS, indirect=["problem"])
def test_modals_protocol_returns_a_pair(name, problem):
    estimator, pool, labelled, y = problem

    class Learner:
        X_training, y_training = labelled, y

        def __init__(self):
            self.estimator = estimator

        def teach(self):
            raise AssertionError("a query does not teach")

    expected = strategy(name).query(estimator, pool, 2, X_labeled=labelled, y_labeled=y)
    for n_instances in (1, 2, 3):
        answer = strategy(name)(Learner(), pool, n_instances=n_instances)
        assert isinstance(answer, tuple)
        assert len(answer) == 2
        check_answer(answer[0], n_instances, 80)
    assert (strategy(name)(Learner(), pool, 2)[0] == expected).all()


@pytest.mark.parametrize(("name", "problem"), BOTH_TARGETS, indirect=["problem"])
def test_same_seed_same_answer_whatever_happened_before(name, problem):
    estimator, pool, labelled, _ = problem
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = strategy(name, seed=5).query(estimator, pool, 10, X_labeled=labelled)
    np.testing.assert_array_equal(strategy(name, seed=5).query(estimator, pool, 10, X_labeled=labelled), first)
    by_object = strategy(name, seed=np.random.RandomState(5)).query(estimator, pool, 10, X_labeled=labelled)
    np.testing.assert_array_equal(by_object, first)
    quick_strategy(name).query(estimator, pool, 3, X_labeled=labelled)  # random_state=None
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    if not is_deterministic(name):
        others = [strategy(name, seed=s).query(estimator, pool, 10, X_labeled=labelled).tolist() for s in range(6, 12)]
        assert any(other != first.tolist() for other in others)


@pytest.mark.parametrize(("name", "problem"), BOTH_TARGETS, indirect=["problem"])
def test_chunk_size_does_not_show(name, problem, monkeypatch):
    estimator, pool, labelled, _ = problem
    expected = strategy(name).query(estimator, pool, 20, X_labeled=labelled)
    monkeypatch.setattr(skmmal._chunks, "CHUNK_ELEMENTS", 512)
    np.testing.assert_array_equal(strategy(name).query(estimator, pool, 20, X_labeled=labelled), expected)


@pytest.mark.parametrize(
    ("name", "problem"),
    [case for case in BOTH_TARGETS if is_deterministic(case.values[0]) and case.values[0] not in TIES_BY_INDEX],
    indirect=["problem"],
)
def test_permuting_rows_permutes_the_answer(name, problem):
    estimator, pool, labelled, _ = problem
    order = np.random.default_rng(0).permutation(len(pool))
    expected = strategy(name).query(estimator, pool, 15, X_labeled=labelled)
    permuted = strategy(name).query(estimator, pool[order], 15, X_labeled=labelled)
    np.testing.assert_array_equal(order[permuted], expected)


@pytest.mark.parametrize("name", NAMES)
def test_permuting_modalities_changes_nothing(name):
    blocks, y = make_blocks(n=100, widths={"a": 4, "b": 3, "c": 5}, missing=0.2)
    swapped = {key: blocks[key] for key in ("c", "a", "b")}
    answers = []
    for each in (blocks, swapped):
        X = MultimodalArray(each)
        estimator = LateFusionClassifier().fit(X[:30], y[:30])
        answers.append(strategy(name).query(estimator, X[30:], 12, X_labeled=X[:30]))
    if name not in COLUMN_ORDER_SHOWS:
        np.testing.assert_array_equal(*answers)
    else:
        check_answer(answers[0], 12, 70)


@pytest.mark.parametrize(("name", "problem"), BOTH_TARGETS, indirect=["problem"])
def test_nothing_is_changed(name, problem):
    estimator, pool, labelled, _ = problem
    copies = {key: block.copy() for key, block in pool.blocks.items()}
    weights = {key: value.clone() for key, value in estimator.module_.state_dict().items()}
    chosen = strategy(name)
    params = chosen.get_params(deep=False)
    chosen.query(estimator, pool, 5, X_labeled=labelled)
    for key, block in pool.blocks.items():
        np.testing.assert_array_equal(block, copies[key])
    for key, value in estimator.module_.state_dict().items():
        assert (value == weights[key]).all()
    assert chosen.get_params(deep=False) == params
    assert set(vars(chosen)) == set(params)  # a query leaves nothing behind
    assert repr(clone(chosen)) == repr(chosen)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["mapping", "matrix", "matrix-slices", "matrix-columns", "frame", "multiindex"])
def test_every_form_of_x(name, form):
    blocks, y = make_blocks(n=90, missing=0.2)
    forms = containers(blocks)

    def answer(X, modalities):
        def rows(part):
            if isinstance(X, dict):
                return {key: block[part] for key, block in X.items()}
            return X.iloc[part] if hasattr(X, "iloc") else X[part]

        estimator = LateFusionClassifier(modalities).fit(rows(slice(0, 30)), y[:30])
        return strategy(name).query(estimator, rows(slice(30, 90)), 9, X_labeled=rows(slice(0, 30)))

    np.testing.assert_array_equal(answer(*forms[form]), answer(*forms["multimodal"]))


class Sure:
    """A classifier whose probabilities are given."""

    def __init__(self, probabilities):
        self.probabilities = np.asarray(probabilities, dtype=float)
        self.classes_ = np.arange(self.probabilities.shape[1])

    def predict_proba(self, X):
        return self.probabilities[: len(X)]

    def embed(self, X):
        X = np.asarray(X)
        return {"a": X[:, :2], "b": X[:, 2:]}

    def modality_contributions(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "probabilities",
    [
        np.eye(3)[np.arange(30) % 3],  # all certain
        np.full((30, 3), 1 / 3),
        np.where(np.arange(90).reshape(30, 3) % 3 == 0, 1.0, 0.0),
        np.ones((30, 1)),  # one class
        np.column_stack([np.full(30, 1 - 1e-300), np.full(30, 1e-300)]),
    ],
)
def test_probabilities_of_zero_and_one(name, probabilities):
    X = np.random.default_rng(0).standard_normal((30, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n_instances in (1, 5, 30):
            indices, scores = strategy(name).query(Sure(probabilities), X, n_instances, return_scores=True)
            check_answer(indices, n_instances, 30)
            assert np.isfinite(scores).all() or name == "coreset"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("values", [np.zeros((25, 5)), np.ones((25, 5)), np.tile(np.eye(5), (5, 1))])
def test_duplicates_and_constant_rows(name, values):
    probabilities = np.tile([[0.5, 0.3, 0.2]], (25, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n_instances in (1, 6, 25):
            check_answer(strategy(name).query(Sure(probabilities), values, n_instances), n_instances, 25)


@pytest.mark.parametrize("name", NAMES)
def test_one_row(name, problem):
    estimator, pool, labelled, _ = problem
    assert strategy(name).query(estimator, pool[:1], 1, X_labeled=labelled).tolist() == [0]


@pytest.mark.parametrize("name", DIVERSE)
def test_a_batch_of_distinct_rows_avoids_duplicates(name):
    """Where the pool repeats rows, strategies for diversity take each once before any twice."""
    rng = np.random.default_rng(0)
    distinct = rng.standard_normal((6, 5))
    X = np.tile(distinct, (4, 1))
    probabilities = np.tile(rng.dirichlet(np.ones(3), 6), (4, 1))
    picked = strategy(name).query(Sure(probabilities), X, 6)
    assert len(set((picked % 6).tolist())) == 6


@pytest.mark.parametrize("name", UNIMODAL)
@pytest.mark.parametrize("as_sparse", [False, True])
def test_plain_classifiers(name, as_sparse):
    blocks, y = make_blocks(n=90)
    X = np.hstack(list(blocks.values()))
    if as_sparse:
        X = sparse.csr_array(np.where(X > 0.5, X, 0))
    for estimator in (LogisticRegression(), RandomForestClassifier(5, random_state=0)):
        estimator.fit(X[:30], y[:30])
        indices = strategy(name).query(estimator, X[30:], 10, X_labeled=X[:30], y_labeled=y[:30])
        check_answer(indices, 10, 60)


@pytest.fixture(scope="module")
def nested():
    """A classifier, X as it sees it, and models with it inside, however deep, with the X that they take."""
    blocks, y = make_blocks(n=90)
    X = np.hstack(list(blocks.values())) * np.arange(1, 9)
    widths = {"image": 5, "text": 3}
    scaler, clf = ModalityScaler(widths), LateFusionClassifier(widths)
    fitted = clone(scaler).fit(X[:30])
    Z = fitted.transform(X)
    final = clone(clf).fit(Z[:30], y[:30])
    inner = GridSearchCV(clone(clf), {"C": [1.0]}, cv=2)
    models = [
        make_pipeline(clone(scaler), clone(clf)),
        GridSearchCV(make_pipeline(clone(scaler), clone(clf)), {"latefusionclassifier__C": [1.0]}, cv=2),
        make_pipeline(make_pipeline(clone(scaler)), make_pipeline(clone(clf))),
        make_pipeline(clone(scaler), inner),
        make_pipeline(FrozenEstimator(fitted), FrozenEstimator(final)),
        FrozenEstimator(GridSearchCV(make_pipeline(clone(scaler), clone(inner)), {}, cv=2).fit(X[:30], y[:30])),
    ]
    return final, Z, [model.fit(X[:30], y[:30]) for model in models], X, y


@pytest.mark.parametrize("name", NAMES)
def test_pipelines_and_searches(name, nested):
    """A pipeline's answer is its last step's answer on what the steps before make of X."""
    final, Z, models, X, y = nested
    expected = strategy(name).query(final, Z[30:], 10, X_labeled=Z[:30])
    for model in models:
        np.testing.assert_array_equal(strategy(name).query(model, X[30:], 10, X_labeled=X[:30]), expected)
    if name in UNIMODAL:
        plain = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:30], y[:30])
        check_answer(strategy(name).query(plain, X[30:], 10, X_labeled=X[:30]), 10, 60)


@pytest.mark.parametrize("name", ["margin", "bmmal", "bald", "coreset"])
def test_classifiers_with_a_threshold(name):
    """The threshold changes decisions, not probabilities."""
    blocks, y = make_blocks(n=90)
    X, y = MultimodalArray(blocks), y % 2
    pipeline = make_pipeline(ModalityScaler(), LateFusionClassifier())
    expected = strategy(name).query(clone(pipeline).fit(X[:30], y[:30]), X[30:], 10, X_labeled=X[:30])
    fixed = FixedThresholdClassifier(pipeline, threshold=0.3).fit(X[:30], y[:30])
    np.testing.assert_array_equal(strategy(name).query(fixed, X[30:], 10, X_labeled=X[:30]), expected)


@pytest.mark.parametrize("name", MODEL_FREE)
def test_unfitted_estimators_and_none(name):
    blocks, _ = make_blocks(n=60, missing=0.2)
    X = MultimodalArray(blocks)
    matrix, widths = np.asarray(X), X.modalities
    answers = [
        strategy(name).query(estimator, data, 8)
        for estimator, data in (
            (None, X),
            (LateFusionClassifier(), X),
            (LateFusionClassifierCV(), X),
            (LateFusionClassifier(widths), matrix),
            (make_pipeline(LateFusionClassifier()), X),
        )
    ]
    for indices in answers:
        check_answer(indices, 8, 60)
        np.testing.assert_array_equal(indices, answers[0])


@pytest.mark.parametrize("name", MODEL_FREE)
def test_a_cold_start_goes_through_the_steps_of_an_unfitted_pipeline(name):
    """They are fitted on all rows there are, and what the user gave is not."""
    blocks, _ = make_blocks(n=60, missing=0.2)
    X = MultimodalArray({"image": 100 * blocks["image"] + 7, "text": blocks["text"]})
    scaled = ModalityScaler().fit_transform(X)
    pipeline = make_pipeline(ModalityScaler(), LateFusionClassifier())
    nested = make_pipeline(make_pipeline(ModalityScaler()), GridSearchCV(LateFusionClassifier(), {"C": [1.0]}))
    search = GridSearchCV(pipeline, {"latefusionclassifier__C": [1.0]})
    for held in ({}, {"X_labeled": X[:20]}):
        pool, Z = (X[20:], scaled[20:]) if held else (X, scaled)
        expected = strategy(name).query(None, Z, 8, **dict.fromkeys(held, scaled[:20]))
        for estimator in (pipeline, search, nested):
            np.testing.assert_array_equal(strategy(name).query(estimator, pool, 8, **held), expected)
    assert not hasattr(pipeline[0], "modalities_")


@pytest.mark.parametrize("name", [name for name in MODEL_FREE if name != "random"])
def test_steps_that_need_labels_are_fitted_on_the_labelled_rows(name):
    blocks, y = make_blocks(n=60)
    X = np.hstack(list(blocks.values()))
    pipeline = make_pipeline(SelectKBest(k=3), LogisticRegression())
    selected = SelectKBest(k=3).fit(X[:20], y[:20]).transform(X)
    found = strategy(name).query(pipeline, X[20:], 5, X_labeled=X[:20], y_labeled=y[:20])
    expected = strategy(name).query(None, selected[20:], 5, X_labeled=selected[:20], y_labeled=y[:20])
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="where a step needs labels: fit the Pipeline first, or give X_labeled"):
        strategy(name).query(pipeline, X[20:], 5)


@pytest.mark.parametrize("name", NEEDS_MODEL)
def test_unfitted_estimators_are_refused(name):
    X = MultimodalArray(make_blocks()[0])
    for estimator in (None, LateFusionClassifier(), make_pipeline(ModalityScaler(), LateFusionClassifier())):
        with pytest.raises(NotFittedError, match="not fitted"):
            strategy(name).query(estimator, X, 3)


# quick; and MMCSAL's encoder cannot be fitted on a part whose rows all lack a modality
IN_PARTS = {
    "mmcsal": {"on_features": "raw", "max_iter": 2},
    "coregcn": {"n_steps": 4},
    "uncertaingcn": {"n_steps": 4},
    "refine": {**FEW_BATCHES, "strategies": ("margin", "random")},
}


@pytest.mark.parametrize("name", NAMES)
def test_in_parts_of_the_pool(name, problem):
    estimator, pool, labelled, y = problem
    chosen = get_strategy(name, **IN_PARTS.get(name, {}))
    for n_parts, n_instances in ((3, 10), (8, 5), (200, 80), (4, 80)):
        answers = [
            Partitioned(chosen, n_parts, n_jobs=n_jobs, random_state=0).query(
                estimator, pool, n_instances, X_labeled=labelled, y_labeled=y
            )
            for n_jobs in (None, 2)
        ]
        check_answer(answers[0], n_instances, 80)
        np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize(("name", "problem"), BOTH_TARGETS, indirect=["problem"])
def test_candidates_only_are_picked(name, problem):
    estimator, pool, labelled, y = problem
    allowed = np.random.default_rng(0).permutation(80)[:25]
    chosen, known = strategy(name), {"X_labeled": labelled, "y_labeled": y}
    some = chosen.query(estimator, pool, 6, candidates=allowed, **known)
    check_answer(some, 6, 80)
    assert set(some.tolist()) <= set(allowed.tolist())
    mask = np.isin(np.arange(80), allowed)
    np.testing.assert_array_equal(chosen.query(estimator, pool, 6, candidates=mask, **known), some)
    every = chosen.query(estimator, pool, 25, candidates=allowed, **known)
    assert sorted(every.tolist()) == sorted(allowed.tolist())
    whole = chosen.query(estimator, pool, 6, candidates=np.arange(80), **known)
    np.testing.assert_array_equal(whole, chosen.query(estimator, pool, 6, **known))


@pytest.mark.parametrize("name", WITH_ON)
@pytest.mark.parametrize("on", ["text", "all"])
def test_candidates_by_head(name, on, problem):
    estimator, pool, labelled, y = problem
    allowed = np.arange(1, 80, 3)
    picked = strategy(name, on=on).query(
        estimator, pool, len(allowed), X_labeled=labelled, y_labeled=y, candidates=allowed
    )
    assert sorted(picked.tolist()) == allowed.tolist()


@pytest.fixture(scope="module")
def three_modalities():
    """As `problem`, with three modalities."""
    blocks, y = make_blocks(n=100, widths={"a": 4, "b": 3, "c": 5}, missing=0.3)
    X = MultimodalArray(blocks)
    return LateFusionClassifier().fit(X[:40], y[:40]), X[40:], X[:40], y[:40]


@pytest.mark.parametrize("name", WITH_ON)
@pytest.mark.parametrize("on", ["fused", "b", "all"])
@pytest.mark.parametrize("n_instances", [1, 12, 60])
def test_on_every_head(name, on, n_instances, three_modalities, monkeypatch):
    estimator, pool, labelled, y = three_modalities
    chosen = strategy(name, on=on)
    params = chosen.get_params()
    arguments = {"n_instances": n_instances, "X_labeled": labelled, "y_labeled": y}
    indices, scores = chosen.query(estimator, pool, **arguments, return_scores=True)
    check_answer(indices, n_instances, 60)
    assert np.isfinite(scores).all()
    if on == "b":
        has_it = ~np.isnan(pool["b"][:, 0])
        n_own = min(n_instances, int(has_it.sum()))
        assert has_it[indices[:n_own]].all()
    if on == "fused":
        np.testing.assert_array_equal(strategy(name).query(estimator, pool, **arguments), indices)
    assert chosen.get_params() == params
    assert set(vars(chosen)) == set(params)
    monkeypatch.setattr(skmmal._chunks, "CHUNK_ELEMENTS", 512)
    np.testing.assert_array_equal(strategy(name, on=on).query(estimator, pool, **arguments), indices)


@pytest.mark.parametrize("name", WITH_ON)
@pytest.mark.parametrize("form", ["mapping", "matrix", "frame", "multiindex"])
def test_on_a_modality_of_every_form_of_x(name, form):
    blocks, y = make_blocks(n=70, missing=0.2)
    forms = containers(blocks)

    def answer(X, modalities):
        def rows(part):
            if isinstance(X, dict):
                return {key: block[part] for key, block in X.items()}
            return X.iloc[part] if hasattr(X, "iloc") else X[part]

        estimator = LateFusionClassifier(modalities).fit(rows(slice(0, 30)), y[:30])
        held = {"X_labeled": rows(slice(0, 30)), "y_labeled": y[:30]}
        # more than the rows that have it: the rest is filled up (there the last rows tie, but for rounding)
        n_instances = 20 if name in TIES_BY_INDEX else 36
        return strategy(name, on="text").query(estimator, rows(slice(30, 70)), n_instances, **held)

    np.testing.assert_array_equal(answer(*forms[form]), answer(*forms["multimodal"]))


BAD_CALLS = {
    "n_instances of 0": (lambda s, e, X: s.query(e, X, 0), ValueError, "n_instances=0, but .* 80 rows"),
    "n_instances below 0": (lambda s, e, X: s.query(e, X, -3), ValueError, "n_instances=-3"),
    "n_instances above the pool": (lambda s, e, X: s.query(e, X, 81), ValueError, "n_instances=81, but .* 80 rows"),
    "n_instances not whole": (lambda s, e, X: s.query(e, X, 2.5), TypeError, "n_instances must be an integer, got 2.5"),
    "n_instances of True": (lambda s, e, X: s.query(e, X, True), TypeError, "n_instances must be an integer"),
    "empty pool": (lambda s, e, X: s.query(e, X[:0], 1), ValueError, "X_pool is empty"),
    "one-dimensional pool": (lambda s, e, X: s.query(e, np.zeros(5), 1), ValueError, "X_pool must have shape"),
    "scores neither wanted nor not": (
        lambda s, e, X: s.query(e, X, 1, return_scores="string"),
        TypeError,
        "return_scores must be True or False, got 'string'",
    ),
    "labels without rows": (
        lambda s, e, X: s.query(e, X, 1, y_labeled=[1, 2]),
        ValueError,
        r"y_labeled is given \(2 labels\), X_labeled is not",
    ),
    "a modality of another width": (
        lambda s, e, X: s.query(e, X, 1, X_labeled={"image": X["image"][:3, :4], "text": X["text"][:3]}),
        ValueError,
        "X_labeled has the modalities {'image': 4, 'text': 3}, X_pool has {'image': 5, 'text': 3}",
    ),
    "another modality": (
        lambda s, e, X: s.query(e, X, 1, X_labeled={"image": X["image"][:3], "sound": X["text"][:3]}),
        ValueError,
        "X_labeled has the modalities {'image': 5, 'sound': 3}, X_pool has",
    ),
    "a matrix of another width": (
        lambda s, e, X: s.query(None if not s.requires_model else e, np.zeros((9, 8)), 1, X_labeled=np.zeros((3, 7))),
        ValueError,
        r"X_labeled has blocks of \[7\] columns, X_pool of \[8\]",
    ),
    "columns in another order": (
        lambda s, e, X: s.query(e, frame := pd.DataFrame(np.eye(8)), 1, X_labeled=frame[frame.columns[::-1]]),
        ValueError,
        r"X_pool's columns in another order: give X_labeled\[X_pool.columns\]",
    ),
    "texts beside numbers": (
        lambda s, e, X: s.query(e, X, 1, X_labeled=["a", "b"]),
        ValueError,
        "X_labeled holds texts or other things that are no numbers, X_pool numbers",
    ),
    "a misspelt argument": (
        lambda s, e, X: s(e, X, 1, X_labelled=X[:3]),
        TypeError,
        "query has no argument 'X_labelled'; it has .* Did you mean .X_labeled",
    ),
    "views in a list": (
        lambda s, e, X: s.query(e, [np.zeros((9, 4)), np.zeros((9, 4))], 1),
        ValueError,
        "X_pool is a list of 2 arrays. Views of the same rows go into a mapping",
    ),
    **{
        f"{what} for an estimator": (lambda s, e, X, what=what: s.query(what, X, 1), TypeError, match)
        for what, match in {
            "model": "estimator must be a classifier .* got 'model' of type str",
            3: "estimator must be a classifier .* got 3 of type int",
            len: "estimator must be a classifier .* type builtin_function",
            LogisticRegression: r"estimator is the class LogisticRegression; give an object",
        }.items()
    },
    "labels that do not match": (
        lambda s, e, X: s.query(e, X, 1, X_labeled=X[:3], y_labeled=[1]),
        ValueError,
        "X_labeled has 3 rows, y_labeled has 1",
    ),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", list(BAD_CALLS))
def test_helpful_errors(name, case, problem):
    estimator, pool, _, _ = problem
    call, error, match = BAD_CALLS[case]
    with pytest.raises(error, match=match):
        call(strategy(name), estimator, pool)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random"])
def test_partly_missing_blocks_are_named(name, problem):
    estimator, pool, labelled, _ = problem
    blocks = {key: block.copy() for key, block in pool.blocks.items()}
    there = np.flatnonzero(~np.isnan(blocks["text"][:, 0]))[5]
    blocks["text"][there, 1] = np.nan
    with pytest.raises(ValueError, match=f"modality 'text' is partly NaN in row {there}"):
        strategy(name).query(estimator, MultimodalArray(blocks), 2, X_labeled=labelled)


class Said(Sure):
    """The same in whatever form they are given."""

    def __init__(self, answer, n_classes):
        self.answer = answer
        self.classes_ = np.arange(n_classes)

    def predict_proba(self, X):
        return self.answer if len(self.answer) != 30 else self.answer[: len(X)]


P = np.random.default_rng(0).dirichlet(np.ones(3), 30)
NO_DISTRIBUTIONS = {
    "sigmoid": (1 / (1 + np.exp(-np.log(P) - 1)), "row 0 of X_pool sums to .*independent probabilities"),
    "logits": (np.log(P) + 1, "sums to .*They look like logits or other decision values.*softmax"),
    "logarithms": (np.log(P), "They look like log-probabilities: take np.exp"),
    "percentages": (100 * P, "sums to 100 .*percentages, counts or votes"),
    "one row of them": (np.where(np.arange(30)[:, None] == 4, 0.5, P), r"row 4 of X_pool sums to 1.5 \(1 of 30 rows is"),
    "one column": (P[:, :1], "shape .30, 1., expected .30, 3."),
    "one number": (P[:, 0], "give both: np.column_stack"),
    "outputs": ([P[:, :2], P[:, 1:]], "a list of 2 arrays, one for each output: .*MultiOutputClassifier"),
    "missing": (np.where(P[7, 1] == P, np.nan, P), "is not finite in row 7 of X_pool"),
}


@pytest.mark.parametrize("name", [*NEEDS_MODEL, "auto", "uherding", "dcom", "mvopt"])
def test_probabilities_that_are_no_distribution(name):
    X = np.random.default_rng(0).standard_normal((30, 5))
    for answer, match in NO_DISTRIBUTIONS.values():
        with pytest.raises(ValueError, match=f"Said.predict_proba.*{match}"):
            strategy(name).query(Said(answer, 3), X, 2)


@pytest.mark.parametrize("name", NEEDS_MODEL)
def test_probabilities_rounded_to_few_bits(name):
    X = np.random.default_rng(0).standard_normal((30, 5))
    for dtype in (np.float16, np.float32):
        rounded = P.astype(dtype)
        expected = strategy(name).query(Said(rounded.astype(np.float64), 3), X, 4)
        np.testing.assert_array_equal(strategy(name).query(Said(rounded, 3), X, 4), expected)
    check_answer(strategy(name).query(Said(torch.from_numpy(P).bfloat16(), 3), X, 4), 4, 30)


class Duck:
    """A classifier that is no scikit-learn estimator."""

    def __init__(self, made):
        self.made = made

    def fit(self, X, y):
        self.made.fit(X, y)
        self.classes_ = self.made.classes_
        return self

    def predict_proba(self, X):
        return self.made.predict_proba(X)


class Wordless(Duck):
    """One without classes_: nothing but its answers says that it is fitted."""

    def fit(self, X, y):
        self.made.fit(X, y)
        return self


class Estimator(ClassifierMixin, BaseEstimator):
    """The same as an estimator of scikit-learn's kind."""

    def __init__(self, made):
        self.made = made

    fit = Duck.fit
    predict_proba = Duck.predict_proba


@pytest.mark.parametrize("name", UNIMODAL)
@pytest.mark.parametrize("kind", [Duck, Wordless])
def test_classifiers_that_are_no_estimators(name, kind):
    blocks, y = make_blocks(n=60)
    X = np.hstack(list(blocks.values()))
    held = {"X_labeled": X[:20], "y_labeled": y[:20]}
    expected = strategy(name).query(Estimator(LogisticRegression()).fit(X[:20], y[:20]), X[20:], 5, **held)
    np.testing.assert_array_equal(strategy(name).query(kind(LogisticRegression()).fit(X[:20], y[:20]), X[20:], 5, **held), expected)
    pipeline = make_pipeline(FunctionTransformer(), kind(LogisticRegression())).fit(X[:20], y[:20])
    np.testing.assert_array_equal(strategy(name).query(pipeline, X[20:], 5, **held), expected)
    unfitted = kind(LogisticRegression())
    if name in MODEL_FREE:
        cold = strategy(name).query(unfitted, X[20:], 5, X_labeled=X[:20])
        np.testing.assert_array_equal(cold, strategy(name).query(None, X[20:], 5, X_labeled=X[:20]))
    else:
        with pytest.raises(NotFittedError, match=f"{kind.__name__} is not fitted yet"):
            strategy(name).query(unfitted, X[20:], 5)


TEXTS = ["good film", "bad film", "awful plot", "great cast", "poor sound", "nice music", "dull story", "fun ride"] * 3
TEXT_FORMS = {
    "list": list,
    "Series": pd.Series,
    "objects": lambda texts: np.array(texts, dtype=object),
    "strings": np.array,
    "polars": lambda texts: pytest.importorskip("polars").Series(texts),
    "arrow": lambda texts: pytest.importorskip("pyarrow").array(texts),
}


@pytest.mark.parametrize("name", UNIMODAL)
def test_texts_in_front_of_a_vectorizer(name):
    """The answer is that of the last step on the matrix of words, whatever holds the texts."""
    labels = np.arange(8) % 2
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS[:8], labels)
    Z = model[0].transform(TEXTS)
    expected = strategy(name).query(model[-1], Z[8:], 4, X_labeled=Z[:8], y_labeled=labels)
    for form in TEXT_FORMS.values():
        found = strategy(name).query(model, form(TEXTS[8:]), 4, X_labeled=form(TEXTS[:8]), y_labeled=labels)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", UNIMODAL)
def test_texts_without_a_vectorizer(name):
    """A classifier that reads texts itself serves what needs probabilities only; the others say what they need."""

    class Reader:
        classes_ = np.arange(3)

        def predict_proba(self, X):
            assert isinstance(X[0], str)
            return P[: len(X)]

    if not find("strategy", name).needs_features:
        check_answer(strategy(name).query(Reader(), TEXTS, 4), 4, len(TEXTS))
    else:
        with pytest.raises(TypeError, match="needs features, and the rows are no numbers .the first is a str.: put"):
            strategy(name).query(Reader(), TEXTS, 4)


class Flat(Estimator):
    """A classifier of arrays, row by row."""

    def fit(self, X, y):
        super().fit(X.reshape(len(X), -1), y)
        return self

    def predict_proba(self, X):
        assert X.ndim == 4
        return self.made.predict_proba(X.reshape(len(X), -1))


@pytest.mark.parametrize("name", UNIMODAL)
def test_rows_of_more_dimensions(name):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 3, 2, 2)), np.arange(40) % 2
    flat = X.reshape(40, -1)
    held = {"X_labeled": X[:20], "y_labeled": y[:20]}
    expected = strategy(name).query(
        Estimator(LogisticRegression()).fit(flat[:20], y[:20]), flat[20:], 5, X_labeled=flat[:20], y_labeled=y[:20]
    )
    np.testing.assert_array_equal(
        strategy(name).query(Flat(LogisticRegression()).fit(X[:20], y[:20]), X[20:], 5, **held), expected
    )
    flatten = FunctionTransformer(lambda X: X.reshape(len(X), -1))
    pipeline = make_pipeline(flatten, Estimator(LogisticRegression())).fit(X[:20], y[:20])
    np.testing.assert_array_equal(strategy(name).query(pipeline, X[20:], 5, **held), expected)


@pytest.mark.parametrize("name", ["bald", "powerbald", "epig", "batchbald"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: BaggingClassifier(LogisticRegression(), 3, max_features=0.5, random_state=0),
        lambda: BaggingClassifier(make_pipeline(StandardScaler(), LogisticRegression()), 3, random_state=0),
        lambda: BaggingClassifier(LateFusionClassifier({"image": 5, "text": 3}), 3, random_state=0),
        lambda: RandomForestClassifier(5, random_state=0),
    ],
)
def test_members_of_ensembles_on_every_container(name, make):
    """scikit-learn's ensembles make an array of X for their members; so do we, without a warning about names."""
    blocks, y = make_blocks(n=60)
    matrix = np.hstack(list(blocks.values()))
    expected = strategy(name).query(make().fit(matrix[:20], y[:20]), matrix[20:], 5)
    for X in (pd.DataFrame(matrix, columns=list("abcdefgh")), MultimodalArray(blocks)):
        rows = X.iloc if isinstance(X, pd.DataFrame) else X
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = strategy(name).query(make().fit(rows[:20], y[:20]), rows[20:], 5)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", NEEDS_MODEL)
def test_probabilities_that_are_not_finite(name):
    probabilities = np.full((4, 2), 0.5)
    probabilities[2, 0] = np.nan
    with pytest.raises(ValueError, match="Sure.predict_proba is not finite in row 2 of X_pool"):
        strategy(name).query(Sure(probabilities), np.zeros((4, 5)), 2)
