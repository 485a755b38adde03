"""V-optimal designs against the textbook loop and against variances computed from scratch."""

import numpy as np
import pytest

import skmmal._chunks
from skmmal.selection import _v_optimal as v_optimal
from skmmal.selection._gaussian_kernels import average_kernel, fourier_features, median_sq_distance
from skmmal.selection._gaussian_process import FeatureProcess
from skmmal.selection._v_optimal import v_optimal_dense, v_optimal_features


def posterior(kernel, observed, noise):
    """Covariance of all rows given noisy observations of some."""
    cross = kernel[:, observed]
    known = kernel[np.ix_(observed, observed)] + noise * np.eye(len(observed))
    return kernel - cross @ np.linalg.solve(known, cross.T)


def by_hand(kernel, n_pool, n_samples, weights, noise):
    """The plain loop; rows from `n_pool` on are labelled."""
    C = posterior(kernel, np.arange(n_pool, len(kernel)), noise)[:n_pool, :n_pool]
    picked, gains = [], []
    for _ in range(n_samples):
        scores = (weights[:, None] * C**2).sum(axis=0) / (C.diagonal() + noise)
        scores[picked] = -1
        picked.append(int(scores.argmax()))
        gains.append(scores.max())
        column = C[:, picked[-1]]
        C = C - np.outer(column, column) / (column[picked[-1]] + noise)
    return picked, gains


def make_points(seed, n_modalities, n_rows=320, missing=0.25):
    rng = np.random.default_rng(seed)
    blocks = [rng.standard_normal((n_rows, 2 + 2 * m)) + 5 for m in range(n_modalities)]
    present = rng.random((n_rows, n_modalities)) > missing
    present[~present.any(axis=1), 0] = True
    if n_modalities == 1:
        present[:] = True
    return blocks, present


def kernel_by_hand(blocks, present, sq_widths, extra=None):
    if extra is not None:
        scaled = [np.hstack([b / np.sqrt(w), e]) for b, w, e in zip(blocks, sq_widths, extra, strict=True)]
        return kernel_by_hand(scaled, present, np.ones(len(blocks)))
    kernel = np.zeros((len(present), len(present)))
    for m, block in enumerate(blocks):
        for i in range(len(present)):
            there = present[i, m] & present[:, m]
            kernel[i] += there * np.exp(-((block - block[i]) ** 2).sum(axis=1) / sq_widths[m])
    counts = np.maximum(present.sum(axis=1), 1)
    return kernel / np.sqrt(np.outer(counts, counts))


def features_of(blocks, present, n_components, seed=0):
    widths = [median_sq_distance(block) for block in blocks]
    return fourier_features([blocks], [present], widths, n_components, random_state=seed)[0]


# --------------------------------------------------------------------------------------------------- the kernel


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
def test_average_kernel_is_its_formula(n_modalities):
    blocks, present = make_points(0, n_modalities, n_rows=60)
    widths = [2.0, 7.0, 0.5][:n_modalities]
    expected = kernel_by_hand(blocks, present, widths)
    kernel = average_kernel(blocks, blocks, present, present, widths)
    np.testing.assert_allclose(kernel, expected, atol=1e-13)
    part = average_kernel([b[:7] for b in blocks], [b[20:] for b in blocks], present[:7], present[20:], widths)
    np.testing.assert_allclose(part, expected[:7, 20:], atol=1e-13)


def test_further_columns_count_on_their_own_scale():
    blocks, present = make_points(2, 2, n_rows=60)
    extra = [np.random.default_rng(m).random((60, 3 - m)) for m in range(2)]
    expected = kernel_by_hand(blocks, present, [4.0, 9.0], extra)
    kernel = average_kernel(blocks, blocks, present, present, [4.0, 9.0], row_extra=extra, col_extra=extra)
    np.testing.assert_allclose(kernel, expected, atol=1e-13)
    halves = slice(20), slice(20, 60)
    parts = [[b[half] for b in blocks] for half in halves]
    there = [present[half] for half in halves]
    added = [[e[half] for e in extra] for half in halves]
    errors = []
    for n_components in (64, 4096):
        phi = np.concatenate(fourier_features(parts, there, [4.0, 9.0], n_components, extra=added, random_state=0)).astype(np.float64)
        errors.append(((phi @ phi.T) - expected).std())
    assert errors[1] < errors[0] / 4
    assert errors[1] < 0.02


