"""What needs no torch starts without it: each in a process of its own."""

import subprocess
import sys

import pytest

START = """
import sys
import numpy as np
from skmmal import ActiveLearner, LateFusionClassifier, ModalityScaler, MultimodalArray
rng = np.random.default_rng(0)
y = np.arange(60) % 3
blocks = {"image": rng.normal(size=(60, 5)) + y[:, None], "text": rng.normal(size=(60, 4))}
blocks["text"][::9] = np.nan
X = MultimodalArray(blocks)
"""
USES = {
    "rooms": "import skmmal.query, skmmal.heads, skmmal.balancing, skmmal.reading, skmmal.selection, skmmal.diagnostics",
    "strategies": "from skmmal.query import BADGE, BMMAL, MVOPT, CoreSet, EntropySampling, TypiClust, UHerding",
    "names": "from skmmal.balancing import available_balancings; assert 'ogm' in available_balancings()",
    "a fit and its answers": """
for params in ({}, {"fusion": "sum"}, {"warm_start": True}, {"warm_start": "anchor", "device": "cpu"}):
    clf = LateFusionClassifier(**params).fit(X, y)
    clf.fit(X[:30], y[:30])
    clf.predict_proba(X), clf.predict(X), clf.score_by_modality(X, y), clf.predict_proba_by_modality(X)
    clf.modality_contributions(X), clf.shapley_values(X), clf.predict_proba_with(X, ["text"]), clf.embed(X), clf.coef_
""",
    "saved and copied": """
import copy, pickle, tempfile
clf = LateFusionClassifier(warm_start="anchor").fit(X, y).fit(X[:20], y[:20])
with tempfile.TemporaryDirectory() as folder:
    clf.save(folder)
    again = LateFusionClassifier.load(folder)
for other in (again, copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))):
    assert (other.predict_proba(X) == clf.predict_proba(X)).all()
""",
    "queries": """
from skmmal.query import get_strategy
clf = LateFusionClassifier().fit(X[:20], y[:20])
for name in ("badge", "bait", "bald", "bmmal", "clustermargin", "coreset", "epig", "margin", "probcover", "uherding"):
    get_strategy(name).query(clf, X[20:], 5, X_labeled=X[:20], y_labeled=y[:20])
get_strategy("mvopt", device="cpu").query(clf, X[20:], 5, X_labeled=X[:20])
""",
    "a search on a machine without a GPU": """
import skmmal._torch
from skmmal.query import MVOPT
skmmal._torch._has_gpu_driver = lambda: False
MVOPT().query(LateFusionClassifier().fit(X[:20], y[:20]), X[20:], 5, X_labeled=X[:20])
if sys.platform != "linux":  # elsewhere nothing but torch can tell
    del sys.modules["torch"]
""",
    "a learner": """
from sklearn.pipeline import make_pipeline
learner = ActiveLearner(make_pipeline(ModalityScaler(), LateFusionClassifier()), "badge", X[:20], y[:20])
rows, _ = learner.query(X[20:], 5)
learner.teach(X[20:][rows], y[20:][rows])
""",
    "diagnostics": """
from skmmal.diagnostics import accuracy_shapley, linear_probe
clf = LateFusionClassifier().fit(X, y)
accuracy_shapley(clf, X, y), linear_probe(clf, X, y, X, y)
""",
}


@pytest.mark.parametrize("use", USES)
def test_no_torch(use):
    code = f"{START}{USES[use]}\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_torch_looks_for_a_gpu_that_may_be_there():
    code = f"{START}\nimport skmmal._torch\nfrom skmmal.query import MVOPT\nskmmal._torch._has_gpu_driver = lambda: True\n"
    code += "MVOPT().query(None, X, 5)\nassert 'torch' in sys.modules"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
