"""What is registered is what the code can do, and nothing escapes."""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from samples import make_blocks, quick_strategy
from sklearn.exceptions import NotFittedError

import skmmal.balancing
import skmmal.query
import skmmal.stopping
from skmmal import LateFusionClassifier, MultimodalArray
from skmmal._registry import ENTRIES, find, name_of
from skmmal.balancing import Balancing, available_balancings, balancing_classes, get_balancing
from skmmal.query import QueryStrategy, available_strategies, get_strategy, strategy_name, strategy_table
from skmmal.query._strategies import saved_strategy
from skmmal.stopping import StoppingCriterion, available_criteria

STRATEGIES = [entry for entry in ENTRIES if entry.kind == "strategy"]
BALANCINGS = [entry for entry in ENTRIES if entry.kind == "balancing"]


def named(entry):
    return entry.name


def classes_in(package, base):
    """Subclasses that a package's modules define and that lack no method."""
    modules = [
        importlib.import_module(info.name) for info in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    ]
    found = {
        thing
        for module in modules
        for _, thing in inspect.getmembers(module, inspect.isclass)
        if issubclass(thing, base)
    }
    return {
        cls for cls in found if not any(getattr(getattr(cls, name), "__isabstractmethod__", False) for name in dir(cls))
    }


@pytest.fixture(scope="module")
def problem():
    blocks, y = make_blocks(n=70, missing=0.2)
    X = MultimodalArray(blocks)
    return LateFusionClassifier().fit(X[:30], y[:30]), X[30:], X[:30], y[:30]


def test_lines_are_sorted_and_names_are_unique():
    order = [(entry.kind, entry.name) for entry in ENTRIES]
    assert order == sorted(set(order))


def test_no_strategy_escapes():
    ours = {cls for cls in classes_in(skmmal.query, QueryStrategy) if cls.__module__.startswith("skmmal.")}
    registered = {entry.load() for entry in STRATEGIES}
    assert ours - registered <= {skmmal.query.Partitioned}  # takes another strategy: it has no name by itself
    assert registered <= ours
    for cls in ours:
        assert getattr(skmmal.query, cls.__name__) is cls
        assert cls.__name__ in skmmal.query.__all__


def test_no_balancing_method_escapes():
    assert {entry.load() for entry in BALANCINGS} == classes_in(skmmal.balancing, Balancing) - {Balancing}
    assert available_balancings() == [entry.name for entry in BALANCINGS]
    assert balancing_classes() == [entry.load() for entry in BALANCINGS]


def test_no_stopping_criterion_escapes():
    registered = {entry.name: entry.load() for entry in ENTRIES if entry.kind == "stopping"}
    ours = classes_in(skmmal.stopping, StoppingCriterion)
    assert set(registered.values()) == {cls for cls in ours if cls.__module__.startswith("skmmal.")}
    assert registered == {cls.name: cls for cls in registered.values()}
    assert available_criteria() == list(registered)


@pytest.mark.parametrize("entry", ENTRIES, ids=named)
def test_every_spelling_is_found(entry):
    for spelling in (entry.name, entry.name.upper().replace("-", "_"), entry.class_name, entry.class_name.lower()):
        assert find(entry.kind, spelling) is entry
    assert name_of(entry.kind, entry.load()) == entry.name
    assert entry.load().__name__ == entry.class_name


@pytest.mark.parametrize(("kind", "what"), [("strategy", "strategy"), ("balancing", "balancing method"), ("stopping", "stopping criterion")])
def test_a_misspelt_name_is_answered_with_the_nearest(kind, what):
    nearest = {"strategy": ("bmmall", "bmmal"), "balancing": ("mmpareta", "mmpareto"), "stopping": ("patiens", "patience")}[kind]
    with pytest.raises(ValueError, match=f"unknown {what} '{nearest[0]}'; there are .*Did you mean '{nearest[1]}'"):
        find(kind, nearest[0])
    with pytest.raises(TypeError, match="must be a string"):
        find(kind, 3)


def test_objects_by_name():
    assert get_balancing("OGM_GE", alpha=0.1).alpha == 0.1
    assert get_strategy("least_confidence").__class__.__name__ == "LeastConfidenceSampling"
    assert strategy_name(get_strategy("bmmal")) == strategy_name(skmmal.query.BMMAL) == "bmmal"

    class BADGE(skmmal.query.BADGE):
        pass

    assert strategy_name(BADGE()) is None


@pytest.mark.parametrize("entry", STRATEGIES, ids=named)
def test_declared_capabilities_are_those_of_the_class(entry):
    cls = entry.load()
    assert cls.requires_model == entry.needs_model
    assert cls.compares_modalities == entry.compares_modalities
    assert cls.supports_groups == entry.groups  # tests/query/test_groups.py holds both against the code
    assert cls.supports_multi_label == entry.multi_label  # tests/query/test_several_labels.py holds both against the code
    assert ("on" in inspect.signature(cls).parameters) == entry.on


@pytest.mark.parametrize("entry", STRATEGIES, ids=named)
def test_declared_capabilities_are_what_it_does(entry, problem):
    estimator, pool, labelled, y = problem
    strategy = quick_strategy(entry.name)
    if "random_state" in strategy.get_params():
        strategy.set_params(random_state=0)
    if entry.needs_model:
        with pytest.raises(NotFittedError):
            strategy.query(LateFusionClassifier(), pool, 3)
    else:
        assert len(strategy.query(None, pool, 3)) == 3
    # `pool` has rows that lack a modality, and all of them can be picked
    assert entry.missing_modalities
    rows = strategy.query(estimator, pool, len(pool), X_labeled=labelled, y_labeled=y)
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(pool)))
    assert not entry.needs_labels
    assert len(strategy.query(estimator, pool, 3)) == 3
    # groups: tests/query/test_groups.py holds them against the code; shards: tests/distributed/test_strategies.py


