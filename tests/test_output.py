"""Modalities never vanish: behind scikit-learn's output settings, its transformers, and flat tables."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from samples import containers, make_blocks, quick_strategy
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, RobustScaler, StandardScaler

from skmmal import (
    ActiveLearner,
    CrossModalEncoder,
    LabelingCampaign,
    LateFusionClassifier,
    ModalityScaler,
    MultimodalArray,
    PerModality,
    run_experiment,
)
from skmmal.query import BMMAL, MMCSAL, MarginSampling, available_strategies

N = 60
BLOCKS, Y = make_blocks(n=N, missing=0.2)
X = MultimodalArray(BLOCKS)
COMPLETE = MultimodalArray(make_blocks(n=N)[0])
TRANSFORMERS = {
    "scaler": ModalityScaler(),
    "l2": ModalityScaler(method="l2"),
    "encoder": CrossModalEncoder(n_components=4, max_iter=2, random_state=0),
    "pca": PerModality(PCA(2)),
    "by name": PerModality({"image": PCA(2), "text": "passthrough"}),
}


def blocks_of(found):
    """Blocks of what a transformer returned, whatever it is."""
    if isinstance(found, MultimodalArray):
        return dict(found.blocks)
    assert found.columns.nlevels == 2
    return {name: found[name].to_numpy() for name in dict.fromkeys(found.columns.get_level_values(0))}


# ---------------------------------------------------------------------------------------------------- set_output


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("form", ["multimodal", "mapping", "multiindex", "matrix", "frame"])
@pytest.mark.parametrize("how", ["set_output", "global"])
def test_pandas_output_has_two_levels(name, form, how):
    given, modalities = containers(BLOCKS)[form]
    transformer = sklearn.clone(TRANSFORMERS[name]).set_params(modalities=modalities)
    expected = blocks_of(sklearn.clone(transformer).fit(X if modalities is None else given).transform(given))
    assert list(expected) == ["image", "text"]
    if isinstance(given, pd.DataFrame):
        given = given.set_axis(range(100, 100 + N))
    if how == "set_output":
        transformer.set_output(transform="pandas")
    with sklearn.config_context(transform_output="pandas" if how == "global" else "default"):
        for found in (transformer.fit_transform(given), transformer.transform(given)):
            assert found.columns.names == ["modality", "feature"]
            assert found.columns.is_unique
            assert list(found.index) == list(range(100, 100 + N) if isinstance(given, pd.DataFrame) else range(N))
            for modality, block in blocks_of(found).items():
                np.testing.assert_array_equal(block, expected[modality])
        # and what stands behind reads it
        model = LateFusionClassifier().fit(found, Y)
        assert list(model.modalities_) == ["image", "text"]
        again = ModalityScaler().fit_transform(found)
        assert list(blocks_of(again)) == ["image", "text"]
    direct = LateFusionClassifier().fit(expected, Y).predict_proba(expected)
    np.testing.assert_allclose(model.predict_proba(found), direct, atol=1e-6)


def test_names_of_features_in_two_levels():
    frame, _ = containers(BLOCKS)["multiindex"]
    found = ModalityScaler().set_output(transform="pandas").fit_transform(frame)
    assert list(found.columns) == list(frame.columns)
    flat, layout = containers(BLOCKS)["frame"]
    found = ModalityScaler(layout).set_output(transform="pandas").fit_transform(flat)
    assert list(found.columns) == [(name, column) for name, columns in layout.items() for column in columns]
    scaler = ModalityScaler().fit(X)
    assert scaler.get_feature_names_out().tolist() == [f"image__x{i}" for i in range(5)] + [f"text__x{i}" for i in range(3)]
    scattered = ModalityScaler({"odd": ["b", "d"], "even": ["a", "c"]}).fit(pd.DataFrame(COMPLETE["image"][:, :4], columns=list("abcd")))
    assert scattered.get_feature_names_out().tolist() == ["b", "d", "a", "c"]
    assert PerModality(PCA(2)).fit(X).get_feature_names_out().tolist() == ["image__pca0", "image__pca1", "text__pca0", "text__pca1"]
    found = PerModality({"image": PCA(1), "text": None}).set_output(transform="pandas").fit_transform(frame)
    assert list(found.columns) == [("image", "pca0"), ("text", "f0"), ("text", "f1"), ("text", "f2")]


def test_a_plain_matrix_stays_plain():
    plain = pd.DataFrame(COMPLETE["image"], columns=list("abcde"), index=range(7, N + 7))
    for transformer, names in ((ModalityScaler(), list("abcde")), (PerModality(StandardScaler()), list("abcde"))):
        assert isinstance(transformer.fit_transform(plain), np.ndarray)
        found = transformer.set_output(transform="pandas").fit_transform(plain)
        assert (list(found.columns), list(found.index)) == (names, list(plain.index))
        assert transformer.set_output(transform="polars").fit_transform(plain).columns == names


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_polars_has_no_levels(name):
    transformer = sklearn.clone(TRANSFORMERS[name]).fit(X)
    with sklearn.config_context(transform_output="polars"), pytest.raises(ValueError, match="'polars'.*set_output"):
        transformer.transform(X)
    np.testing.assert_array_equal(
        np.asarray(transformer.set_output(transform="polars").transform_blocks(X)),
        np.asarray(transformer.set_output(transform="default").transform(X)),
    )


def test_a_frame_cannot_carry_a_grid():
    grids = {"tokens": np.random.default_rng(0).normal(size=(9, 2, 3)), "v": np.ones((9, 1))}
    scaler = ModalityScaler().fit(grids)
    assert scaler.transform(grids).modalities == {"tokens": (2, 3), "v": 1}
    with pytest.raises(ValueError, match="modality 'tokens' is a grid of 2 tokens × 3"):
        scaler.set_output(transform="pandas").transform(grids)


# ------------------------------------------------------------------------------------ nothing depends on settings


@pytest.fixture(scope="module")
def tiny():
    return {"n_initial": 12, "n_instances": 4, "n_rounds": 1, "seeds": 1, "X_test": X[40:], "y_test": Y[40:]}


@pytest.mark.parametrize("output", ["pandas", "polars"])
@pytest.mark.parametrize("name", available_strategies())
def test_no_strategy_depends_on_the_output_setting(name, output):
    known = {"X_labeled": X[:20], "y_labeled": Y[:20]}
    pipeline = make_pipeline(ModalityScaler(), LateFusionClassifier()).fit(X[:20], Y[:20])

    def answer():
        strategy = quick_strategy(name)
        if "random_state" in strategy.get_params():
            strategy.set_params(random_state=0)
        return strategy.query(pipeline, X[20:], 4, **known)

    expected = answer()
    with sklearn.config_context(transform_output=output):
        np.testing.assert_array_equal(answer(), expected)


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_no_experiment_depends_on_it(output, tiny):
    pipeline = make_pipeline(PerModality(RobustScaler()), ModalityScaler(), LateFusionClassifier())
    kept = ["accuracy", "accuracy_image", "accuracy_text", "contribution_image"]
    expected = run_experiment(pipeline, ["bmmal"], X[:40], Y[:40], **tiny).frame[kept]
    with sklearn.config_context(transform_output=output):
        found = run_experiment(pipeline, ["bmmal"], X[:40], Y[:40], **tiny).frame[kept]
        encoder = CrossModalEncoder(n_components=3, max_iter=1, random_state=0)
        cold = MMCSAL(encoder=encoder, random_state=0).query(None, X, 4)
    pd.testing.assert_frame_equal(found, expected)
    np.testing.assert_array_equal(cold, MMCSAL(encoder=encoder, random_state=0).query(None, X, 4))


def test_workers_know_the_setting(tiny):
    """A layout by prefix needs names behind the ColumnTransformer, in every process."""
    flat, layout = containers(BLOCKS)["frame"]
    parts = [(name, "passthrough", columns) for name, columns in layout.items()]
    model = make_pipeline(ColumnTransformer(parts), LateFusionClassifier({name: f"{name}__" for name in layout}))
    tiny = {**tiny, "X_test": flat[40:], "seeds": 2}
    with sklearn.config_context(transform_output="pandas"):
        results = run_experiment(model, ["margin"], flat[:40], Y[:40], n_jobs=2, **tiny)
    assert results.modalities == ["image", "text"]


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_no_campaign_depends_on_it(output, tmp_path):
    def batches(folder):
        campaign = LabelingCampaign.create(
            tmp_path / folder, X, ids=range(N), classes=["0", "1", "2"], strategy="bmmal", initial="kmeans", n_instances=12
        )
        first = campaign.next_batch()
        campaign.add_labels({row: str(Y[int(row)]) for row in first["id"]}, annotator="a")
        return first["id"].tolist(), campaign.next_batch()["id"].tolist(), list(campaign.model().modalities_)

    expected = batches("default")
    with sklearn.config_context(transform_output=output):
        assert batches(output) == expected
    assert expected[2] == ["image", "text"]


# ------------------------------------------------------------------------------------------------- PerModality


def test_each_block_by_itself():
    found = PerModality(PCA(2)).fit_transform(X)
    for name, block in BLOCKS.items():
        there = ~np.isnan(block[:, 0])
        assert not there.all()
        np.testing.assert_allclose(found[name][there], PCA(2).fit_transform(block[there]), atol=1e-9)
        assert np.isnan(found[name][~there]).all()
    selected = PerModality(SelectKBest(k=1)).fit(X, Y)
    for name, block in BLOCKS.items():
        there = ~np.isnan(block[:, 0])
        expected = SelectKBest(k=1).fit(block[there], Y[there])
        np.testing.assert_array_equal(selected.transformers_[name].scores_, expected.scores_)


def test_blocks_left_as_they_are():
    found = PerModality({"image": None, "text": "passthrough"}).fit_transform(X)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(X))
    lost = MultimodalArray({"image": np.full((3, 5), np.nan), "text": COMPLETE["text"][:3]})
    assert PerModality({"image": PCA(2), "text": None}).fit(X).transform(lost).modalities == {"image": 2, "text": 3}


@pytest.mark.parametrize("form", ["csr_matrix", "csc_array", "coo_matrix", "dok_matrix"])
def test_sparse_blocks_beside_dense_ones(form):
    counts = np.random.default_rng(0).poisson(0.3, (N, 50)).astype(float)
    given = {"tfidf": getattr(sparse, form)(counts), "image": BLOCKS["image"][:, :2]}
    given["image"] = np.where(np.isnan(given["image"]), 0, given["image"])
    transformer = PerModality({"tfidf": TruncatedSVD(4, random_state=0), "image": StandardScaler()})
    found = transformer.fit_transform(given)
    right = TruncatedSVD(4, random_state=0).fit(sparse.csr_matrix(counts)).transform(counts)
    np.testing.assert_allclose(found["tfidf"], right, atol=1e-9)
    model = make_pipeline(transformer, LateFusionClassifier()).fit(given, Y)
    assert list(model[-1].modalities_) == ["tfidf", "image"]
    assert len(set(BMMAL(random_state=0).query(model, given, 5).tolist())) == 5
    learner = ActiveLearner(sklearn.clone(model), BMMAL(random_state=0), given, Y)
    learner.teach(given, Y)
    assert learner.predict(given).shape == (N,)
    # one sparse matrix with a layout can be cut by scikit-learn's searches
    whole = sparse.csr_matrix(np.hstack([counts, given["image"]]))
    layout = {"tfidf": 50, "image": 2}
    pipeline = make_pipeline(PerModality(TruncatedSVD(2, random_state=0), layout), LateFusionClassifier())
    search = GridSearchCV(pipeline, {"permodality__transformer__n_components": [1, 2]}, cv=2).fit(whole, Y)
    assert set(search.best_estimator_[-1].modalities_) == set(layout)


def test_parameters_reach_every_transformer():
    both = PerModality({"image": PCA(2), "text": make_pipeline(StandardScaler(), PCA(1))})
    grid = {
        "permodality__transformer__image__n_components": [1, 3],
        "permodality__transformer__text__pca__n_components": [2],
        "permodality__transformer__text__standardscaler": ["passthrough"],
    }
    search = GridSearchCV(make_pipeline(both, LateFusionClassifier()), grid, cv=2, n_jobs=2).fit(X, Y)
    chosen = search.best_estimator_[0]
    assert chosen.fit_transform(X).modalities["text"] == 2
    assert both.transformer["text"][-1].n_components == 1  # the one that was given is left alone
    cloned = sklearn.clone(both).set_params(transformer__image=RobustScaler(), transformer__text__pca__n_components=3)
    assert cloned.fit_transform(X).modalities == {"image": 5, "text": 3}
    assert isinstance(both.transformer["image"], PCA)
    single = PerModality(PCA(2)).set_params(transformer__n_components=1)
    assert single.fit_transform(X).modalities == {"image": 1, "text": 1}
    for wrong in ({"transformer__sound__n_components": 1}, {"transformer__image__nothing": 1}, {"transformer__n": 1}):
        with pytest.raises(ValueError, match=r"transformer__|nothing"):
            both.set_params(**wrong)


@pytest.mark.parametrize(
    ("transformer", "given", "error", "match"),
    [
        ({"image": PCA(1)}, X, ValueError, "says nothing of modality 'text'"),
        ({"image": PCA(1), "text": None, "sound": None}, X, ValueError, "unknown modality 'sound'"),
        ({"image": 3, "text": None}, X, TypeError, r"transformer\['image'\] must be a transformer"),
        (PCA(4), X, ValueError, "modality 'text': n_components=4"),
        (FunctionTransformer(sparse.csr_matrix), X, TypeError, "modality 'image' is sparse after.*TruncatedSVD"),
        (ModalityScaler({"a": 2, "b": 3}), COMPLETE[["image"]], TypeError, "modality 'image': its transformer makes blocks"),
        (FunctionTransformer(lambda block: block[0]), X, ValueError, "modality 'image': its transformer returned shape"),
        (PCA(1), {"a": np.full((5, 2), np.nan), "b": np.eye(5)}, ValueError, "modality 'a' is missing from every row"),
        (PCA(1), {"a": sparse.csr_matrix([[np.inf, 1]]), "b": np.ones((1, 2))}, ValueError, "modality 'a' is sparse and"),
    ],
)
def test_transformers_that_cannot_be_used(transformer, given, error, match):
    fitted = PerModality(transformer)
    with pytest.raises(error, match=match):
        fitted.fit(given)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        fitted.transform(given)


# ------------------------------------------------------------------------------------- one modality where several


LOST = make_pipeline(RobustScaler(), LateFusionClassifier())
KEPT = make_pipeline(PerModality(RobustScaler()), LateFusionClassifier())
WARNS = {
    "learner": lambda model: ActiveLearner(sklearn.clone(model)).fit(COMPLETE, Y),
    "teach": lambda model: ActiveLearner(sklearn.clone(model)).teach(COMPLETE, Y),
    "a mapping": lambda model: ActiveLearner(sklearn.clone(model)).teach(MultimodalArray(dict(COMPLETE.blocks)), Y),
    "two levels": lambda model: ActiveLearner(sklearn.clone(model)).fit(pd.concat({n: pd.DataFrame(b) for n, b in COMPLETE.blocks.items()}, axis=1), Y),
    "margin": lambda model: MarginSampling().query(model, COMPLETE, 2),
    "bmmal": lambda model: BMMAL(random_state=0).query(model, COMPLETE, 2),
    "on all": lambda model: MarginSampling(on="all").query(model, COMPLETE, 2),
    "search": lambda model: MarginSampling().query(GridSearchCV(model, {}, cv=2).fit(COMPLETE, Y), COMPLETE, 2),
}


def experiment(model, strategies, n_jobs=None):
    arguments = {"n_initial": 12, "n_instances": 3, "n_rounds": 2, "seeds": 2, "n_jobs": n_jobs}
    return run_experiment(model, strategies, COMPLETE[:40], Y[:40], X_test=COMPLETE[40:], y_test=Y[40:], **arguments)


WARNS |= {
    "experiment": lambda model: experiment(model, ["margin", "bmmal"]),
    "experiment in workers": lambda model: experiment(model, ["margin"], 2),
}


@pytest.mark.parametrize("case", WARNS)
def test_a_transformer_in_front_is_warned_of(case):
    """A RobustScaler makes one matrix of a MultimodalArray; PerModality does not."""
    lost, kept = (sklearn.clone(model).fit(COMPLETE, Y) for model in (LOST, KEPT))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        WARNS[case](lost)
    said = [str(each.message) for each in heard]
    assert len(said) == 1
    assert "only one modality is left ('X')" in said[0]
    assert "BMMAL is BADGE" in said[0]
    assert "PerModality" in said[0]
    assert "modalities=" in said[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WARNS[case](kept)


def test_questions_about_one_modality():
    image = COMPLETE["image"]
    model = LateFusionClassifier().fit(image, Y)
    for ask in (
        lambda: BMMAL(random_state=0).query(model, image, 2),
        lambda: MarginSampling(on="X").query(model, image, 2),
        lambda: MMCSAL(on_features="raw", random_state=0).query(None, image, 2),
        lambda: experiment_on(image, ["bmmal", "random"]),
    ):
        with pytest.warns(UserWarning, match="only one modality is left") as heard:
            ask()
        assert len(heard) == 1
    with warnings.catch_warnings():  # what is not multimodal is not commented on
        warnings.simplefilter("error")
        MarginSampling().query(model, image, 2)
        ActiveLearner(model).fit(image, Y)
        ActiveLearner(model).fit({"image": image}, Y)
        ActiveLearner(LogisticRegression(max_iter=1000)).fit(np.asarray(COMPLETE), Y)
        experiment_on(image, ["margin"])
        BMMAL(random_state=0).query(LateFusionClassifier().fit(COMPLETE, Y), COMPLETE, 2)


def experiment_on(X, strategies):
    arguments = {"n_initial": 12, "n_instances": 3, "n_rounds": 2, "seeds": 1}
    return run_experiment(LateFusionClassifier(), strategies, X[:40], Y[:40], X_test=X[40:], y_test=Y[40:], **arguments)
