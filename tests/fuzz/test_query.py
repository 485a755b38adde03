"""Every strategy, on every estimator, head, pool and budget: distinct rows of the pool, or a clear refusal."""

from types import SimpleNamespace

import numpy as np
from fuzz.harness import REFUSED, answer, check_indices, fuzz
from fuzz.inputs import ODD, budgets, draw_labels, features, seeds
from hypothesis import strategies as st
from samples import FEW_BATCHES
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmmal import CrossModalEncoder, LateFusionClassifier, ModalityScaler
from skmmal.query import available_strategies, get_strategy

NAMES = available_strategies()
QUICK = {  # the same code in fewer steps
    "coregcn": {"n_steps": 2},
    "uncertaingcn": {"n_steps": 2},
    "refine": FEW_BATCHES,
    "mmcsal": {"max_iter": 2, "encoder": CrossModalEncoder(n_components=2, max_iter=1)},
}
MODELS = {
    "linear": lambda layout: LateFusionClassifier(layout),
    "sum": lambda layout: LateFusionClassifier(layout, fusion="sum"),
    "network": lambda layout: LateFusionClassifier(layout, encoder_dim=3, dropout=0.2, max_iter=2, random_state=0),
    "gated": lambda layout: LateFusionClassifier(layout, fusion="gated", max_iter=2, random_state=0),
    "pipeline": lambda layout: make_pipeline(ModalityScaler(layout), LateFusionClassifier(layout)),
}


class Duck:
    """A classifier that is no scikit-learn estimator."""

    def __init__(self):
        self.made = LogisticRegression(C=0.1)

    def fit(self, X, y):
        self.made.fit(X, y)
        self.classes_ = self.made.classes_

    def predict_proba(self, X):
        return self.made.predict_proba(X)


PLAIN = [
    lambda: LogisticRegression(C=0.1),
    lambda: RandomForestClassifier(n_estimators=3, random_state=0),
    lambda: BaggingClassifier(LogisticRegression(C=0.1), 2, random_state=0),
    Duck,
    lambda: make_pipeline(make_pipeline(StandardScaler()), Duck()),
]


def strategy(name, seed, **params):
    known = get_strategy(name).get_params()
    quick = {key: value for key, value in QUICK.get(name, {}).items() if key in known}
    made = get_strategy(name, **quick, **params)
    return made.set_params(random_state=seed) if "random_state" in known else made


def draw_round(data, **options):
    """A fitted model, the pool, labelled rows and their labels, all of one good X."""
    options = {"min_rows": 4, "max_rows": 16, "defects": [], **options}
    given = data.draw(features(**options))
    n_labelled = data.draw(st.integers(2, given.n - 1))
    labels = draw_labels(data.draw, n_labelled, bad=False, n_classes=data.draw(st.integers(1, min(3, n_labelled))))
    kind = data.draw(st.sampled_from(list(MODELS)))
    model = MODELS[kind](given.modalities)
    X_labeled, pool = given.rows(slice(0, n_labelled)), given.rows(slice(n_labelled, given.n))
    fitted = answer("LateFusionClassifier.fit", lambda: model.fit(X_labeled, labels.y))
    return SimpleNamespace(
        given=given, model=fitted, kind=kind, X=X_labeled, y=labels.y, pool=pool, n=given.n - n_labelled, codes=labels.codes,
        present=np.stack([~np.isnan(b.astype(float)).all(axis=1) for b in given.blocks.values()], axis=1)[n_labelled:],
    )


