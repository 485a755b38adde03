"""A start without labels, and what a learner is to scikit-learn."""

import warnings
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from samples import containers, make_blocks, quick_strategy
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from skmmal import ActiveLearner, LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.query import BMMAL, MarginSampling, QueryStrategy, available_strategies, get_strategy

BLOCKS, Y = make_blocks(n=60)
X = MultimodalArray(BLOCKS)
MATRIX = np.asarray(X)


class Last(QueryStrategy):
    """The last rows of the pool; needs nothing."""

    requires_model = False

    def _select(self, pool, labelled, n_instances, rng):
        return np.arange(len(pool))[-n_instances:], np.zeros(n_instances)


def last_rows(learner, X_pool, n_instances=1):
    return np.arange(len(X_pool))[-n_instances:]


# ------------------------------------------------------------------------------------------- a start without labels


def without_a_model():
    return [name for name in available_strategies() if not get_strategy(name).requires_model]


@pytest.mark.parametrize("initial", without_a_model())
def test_every_strategy_that_needs_no_model_can_start(initial):
    learner = ActiveLearner(LateFusionClassifier(), "bmmal", initial=initial)
    rows, instances = learner.query(X, n_instances=9)
    assert len(set(rows.tolist())) == 9
    learner.teach(instances, np.arange(9) % 3)  # whatever was chosen: three classes
    expected = BMMAL(random_state=0).query(learner.estimator, X, 3)
    learner.query_strategy = BMMAL(random_state=0)
    np.testing.assert_array_equal(learner.query(X, n_instances=3)[0], expected)


@pytest.mark.parametrize("name", available_strategies())
def test_every_strategy_works_from_an_empty_start(name):
    learner = ActiveLearner(LateFusionClassifier(random_state=0), quick_strategy(name), initial=Last())
    pool = np.arange(60)
    for number in range(3):
        rows, instances = learner.query(X[pool], n_instances=6)
        assert len(set(rows.tolist())) == 6
        if number == 0:
            assert rows.tolist() == list(range(54, 60))
        learner.teach(instances, Y[pool[rows]])
        pool = np.delete(pool, rows)
    assert len(learner.y_training) == 18
    assert learner.predict_proba(X).shape == (60, 3)


@pytest.mark.parametrize(
    ("estimator", "data"),
    [
        (LogisticRegression(), MATRIX),
        (make_pipeline(StandardScaler(), LogisticRegression()), MATRIX),
        (make_pipeline(ModalityScaler(), LateFusionClassifier()), X),
        (GridSearchCV(LogisticRegression(), {}, cv=2), MATRIX),
        (GaussianNB(), containers(BLOCKS)["frame"][0]),
    ],
)
@pytest.mark.parametrize("initial", [Last(), last_rows])
def test_the_strategy_takes_over_with_the_first_model(estimator, data, initial):
    learner = ActiveLearner(clone(estimator), MarginSampling(), initial=initial)
    take = (lambda rows: data.iloc[rows]) if isinstance(data, pd.DataFrame) else (lambda rows: data[rows])
    rows, instances = learner.query(take(slice(0, 50)), 9)
    assert rows.tolist() == list(range(41, 50))
    learner.teach(instances, Y[rows])
    fitted = clone(estimator).fit(take(rows), Y[rows])
    expected = MarginSampling().query(fitted, take(slice(0, 40)), 4)
    np.testing.assert_array_equal(learner.query(take(slice(0, 40)), 4)[0], expected)
    learner.undo()
    assert learner.query(take(slice(0, 50)), 2)[0].tolist() == [48, 49]


def test_texts():
    texts = ["good film", "bad film", "awful plot", "great cast", "poor sound", "nice music"]
    learner = ActiveLearner(make_pipeline(TfidfVectorizer(), LogisticRegression()), "margin", initial=last_rows)
    instances = learner.query(texts, 2)[1]
    assert instances == texts[4:]
    learner.teach(instances, ["bad", "good"])
    assert learner.query(texts[:4])[0].shape == (1,)


