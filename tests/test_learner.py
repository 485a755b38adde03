"""ActiveLearner: modAL's surface, every container, no surprises."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from samples import containers, make_blocks
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmmal import ActiveLearner, LateFusionClassifier, MultimodalArray
from skmmal.query import BMMAL, MMCSAL, CoreSet, MarginSampling, RandomSampling, available_strategies


def loop(learner, X, y, take, n_rounds=3):
    """Query and teach from a shrinking pool; return the rows chosen, as rows of X."""
    pool = np.arange(len(y))
    chosen = []
    for _ in range(n_rounds):
        rows, instances = learner.query(take(X, pool), n_instances=4)
        assert len(instances) == 4 or isinstance(instances, dict)
        learner.teach(instances, np.asarray(y)[pool[rows]])
        chosen += pool[rows].tolist()
        pool = np.delete(pool, rows)
    return chosen


def take(X, rows):
    if isinstance(X, dict):
        return {name: block[rows] for name, block in X.items()}
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


@pytest.mark.parametrize("form", ["multimodal", "mapping", "matrix", "frame", "multiindex"])
def test_rounds_on_every_form(form):
    blocks, y = make_blocks(n=90, missing=0.2)
    X, modalities = containers(blocks)[form]
    reference, _ = containers(blocks)["multimodal"]
    chosen = []
    for data, layout in ((X, modalities), (reference, None)):
        learner = ActiveLearner(
            LateFusionClassifier(layout), BMMAL(random_state=0), take(data, np.arange(9)), y[:9], classes=[0, 1, 2]
        )
        chosen.append(loop(learner, take(data, np.arange(9, 90)), y[9:], take))
        assert len(learner.y_training) == 21
        assert type(learner.X_training) is type(data)
        assert learner.score(data, y) > 0.7
        assert learner.predict_proba(data).shape == (90, 3)
        assert learner.predict(data).shape == (90,)
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) == 12


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix, sparse.csr_array, list, torch.from_numpy])
def test_other_containers(convert):
    blocks, y = make_blocks(n=60)
    X = blocks["image"]
    learner = ActiveLearner(LogisticRegression(), MarginSampling(), convert(X[:9]), y[:9])
    rows, instances = learner.query(convert(X[9:]), n_instances=3)
    expected, _ = ActiveLearner(LogisticRegression(), MarginSampling(), X[:9], y[:9]).query(X[9:], n_instances=3)
    np.testing.assert_array_equal(rows, expected)
    learner.teach(instances, y[9:][rows])
    assert (learner.X_training.shape[0] if hasattr(learner.X_training, "shape") else len(learner.X_training)) == 12


@pytest.mark.parametrize("name", available_strategies())
def test_strategies_run_once_in_a_query(name):
    """modAL calls a strategy that returns something unexpected a second time; nothing of the kind happens here."""
    blocks, y = make_blocks(n=60)
    X = MultimodalArray(blocks)
    calls = []

    class Counted(type(ActiveLearner(None, name)._strategy())):
        def _select(self, view, n_instances, rng):
            calls.append(n_instances)
            return super()._select(view, n_instances, rng)

    learner = ActiveLearner(LateFusionClassifier(), Counted(), X[:12], y[:12])
    for n_instances in (1, 2, 3):
        rows, instances = learner.query(X[12:], n_instances=n_instances)
        assert len(rows) == len(instances) == n_instances
    assert calls == [1, 2, 3]


def test_query_strategy_by_name_default_and_function():
    blocks, y = make_blocks(n=60)
    X = MultimodalArray(blocks)
    for strategy in (None, "margin", "least-confidence"):
        rows, _, metrics = ActiveLearner(LateFusionClassifier(), strategy, X[:12], y[:12]).query(
            X[12:], n_instances=2, return_metrics=True
        )
        assert rows.shape == metrics.shape == (2,)

    def pair(learner, X_pool, n_instances=1):
        return np.arange(n_instances), np.ones(n_instances)

    def indices_only(learner, X_pool, n_instances=1):
        assert learner.y_training is not None
        return np.arange(n_instances)

    for strategy, metrics in ((pair, 1.0), (indices_only, None)):
        learner = ActiveLearner(LateFusionClassifier(), strategy, X[:12], y[:12])
        for n_instances in (1, 2, 3):
            rows, instances, found = learner.query(X[12:], n_instances, return_metrics=True)
            assert rows.tolist() == list(range(n_instances))
            assert len(instances) == n_instances
            assert found is None if metrics is None else (found == metrics).all()


def test_errors_of_a_strategy_are_not_swallowed():
    def broken(learner, X_pool):
        raise RuntimeError("as it is")

    with pytest.raises(RuntimeError, match="as it is"):
        ActiveLearner(LogisticRegression(), broken).query(np.zeros((3, 1)))
    with pytest.raises(TypeError, match="query_strategy must be"):
        ActiveLearner(LogisticRegression(), 7).query(np.zeros((3, 1)))
    with pytest.raises(ValueError, match="unknown strategy"):
        ActiveLearner(LogisticRegression(), "best").query(np.zeros((3, 1)))


@pytest.mark.parametrize("strategy", [RandomSampling(0), CoreSet(), "kmeans"])
def test_first_batch_without_training_data(strategy):
    blocks, y = make_blocks(n=60)
    X = MultimodalArray(blocks)
    learner = ActiveLearner(LateFusionClassifier(), strategy, classes=[0, 1, 2])
    rows, instances = learner.query(X, n_instances=6)
    learner.teach(instances, y[rows])
    assert len(learner.X_training) == 6
    assert learner.predict_proba(X).shape == (60, 3)


def test_coreset_keeps_away_from_the_training_data():
    X = np.array([[0.0], [5.0], [9.0], [10.0]])
    learner = ActiveLearner(LogisticRegression(), CoreSet(), np.array([[10.0], [9.5]]), [0, 1])
    assert learner.query(X, n_instances=2)[0].tolist() == [0, 1]


def test_on_transformed_sees_through_a_pipeline():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 3)) * [1, 1000, 1]
    y = np.arange(50) % 2
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    seen = []

    def spy(learner, X_pool, n_instances=1):
        seen.append((type(learner.estimator).__name__, float(np.std(X_pool)), float(np.std(learner.X_training))))
        return np.arange(n_instances)

    for on_transformed in (False, True):
        learner = ActiveLearner(pipeline, spy, X[:20], y[:20], on_transformed=on_transformed)
        _, instances = learner.query(X[20:])
        np.testing.assert_array_equal(instances, X[20:21])
    assert [name for name, _, _ in seen] == ["Pipeline", "LogisticRegression"]
    assert seen[0][1] > 100
    assert seen[1][1] < 10
    assert seen[1][2] < 10


def test_teach_and_fit_mean_what_modal_means():
    blocks, y = make_blocks(n=60)
    X = blocks["image"]
    learner = ActiveLearner(LogisticRegression(), MarginSampling(), X[:20], y[:20])
    learner.teach(X[20:30], y[20:30], only_new=True)
    assert len(learner.y_training) == 20
    np.testing.assert_allclose(learner.estimator.coef_, LogisticRegression().fit(X[20:30], y[20:30]).coef_)
    learner.teach(X[20:30], y[20:30])
    assert len(learner.y_training) == 30
    np.testing.assert_allclose(learner.estimator.coef_, LogisticRegression().fit(X[:30], y[:30]).coef_)
    assert learner.fit(X[30:], y[30:]) is learner
    assert len(learner.y_training) == 30
    np.testing.assert_array_equal(learner.X_training, X[30:])
    learner.teach(X[:3], y[:3], sample_weight=np.ones(33))


def test_bootstrap():
    blocks, y = make_blocks(n=60)
    X = blocks["image"]
    coefficients = [
        ActiveLearner(LogisticRegression(), None, X, y, bootstrap_init=True, random_state=seed).estimator.coef_
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(coefficients[0], coefficients[1])
    assert not np.allclose(coefficients[0], coefficients[2])
    learner = ActiveLearner(LogisticRegression(), None, X[:30], y[:30], random_state=0)
    learner.teach(X[30:], y[30:], bootstrap=True)
    np.testing.assert_array_equal(learner.X_training, X)


def test_a_failed_fit_loses_nothing():
    blocks, y = make_blocks(n=60)
    X = MultimodalArray(blocks)
    learner = ActiveLearner(LateFusionClassifier(), None, X[:20], y[:20], classes=[0, 1, 2])
    with pytest.raises(ValueError, match="label 7"):
        learner.teach(X[20:22], [7, 7])
    assert len(learner.X_training) == len(learner.y_training) == 20
    learner.teach(X[20:22], y[20:22])
    assert len(learner.y_training) == 22


def test_clone_and_pickle():
    blocks, y = make_blocks(n=60)
    X = MultimodalArray(blocks)
    learner = ActiveLearner(LateFusionClassifier(), BMMAL(random_state=0), X[:20], y[:20], classes=[2, 1, 0])
    expected = learner.query(X[20:], n_instances=5)[0]
    for copy in (clone(learner), pickle.loads(pickle.dumps(learner))):
        assert copy.estimator is not learner.estimator
        assert copy.estimator.classes_.tolist() == [2, 1, 0]
        np.testing.assert_array_equal(copy.query(X[20:], n_instances=5)[0], expected)
    assert learner.get_params()["classes"] == [2, 1, 0]
    learner.set_params(estimator__C=0.5, classes=[0, 1, 2])
    assert learner.estimator.C == 0.5
    learner.teach(X[20:22], y[20:22])
    assert learner.estimator.classes_.tolist() == [0, 1, 2]
    unfitted = ActiveLearner(LateFusionClassifier(), BMMAL())
    assert clone(unfitted).X_training is None


def test_frames_and_series_keep_their_kind():
    blocks, y = make_blocks(n=60)
    frame, layout = containers(blocks)["frame"]
    learner = ActiveLearner(LateFusionClassifier(layout), None, frame[:20], pd.Series(y[:20], name="label"))
    rows, instances = learner.query(frame[20:], n_instances=3)
    assert isinstance(instances, pd.DataFrame)
    assert instances.index.tolist() == (rows + 20).tolist()  # the link to the source records
    learner.teach(instances, pd.Series(y[20:][rows]))
    assert isinstance(learner.y_training, pd.Series)
    assert learner.X_training.index.tolist() == [*range(20), *(rows + 20)]
    with pytest.raises(ValueError, match="columns"):
        learner.teach(instances.rename(columns={"image_0": "other"}), y[:3])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda X, y: ActiveLearner(LogisticRegression(), None, X), "X_training is given, y_training is not"),
        (lambda X, y: ActiveLearner(LogisticRegression(), None, None, y), "y_training is given, X_training is not"),
        (lambda X, y: ActiveLearner(LogisticRegression(), None, X, y[:3]), "inconsistent numbers of samples"),
        (lambda X, y: ActiveLearner(LogisticRegression(), None, X, y).teach(X, y[:3]), "inconsistent numbers"),
        (lambda X, y: ActiveLearner(LogisticRegression(), None, X, y).fit(X, y[:3]), "inconsistent numbers"),
        (lambda X, y: ActiveLearner(LateFusionClassifier(), None, {"a": X}, y).teach({"b": X}, y), "blocks"),
    ],
)
def test_helpful_errors(call, match):
    X, y = make_blocks(n=10)[0]["image"], np.arange(10) % 2
    with pytest.raises(ValueError, match=match):
        call(X, y)


def test_a_cold_start_chooses_the_first_batch():
    """Without training data, MMCSAL chooses what it would choose for an unfitted estimator; then rounds go on."""
    blocks, y = make_blocks(n=80)
    X = MultimodalArray(blocks)
    learner = ActiveLearner(LateFusionClassifier(), query_strategy=MMCSAL(random_state=0))
    rows, instances = learner.query(X, 12)
    expected = MMCSAL(random_state=0).query(LateFusionClassifier(), X, 12)
    np.testing.assert_array_equal(rows, expected)
    learner.teach(instances, y[rows])
    assert learner.score(X, y) > 1 / len(np.unique(y))


@pytest.mark.parametrize(
    ("X", "y", "error", "match"),
    [
        (np.zeros((1, 3)), [0], ValueError, "the new rows: they have shape"),
        (np.zeros((1, 2)), None, ValueError, "y is None"),
        (None, [0], ValueError, "X is None"),
        (np.zeros((1, 2)), ["cat"], TypeError, "the new labels are text, those from before numbers"),
        ({}, [0], ValueError, "X is an empty mapping"),
    ],
)
def test_a_lesson_that_does_not_fit_changes_nothing(X, y, error, match):
    learner = ActiveLearner(LogisticRegression(), "margin", np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 1]))
    with pytest.raises(error, match=match):
        learner.teach(X, y)
    assert learner.X_training.shape == (2, 2)
    assert learner.y_training.tolist() == [0, 1]


def test_a_strategy_given_as_a_class():
    learner = ActiveLearner(LogisticRegression(), MarginSampling, np.eye(2), [0, 1])
    with pytest.raises(TypeError, match=r"query_strategy is the class MarginSampling; give an object, MarginSampling\(\)"):
        learner.query(np.eye(2))