@fuzz(180)
def test_good_rounds_are_answered(data):
    name = data.draw(st.sampled_from(NAMES))
    now = draw_round(data, wild=data.draw(st.sampled_from([False, False, True])))
    if now.model is REFUSED:
        return
    wanted, budget_good = data.draw(budgets(now.n))
    seed, seed_good = data.draw(seeds())
    kwargs = {}
    if data.draw(st.booleans()):
        kwargs["X_labeled"] = now.X
        if data.draw(st.booleans()):
            kwargs["y_labeled"] = now.y
    params = {}
    modalities = list(now.given.blocks)
    if "on" in get_strategy(name).get_params():
        params["on"] = data.draw(st.sampled_from(["fused", "fused", "all", *modalities]))
    chosen = strategy(name, seed, **params)
    drawn = "random_state" in chosen.get_params()
    # with one class there is nothing to be uncertain of, and some say so
    valid = budget_good and (seed_good or not drawn) and (now.given.valid or None) and (True if len(set(now.codes.tolist())) > 1 else None)
    if not budget_good or (drawn and not seed_good):
        valid = False
    call = lambda: chosen.query(now.model, now.pool, wanted, return_scores=True, **kwargs)  # noqa: E731
    found = answer(f"{type(chosen).__name__}.query", call, valid=valid)
    if found is REFUSED:
        return
    indices, scores = found
    check_indices(indices, int(wanted), now.n)
    assert scores.shape == (int(wanted),)
    # without labelled rows the first row of a core-set is infinitely far from any centre
    assert np.isfinite(scores[name == "coreset" and "X_labeled" not in kwargs :]).all()
    on = params.get("on")
    if on in modalities:  # a row without the modality comes only when those with it are used up
        has = now.present[:, modalities.index(on)]
        assert has[indices].sum() == min(int(wanted), has.sum())


@fuzz(150)
def test_odd_rounds_are_refused_in_words(data):
    name = data.draw(st.sampled_from(NAMES))
    now = draw_round(data, wild=False, containers=["multimodal", "matrix", "frame", "mapping"])
    if now.model is REFUSED:
        return
    other = data.draw(features(max_rows=6))
    chosen = strategy(name, 0)
    odd_pool = data.draw(st.booleans())
    pool = other.X if odd_pool else now.pool
    kwargs = {
        "X_labeled": data.draw(st.sampled_from([None, now.X, other.X, 3, "a"])),
        "y_labeled": data.draw(st.sampled_from([None, now.y, [0], "a", 3, ["new"] * len(now.y), [None] * len(now.y), np.nan])),
    }
    estimators = [now.model, now.model, LateFusionClassifier(), LogisticRegression(), None, 3, "model", LateFusionClassifier]
    estimator = data.draw(st.sampled_from(estimators))
    wanted = data.draw(st.sampled_from([1, 2]))
    silent = kwargs["X_labeled"] is None and kwargs["y_labeled"] is not None
    valid = False if silent or isinstance(estimator, int | str | type) else None
    found = answer(f"{type(chosen).__name__}.query", lambda: chosen.query(estimator, pool, wanted, **kwargs), valid=valid)
    if found is not REFUSED:
        check_indices(found, wanted, other.n if odd_pool else now.n)


@fuzz(120)
def test_parameters(data):
    name = data.draw(st.sampled_from(NAMES))
    now = draw_round(data, wild=False, containers=["multimodal"], min_rows=6)
    if now.model is REFUSED:
        return
    params = get_strategy(name).get_params(deep=False)
    chosen = strategy(name, 0)
    parameter = data.draw(st.sampled_from(sorted(params))) if params else None
    if parameter is not None:
        value = data.draw(st.sampled_from([*ODD, 3, 10**6]))
        if value == 10**6 and parameter not in ("radius", "bandwidth", "noise", "alpha", "norm"):
            value = 3  # a million draws are what was asked for, and take as long
        chosen.set_params(**{parameter: value})
    found = answer(
        f"{type(chosen).__name__}(parameter)", lambda: chosen.query(now.model, now.pool, 1, X_labeled=now.X, y_labeled=now.y)
    )
    if found is not REFUSED:
        check_indices(found, 1, now.n)


@fuzz(60)
def test_plain_classifiers(data):
    name = data.draw(st.sampled_from(NAMES))
    now = draw_round(data, wild=False, missing=False, containers=["matrix", "frame", "object", "lists", "torch", "fortran"], max_modalities=1)
    model = data.draw(st.sampled_from(PLAIN))()
    try:
        model.fit(np.asarray(now.X, dtype=float), now.codes)
    except ValueError:  # one class
        return
    chosen = strategy(name, 0)
    wanted, budget_good = data.draw(budgets(now.n))
    pool = now.pool if data.draw(st.booleans()) else np.asarray(now.pool, dtype=float)
    found = answer(
        f"{type(chosen).__name__}.query",
        lambda: chosen.query(model, pool, wanted, X_labeled=now.X, y_labeled=now.codes),
        valid=None if budget_good else False,
        expected_warnings=(UserWarning,),
    )
    if found is not REFUSED:
        check_indices(found, int(wanted), now.n)