def test_on_transformed():
    seen = []

    def spy(learner, X_pool, n_instances=1):
        seen.append(float(np.std(X_pool)))
        return np.arange(n_instances)

    learner = ActiveLearner(make_pipeline(StandardScaler(), LogisticRegression()), "margin", on_transformed=True, initial=spy)
    learner.query(MATRIX * 1000)
    assert seen[0] < 10


@pytest.mark.parametrize("strategy", ["margin", "bmmal", "badge", None, MarginSampling()])
def test_without_one_the_error_names_the_way_out(strategy):
    learner = ActiveLearner(LateFusionClassifier(), strategy)
    with pytest.raises(NotFittedError, match=r"LateFusionClassifier is not fitted yet.*\(initial= takes a strategy that chooses until then"):
        learner.query(X)


def test_errors_of_the_initial_strategy_are_its_own():
    with pytest.raises(NotFittedError, match="LateFusionClassifier is not fitted yet") as caught:
        ActiveLearner(LateFusionClassifier(), "bmmal", initial="margin").query(X)
    assert "initial=" not in str(caught.value)
    for initial, error, match in (
        ("best", ValueError, "unknown strategy 'best'"),
        ("marginn", ValueError, "Did you mean 'margin'"),
        (7, TypeError, "initial must be a strategy, a name or a callable, got 7"),
        (MarginSampling, TypeError, r"initial is the class MarginSampling; give an object, MarginSampling\(\)"),
    ):
        with pytest.raises(error, match=match):
            ActiveLearner(LateFusionClassifier(), "bmmal", initial=initial).query(X)


def test_a_model_that_came_trained_needs_no_start():
    came = LateFusionClassifier().fit(X[:30], Y[:30])
    rows, _ = ActiveLearner(came, "margin", initial=last_rows).query(X[30:], 5)
    np.testing.assert_array_equal(rows, MarginSampling().query(came, X[30:], 5))


def test_added_rows_are_no_model():
    learner = ActiveLearner(LogisticRegression(), "margin", initial=last_rows)
    learner.add(MATRIX[:9], Y[:9])
    assert learner.query(MATRIX[9:])[0].tolist() == [50]
    expected = MarginSampling().query(learner.fit().estimator, MATRIX[9:], 1)
    np.testing.assert_array_equal(learner.query(MATRIX[9:])[0], expected)


def test_it_is_a_parameter():
    learner = ActiveLearner(LogisticRegression(), "margin", initial=Last())
    assert isinstance(clone(learner).initial, Last)
    assert clone(learner).initial is not learner.initial
    learner.set_params(initial="margin")
    assert learner.get_params()["initial"] == "margin"
    with pytest.raises(TypeError, match="did you mean initial?"):
        ActiveLearner(LogisticRegression(), initiall="random")


# ---------------------------------------------------------------------------------------------- labels of one class


@pytest.mark.parametrize("estimator", [LogisticRegression(), SVC(), make_pipeline(StandardScaler(), LogisticRegression())])
@pytest.mark.parametrize("labels", [np.zeros, lambda n: np.full(n, "cat"), lambda n: pd.Series(["cat"] * n)])
def test_rows_of_one_class_wait_for_another(estimator, labels):
    learner = ActiveLearner(clone(estimator), "margin", initial=last_rows)
    learner.teach(MATRIX[:4], labels(4))
    learner.teach(MATRIX[4:6], labels(2))
    assert len(learner.X_training) == 6
    assert not hasattr(learner, "classes_")
    with pytest.raises(NotFittedError):
        check_is_fitted(learner)
    with pytest.raises(NotFittedError, match="where all have the same label, teach rows of another class first"):
        learner.predict(MATRIX)
    assert learner.query(MATRIX[6:], 2)[0].tolist() == [52, 53]
    other = np.ones(3) if labels is np.zeros else np.full(3, "dog")
    learner.teach(MATRIX[6:9], other)
    y = np.concatenate([np.asarray(labels(6)), other])
    np.testing.assert_array_equal(learner.predict(MATRIX), clone(estimator).fit(MATRIX[:9], y).predict(MATRIX))
    for n_rows in (6, 4):  # no model again
        learner.undo()
        assert len(learner.y_training) == n_rows
        assert learner.query(MATRIX[6:])[0].tolist() == [53]


