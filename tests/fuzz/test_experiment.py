"""Experiments, their statistics, what is measured of a model, and when to stop."""

import numpy as np
import pandas as pd
from fuzz.harness import REFUSED, answer, fuzz
from fuzz.inputs import ODD, draw_labels, features
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from skmmal import LateFusionClassifier, experiment, run_experiment
from skmmal.balancing import available_balancings, get_balancing
from skmmal.diagnostics import accuracy_shapley, cluster_purity, linear_probe, shapley_imbalance
from skmmal.experiment.metrics import expected_calibration_error
from skmmal.robustness import adversarial_curve, adversarial_examples, missing_curve, noise_curve
from skmmal.stopping import RoundState, as_criteria, available_criteria, get_criterion, kappa


@fuzz(50)
def test_run_experiment(data):
    draw = data.draw
    bad = draw(st.booleans())
    given = draw(features(min_rows=8, max_rows=14, wild=False, defects=None if bad else []))
    labels = draw_labels(draw, given.n, bad=bad, n_classes=2)
    other = draw(features(max_rows=6)) if bad and draw(st.booleans()) else given
    test_labels = draw_labels(draw, other.n) if bad and draw(st.booleans()) else labels
    good = {"n_initial": 3, "n_instances": 2, "n_rounds": 1, "seeds": 1}
    arguments = dict(good)
    strategies = draw(st.sampled_from(["margin", ["random", "margin"], ["bmmal"]]))
    if bad:
        name = draw(st.sampled_from([*good, "strategies", "initial", "scoring", "evaluations", "metadata", "estimator"]))
        value = draw(st.sampled_from([*ODD, 2, [1, 1], [0, 3], "margin", ["margin", "margin"], {"m": "margin"}, {"m": 3}, "accuracy", "missing", ["missing"], {"a": 1}, {3: 3}, lambda *_: 3]))
        if name == "strategies":
            strategies = value
        else:
            arguments[name] = value
    estimator = arguments.pop("estimator", LateFusionClassifier(given.modalities))
    results = answer(
        "run_experiment",
        lambda: run_experiment(estimator, strategies, given.X, labels.y, X_test=other.X, y_test=test_labels.y, **arguments),
        valid=None if bad else True,
    )
    if results is REFUSED:
        return
    assert len(results.frame) > 0
    chosen = results.selected.groupby(["strategy", "seed"])["row"]
    assert (chosen.nunique() == chosen.size()).all()
    assert results.selected["row"].between(0, given.n - 1).all()
    metric = draw(st.sampled_from(["accuracy", "nothing", None, 3]))
    answer("ExperimentResults.summary", lambda: results.summary(metric))
    answer("ExperimentResults.pairwise_matrix", lambda: results.pairwise_matrix(metric, draw(st.sampled_from([0.9, 0, 1, -1, "a", None]))))
    answer("ExperimentResults.area_under_curve", lambda: results.area_under_curve(metric))


