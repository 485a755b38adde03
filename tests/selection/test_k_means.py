"""k-means of many points: what is centred in its place ends in the same clusters."""

import numpy as np
import pytest

from skmmal.selection import _k_means


@pytest.mark.parametrize("small", [10**9, 0], ids=["all columns", "principal components"])
def test_overwritten_points_are_clustered_alike(monkeypatch, small):
    monkeypatch.setattr(_k_means, "_SMALL", small)
    monkeypatch.setattr(_k_means, "_COMPONENTS", 6)
    rng = np.random.default_rng(0)
    centres = 5 * rng.standard_normal((12, 20))
    points = (centres[rng.integers(0, 12, 300)] + rng.standard_normal((300, 20)) + 3.0).astype(np.float32)
    rows, distances = _k_means.representatives(points.copy(), 12, np.random.RandomState(0))
    found, found_distances = _k_means.representatives(points.copy(), 12, np.random.RandomState(0), overwrite=True)
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_allclose(found_distances, distances, rtol=1e-4)
