"""Our strategies inside modAL's own ActiveLearner and Committee.

Run by .ci/run in an environment of its own: modAL needs scikit-learn below 1.8. Not collected with the other tests.
"""

import numpy as np
import pytest
from modAL.models import ActiveLearner, Committee
from samples import make_blocks
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

        def _select(self, view, n_instances, rng):
            type(self).calls += 1
            return super()._select(view, n_instances, rng)

    strategy = Counted()
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