def draw_frame(data):
    """A tidy frame of a few strategies, seeds and rounds, sometimes with holes."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    names = data.draw(st.sampled_from([["a"], ["a", "b"], ["a", "b", "c"]]))
    seeds_, rounds = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    rows = [(name, seed, r, 5 * (r + 1), rng.random()) for name in names for seed in range(seeds_) for r in range(rounds)]
    frame = pd.DataFrame(rows, columns=["strategy", "seed", "round", "n_labeled", "accuracy"])
    kind = data.draw(st.sampled_from(["whole"] * 5 + ["hole", "nan", "empty", "column", "equal", "text", "twice", "none"]))
    if kind == "hole":
        frame = frame.drop(index=int(rng.integers(len(frame))))
    elif kind == "nan":
        frame.loc[int(rng.integers(len(frame))), "accuracy"] = np.nan
    elif kind == "empty":
        frame = frame[:0]
    elif kind == "column":
        frame = frame.drop(columns=data.draw(st.sampled_from(list(frame.columns))))
    elif kind == "equal":
        frame["accuracy"] = 0.5
    elif kind == "text":
        frame["accuracy"] = "a"
    elif kind == "twice":
        frame = pd.concat([frame, frame])
    elif kind == "none":
        return data.draw(st.sampled_from(ODD))
    return frame


@fuzz(250)
def test_statistics(data):
    frame = draw_frame(data)
    odd = data.draw(st.sampled_from(["accuracy"] * 20 + ODD))
    level = data.draw(st.sampled_from([0.9] * 20 + ODD))
    calls = {
        "pairwise_matrix": lambda: experiment.pairwise_matrix(frame, odd, level),
        "area_under_curve": lambda: experiment.area_under_curve(frame, odd),
        "labels_to_reach": lambda: experiment.labels_to_reach(frame, level, odd),
        "labels_saved": lambda: experiment.labels_saved(frame, level, odd, data.draw(st.sampled_from(["a", "b", None]))),
        "compare": lambda: experiment.compare(frame, data.draw(st.sampled_from(["a", "a", *ODD])), odd, level),
        "critical_difference": lambda: experiment.critical_difference(data.draw(st.sampled_from([2, 3, *ODD])), data.draw(st.sampled_from([3, *ODD])), level),
        "average_ranks": lambda: experiment.average_ranks(scores(data)),
        "friedman": lambda: experiment.friedman(scores(data)),
    }
    name = data.draw(st.sampled_from(sorted(calls)))
    found = answer(f"experiment.{name}", calls[name], expected_warnings=(UserWarning,))
    if found is not REFUSED and name == "pairwise_matrix":
        assert np.isfinite(found.to_numpy()).all()


def scores(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    shape = data.draw(st.sampled_from([(3, 3), (1, 3), (4, 1), (2, 2), (0, 3)]))
    table = pd.DataFrame(rng.random(shape), columns=[f"s{k}" for k in range(shape[1])])
    return data.draw(st.sampled_from([table, table, table * np.nan, table * 0, table.astype(object).replace({table.iat[0, 0]: "x"}) if table.size else table, *ODD[:4]]))


@fuzz(120)
def test_measures(data):
    draw = data.draw
    confidence = draw(st.sampled_from([[0.5, 0.9], [], [1.0], [2.0], [-1.0], [np.nan], "a", None, [[0.5]], [0.5, 0.5, 0.5]]))
    correct = draw(st.sampled_from([[True, False], [], [True], [1], [2], ["a"], None, [[True]]]))
    bins = draw(st.sampled_from([32, 1, *ODD]))
    found = answer("expected_calibration_error", lambda: expected_calibration_error(confidence, correct, bins))
    if found is not REFUSED:
        assert 0 <= found <= 1
    values = draw(st.sampled_from([{"a": 0.5, "b": 0.1}, [0.1], [], "a", None, [np.nan, 1], {"a": "x"}, np.zeros((2, 2)), 3]))
    found = answer("shapley_imbalance", lambda: shapley_imbalance(values))
    if found is not REFUSED:
        assert found >= 0


def draw_model(data, linear=None):
    given = data.draw(features(min_rows=6, max_rows=10, defects=[], wild=False))
    codes = np.arange(given.n) % 2
    setting = {} if linear else data.draw(st.sampled_from([{}, {"encoder_dim": 2, "max_iter": 2}, {"fusion": "gated", "max_iter": 2}, {"fusion": "sum"}]))
    model = LateFusionClassifier(given.modalities, random_state=0, **setting)
    if answer("LateFusionClassifier.fit", lambda: model.fit(given.X, codes), valid=True) is REFUSED:
        return given, codes, None
    return given, codes, model


@fuzz(120)
def test_robustness_and_diagnostics(data):
    draw = data.draw
    given, codes, model = draw_model(data)
    if model is None:
        return
    first = next(iter(given.blocks))
    good = {
        "y": [codes],
        "modality": [None, "all", first, list(given.blocks)],
        "levels": [[0, 0.5], [0], 0.5, np.array([0.1])],
        "seed": [0, None],
        "repeats": [1, 2],
        "method": ["fgsm", "pgd"],
        "norm": ["l2", "linf"],
        "relative": [True, False],
        "target": ["fused", first],
        "n_steps": [1, 2],
        "step_size": [None, 0.1],
    }
    odd = {
        "y": [codes[:-1], None, "a", np.full(len(codes), 9), codes.astype(str)],
        "modality": [[], "nothing", 3, [3]],
        "levels": [[], [0.5, 0.5], [-1], [2.0], ["a"], None, [np.nan], True],
        "seed": [-1, "a", 1.5],
        "repeats": [0, -1, 1.5, "a", True],
        "method": ["other", None],
        "norm": ["l1", 2],
        "relative": ["a", None],
        "target": ["all", "nothing", None],
        "n_steps": [0, "a"],
        "step_size": [0, -1, np.nan, "a"],
    }
    wrong = draw(st.sampled_from([None, None, None, "model", "X", *odd]))
    drawn = {key: draw(st.sampled_from(odd[key] if key == wrong else good[key])) for key in good}
    attack = {key: drawn[key] for key in ("method", "norm", "relative", "target", "n_steps", "step_size")}
    y, modality, levels, seed, repeats = (drawn[key] for key in ("y", "modality", "levels", "seed", "repeats"))
    if wrong == "model":
        model = draw(st.sampled_from([LateFusionClassifier(), LogisticRegression(), None, 3]))
    X = draw(features()).X if wrong == "X" else given.X
    calls = {
        "missing_curve": lambda: missing_curve(model, X, y, modality=modality, rates=levels, n_repeats=repeats, random_state=seed),
        "noise_curve": lambda: noise_curve(model, X, y, modality=modality, levels=levels, n_repeats=repeats, random_state=seed),
        "adversarial_curve": lambda: adversarial_curve(model, X, y, modality=modality, levels=levels, **attack),
        "adversarial_examples": lambda: adversarial_examples(model, X, y, modality, epsilon=levels if np.ndim(levels) == 0 else 0.1, **attack),
        "accuracy_shapley": lambda: accuracy_shapley(model, X, y),
        "linear_probe": lambda: linear_probe(model, X, y, given.X, codes, C=draw(st.sampled_from([1.0, *ODD])), max_iter=draw(st.sampled_from([5, *ODD]))),
        "cluster_purity": lambda: cluster_purity(model, X, y),
    }
    name = draw(st.sampled_from(sorted(calls)))
    # a probe needs two classes among the rows of each modality; an adversary needs to be told the modality
    wants_more = name in ("linear_probe", "adversarial_examples") or (name == "missing_curve" and len(given.blocks) == 1)
    valid = True if wrong is None and not wants_more else None
    found = answer(name, calls[name], valid=valid)
    if found is REFUSED:
        return
    if isinstance(found, pd.DataFrame):
        assert found["accuracy"].dropna().between(0, 1).all()
    elif name == "adversarial_examples":
        for block in found.blocks.values():
            assert not np.isinf(block).any()


def draw_history(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    states = []
    for number in range(data.draw(st.integers(0, 6))):
        n = data.draw(st.sampled_from([0, 1, 8]))
        k = data.draw(st.integers(1, 3))
        probabilities = rng.dirichlet(np.ones(k), n)
        states.append(
            RoundState.from_probabilities(
                number,
                10 * number,
                probabilities,
                list("abc")[:k],
                validation_accuracy=data.draw(st.sampled_from([None, 0.5, 1.0, 0.0, float("nan")])),
                n_validation=data.draw(st.sampled_from([0, 10])),
                batch_accuracy=data.draw(st.sampled_from([None, 0.5])),
                n_batch=3,
            )
        )
    return data.draw(st.sampled_from([states, states, states, states[::-1], None, 3, ["a"]]))


@fuzz(250)
def test_stopping(data):
    name = data.draw(st.sampled_from(available_criteria()))
    criterion = get_criterion(name)
    if data.draw(st.booleans()):
        parameter = data.draw(st.sampled_from(sorted(criterion.get_params())))
        criterion.set_params(**{parameter: data.draw(st.sampled_from(ODD))})
    history = draw_history(data)
    found = answer(f"{type(criterion).__name__}.advise", lambda: criterion.advise(history))
    if found is not REFUSED:
        assert found.stop in (True, False, None)
        assert found.sentence.endswith(".")
    spelled = "".join(data.draw(st.sampled_from([letter.upper(), letter.lower()])) for letter in name).replace("-", data.draw(st.sampled_from(["-", "_", " ", ""])))
    assert type(answer("get_criterion", lambda: get_criterion(spelled), valid=True)) is type(criterion)
    misspelt = name[: (cut := data.draw(st.integers(1, len(name) - 1)))] + name[cut + 1 :]
    found = answer("get_criterion", lambda: get_criterion(misspelt))
    given = data.draw(st.sampled_from(["budget=3", "budget", "budget=a", "nothing", "target-accuracy=0.5", "=", "a=b=c", ["budget=2", name], *ODD]))
    answer("as_criteria", lambda: as_criteria(given))


@fuzz(80)
def test_round_states_and_kappa(data):
    probabilities = data.draw(st.sampled_from([[[0.5, 0.5]], [[1, 0], [0, 1]], [], [[0.5]], [[np.nan, 1]], [[-1, 2]], "a", None, np.zeros((0, 2))]))
    classes = data.draw(st.sampled_from([["a", "b"], ["a"], [], None, 3, [["a"]]]))
    rows = data.draw(st.sampled_from([None, {0: "x"}, {}, {9: "x"}, {-1: "x"}, {"a": 1}, [0], 3]))
    answer("RoundState.from_probabilities", lambda: RoundState.from_probabilities(1, 2, probabilities, classes, rows))
    logits = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(3, 2))
    for wrong in (logits, 1 / (1 + np.exp(-logits)), np.log(np.full((3, 2), 0.5)), 100 * np.full((3, 2), 0.5)):
        answer("RoundState.from_probabilities", lambda: RoundState.from_probabilities(1, 2, wrong, ["a", "b"]), valid=False)  # noqa: B023
    series = st.sampled_from([pd.Series(["a", "b"]), pd.Series(["a", "a"]), pd.Series([], dtype=object), pd.Series([1, 2], index=[5, 6]), None, [1, 2]])
    found = answer("kappa", lambda: kappa(data.draw(series), data.draw(series)))
    if found is not REFUSED:
        assert np.isnan(found) or -1 <= found <= 1


@fuzz(80)
def test_balancing_parameters(data):
    name = data.draw(st.sampled_from(available_balancings()))
    params = get_balancing(name).get_params()
    chosen = {}
    if params and data.draw(st.booleans()):
        chosen = {data.draw(st.sampled_from(sorted(params))): data.draw(st.sampled_from([value for value in ODD if value is not object]))}
    given = data.draw(features(min_rows=4, max_rows=8, defects=[], wild=False, containers=["multimodal"]))
    model = LateFusionClassifier(encoder_dim=2, max_iter=2, random_state=0, balancing=get_balancing(name, **chosen))
    found = answer("balancing(parameter)", lambda: model.fit(given.X, np.arange(given.n) % 2))
    if found is not REFUSED:
        assert np.isfinite(model.predict_proba(given.X)).all()
    answer("get_balancing", lambda: get_balancing(data.draw(st.one_of(st.text(max_size=4), st.sampled_from(ODD)))))