def test_so_do_those_given_at_first():
    learner = ActiveLearner(LogisticRegression(), "margin", MATRIX[:3], [0, 0, 0], initial=last_rows)
    assert learner.query(MATRIX)[0].tolist() == [59]
    copy = clone(learner)
    assert copy.query(MATRIX)[0].tolist() == [59]
    for each in (learner, copy):
        each.teach(MATRIX[3:6], [1, 1, 0])
        assert each.predict(MATRIX).shape == (60,)


@pytest.mark.parametrize("classes", [None, [0, 1, 2]])
def test_an_estimator_that_takes_one_class_is_fitted_but_not_asked_whom_to_choose(classes):
    """All its probabilities are one."""
    told = {} if classes is None else {"classes": classes}
    learner = ActiveLearner(LateFusionClassifier(), "margin", initial=last_rows, **told)
    learner.teach(X[:4], [1, 1, 1, 1])
    assert (learner.predict(X) == 1).all()
    assert learner.query(X, 2)[0].tolist() == [58, 59]
    assert clone(learner).query(X, 2)[0].tolist() == [58, 59]
    learner.teach(X[4:6], [0, 2])
    np.testing.assert_array_equal(learner.query(X, 2)[0], MarginSampling().query(learner.estimator, X, 2))


@pytest.mark.filterwarnings("ignore:teach.*forgotten:UserWarning")
def test_a_model_that_knows_other_classes_is_asked():
    anchored = ActiveLearner(LateFusionClassifier(warm_start="anchor").fit(X[:30], Y[:30]), "margin", initial=last_rows)
    anchored.teach(X[30:32], [1, 1])
    came = ActiveLearner(LogisticRegression().fit(MATRIX[:30], Y[:30]), "margin", initial=last_rows)
    came.teach(MATRIX[30:32], [1, 1])  # cannot be fitted: kept, and the model stays
    for learner, data in ((anchored, X), (came, MATRIX)):
        np.testing.assert_array_equal(learner.query(data, 3)[0], MarginSampling().query(learner.estimator, data, 3))


def test_nothing_else_is_put_off():
    nan = MATRIX[:4].copy()
    nan[2, 1] = np.nan
    learner = ActiveLearner(LogisticRegression(), "margin", initial=last_rows)
    for rows, labels, match in (
        (nan, [0, 1, 0, 1], "contains NaN"),
        (nan, [0, 0, 0, 0], "contains NaN"),
        (MATRIX[:4], [0, 0, 0, np.nan], "NaN"),
        (MATRIX[:4], [[0], [0], [0]], "inconsistent numbers"),
    ):
        with pytest.raises(ValueError, match=match):
            learner.teach(rows, labels)
        assert learner.X_training is None
    fusion = ActiveLearner(LateFusionClassifier(), "margin", initial=last_rows, classes=[0, 1])
    with pytest.raises(ValueError, match="label 7"):
        fusion.teach(X[:2], [7, 7])
    # who cannot be fitted for another reason says so; add() keeps the rows until it can
    folds = ActiveLearner(CalibratedClassifierCV(LogisticRegression(), cv=5), "margin", initial=last_rows)
    with pytest.raises(ValueError, match="5-fold"):
        folds.teach(MATRIX[:6], Y[:6])
    folds.add(MATRIX[:6], Y[:6])
    assert folds.query(MATRIX)[0].tolist() == [59]
    folds.teach(MATRIX[6:30], Y[6:30])
    np.testing.assert_array_equal(folds.query(MATRIX)[0], MarginSampling().query(folds.estimator, MATRIX, 1))


