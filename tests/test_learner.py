"""ActiveLearner: modAL's surface, every container, no surprises."""

import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from samples import QUICK, containers, make_blocks
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skmmal import ActiveLearner, LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.query import BMMAL, MMCSAL, CoreSet, MarginSampling, RandomSampling, available_strategies, get_strategy


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

    class Counted(type(get_strategy(name))):
        def _select(self, pool, labelled, n_instances, rng):
            calls.append(n_instances)
            return super()._select(pool, labelled, n_instances, rng)

    learner = ActiveLearner(LateFusionClassifier(), Counted(**QUICK.get(name, {})), X[:12], y[:12])
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
        np.testing.assert_array_equal(copy.query(X[20:], n_instances=5)[0], expected)
        assert copy.estimator.classes_.tolist() == [2, 1, 0]
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


# ------------------------------------------------------------------------------------- any estimator, any rows

TEXTS = ["good film", "bad film", "awful plot", "great cast", "poor sound", "nice music", "dull story", "fun ride"]


def text_forms():
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    return [list, pd.Series, np.array, lambda texts: np.array(texts, dtype=object), pl.Series, pa.array]


@pytest.mark.parametrize("form", range(6))
@pytest.mark.parametrize("strategy", ["margin", "random", "coreset", None])
def test_rounds_on_texts(form, strategy):
    """modAL's own behaviour: rows come back in the container they came in, and go on in it."""
    make = text_forms()[form]
    learner = ActiveLearner(make_pipeline(TfidfVectorizer(), LogisticRegression()), strategy, make(TEXTS[:4]), [1, 0, 0, 1])
    rows, instances = learner.query(make(TEXTS[4:]), n_instances=2)
    assert type(instances) is type(make(TEXTS))
    assert [str(text) for text in instances] == [TEXTS[4:][row] for row in rows]
    learner.teach(instances, [1, 0])
    assert type(learner.X_training) is type(make(TEXTS))
    assert [str(text) for text in learner.X_training] == TEXTS[:4] + [TEXTS[4:][row] for row in rows]
    assert learner.predict(make(TEXTS)).shape == (8,)
    assert learner.score(make(TEXTS[:4]), [1, 0, 0, 1]) == 1


