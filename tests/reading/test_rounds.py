"""Of a round of a campaign or an experiment, too, the model's part is made once for each set of rows."""

import numpy as np
import pytest

import skmmal.reading._passes
import skmmal.reading._rows_of_model
from skmmal import FeatureStore, LabelingCampaign, LateFusionClassifier
from skmmal.datasets import make_multimodal_classification
from skmmal.experiment import run_experiment
from skmmal.heads import LinearHeads

N_ROWS, N_HELD_OUT, N_INSTANCES = 160, 20, 9
STRATEGIES = ["badge", "bmmal", "coreset", "random"]


@pytest.fixture
def counted(monkeypatch):
    """Rows that were validated, and that were multiplied with the fused head's weights."""
    rows = {"validated": 0, "fused": 0}

    def watch(owner, name, key, n_rows):
        original = getattr(owner, name)

        def counting(*args, **kwargs):
            rows[key] += n_rows(*args)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    for module in (skmmal.reading._rows_of_model, skmmal.reading._passes):
        watch(module, "validate_features", "validated", lambda estimator, X: len(X))
    watch(LinearHeads, "shares", "fused", lambda heads, blocks: len(blocks[0]))
    return rows


@pytest.fixture(scope="module")
def data():
    return make_multimodal_classification(N_ROWS, {"a": 5, "b": 4}, n_classes=3, missing={"b": 0.2}, random_state=0, return_X_y=True)


@pytest.mark.parametrize("class_balance", [False, True])
@pytest.mark.parametrize("random_fraction", [0.0, 0.3])
def test_a_campaign(random_fraction, class_balance, data, tmp_path, counted):
    X, y = data
    ids = [f"s{i:03d}" for i in range(N_ROWS)]
    truth = dict(zip(ids, np.array(["cat", "dog", "eel"])[y].tolist(), strict=True))
    FeatureStore.write(tmp_path / "features", X.blocks, ids=ids)
    held_out = tmp_path / "validation.csv"
    held_out.write_text("id,label\n" + "".join(f"{name},{truth[name]}\n" for name in ids[-N_HELD_OUT:]))
    campaign = LabelingCampaign.create(
        tmp_path / "campaign", tmp_path / "features", n_instances=N_INSTANCES, initial="random", strategy="margin",
        validation=held_out, random_fraction=random_fraction, class_balance=class_balance,
    )  # fmt: skip
    batch = campaign.next_batch()
    campaign.add_labels({name: truth[name] for name in batch["id"]}, allow_new_classes=True)
    for strategy in STRATEGIES:
        n_labeled = len(campaign.labels)
        counted.update(validated=0, fused=0)
        batch = campaign.next_batch(strategy=strategy)
        # each row once, and those of the batch once more, for their contributions and what is said of them
        assert counted["validated"] <= N_ROWS + N_INSTANCES
        assert counted["fused"] <= N_ROWS - n_labeled + 2 * N_INSTANCES
        campaign.add_labels({name: truth[name] for name in batch["id"]}, allow_new_classes=True)


def test_an_experiment(data, counted):
    X, y = data
    n_pool, n_initial, n_instances, n_rounds = 120, 12, 6, 2
    n_labeled = n_initial + n_instances * np.arange(n_rounds + 1)
    n_read = int((n_pool - n_labeled).sum())
    n_test = (N_ROWS - n_pool) * (n_rounds + 1)
    for strategy in STRATEGIES:
        counted.update(validated=0, fused=0)
        run_experiment(
            LateFusionClassifier(), [strategy], X[:n_pool], y[:n_pool], X_test=X[n_pool:], y_test=y[n_pool:],
            n_initial=n_initial, n_instances=n_instances, n_rounds=n_rounds, seeds=1,
        )  # fmt: skip
        # the pool is read for its metrics, which are recorded, and then for the next query; the test rows once
        n_asked = n_read - (n_pool - n_labeled[-1])
        assert counted["validated"] <= n_read + n_asked + n_labeled[:-1].sum() + n_test
        assert counted["fused"] <= n_read + n_asked + 4 * n_test
