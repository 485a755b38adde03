"""Rows put in without a fit, and rows taken back."""

import gc
import pickle

import numpy as np
import pandas as pd
import pytest
from samples import containers, make_blocks
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skmmal import ActiveLearner, LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.heads import LinearHeads

BLOCKS, Y = make_blocks(n=90)
X = MultimodalArray(BLOCKS)
MATRIX = np.asarray(X)
CLASSES = {"classes": [0, 1, 2]}


class Counting(LogisticRegression):
    fits = 0

    def fit(self, X, y, sample_weight=None):
        type(self).fits += 1
        return super().fit(X, y, sample_weight)


# ----------------------------------------------------------------------------------------------------------- add


def test_rows_are_added_without_a_fit():
    learner = ActiveLearner(Counting(), "margin", MATRIX[:20], Y[:20])
    before, fits = learner.predict_proba(MATRIX), Counting.fits
    for rows in (slice(20, 25), slice(25, 26), slice(26, 40)):
        assert learner.add(MATRIX[rows], Y[rows]) is None
    np.testing.assert_array_equal(learner.X_training, MATRIX[:40])
    np.testing.assert_array_equal(learner.y_training, Y[:40])
    np.testing.assert_array_equal(learner.predict_proba(MATRIX), before)
    assert learner.query(MATRIX[40:], n_instances=3)[0].shape == (3,)
    assert Counting.fits == fits
    expected = LogisticRegression().fit(MATRIX[:40], Y[:40])
    assert learner.fit() is learner
    np.testing.assert_array_equal(learner.predict_proba(MATRIX), expected.predict_proba(MATRIX))
    learner.add(MATRIX[40:50], Y[40:50])
    learner.teach(MATRIX[50:60], Y[50:60])
    expected = LogisticRegression().fit(MATRIX[:60], Y[:60])
    np.testing.assert_array_equal(learner.predict_proba(MATRIX), expected.predict_proba(MATRIX))
    assert Counting.fits == fits + 2


def test_from_nothing():
    learner = ActiveLearner(LogisticRegression(), "margin")
    learner.add(MATRIX[:1], Y[:1])
    for ask in (lambda: learner.predict(MATRIX), lambda: learner.score(MATRIX, Y)):
        with pytest.raises(NotFittedError, match=r"LogisticRegression is not fitted yet: the learner holds .*fit\(\) does"):
            ask()
    with pytest.raises(NotFittedError, match=r"fit\(\) fits it on the labeled rows.*initial="):
        learner.query(MATRIX)
    learner.add(MATRIX[1:9], Y[1:9])
    np.testing.assert_array_equal(learner.fit().predict(MATRIX), LogisticRegression().fit(MATRIX[:9], Y[:9]).predict(MATRIX))


@pytest.mark.parametrize(
    "make", [np.asarray, list, sparse.csr_matrix, pd.DataFrame, lambda m: MultimodalArray({"a": m[:, :3], "b": m[:, 3:]}), lambda m: {"a": m[:, :3], "b": m[:, 3:]}]
)
def test_containers_come_back_as_they_were(make):
    estimator = LateFusionClassifier() if isinstance(make(MATRIX), dict | MultimodalArray) else LogisticRegression()
    learner = ActiveLearner(estimator, None, make(MATRIX[:20]), Y[:20])
    before = learner.predict_proba(make(MATRIX))
    learner.add(make(MATRIX[20:30]), Y[20:30])
    learner.teach(make(MATRIX[30:40]), Y[30:40])
    for n_rows in (30, 20):
        learner.undo()
        assert type(learner.X_training) is type(make(MATRIX))
        expected, found = make(MATRIX[:n_rows]), learner.X_training
        pairs = [(expected[name], found[name]) for name in "ab"] if isinstance(expected, dict | MultimodalArray) else [(expected, found)]
        for one, other in pairs:
            one, other = (each.toarray() if sparse.issparse(each) else np.asarray(each) for each in (one, other))
            np.testing.assert_array_equal(other, one)
        np.testing.assert_array_equal(learner.y_training, Y[:n_rows])
        np.testing.assert_allclose(learner.predict_proba(make(MATRIX)), before, atol=1e-12)