def test_points_far_from_the_origin_keep_their_distances():
    rng = np.random.default_rng(0)
    near = rng.standard_normal((40, 3))
    there = np.ones((40, 1))
    kernels = [average_kernel([x], [x], there, there, [3.0]) for x in (near, near + 1e6)]
    np.testing.assert_allclose(kernels[1], kernels[0], atol=1e-8)
    features = [fourier_features([[x]], [there], [3.0], 64, random_state=0)[0] for x in (near, near + 1e6)]
    np.testing.assert_allclose(features[1], features[0], atol=1e-5)


def test_median_sq_distance():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((61, 4)) + 100
    distances = [((points[i] - points[j]) ** 2).sum() for i in range(61) for j in range(i)]
    assert median_sq_distance(points) == pytest.approx(np.median(distances), rel=0.01)
    twice = np.repeat([[0.0], [3.0]], 50, axis=0)
    assert median_sq_distance(twice) == pytest.approx(9.0)  # equal points say nothing of the scale
    assert median_sq_distance(np.ones((5, 2))) == 1.0
    assert median_sq_distance(np.ones((1, 2))) == 1.0
    assert median_sq_distance(np.empty((0, 2))) == 1.0


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
def test_fourier_features_converge_to_the_kernel(n_modalities):
    blocks, present = make_points(1, n_modalities, n_rows=80)
    widths = [median_sq_distance(block) for block in blocks]
    exact = kernel_by_hand(blocks, present, widths)
    errors = []
    for n_components in (16, 256, 4096):
        squared = []
        for seed in range(3):
            phi = features_of(blocks, present, n_components, seed).astype(np.float64)
            assert phi.shape == (80, n_modalities * n_components)
            np.testing.assert_allclose((phi**2).sum(axis=1), 1.0, atol=1e-5)  # the diagonal is exact
            squared.append(((phi @ phi.T - exact) ** 2).mean())
        errors.append(np.sqrt(np.mean(squared)))
    # 16 times the features: a quarter of the error
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3
    assert errors[2] < 0.02


def test_sets_of_points_share_their_features():
    blocks, present = make_points(0, 2, n_rows=50)
    together = features_of(blocks, present, 32)
    widths = [median_sq_distance(block) for block in blocks]
    apart = fourier_features(
        [[b[:30] for b in blocks], [b[30:] for b in blocks]], [present[:30], present[30:]], widths, 32, random_state=0
    )
    np.testing.assert_allclose(np.concatenate(apart), together, atol=1e-5, rtol=0)


# --------------------------------------------------------------------------------------------------- the design


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
@pytest.mark.parametrize("noise", [0.1, 1e-3])
@pytest.mark.parametrize("n_labelled", [0, 20])
def test_dense_design_is_the_plain_loop(n_modalities, noise, n_labelled):
    blocks, present = make_points(n_modalities, n_modalities)
    kernel = kernel_by_hand(blocks, present, [4.0] * n_modalities)
    n_pool = len(kernel) - n_labelled
    weights = np.random.default_rng(0).random(n_pool) ** 3
    known = {"cross": kernel[:n_pool, n_pool:], "labelled": kernel[n_pool:, n_pool:]} if n_labelled else {}
    picked, gains = v_optimal_dense(kernel[:n_pool, :n_pool], 90, weights=weights, noise=noise, **known)
    expected = by_hand(kernel, n_pool, 90, weights, noise)
    np.testing.assert_array_equal(picked, expected[0])
    np.testing.assert_allclose(gains, expected[1], rtol=1e-8)


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_labelled", [0, 20])
def test_features_are_the_dense_design_of_their_kernel(n_modalities, dtype, n_labelled):
    blocks, present = make_points(n_modalities, n_modalities)
    phi = features_of(blocks, present, 32).astype(dtype)
    n_pool = len(phi) - n_labelled
    kernel = (phi.astype(np.float64) @ phi.astype(np.float64).T)
    weights = np.random.default_rng(0).random(n_pool)
    picked, gains = v_optimal_features(phi[:n_pool], 90, weights=weights, labelled=phi[n_pool:])
    expected = by_hand(kernel, n_pool, 90, weights, 0.1)
    np.testing.assert_array_equal(picked, expected[0])
    np.testing.assert_allclose(gains, expected[1], rtol=1e-8 if dtype is np.float64 else 1e-5)


