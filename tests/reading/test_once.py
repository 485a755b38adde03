"""Of a query, the model's part is made once: rows are validated, encoded and multiplied once, whatever the strategy."""

from collections import Counter

import numpy as np
import pytest
from samples import quick_strategy

import skmmal.reading._passes
import skmmal.reading._rows_of_model
from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.heads import LinearHeads
from skmmal.heads._modules import ConcatFusion, Encoder, Fusion
from skmmal.query import available_strategies

POOL, LABELLED = 230, 60
ON_NEW_POINTS = {"dropquery", "deepfool"}
"""They ask the head at points of their own making; their documentation says how often."""


class Calls(Counter):
    """Rows that went through the parts of a model; a bar for each part."""

    def watch(self, monkeypatch, owner, name, key, rows):
        original = getattr(owner, name)

        def counted(*args, **kwargs):
            self[key] += rows(*args, **kwargs)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)


@pytest.fixture
def calls(monkeypatch):
    calls = Calls()
    for module in (skmmal.reading._rows_of_model, skmmal.reading._passes):
        calls.watch(monkeypatch, module, "validate_features", "validated", lambda estimator, X, **_: len(X))
    calls.watch(monkeypatch, Encoder, "forward", "encoded", lambda encoder, values: len(values))
    # the fused logits and the modalities' shares of them are the same product
    calls.watch(monkeypatch, ConcatFusion, "forward", "fused", lambda head, embeddings: len(embeddings[0]))
    calls.watch(monkeypatch, ConcatFusion, "partial_logits", "fused", lambda head, embeddings: len(embeddings[0]))
    calls.watch(monkeypatch, LinearHeads, "shares", "fused", lambda heads, blocks: len(blocks[0]))
    calls.watch(monkeypatch, LinearHeads, "own_logits", "own", lambda heads, blocks: len(blocks[0]))
    calls.watch(monkeypatch, Fusion, "unimodal_logits", "own", lambda head, embeddings: len(embeddings[0]))
    return calls


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Float16 in files; no row lacks both modalities."""
    folder = tmp_path_factory.mktemp("mapped")
    rng = np.random.default_rng(0)
    y = np.arange(POOL + LABELLED) % 4
    absent = rng.permutation(len(y))[:80].reshape(2, 40)
    blocks = {}
    for (name, width), rows in zip({"a": 9, "b": 7}.items(), absent, strict=True):
        values = rng.standard_normal((len(y), width)) + y[:, None] * 0.3
        values[rows] = np.nan
        np.save(folder / f"{name}.npy", values.astype(np.float16))
        blocks[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return MultimodalArray(blocks), y


@pytest.mark.parametrize("encoders", [False, True], ids=["features", "encoders"])
@pytest.mark.parametrize("on", ["fused", "b", "all"])
@pytest.mark.parametrize("name", available_strategies())
def test_the_models_part_of_a_query_is_made_once(name, on, encoders, files, calls):
    X, y = files
    strategy = quick_strategy(name)
    if "random_state" in strategy.get_params():
        strategy.set_params(random_state=0)
    if "on" not in strategy.get_params():
        if on != "fused":
            return
    else:
        strategy.set_params(on=on)
    if name == "mmcsal":
        strategy.set_params(on_features="raw")
    options = {"encoder_dim": 8, "max_iter": 3, "random_state": 0} if encoders else {}
    clf = LateFusionClassifier(**options).fit(X[:LABELLED], y[:LABELLED])
    calls.clear()
    strategy.query(clf, X[LABELLED:], 6, X_labeled=X[:LABELLED], y_labeled=y[:LABELLED])
    n_rows = POOL + LABELLED
    assert calls["validated"] <= n_rows
    if name not in ON_NEW_POINTS:
        assert calls["fused"] <= n_rows
        assert calls["own"] <= n_rows
        if encoders:
            assert calls["encoded"] <= 2 * n_rows  # each modality has one
