"""A run that was killed ends with the same bytes; another run in the same folder is refused."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import pandas as pd
import pytest
from experiment.interrupted import contents, kill_after

from skmmal._store import sealed
from skmmal.experiment import ExperimentResults
from skmmal.query import RandomSampling

SCRIPT = """
import sys
from skmmal import LateFusionClassifier
from skmmal.datasets import make_multimodal_classification
from skmmal.experiment import run_experiment

if __name__ == "__main__":
    X, y = make_multimodal_classification(300, {"a": 6, "b": 4}, n_classes=3, random_state=0, return_X_y=True)
    run_experiment(
        LateFusionClassifier(), ["bmmal", "kmeans"], X[:200], y[:200], X_test=X[200:], y_test=y[200:],
        n_initial=10, n_instances=5, n_rounds=9, seeds=2, results_dir=sys.argv[1], n_jobs=int(sys.argv[2]),
    )
"""


@pytest.mark.parametrize("n_writes", [1, 5, 23])
def test_stopped_after_some_rounds(run, tmp_path, n_writes):
    whole = run(results_dir=tmp_path / "whole")
    kill_after(n_writes, lambda: run(results_dir=tmp_path / "stopped"))
    part = ExperimentResults.load(tmp_path / "stopped")
    assert len(part.frame) == n_writes
    (tmp_path / "stopped" / "units" / ".round-009.json.tmp-x").write_text("half")  # what a kill leaves
    again = run(results_dir=tmp_path / "stopped")
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    columns = [name for name in whole.frame if not name.endswith("seconds")]
    pd.testing.assert_frame_equal(again.frame[columns], whole.frame[columns], check_exact=True)


def test_finished_rounds_are_not_run_again(run, tmp_path, monkeypatch):
    run(results_dir=tmp_path)
    monkeypatch.setattr("skmmal.experiment._unit.evaluate", lambda *_: pytest.fail("a finished round was run again"))
    run(results_dir=tmp_path)


def test_kill_9(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def start(folder, n_jobs):
        return subprocess.Popen([sys.executable, str(script), str(folder), str(n_jobs)], start_new_session=True)

    killed = start(tmp_path / "killed", 2)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "killed").glob("units/*/*/*.json"))) < 5 and time.monotonic() < deadline:
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "results.csv").exists()
    n_done = len(list((tmp_path / "killed").glob("units/*/*/*.json")))
    assert 5 <= n_done < 2 * 2 * 10
    for folder in ("killed", "whole"):
        assert start(tmp_path / folder, 1).wait() == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


DYING = """
import os, signal, sys
from skmmal import LateFusionClassifier
from skmmal.datasets import make_multimodal_classification
from skmmal.experiment import run_experiment
from skmmal.query import RandomSampling

class Dies(RandomSampling):
    def _select(self, pool, labelled, n_instances, rng):
        if str(len(labelled)) in sys.argv[2:]:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._select(pool, labelled, n_instances, rng)