def test_gains_are_drops_of_the_weighted_variance():
    """Σ_j v_j Var(j), from scratch for every prefix of the batch."""
    blocks, present = make_points(3, 2)
    kernel = kernel_by_hand(blocks, present, [3.0, 3.0])
    weights = np.random.default_rng(1).random(300)
    labelled = list(range(300, 320))

    def total(picked):
        return weights @ posterior(kernel, labelled + picked, 0.1).diagonal()[:300]

    known = {"cross": kernel[:300, 300:], "labelled": kernel[300:, 300:]}
    picked, gains = v_optimal_dense(kernel[:300, :300], 40, weights=weights, **known)
    totals = [total(picked[:k].tolist()) for k in range(41)]
    np.testing.assert_allclose(-np.diff(totals), gains, rtol=1e-9)


def test_more_features_bring_the_design_nearer_to_the_dense_one():
    blocks, present = make_points(5, 2)
    widths = [median_sq_distance(block) for block in blocks]
    kernel = average_kernel(blocks, blocks, present, present, widths)
    best = v_optimal_dense(kernel, 20)[1].sum()

    def drop(picked):
        return kernel.trace() - posterior(kernel, picked, 0.1).trace()

    reached = []
    for n_components in (4, 64, 1024):
        drops = [drop(v_optimal_features(features_of(blocks, present, n_components, s), 20)[0]) for s in range(3)]
        reached.append(np.mean(drops) / best)
    assert reached[0] < reached[1] < reached[2] < 1.005
    assert reached[2] > 0.99


@pytest.mark.parametrize(
    ("per_pick", "most", "first", "largest"), [(1, 1, 1, 1), (1, 3, 8, 64), (8, 40, 2, 5), (10_000, 10_000, 64, 64)]
)
def test_blocks_do_not_change_the_picks(per_pick, most, first, largest, monkeypatch):
    blocks, present = make_points(2, 2)
    phi = features_of(blocks, present, 64).astype(np.float64)
    weights = np.random.default_rng(0).random(320) ** 2
    expected = by_hand((phi @ phi.T), 320, 120, weights, 0.1)
    monkeypatch.setattr(v_optimal, "_CANDIDATES_PER_PICK", per_pick)
    monkeypatch.setattr(v_optimal, "_MOST_CANDIDATES", most)
    monkeypatch.setattr(v_optimal, "_FIRST_BLOCK", first)
    monkeypatch.setattr(v_optimal, "_LARGEST_BLOCK", largest)
    for picked, gains in (
        v_optimal_features(phi, 120, weights=weights),
        v_optimal_dense(phi @ phi.T, 120, weights=weights),
    ):
        np.testing.assert_array_equal(picked, expected[0])
        np.testing.assert_allclose(gains, expected[1], rtol=1e-8)


def test_a_gain_may_rise():
    """Why upper bounds from before a pick will not do: here is one that the search must not miss."""
    kernel = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.6], [0.0, 0.6, 1.0]])
    before = (kernel**2).sum(axis=0) / 1.1
    C = posterior(kernel, [1], 0.1)
    after = (C**2).sum(axis=0) / (C.diagonal() + 0.1)
    weights = np.array([1.0, 0.0, 0.0])
    assert (weights @ kernel[:, 2] ** 2) == 0
    assert (weights @ C[:, 2] ** 2) / (C[2, 2] + 0.1) > 0.1
    assert before[1] > after[1]
    picked, gains = v_optimal_dense(kernel, 3, weights=weights)
    expected = by_hand(kernel, 3, 3, weights, 0.1)
    assert picked.tolist() == expected[0]
    np.testing.assert_allclose(gains, expected[1], atol=1e-12)