def test_names_of_rows_come_back():
    frame, layout = containers(BLOCKS)["frame"]
    frame.index = [f"row {i}" for i in range(90)]
    labels = pd.Series(Y, index=frame.index, name="label")
    learner = ActiveLearner(LateFusionClassifier(layout), None, frame[:20], labels[:20])
    learner.teach(frame[20:30], labels[20:30])
    learner.undo()
    pd.testing.assert_frame_equal(learner.X_training, frame[:20])
    assert learner.y_training.name == "label"
    learner.teach(frame[20:30], labels[20:30])


@pytest.mark.parametrize(
    ("rows", "labels", "error", "match"),
    [
        (MATRIX[:2], Y[:3], ValueError, "inconsistent numbers"),
        (MATRIX[:2, :1], Y[:2], ValueError, "the new rows: they have shape"),
        (MATRIX[:2], ["a", "b"], TypeError, "the new labels are text"),
        (None, Y[:2], ValueError, "X is None"),
        (MATRIX[:2], None, ValueError, "y is None"),
    ],
)
def test_a_refused_addition_changes_nothing(rows, labels, error, match):
    learner = ActiveLearner(LogisticRegression(), None, MATRIX[:20], Y[:20])
    with pytest.raises(error, match=match):
        learner.add(rows, labels)
    assert len(learner.X_training) == len(learner.y_training) == 20
    with pytest.raises(ValueError, match="nothing to undo"):
        learner.undo()


def test_fit_without_rows_needs_some():
    for arguments in ((), (None, None), (MATRIX,), (None, Y)):
        with pytest.raises(ValueError, match="is None; rows and"):
            ActiveLearner(LogisticRegression()).fit(*arguments)
    with pytest.raises(ValueError, match="y is None"):
        ActiveLearner(LogisticRegression(), None, MATRIX, Y).fit(MATRIX)


# ---------------------------------------------------------------------------------------------------------- undo


def estimators():
    return {
        "logistic regression": LogisticRegression(),
        "late fusion": LateFusionClassifier(),
        "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
        "search": GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
        "warm": LateFusionClassifier(warm_start=True),
        "anchored": LateFusionClassifier(warm_start="anchor"),
        "mini-batches": LateFusionClassifier(solver="adamw", max_iter=3, random_state=0),
        "warm mini-batches": LateFusionClassifier(encoder_dim=3, max_iter=3, warm_start=True, random_state=0),
        "generator": LateFusionClassifier(encoder_dim=3, max_iter=3, random_state=np.random.RandomState(0)),
        "new generator": LateFusionClassifier(encoder_dim=3, max_iter=3, random_state=np.random.default_rng(0)),
        "forest": RandomForestClassifier(5, random_state=np.random.RandomState(3)),
        "deep generator": make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=np.random.RandomState(1))),
        "warm scaled": make_pipeline(ModalityScaler(), LateFusionClassifier(encoder_dim=3, max_iter=3, warm_start=True, random_state=0)),
    }


def rows_for(name):
    return X if name in ("late fusion", "warm scaled") else MATRIX


