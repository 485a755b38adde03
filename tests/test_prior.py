"""Prior probabilities: zero-shot from names, and multiplied into a classifier, against the formulas."""

import numpy as np
import pytest
from samples import make_blocks
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skmmal import ActiveLearner, LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.classifier import ZeroShotPrior
from skmmal.contributions import contributions
from skmmal.experiment import run_experiment
from skmmal.query import BADGE, BMMAL, MVOPT, CoreSet, EntropySampling, HeadDisagreement, MarginSampling, UHerding
from skmmal.reading import read
from skmmal.reading._held_out import folds


@pytest.fixture(scope="module")
def problem():
    """Blocks, some of them missing; a prior that is right more often than not, as a block; labels."""
    blocks, y = make_blocks(n=150, missing=0.2)
    rng = np.random.default_rng(0)
    prior = 0.4 * np.eye(3)[y] + 0.6 * rng.dirichlet(np.ones(3), 150)
    prior[140:] = np.nan
    return MultimodalArray(blocks), MultimodalArray({**blocks, "names": prior}), prior, y


def log_of(prior):
    return np.where(np.isnan(prior), 0.0, np.log(np.maximum(np.nan_to_num(prior, nan=1.0), 1e-12)))


# ------------------------------------------------------------------------------------------------- zero-shot


def test_zero_shot_is_the_softmax_of_cosines():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((20, 6)), rng.standard_normal((20, 4))
    a[:5], b[5:8] = np.nan, np.nan
    a[8], b[8] = np.nan, np.nan
    names_a, names_b = rng.standard_normal((3, 6)), rng.standard_normal((3, 2, 4))

    def cosine(u, v):
        return u @ v / np.linalg.norm(u) / np.linalg.norm(v)

    found = ZeroShotPrior({"a": names_a, "b": names_b}, 0.2).predict_proba({"a": a, "b": b, "c": a})
    for i in range(20):
        values = []
        if not np.isnan(a[i, 0]):
            values.append([cosine(a[i], t) for t in names_a])
        if not np.isnan(b[i, 0]):
            means = [np.mean([t / np.linalg.norm(t) for t in prompts], axis=0) for prompts in names_b]
            values.append([cosine(b[i], t) for t in means])
        expected = softmax(np.mean(values, axis=0) / 0.2) if values else np.full(3, 1 / 3)
        np.testing.assert_allclose(found[i], expected, rtol=1e-6)


def test_zero_shot_is_a_classifier():
    prior = ZeroShotPrior({"a": np.eye(3)}, 0.1, classes=["x", "y", "z"])
    X = MultimodalArray({"a": np.eye(3)[[2, 0, 1]] + 0.1})
    assert clone(prior).fit().predict(X).tolist() == ["z", "x", "y"]
    assert prior.score(X, ["z", "x", "x"]) == pytest.approx(2 / 3)
    assert len(MarginSampling().query(prior, X, 2)) == 2


@pytest.mark.parametrize(
    ("params", "X", "match"),
    [
        ({"class_embeddings": {}}, {"a": np.eye(3)}, "class_embeddings is empty"),
        ({"class_embeddings": {"a": np.eye(3)}}, {"b": np.eye(3)}, "class_embeddings has the modality 'a', and X has"),
        ({"class_embeddings": {"a": np.eye(3)}}, {"a": np.eye(4)}, "'a': X has 4 columns, class_embeddings 3"),
        ({"class_embeddings": {"a": [1.0, 2.0]}}, {"a": np.eye(2)}, r"finite, of shape \(n_classes, d\)"),
        ({"class_embeddings": {"a": np.eye(3) * np.nan}}, {"a": np.eye(3)}, "must be finite"),
        ({"class_embeddings": {"a": np.eye(3), "b": np.ones((2, 3))}}, {"a": np.eye(3)}, "different numbers of classes"),
        ({"class_embeddings": {"a": np.eye(3)}, "classes": ["x"]}, {"a": np.eye(3)}, "has 3 classes"),
        ({"class_embeddings": {"a": np.eye(3)}, "temperature": 0.0}, {"a": np.eye(3)}, "'temperature' parameter"),
    ],
)
def test_zero_shot_errors(params, X, match):
    with pytest.raises(ValueError, match=match):
        ZeroShotPrior(**params).predict_proba(X)


# ------------------------------------------------------------------------------------------------ without labels


@pytest.mark.parametrize("options", [{}, {"fusion": "sum"}, {"encoder_dim": 4, "random_state": 0}], ids=str)
def test_without_labels_it_says_what_the_prior_says(options, problem):
    _, X, prior, _ = problem
    clf = LateFusionClassifier(prior="names", **options).fit(X[:0], [], classes=["x", "y", "z"])
    expected = np.where(np.isnan(prior), 1 / 3, prior)
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-9)
    assert clf.predict(X[:140]).tolist() == [["x", "y", "z"][c] for c in prior[:140].argmax(axis=1)]
    assert clf.prior_weight_ == 1.0
    assert list(clf.modalities_) == ["image", "text"]


