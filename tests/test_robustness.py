"""Curves under disturbances: every disturbance against what can be computed by hand."""

import copy
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from samples import containers, make_blocks
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmmal import LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.datasets import make_multimodal_classification
from skmmal.modalities import presence_mask
from skmmal.robustness import (
    ALL,
    adversarial_curve,
    adversarial_examples,
    missing_curve,
    noise_curve,
)
from skmmal.robustness._measured import seeds_of_repeats
from skmmal.robustness._missing import lost_blocks, turns_of

COLUMNS = ["kind", "modality", "level", "repeat", "head", "accuracy", "disturbed"]


class Spy(ClassifierMixin, BaseEstimator):
    """Predicts the first class and keeps what it was asked about."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen_ = []
        return self

    def predict(self, X):
        self.seen_.append(X)
        return np.repeat(self.classes_[:1], len(X))


@pytest.fixture(scope="module")
def data():
    """Three modalities, some blocks missing."""
    blocks, y = make_blocks(150, {"a": 5, "b": 3, "c": 4}, missing=0.2, seed=1)
    return MultimodalArray(blocks), np.array(["x", "y", "z"])[y]


@pytest.fixture(scope="module")
def clf(data):
    X, y = data
    return LateFusionClassifier(C=0.1).fit(X[:80], y[:80])


@pytest.fixture(scope="module")
def deep(data):
    X, y = data
    return LateFusionClassifier(encoder_dim=6, solver="adamw", max_iter=30, learning_rate=0.01, random_state=0).fit(X, y)


def nan_where(X, name, rows):
    blocks = {other: block.copy() for other, block in X.blocks.items()}
    blocks[name][rows] = np.nan
    return MultimodalArray(blocks)


# ---------------------------------------------------------------------------------------------------- all curves


@pytest.mark.parametrize(
    ("curve", "options", "kind"),
    [
        (missing_curve, {"rates": [0, 0.5]}, "missing"),
        (noise_curve, {"levels": [0, 0.5]}, "noise"),
        (adversarial_curve, {"levels": [0, 0.5]}, "fgsm-l2"),
        (adversarial_curve, {"levels": [0, 0.5], "method": "pgd", "norm": "linf"}, "pgd-linf"),
    ],
)
def test_tables_are_tidy_and_start_at_the_clean_accuracy(clf, data, curve, options, kind):
    X, y = data
    table = curve(clf, X, y, **options)
    assert table.columns.tolist() == COLUMNS
    assert table["kind"].unique().tolist() == [kind]
    assert table["modality"].unique().tolist() == ["a", "b", "c", ALL]
    assert table["head"].unique().tolist() == ["a", "b", "c", "fused"]
    assert not table.duplicated(COLUMNS[:5]).any()
    clean = table[table["level"] == 0]
    assert (clean["disturbed"] == 0).all()
    for head, accuracy in clf.score_by_modality(X, y).items():
        assert (clean.loc[clean["head"] == head, "accuracy"] == accuracy).all()
    # a modality's own head does not see what happens to the others
    other = table[(table["modality"] == "b") & (table["head"] == "a")]
    assert other["accuracy"].nunique() == 1


def test_same_seed_same_result_whatever_else_is_asked_for(clf, data):
    X, y = data
    state = np.random.get_state()[1].copy(), torch.get_rng_state().clone()  # noqa: NPY002
    for curve in (missing_curve, noise_curve):
        whole = curve(clf, X, y, n_repeats=2, random_state=3)
        pd.testing.assert_frame_equal(whole, curve(clf, X, y, n_repeats=2, random_state=3), check_exact=True)
        part = curve(clf, X, y, modality="b", n_repeats=2, random_state=3)
        expected = whole[whole["modality"] == "b"].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, expected, check_exact=True)
        assert not whole.equals(curve(clf, X, y, n_repeats=2, random_state=4))
    assert (np.random.get_state()[1] == state[0]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state[1])


@pytest.mark.parametrize("form", ["mapping", "matrix", "matrix-columns", "frame", "multiindex"])
def test_every_container(form):
    blocks, y = make_blocks(90, missing=0.2)
    forms = containers(blocks)
    X, layout = forms["multimodal"]
    options = {"levels": [0.3], "modality": "text"}
    clf = LateFusionClassifier(C=0.1).fit(X, y)
    expected = adversarial_curve(clf, X, y, **options), noise_curve(clf, X, y, random_state=0)
    X, layout = forms[form]
    clf = LateFusionClassifier(layout, C=0.1).fit(X, y)
    pd.testing.assert_frame_equal(adversarial_curve(clf, X, y, **options), expected[0])
    pd.testing.assert_frame_equal(noise_curve(clf, X, y, random_state=0), expected[1])


def test_pipelines_and_searches(data):
    X, y = data
    pipeline = make_pipeline(ModalityScaler(), LateFusionClassifier(C=0.1)).fit(X, y)
    scaled, final = pipeline[0].transform(X), pipeline[-1]
    search = GridSearchCV(pipeline, {"latefusionclassifier__C": [0.1]}, cv=2).fit(X, y)
    for curve, options in (
        (missing_curve, {"rates": [0.7], "random_state": 0}),
        (noise_curve, {"levels": [0.7], "random_state": 0}),
        (adversarial_curve, {"levels": [0.1]}),
    ):
        expected = curve(final, scaled, y, **options)
        pd.testing.assert_frame_equal(curve(pipeline, X, y, **options), expected, check_exact=True)
        pd.testing.assert_frame_equal(curve(search, X, y, **options), expected)
    # the perturbation happens behind the scaler, whose blocks have norm 8
    shifted = adversarial_examples(pipeline, X, y, "b", epsilon=0.1)
    there = ~np.isnan(X["b"][:, 0])
    np.testing.assert_allclose(np.linalg.norm((shifted["b"] - scaled["b"])[there], axis=1), 0.8, rtol=1e-6)


def test_the_estimator_is_left_alone(clf, data):
    X, y = data
    before = copy.deepcopy(clf.module_.state_dict())
    copies = {name: block.copy() for name, block in X.blocks.items()}
    missing_curve(clf, X, y, n_repeats=1)
    noise_curve(clf, X, y, n_repeats=1)
    adversarial_curve(clf, X, y, method="pgd")
    assert all(torch.equal(value, before[name]) for name, value in clf.module_.state_dict().items())
    assert all(parameter.grad is None for parameter in clf.module_.parameters())
    for name, block in X.blocks.items():
        np.testing.assert_array_equal(block, copies[name])


# ------------------------------------------------------------------------------------------------------- missing


def test_rate_one_is_masking(clf, data):
    X, y = data
    table = missing_curve(clf, X, y, modality="b", rates=[1], n_repeats=1)
    present = presence_mask(X)
    rows = present[:, 1] & present[:, [0, 2]].any(axis=1)  # the last modality stays
    expected = clf.score_by_modality(nan_where(X, "b", rows), y)
    for head, accuracy in expected.items():
        np.testing.assert_equal(table.loc[table["head"] == head, "accuracy"].item(), accuracy)
    assert (table["disturbed"] == rows.sum() / present[:, 1].sum()).all()


@pytest.mark.parametrize(("modality", "columns"), [("c", [2]), (ALL, [0, 1, 2])])
def test_missing_rates_are_exact_and_nested(data, modality, columns):
    present = presence_mask(data[0])
    turns = [turns_of(present, seed, ["a", "b", "c"]) for seed in (0, 1)]
    lost = {rate: lost_blocks(present, turns[0], columns, rate) for rate in (0.0, 0.1, 0.4, 0.75, 1.0)}
    assert not lost[0.0].any()
    for fewer, more in pairwise(lost.values()):
        assert not (fewer & ~more).any()
    for rate, blocks in lost.items():
        assert not (blocks & ~present).any()
        assert not np.delete(blocks, columns, axis=1).any()
        left = present & ~blocks
        assert left.any(axis=1).all()
        # the rate is met, but for the last blocks of rows: those with one block left may have been spared one
        short = np.round(rate * present[:, columns].sum(axis=0) - 1e-9).sum() - blocks.sum()
        assert 0 <= short <= (left[:, columns].any(axis=1) & (left.sum(axis=1) == 1)).sum()
    if modality == ALL:
        assert ((present & ~lost[1.0]).sum(axis=1) == 1).all()
    else:
        assert (lost[1.0][:, 2] == present[:, 2] & present[:, :2].any(axis=1)).all()
    assert not np.array_equal(lost[0.4], lost_blocks(present, turns[1], columns, 0.4))


def test_missing_rates_without_absent_blocks():
    present = np.ones((200, 2), dtype=bool)
    lost = lost_blocks(present, turns_of(present, 0, ["a", "b"]), [1], 0.305)
    assert lost.sum(axis=0).tolist() == [0, 61]


def test_the_curve_is_that_of_the_rows_with_blocks_missing(clf, data):
    """Predictions are made once for what a row may have left; here, for every rate anew."""
    X, y = data
    names = list(X.blocks)
    table = missing_curve(clf, X, y, rates=[0.2, 0.6, 1.0], n_repeats=2, random_state=5)
    for repeat, seed in enumerate(seeds_of_repeats(5, 2)):
        turns = turns_of(presence_mask(X), seed, names)
        for modality in [*names, ALL]:
            columns = [0, 1, 2] if modality == ALL else [names.index(modality)]
            for rate in (0.2, 0.6, 1.0):
                lost = lost_blocks(presence_mask(X), turns, columns, rate)
                left = {n: np.where(lost[:, [m]], np.nan, X[n]) for m, n in enumerate(names)}
                expected = clf.score_by_modality(MultimodalArray(left), y)
                part = table[(table["modality"] == modality) & (table["level"] == rate) & (table["repeat"] == repeat)]
                found = part.set_index("head")
                for head, accuracy in expected.items():
                    assert found.loc[head, "accuracy"] == pytest.approx(accuracy, abs=1e-12, nan_ok=True)
                share = lost.sum() / presence_mask(X)[:, columns].sum()
                np.testing.assert_allclose(part["disturbed"], share)


def test_who_loses_a_modality_is_uniform():
    """Each block is as likely to go as any other, and which one stays in a row is fair."""
    present = np.ones((60, 2), dtype=bool)
    names = ["a", "b"]
    kept = [~lost_blocks(present, turns_of(present, seed, names), [0, 1], 1.0)[:, 0] for seed in range(400)]
    assert abs(np.mean(kept) - 0.5) < 3 * 0.5 / np.sqrt(60 * 400)
    assert np.abs(np.mean(kept, axis=0) - 0.5).max() < 4.5 * 0.5 / np.sqrt(400)


def seen_by_spy(curve, X, y, **options):
    spy = Spy().fit(X, y)
    table = curve(spy, X, y, **options)
    assert table["head"].unique().tolist() == ["fused"]
    assert (table["accuracy"] == (y == spy.classes_[0]).mean()).all()
    return spy.seen_[1:], table  # the first is the clean one


# --------------------------------------------------------------------------------------------------------- noise


def test_noise_is_gaussian_in_units_of_each_features_deviation():
    rng = np.random.default_rng(0)
    blocks = {"a": rng.normal(3, [1, 10, 0], (4000, 3)).astype(np.float32), "b": rng.normal(size=(4000, 2))}
    blocks["a"][:500] = np.nan
    X, y = MultimodalArray(blocks), np.arange(4000) % 2
    seen, table = seen_by_spy(noise_curve, X, y, modality="a", levels=[0.5, 1.0], n_repeats=1, random_state=0)
    assert (table["disturbed"] == 1).all()
    assert np.isnan(seen[0]["a"][:500]).all()
    assert seen[0]["b"] is blocks["b"]
    half, whole = (features["a"][500:].astype(np.float64) - blocks["a"][500:] for features in seen)
    np.testing.assert_allclose(whole, 2 * half, atol=1e-5)
    np.testing.assert_array_equal(half[:, 2], 0)  # a constant feature has no deviation
    deviation = blocks["a"][500:].astype(np.float64).std(axis=0)
    np.testing.assert_allclose(half[:, :2].std(axis=0), 0.5 * deviation[:2], rtol=0.05)
    assert abs(np.corrcoef(half[:, 0], half[:, 1])[0, 1]) < 0.06
    both, _ = seen_by_spy(noise_curve, X, y, modality=ALL, levels=[1.0], n_repeats=1, random_state=0)
    np.testing.assert_array_equal(both[0]["a"], seen[1]["a"])
    assert (both[0]["b"] != blocks["b"]).all()


def test_integer_blocks():
    X = MultimodalArray({"a": np.arange(20).reshape(10, 2), "b": np.arange(10).reshape(10, 1) % 3})
    y = np.arange(10) % 2
    seen, _ = seen_by_spy(noise_curve, X, y, modality="a", levels=[0.1], n_repeats=1)
    assert 0 < np.abs(seen[0]["a"] - X["a"]).max() < 5
    seen, _ = seen_by_spy(missing_curve, X, y, modality="b", rates=[1.0], n_repeats=1)
    assert np.isnan(seen[0]["b"]).all()
    clf = LateFusionClassifier().fit(X, y)
    assert adversarial_examples(clf, X, y, "a", epsilon=0.1)["a"].dtype == np.float64


def test_any_classifier_without_warnings(recwarn):
    blocks, y = make_blocks(60)
    matrix = np.hstack(list(blocks.values()))
    frame = pd.DataFrame(matrix, columns=[f"f{i}" for i in range(matrix.shape[1])])
    expected = noise_curve(LogisticRegression().fit(matrix, y), matrix, y, random_state=0)
    assert expected["modality"].unique().tolist() == ["X"]
    found = noise_curve(LogisticRegression().fit(frame, y), frame, y, random_state=0)
    pd.testing.assert_frame_equal(found, expected)
    by_block = noise_curve(LogisticRegression().fit(MultimodalArray(blocks), y), MultimodalArray(blocks), y)
    assert by_block["modality"].unique().tolist() == ["image", "text", ALL]
    assert not [warning for warning in recwarn if "feature names" in str(warning.message)]


# --------------------------------------------------------------------------------------- where the signal is lost


@pytest.fixture(scope="module")
def unique():
    """All signal is in the first modality."""
    X, y = make_multimodal_classification(
        3000, {"a": 6, "b": 6}, n_classes=3, interaction="unique", random_state=0, return_X_y=True
    )
    X = ModalityScaler().fit_transform(X)
    return LateFusionClassifier(C=0.1).fit(X[:1000], y[:1000]), X[1000:], y[1000:]


@pytest.mark.parametrize(
    ("curve", "options"),
    [
        (missing_curve, {"rates": [0, 0.25, 0.5, 0.75, 1], "n_repeats": 3, "random_state": 0}),
        (noise_curve, {"levels": [0, 0.5, 1, 2, 4], "n_repeats": 3, "random_state": 0}),
        (adversarial_curve, {"levels": [0, 0.1, 0.2, 0.3, 0.4], "method": "pgd"}),
    ],
)
def test_accuracy_falls_where_the_signal_is_disturbed(unique, curve, options):
    table = curve(*unique, **options)
    fused = table[table["head"] == "fused"].groupby(["modality", "level"])["accuracy"].mean()
    assert fused["a"].is_monotonic_decreasing
    assert fused["a"].iloc[0] - fused["a"].iloc[-1] > 0.2
    if curve is not adversarial_curve:  # the little weight on the other is enough for an adversary
        assert fused["b"].max() - fused["b"].min() < 0.05
    if curve is missing_curve:
        assert abs(fused["a"].iloc[-1] - 1 / 3) < 0.05


# --------------------------------------------------------------------------------------------------- adversarial


def probabilities(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_loss(clf, X, y):
    p = clf.predict_proba(X)
    return -np.log(p[np.arange(len(y)), np.searchsorted(clf.classes_, y)])


def by_hand(clf, X, y, name, norm, epsilon, target="fused"):
    """FGSM on a linear softmax: the gradient by x_m is (p − onehot(y)) W_m."""
    module = clf.module_
    filled = [np.nan_to_num(block) for block in X.blocks.values()]
    m = list(X.blocks).index(name)
    if target == "fused":
        W, b, x = module.head.fused.weight.detach().numpy(), module.head.fused.bias.detach().numpy(), np.hstack(filled)
        start = sum(block.shape[1] for block in filled[:m])
        own = W[:, start : start + filled[m].shape[1]]
    else:
        layer = module.head.unimodal[list(X.blocks).index(target)]
        W, b, x = layer.weight.detach().numpy(), layer.bias.detach().numpy(), filled[list(X.blocks).index(target)]
        own = W if target == name else np.zeros((len(W), filled[m].shape[1]))
    gradient = (probabilities(x @ W.T + b) - (np.asarray(y)[:, None] == clf.classes_)) @ own
    there = presence_mask(X)[:, m]
    rms = np.sqrt((filled[m][there] ** 2).sum(axis=1).mean())
    if norm == "linf":
        step = np.sign(gradient) * epsilon * rms / np.sqrt(filled[m].shape[1])
    else:
        length = np.linalg.norm(gradient, axis=1, keepdims=True)
        step = np.divide(gradient * epsilon * rms, length, out=np.zeros_like(gradient), where=length > 0)
    return np.where(there[:, None], X[name] + step, np.nan)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("target", ["fused", "b", "c"])
def test_fgsm_on_a_linear_softmax(clf, data, norm, target):
    X, y = data
    found = adversarial_examples(clf, X, y, "b", epsilon=0.3, norm=norm, target=target)
    np.testing.assert_allclose(found["b"], by_hand(clf, X, y, "b", norm, 0.3, target), rtol=1e-9, atol=1e-12)
    for name in ("a", "c"):
        assert found[name] is X[name]
    table = adversarial_curve(clf, X, y, modality="b", levels=[0.3], norm=norm, target=target)
    assert table.set_index("head")["accuracy"].to_dict() == clf.score_by_modality(found, y)


def test_all_modalities_are_shifted_at_once(clf, data):
    X, y = data
    found = adversarial_examples(clf, X, y, ALL, epsilon=0.3)
    some = adversarial_examples(clf, X, y, ["c", "a"], epsilon=0.3)
    for name in X.blocks:
        np.testing.assert_allclose(found[name], by_hand(clf, X, y, name, "l2", 0.3), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(some["c"], found["c"])
    assert some["b"] is X["b"]


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("fixture", ["clf", "deep"])
def test_pgd_stays_in_the_ball_and_never_helps(request, data, norm, fixture):
    X, y = data
    model = request.getfixturevalue(fixture)
    start = log_loss(model, X, y)
    present = presence_mask(X)
    last = start
    for n_steps in (1, 3, 10):
        found = adversarial_examples(
            model, X, y, "a", epsilon=0.7, relative=False, method="pgd", norm=norm, n_steps=n_steps, step_size=0.25
        )
        shift = (found["a"] - X["a"])[present[:, 0]]
        size = np.linalg.norm(shift, axis=1) if norm == "l2" else np.abs(shift).max(axis=1)
        assert size.max() <= 0.7 * (1 + 1e-12)
        assert np.isnan(found["a"][~present[:, 0]]).all()
        loss = log_loss(model, found, y)
        assert (loss >= start - 1e-12).all()
        assert (loss[present[:, 0]] > start[present[:, 0]]).mean() > 0.9
        np.testing.assert_allclose(loss[~present[:, 0]], start[~present[:, 0]])
        assert (loss >= last - 1e-12).all()  # more steps of the same size: the best point so far is kept
        last = loss


def test_one_step_of_pgd_is_fgsm_where_the_loss_is_convex(clf, data):
    X, y = data
    for norm in ("l2", "linf"):
        one = adversarial_examples(clf, X, y, ALL, epsilon=0.2, method="pgd", norm=norm, n_steps=1, step_size=1.0)
        fgsm = adversarial_examples(clf, X, y, ALL, epsilon=0.2, norm=norm)
        for name in X.blocks:
            np.testing.assert_allclose(one[name], fgsm[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_pgd_finds_the_worst_point_of_two_classes(norm):
    """With two classes the loss grows along one direction: the worst point of the ball is known."""
    blocks, y = make_blocks(80, {"a": 4, "b": 3})
    X, y = MultimodalArray(blocks), y % 2
    clf = LateFusionClassifier(C=0.1).fit(X, y)
    W = clf.module_.head.fused.weight.detach().numpy()[:, :4]
    along = np.where(y[:, None] == 0, W[1] - W[0], W[0] - W[1])
    unit = along / np.linalg.norm(along, axis=1, keepdims=True) if norm == "l2" else np.sign(along)
    found = adversarial_examples(clf, X, y, "a", epsilon=0.5, relative=False, method="pgd", norm=norm)
    np.testing.assert_allclose(found["a"], X["a"] + 0.5 * unit, atol=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"encoder_dim": 5},
        {"fusion": "sum", "encoder_dim": 5},
        {"fusion": "gated"},
        {"fusion": "attention"},
        {"missing": "token"},
    ],
)
def test_the_gradient_of_any_network(data, options):
    """The step's sign is that of the loss's change, by central differences."""
    X, y = data
    clf = LateFusionClassifier(**options, solver="adamw", max_iter=2, learning_rate=0.01, random_state=0).fit(X, y)
    step = 1e-6
    shifted = adversarial_examples(clf, X, y, "b", epsilon=0.5, relative=False, norm="linf")
    there = presence_mask(X)[:, 1]
    for column in range(3):
        move = np.zeros(3)
        move[column] = step
        up, down = (MultimodalArray({**X.blocks, "b": X["b"] + sign * move}) for sign in (1, -1))
        slope = (log_loss(clf, up, y) - log_loss(clf, down, y))[there] / (2 * step)
        clear = np.abs(slope) > 1e-5
        assert clear.mean() > 0.5
        np.testing.assert_allclose((shifted["b"] - X["b"])[there][clear, column], 0.5 * np.sign(slope[clear]))
    assert np.isnan(shifted["b"][~there]).all()


def test_chunks_do_not_matter(clf, data, monkeypatch):
    X, y = data
    whole = adversarial_examples(clf, X, y, ALL, epsilon=0.2, method="pgd")
    monkeypatch.setattr(
        "skmmal.robustness._attack.row_chunks", lambda n, _: (slice(start, min(start + 7, n)) for start in range(0, n, 7))
    )
    pieces = adversarial_examples(clf, X, y, ALL, epsilon=0.2, method="pgd")
    for name in X.blocks:
        np.testing.assert_allclose(pieces[name], whole[name], rtol=1e-10)


# -------------------------------------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("curve", "options", "error", "words"),
    [
        (missing_curve, {"modality": "d"}, ValueError, r"unknown modality 'd'; there are \['a', 'b', 'c'\], and 'all'"),
        (missing_curve, {"modality": ["a", "d"]}, ValueError, "unknown modality 'd'"),
        (missing_curve, {"modality": []}, ValueError, "modality is empty"),
        (missing_curve, {"modality": 3}, TypeError, "modality must be"),
        (missing_curve, {"rates": [0.5, 1.5]}, ValueError, "rates must be finite and lie between 0 and 1, got 1.5"),
        (missing_curve, {"rates": []}, ValueError, "rates must be distinct and not empty"),
        (missing_curve, {"rates": ["half"]}, TypeError, "rates must be a number, got 'half'"),
        (missing_curve, {"n_repeats": 0}, ValueError, "n_repeats must be at least 1, got 0"),
        (missing_curve, {"n_repeats": 1.5}, TypeError, "n_repeats must be an integer"),
        (noise_curve, {"levels": [-1]}, ValueError, "levels must be finite and at least 0, got -1"),
        (noise_curve, {"levels": [np.nan]}, ValueError, "levels must be finite"),
        (noise_curve, {"levels": [1, 1]}, ValueError, "levels must be distinct"),
        (adversarial_curve, {"method": "cw"}, ValueError, r"method must be one of \['fgsm', 'pgd'\], got 'cw'"),
        (adversarial_curve, {"norm": "l1"}, ValueError, r"norm must be one of \['l2', 'linf'\], got 'l1'"),
        (adversarial_curve, {"target": "d"}, ValueError, "target must be one of"),
        (adversarial_curve, {"n_steps": 0}, ValueError, "n_steps must be at least 1"),
        (adversarial_curve, {"step_size": -0.1}, ValueError, "step_size must be finite and at least 0"),
    ],
)
def test_bad_arguments(clf, data, curve, options, error, words):
    X, y = data
    with pytest.raises(error, match=words):
        curve(clf, X, y, **options)


def test_bad_data(clf, data):
    X, y = data
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        missing_curve(clf, X, y[:-1])
    with pytest.raises(ValueError, match="label unknown in row 3"):
        adversarial_curve(clf, X, np.where(np.arange(150) == 3, "unknown", y))
    with pytest.raises(ValueError, match="needs two modalities, X has only 'X'"):
        missing_curve(LogisticRegression().fit(np.eye(3), [0, 1, 2]), np.eye(3), [0, 1, 2])
    with pytest.raises(TypeError, match="LogisticRegression has no network to differentiate"):
        adversarial_curve(LogisticRegression().fit(np.eye(3), [0, 1, 2]), np.eye(3), [0, 1, 2])
    with pytest.raises(ValueError, match="modality is None"):
        adversarial_examples(clf, X, y, None, epsilon=0.1)
    with pytest.raises(ValueError, match="a modality is named 'all'"):
        noise_curve(Spy().fit(X, y), MultimodalArray({"all": np.eye(3)}), [0, 1, 2])
    with pytest.raises(ValueError, match="NotFitted|not fitted"):
        noise_curve(LateFusionClassifier(), X, y)
