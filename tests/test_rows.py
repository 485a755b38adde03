"""Rows that have names are never paired by position against them."""

import numpy as np
import pandas as pd
import pytest
from samples import make_blocks
from sklearn.model_selection import cross_val_score, train_test_split

from skmmal import (
    ActiveLearner,
    FeatureStore,
    LabelingCampaign,
    LateFusionClassifier,
    ModalityScaler,
    MultimodalArray,
    PerModality,
    pack,
    run_experiment,
)
from skmmal.query import MarginSampling

N = 30
NAMES = [f"id{row}" for row in range(N)]
SHUFFLED = np.random.default_rng(1).permutation(N)


@pytest.fixture
def frames():
    blocks, y = make_blocks(n=N)
    return {name: pd.DataFrame(block, index=NAMES) for name, block in blocks.items()}, y


def other_order(values):
    return values.iloc[SHUFFLED]


def vectors(frame):
    return pd.Series(list(frame.to_numpy()), index=frame.index)


CALLS = {
    "MultimodalArray": lambda X, y: MultimodalArray(X),
    "pack": lambda X, y: pack(X),
    "fit": lambda X, y: LateFusionClassifier().fit(X, y),
    "scaler": lambda X, y: ModalityScaler().fit(X),
    "per modality": lambda X, y: PerModality().fit(X),
    "learner": lambda X, y: ActiveLearner(LateFusionClassifier()).fit(X, y),
    "query": lambda X, y: MarginSampling().query(None, X, 3),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("form", ["frame", "series of vectors"])
def test_blocks_in_another_order(frames, call, form):
    X, y = frames
    text = other_order(X["text"])
    X = {"image": X["image"], "text": text if form == "frame" else vectors(text)}
    first = f"row 0 is 'id0' .* and 'id{SHUFFLED[0]}' "
    with pytest.raises(ValueError, match=f"modality 'image' and modality 'text' name .*{first}.*loc"):
        CALLS[call](X, y)


@pytest.mark.parametrize(
    "index", [[*NAMES[:-1], "else"], np.arange(N)[::-1], pd.RangeIndex(5, N + 5), pd.date_range("2020", periods=N)]
)
def test_blocks_of_other_rows(frames, index):
    X, _ = frames
    X["text"].index = index
    with pytest.raises(ValueError, match="not all of their rows have the same names.*reindex"):
        MultimodalArray(X)


def test_aligning_as_the_message_says_gives_the_right_rows(frames):
    X, y = frames
    expected = LateFusionClassifier().fit(X, y).predict_proba(X)
    text = other_order(X["text"])
    aligned = {"image": X["image"], "text": text.loc[X["image"].index]}
    np.testing.assert_array_equal(LateFusionClassifier().fit(aligned, y).predict_proba(aligned), expected)
    there = {"image": X["image"], "text": text.iloc[1:].reindex(X["image"].index)}
    assert np.isnan(MultimodalArray(there)["text"]).all(axis=1).sum() == 1  # the row that it lacks is missing


def test_names_that_agree_and_blocks_without(frames):
    X, y = frames
    plain = {name: frame.to_numpy() for name, frame in X.items()}
    for image in (X["image"], plain["image"], X["image"].reset_index(drop=True)):
        array = MultimodalArray({"image": image, "text": X["text"]})
        np.testing.assert_array_equal(np.asarray(array), np.hstack(list(plain.values())))
    twice = [*NAMES[:-1], NAMES[0]]  # names need not be distinct
    MultimodalArray({name: frame.set_axis(twice) for name, frame in X.items()})
    LateFusionClassifier().fit(X, pd.Series(y, index=NAMES))
    LateFusionClassifier().fit(X, pd.Series(y))
    LateFusionClassifier().fit(MultimodalArray(plain), pd.Series(y, index=NAMES))


def labels_in_another_order(X, y):
    return pd.Series(y, index=NAMES).iloc[SHUFFLED]


LABELLED = {
    "fit": lambda X, y: LateFusionClassifier().fit(X, y),
    "sample_weight": lambda X, y: LateFusionClassifier().fit(X, np.asarray(y), sample_weight=y + 1.0),
    "score": lambda X, y: LateFusionClassifier().fit(X, np.asarray(y)).score(X, y),
    "score_by_modality": lambda X, y: LateFusionClassifier().fit(X, np.asarray(y)).score_by_modality(X, y),
    "shapley_values": lambda X, y: LateFusionClassifier().fit(X, np.asarray(y)).shapley_values(X, y),
    "learner": lambda X, y: ActiveLearner(LateFusionClassifier()).fit(X, y),
    "teach": lambda X, y: ActiveLearner(LateFusionClassifier()).teach(X, y),
    "query": lambda X, y: MarginSampling().query(
        LateFusionClassifier().fit(X, np.asarray(y)), X, 2, X_labeled=X, y_labeled=y
    ),
    "experiment": lambda X, y: run_experiment(
        *(LateFusionClassifier(), ["random"], X, y),
        **{"X_test": X, "y_test": np.asarray(y), "n_initial": 6, "n_instances": 2, "n_rounds": 1, "seeds": 1},
    ),
}


@pytest.mark.parametrize("call", LABELLED)
@pytest.mark.parametrize("two_levels", [False, True])
def test_labels_in_another_order(frames, call, two_levels):
    X, y = frames
    X = pd.concat(X, axis=1) if two_levels else X
    with pytest.raises(ValueError, match="name their rows differently.*id0"):
        LABELLED[call](X, labels_in_another_order(X, y))


def test_scikit_learn_splits_keep_both(frames):
    """Splits leave gaps in the index of X and of y alike, and may leave y an array."""
    X, y = frames
    frame = pd.concat(X, axis=1).reset_index(drop=True)
    labels = pd.Series(y)
    train, test, y_train, y_test = train_test_split(frame, labels, random_state=0, stratify=y)
    model = LateFusionClassifier().fit(train, y_train)
    assert model.score(test, y_test) == model.score(test, y_test.to_numpy())
    assert cross_val_score(LateFusionClassifier(), frame, labels, cv=3).shape == (3,)
    model.fit(train, y_train.to_numpy())
    model.fit(train.to_numpy()[:, :5], y_train)


def test_a_learner_taught_in_pieces(frames):
    """Rows with names and rows without may follow each other: what is kept never contradicts itself."""
    X, y = frames
    labels = pd.Series(y, index=NAMES)

    def part(rows, names=True):
        some = {name: frame.iloc[rows] for name, frame in X.items()}
        return some if names else {name: frame.reset_index(drop=True) for name, frame in some.items()}

    expected = LateFusionClassifier().fit(part(slice(0, 18)), y[:18]).predict_proba(X)
    for named_X, named_y in ((True, True), (False, True), (True, False), (False, False)):
        learner = ActiveLearner(LateFusionClassifier(), X_training=part(slice(0, 6)), y_training=labels.iloc[:6])
        learner.teach(part(slice(6, 12), named_X), labels.iloc[6:12] if named_y else y[6:12])
        learner.teach(part(slice(12, 18)), labels.iloc[12:18])
        np.testing.assert_allclose(learner.predict_proba(X), expected, atol=1e-6)
        if named_X and named_y:
            assert list(learner.X_training["image"].index) == NAMES[:18]


def test_ids_beside_named_rows(frames, tmp_path):
    X, _ = frames
    ids = [NAMES[row] for row in SHUFFLED]
    for write in (
        lambda path: FeatureStore.write(path, X, ids),
        lambda path: FeatureStore.create(path, ids).append("image", X["image"]),
        lambda path: LabelingCampaign.create(path, pd.concat(X, axis=1), ids=ids, classes=["a", "b"]),
    ):
        with pytest.raises(ValueError, match="the same names in another order.*row 0"):
            write(tmp_path / "new")
        if (tmp_path / "new").exists():
            (tmp_path / "new").rename(tmp_path / "half")
    store = FeatureStore.write(tmp_path / "right", X, NAMES)
    np.testing.assert_array_equal(store.load()["text"], X["text"].to_numpy())
    other = FeatureStore.write(tmp_path / "positions", {n: f.set_axis(range(5, N + 5)) for n, f in X.items()}, NAMES)
    assert list(other.ids) == NAMES  # an index that holds no ids contradicts none