X, y = make_multimodal_classification(60, {"a": 6, "b": 4}, n_classes=3, random_state=0, return_X_y=True)
run_experiment(
    LateFusionClassifier(), {"dies": Dies()}, X[:40], y[:40], X_test=X[40:], y_test=y[40:],
    n_initial=10, n_instances=5, n_rounds=3, seeds=1, results_dir=sys.argv[1],
)
"""


def test_killed_in_a_query(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(DYING)

    def start(folder, *dies_at):
        return subprocess.run([sys.executable, str(script), str(tmp_path / folder), *dies_at]).returncode

    assert start("whole") == 0
    whole = contents(tmp_path / "whole")
    for dies_at, n_measured in (("15", 2), ("20", 3)):
        assert start("killed", dies_at) == -signal.SIGKILL
        records = {name: content for name, content in contents(tmp_path / "killed").items() if name.startswith("units")}
        assert len(records) == n_measured  # every model that was fitted, that of the query's round, too
        assert all(whole[name] == content for name, content in records.items())
    assert start("killed") == 0
    assert contents(tmp_path / "killed") == whole


def test_saved_and_loaded(run, tmp_path):
    found = run(results_dir=tmp_path, metadata={"dataset": "small"}, scoring=["neg_log_loss"])
    loaded = ExperimentResults.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.frame, found.frame, check_exact=True)
    pd.testing.assert_frame_equal(loaded.selected, found.selected)
    pd.testing.assert_frame_equal(loaded.classes, found.classes, check_exact=True)
    assert loaded.config["metadata"] == {"dataset": "small"}
    assert "fit_seconds" not in pd.read_csv(tmp_path / "results.csv")
    (tmp_path / "timings.csv").unlink()
    assert "fit_seconds" not in ExperimentResults.load(tmp_path).frame


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_instances": 9}, "n_instances: 8 there, 9 now"),
        ({"seeds": 3}, r"seeds: \[0, 1\] there, \[0, 1, 2\] now"),
        ({"strategies": ["bmmal", "random"]}, "strategies.margin.class: .* there, 'absent' now"),
        ({"initial": "kmeans"}, "initial.name: 'random' there, 'kmeans' now"),
    ],
)
def test_another_configuration_is_refused(run, tmp_path, changes, words):
    run(results_dir=tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=words):
        run(results_dir=tmp_path, **changes)
    assert contents(tmp_path) == before


def test_other_data_and_parameters_are_refused(run, data, tmp_path):
    X, y = data
    run(results_dir=tmp_path, n_rounds=0)
    other = y[:250].copy()
    other[17] = (other[17] + 1) % 3
    with pytest.raises(ValueError, match=r"data\.y: "):
        run(results_dir=tmp_path, n_rounds=0, y=other)
    with pytest.raises(ValueError, match=r"data\.X_test: "):
        run(results_dir=tmp_path, n_rounds=0, X_test=X[249:], y_test=y[249:])
    from skmmal import LateFusionClassifier

    with pytest.raises(ValueError, match=r"estimator\.params\.C: 0\.1 there, 0\.2 now"):
        run(results_dir=tmp_path, n_rounds=0, estimator=LateFusionClassifier(C=0.2))


def test_foreign_folders_are_refused(run, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(FileExistsError, match="holds other files"):
        run(results_dir=tmp_path)
    with pytest.raises(FileExistsError, match="is a file"):
        run(results_dir=tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json"):
        ExperimentResults.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="has the format None"):
        ExperimentResults.load(tmp_path)


def test_damaged_record_is_named(run, tmp_path):
    run(results_dir=tmp_path, n_rounds=1)
    file = tmp_path / "units" / "bmmal" / "seed-0" / "round-001.json"
    before = contents(tmp_path)
    file.write_text(file.read_text()[:50])
    with pytest.raises(ValueError, match=r"round-001\.json is not valid JSON"):
        run(results_dir=tmp_path, n_rounds=1)
    file.unlink()
    run(results_dir=tmp_path, n_rounds=1)
    assert contents(tmp_path) == before


def test_other_versions_warn(run, tmp_path):
    run(results_dir=tmp_path, n_rounds=0)
    config = json.loads((tmp_path / "config.json").read_text())
    config["environment"]["torch"] = "0.1"
    del config["sha256"]
    (tmp_path / "config.json").write_text(json.dumps(sealed(config)))
    with pytest.warns(UserWarning, match="the last digits may differ"):
        run(results_dir=tmp_path, n_rounds=0)


def test_any_name_is_a_folder(run, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(results_dir=tmp_path, strategies={"../BMMAL / raw": "bmmal", "nan": "random"}, n_rounds=0)
    assert sorted(path.name for path in (tmp_path / "units").iterdir()) == ["..%2FBMMAL %2F raw", "nan"]
    assert ExperimentResults.load(tmp_path).strategies == ["../BMMAL / raw", "nan"]


def finished(folder):
    from skmmal import LateFusionClassifier
    from skmmal.experiment import run_experiment

    X, y = {"a": [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]]}, [0, 1, 0, 1, 0, 1]
    return run_experiment(
        LateFusionClassifier(), "random", X, y, X_test=X, y_test=y, n_initial=2, n_instances=2, n_rounds=1, seeds=1, results_dir=folder
    )


@pytest.mark.parametrize("file", ["config.json", "units/random/seed-0/round-000.json", "results.csv", "selected.csv"])
def test_a_changed_digit_is_noticed(tmp_path, file):
    results = finished(tmp_path / "run")
    path = tmp_path / "run" / file
    text = path.read_text()
    digit = text.rindex(next(letter for letter in reversed(text) if letter in "0123456789"))
    path.write_text(text[:digit] + ("1" if text[digit] != "1" else "2") + text[digit + 1 :])
    with pytest.raises(ValueError, match="was changed since it was written"):
        finished(tmp_path / "run") if file.endswith(".json") else ExperimentResults.load(tmp_path / "run")
    if file.endswith(".csv"):  # the records are there still: the tables are written again
        pd.testing.assert_frame_equal(finished(tmp_path / "run").selected, results.selected)


def test_runs_of_the_first_version_are_read(tmp_path):
    results = finished(tmp_path / "run")
    for path in (tmp_path / "run").rglob("*.json"):
        content = json.loads(path.read_text())
        del content["sha256"]
        path.write_text(json.dumps({**content, **({"version": 1} if path.name == "config.json" else {})}))
    (tmp_path / "run" / "sha256sums.txt").unlink()
    pd.testing.assert_frame_equal(ExperimentResults.load(tmp_path / "run").frame, results.frame)
    (tmp_path / "run" / "results.csv").unlink()
    pd.testing.assert_frame_equal(finished(tmp_path / "run").frame, results.frame)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"round": ' + "9" * 5000 + "}", "[1]", "\xff"], ids=["deep", "long", "list", "bytes"])
def test_a_record_that_is_none(tmp_path, content):
    finished(tmp_path / "run")
    (tmp_path / "run" / "units/random/seed-0/round-001.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match="remove it, and its round is run again"):
        finished(tmp_path / "run")


class RunsOut(RandomSampling):
    """Raises when it is asked with so many labels, as one that runs out of memory would."""

    n_labeled = 20

    def _select(self, pool, labelled, n_instances, rng):
        if len(labelled) == self.n_labeled:
            raise MemoryError("too many")
        return super()._select(pool, labelled, n_instances, rng)


def test_a_strategy_that_raises_leaves_every_measured_round(run, tmp_path, monkeypatch):
    whole = run(strategies={"runs-out": RandomSampling()}, results_dir=tmp_path / "whole", seeds=1)
    with pytest.raises(MemoryError, match="too many"):
        run(strategies={"runs-out": RunsOut()}, results_dir=tmp_path / "raised", seeds=1)
    part = ExperimentResults.load(tmp_path / "raised").frame
    assert part["n_labeled"].tolist() == [n for n in whole.frame["n_labeled"] if n <= RunsOut.n_labeled]
    columns = [name for name in part if not name.endswith("seconds")]
    pd.testing.assert_frame_equal(part[columns], whole.frame[columns].iloc[: len(part)])
    monkeypatch.setattr("skmmal.experiment._unit.evaluate", lambda *_: pytest.fail("a measured round was run again"))
    with pytest.raises(MemoryError, match="too many"):
        run(strategies={"runs-out": RunsOut()}, results_dir=tmp_path / "raised", seeds=1)
    monkeypatch.undo()
    monkeypatch.setattr(RunsOut, "n_labeled", -1)
    again = run(strategies={"runs-out": RunsOut()}, results_dir=tmp_path / "raised", seeds=1)
    assert len(again.frame) == len(whole.frame)