@pytest.mark.parametrize("strategy", ["margin", "random", "entropy", "coreset"])
def test_rounds_on_images(strategy):
    """Arrays of three dimensions: modAL's example of multidimensional data."""

    class Flat(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.model_ = LogisticRegression().fit(X.reshape(len(X), -1), y)
            self.classes_ = self.model_.classes_
            return self

        def predict_proba(self, X):
            return self.model_.predict_proba(X.reshape(len(X), -1))

    X, y = np.random.default_rng(0).random((30, 5, 4)), np.arange(30) % 2
    learner = ActiveLearner(Flat(), strategy, X[:10], y[:10])
    rows, images = learner.query(X[10:], n_instances=3)
    np.testing.assert_array_equal(images, X[10:][rows])
    learner.teach(images, y[10:][rows])
    assert learner.X_training.shape == (13, 5, 4)


class Mock:
    """modAL's mock estimator: it answers what it is told to, and is nothing else."""

    def __init__(self, predict_proba_return=None, predict_return=None, score_return=None, classes_=None, fitted=True):
        self.fitted = fitted
        self.predict_proba_return = predict_proba_return
        self.predict_return = predict_return
        self.score_return = score_return
        self.classes_ = classes_

    def fit(self, *args, **kwargs):
        self.fitted = True

    def predict(self, *args, **kwargs):
        return self.predict_return

    def predict_proba(self, *args, **kwargs):
        if not self.fitted:
            raise NotFittedError
        return self.predict_proba_return

    def score(self, *args, **kwargs):
        return self.score_return


def test_a_mock_estimator():
    answer = np.array([[0.5, 0.5], [0.9, 0.1], [0.6, 0.4]])
    X = np.zeros((3, 2))
    for learner in (
        ActiveLearner(Mock(answer, [1, 0, 1], 0.5), "margin", X, [0, 1, 0]),
        ActiveLearner(Mock(answer, [1, 0, 1], 0.5, classes_=[0, 1]), "margin"),
        clone(ActiveLearner(Mock(answer, [1, 0, 1], 0.5), "margin", X, [0, 1, 0], sample_weight=[1, 1, 1])),
    ):
        assert learner.query(X, n_instances=2)[0].tolist() == [0, 2]
        assert learner.predict(X) == [1, 0, 1]
        assert learner.score(X, [0, 0, 0]) == 0.5
        np.testing.assert_array_equal(learner.predict_proba(X), answer)
        learner.teach(X, [0, 1, 0])
    with pytest.raises(NotFittedError, match="Mock is not fitted yet"):
        ActiveLearner(Mock(answer, fitted=False), "margin").query(X)


def test_no_estimator():
    X, y = np.eye(3), [0, 1, 0]
    for thing, match in (("model", "got 'model' of type str"), (3, "got 3 of type int"), ({}, "of type dict")):
        for call in (lambda e: ActiveLearner(e, "margin", X, y), lambda e: ActiveLearner(e, "margin").query(X)):
            with pytest.raises(TypeError, match=f"estimator must be a classifier .*{match}"):
                call(thing)
    with pytest.raises(TypeError, match="estimator is the class LogisticRegression; give an object"):
        ActiveLearner(LogisticRegression).teach(X, y)
    with pytest.raises(TypeError, match="has no fit, which this needs"):
        ActiveLearner(SimpleNamespace(predict_proba=len)).teach(X, y)


# ------------------------------------------------------------------------------------ nothing accepted in silence


@pytest.mark.parametrize(
    ("estimator", "arguments", "match"),
    [
        (LogisticRegression(), {"query_strategi": "bmmal"}, "did you mean query_strategy?"),
        (None, {"query_strategi": "bmmal"}, "did you mean query_strategy?"),
        (Mock(), {"query_strategi": "bmmal"}, "did you mean query_strategy?"),
        (GridSearchCV(LogisticRegression(), {}), {"query_strategi": 1}, "did you mean query_strategy?"),
        (make_pipeline(StandardScaler(), LogisticRegression()), {"bootstrap_int": True}, "did you mean bootstrap_init?"),
        (make_pipeline(StandardScaler(), LogisticRegression()), {"sample_weight": [1]}, "logisticregression__sample_weight"),
        (LogisticRegression(), {"classes": [0, 1]}, "classes is no argument .* nor one of LogisticRegression.fit"),
        (GridSearchCV(LogisticRegression(), {}), {"classes": [0, 1]}, "nor one of GridSearchCV.fit"),
        (LogisticRegression(), {"bootstrap_init": "no"}, "bootstrap_init must be True or False, got 'no'"),
        (LogisticRegression(), {"on_transformed": 1}, "on_transformed must be True or False, got 1"),
    ],
)
def test_misspelt_arguments(estimator, arguments, match):
    with pytest.raises(TypeError, match=match):
        ActiveLearner(estimator, **arguments)
    own = [name for name in arguments if name in ("bootstrap_init", "on_transformed")]
    if not own:
        with pytest.raises(TypeError, match=match):
            ActiveLearner(estimator).set_params(**arguments)


@pytest.mark.parametrize(
    ("estimator", "arguments"),
    [
        (LogisticRegression(), {"sample_weight": np.ones(9)}),
        (LateFusionClassifier(), {"classes": [0, 1, 2]}),
        (make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__sample_weight": np.ones(9)}),
        (make_pipeline(StandardScaler(), LateFusionClassifier()), {"latefusionclassifier__classes": [0, 1, 2]}),
        (GridSearchCV(LogisticRegression(), {}, cv=2), {"sample_weight": np.ones(9)}),
        (CalibratedClassifierCV(LogisticRegression(), cv=2), {"sample_weight": np.ones(9)}),
        (Mock(), {"epochs": 3, "verbose": 0}),
    ],
)
def test_arguments_of_fit_pass(estimator, arguments):
    blocks, y = make_blocks(n=9)
    learner = ActiveLearner(estimator, None, blocks["image"], y, **arguments)
    assert set(arguments) <= set(learner.get_params())


def test_arguments_of_the_verbs():
    X, y = np.eye(4), np.array([0, 1, 0, 1])
    learner = ActiveLearner(LogisticRegression(), "margin", X, y)
    for call, match in (
        (lambda: learner.teach(X, y, only_nw=True), "did you mean only_new?"),
        (lambda: learner.teach(X, y, only_new="no"), "only_new must be True or False, got 'no'"),
        (lambda: learner.fit(X, y, bootstrp=True), "did you mean bootstrap?"),
        (lambda: learner.query(X, return_metrics="no"), "return_metrics must be True or False"),
        (lambda: learner.query(X, n_instance=2), "MarginSampling.query has no argument 'n_instance'.* Did you mean 'n_instances'"),
        (lambda: ActiveLearner(LogisticRegression(), lambda learner, X: np.array([0.5])).query(X), "as integers"),
        (lambda: ActiveLearner(LogisticRegression(), lambda learner, X: X[:, 0] > 0).query(X), "as integers"),
    ):
        with pytest.raises(TypeError, match=match):
            call()
    with pytest.raises(ValueError, match="query_strategy returned row 4, X_pool has 4 rows"):
        ActiveLearner(LogisticRegression(), lambda learner, X: [4]).query(X)
    # two rows are not a row and its score
    assert ActiveLearner(LogisticRegression(), lambda learner, X: (2, 3)).query(X)[0] == (2, 3)


def test_rows_in_messages_are_those_of_the_lesson():
    blocks, y = make_blocks(n=40)
    X = MultimodalArray(blocks)
    learner = ActiveLearner(LateFusionClassifier(), None, X[:20], y[:20], classes=[0, 1, 2])
    broken = {name: block[20:30].copy() for name, block in blocks.items()}
    broken["text"][3, 1] = np.nan
    with pytest.raises(ValueError, match="modality 'text' is partly NaN in row 3 of the new rows"):
        learner.teach(broken, y[20:30])
    with pytest.raises(ValueError, match="label 7 in row 2 of the new rows"):
        learner.teach(X[20:23], [0, 1, 7])
    with pytest.raises(ValueError, match="y is missing .* in row 1 of the new rows"):
        learner.teach(X[20:23], [0, None, 1])
    with pytest.raises(ValueError, match="modality 'text' is partly NaN in row 3 of X "):
        ActiveLearner(LateFusionClassifier(), None, broken, y[20:30], bootstrap_init=True, random_state=0)


# --------------------------------------------------------------------------------------- clones and forgetting


class Counting(LogisticRegression):
    fits = 0

    def fit(self, X, y, sample_weight=None):
        type(self).fits += 1
        return super().fit(X, y, sample_weight)


def test_a_clone_is_not_trained():
    blocks, y = make_blocks(n=60)
    X = blocks["image"]
    learner = ActiveLearner(Counting(), "margin", X[:20], y[:20])
    before = Counting.fits
    copy = clone(learner)
    assert Counting.fits == before
    assert not hasattr(copy.estimator, "coef_")
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)
    assert len(clone(copy).X_training) == 20
    # it is a learner all the same: trained once, when it is first asked
    expected = learner.query(X[20:], n_instances=5)[0]
    for _ in range(2):
        np.testing.assert_array_equal(copy.query(X[20:], n_instances=5)[0], expected)
    assert Counting.fits == before + 1
    check_is_fitted(copy)
    for ask in (lambda c: c.predict(X), lambda c: c.predict_proba(X), lambda c: c.score(X, y)):
        np.testing.assert_array_equal(ask(clone(learner)), ask(learner))
    # taught or fitted before, it is fitted once
    before = Counting.fits
    taught, fitted = clone(learner), clone(learner)
    taught.teach(X[20:30], y[20:30])
    fitted.fit(X[:30], y[:30])
    assert Counting.fits == before + 2
    np.testing.assert_array_equal(taught.predict_proba(X), fitted.predict_proba(X))
    assert len(cross_val_score(learner, X, y, cv=3)) == 3
    assert Counting.fits == before + 5


@pytest.fixture
def trained():
    blocks, y = make_blocks(n=60)
    return MultimodalArray(blocks), y, [0, 1, 2]


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_model_that_came_trained_forgets_with_a_warning(trained, warm_start):
    X, y, classes = trained
    came = LateFusionClassifier(warm_start=warm_start).fit(X[:40], y[:40])
    with pytest.warns(UserWarning, match=r"teach\(\) fits LateFusionClassifier on these 5 rows alone.*forgotten.*X_training="):
        ActiveLearner(came, classes=classes).teach(X[40:45], y[40:45])
    learner = ActiveLearner(LateFusionClassifier(warm_start=warm_start), None, X[:40], y[:40], classes=classes)
    with pytest.warns(UserWarning, match=r"teach\(only_new=True\) .*leave only_new out.*warm_start='anchor'"):
        learner.teach(X[40:45], y[40:45], only_new=True)
    scaled = make_pipeline(ModalityScaler(), LateFusionClassifier(warm_start=warm_start)).fit(X[:40], y[:40])
    with pytest.warns(UserWarning, match="fits LateFusionClassifier on these 5 rows alone"):
        ActiveLearner(scaled, latefusionclassifier__classes=classes).teach(X[40:45], y[40:45])


def test_no_warning_where_nothing_is_forgotten(trained):
    X, y, classes = trained
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner = ActiveLearner(LateFusionClassifier(), classes=classes)
        learner.teach(X[:20], y[:20])
        learner.teach(X[20:25], y[20:25])
        learner.fit(X[:30], y[:30])
        ActiveLearner(learner.estimator, None, X[:40], y[:40], classes=classes).teach(X[40:45], y[40:45])

        class Anchored(LogisticRegression):  # a fit that stays near what the model came with
            warm_start = "anchor"

            def fit(self, X, y):
                return self

        came = LogisticRegression().fit(X["image"], y)
        anchored = Anchored()
        vars(anchored).update({**vars(came), "warm_start": "anchor"})
        ActiveLearner(anchored).teach(X["image"][:5], y[:5])
        ActiveLearner(anchored, None).teach(X["image"][:5], y[:5], only_new=True)


def test_lessons_that_do_not_come_again_stay_in_an_anchored_model():
    blocks, y = make_blocks(n=90, seed=3)
    X = MultimodalArray(blocks)
    learner = ActiveLearner(LateFusionClassifier(warm_start="anchor").fit(X[:30], y[:30]))
    by_hand = LateFusionClassifier(warm_start="anchor").fit(X[:30], y[:30])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in (slice(30, 40), slice(40, 50)):
            learner.teach(X[rows], y[rows], only_new=True)
            by_hand.__dict__.pop("anchor_", None)  # from the model that there is
            by_hand.fit(X[rows], y[rows])
    np.testing.assert_array_equal(learner.predict_proba(X), by_hand.predict_proba(X))
    anchor = learner.estimator.anchor_
    with pytest.raises(ValueError, match="NaN"):
        learner.teach(X[50:52], np.array([np.nan, 1]), only_new=True)
    assert learner.estimator.anchor_ is anchor
