"""Covers refuse what they cannot compute with; what they pick is tested with the strategies that use them."""

import warnings

import numpy as np
import pytest

from skmmal.selection._ball_cover import ball_cover, mixed_cover
from skmmal.selection._dense import nearest_other, unit_rows
from skmmal.selection._herding import kernel_herding

POINTS = np.array([[0.0, 1.0], [1.0, 0.0], [3.0, 3.0]])
NAN, INFINITE, HUGE = (np.where(POINTS == 3.0, value, POINTS) for value in (np.nan, np.inf, 1e200))


@pytest.mark.parametrize("points", [NAN, INFINITE, HUGE], ids=["nan", "infinite", "huge"])
@pytest.mark.parametrize(
    "cover",
    [
        kernel_herding,  # with NaN it never ended
        lambda points, n: ball_cover(points, n, radius=1.0),
        lambda points, n: mixed_cover(points, n, radius=1.0, uncertainty=np.ones(3), share=0.5),
        lambda points, _: nearest_other(points, [0, 0, 1]),
        lambda points, _: unit_rows(points),
    ],
)
def test_points_that_cannot_be_used(cover, points):
    with pytest.raises(ValueError, match="^points (must be finite|holds values too large)"):
        cover(points, 2)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: ball_cover(POINTS, 1, radius=-1.0), "radius must be"),
        (lambda: ball_cover(POINTS, 1, radius=[]), "radius must be"),
        (lambda: ball_cover(POINTS, 1, radius=1.0, references=[3]), "references must be row numbers from 0 to 2"),
        (lambda: ball_cover(POINTS, 1, radius=1.0, references=[-1]), "references must be"),
        (lambda: kernel_herding(POINTS, 1, initial=np.zeros((1, 3))), "initial has 3 columns, points has 2"),
        (lambda: kernel_herding(POINTS, 1, bandwidth=True), "bandwidth must be"),
        (lambda: mixed_cover(POINTS, 1, radius=1.0, uncertainty=np.ones(3), share=2), "share must be"),
        (lambda: mixed_cover(POINTS, 1, radius=1.0, uncertainty=np.ones(3), share=0.5, covered=[True]), "covered must"),
        (lambda: nearest_other(POINTS, [0]), "labels must have shape"),
    ],
)
def test_wrong_arguments(call, match):
    with pytest.raises((TypeError, ValueError), match=match):
        call()


def test_large_float32_points_are_squared_in_float64():
    points = np.array([[1e19], [1.1e19], [-1e19]], dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ball_cover(points, 2, radius=2e18)[0].tolist() == [0, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_herding_on_a_device_picks_the_same(dtype):
    """The processor as torch's device: the code that a graphics card runs."""
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    points, initial = rng.normal(size=(300, 6)).astype(dtype), rng.normal(size=(4, 6)).astype(dtype)
    options = {"references": np.arange(0, 300, 3), "weights": rng.random(300), "initial": initial, "bandwidth": 2.0}
    expected = kernel_herding(points, 40, **options)
    found = kernel_herding(points, 40, **options, device="cpu")
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4 if dtype == np.float32 else 1e-10)
