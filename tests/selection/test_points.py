"""Points that answer for themselves, wherever they are: the same loops, the same picks."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from skmmal.selection import (
    Candidates,
    DenseEmbedding,
    EmbeddingPoints,
    OuterProductEmbedding,
    PartialEmbedding,
    Points,
    StackedEmbedding,
    d2_sampling,
    k_center_greedy,
)


class ShardedPoints(Points):
    """Rows dealt out to shards that answer for their own; nothing but candidates comes together."""

    def __init__(self, embedding, n_shards, candidates=None):
        cuts = np.linspace(0, len(embedding), n_shards + 1).astype(int)
        is_open = np.ones(len(embedding), dtype=bool) if candidates is None else np.isin(np.arange(len(embedding)), candidates)
        self.starts, self.n_rows = cuts[:-1], len(embedding)
        self.shards = [
            EmbeddingPoints(embedding.take(np.arange(a, b)), is_open[a:b]) for a, b in pairwise(cuts)
        ]

    def __len__(self):
        return self.n_rows

    @property
    def has_centres(self):
        return self.shards[0].has_centres

    def _owners(self, rows):
        return np.searchsorted(self.starts, rows, side="right") - 1

    def _together(self, parts, order=None):
        moved = [Candidates(p.rows + start, p.sq_distances, p.embedding) for p, start in parts]
        found = Candidates.stack(moved)
        return found if order is None else found.take(order)

    def open_rows(self):
        return np.concatenate([s.open_rows() + start for s, start in zip(self.shards, self.starts, strict=True)])

    def take(self, rows):
        owners = self._owners(rows)
        parts = [(self.shards[w].take(rows[owners == w] - self.starts[w]), self.starts[w]) for w in np.unique(owners)]
        order = np.argsort(np.concatenate([np.flatnonzero(owners == w) for w in np.unique(owners)]))
        return self._together(parts, order)

    def largest(self):
        answers = [(s.largest(), start) for s, start in zip(self.shards, self.starts, strict=True) if len(s.open_rows())]
        best = int(np.argmax([each.sq_distances[0] for each, _ in answers]))
        return self._together([answers[best]])

    def mass(self):
        self.masses = np.array([shard.mass() for shard in self.shards])
        return float(self.masses.sum())

    def draw(self, positions):
        ends = self.masses.cumsum()
        owners = np.minimum(np.searchsorted(ends, positions, side="right"), np.flatnonzero(self.masses)[-1])
        own = np.unique(owners)
        parts = [
            (self.shards[w].draw(positions[owners == w] - (ends[w] - self.masses[w])), self.starts[w]) for w in own
        ]
        return self._together(parts, np.argsort(np.concatenate([np.flatnonzero(owners == w) for w in own])))

    def farthest(self, n_points):
        answers = [(*s.farthest(n_points), start) for s, start in zip(self.shards, self.starts, strict=True) if len(s.open_rows())]
        return self._together([(c, start) for c, _, start in answers]), max(bound for _, bound, _ in answers)

    def add(self, centres, rows):
        owners = self._owners(rows)
        for w, shard in enumerate(self.shards):
            shard.add(centres, rows[owners == w] - self.starts[w])


def embeddings(dtype=np.float64, n=700):
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((n, 4)).astype(dtype), rng.standard_normal((n, 9)).astype(dtype)
    scale = rng.random((n, 2)).astype(dtype)
    outer = OuterProductEmbedding(left, [right[:, :5], right[:, 5:]], scale)
    present = rng.random((n, 2)) > 0.2
    present[:, 0] = True
    return {
        "dense": DenseEmbedding(right),
        "outer": outer,
        "stacked": StackedEmbedding([outer, DenseEmbedding(right)]),
        "partial": PartialEmbedding([right[:, :5], right[:, 5:] * present[:, 1:]], present, [1.0, 2.0]),
    }


@pytest.mark.parametrize("kind", ["dense", "outer", "stacked", "partial"])
@pytest.mark.parametrize("n_shards", [1, 3])
def test_shards_pick_the_same_rows_in_the_same_order(kind, n_shards):
    embedding = embeddings()[kind]
    candidates = np.flatnonzero(np.random.default_rng(1).random(len(embedding)) < 0.6)
    for rows in (None, candidates):
        for first in ("norm", "random", int(candidates[3])):
            found = d2_sampling(ShardedPoints(embedding, n_shards, rows), 150, random_state=3, first=first)
            expected = d2_sampling(embedding, 150, random_state=3, first=first, candidates=rows)
            np.testing.assert_array_equal(found, expected)
        found = k_center_greedy(ShardedPoints(embedding, n_shards, rows), 120)
        np.testing.assert_array_equal(found, k_center_greedy(embedding, 120, candidates=rows))


def test_labelled_points_are_added_to_every_shard():
    embedding = embeddings()["outer"]
    pool, labeled = embedding.take(np.arange(50, 700)), embedding.take(np.arange(50))
    found = k_center_greedy(ShardedPoints(pool, 3), 80, initial=labeled)
    np.testing.assert_array_equal(found, k_center_greedy(pool, 80, initial=labeled))
    found = k_center_greedy(ShardedPoints(pool, 3), 80, initial=[3, 600, 200])
    np.testing.assert_array_equal(found, k_center_greedy(pool, 80, initial=[3, 600, 200]))


def test_points_say_themselves_who_may_be_picked():
    points = EmbeddingPoints(embeddings()["dense"], candidates=[3, 5, 7])
    assert sorted(d2_sampling(points, 3, random_state=0).tolist()) == [3, 5, 7]
    with pytest.raises(ValueError, match="theirs to know"):
        d2_sampling(points, 1, candidates=[3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["dense", "outer", "stacked", "partial"])
def test_torch_picks_what_numpy_picks(kind, dtype):
    embedding = embeddings(dtype)[kind]
    moved = embedding.to("cpu")  # torch computes there, too
    np.testing.assert_array_equal(d2_sampling(moved, 150, random_state=0), d2_sampling(embedding, 150, random_state=0))
    np.testing.assert_array_equal(k_center_greedy(moved, 100), k_center_greedy(embedding, 100))
    tolerance = 1e-5 if dtype is np.float32 else 1e-12
    np.testing.assert_allclose(moved.sq_norms(), embedding.sq_norms(), rtol=tolerance)
    np.testing.assert_allclose(moved.sq_distances([3], [5, 9]), embedding.sq_distances([3], [5, 9]), rtol=10 * tolerance)
    again = moved.take(np.arange(40)).sq_distances()
    np.testing.assert_allclose(again, embedding.take(np.arange(40)).sq_distances(), rtol=1e-3, atol=tolerance)


def test_selection_in_memory_imports_no_torch():
    code = """
import sys
from itertools import pairwise
import numpy as np
from skmmal.selection import DenseEmbedding, OuterProductEmbedding, StackedEmbedding, d2_sampling, k_center_greedy
from skmmal.selection._herding import kernel_herding
from skmmal.selection._gaussian_kernels import fourier_features
from skmmal.selection._v_optimal import v_optimal_features
rng = np.random.default_rng(0)
left, right = rng.standard_normal((200, 3)), rng.standard_normal((200, 8)).astype(np.float32)
outer = OuterProductEmbedding(left, right)
d2_sampling(StackedEmbedding([outer, DenseEmbedding(right)]), 60, random_state=0)
k_center_greedy(outer, 20)
kernel_herding(right, 5)
v_optimal_features(fourier_features([[right]], [np.ones((200, 1))], [4.0], 16, random_state=0)[0], 5)
print(sorted(name for name in sys.modules if name.split(".")[0] == "torch"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