def test_a_fit_that_is_asked_for_is_not_put_off():
    learner = ActiveLearner(LogisticRegression(), "margin", initial=last_rows)
    learner.teach(MATRIX[:4], [0, 0, 0, 0])
    for call in (learner.fit, lambda: learner.fit(MATRIX[:2], [1, 1])):
        with pytest.raises(ValueError, match="class"):
            call()
    assert len(learner.X_training) == 4
    with pytest.raises(ValueError, match="class"):
        ActiveLearner(LogisticRegression()).teach(MATRIX[:4], [0, 0, 0, 0])


# -------------------------------------------------------------------------------------- what it is to scikit-learn


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), SVC(), LateFusionClassifier(), LateFusionClassifier({"a": 8}), make_pipeline(StandardScaler(), SVC()), GridSearchCV(GaussianNB(), {}), Ridge()],
)
def test_tags_and_methods_are_the_estimators(estimator):
    learner = ActiveLearner(estimator)
    assert get_tags(learner) == get_tags(estimator)
    assert is_classifier(learner) == is_classifier(estimator)
    assert is_regressor(learner) == is_regressor(estimator)
    learner.fit(MATRIX, Y)
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function", "score", "classes_", "n_features_in_", "feature_names_in_"):
        assert hasattr(learner, name) == hasattr(estimator, name), name
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        if hasattr(estimator, name):
            np.testing.assert_array_equal(getattr(learner, name)(MATRIX), getattr(estimator, name)(MATRIX))
    assert learner.n_features_in_ == 8


def test_what_the_estimator_lacks_is_an_attribute_error():
    learner = ActiveLearner(SVC(), None, MATRIX, Y)
    with pytest.raises(AttributeError, match="'ActiveLearner' has no attribute 'predict_proba'"):
        learner.predict_proba(MATRIX)
    assert learner.decision_function(MATRIX).shape == (60, 3)


def test_names_of_columns():
    frame, _ = containers(BLOCKS)["frame"]
    learner = ActiveLearner(LogisticRegression(), None, frame, Y)
    assert learner.feature_names_in_.tolist() == list(frame.columns)
    assert learner.classes_.tolist() == [0, 1, 2]
    assert not hasattr(ActiveLearner(LogisticRegression()), "feature_names_in_")


def test_fitted_is_what_the_estimator_is():
    check_is_fitted(ActiveLearner(LogisticRegression().fit(MATRIX, Y)))
    check_is_fitted(ActiveLearner(LogisticRegression(), None, MATRIX, Y))
    for learner in (ActiveLearner(LogisticRegression()), clone(ActiveLearner(LogisticRegression(), None, MATRIX, Y))):
        with pytest.raises(NotFittedError):
            check_is_fitted(learner)


def test_scikit_learns_tools_take_it():
    learner = ActiveLearner(LogisticRegression(), None, MATRIX[:20], Y[:20])
    by_class = np.sort(Y)  # folds are by class, as a classifier's are: otherwise a fold's class would be unknown
    assert cross_val_score(learner, MATRIX[np.argsort(Y)], by_class, cv=3).min() > 0.6
    assert cross_val_predict(learner, MATRIX, Y, method="predict_proba", cv=3).shape == (60, 3)
    for scorer in ("accuracy", "roc_auc_ovr", "neg_log_loss"):
        expected = get_scorer(scorer)(learner.estimator, MATRIX, Y)
        assert get_scorer(scorer)(learner, MATRIX, Y) == expected
        assert get_scorer(scorer)(clone(learner), MATRIX, Y) == pytest.approx(expected)


def reasons(learner):
    rows = "X_training and y_training are modAL's names for the rows taught, and parameters of its constructor"
    return {
        "check_estimators_overwrite_params": rows,
        "check_dont_overwrite_parameters": rows,
        "check_do_not_raise_errors_in_init_or_set_params": "modAL's constructor fits, and so it refuses what it cannot use",
    }


