"""What a sharded pool opens, fetches, sends and refuses."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from skmmal import FeatureStore, LateFusionClassifier, ModalityScaler, MultimodalArray
from skmmal.distributed import ShardedPool, WorkerLostError
from skmmal.query import BADGE, BMMAL, CoreSet, MarginSampling


def assert_holds(pool, problem):
    found = pool.take(np.arange(len(pool)))
    assert list(found.modalities) == list(problem.X.modalities)
    for name, block in problem.X.blocks.items():
        np.testing.assert_array_equal(found[name], block)


@pytest.mark.parametrize("n_workers", [1, 2, 3, 300])
def test_npy_files_are_dealt_out_and_rows_come_back_in_any_order(problem, n_workers):
    with problem.pool(n_workers) as pool:
        assert len(pool) == len(problem.X)
        assert pool.counts.sum() == len(pool)
        assert pool.counts.min() == 1
        assert_holds(pool, problem)
        rows = [259, 0, 91, 0, 120]
        np.testing.assert_array_equal(pool.take(rows)["image"], problem.X["image"][rows])
        assert len(pool.take([])) == 0
        with pytest.raises(IndexError, match="rows has 260, but the pool's rows go from 0 to 259"):
            pool.take([260])


def test_files_of_modalities_may_end_at_different_rows(whole, tmp_path):
    np.save(tmp_path / "image.npy", whole.X["image"])
    with ShardedPool.open({"image": tmp_path / "image.npy", "text": whole.paths["text"]}, n_workers=2) as pool:
        assert_holds(pool, whole)


def test_feature_caches_and_their_ids(lacking, tmp_path):
    ids = [f"sku-{row}" for row in range(len(lacking.X))]
    for at, rows in enumerate((slice(0, 70), slice(70, None))):
        FeatureStore.write(tmp_path / str(at), lacking.X[rows], ids=ids[rows])
    with ShardedPool.open([tmp_path / "0", f"file://{tmp_path}/1"], n_workers=3) as pool:
        assert pool.ids.tolist() == ids
        assert_holds(pool, lacking)
        assert pool.counts.tolist() == [70, 17, 87, 86]
        expected = BMMAL(random_state=0).query(lacking.clf, lacking.X, 20)
        np.testing.assert_array_equal(BMMAL(random_state=0).query(lacking.clf, pool, 20), expected)


@pytest.mark.parametrize("where", ["folder", "file", "memory"])
def test_parquet_is_read_by_row_groups(lacking, tmp_path, where):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"id": [f"row {row}" for row in range(len(lacking.X))]}
    for name, block in lacking.X.blocks.items():
        cells = [None if np.isnan(row).all() else row for row in block]
        columns[name] = arrow.array(cells, type=arrow.list_(arrow.float32()))
    table = arrow.table(columns)
    if where == "folder":
        for at, (start, stop) in enumerate([(0, 100), (100, 260)]):
            parquet.write_table(table[start:stop], tmp_path / f"part-{at}.parquet", row_group_size=40)
    else:
        parquet.write_table(table, tmp_path / "all.parquet", row_group_size=50)
    place = {"folder": tmp_path, "file": tmp_path / "all.parquet", "memory": "memory://pool/all.parquet"}[where]
    if where == "memory":
        fsspec = pytest.importorskip("fsspec")
        fsspec.filesystem("memory").pipe("/pool/all.parquet", (tmp_path / "all.parquet").read_bytes())
    with ShardedPool.open(place, n_workers=2) as pool:
        assert pool.ids[7] == "row 7"
        assert_holds(pool, lacking)
        expected = CoreSet().query(None, lacking.X, 9)
        np.testing.assert_array_equal(CoreSet().query(None, pool, 9), expected)


def test_npy_files_of_a_url(whole):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    urls = {}
    for name, paths in whole.paths.items():
        urls[name] = [f"memory://npy/{path.name}" for path in paths]
        for path in paths:
            memory.pipe(f"/npy/{path.name}", path.read_bytes())
    with ShardedPool.open(urls, n_workers=3) as pool:
        assert_holds(pool, whole)


def test_what_cannot_be_served_is_refused(whole, tmp_path):
    np.save(tmp_path / "short.npy", np.zeros((3, 2)))
    np.save(tmp_path / "vector.npy", np.zeros(3))
    (tmp_path / "no.npy").write_bytes(b"nothing")
    short = tmp_path / "short.npy"
    for paths, message in [
        ("nosuch://bucket/pool", "'nosuch://bucket/pool' cannot be served here: Protocol not known: nosuch"),
        ("memory://empty-place/", "holds no Parquet files; of URLs"),
        ({"a": "memory://nowhere/a.npy"}, "memory://nowhere/a.npy cannot be read"),
        ({"a": short, "b": whole.paths["text"]}, "modalities differ in rows"),
        ({"a": [short, whole.paths["text"][0]]}, "the files differ in columns or dtype"),
        ({"a": tmp_path / "vector.npy"}, "must hold a matrix of numbers"),
        ({"a": tmp_path / "no.npy"}, "is no .npy file that can be read"),
        ({"a": tmp_path / "gone.npy"}, "gone.npy cannot be read: No such file"),
        (short, "is an .npy file, which names no modality"),
        ({"a": tmp_path / "a.csv"}, "must be .npy files"),
        ([], "paths is empty"),
    ]:
        with pytest.raises(ValueError, match=message):
            ShardedPool.open(paths)
    with pytest.raises(ValueError, match="ids has 1 entries, and the files have 3 rows"):
        ShardedPool.open({"a": short}, ids=["x"])
    with pytest.raises(TypeError, match="client must be None, a dask.distributed.Client, or the module ray"):
        ShardedPool.open({"a": short}, client="tcp://somewhere")


def test_scaling_fitting_and_predicting_leave_the_rows_where_they_are(lacking):
    with lacking.pool(3) as pool:
        scaler = ModalityScaler().fit(pool)
        expected = ModalityScaler().fit(lacking.X)
        for name in lacking.X.modalities:
            np.testing.assert_allclose(scaler.mean_[name], expected.mean_[name], rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(scaler.scale_[name], expected.scale_[name], rtol=1e-12)
        labelled, rest = np.arange(0, 60, 2), np.ones(len(pool), dtype=bool)
        rest[labelled] = False
        clf = LateFusionClassifier().fit(scaler.transform(pool.take(labelled)), lacking.y[labelled])
        model = make_pipeline(scaler, clf)
        np.testing.assert_array_equal(pool.predict(model), model.predict(lacking.X))
        np.testing.assert_allclose(pool.predict_proba(model), model.predict_proba(lacking.X))
        found = BMMAL(random_state=0).query(model, pool, 30, candidates=rest)
        np.testing.assert_array_equal(found, BMMAL(random_state=0).query(model, lacking.X, 30, candidates=rest))


@pytest.mark.parametrize("strategy", [BADGE(random_state=0), CoreSet(), MarginSampling()], ids=repr)
def test_what_travels_does_not_depend_on_the_number_of_rows(tmp_path, strategy):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((20_000, 30)).astype(np.float32)
    X, y = MultimodalArray({"a": values}), (values[:, 0] > 0).astype(int)
    clf = LateFusionClassifier().fit(X[:50], y[:50])
    moved = []
    for n_rows in (2000, 20_000):
        np.save(tmp_path / f"{n_rows}.npy", values[:n_rows])
        with ShardedPool.open({"a": tmp_path / f"{n_rows}.npy"}, n_workers=2) as pool:
            before = sum(pool.traffic[way] for way in ("sent", "received"))
            strategy.query(clf, pool, 40)
            moved.append(sum(pool.traffic[way] for way in ("sent", "received")) - before)
    assert moved[1] < 1.5 * moved[0]
    assert moved[1] < 0.2 * values.nbytes


def test_a_worker_that_is_gone_is_an_error_and_reopening_helps(whole):
    with whole.pool(3) as pool:
        expected = BADGE(random_state=0).query(whole.clf, pool, 9)
        ask, questions = pool._workers.ask, []

        def dying(messages):
            questions.append(1)
            if len(questions) == 6:
                raise WorkerLostError("gone")
            return ask(messages)

        pool._workers.ask = dying
        with pytest.raises(WorkerLostError):
            BADGE(random_state=0).query(whole.clf, pool, 9)
        pool.reopen()
        np.testing.assert_array_equal(BADGE(random_state=0).query(whole.clf, pool, 9), expected)


@pytest.mark.distributed
def test_on_dask(lacking):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client, lacking.pool(None, client) as pool:
        for strategy in (BMMAL(random_state=0), CoreSet()):
            expected = strategy.query(lacking.clf, lacking.X, 30)
            np.testing.assert_array_equal(strategy.query(lacking.clf, pool, 30), expected)
        with pytest.raises(ValueError, match="on='sound', but the pool's modalities are"):
            MarginSampling(on="sound").query(lacking.clf, pool, 3)
        pool._workers.stop()
        with pytest.raises(WorkerLostError, match="`pool.reopen\\(\\)` opens them on the workers"):
            MarginSampling().query(lacking.clf, pool, 3)