@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize("name", estimators())
@pytest.mark.parametrize("start", [0, 20])
def test_the_same_lesson_again_gives_the_same_model(name, start, bootstrap):
    data = rows_for(name)
    first = (data[:start], Y[:start]) if start else (None, None)
    learner = ActiveLearner(estimators()[name], None, *first, random_state=np.random.RandomState(5))
    answers = [learner.predict_proba(data)] if start else [None]
    ends = (40, 50, 60)
    for begin, end in zip((start, *ends), ends, strict=False):
        learner.teach(data[begin:end], Y[begin:end], bootstrap=bootstrap)
        answers.append(learner.predict_proba(data))
    learner.undo()
    np.testing.assert_array_equal(learner.y_training, Y[:50])
    learner.teach(data[50:60], Y[50:60], bootstrap=bootstrap)
    np.testing.assert_array_equal(learner.predict_proba(data), answers[3])
    # and asked in between, it is the model from before
    learner.undo()
    np.testing.assert_array_equal(learner.predict_proba(data), answers[2])
    learner.teach(data[50:60], Y[50:60], bootstrap=bootstrap)
    np.testing.assert_array_equal(learner.predict_proba(data), answers[3])
    # several in a row
    for number, n_rows in ((2, 50), (1, 40)):
        learner.undo()
        assert len(learner.y_training) == n_rows
        np.testing.assert_array_equal(learner.predict_proba(data), answers[number])
    learner.undo()
    if start:
        np.testing.assert_array_equal(learner.predict_proba(data), answers[0])
    else:
        assert learner.X_training is None
        with pytest.raises(NotFittedError):
            learner.predict_proba(data)
    with pytest.raises(ValueError, match="nothing to undo"):
        learner.undo()
    learner.teach(data[start:40], Y[start:40], bootstrap=bootstrap)
    np.testing.assert_array_equal(learner.predict_proba(data), answers[1])


def test_the_fit_is_made_when_it_is_asked_and_once():
    learner = ActiveLearner(Counting(), "margin", MATRIX[:20], Y[:20])
    for at in (20, 30, 40):
        learner.teach(MATRIX[at : at + 10], Y[at : at + 10])
    fits = Counting.fits
    learner.undo()
    learner.undo()
    assert Counting.fits == fits
    # meanwhile nobody is told what was taken back
    assert not hasattr(learner.estimator, "coef_")
    with pytest.raises(NotFittedError):
        check_is_fitted(learner)
    assert learner.classes_.tolist() == [0, 1, 2]
    assert learner.n_features_in_ == 8
    check_is_fitted(learner)
    learner.query(MATRIX[30:])
    np.testing.assert_array_equal(learner.predict(MATRIX), LogisticRegression().fit(MATRIX[:30], Y[:30]).predict(MATRIX))
    assert Counting.fits == fits + 1


def test_an_addition_is_undone_without_a_fit():
    learner = ActiveLearner(Counting(), None, MATRIX[:20], Y[:20])
    learner.add(MATRIX[20:30], Y[20:30])
    learner.add(MATRIX[30:40], Y[30:40])
    fits, model = Counting.fits, learner.estimator.coef_
    learner.undo()
    assert len(learner.y_training) == 30
    learner.predict(MATRIX)
    assert Counting.fits == fits
    assert learner.estimator.coef_ is model


def test_the_model_is_the_one_from_before_the_lesson_not_one_on_all_rows():
    """After teach(20) and add(10), the model knows 20 rows; that is what there is again once teach(10) is undone."""
    learner = ActiveLearner(LogisticRegression())
    learner.teach(MATRIX[:20], Y[:20])
    learner.add(MATRIX[20:30], Y[20:30])
    learner.teach(MATRIX[30:40], Y[30:40])
    learner.undo()
    assert len(learner.X_training) == 30
    np.testing.assert_array_equal(learner.predict_proba(MATRIX), LogisticRegression().fit(MATRIX[:20], Y[:20]).predict_proba(MATRIX))
    learner.fit()
    learner.undo()  # of the rows, and the fit with them
    np.testing.assert_array_equal(learner.predict_proba(MATRIX), LogisticRegression().fit(MATRIX[:20], Y[:20]).predict_proba(MATRIX))
    assert len(learner.X_training) == 20


def test_arguments_of_the_fit_come_back():
    weights = np.linspace(1, 3, 30)
    learner = ActiveLearner(LogisticRegression(), None, MATRIX[:20], Y[:20])
    learner.teach(MATRIX[20:30], Y[20:30], sample_weight=weights)
    expected = learner.predict_proba(MATRIX)
    learner.teach(MATRIX[30:40], Y[30:40])
    learner.undo()
    np.testing.assert_array_equal(learner.predict_proba(MATRIX), expected)