@parametrize_with_checks(
    [
        ActiveLearner(LogisticRegression()),
        ActiveLearner(LateFusionClassifier(), "margin", initial="margin"),
        ActiveLearner(make_pipeline(StandardScaler(), LogisticRegression()), random_state=0),
    ],
    expected_failed_checks=reasons,
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_the_diagram():
    big = MultimodalArray({"<image>": np.zeros((100_000, 20)), "text": np.zeros((100_000, 3))})
    learner = ActiveLearner(make_pipeline(ModalityScaler(), LateFusionClassifier()), BMMAL(), initial=Last())
    learner.add(big, np.zeros(100_000, dtype=int))
    html = learner._repr_html_()
    for name in ("ActiveLearner", "ModalityScaler", "LateFusionClassifier", "BMMAL", "sk-estimator"):
        assert name in html
    assert "<image>" not in html
    assert "Not fitted" in html
    assert len(html) < 200_000
    assert ">Fitted<" in ActiveLearner(LogisticRegression(), None, MATRIX, Y)._repr_html_()


# ----------------------------------------------------------------------------------------------------- near misses


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"strategy": "margin"}, "query_strategy"),
        ({"model": LogisticRegression()}, "estimator"),
        ({"X_train": MATRIX}, "X_training"),
        ({"y_labeled": Y}, "y_training"),
        ({"initial_strategy": "random"}, "initial"),
        ({"seed": 0}, "random_state"),
        ({"bootstrap": True}, "bootstrap_init"),
    ],
)
def test_names_that_others_use_for_it(given, meant):
    with pytest.raises(TypeError, match=rf"did you mean {meant}\?"):
        ActiveLearner(LogisticRegression(), **given)


def test_they_pass_where_an_estimator_may_take_them():
    class Takes(BaseEstimator):
        def fit(self, X, y, **settings):
            self.settings_ = settings
            return self

    learner = ActiveLearner(Takes(), None, MATRIX, Y, seed=3, batch_size=4)
    assert learner.estimator.settings_ == {"seed": 3, "batch_size": 4}


@pytest.mark.parametrize(
    ("given", "meant"), [("n_instance", "n_instances"), ("batch_size", "n_instances"), ("n_samples", "n_instances"), ("return_metric", "return_metrics")]
)
def test_arguments_of_a_query(given, meant):
    def of_my_own(learner, X_pool, n_instances=1):
        return np.arange(n_instances)

    for strategy, name in ((of_my_own, "of_my_own"), (MarginSampling(), "MarginSampling.query")):
        learner = ActiveLearner(LogisticRegression(), strategy, MATRIX, Y)
        hint = "" if given == "return_metric" and strategy is not of_my_own else f".*Did you mean '{meant}'"
        with pytest.raises(TypeError, match=f"{name} has no argument '{given}'; it has n_instances.*{hint}"):
            learner.query(MATRIX, **{given: 2})
    takes_all = ActiveLearner(LogisticRegression(), lambda learner, X_pool, **kwargs: [len(kwargs)], MATRIX, Y)
    assert takes_all.query(MATRIX, **{given: 2})[0] == [1]


def test_a_strategy_by_name():
    for name in ("bmmal", "BMMAL", "Margin", "least_confidence", "MarginSampling"):
        learner = ActiveLearner(LateFusionClassifier(), query_strategy=name, X_training=X[:20], y_training=Y[:20])
        assert learner.query(X[20:], n_instances=2)[0].shape == (2,)
    learner.query_strategy = "bmal"
    with pytest.raises(ValueError, match="unknown strategy 'bmal'.*Did you mean 'b.*al'"):
        learner.query(X)
    with warnings.catch_warnings(), suppress(ValueError):
        warnings.simplefilter("error")
        learner.query(X)