def test_chunk_size_does_not_show(monkeypatch):
    blocks, present = make_points(4, 3)
    phi = features_of(blocks, present, 32)
    kernel = kernel_by_hand(blocks, present, [4.0, 4.0, 4.0])
    expected = v_optimal_features(phi, 60)[0], v_optimal_dense(kernel, 60)[0]
    monkeypatch.setattr(skmmal._chunks, "CHUNK_ELEMENTS", 2**10)
    again = features_of(blocks, present, 32)
    np.testing.assert_allclose(again, phi, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(v_optimal_features(again, 60)[0], expected[0])
    np.testing.assert_array_equal(v_optimal_dense(kernel, 60)[0], expected[1])


@pytest.mark.parametrize("spread", [1e-3, 1e-5])
def test_drift_is_noticed_and_repaired(spread, monkeypatch):
    """Near-duplicates and tiny noise: float32 loses what tells rows apart, and the picks must not show it."""
    rng = np.random.default_rng(0)
    points = np.repeat(rng.standard_normal((30, 3)), 10, axis=0) + spread * rng.standard_normal((300, 3))
    phi = features_of([points], np.ones((300, 1)), 256)
    weights = rng.random(300)
    moments, asked = FeatureProcess.moments, []

    def counted(self, *, precise):
        asked.append(precise)
        return moments(self, precise=precise)

    monkeypatch.setattr(FeatureProcess, "moments", counted)
    expected = by_hand((phi.astype(np.float64) @ phi.astype(np.float64).T), 300, 60, weights, 1e-7)
    picked, gains = v_optimal_features(phi, 60, weights=weights, noise=1e-7)
    assert asked.index(True) == len(asked) - 1 > 1  # float32 again did not help, float64 did for good
    assert set(picked[:30] // 10) == set(range(30))  # one of each group first
    # rows whose gains agree in four digits may change places before the drift is noticed
    assert (picked != expected[0]).mean() < 0.05
    np.testing.assert_allclose(gains, expected[1], rtol=1e-4)
    # without the repair it shows; and ordinary noise needs none
    monkeypatch.setattr(v_optimal, "_DRIFT", np.inf)
    drifted, drifted_gains = v_optimal_features(phi, 60, weights=weights, noise=1e-7)
    assert (drifted != expected[0]).mean() > 0.05 or not np.allclose(drifted_gains, expected[1], rtol=1e-4)
    monkeypatch.undo()
    monkeypatch.setattr(FeatureProcess, "moments", counted)
    asked.clear()
    v_optimal_features(phi, 60, weights=weights)
    assert not any(asked)


@pytest.mark.parametrize("n", [5, 300, 700])
def test_equal_rows_are_taken_in_order(n):
    picked, gains = v_optimal_dense(np.ones((n, n)), 5)
    assert picked.tolist() == [0, 1, 2, 3, 4]
    assert (np.diff(gains) < 0).all()
    picked, gains = v_optimal_dense(np.zeros((n, n)), n)
    assert picked.tolist() == list(range(n))
    assert (gains == 0).all()
    picked, gains = v_optimal_features(np.zeros((n, 4)), 5)
    assert picked.tolist() == [0, 1, 2, 3, 4]


def test_rows_are_taken_once_even_where_nothing_is_worth_anything():
    kernel = np.eye(8)
    picked, gains = v_optimal_dense(kernel, 8, weights=[0, 0, 0, 1, 0, 0, 0, 0])
    assert picked.tolist() == [3, 0, 1, 2, 4, 5, 6, 7]
    assert gains[0] == pytest.approx(1 / 1.1)
    assert (gains[1:] == 0).all()


def test_drift_by_falling_gains_is_repaired_in_float32(monkeypatch):
    """Without labels the first picks take nearly all of the variance; what is left is small against the errors."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((1500, 2)) * 0.05
    points[:30] += rng.standard_normal((30, 2))
    phi = fourier_features([[points]], [np.ones((1500, 1))], [4.0], 64, random_state=0)[0]
    moments, asked = FeatureProcess.moments, []

    def counted(self, *, precise):
        asked.append(precise)
        return moments(self, precise=precise)

    monkeypatch.setattr(FeatureProcess, "moments", counted)
    picked, gains = v_optimal_features(phi, 60)
    assert gains[-1] < 1e-4 * gains[0]
    assert len(asked) > 1
    assert not any(asked)
    expected, expected_gains = v_optimal_features(phi.astype(np.float64), 60)
    np.testing.assert_array_equal(picked, expected)
    np.testing.assert_allclose(gains, expected_gains, rtol=1e-4)


def test_arguments_are_not_changed():
    blocks, present = make_points(0, 2, n_rows=50)
    kernel = kernel_by_hand(blocks, present, [4.0, 4.0])
    weights = np.ones(30)
    parts = [kernel[:30, :30].copy(), kernel[:30, 30:].copy(), kernel[30:, 30:].copy(), weights]
    copies = [part.copy() for part in parts]
    v_optimal_dense(parts[0], 10, cross=parts[1], labelled=parts[2], weights=weights)
    for part, copy in zip(parts, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


BAD = {
    "noise of zero": ({"noise": 0}, ValueError, "noise must be finite and above 0, got 0"),
    "noise not finite": ({"noise": np.inf}, ValueError, "noise must be finite"),
    "weights too short": ({"weights": [1.0]}, ValueError, "weights must be 4 finite numbers"),
    "negative weights": ({"weights": [1.0, -1, 0, 0]}, ValueError, "not negative"),
    "weights of NaN": ({"weights": [1.0, np.nan, 0, 0]}, ValueError, "finite"),
    "too many": ({"n_samples": 5}, ValueError, "from 1 to the 4 points"),
    "not whole": ({"n_samples": 1.5}, TypeError, "n_samples must be an integer"),
}


@pytest.mark.parametrize("search", [v_optimal_dense, v_optimal_features])
@pytest.mark.parametrize("case", list(BAD))
def test_helpful_errors(search, case):
    arguments, error, match = BAD[case]
    with pytest.raises(error, match=match):
        search(np.eye(4), **{"n_samples": 2, **arguments})


def test_shapes_have_to_match():
    with pytest.raises(ValueError, match=r"kernel must be square, found shape \(4, 3\)"):
        v_optimal_dense(np.ones((4, 3)), 1)
    with pytest.raises(ValueError, match="cross and labelled go together"):
        v_optimal_dense(np.eye(4), 1, cross=np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"must have shapes \(4, L\) and \(L, L\), found \(3, 2\) and \(2, 2\)"):
        v_optimal_dense(np.eye(4), 1, cross=np.ones((3, 2)), labelled=np.eye(2))
    with pytest.raises(ValueError, match="features has 4 columns, labelled has 3"):
        v_optimal_features(np.eye(4), 1, labelled=np.eye(3))


ONE = [[[1.0]]]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: v_optimal_dense([[np.nan]], 1), "kernel must hold finite numbers"),
        (lambda: v_optimal_dense([[1.0]], 1, weights=[1e300]), "weights must be 1 finite numbers"),
        (lambda: v_optimal_dense([[1.0]], 1, cross=[[1.0]], labelled=[[-5.0]]), "labelled is no covariance"),
        (lambda: v_optimal_features([[1e200]], 1), "features must hold finite numbers"),
        (lambda: average_kernel([[[1.0]]], [[[1.0]]], [[1]], [[1]], [0.0]), "sq_widths must be 1 numbers above zero"),
        (lambda: average_kernel([[[1.0]]], [[[1.0]]], [[1, 1]], [[1]], [1.0]), "row_present must have shape"),
        (lambda: average_kernel([[[1.0]]], [[[1.0, 2.0]]], [[1]], [[1]], [1.0]), "modality 0 has 1 columns in rows, 2"),
        (lambda: fourier_features([[[[1.0]]]], [[[1]]], [1.0], 0), "n_components must be at least 1"),
        (lambda: fourier_features([[[[1.0]]]], [], [1.0], 2), "present one mask for each"),
        (lambda: average_kernel(ONE, ONE, [[1]], [[1]], [1.0], row_extra=ONE), "row_extra and col_extra go together"),
        (
            lambda: average_kernel(ONE, ONE, [[1]], [[1]], [1.0], row_extra=ONE, col_extra=[]),
            "cols has 1 modalities, its further columns are for 0",
        ),
        (
            lambda: average_kernel(ONE, ONE, [[1]], [[1]], [1.0], row_extra=ONE, col_extra=[[[1.0], [2.0]]]),
            "modality 0 of cols has 1 rows, its further columns 2",
        ),
        (lambda: fourier_features([ONE], [[[1]]], [1.0], 2, extra=[]), "further columns for each of the 1 sets, found 0"),
        (
            lambda: fourier_features([ONE, ONE], [[[1]], [[1]]], [1.0], 2, extra=[ONE, [[[1.0, 2.0]]]]),
            "modality 0 must have the same columns in all sets",
        ),
        (lambda: fourier_features([ONE], [[[1]]], [1.0], 2, extra=[[[[np.nan]]]]), "the further columns of sets must hold"),
    ],
)
def test_what_cannot_be_computed_with_is_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()
