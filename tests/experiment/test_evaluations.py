"""Tables of the fitted models: the same as by hand, and as safe as the rounds themselves."""

import json

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.cli import app
from skmmal.experiment import Adversarial, Evaluation, ExperimentResults, MissingRates, Noise
from skmmal.experiment._folder import RunFolder
from skmmal.experiment._problem import random_seed
from skmmal.heads import ConcatFusion
from skmmal.robustness import adversarial_curve, missing_curve, noise_curve

SOME = {
    "missing": MissingRates([0, 0.5, 1], n_repeats=2, every_round=True),
    "noise": Noise([0, 1], modality="b", n_repeats=1),
    "worst case": Adversarial("pgd", norm="linf", levels=[0.1], n_steps=3),
}
KEYS = ["strategy", "seed", "round", "n_labeled"]


def confusion(model, X, y, random_state):
    """Any function of a model: numbers, strings, booleans, NaN."""
    predicted = model.predict(X)
    table = pd.DataFrame({"actual": [f"class {label}" for label in y], "predicted": predicted, "right": predicted == y})
    counts = table.groupby(["actual", "predicted", "right"]).size().rename("count").reset_index()
    return counts.assign(share=counts["count"] / len(y), empty=np.nan, seed_used=random_state)


def test_a_run_names_what_is_ours_by_its_public_place(run):
    """Files behind public names may move; a run that goes on is the same one."""
    classifier = LateFusionClassifier(fusion=ConcatFusion)
    config = run(
        estimator=classifier, strategies=["random"], evaluations={"m": MissingRates([0])}, n_rounds=0, seeds=1
    ).config
    assert config["estimator"]["class"] == "skmmal.classifier.LateFusionClassifier"
    assert config["estimator"]["params"]["fusion"] == "skmmal.heads.ConcatFusion"
    assert config["strategies"]["random"]["class"] == "skmmal.query.RandomSampling"
    assert config["evaluations"]["m"]["class"] == "skmmal.experiment.MissingRates"
    described = run(strategies=["random"], evaluations={"m": confusion}, n_rounds=0, seeds=1).config["evaluations"]
    assert described == {"m": f"{confusion.__module__}.confusion"}


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if "timings" not in str(path.relative_to(folder))
    }


@pytest.fixture(scope="module")
def evaluated(run):
    return run(evaluations=SOME, n_rounds=2, strategies=["bmmal", "random"])


def test_tables_are_those_of_the_models(evaluated, data):
    X, y = data
    test, y_test = X[250:], y[250:]
    assert list(evaluated.evaluations) == list(SOME)
    for (strategy, seed), rows in evaluated.selected.groupby(["strategy", "seed"]):
        rows = rows.sort_values(["round", "rank"])["row"].to_numpy()
        clf = LateFusionClassifier(C=0.1).fit(X[rows], y[rows], classes=[0, 1, 2])

        def state(name, seed=seed):
            return random_seed("evaluation", name, seed)

        expected = {
            "missing": missing_curve(
                clf, test, y_test, rates=[0, 0.5, 1], n_repeats=2, random_state=state("missing")
            ),
            "noise": noise_curve(
                clf, test, y_test, levels=[0, 1], modality="b", n_repeats=1, random_state=state("noise")
            ),
            "worst case": adversarial_curve(clf, test, y_test, method="pgd", norm="linf", levels=[0.1], n_steps=3),
        }
        for name, table in evaluated.evaluations.items():
            assert table.columns[:4].tolist() == KEYS
            part = table[(table["strategy"] == strategy) & (table["seed"] == seed) & (table["round"] == 2)]
            assert (part["n_labeled"] == 12 + 2 * 8).all()
            found = part.drop(columns=KEYS).reset_index(drop=True)
            pd.testing.assert_frame_equal(found, expected[name], check_dtype=False)


def test_when_they_are_made(evaluated):
    rounds = {name: table["round"].unique().tolist() for name, table in evaluated.evaluations.items()}
    assert rounds == {"missing": [0, 1, 2], "noise": [2], "worst case": [2]}


def test_all_strategies_meet_the_same_disturbances(evaluated):
    first = evaluated.evaluations["missing"].query("round == 0").set_index(["seed", "modality", "level", "repeat", "head"])
    by_strategy = [first[first["strategy"] == name]["accuracy"] for name in ("bmmal", "random")]
    pd.testing.assert_series_equal(*by_strategy)  # round 0 is the same model for both
    assert not np.array_equal(by_strategy[0].loc[0].to_numpy(), by_strategy[0].loc[1].to_numpy(), equal_nan=True)


def test_names_are_enough_and_workers_do_not_matter(run):
    options = {"evaluations": ["missing", "fgsm"], "n_rounds": 0, "strategies": ["random"]}
    one = run(**options)
    with parallel_config("threading"):
        two = run(**options, n_jobs=2)
    assert list(one.evaluations) == ["missing", "fgsm"]
    for name, table in one.evaluations.items():
        pd.testing.assert_frame_equal(table, two.evaluations[name], check_exact=True)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("n_writes", [2, 3])