def test_strategies_work_from_the_first_round(problem):
    """Margins, entropies and gradients are those of the prior."""
    _, X, prior, _ = problem
    clf, pool, known = LateFusionClassifier(prior="names").fit(X[:0], [], classes=[0, 1, 2]), X[:140], prior[:140]
    order = np.sort(known, axis=1)
    np.testing.assert_array_equal(MarginSampling().query(clf, pool, 9), np.argsort(order[:, 2] - order[:, 1], kind="stable")[:9])
    np.testing.assert_array_equal(EntropySampling().query(clf, pool, 9), np.argsort((known * np.log(known)).sum(axis=1))[:9])
    residuals = known - np.eye(3)[known.argmax(axis=1)]
    features = np.hstack([np.nan_to_num(block[:140]) for block in (X["image"], X["text"])])
    expected = (residuals @ residuals.T) * (features @ features.T)
    np.testing.assert_allclose(BADGE().embedding(clf, pool).inner(), expected, atol=1e-5)
    assert len(BMMAL().embedding(clf, pool)) == 140
    for strategy in (UHerding(), MVOPT(), BMMAL(random_state=0), HeadDisagreement(random_state=0)):
        assert len(set(strategy.query(clf, pool, 9).tolist())) == 9


def test_a_learner_starts_from_the_prior(problem, recwarn):
    _, X, _, y = problem
    clf = LateFusionClassifier(prior="names").fit(X[:0], [], classes=[0, 1, 2])
    learner = ActiveLearner(clf, "margin", classes=[0, 1, 2])
    rows, instances = learner.query(X, n_instances=8)
    np.testing.assert_array_equal(rows, MarginSampling().query(clf, X, 8))
    learner.teach(instances, y[rows])
    assert not recwarn.list  # nothing was learned from rows that could be forgotten
    assert clf.prior_weight_ != 1.0
    assert learner.score(X, y) > 0.7


# ---------------------------------------------------------------------------------------------------- with labels


def over_all(logits, met, n):
    """Classes without rows get 1 / (n + K), the others share the rest."""
    share = 1 / (n + len(met))
    p = np.full(logits.shape, share)
    p[:, met] = softmax(logits[:, met], axis=1) * (1 - share * (~met).sum())
    return p


@pytest.mark.parametrize("n_labeled", [6, 40])
@pytest.mark.parametrize("classes", [[0, 1, 2], [0, 1, 2, 3]])
def test_product_of_experts(n_labeled, classes, problem):
    X, with_prior, prior, y = problem
    if len(classes) == 4:  # a class that no row has
        prior = np.hstack([0.9 * prior, 0.1 + 0.0 * prior[:, :1]])
        with_prior = MultimodalArray({**X.blocks, "names": prior})
    clf = LateFusionClassifier(C=0.1, prior="names")
    clf.fit(with_prior[:n_labeled], y[:n_labeled], classes=classes)
    plain = LateFusionClassifier(C=0.1).fit(X[:n_labeled], y[:n_labeled], classes=classes)
    met = np.isin(classes, y[:n_labeled])
    model = over_all(np.log(np.maximum(plain.predict_proba(X), 1e-300)), met, n_labeled)
    expected = softmax(np.log(model) + clf.prior_weight_ * log_of(prior), axis=1)
    np.testing.assert_allclose(clf.predict_proba(with_prior), expected, atol=1e-9)
    np.testing.assert_array_equal(clf.predict(with_prior), expected.argmax(axis=1))
    np.testing.assert_allclose(read(clf, with_prior).heads["fused"].probabilities, expected, atol=1e-9)
    for name, p in plain.predict_proba_by_modality(X).items():  # the model's own
        np.testing.assert_array_equal(clf.predict_proba_by_modality(with_prior)[name], p)
    targets = expected.argmax(axis=1)
    values = plain.shapley_values(X, targets)
    np.testing.assert_allclose(clf.shapley_values(with_prior), values, atol=1e-9)
    present = np.column_stack([~np.isnan(block[:, 0]) for block in X.blocks.values()])
    np.testing.assert_allclose(read(clf, with_prior).contributions, contributions(values, present), atol=1e-7)


