"""Pure functions on matrices: selection over embeddings, designs, contributions."""

import numpy as np
import torch
from fuzz.harness import REFUSED, answer, check_indices, fuzz
from fuzz.inputs import FLOATS, GENTLE, ODD, WHOLE, WILD, budgets, seeds, values
from hypothesis import strategies as st
from scipy import sparse

from skmmal.contributions import (
    balance_weights,
    contributions,
    dominance,
    linear_coalition_value,
    sampled_shapley_values,
    shapley_values,
)
from skmmal.selection import DenseEmbedding, OuterProductEmbedding, StackedEmbedding, d2_sampling, k_center_greedy
from skmmal.selection._ball_cover import ball_cover, mixed_cover
from skmmal.selection._dense import nearest_other, unit_rows
from skmmal.selection._gaussian_kernels import average_kernel, fourier_features, median_sq_distance
from skmmal.selection._herding import kernel_herding
from skmmal.selection._v_optimal import v_optimal_dense, v_optimal_features

BROKEN = ["nan", "infinity", "text", "complex", "vector", "cube", "no-rows", "no-columns", "none", "number", "ragged", "objects", "sparse"]


def draw_matrix(data, n=None, width=None, defects=True, wild=True):
    """A matrix in some form; its rows, columns; and whether it is good (None: hard to compute with)."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    n = n or data.draw(st.integers(1, 14))
    width = width or data.draw(st.integers(1, 4))
    style = data.draw(st.sampled_from(GENTLE + (WILD if wild else [])))
    matrix = values(rng, (n, width), style, data.draw(st.sampled_from(FLOATS + WHOLE)))
    defect = data.draw(st.one_of(st.none(), st.none(), st.sampled_from(BROKEN))) if defects else None
    if defect is not None:
        # points without coordinates are points that nothing tells apart
        return broken_matrix(matrix, defect), n, width, None if defect == "no-columns" else False
    form = data.draw(st.sampled_from(["array", "array", "list", "tensor", "fortran", "reversed"]))
    made = {
        "array": lambda: matrix,
        "list": lambda: matrix.tolist(),
        "tensor": lambda: torch.as_tensor(matrix),
        "fortran": lambda: np.asfortranarray(matrix),
        "reversed": lambda: matrix[::-1],
    }[form]()
    return made, n, width, None if style in WILD else True


def broken_matrix(matrix, defect):
    floats = matrix.astype(np.float64)
    if defect == "nan":
        floats[0, 0] = np.nan
    elif defect == "infinity":
        floats[-1, -1] = np.inf
    else:
        return {
            "text": lambda: np.full(matrix.shape, "x"),
            "complex": lambda: matrix.astype(np.complex128),
            "vector": lambda: floats[:, 0],
            "cube": lambda: floats[None],
            "no-rows": lambda: floats[:0],
            "no-columns": lambda: floats[:, :0],
            "none": lambda: None,
            "number": lambda: 2.0,
            "ragged": lambda: [[1.0], [2.0, 3.0]],
            "objects": lambda: np.full(matrix.shape, {}, dtype=object),
            "sparse": lambda: sparse.csr_matrix(floats),
        }[defect]()
    return floats


def draw_embedding(data, n=None):
    kind = data.draw(st.sampled_from(["dense", "outer", "stacked", "matrix"]))
    left, n, _, good = draw_matrix(data, n)
    if kind == "matrix" or (good is False and kind == "dense"):
        return left, n, good
    if kind == "dense":
        return answer("DenseEmbedding", lambda: DenseEmbedding(left), valid=good or None), n, good
    right, _, _, good_right = draw_matrix(data, n)
    good = False if good is False or good_right is False else good and good_right
    if kind == "outer":
        made = answer("OuterProductEmbedding", lambda: OuterProductEmbedding(left, right))
    else:
        made = answer("StackedEmbedding", lambda: StackedEmbedding([DenseEmbedding(left), DenseEmbedding(right)]))
    return made, n, good


@fuzz(200)
def test_d2_sampling(data):
    embedding, n, good = draw_embedding(data)
    if embedding is REFUSED:
        return
    wanted, wanted_good = data.draw(budgets(n))
    seed, seed_good = data.draw(seeds())
    first = data.draw(st.sampled_from(["norm", "norm", "norm", "random", 0, n - 1, n, -1, "other", None, True, 0.5]))
    valid = None if good is None else good and wanted_good and seed_good and (first in ("norm", "random") or (type(first) is int and 0 <= first < n))
    picked = answer("d2_sampling", lambda: d2_sampling(embedding, wanted, random_state=seed, first=first), valid=valid)
    if picked is not REFUSED:
        check_indices(picked, int(wanted), n)


@fuzz(200)
def test_k_center_greedy(data):
    embedding, n, good = draw_embedding(data)
    if embedding is REFUSED:
        return
    wanted, _ = data.draw(budgets(n))
    initial = data.draw(st.sampled_from([None, None, [0], [n - 1, 0], [n], [-1], [0.5], [], "a", ["a"], np.zeros((2, 9)), [True], 3]))
    if data.draw(st.booleans()):
        initial = draw_matrix(data, width=getattr(embedding, "shape", (0, 1))[-1] or 1)[0]
    picked = answer("k_center_greedy", lambda: k_center_greedy(embedding, wanted, initial=initial))
    if picked is not REFUSED:
        assert good is not False
        check_indices(picked, int(wanted), n)


@fuzz(120)
def test_embeddings(data):
    embedding, n, _ = draw_embedding(data)
    if embedding is REFUSED or not hasattr(embedding, "sq_norms"):
        return
    norms = answer("Embedding.sq_norms", embedding.sq_norms)
    if norms is REFUSED:
        return
    assert np.isfinite(norms).all()
    index = data.draw(st.sampled_from([None, [0], slice(None), [0, n - 1], [n], [-1], "a", [0.5], [True] * n, [], 0]))
    for entry, call in (("Embedding.inner", embedding.inner), ("Embedding.sq_distances", embedding.sq_distances)):
        found = answer(entry, lambda call=call: call(index, None), errors=(IndexError,), ours=False)
        if found is not REFUSED:
            assert found.shape[1] == n
            assert np.isfinite(found).all()
            assert entry == "Embedding.inner" or (found >= 0).all()


def draw_vector(data, n):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    return data.draw(
        st.sampled_from(
            [
                *(None, None, rng.random(n), np.zeros(n), np.arange(n), rng.random(n).tolist(), torch.ones(n)),
                *(-rng.random(n), np.full(n, np.nan), np.full(n, np.inf), rng.random(n + 1), rng.random((n, 1)), ["a"] * n, "a", 3, 1e300 * np.ones(n)),
            ]
        )
    )


@fuzz(200)
def test_covers(data):
    points, n, width, good = draw_matrix(data)
    wanted, wanted_good = data.draw(budgets(n))
    seed, seed_good = data.draw(seeds())
    references = data.draw(st.sampled_from([None, None, None, [0], list(range(n)), [n], [-1], [0.5], [], ["a"], [True] * n, 0]))
    initial = data.draw(st.sampled_from([None, None, draw_matrix(data, width=width)[0]]))
    size = data.draw(st.sampled_from([1.0, 0.3, 1e-6, 1e6, *ODD]))
    kind = data.draw(st.sampled_from(["herding", "balls", "mixed"]))
    options = {"references": references, "random_state": seed}
    if kind == "herding":
        weights = draw_vector(data, n)
        call = lambda: kernel_herding(points, wanted, weights=weights, initial=initial, bandwidth=size, **options)  # noqa: E731
    elif kind == "balls":
        call = lambda: ball_cover(points, wanted, radius=size, initial=initial, **options)  # noqa: E731
    else:
        uncertainty = draw_vector(data, n)
        share = data.draw(st.sampled_from([0.0, 0.5, 1.0, *ODD]))
        covered = data.draw(st.sampled_from([None, None, [False] * n, [True] * n, [True], "a"]))
        call = lambda: mixed_cover(points, wanted, radius=size, uncertainty=uncertainty, share=share, covered=covered, **options)  # noqa: E731
    name = {"herding": "kernel_herding", "balls": "ball_cover", "mixed": "mixed_cover"}[kind]
    valid = False if good is False or not wanted_good or not seed_good else None
    found = answer(name, call, valid=valid)
    if found is not REFUSED:
        indices, gains = found
        check_indices(indices, int(wanted), n)
        assert gains.shape == (int(wanted),)
        assert np.isfinite(gains).all()
        assert (gains >= 0).all()


@fuzz(120)
def test_rows_and_neighbours(data):
    points, n, _, good = draw_matrix(data)
    good = None if getattr(points, "shape", (1,))[:1] == (0,) else good  # nothing in, nothing out
    found = answer("unit_rows", lambda: unit_rows(points), valid=good)
    if found is not REFUSED:
        assert np.isfinite(found).all()
    labels = draw_vector(data, n)
    distances = answer("nearest_other", lambda: nearest_other(points, labels), valid=False if good is False else None)
    if distances is not REFUSED:
        assert distances.shape == (n,)
        assert (distances >= 0).all()


@fuzz(150)
def test_v_optimal(data):
    matrix, n, width, good = draw_matrix(data)
    wanted, wanted_good = data.draw(budgets(n))
    weights = draw_vector(data, n)
    noise = data.draw(st.sampled_from([0.1, 0.1, 1.0, 1e-9, *ODD]))
    labelled = data.draw(st.sampled_from([None, None, draw_matrix(data, width=width)[0]]))
    valid = False if good is False or not wanted_good else None
    if data.draw(st.booleans()):
        name, call = "v_optimal_features", lambda: v_optimal_features(matrix, wanted, weights=weights, labelled=labelled, noise=noise)
    else:
        if good:
            values_ = np.asarray(matrix, dtype=np.float64)
            matrix = values_ @ values_.T
        cross = data.draw(st.sampled_from([None, None, draw_matrix(data, n=n)[0]]))
        name, call = "v_optimal_dense", lambda: v_optimal_dense(matrix, wanted, weights=weights, cross=cross, labelled=labelled, noise=noise)
    found = answer(name, call, valid=valid)
    if found is not REFUSED:
        indices, gains = found
        check_indices(indices, int(wanted), n)
        assert np.isfinite(gains).all()


@fuzz(80)
def test_kernels_of_modalities(data):
    n, m = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    drawn = [draw_matrix(data, n=n) for _ in range(m)]
    blocks = [block for block, *_ in drawn]
    present = data.draw(st.sampled_from([np.ones((n, m)), np.ones((n, m), dtype=bool), np.ones((n + 1, m)), [[1] * m] * n, "a", None]))
    widths = data.draw(st.sampled_from([[1.0] * m, [1.0] * (m + 1), [0.0] * m, [-1.0] * m, ["a"] * m, None, 1.0]))
    kernel = answer("average_kernel", lambda: average_kernel(blocks, blocks, present, present, widths))
    if kernel is not REFUSED:
        assert kernel.shape == (n, n)
        assert np.isfinite(kernel).all()
    count = data.draw(st.sampled_from([1, 2, 7, 0, -1, 1.5, "a", None, True]))
    seed, _ = data.draw(seeds())
    features = answer("fourier_features", lambda: fourier_features([blocks], [present], widths, count, random_state=seed))
    if features is not REFUSED:
        assert np.isfinite(features[0]).all()
    spread = answer("median_sq_distance", lambda: median_sq_distance(blocks[0]), valid=drawn[0][3] or None)
    if spread is not REFUSED:
        assert spread > 0
        assert np.isfinite(spread)


@fuzz(120)
def test_contributions(data):
    phi, n, width, good = draw_matrix(data)
    shares = answer("contributions", lambda: contributions(phi), valid=None if getattr(phi, "shape", None) == (0, width) else good)
    if shares is REFUSED:
        return
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-9)
    present = data.draw(st.sampled_from([np.ones((n, width)), np.zeros((n, width)), [[True] * width] * n, [1], "a", [["a"] * width] * n, None]))
    answer("contributions", lambda: contributions(phi, present))
    for name, function in (("dominance", dominance), ("balance_weights", balance_weights)):
        found = answer(name, lambda function=function: function(shares), valid=True)
        assert np.isfinite(found).all()
        odd = data.draw(st.sampled_from(ODD))
        answer(name, lambda function=function, odd=odd: function(odd))


@fuzz(150)
def test_shapley_values(data):
    m = data.draw(st.sampled_from([1, 2, 3, 4, 0, -1, 1.5, "2", None, True, 30]))
    value = data.draw(st.sampled_from(["sum", "none", "text", "number", "other-length", "matrix", "nan"]))

    def worth(present):
        return {
            "sum": lambda: np.arange(3.0) * present.sum(),
            "none": lambda: None,
            "text": lambda: "abc",
            "number": lambda: 1.0,
            "other-length": lambda: np.ones(1 + present.sum()),
            "matrix": lambda: np.ones((2, 2)),
            "nan": lambda: np.array([np.nan]),
        }[value]()

    found = answer("shapley_values", lambda: shapley_values(worth, m), valid=None if value == "sum" else False)
    if found is not REFUSED:
        np.testing.assert_allclose(found.sum(axis=1), np.arange(3.0) * m)
    count = data.draw(st.sampled_from([4, 7, 3, 0, -1, 4.0, "4", None, True]))
    sampled = answer(
        "sampled_shapley_values",
        lambda: sampled_shapley_values(worth, m, n_permutations=count, random_state=0),
        valid=None if value == "sum" else False,
    )
    if sampled is not REFUSED:
        np.testing.assert_allclose(sampled[0].sum(axis=1), np.arange(3.0) * m)
        assert (sampled[1] < 1e-12).all()  # every order gives the same
    logits = [draw_matrix(data, n=3, width=2)[0] for _ in range(2)]
    target = data.draw(st.sampled_from([np.array([0, 1, 1]), np.array([0, 1, 2]), np.array([-1, 0, 0]), [0, 0, 0], [0.5] * 3, "a", None, [0]]))
    found = answer(
        "linear_coalition_value",
        lambda: linear_coalition_value(logits, np.zeros(2), target)(np.array([True, False])),
    )
    if found is not REFUSED:
        assert found.shape == (3,)
        assert ((found >= 0) & (found <= 1)).all()