@pytest.mark.parametrize("model", [LogisticRegression, lambda: LateFusionClassifier(warm_start="anchor"), lambda: make_pipeline(StandardScaler(), LogisticRegression())])
@pytest.mark.filterwarnings("ignore:teach.*forgotten:UserWarning")
def test_a_model_that_came_trained_is_there_again(model):
    came = model().fit(MATRIX[:60], Y[:60])
    expected = came.predict_proba(MATRIX)
    learner = ActiveLearner(came)
    learner.teach(MATRIX[60:70], Y[60:70])
    taught = learner.predict_proba(MATRIX)
    learner.teach(MATRIX[70:80], Y[70:80])
    learner.undo()
    np.testing.assert_array_equal(learner.predict_proba(MATRIX), taught)
    learner.undo()
    assert learner.X_training is None
    assert learner.estimator is came
    np.testing.assert_array_equal(learner.predict_proba(MATRIX), expected)
    learner.add(MATRIX[60:70], Y[60:70])
    learner.fit()
    np.testing.assert_array_equal(learner.predict_proba(MATRIX), taught)
    learner.undo()
    np.testing.assert_array_equal(learner.predict_proba(MATRIX), expected)


def test_what_is_frozen_stays():
    inner = LogisticRegression().fit(MATRIX, Y)
    learner = ActiveLearner(make_pipeline(StandardScaler(), FrozenEstimator(inner)), None, MATRIX[:20], Y[:20])
    expected = learner.predict_proba(MATRIX)
    learner.teach(MATRIX[20:40], Y[20:40])
    learner.undo()
    np.testing.assert_array_equal(learner.predict_proba(MATRIX), expected)


def test_an_estimator_that_is_none_of_scikit_learns():
    class Plain:
        def fit(self, X, y):
            self.classes_, counts = np.unique(y, return_counts=True)
            self.shares_ = counts / counts.sum()
            return self

        def predict_proba(self, X):
            return np.tile(self.shares_, (len(X), 1))

    learner = ActiveLearner(Plain())
    learner.teach(MATRIX[:20], Y[:20])
    first = learner.predict_proba(MATRIX)
    learner.teach(MATRIX[20:21], Y[20:21])
    learner.undo()
    np.testing.assert_array_equal(learner.predict_proba(MATRIX), first)
    learner.undo()
    assert not hasattr(learner.estimator, "classes_")