def test_the_weight_is_that_of_least_loss_held_out(problem):
    X, with_prior, prior, y = problem
    y = np.where(y == 2, 0, y)  # the prior is about something else in part
    clf = LateFusionClassifier(prior="names").fit(with_prior[:40], y[:40], classes=[0, 1, 2])
    held_out = np.empty((40, 3))
    for train, test in folds(y[:40], 5, 0):
        model = LateFusionClassifier().fit(X[:40][train], y[:40][train], classes=[0, 1, 2])
        met = np.isin([0, 1, 2], y[:40][train])
        held_out[test] = np.log(over_all(np.log(np.maximum(model.predict_proba(X[:40][test]), 1e-300)), met, len(train)))

    def loss(weight):
        p = log_softmax(held_out + weight * log_of(prior[:40]), axis=1)
        return -p[np.arange(40), y[:40]].sum() + 0.5 * (weight[0] - 1) ** 2

    expected = minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}).x[0]
    assert clf.prior_weight_ == pytest.approx(expected, abs=1e-4)


def test_a_good_prior_weighs_more_than_a_misleading_one(problem):
    _, with_prior, prior, y = problem
    wrong = MultimodalArray({**with_prior.blocks, "names": prior[:, [1, 2, 0]]})
    good = LateFusionClassifier(prior="names").fit(with_prior[:60], y[:60])
    bad = LateFusionClassifier(prior="names").fit(wrong[:60], y[:60])
    assert good.prior_weight_ > 0.5
    assert bad.prior_weight_ < 0.2
    assert bad.score(wrong[60:], y[60:]) > 0.8  # it is not believed


def test_an_object_is_asked_and_its_classes_found_by_name(problem):
    X, _, prior, y = problem
    labels = np.array(["cat", "dog", "emu"])[y]

    class Oracle:
        classes_ = np.array(["emu", "cat", "fox", "dog"])

        def predict_proba(self, X):
            assert list(X.modalities) == ["image", "text"]
            known = np.nan_to_num(prior, nan=1 / 3)
            return 0.5 * np.column_stack([known[:, 2], known[:, 0], np.full(len(known), 1.0), known[:, 1]])[: len(X)]

    clf = LateFusionClassifier(prior=Oracle()).fit(X[:30], labels[:30])
    assert clf.classes_.tolist() == ["emu", "cat", "fox", "dog"]
    some = LateFusionClassifier(prior=Oracle()).fit(X[:30], labels[:30], classes=["cat", "dog", "emu"])
    block = MultimodalArray({**X.blocks, "names": np.nan_to_num(prior, nan=1 / 3)})
    same = LateFusionClassifier(prior="names").fit(block[:30], labels[:30])
    np.testing.assert_allclose(some.predict_proba(X), same.predict_proba(block), atol=1e-9)
    with pytest.raises(ValueError, match="the label yak, which is not among|yak"):
        LateFusionClassifier(prior=Oracle()).fit(X[:3], ["cat", "dog", "yak"])


@pytest.mark.parametrize("form", ["mapping", "matrix"])
def test_the_block_is_no_modality_in_any_form(form, problem):
    X, with_prior, _, y = problem
    blocks = {name: np.asarray(block) for name, block in with_prior.blocks.items()}
    reference = LateFusionClassifier(prior="names").fit(with_prior[:30], y[:30])
    if form == "mapping":
        rows, layout = (lambda part: {name: block[part] for name, block in blocks.items()}), None
    else:
        matrix = np.hstack(list(blocks.values()))
        rows, layout = (lambda part: matrix[part]), {"image": 5, "text": 3, "names": 3}
    clf = LateFusionClassifier(layout, prior="names").fit(rows(slice(0, 30)), y[:30])
    assert list(clf.modalities_) == ["image", "text"]
    assert list(clf.embed(rows(slice(None)))) == ["image", "text"]
    np.testing.assert_array_equal(clf.predict_proba(rows(slice(None))), reference.predict_proba(with_prior))
    np.testing.assert_array_equal(
        CoreSet().query(LateFusionClassifier(layout, prior="names"), rows(slice(None)), 7), CoreSet().query(None, X, 7)
    )


def test_scaled_clones_and_saved_models(problem, tmp_path):
    X, with_prior, _, y = problem
    clf = LateFusionClassifier(prior="names", C=0.3).fit(with_prior[:30], y[:30], classes=[0, 1, 2])
    clf.save(tmp_path / "model")
    loaded = LateFusionClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(with_prior), clf.predict_proba(with_prior))
    assert clone(clf).prior == "names"
    names = np.random.default_rng(0).standard_normal((3, 3))
    by_object = LateFusionClassifier(prior=ZeroShotPrior({"text": names}, 0.5)).fit(X[:30], y[:30])
    by_object.save(tmp_path / "object")
    loaded = LateFusionClassifier.load(tmp_path / "object")
    np.testing.assert_array_equal(loaded.predict_proba(X), by_object.predict_proba(X))
    clf.set_params(prior=None).fit(X[:30], y[:30])
    assert not hasattr(clf, "prior_weight_")
    embeddings = {"text": names}
    pipeline = make_pipeline(ModalityScaler(method="l2"), LateFusionClassifier(prior=ZeroShotPrior(embeddings, 0.5)))
    raw = pipeline.fit(X[:30], y[:30]).predict_proba(X)
    scaled = pipeline[0].transform(X)
    np.testing.assert_allclose(ZeroShotPrior(embeddings, 0.5).predict_proba(scaled), ZeroShotPrior(embeddings, 0.5).predict_proba(X), atol=1e-6)
    assert raw.shape == (150, 3)


