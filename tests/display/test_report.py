"""The report: one file that opens without a network, figures and tables beside it."""

import re

import numpy as np
import pandas as pd
import pytest

from skmmal.display import write_comparison, write_report
from skmmal.experiment._folder import RunFolder


@pytest.fixture
def saved(results, tmp_path):
    RunFolder.open(tmp_path / "run", results.config)
    results.save(tmp_path / "run")
    return tmp_path / "run"


def test_report(saved, results):
    path = write_report(saved, saved)
    page = path.read_text()
    assert path == saved / "report.html"
    # nothing is loaded from anywhere
    targets = re.findall(r"""(?:\bsrc|href)\s*=\s*["']?(#|[^"'>]+)|\burl\((#|[^)]+)""", page)
    beside = {path.relative_to(saved).as_posix() for path in saved.glob("*/*.*")}
    assert {one or other for one, other in targets if (one or other) not in beside and not one.startswith("data:image/png;base64,")} == {"#"}
    assert page.count("<script>") == 1
    assert "<link" not in page
    assert "src=" not in page
    assert len(page) < 1_000_000
    assert "made &lt;up&gt;" in page
    figures = {file.stem for file in (saved / "figures").glob("*.png")}
    assert figures == {file.stem for file in (saved / "figures").glob("*.pdf")}
    assert figures == {
        "learning_curves",
        "pairwise_matrix",
        "modality_curves",
        "contributions",
        "dominance_weights",
        "imbalance",
        "class_gains",
        "calibration",
    }
    assert page.count('<svg role="img"') == len(figures)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(ids)
    switched = " ".join(re.findall(r'data-series="([^"]+)"', page)).split()
    assert switched
    assert set(switched) <= set(ids)
    final = results.frame[results.frame["strategy"] == "bmmal"].groupby("n_labeled")["accuracy"].mean()
    n, mean = final.index[-1], final.iloc[-1]
    assert f"<title>bmmal: labels {n:.4g}, accuracy {mean:.4g}</title>" in page
    table = pd.read_csv(saved / "tables" / "pairwise_matrix.csv", index_col=0)
    pd.testing.assert_frame_equal(table, results.pairwise_matrix(), check_dtype=False)
    summary = pd.read_csv(saved / "tables" / "summary.csv", index_col="strategy")
    pd.testing.assert_frame_equal(summary, results.summary(), check_names=False, check_dtype=False)
    text = (saved / "report.txt").read_text()
    assert f"{results.summary().loc['bmmal', 'final']:.3f} ±" in text


def test_report_elsewhere_is_reproducible(saved, tmp_path):
    for name in ("one", "two"):
        write_report(saved, tmp_path / name)
    for file in (tmp_path / "one").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes(), file
    assert not (saved / "report.html").exists()


def test_report_with_pictures(saved, tmp_path):
    import matplotlib.pyplot as plt

    images = tmp_path / "images"
    images.mkdir()
    with pytest.raises(FileNotFoundError, match=r"no pool\.csv"):
        write_report(saved, saved, images=images)
    pd.DataFrame({"row": range(15), "id": [f"id{i}" for i in range(15)]}).to_csv(saved / "pool.csv", index=False)
    with pytest.raises(FileNotFoundError, match="no chosen row has a picture"):
        write_report(saved, saved, images=images)
    plt.imsave(images / "id6.png", np.zeros((2, 2, 3)))
    write_report(saved, saved, images=images)
    grid = saved / "figures" / "selected_bmmal.png"
    by_folder = grid.read_bytes()
    (images / "id6.png").rename(images / "six.png")
    write_report(saved, saved, images={"id6": images / "six.png"})
    assert grid.read_bytes() == by_folder
    with pytest.raises(FileNotFoundError, match=r"images: no chosen row has a picture there \(ids are those of pool.csv"):
        write_report(saved, saved, images={"6": images / "six.png"})


def test_report_of_one_modality_one_seed(results, tmp_path):
    frame = results.frame[results.frame["seed"] == 0].drop(columns=["contribution_b", "accuracy_b", "weaker_weight_b"])
    results.frame, results.config["seeds"] = frame, [0]
    RunFolder.open(tmp_path, results.config)
    results.save(tmp_path)
    write_report(tmp_path, tmp_path)
    assert not (tmp_path / "figures" / "pairwise_matrix.png").exists()
    assert not (tmp_path / "figures" / "contributions.png").exists()


def test_comparison(saved, results, tmp_path):
    results.config["metadata"]["dataset"] = "another"
    RunFolder.open(tmp_path / "two", results.config)
    results.save(tmp_path / "two")
    path = write_comparison([saved, tmp_path / "two"], tmp_path / "both")
    assert path.is_file()
    matrix = pd.read_csv(tmp_path / "both" / "tables" / "pairwise_matrix.csv", index_col=0)
    assert matrix.loc["bmmal", "random"] == 2
    areas = pd.read_csv(tmp_path / "both" / "tables" / "areas.csv", index_col=0)
    assert areas.index.tolist() == ["made <up>", "another"]
    assert (tmp_path / "both" / "figures" / "critical_difference.pdf").is_file()