def test_what_cannot_be_copied_can_be_taught_and_undone():
    class Holding(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.file_ = open(__file__, encoding="utf-8")  # noqa: SIM115
            self.file_.close()
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.full(len(X), self.classes_[-1])

    learner = ActiveLearner(Holding().fit(MATRIX, Y))
    with pytest.warns(UserWarning, match="forgotten"):
        learner.teach(MATRIX[:2], Y[:2])
    learner.teach(MATRIX[2:4], Y[2:4])
    learner.undo()
    assert learner.predict(MATRIX[:1]) == [1]
    learner.undo()
    assert not hasattr(learner.estimator, "classes_")


def test_where_there_is_nothing_to_undo():
    made = ActiveLearner(LogisticRegression(), None, MATRIX[:20], Y[:20])
    fitted = ActiveLearner(LogisticRegression()).fit(MATRIX[:20], Y[:20])
    refitted = ActiveLearner(LogisticRegression(), None, MATRIX[:20], Y[:20])
    refitted.teach(MATRIX[20:30], Y[20:30])
    refitted.fit(MATRIX[:20], Y[:20])
    again = ActiveLearner(LogisticRegression(), None, MATRIX[:20], Y[:20]).fit()
    for learner in (ActiveLearner(LogisticRegression()), made, clone(made), fitted, refitted, again):
        held = learner.X_training
        with pytest.raises(ValueError, match="there is nothing to undo"):
            learner.undo()
        assert learner.X_training is held


def test_a_lesson_of_new_rows_only_is_a_barrier():
    learner = ActiveLearner(LateFusionClassifier(warm_start="anchor"), None, X[:30], Y[:30])
    learner.teach(X[30:35], Y[30:35])
    learner.teach(X[35:40], Y[35:40], only_new=True)
    after = learner.predict_proba(X)
    with pytest.raises(ValueError, match=r"nothing to undo: .*only_new=True"):
        learner.undo()
    learner.teach(X[40:45], Y[40:45])
    learner.undo()
    assert len(learner.X_training) == 35
    np.testing.assert_array_equal(learner.predict_proba(X), after)


def test_a_failed_lesson_leaves_nothing_to_undo():
    learner = ActiveLearner(LateFusionClassifier(), None, X[:20], Y[:20], **CLASSES)
    learner.teach(X[20:30], Y[20:30])
    before = learner.predict_proba(X)
    with pytest.raises(ValueError, match="label 7"):
        learner.teach(X[30:32], [7, 7])
    np.testing.assert_array_equal(learner.predict_proba(X), before)
    learner.undo()
    assert len(learner.X_training) == 20


def test_rows_that_were_set_from_outside():
    learner = ActiveLearner(LogisticRegression(), None, MATRIX[:20], Y[:20])
    learner.teach(MATRIX[20:30], Y[20:30])
    learner.X_training, learner.y_training = MATRIX[:5], Y[:5]
    with pytest.raises(ValueError, match="X_training was set from outside"):
        learner.undo()
    learner.X_training = learner.y_training = None
    with pytest.raises(ValueError, match="X_training was set from outside"):
        learner.undo()


def test_copies():
    learner = ActiveLearner(LogisticRegression(), None, MATRIX[:20], Y[:20])
    learner.teach(MATRIX[20:30], Y[20:30])
    learner.add(MATRIX[30:40], Y[30:40])
    copy = pickle.loads(pickle.dumps(learner))
    for n_rows in (30, 20):
        copy.undo()
        assert len(copy.X_training) == n_rows
    assert len(learner.X_training) == 40
    copy = clone(learner)  # the rows, and nothing of how they came
    np.testing.assert_array_equal(copy.predict_proba(MATRIX), LogisticRegression().fit(MATRIX[:40], Y[:40]).predict_proba(MATRIX))
    with pytest.raises(ValueError, match="nothing to undo"):
        copy.undo()
    learner.undo()
    assert len(clone(learner).X_training) == 30


@pytest.mark.parametrize(("warm_start", "copies"), [(False, 0), (True, 2)])
def test_no_models_are_kept_but_two(warm_start, copies):
    def networks():
        gc.collect()
        return sum(type(thing) is LinearHeads for thing in gc.get_objects())

    before = networks()
    learner = ActiveLearner(LateFusionClassifier(warm_start=warm_start), None, X[:10], Y[:10])
    for at in range(10, 20):
        learner.teach(X[at : at + 1], Y[at : at + 1])
    assert networks() == before + 1 + copies
    assert len(learner.X_training) == 20


@pytest.mark.parametrize("model", [LogisticRegression, lambda: make_pipeline(StandardScaler(), LogisticRegression(warm_start=True))])
def test_what_was_set_in_between_stays(model):
    learner = ActiveLearner(model(), None, MATRIX[:20], Y[:20], random_state=np.random.RandomState(0))
    learner.teach(MATRIX[20:30], Y[20:30])
    learner.query_strategy = "margin"
    name = "C" if model is LogisticRegression else "logisticregression__C"
    learner.estimator.set_params(**{name: 0.5})
    learner.undo()
    assert learner.query_strategy == "margin"
    assert learner.estimator.get_params()[name] == 0.5
    learner.fit()
    expected = clone(learner.estimator).fit(MATRIX[:20], Y[:20])
    np.testing.assert_allclose(learner.predict_proba(MATRIX), expected.predict_proba(MATRIX), atol=1e-3)
