"""Robustness and training curves: what is drawn is what was measured."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from samples import make_blocks
from sklearn.base import BaseEstimator

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.display import RobustnessDisplay, TrainingCurvesDisplay
from skmmal.display._report import _robustness
from skmmal.display.page import Page
from skmmal.robustness import adversarial_curve, missing_curve


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


@pytest.fixture(scope="module")
def fitted():
    blocks, y = make_blocks(90, {"a": 4, "b": 3})
    X = MultimodalArray(blocks)
    return LateFusionClassifier(C=0.1).fit(X, y), X, y


@pytest.fixture
def evaluated(results):
    """Results with an evaluation: every strategy, seed and two of the rounds."""
    rows = []
    for s, strategy in enumerate(results.strategies):
        for seed in range(4):
            for round_ in (1, 2):
                key = {"strategy": strategy, "seed": seed, "round": round_, "n_labeled": 10 + 5 * round_}
                for modality in ("a", "b", "all"):
                    for level in (1.0, 0.0, 0.5):
                        for repeat in range(2):
                            accuracy = 0.9 - 0.1 * s - 0.3 * level + 0.01 * seed + 0.1 * repeat - 0.05 * round_
                            line = {**key, "kind": "missing", "modality": modality, "level": level, "repeat": repeat}
                            rows.append({**line, "head": "fused", "accuracy": accuracy, "disturbed": level})
                            rows.append({**line, "head": "a", "accuracy": accuracy / 2, "disturbed": level})
    results.evaluations = {"missing": pd.DataFrame(rows), "own": pd.DataFrame({"strategy": ["bmmal"], "depth": [3.0]})}
    return results


@pytest.mark.parametrize("kind", ["missing", "noise", "fgsm", "pgd"])
def test_from_estimator(fitted, kind):
    levels = {"rates" if kind == "missing" else "levels": [0.0, 0.5, 1.0]}
    drawn = {} if kind in ("fgsm", "pgd") else {"n_repeats": 3, "random_state": 0}
    display = RobustnessDisplay.from_estimator(*fitted, kind=kind, **levels, **drawn)
    titles = [panel.get_title() for panel in display.axes_]
    assert len(titles) == 3
    assert all(name in title for name, title in zip(("a", "b", "all"), titles, strict=True))
    for panel in display.axes_:
        assert list(lines(panel)) == ["a", "b", "fused"]
    assert lines(display.ax_)["fused"].get_ydata()[0] == pytest.approx(fitted[0].score(*fitted[1:]))
    assert display.ax_.get_ylabel() == "accuracy"
    plt.close(display.figure_)


def test_means_and_errors_over_repeats(fitted):
    table = missing_curve(*fitted, modality="a", rates=[0.0, 0.3, 0.6], n_repeats=4, random_state=0)
    _, ax = plt.subplots()
    display = RobustnessDisplay.from_table(table, ax=ax)
    assert display.ax_ is ax
    groups = table[table["head"] == "fused"].groupby("level")["accuracy"]
    line = lines(ax)["fused"]
    assert line.get_xdata().tolist() == [0.0, 0.3, 0.6]
    np.testing.assert_allclose(line.get_ydata(), groups.mean())
    band = ax.collections[list(lines(ax)).index("fused")].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx((groups.mean() + groups.sem()).max())
    assert ax.get_xlabel() == "missing rate"
    table = pd.concat([table, adversarial_curve(*fitted, modality="a", levels=[0.1])])
    with pytest.raises(ValueError, match=r"the table holds the kinds \['missing', 'fgsm-l2'\]"):
        RobustnessDisplay.from_table(table)
    with pytest.raises(ValueError, match="kind must be one of"):
        RobustnessDisplay.from_estimator(*fitted, kind="weather")


def test_from_results(evaluated):
    display = RobustnessDisplay.from_results(evaluated)
    assert [panel.get_title() for panel in display.axes_] == ["a missing", "b missing", "all modalities missing"]
    table = evaluated.evaluations["missing"]
    last = table[(table["round"] == 2) & (table["head"] == "fused") & (table["modality"] == "b")]
    for strategy, line in lines(display.axes_[1]).items():
        by_seed = last[last["strategy"] == strategy].groupby(["level", "seed"])["accuracy"].mean()
        assert line.get_xdata().tolist() == [0.0, 0.5, 1.0]
        np.testing.assert_allclose(line.get_ydata(), by_seed.groupby("level").mean())
    # the error is that of the seeds' means, not of the repeats
    curve = display.curves[(display.curves["strategy"] == "random") & (display.curves["modality"] == "b")]
    np.testing.assert_allclose(curve["standard_error"], np.std([0, 0.01, 0.02, 0.03], ddof=1) / 2)
    own = RobustnessDisplay.from_results(evaluated, head="a", round=1, strategies=["random"], band=False)
    assert list(lines(own.ax_)) == ["random"]
    assert own.ax_.get_ylabel() == "accuracy of a"
    assert not own.ax_.collections
    assert lines(own.ax_)["random"].get_ydata()[0] == pytest.approx((0.9 - 0.2 + 0.015 + 0.05 - 0.05) / 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "noise"}, r"evaluation 'noise' was not made; there are \['missing', 'own'\]"),
        ({"name": "own"}, "the table has no column 'kind'"),
        ({"round": 0}, r"evaluation 'missing' has no round 0; there are \[1, 2\]"),
        ({"head": "c"}, "evaluation 'missing' has no head 'c'"),
        ({"strategies": ["badge"]}, "strategy 'badge' was not run"),
    ],
)
def test_bad_arguments(evaluated, options, words):
    with pytest.raises(ValueError, match=words):
        RobustnessDisplay.from_results(evaluated, **options)


def test_the_report_shows_them(evaluated, tmp_path):
    report = Page(tmp_path, "a run")
    _robustness(report, evaluated)
    page = report.write().read_text()
    assert page.count("<svg") == 1
    assert (tmp_path / "figures" / "robustness_missing.pdf").is_file()
    table = pd.read_csv(tmp_path / "tables" / "robustness_missing.csv", index_col=[0, 1])
    assert table.loc[("all", "bmmal"), "1.0"] == pytest.approx(0.9 - 0.3 + 0.015 + 0.05 - 0.1)
    evaluated.evaluations.pop("missing")
    report = Page(tmp_path / "other", "a run")
    _robustness(report, evaluated)
    assert not report.parts


class Trained(BaseEstimator):
    """What a classifier that was trained in epochs keeps."""

    def __init__(self):
        self.loss_curve_by_head_ = {"fused": [3.0, 2.0, 1.0], "a": [3.0, 2.5, 2.0], "b": [3.5, 3.0, 2.9]}
        self.discrepancy_ = {"a": [1.0, 1.2, 1.5], "b": [1.0, 0.8, 0.7]}

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True


def test_training_curves():
    trained = Trained()
    display = TrainingCurvesDisplay.from_estimator(trained)
    loss, ratio = display.axes_
    assert {name: line.get_ydata().tolist() for name, line in lines(loss).items()} == trained.loss_curve_by_head_
    drawn = {name: line.get_ydata().tolist() for name, line in lines(ratio).items() if name in ("a", "b")}
    assert drawn == trained.discrepancy_
    assert lines(loss)["a"].get_xdata().tolist() == [1, 2, 3]
    assert lines(loss)["a"].get_color() == lines(ratio)["a"].get_color()
    trained.discrepancy_ = {"a": [1.0]}
    assert len(TrainingCurvesDisplay.from_estimator(trained).axes_) == 1


def test_training_curves_of_a_classifier(fitted):
    convex, X, y = fitted
    clf = LateFusionClassifier(solver="adamw", max_iter=4, random_state=0).fit(X, y)
    display = TrainingCurvesDisplay.from_estimator(clf)
    drawn = {name: line.get_ydata().tolist() for name, line in lines(display.ax_).items()}
    assert drawn == clf.loss_curve_by_head_
    assert set(drawn) == {"a", "b", "fused"}
    assert np.mean([values[-1] for values in drawn.values()]) == pytest.approx(clf.loss_curve_[-1], rel=1e-5)
    balanced = LateFusionClassifier(encoder_dim=4, balancing="ogm", max_iter=4, random_state=0).fit(X, y)
    ratio = TrainingCurvesDisplay.from_estimator(balanced).axes_[1]
    drawn = {name: line.get_ydata().tolist() for name, line in lines(ratio).items() if name in ("a", "b")}
    assert drawn == balanced.discrepancy_
    with pytest.raises(ValueError, match=r"only a LateFusionClassifier that was trained in epochs"):
        TrainingCurvesDisplay.from_estimator(convex)
