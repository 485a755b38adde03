"""TCM is TypiClust, then margin."""

import numpy as np
import pytest
from samples import make_blocks

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.query import TCM, MarginSampling, TypiClust


@pytest.fixture(scope="module")
def problem():
    blocks, y = make_blocks(n=120, missing=0.2)
    X = MultimodalArray(blocks)
    return LateFusionClassifier().fit(X[:40], y[:40]), X[40:], {"X_labeled": X[:40], "y_labeled": y[:40]}


@pytest.mark.parametrize("on", ["fused", "text", "all"])
@pytest.mark.parametrize("candidates", [None, np.arange(0, 80, 2)])
@pytest.mark.parametrize("labels_per_class", [0, 5, 13, 13.4, 50])
def test_it_is_the_one_or_the_other(labels_per_class, candidates, on, problem):
    clf, pool, known = problem
    counted = known["X_labeled"][on] if on == "text" else known["y_labeled"][:, None]
    few = (~np.isnan(counted[:, 0])).sum() < 3 * labels_per_class  # up to 40 labels, three classes
    expected = (TypiClust(random_state=2, on=on) if few else MarginSampling(on=on)).query(
        clf, pool, 9, candidates=candidates, return_scores=True, **known
    )
    found = TCM(labels_per_class, random_state=2, on=on).query(
        clf, pool, 9, candidates=candidates, return_scores=True, **known
    )
    np.testing.assert_array_equal(found, expected)


def test_without_a_model_or_labels_it_is_typiclust(problem):
    clf, pool, known = problem
    for model, labelled in ((None, {}), (LateFusionClassifier(), known), (clf, {})):
        expected = TypiClust(random_state=2).query(model, pool, 9, **labelled)
        np.testing.assert_array_equal(TCM(0, random_state=2).query(model, pool, 9, **labelled), expected)
