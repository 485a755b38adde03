"""The oracle's batches against a loop by hand, and its place in a run."""

import numpy as np
import pandas as pd
import pytest
from experiment.interrupted import contents, kill_after

from skmmal import LateFusionClassifier
from skmmal.experiment import ExperimentResults, NoisyAnnotator, Oracle
from skmmal.experiment._problem import random_seed
from skmmal.query import MarginSampling, RandomSampling

FEW = Oracle(n_subsets=2, n_random=3, validation_size=0.2)
SMALL = {"strategies": ["margin", "random"], "n_rounds": 2, "oracle": FEW}


@pytest.fixture(scope="module")
def with_oracle(run):
    return run(**SMALL)


def by_hand(X, y, labels, first, seed, n_rounds):
    """Rows that the oracle chooses, and every batch that it was shown with its accuracy."""

    def rng(*key):
        return np.random.RandomState(random_seed("oracle", *key))

    def fitted(rows):
        return LateFusionClassifier(C=0.1).fit(X[rows], labels[rows], classes=[0, 1, 2])

    order = [row for row in rng("validation", seed).permutation(250) if row not in set(first.tolist())]
    validation = np.array(order[:50])
    chosen, shown = first, []
    for round_ in range(1, n_rounds + 1):
        model = fitted(chosen)
        pool = np.setdiff1d(np.arange(250), np.concatenate([chosen, validation]))
        batches = []
        for name in ("margin", "random"):
            for number in range(3):
                half = np.sort(rng("subset", name, seed, round_, number).choice(pool, len(pool) // 2, replace=False))
                part = half if number else pool
                drawn = random_seed("oracle", name, seed, round_, number, "random_state")
                strategy = MarginSampling() if name == "margin" else RandomSampling(drawn)
                batches.append(part[strategy.query(model, X[part], 8)])
        batches += [rng("random", seed, round_, number).choice(pool, 8, replace=False) for number in range(3)]
        values = [fitted(np.r_[chosen, batch]).score(X[validation], y[validation]) for batch in batches]
        shown.append(values)
        chosen = np.concatenate([chosen, batches[int(np.argmax(values))]])
    return chosen, shown, validation


def test_it_is_the_best_of_its_batches(with_oracle, data):
    X, y = data
    assert with_oracle.strategies == ["margin", "random", "oracle"]
    for seed in (0, 1):
        rows = with_oracle.selected.query(f"strategy == 'oracle' and seed == {seed}").sort_values(["round", "rank"])
        first = rows[rows["round"] == 0]["row"].to_numpy()
        same = with_oracle.selected.query(f"strategy == 'margin' and seed == {seed} and round == 0")["row"]
        assert first.tolist() == same.tolist()
        expected, shown, validation = by_hand(X[:250], y[:250], y[:250], first, seed, 2)
        assert rows["row"].tolist() == expected.tolist()
        assert not set(validation.tolist()) & set(expected.tolist())
        assert all(len(set(values)) > 1 for values in shown)  # there was something to choose


def test_strategies_do_not_notice_it(run, with_oracle):
    alone = run(**{**SMALL, "oracle": False}).frame
    beside = with_oracle.frame[with_oracle.frame["strategy"] != "oracle"].reset_index(drop=True)
    columns = [name for name in alone if not name.endswith("seconds")]
    pd.testing.assert_frame_equal(alone[columns], beside[columns], check_exact=True)


def test_test_rows_do_not_matter(run, with_oracle, data):
    """Whatever they are, the same rows are chosen."""
    X, y = data
    other = run(**SMALL, X_test=X[250:300], y_test=(y[250:300] + 1) % 3)
    pd.testing.assert_frame_equal(other.selected, with_oracle.selected)


def test_it_sees_what_the_annotator_will_answer(run, data):
    X, y = data
    annotator = NoisyAnnotator(0.4)
    found = run(**SMALL, annotator=annotator, seeds=1).selected
    rows = found[found["strategy"] == "oracle"].sort_values(["round", "rank"])
    labels, _ = annotator(X[:250], y[:250], random_state=random_seed("annotator", 0))
    expected, _, _ = by_hand(X[:250], y[:250], labels, rows[rows["round"] == 0]["row"].to_numpy(), 0, 2)
    assert rows["row"].tolist() == expected.tolist()


def test_stopped_and_gone_on(run, with_oracle, tmp_path):
    run(results_dir=tmp_path / "whole", **SMALL)
    kill_after(14, lambda: run(results_dir=tmp_path / "stopped", **SMALL))
    run(results_dir=tmp_path / "stopped", **SMALL)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    loaded = ExperimentResults.load(tmp_path / "whole")
    pd.testing.assert_frame_equal(loaded.selected, with_oracle.selected)
    assert loaded.config["strategies"]["oracle"] == {
        "class": "skmmal.experiment.Oracle",
        "params": {"n_random": 3, "n_subsets": 2, "validation_size": 0.2},
    }
    with pytest.raises(ValueError, match=r"n_random: 3 there, 4 now"):
        run(results_dir=tmp_path / "whole", **{**SMALL, "oracle": Oracle(n_subsets=2, n_random=4, validation_size=0.2)})


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"oracle": "yes"}, TypeError, "oracle must be True, False or an Oracle, got 'yes'"),
        ({"oracle": Oracle(n_random=-1)}, ValueError, "'n_random' parameter of Oracle"),
        ({"oracle": Oracle(validation_size=0.95)}, ValueError, "28 rows to label and 238 validation rows are more than the 250"),
        ({"strategies": {"oracle": "random"}}, ValueError, "'oracle' is the name of the curve that oracle= adds"),
    ],
)
def test_what_cannot_be_run(changes, error, match, run):
    with pytest.raises(error, match=match):
        run(**{**SMALL, **changes})
