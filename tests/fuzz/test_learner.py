"""The active learner over many rounds, containers and mistakes."""

import gc
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fuzz.harness import REFUSED, answer, check_indices, fuzz
from fuzz.inputs import ODD, budgets, draw_labels, features
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from skmmal import ActiveLearner, LateFusionClassifier, MultimodalArray
from skmmal.modalities._containers import n_rows_of
from skmmal.query import BMMAL, MarginSampling

STRATEGIES = ["margin", "bmmal", "random", "badge", "coreset", None, MarginSampling(), BMMAL(random_state=0), lambda learner, X: np.array([0])]


@fuzz(100)
def test_rounds(data):
    given = data.draw(features(min_rows=6, max_rows=14, defects=[], wild=False))
    n = data.draw(st.integers(2, 4))
    labels = draw_labels(data.draw, given.n, bad=False)
    y = np.asarray(labels.y)
    strategy = data.draw(st.sampled_from(STRATEGIES))
    learner = answer(
        "ActiveLearner",
        lambda: ActiveLearner(LateFusionClassifier(given.modalities), strategy, given.rows(slice(0, n)), y[:n], classes=np.unique(y)),
        valid=True,
    )
    pool, left = given.rows(slice(n, given.n)), y[n:]
    count = n
    for _ in range(2):
        wanted, good = data.draw(budgets(len(left)))
        if callable(strategy) and not hasattr(strategy, "query"):
            found = answer("ActiveLearner.query", lambda: learner.query(pool), valid=True)
            wanted = 1
        else:
            found = answer("ActiveLearner.query", lambda: learner.query(pool, wanted), valid=good)  # noqa: B023
        if found is REFUSED:
            continue
        indices, instances = found
        check_indices(np.asarray(indices), int(wanted), len(left))
        assert n_rows_of(instances) == int(wanted)
        answer("ActiveLearner.teach", lambda: learner.teach(instances, left[indices]), valid=True)  # noqa: B023
        count += int(wanted)
        assert len(learner.y_training) == n_rows_of(learner.X_training) == count
        assert np.isfinite(learner.predict_proba(given.X)).all()