def test_head_disagreement_takes_the_prior_for_a_teacher(problem):
    """Against the formula, with one pair: a plain classifier has no heads beside the fused one."""
    _, X, _, y = problem
    clf = LateFusionClassifier(prior="names").fit(X[:40], y[:40])
    reading = read(clf, X[40:140])
    teacher, heads = reading.source.prior_probabilities, [head.spread(head.probabilities) for head in reading.heads.values()]
    there = [np.isin(np.arange(100), head.positions) for head in reading.heads.values()]
    rows, scores = HeadDisagreement(3, random_state=0).query(clf, X[40:140], 100, return_scores=True)
    fused = heads[0]
    for i, score in zip(rows, scores, strict=True):
        voices = [(p[i], False) for p, known in zip(heads, there, strict=True) if known[i]] + [(teacher[i], True)]
        values = []
        for a, (p, _) in enumerate(voices):
            for q, is_teacher in voices[a + 1 :]:
                m = (p + q) / 2
                divergence = (p * np.log(p / m) + q * np.log(q / m)).sum() / 2
                sure = q.max() if is_teacher else max(p.max(), q.max())
                weight = sure / (p.max() + q.max())
                values.append(weight * divergence - (1 - weight) * (fused[i] * np.log(fused[i])).sum())
        assert score == pytest.approx(np.mean(values))


def test_experiments_with_a_block_of_probabilities(problem):
    _, X, _, y = problem
    results = run_experiment(
        LateFusionClassifier(prior="names"), ["margin", "bmmal"], X[:100], y[:100], X_test=X[100:], y_test=y[100:],
        n_initial=6, n_instances=6, n_rounds=1, seeds=1,
    )
    assert results.modalities == ["image", "text"]


def test_one_modality_and_a_prior_are_no_loss(problem, recwarn):
    _, X, _, y = problem
    one = MultimodalArray({"image": np.nan_to_num(X["image"]), "names": X["names"]})
    learner = ActiveLearner(LateFusionClassifier(prior="names"), "margin", one[:30], y[:30])
    learner.query(one[30:], n_instances=2)
    run_experiment(
        LateFusionClassifier(prior="names"), ["margin"], one[:100], y[:100], X_test=one[100:], y_test=y[100:],
        n_initial=9, n_instances=6, n_rounds=0, seeds=1,
    )
    assert not [each for each in recwarn.list if "modalit" in str(each.message)]


@pytest.mark.parametrize(
    ("prior", "X", "fit", "error", "match"),
    [
        ("nams", None, {}, ValueError, "prior='nams' must be the name of a block of X .*'image', 'text', 'names'"),
        ("names", None, {"classes": [0, 1, 2, 3]}, ValueError, "'names': the block has 3 columns, expected one for each of 4"),
        ("image", None, {}, ValueError, "has 5 columns, expected one for each of 3"),
        (LogisticRegression, None, {}, TypeError, "class LogisticRegression|predict_proba"),
        (3, None, {}, ValueError, "'prior' parameter"),
        ("names", slice(0, 0), {}, ValueError, "needs the names of the classes"),
        ("names", slice(0, 0), {"classes": [0, 0, 1]}, ValueError, "classes must be distinct"),
    ],
)
def test_helpful_errors(prior, X, fit, error, match, problem):
    _, data, _, y = problem
    rows = slice(0, 30) if X is None else X
    with pytest.raises(error, match=match):
        LateFusionClassifier(prior=prior).fit(data[rows], y[rows], **fit)


def test_a_prior_of_too_few_rows(problem):
    X, _, prior, y = problem

    class Short:
        def predict_proba(self, X):
            return prior[: len(X) - 1]

    with pytest.raises(ValueError, match=r"prior: Short.predict_proba.*29"):
        LateFusionClassifier(prior=Short()).fit(X[:30], y[:30])


def test_probabilities_that_are_none(problem):
    _, X, prior, y = problem
    logits = MultimodalArray({**X.blocks, "names": 3 * prior})
    with pytest.raises(ValueError, match="'names': the block: rows must sum to one, but row 0 of X .* sums to 3"):
        LateFusionClassifier(prior="names").fit(logits[:30], y[:30])
    with pytest.raises(ValueError, match="minimum of 1 is required|no rows|0 sample"):
        LateFusionClassifier().fit(X[:0], [])