def test_stopped_and_resumed(run, tmp_path, monkeypatch, n_writes):
    options = {"evaluations": {**SOME, "confusion": confusion}, "n_rounds": 2, "strategies": ["random"]}
    whole = run(results_dir=tmp_path / "whole", **options)
    assert (tmp_path / "whole" / "evaluation-worst case.csv").is_file()
    real, written = RunFolder.write_record, []

    def write(self, *args):
        if len(written) == n_writes:
            raise Killed
        written.append(args)
        real(self, *args)

    monkeypatch.setattr(RunFolder, "write_record", write)
    with pytest.raises(Killed):
        run(results_dir=tmp_path / "stopped", **options)
    monkeypatch.setattr(RunFolder, "write_record", real)
    part = ExperimentResults.load(tmp_path / "stopped")
    assert part.evaluations["missing"]["round"].max() == n_writes - 1
    again = run(results_dir=tmp_path / "stopped", **options)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    for found in (again, ExperimentResults.load(tmp_path / "stopped")):
        assert list(found.evaluations) == list(whole.evaluations)
        for name, table in whole.evaluations.items():
            pd.testing.assert_frame_equal(found.evaluations[name], table, check_exact=True)


def test_finished_evaluations_are_not_made_again(run, tmp_path):
    calls = []

    class Counted(Evaluation):
        def __call__(self, model, X, y, random_state):
            calls.append(random_state)
            return pd.DataFrame({"n": [len(y)]})

    options = {"evaluations": {"counted": Counted(every_round=True)}, "n_rounds": 1, "strategies": ["random"]}
    run(results_dir=tmp_path, **options)
    n_calls = len(calls)
    assert n_calls == 2 * 2
    run(results_dir=tmp_path, **options)
    assert len(calls) == n_calls


def test_runs_without_any_are_as_before(run, tmp_path):
    found = run(results_dir=tmp_path, n_rounds=0, strategies=["random"])
    assert found.evaluations == {}
    assert "evaluations" not in json.loads((tmp_path / "config.json").read_text())["experiment"]
    record = json.loads((tmp_path / "units" / "random" / "seed-0" / "round-000.json").read_text())
    assert list(record) == ["sha256", "round", "selected", "metrics", "by_class"]
    with pytest.raises(ValueError, match=r"evaluations\.missing\.class: 'absent' there"):
        run(results_dir=tmp_path, n_rounds=0, strategies=["random"], evaluations=["missing"])


def test_other_settings_are_refused(run, tmp_path):
    options = {"n_rounds": 0, "strategies": ["random"], "results_dir": tmp_path}
    run(**options, evaluations={"noise": Noise([0, 1], n_repeats=1)})
    with pytest.raises(ValueError, match=r"evaluations\.noise\.params\.levels: \[0, 1\] there, \[0, 2\] now"):
        run(**options, evaluations={"noise": Noise([0, 2], n_repeats=1)})


@pytest.mark.parametrize(
    ("evaluations", "error", "words"),
    [
        (["weather"], ValueError, r"unknown name 'weather'; there are \['missing', 'noise', 'fgsm', 'pgd'\]"),
        (["noise", "noise"], ValueError, "holds 'noise' twice"),
        ([Noise()], TypeError, "a name must be a non-empty string, got Noise"),
        ({"": "noise"}, TypeError, "a name must be a non-empty string"),
        ({"a": 3}, TypeError, r"evaluations\['a'\] must be an Evaluation, a function or a name, got 3"),
        (3, TypeError, "must be a dict or a list of names, got 3"),
        ({"a": lambda *_, random_state: 3}, TypeError, r"evaluations\['a'\] returned a int, expected a DataFrame"),
        ({"a": lambda *_, random_state: pd.DataFrame({"x": []})}, ValueError, "returned an empty table"),
        ({"a": lambda *_, random_state: pd.DataFrame({"x": [None]})}, TypeError, "column 'x' holds None"),
        ({"a": lambda *_, random_state: pd.DataFrame({"seed": [1]})}, ValueError, "a name of its own, got 'seed'"),
        ({"a": lambda *_, random_state: pd.DataFrame([1])}, ValueError, "a name of its own, got 0"),
    ],
)
def test_bad_evaluations(run, evaluations, error, words):
    with pytest.raises(error, match=words):
        run(evaluations=evaluations, n_rounds=0, seeds=1, strategies=["random"])


def test_plain_classifiers(run, data):
    X, _ = data
    plain = MultimodalArray({name: np.nan_to_num(block) for name, block in X.blocks.items()})
    options = {"X": plain[:250], "X_test": plain[250:], "n_rounds": 0, "seeds": 1, "strategies": ["random"]}
    found = run(estimator=LogisticRegression(), evaluations={"noise": Noise([0, 1], n_repeats=1)}, **options)
    assert found.evaluations["noise"]["head"].unique().tolist() == ["fused"]
    clean = found.evaluations["noise"].query("level == 0")["accuracy"].unique()
    assert clean.tolist() == found.frame["accuracy"].tolist()


def test_command_line(tmp_path):
    arguments = ["simulate", "--dataset", "digits:fou,zer", "--strategies", "random", "--seeds", "1", "--n-rounds", "1"]
    arguments += ["--robustness", "missing, fgsm", "--out", str(tmp_path / "run"), "-q"]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    results = ExperimentResults.load(tmp_path / "run")
    assert list(results.evaluations) == ["missing", "fgsm"]
    clean = results.evaluations["missing"].query("level == 0 and head == 'fused'")["accuracy"].unique()
    assert clean.tolist() == results.frame["accuracy"].tail(1).tolist()
    arguments[arguments.index("missing, fgsm")] = "weather"
    found = CliRunner().invoke(app, [*arguments[:-2], str(tmp_path / "other"), "-q"])
    assert found.exit_code == 1
    assert "unknown name 'weather'" in " ".join(found.output.split())