@fuzz(60)
def test_lessons_taken_back(data):
    """Whatever is added, taught and taken back: the rows are the first ones, the model that of the last fit's."""
    given = data.draw(features(min_rows=8, max_rows=14, defects=[], wild=False))
    y = np.asarray(draw_labels(data.draw, given.n, bad=False).y)
    classes = np.unique(y)

    def fitted(n_rows):
        return LateFusionClassifier(given.modalities).fit(given.rows(slice(0, n_rows)), y[:n_rows], classes=classes)

    held = known = 3
    learner = ActiveLearner(LateFusionClassifier(given.modalities), "margin", given.rows(slice(0, 3)), y[:3], classes=classes)
    before = []  # rows held and rows the model knows, before each lesson
    for verb in data.draw(st.lists(st.sampled_from(["add", "teach", "undo", "undo", "fit", "refused"]), min_size=3, max_size=9)):
        lesson = slice(held, held + data.draw(st.integers(1, 3)))
        rows, labels = given.rows(lesson), y[lesson]
        if verb == "undo":
            done = answer("ActiveLearner.undo", learner.undo, valid=bool(before))
            assert (done is REFUSED) == (not before)
            held, known = before.pop() if before else (held, known)
        elif verb == "refused" and held + 3 <= given.n:
            assert answer("ActiveLearner.add", lambda: learner.add(rows, [*labels, y[0]]), valid=False) is REFUSED  # noqa: B023
        elif verb == "fit":
            answer("ActiveLearner.fit", learner.fit, valid=True)
            known = held
        elif verb in ("add", "teach") and held + 3 <= given.n:
            answer(f"ActiveLearner.{verb}", lambda: getattr(learner, verb)(rows, labels), valid=True)  # noqa: B023
            before.append((held, known))
            held = lesson.stop
            known = held if verb == "teach" else known
        assert len(learner.y_training) == n_rows_of(learner.X_training) == held
        assert list(learner.y_training) == list(y[:held])
    np.testing.assert_allclose(learner.predict_proba(given.X), fitted(known).predict_proba(given.X), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(learner.fit().predict_proba(given.X), fitted(held).predict_proba(given.X), rtol=1e-9, atol=1e-12)


@fuzz(120)
def test_wrong_teaching(data):
    given = data.draw(features(min_rows=4, defects=[], wild=False))
    labels = draw_labels(data.draw, given.n, bad=False)
    learner = ActiveLearner(LateFusionClassifier(given.modalities), "margin")
    if data.draw(st.booleans()):
        learner.fit(given.X, labels.y)
    before = None if learner.X_training is None else n_rows_of(learner.X_training)
    other = data.draw(features(max_rows=6))
    wrong = draw_labels(data.draw, other.n)
    options = {name: data.draw(st.booleans()) for name in ("bootstrap", "only_new")}
    done = answer("ActiveLearner.teach", lambda: learner.teach(other.X, wrong.y, **options))
    if done is REFUSED:  # a refused lesson leaves nothing behind
        assert before == (None if learner.X_training is None else n_rows_of(learner.X_training))
        assert before is None or len(learner.y_training) == before
    answer("ActiveLearner.query", lambda: learner.query(data.draw(st.sampled_from([other.X, given.X]))))
    answer("ActiveLearner.predict", lambda: learner.predict(other.X))


@fuzz(100)
def test_wrong_construction(data):
    given = data.draw(features())
    labels = draw_labels(data.draw, given.n)
    strategy = data.draw(st.sampled_from([*STRATEGIES, *ODD]))
    options = {
        "X_training": data.draw(st.sampled_from([None, given.X])),
        "y_training": data.draw(st.sampled_from([None, labels.y])),
        "bootstrap_init": data.draw(st.booleans()),
        "random_state": data.draw(st.sampled_from([None, 0, -1, "a"])),
    }
    learner = answer("ActiveLearner", lambda: ActiveLearner(LateFusionClassifier(given.modalities), strategy, **options))
    if learner is not REFUSED:
        answer("ActiveLearner.query", lambda: learner.query(given.X))


@fuzz(60)
def test_plain_containers(data):
    n = data.draw(st.integers(6, 10))
    X = np.random.default_rng(data.draw(st.integers(0, 99))).standard_normal((n, 3))
    y = np.arange(n) % 2
    kinds = [sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix, sparse.csr_array, torch.as_tensor, pd.DataFrame, np.ndarray.tolist, np.asfortranarray]
    X = data.draw(st.sampled_from(kinds))(X)
    # frames of another index, lists, ... are stacked row by row
    learner = answer("ActiveLearner", lambda: ActiveLearner(LogisticRegression(), "margin", _rows(X, 0, 4), y[:4]), valid=True)
    pool = _rows(X, 4, n)
    indices, instances = answer("ActiveLearner.query", lambda: learner.query(pool, 2), valid=True)
    check_indices(np.asarray(indices), 2, n - 4)
    answer("ActiveLearner.teach", lambda: learner.teach(instances, y[4:][indices]), valid=True)
    assert n_rows_of(learner.X_training) == 6


def _rows(X, start, stop):
    if isinstance(X, pd.DataFrame):
        return X.iloc[start:stop]
    return X.tocsr()[start:stop] if sparse.issparse(X) else X[start:stop]


def test_500_rounds_in_flat_memory():
    rng = np.random.default_rng(0)
    n, rounds = 520, 500
    y = np.arange(n) % 3
    X = MultimodalArray({"a": rng.standard_normal((n, 2)) + y[:, None], "b": rng.standard_normal((n, 1))})
    learner = ActiveLearner(LateFusionClassifier(C=0.1, tol=1e-3), X_training=X[:3], y_training=y[:3])
    left = np.arange(3, n)
    objects, memory = [], []
    for step in range(rounds):
        learner.query_strategy = ("margin", "random", "coreset", "badge")[step % 4]
        indices, instances = learner.query(X[left])
        learner.teach(instances, y[left][indices])
        left = np.delete(left, indices)
        if step % 100 == 99:
            gc.collect()
            objects.append(len(gc.get_objects()))
            memory.append(resident_bytes())
    assert len(learner.y_training) == 3 + rounds
    assert sorted([*learner.X_training["b"][:, 0], *X[left]["b"][:, 0]]) == sorted(X["b"][:, 0])
    assert objects[-1] - objects[1] < 500  # over 300 rounds: nothing is kept per round
    assert memory[-1] - memory[1] < 20e6


def resident_bytes():
    """What the process holds; 0 where the system does not say."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 if status.exists() else 0