class Said:
    """A classifier that says what it is told to."""

    def __init__(self, answer, n_classes):
        self.answer, self.classes_ = answer, np.arange(n_classes)

    def predict_proba(self, X):
        return self.answer


@fuzz(80)
def test_rows_of_probabilities(data):
    """Distributions are served, in any float type; whatever else a classifier says is refused where it is used."""
    name = data.draw(st.sampled_from([name for name in NAMES if name != "bmmal"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    n, n_classes = data.draw(st.integers(1, 9)), data.draw(st.integers(2, 5))
    good = rng.dirichlet(np.full(n_classes, data.draw(st.sampled_from([0.1, 1.0, 10.0]))), n)
    bad = {
        "sigmoids": 0.5 + good / 2, "logits": 3 * good + 1, "negative": -good, "logarithms": np.log(np.maximum(good, 1e-9)),
        "percentages": 100 * good, "zeros": 0 * good, "missing": good * np.nan, "vector": good[:, 0], "outputs": [good, good],
        "deep": good[:, :, None], "narrow": good[:, :1], "short": good[:-1], "text": np.full((n, n_classes), "a"), "none": None,
    }
    kind = data.draw(st.sampled_from(["float64", "float32", "float16", "lists", *bad]))
    rounded = {"float64": good, "float32": good.astype("float32"), "float16": good.astype("float16"), "lists": good.tolist()}
    model = Said({**rounded, **bad}[kind], n_classes)
    chosen = strategy(name, 0)
    used = chosen.requires_model or name in ("auto", "uherding", "dcom", "mvopt")
    wanted = data.draw(st.integers(1, n))
    call = lambda: chosen.query(model, rng.standard_normal((n, 4)), wanted)  # noqa: E731
    found = answer(f"{type(chosen).__name__}.query", call, valid=kind not in bad or not used)
    if found is not REFUSED:
        check_indices(found, wanted, n)


@fuzz(50)
def test_modals_protocol(data):
    name = data.draw(st.sampled_from(NAMES))
    now = draw_round(data, wild=False)
    if now.model is REFUSED:
        return
    chosen = strategy(name, 0)
    learner = SimpleNamespace(estimator=now.model, X_training=now.X, y_training=now.y, teach=None)
    if data.draw(st.booleans()):
        learner = now.model
    wanted, budget_good = data.draw(budgets(now.n))
    found = answer(f"{type(chosen).__name__}.__call__", lambda: chosen(learner, now.pool, wanted), valid=None if budget_good else False)
    if found is not REFUSED:
        indices, scores = found
        check_indices(indices, int(wanted), now.n)
        assert scores.shape == (int(wanted),)


@fuzz(80)
def test_no_model_needed(data):
    name = data.draw(st.sampled_from([name for name in NAMES if not get_strategy(name).requires_model]))
    given = data.draw(features(max_rows=10))
    chosen = strategy(name, 0)
    wanted, budget_good = data.draw(budgets(given.n))
    estimator = data.draw(st.sampled_from([None, LateFusionClassifier(given.modalities), LogisticRegression()]))
    valid = False if not budget_good or (given.valid is False and name != "random") else None
    if given.defect in ("sparse", "widths", "four-dimensions") and budget_good:  # a plain classifier takes them, or ignores them
        valid = None
    found = answer(f"{type(chosen).__name__}.query", lambda: chosen.query(estimator, given.X, wanted), valid=valid)
    if found is not REFUSED:
        assert found.shape == (int(wanted),)
        if given.defect is None:
            check_indices(found, int(wanted), given.n)


@fuzz(60)
def test_get_strategy(data):
    name = data.draw(st.one_of(st.sampled_from([*NAMES, "BMMAL", "least_confidence", *ODD]), st.text(max_size=5)))
    found = answer("get_strategy", lambda: get_strategy(name))
    if found is not REFUSED:
        assert type(found).__name__
