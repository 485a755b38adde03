"""Without torch: what does not need it works, what does says so. In processes that cannot import it."""

import subprocess
import sys
import textwrap

START = """
import sys
import warnings
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name=name)
sys.meta_path.insert(0, NoTorch())
warnings.simplefilter("ignore")
import numpy as np
from skmmal import ActiveLearner, LateFusionClassifier, MultimodalArray
rng = np.random.default_rng(0)
y = np.arange(60) % 3
blocks = {"image": rng.normal(size=(60, 5)) + y[:, None], "text": rng.normal(size=(60, 4))}
blocks["text"][::9] = np.nan
X = MultimodalArray(blocks)
clf = LateFusionClassifier().fit(X[:20], y[:20])
"""
WORKS = {
    "every room": """
        import importlib, skmmal
        for room in skmmal._SUBPACKAGES:
            importlib.import_module(f"skmmal.{room}")
        from skmmal.featurize import JobOptions
        from skmmal.featurize.backbones import BACKBONES
    """,
    "strategies": """
        from skmmal._registry import ENTRIES
        needing = {"coregcn", "mmcsal", "uncertaingcn"}
        for entry in ENTRIES:
            if entry.kind == "strategy" and entry.name not in needing:
                rows = entry.load()().query(clf, X[20:], 4, X_labeled=X[:20], y_labeled=y[:20])
                assert len(set(rows)) == 4, entry.name
    """,
    "a committee": """
        from sklearn.ensemble import BaggingClassifier
        from sklearn.linear_model import LogisticRegression
        from skmmal.query import BALD, BatchBALD, EPIG
        dense = np.nan_to_num(np.asarray(X))
        committee = BaggingClassifier(LogisticRegression(), 3, random_state=0).fit(dense[:20], y[:20])
        for strategy in (BALD(), BatchBALD(random_state=0), EPIG(random_state=0)):
            assert len(strategy.query(committee, dense[20:], 4)) == 4
    """,
    "an experiment and its figures": """
        import tempfile
        from skmmal import run_experiment
        from skmmal.query import BADGE, RandomSampling
        with tempfile.TemporaryDirectory() as folder:
            results = run_experiment(
                LateFusionClassifier(), {"badge": BADGE(), "random": RandomSampling()},
                X[:40], y[:40], X_test=X[40:], y_test=y[40:], n_initial=6, n_instances=4, n_rounds=2, seeds=2, results_dir=folder,
            )
            assert len(results.selected) == 2 * 2 * (6 + 2 * 4)
    """,
    "robustness": """
        from skmmal.robustness import missing_curve, noise_curve
        assert len(missing_curve(clf, X, y, rates=[0, 0.5], random_state=0))
        assert len(noise_curve(clf, X, y, levels=[0, 1], random_state=0))
    """,
    "a saved model": """
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            clf.save(folder)
            assert (LateFusionClassifier.load(folder).predict_proba(X) == clf.predict_proba(X)).all()
    """,
}
NEEDS = {
    "encoder_dim=8": "LateFusionClassifier(encoder_dim=8).fit(X, y)",
    "dropout=0.1": "LateFusionClassifier(dropout=0.1).fit(X, y)",
    "modality_dropout=0.1": "LateFusionClassifier(modality_dropout=0.1).fit(X, y)",
    "missing='token'": "LateFusionClassifier(missing='token').fit(X, y)",
    "solver='adamw'": "LateFusionClassifier(solver='adamw').fit(X, y)",
    "solver='sgd'": "LateFusionClassifier(fusion='sum', solver='sgd').fit(X, y)",
    "fusion='gated'": "LateFusionClassifier(fusion='gated').fit(X, y)",
    "fusion='attention'": "LateFusionClassifier(fusion='attention').fit(X, y)",
    "fusion=NLGate()": "from skmmal.heads import NLGate; LateFusionClassifier(fusion=NLGate()).fit(X, y)",
    "device='cuda'": "LateFusionClassifier(device='cuda').fit(X, y)",
    "OGM": "LateFusionClassifier(balancing='ogm', encoder_dim=8).fit(X, y)",
    "OPM": "from skmmal.balancing import OPM",
    "module_": "clf.module_",
    "Encoder": "from skmmal.heads import Encoder",
    "NetworkSource": "from skmmal.reading import NetworkSource",
    "CrossModalEncoder": "from skmmal import CrossModalEncoder",
    "MMCSAL": "from skmmal.query import MMCSAL",
    "CoreGCN": "ActiveLearner(LateFusionClassifier(), 'coregcn').fit(X, y).query(X, 3)",
    "UncertainGCN": "from skmmal.query import get_strategy; get_strategy('uncertain-gcn')",
    "MVOPT(device='cuda')": "from skmmal.query import MVOPT; MVOPT(device='cuda').query(clf, X[20:], 3, X_labeled=X[:20])",
    "adversarial_curve": "from skmmal.robustness import adversarial_curve; adversarial_curve(clf, X, y)",
    "adversarial_examples": """
        from skmmal.robustness import adversarial_examples
        adversarial_examples(clf, X, y, "image", epsilon=0.1)
    """,
    "run": "from skmmal.featurize import run",
    "describe": "from skmmal.featurize.backbones import describe",
    "torchvision_images": """
        from skmmal.featurize.backbones import build_backbone
        build_backbone("image", "torchvision/resnet18")
    """,
}
REFUSAL = """
try:
{body}
except ImportError as error:
    print(error)
else:
    raise SystemExit("nothing said that torch is missing")
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_works():
    run("".join(textwrap.dedent(code) for code in WORKS.values()))


def test_what_needs_torch_says_so():
    bodies = {what: textwrap.indent(textwrap.dedent(code).strip(), "    ") for what, code in NEEDS.items()}
    said = run("".join(REFUSAL.format(body=body) for body in bodies.values())).splitlines()
    assert len(said) == len(NEEDS)
    for what, line in zip(NEEDS, said, strict=True):
        assert what in line, (what, line)
        assert "needs torch, which is not installed: pip install \"skmmal[" in line


def test_another_missing_package_is_named_as_it_is(tmp_path):
    (tmp_path / "strategy_of_another.py").write_text("import a_package_that_is_not_there\n")
    code = f"""
sys.path.insert(0, {str(tmp_path)!r})
from skmmal._torch import load
try:
    load("strategy_of_another", "Strategy")
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run(code) == "a_package_that_is_not_there"