class MultiLabel:
    """Probabilities of labels that do not exclude each other."""

    classes_ = np.arange(3)

    def predict_proba(self, X):
        return np.full((len(X), 3), 0.6)

    def embed(self, X):
        return {"image": np.ones((len(X), 2)), "text": np.ones((len(X), 2))}

    def modality_contributions(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize("entry", [entry for entry in STRATEGIES if entry.needs_model], ids=named)
def test_several_labels_a_row_are_refused(entry, problem):
    with pytest.raises(ValueError, match="sum to"):
        get_strategy(entry.name).query(MultiLabel(), problem[1], 3)


def test_names_by_what_is_needed():
    assert available_strategies(needs_model=False) == [entry.name for entry in STRATEGIES if not entry.needs_model]
    both = available_strategies(needs_model=False) + available_strategies(needs_model=True)
    assert sorted(both) == available_strategies() == [entry.name for entry in STRATEGIES]


def test_the_table_is_made_from_the_registry():
    rows = strategy_table()
    assert [row["name"] for row in rows] == available_strategies()
    for entry, row in zip(STRATEGIES, rows, strict=True):
        assert row["class"] == entry.class_name
        assert row["needs a model"] == ("yes" if entry.needs_model else "no")
        assert row["on"] == ("yes" if entry.on else "no")
        assert row["what it does"] == entry.load().__doc__.splitlines()[0]


THEIRS = '''
import numpy as np
from skmmal.stopping import StoppingCriterion, available_criteria
from skmmal.query import QueryStrategy

class LastRows(QueryStrategy):
    """Pick the last rows."""

    requires_model = False

    def __init__(self, *, on="fused"):
        self.on = on

    def _select(self, pool, labelled, n_instances, rng):
        return len(pool) - 1 - np.arange(n_instances), np.zeros(n_instances)
'''


def test_other_distributions_add_strategies(tmp_path):
    """A distribution is what lies on the path beside its metadata."""
    (tmp_path / "theirs.py").write_text(THEIRS)
    about = tmp_path / "theirs-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[skmmal.strategies]\n"
        "last-rows = theirs:LastRows\nbroken = not_there:Nothing\nno-strategy = collections:OrderedDict\nBMMAL = theirs:LastRows\n"
    )
    code = f"""
    import sys
    sys.path.insert(0, {str(tmp_path)!r})
    from skmmal.query import BMMAL, available_strategies, get_strategy, strategy_name, strategy_table
    assert "theirs" not in sys.modules
    assert {{"last-rows", "broken", "no-strategy"}} < set(available_strategies())
    assert "theirs" not in sys.modules  # listed, not imported
    for spelling in ("last-rows", "LastRows", "LAST_ROWS"):
        strategy = get_strategy(spelling)
        assert strategy.query(None, [[0.0], [1.0], [2.0]], 2).tolist() == [2, 1]
        assert strategy_name(strategy) == "last-rows"
    assert type(get_strategy("bmmal")) is BMMAL  # ours keeps its name
    rows = {{row["name"]: row for row in strategy_table()}}
    assert rows["last-rows"]["what it does"] == "Pick the last rows."
    assert (rows["last-rows"]["needs a model"], rows["last-rows"]["on"]) == ("no", "yes")
    assert rows["broken"]["what it does"] == "cannot be used: ModuleNotFoundError: No module named 'not_there'"
    assert "no skmmal.query.QueryStrategy" in rows["no-strategy"]["what it does"]
    assert "last-rows" in available_strategies(needs_model=False)
    try:
        get_strategy("last-row")
    except ValueError as error:
        assert "Did you mean 'last-rows'" in str(error)
    from typer.testing import CliRunner
    from skmmal.cli import app
    shown = CliRunner().invoke(app, ["strategies"])
    assert shown.exit_code == 0, shown.output
    assert "last-rows" in shown.output and "Pick the last rows." in shown.output
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, env={**os.environ, "COLUMNS": "200"})


FORMER = {  # parameters with which version 0.1.0 wrote them into a campaign
    "badge": {"first": "norm", "partitions": 1, "n_jobs": None, "on": "fused"},
    "bmmal": {"first": "norm", "partitions": 1, "n_jobs": None},
    "coreset": {"partitions": 1, "n_jobs": None, "on": "fused"},
    "bait": {"fisher": "trace", "regularization": 2.0, "n_components": 7, "on": "fused"},
    "bald": {"source": "auto", "n_samples": 9, "on": "fused"},
    "dcom": {"centre": 0.7},
    "mmcsal": {"kernel_width": 2.0, "n_references": 77},
    "uherding": {"sigma": "adaptive", "calibrate": False},
    "uncertaingcn": {"n_components": 5},
}


@pytest.mark.parametrize("name", FORMER)
def test_strategies_of_earlier_versions_are_read(name):
    found = saved_strategy(name, FORMER[name])
    values = set(map(repr, found.get_params().values()))
    assert {repr(value) for key, value in FORMER[name].items() if key not in ("partitions", "n_jobs")} <= values
    if "partitions" in FORMER[name]:
        with pytest.raises(ValueError, match="Partitioned"):
            saved_strategy(name, {**FORMER[name], "partitions": 4})
