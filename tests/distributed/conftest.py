"""Pools of uneven shards."""

from itertools import pairwise

import numpy as np
import pytest
from samples import make_blocks

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.distributed import ShardedPool

N_ROWS, N_LABELED = 260, 40
CUTS = [0, 1, 2, 90, 91, 200, N_ROWS]
"""Where the files end: some hold one row."""


class Problem:
    """A pool in memory and the same in files, and a model fitted on labelled rows."""

    def __init__(self, folder, missing, multi_label=False):
        blocks, y = make_blocks(n=N_ROWS + N_LABELED, widths={"image": 12, "text": 7}, missing=missing, dtype=np.float32)
        X = MultimodalArray(blocks)
        self.X, self.X_labeled, self.y_labeled = X[N_LABELED:], X[:N_LABELED], y[:N_LABELED]
        self.y = y[N_LABELED:]
        self.clf = LateFusionClassifier().fit(self.X_labeled, self.y_labeled)
        self.paths = {name: [] for name in blocks}
        for name, block in self.X.blocks.items():
            for at, (start, stop) in enumerate(pairwise(CUTS)):
                self.paths[name].append(folder / f"{name}-{at}.npy")
                np.save(self.paths[name][-1], block[start:stop])

    def pool(self, n_workers=2, client=None):
        return ShardedPool.open(self.paths, client, n_workers=n_workers)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    return Problem(tmp_path_factory.mktemp("whole"), missing=0.0)


@pytest.fixture(scope="session")
def lacking(tmp_path_factory):
    return Problem(tmp_path_factory.mktemp("lacking"), missing=0.25)


@pytest.fixture(params=["whole", "lacking"])
def problem(request):
    return request.getfixturevalue(request.param)
