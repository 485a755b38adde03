"""What is drawn is what was measured."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skmmal.display import (
    ClassGainDisplay,
    ContributionDisplay,
    CriticalDifferenceDisplay,
    DominanceWeightDisplay,
    LearningCurveDisplay,
    ModalityCurveDisplay,
    PairwiseMatrixDisplay,
    SelectionGridDisplay,
)
from skmmal.display.style import strategy_styles
from skmmal.experiment import average_ranks
from skmmal.query import available_strategies


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_learning_curve(results):
    display = LearningCurveDisplay.from_results(results)
    drawn = lines(display.ax_)
    expected = results.frame.groupby(["strategy", "n_labeled"])["accuracy"]
    for name in results.strategies:
        assert drawn[name].get_xdata().tolist() == [10, 15, 20]
        np.testing.assert_allclose(drawn[name].get_ydata(), expected.mean()[name])
    band = display.ax_.collections[0].get_paths()[0].vertices  # of the first strategy
    error = expected.sem()[results.strategies[0]]
    assert band[:, 1].max() == pytest.approx((expected.mean()[results.strategies[0]] + error).max())
    assert display.ax_.get_xlabel() == "labels"
    assert display.ax_.get_ylabel() == "accuracy"
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == results.strategies


def test_given_axes_and_strategies(results):
    figure, ax = plt.subplots()
    display = LearningCurveDisplay.from_results(results, "ece", strategies=["random", "bmmal"], ax=ax, band=False)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert list(lines(ax)) == ["random", "bmmal"]
    assert not ax.collections
    _, other = plt.subplots()
    assert display.plot(ax=other) is display
    assert list(lines(other)) == ["random", "bmmal"]
    with pytest.raises(ValueError, match="'nonsense' was not run"):
        LearningCurveDisplay.from_results(results, strategies=["nonsense"])
    with pytest.raises(ValueError, match="'nonsense' was not measured"):
        LearningCurveDisplay.from_results(results, "nonsense")


@pytest.mark.parametrize(
    ("display", "columns", "titles"),
    [
        (ModalityCurveDisplay, ["accuracy", "accuracy_a", "accuracy_b"], ["fused", "a", "b"]),
        (ContributionDisplay, ["contribution_a", "contribution_b"], ["a", "b"]),
        (DominanceWeightDisplay, ["weaker_weight_a", "weaker_weight_b"], ["a dominates", "b dominates"]),
    ],
)
def test_panels(results, display, columns, titles):
    drawn = display.from_results(results)
    assert [panel.get_title() for panel in drawn.axes_] == titles
    for panel, column in zip(drawn.axes_, columns, strict=True):
        mean = results.frame.groupby(["strategy", "n_labeled"])[column].mean()
        for name in results.strategies:
            np.testing.assert_allclose(lines(panel)[name].get_ydata(), mean[name])
    _, axes = plt.subplots(1, len(columns))
    assert display.from_results(results, ax=axes).axes_ == list(axes)
    with pytest.raises(ValueError, match=f"ax must hold {len(columns)} axes, found 1"):
        display.from_results(results, ax=axes[0])


def test_panels_need_modalities(results):
    results.frame = results.frame.drop(columns=["contribution_a", "contribution_b"])
    with pytest.raises(ValueError, match="know no modalities"):
        ModalityCurveDisplay.from_results(results)


def test_pairwise_matrix(results):
    display = PairwiseMatrixDisplay.from_results(results)
    matrix = results.pairwise_matrix()
    written = {
        (round(text.get_position()[1]), round(text.get_position()[0])): float(text.get_text())
        for text in display.ax_.texts
    }
    assert matrix.loc["bmmal", "random"] == 1
    for i in range(3):
        for j in range(3):
            if i != j:
                assert written[i, j] == pytest.approx(matrix.iloc[i, j], abs=0.005)
    for j in range(3):
        if (3, j) in written:
            assert written[3, j] == pytest.approx(matrix.iloc[:, j].sum() / 2, abs=0.005)
    assert sum(row == 3 for row, _ in written) == 3
    assert [label.get_text() for label in display.ax_.get_yticklabels()][:3] == results.strategies


def test_class_gains(results):
    display = ClassGainDisplay.from_results(results)
    assert display.gains.index.tolist() == ["cat", "eel"]  # dog neither gains nor loses
    assert [bar.get_height() for bar in display.ax_.patches] == pytest.approx([30, -20])
    names, stems = zip(*lines_of_stems(display.axes_[1]), strict=True)
    assert names == ("a", "b")
    np.testing.assert_allclose(stems, [[0.0, 0.2], [0.9, 0.9]], atol=1e-12)
    assert ClassGainDisplay.from_results(results, "margin").gains["gain"].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="'badge' was not run"):
        ClassGainDisplay.from_results(results, "badge")
    with pytest.raises(ValueError, match="round 7 was not run"):
        ClassGainDisplay.from_results(results, round=7)


def lines_of_stems(ax):
    return [(c.get_label(), c.markerline.get_ydata()) for c in ax.containers if hasattr(c, "markerline")]


def test_selection_grid(results, tmp_path):
    pictures = [np.full((4, 4), row) for row in range(15)]
    display = SelectionGridDisplay.from_results(results, pictures, "margin", seed=2, n_per_round=3)
    shown = [int(panel.images[0].get_array()[0, 0]) for panel in display.axes_]
    assert shown == [5, 6, 7, 10, 11, 12]
    assert display.axes_[0].get_ylabel() == "round 1"
    path = tmp_path / "5.png"
    plt.imsave(path, np.zeros((2, 2, 3)))
    found = SelectionGridDisplay.from_results(results, lambda row: path if row == 5 else None, n_per_round=2)
    assert [bool(panel.images) for panel in found.axes_] == [True, False, False, False]
    with pytest.raises(ValueError, match="seed 9 was not run"):
        SelectionGridDisplay.from_results(results, pictures, seed=9)
    with pytest.raises(ValueError, match="'badge' was not run"):
        SelectionGridDisplay.from_results(results, pictures, "badge")


def test_critical_difference(results):
    scores = pd.DataFrame(np.random.default_rng(1).normal(size=(10, 3)), columns=list("abc"))
    scores["a"] += 5
    display = CriticalDifferenceDisplay(scores).plot()
    written = " ".join(text.get_text() for text in display.ax_.texts)
    for name, rank in average_ranks(scores).items():
        assert f"{name} ({rank:.2f})" in written or f"({rank:.2f}) {name}" in written
    # 2.343 √(3 · 4 / 60) (Demšar 2006, table 5)
    assert "critical difference 1.05" in display.ax_.get_title()
    found = CriticalDifferenceDisplay.from_results({"one": results, "two": results})
    assert found.scores.loc["one"].to_dict() == pytest.approx(results.area_under_curve()["mean"].to_dict())


def test_styles_can_be_told_apart_in_grey():
    styles = strategy_styles([*available_strategies(), *"abcdefghijkl"])
    looks = {(style["marker"], str(style["linestyle"])) for style in styles.values()}
    assert len(looks) == len(styles)
    assert styles["random"]["marker"] == ""
