"""Our strategies inside modAL's own ActiveLearner and Committee.

Run by .ci/run in an environment of its own: modAL needs scikit-learn below 1.8. Not collected with the other tests.
"""

import numpy as np
import pytest
from modAL.models import ActiveLearner, Committee
from modAL.uncertainty import entropy_sampling, margin_sampling, uncertainty_sampling
from samples import QUICK, make_blocks
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import skmmal
from skmmal import LateFusionClassifier, ModalityScaler
from skmmal.query import available_strategies, get_strategy

WIDTHS = {"image": 5, "text": 3}
NAMES = available_strategies()


def data():
    blocks, y = make_blocks(n=90)
    return np.hstack(list(blocks.values())), y


def counted(name):
    """A strategy that counts how often it chooses."""
    base = type(get_strategy(name))

    class Counted(base):
        calls = 0

        def _select(self, pool, labelled, n_instances, rng):
            type(self).calls += 1
            return super()._select(pool, labelled, n_instances, rng)

    strategy = Counted(**QUICK.get(name, {}))
    return strategy.set_params(random_state=0) if "random_state" in strategy.get_params() else strategy


def estimators(name):
    found = [LateFusionClassifier(WIDTHS), make_pipeline(ModalityScaler(WIDTHS), LateFusionClassifier(WIDTHS))]
    return found if name == "bmmal" else [*found, LogisticRegression()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_instances", [1, 2, 3])
def test_active_learner(name, n_instances):
    X, y = data()
    for estimator in estimators(name):
        strategy = counted(name)
        learner = ActiveLearner(estimator, strategy, X_training=X[:15], y_training=y[:15])
        expected = skmmal.ActiveLearner(estimator, strategy, X[:15], y[:15]).query(X[15:], n_instances=n_instances)[0]
        type(strategy).calls = 0
        rows, instances = learner.query(X[15:], n_instances=n_instances)
        assert type(strategy).calls == 1
        np.testing.assert_array_equal(rows, expected)
        assert instances.shape == (n_instances, 8)
        rows, _, metrics = learner.query(X[15:], n_instances=n_instances, return_metrics=True)
        assert metrics.shape == (n_instances,)
        learner.teach(X[15:][rows], y[15:][rows])
        assert len(learner.y_training) == 15 + n_instances
        rows, _ = learner.query(X[15:], n_instances=n_instances)
        assert len(set(rows.tolist())) == n_instances


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_instances", [1, 2, 3])
def test_committee(name, n_instances):
    X, y = data()
    for estimator in estimators(name):
        from sklearn.base import clone

        members = [ActiveLearner(clone(estimator), X_training=X[i : i + 15], y_training=y[i : i + 15]) for i in (0, 15)]
        strategy = counted(name)
        committee = Committee(members, query_strategy=strategy)
        rows, instances = committee.query(X[30:], n_instances=n_instances)
        assert type(strategy).calls == 1
        assert len(set(rows.tolist())) == len(instances) == n_instances
        committee.teach(X[30:][rows], y[30:][rows])
        rows, _ = committee.query(X[30:], n_instances=n_instances)
        assert len(rows) == n_instances


@pytest.mark.parametrize("name", ["badge", "bmmal", "coreset"])
def test_a_committee_of_equals_chooses_as_one_of_them(name):
    X, y = data()
    members = [ActiveLearner(LateFusionClassifier(WIDTHS), X_training=X[:15], y_training=y[:15]) for _ in range(2)]
    one = counted(name)(members[0], X[15:], 6)[0]
    both = counted(name)(Committee(members), X[15:], 6)[0]
    np.testing.assert_array_equal(one, both)


# ---------------------------------------------------------------------- what modAL's own learners serve, we serve too

TEXTS = ["good film", "bad film", "awful plot", "great cast", "poor sound", "nice music", "dull story", "fun ride"]


class Flat(ClassifierMixin, BaseEstimator):
    """modAL's example of rows of more dimensions."""

    def fit(self, X, y):
        self.model_ = LogisticRegression().fit(X.reshape(len(X), -1), y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(X.reshape(len(X), -1))


class Mock:
    """modAL's mock estimator: no get_params, no tags, nothing but answers."""

    def __init__(self, answer, fitted=True):
        self.answer, self.fitted, self.classes_ = answer, fitted, None

    def fit(self, *args, **kwargs):
        self.fitted = True

    def predict_proba(self, *args, **kwargs):
        if not self.fitted:
            raise NotFittedError
        return self.answer


PLAIN = [name for name in NAMES if name != "bmmal"]


@pytest.mark.parametrize("make", [list, lambda texts: np.array(texts, dtype=object)])
@pytest.mark.parametrize("name", PLAIN)
def test_texts(name, make):
    learner = ActiveLearner(
        make_pipeline(TfidfVectorizer(), LogisticRegression()), counted(name), make(TEXTS[:4]), [1, 0, 0, 1]
    )
    rows, instances = learner.query(make(TEXTS[4:]), n_instances=2)
    assert len(set(rows.tolist())) == 2
    assert list(instances) == [TEXTS[4:][row] for row in rows]
    learner.teach(instances, [1, 0])
    assert len(learner.y_training) == 6


@pytest.mark.parametrize("name", PLAIN)
def test_rows_of_more_dimensions(name):
    X, y = np.random.default_rng(0).random((30, 5, 4)), np.arange(30) % 2
    learner = ActiveLearner(Flat(), counted(name), X[:10], y[:10])
    rows, instances = learner.query(X[10:], n_instances=3)
    np.testing.assert_array_equal(instances, X[10:][rows])
    learner.teach(instances, y[10:][rows])
    assert learner.X_training.shape == (13, 5, 4)


@pytest.mark.parametrize("strategy", [margin_sampling, uncertainty_sampling, entropy_sampling])
def test_modals_own_strategies_choose_what_ours_choose(strategy):
    """On a mock estimator, where modAL and we see the same probabilities."""
    answer = np.random.default_rng(0).dirichlet(np.ones(3), 12)
    X = np.zeros((12, 2))
    ours = {"margin_sampling": "margin", "uncertainty_sampling": "least-confidence", "entropy_sampling": "entropy"}
    for n_instances in (1, 3):
        theirs = ActiveLearner(Mock(answer), strategy).query(X, n_instances=n_instances)[0]
        found = ActiveLearner(Mock(answer), get_strategy(ours[strategy.__name__])).query(X, n_instances=n_instances)[0]
        assert sorted(found.tolist()) == sorted(np.atleast_1d(theirs).tolist())
        own = skmmal.ActiveLearner(Mock(answer), strategy).query(X, n_instances=n_instances)[0]
        assert sorted(own.tolist()) == sorted(found.tolist())


def test_an_unfitted_mock_estimator():
    with pytest.raises(NotFittedError):
        counted("margin")(ActiveLearner(Mock(np.ones((3, 1)), fitted=False)), np.zeros((3, 2)))
    rows, _ = counted("coreset")(ActiveLearner(Mock(np.ones((3, 1)), fitted=False)), np.eye(3), 2)
    assert len(set(rows.tolist())) == 2
