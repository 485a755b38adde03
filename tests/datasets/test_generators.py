"""The generator keeps its promises: measured by Bayes oracles built from the latents, and by classifiers."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import chi2_contingency, norm
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils import Bunch

from skmmal import LateFusionClassifier
from skmmal.datasets import make_multimodal_classification
from skmmal.datasets._generators import INTERACTIONS, balanced_labels, draw_symbols, unit_centres
from skmmal.modalities import MultimodalArray, presence_mask

N_CHANCE = 6000  # three standard deviations of an accuracy at chance are 2 points


def seen_factors(bunch, name):
    """What a modality tells about its factors: the block carried back, noise included."""
    return bunch.data[name] @ bunch.latents.maps[name].T


def log_likelihood(points, centres, variance):
    """Log-likelihood of every centre, up to a constant: (n, n_centres)."""
    return -((points[:, np.newaxis] - centres) ** 2).sum(axis=2) / (2 * variance)


def shared_log_likelihood(bunch, names, points=None, centres=None):
    """Of the centres behind a factor (spread 1) that is the same in all of `names`, through their noise."""
    points = {name: seen_factors(bunch, name) for name in names} if points is None else points
    precisions = {name: bunch.latents.noise[name] ** -2.0 for name in names}
    total = sum(precisions.values())
    mean = sum(precisions[name] * points[name] for name in names) / total
    return log_likelihood(mean, bunch.latents.centres if centres is None else centres, 1 + 1 / total)


def own_log_likelihood(bunch, name):
    variance = 1 + bunch.latents.noise[name] ** 2
    return log_likelihood(seen_factors(bunch, name), bunch.latents.centres, variance)


def sum_log_likelihood(log_likelihoods):
    """Log-likelihood of the sum modulo K of independent, uniform symbols (a circular convolution)."""
    total = log_likelihoods[0]
    symbols = np.arange(total.shape[1])
    for term in log_likelihoods[1:]:
        by_label = [logsumexp(total + term[:, (y - symbols) % len(symbols)], axis=1) for y in symbols]
        total = np.stack(by_label, axis=1)
    return total


def mixed_log_likelihood(bunch, names):
    """Log-likelihood of the labels in "mixed", the rows' kinds summed out."""
    everyone = list(bunch.data.modalities)
    centres = np.vstack([bunch.latents.centres, np.zeros(bunch.latents.centres.shape[1])])  # the last: blank
    n_classes = len(centres) - 1
    parts = {name: np.split(seen_factors(bunch, name), 3, axis=1) for name in names}
    shared = shared_log_likelihood(bunch, names, {name: parts[name][0] for name in names}, centres)
    own, synergy = (
        {name: log_likelihood(parts[name][k], centres, 1 + bunch.latents.noise[name] ** 2) for name in names}
        for k in (1, 2)
    )
    own_blank = sum(own[name][:, -1:] for name in names)
    synergy_blank = sum(synergy[name][:, -1:] for name in names)
    label = slice(n_classes)
    if len(names) == len(everyone):
        summed = sum_log_likelihood([synergy[name][:, label] for name in names])
        summed -= (len(names) - 1) * np.log(n_classes)  # all but one are free
    else:  # a strict subset: its symbols are uniform, whatever the label
        summed = sum(logsumexp(synergy[name][:, label], axis=1, keepdims=True) for name in names)
        summed = np.repeat(summed - len(names) * np.log(n_classes), n_classes, axis=1)
    n_all = np.log(len(everyone))
    kinds = [
        n_all + shared[:, label] + own_blank + synergy_blank,
        n_all + shared[:, -1:] + own_blank + summed,
    ]
    for name in everyone:
        shown = own[name][:, label] - own[name][:, -1:] if name in names else 0.0
        kinds.append(shared[:, -1:] + own_blank + shown + synergy_blank + np.zeros((1, n_classes)))
    return logsumexp(np.stack(kinds), axis=0)


def accuracy(bunch, scores):
    return float((scores.argmax(axis=1) == bunch.target).mean())


def held_out_score(classifier, X, y):
    half = len(y) // 2
    return classifier.fit(X[:half], y[:half]).score(X[half:], y[half:])


# --------------------------------------------------------------------------------------------- interactions


@pytest.mark.parametrize("modalities", [{"a": 12, "b": 12}, {"a": 5, "b": 30, "c": 1}])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_redundant_each_modality_alone_is_within_two_points_of_all(modalities, n_classes):
    if n_classes == 5 and "c" in modalities:
        modalities = {**modalities, "c": 4}
    bunch = make_multimodal_classification(8000, modalities, n_classes=n_classes, random_state=0)
    joint = accuracy(bunch, shared_log_likelihood(bunch, list(modalities)))
    assert joint > 0.9
    for name in modalities:
        assert joint - 0.02 < accuracy(bunch, own_log_likelihood(bunch, name)) <= joint


def test_redundant_holds_for_learned_classifiers():
    X, y = make_multimodal_classification(4000, random_state=1, return_X_y=True)
    joint = held_out_score(LogisticRegression(), np.asarray(X), y)
    for block in X.blocks.values():
        assert abs(joint - held_out_score(LogisticRegression(), block, y)) < 0.02


@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0])
def test_accuracy_of_two_classes_has_a_closed_form(noise):
    """Two Gaussians `class_sep` apart with variance 1 + noise²: the best accuracy is Φ(sep / 2 sd)."""
    n, sep = 20_000, 3.0
    bunch = make_multimodal_classification(n, difficulty={"b": noise}, class_sep=sep, random_state=0)
    expected = norm.cdf(sep / (2 * np.sqrt(1 + noise**2)))
    found = accuracy(bunch, own_log_likelihood(bunch, "b"))
    assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / n)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_unique_only_the_first_modality_knows(n_classes):
    modalities = {"a": 6, "b": 6, "c": 6}
    bunch = make_multimodal_classification(
        2 * N_CHANCE, modalities, n_classes=n_classes, interaction="unique", random_state=0
    )
    assert accuracy(bunch, own_log_likelihood(bunch, "a")) > 0.95
    for m, name in ((1, "b"), (2, "c")):
        nearest = own_log_likelihood(bunch, name).argmax(axis=1)
        # the clusters are there, and say nothing
        assert (nearest == bunch.latents.symbols["own"][:, m]).mean() > 0.95
        assert abs((nearest == bunch.target).mean() - 1 / n_classes) < 0.02
    others = np.hstack([bunch.data["b"], bunch.data["c"]])
    assert abs(held_out_score(KNeighborsClassifier(25), others, bunch.target) - 1 / n_classes) < 0.02


@pytest.mark.parametrize(("n_classes", "n_modalities"), [(2, 2), (3, 2), (2, 3), (3, 3)])
def test_synergy_only_all_modalities_together_know(n_classes, n_modalities):
    names = list("abc")[:n_modalities]
    bunch = make_multimodal_classification(
        N_CHANCE, dict.fromkeys(names, 8), n_classes=n_classes, interaction="synergy", random_state=0
    )
    likelihoods = [own_log_likelihood(bunch, name) for name in names]
    assert accuracy(bunch, sum_log_likelihood(likelihoods)) > 0.95
    for left_out in range(n_modalities):
        rest = np.hstack([bunch.data[name] for m, name in enumerate(names) if m != left_out])
        assert abs(held_out_score(KNeighborsClassifier(25), rest, bunch.target) - 1 / n_classes) < 0.03


@pytest.mark.parametrize(("n_classes", "n_modalities"), [(2, 2), (4, 2), (3, 3)])
def test_synergy_symbols_sum_to_the_label_and_subsets_are_independent_of_it(n_classes, n_modalities):
    rng = np.random.RandomState(0)
    y = balanced_labels(30_000, n_classes, rng)
    symbols = draw_symbols("synergy", y, n_classes, n_modalities, rng)["synergy"]
    assert (symbols.sum(axis=1) % n_classes == y).all()
    for left_out in range(n_modalities):
        rest = np.delete(symbols, left_out, axis=1)
        cell = rest @ n_classes ** np.arange(n_modalities - 1)
        table = np.histogram2d(cell, y, bins=(n_classes ** (n_modalities - 1), n_classes))[0]
        assert chi2_contingency(table).pvalue > 1e-3


@pytest.mark.parametrize("classifier", [KNeighborsClassifier(15), RandomForestClassifier(50, random_state=0)])
def test_synergy_can_be_learned_but_not_by_a_linear_model(classifier):
    X, y = make_multimodal_classification(3000, interaction="synergy", random_state=0, return_X_y=True)
    assert held_out_score(classifier, np.asarray(X), y) > 0.9
    assert held_out_score(LogisticRegression(), np.asarray(X), y) < 0.56
    # a linear model on the products of the two modalities' features can: that is what "synergy" means
    products = np.einsum("na,nb->nab", X["a"], X["b"]).reshape(len(y), -1)
    assert held_out_score(LogisticRegression(max_iter=1000), products, y) > 0.9


@pytest.mark.parametrize("n_classes", [2, 4])
def test_mixed_every_modality_knows_its_share_and_all_know_more(n_classes):
    modalities = {"a": 12, "b": 10}
    bunch = make_multimodal_classification(
        8000, modalities, n_classes=n_classes, interaction="mixed", random_state=0, class_sep=10.0
    )
    alone = 1 / 3 + 1 / 6 + (1 / 2) / n_classes
    for name in modalities:
        assert abs(accuracy(bunch, mixed_log_likelihood(bunch, [name])) - alone) < 0.02
    assert accuracy(bunch, mixed_log_likelihood(bunch, list(modalities))) > 0.98


def test_mixed_rows_have_one_kind_each():
    n = 9000
    bunch = make_multimodal_classification(n, {"a": 6, "b": 6, "c": 6}, interaction="mixed", random_state=0)
    symbols, y = bunch.latents.symbols, bunch.target
    shown = {part: values >= 0 for part, values in symbols.items()}
    assert list(shown) == ["shared", "own", "synergy"]
    assert (shown["shared"].all(axis=1) == shown["shared"].any(axis=1)).all()
    assert (shown["synergy"].all(axis=1) == shown["synergy"].any(axis=1)).all()
    assert (shown["own"].sum(axis=1) <= 1).all()
    assert (np.sum([part.any(axis=1) for part in shown.values()], axis=0) == 1).all()
    for part in shown:
        assert abs(shown[part].any(axis=1).mean() - 1 / 3) < 0.02
    assert np.allclose(shown["own"].mean(axis=0), 1 / 9, atol=0.015)
    assert (symbols["shared"] == y[:, np.newaxis])[shown["shared"]].all()
    assert (symbols["own"] == y[:, np.newaxis])[shown["own"]].all()
    rows = shown["synergy"].any(axis=1)
    assert (symbols["synergy"][rows].sum(axis=1) % 2 == y[rows]).all()


def test_mixed_holds_for_a_learned_classifier():
    X, y = make_multimodal_classification(4000, interaction="mixed", random_state=0, return_X_y=True)
    joint = held_out_score(KNeighborsClassifier(15), np.asarray(X), y)
    alone = [held_out_score(KNeighborsClassifier(15), block, y) for block in X.blocks.values()]
    assert joint > 0.9
    assert max(alone) < joint - 0.1
    assert min(alone) > 0.65


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_difficulty_lowers_the_accuracy_of_its_modality_only(interaction):
    scores = []
    for noise in (0.5, 2.0, 6.0):
        bunch = make_multimodal_classification(
            4000, interaction=interaction, difficulty={"a": noise}, random_state=0
        )
        part = next(iter(bunch.latents.symbols))
        truth = bunch.latents.symbols[part][:, 0]
        rows = truth >= 0
        dims = bunch.latents.centres.shape[1]
        points = seen_factors(bunch, "a")[rows, :dims]
        nearest = log_likelihood(points, bunch.latents.centres, 1.0).argmax(axis=1)
        scores.append((nearest == truth[rows]).mean())
        reference = make_multimodal_classification(4000, interaction=interaction, random_state=0)
        np.testing.assert_array_equal(bunch.data["b"], reference.data["b"])
        np.testing.assert_array_equal(bunch.latents.factors["a"], reference.latents.factors["a"])
    assert scores[0] > scores[1] + 0.03
    assert scores[1] > scores[2] + 0.03


def test_difficulty_orders_learned_classifiers():
    X, y = make_multimodal_classification(
        4000, difficulty={"a": 0.5, "b": 3.0}, random_state=0, return_X_y=True
    )
    easy, hard = (held_out_score(LogisticRegression(), X[name], y) for name in ("a", "b"))
    assert easy > hard + 0.1 > 0.85


# ------------------------------------------------------------------------------------------------- geometry


@pytest.mark.parametrize(
    ("n_classes", "n_dims"), [(2, 1), (3, 2), (6, 5), (3, 1), (10, 2), (9, 2), (10, 4), (60, 50)]
)
def test_centres_are_at_least_one_apart_and_centred(n_classes, n_dims):
    centres = unit_centres(n_classes, n_dims)
    assert centres.shape == (n_classes, n_dims)
    np.testing.assert_allclose(centres.mean(axis=0), 0, atol=1e-12)
    distances = np.linalg.norm(centres[:, np.newaxis] - centres, axis=2)[~np.eye(n_classes, dtype=bool)]
    assert np.isclose(distances.min(), 1)
    if n_dims == n_classes - 1:
        np.testing.assert_allclose(distances, 1)


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_blocks_are_factors_through_orthonormal_maps_plus_noise(interaction):
    bunch = make_multimodal_classification(
        5000, {"a": 9, "b": 14}, n_classes=3, interaction=interaction, difficulty={"b": 2.0}, random_state=3
    )
    for name, sigma in {"a": 0.5, "b": 2.0}.items():
        mapping = bunch.latents.maps[name]
        np.testing.assert_allclose(mapping @ mapping.T, np.eye(len(mapping)), atol=1e-12)
        noise = bunch.data[name] - bunch.latents.factors[name] @ mapping
        np.testing.assert_allclose(noise.std(axis=0), sigma, rtol=0.06)
        np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.12)
        first = next(iter(bunch.latents.symbols))
        symbols = bunch.latents.symbols[first][:, list(bunch.data.modalities).index(name)]
        shown = symbols >= 0
        spread = bunch.latents.factors[name][shown, :2] - bunch.latents.centres[symbols[shown]]
        np.testing.assert_allclose(spread.std(axis=0), 1, rtol=0.06)
    assert bunch.latents.noise == {"a": 0.5, "b": 2.0}


@pytest.mark.parametrize("interaction", ["redundant", "unique"])
def test_one_modality_is_enough(interaction):
    X, y = make_multimodal_classification(
        2000, {"only": 4}, interaction=interaction, random_state=0, return_X_y=True
    )
    assert list(X.modalities) == ["only"]
    assert held_out_score(LogisticRegression(), X["only"], y) > 0.95


def test_narrow_modalities_still_separate_many_classes():
    widths = {"a": 1, "b": 2}
    X, y = make_multimodal_classification(6000, widths, n_classes=6, random_state=0, return_X_y=True)
    assert held_out_score(KNeighborsClassifier(25), X["a"], y) > 0.95


# ------------------------------------------------------------------------------------------------- contract


def test_bunch_and_return_X_y():
    bunch = make_multimodal_classification(101, {"a": 3, "grid": (4, 2)}, n_classes=3, random_state=0)
    assert isinstance(bunch, Bunch)
    assert isinstance(bunch.data, MultimodalArray)
    assert bunch.data.modalities == {"a": 3, "grid": (4, 2)}
    assert bunch.data.shape == (101, 11)
    assert bunch.data.dtype == np.float64
    assert bunch.target.dtype.kind == "i"
    assert bunch.target.shape == (101,)
    assert sorted(np.bincount(bunch.target)) == [33, 34, 34]
    assert bunch.target_names.tolist() == ["0", "1", "2"]
    assert bunch.present.all()
    assert "redundant" in bunch.DESCR
    X, y = make_multimodal_classification(
        101, {"a": 3, "grid": (4, 2)}, n_classes=3, random_state=0, return_X_y=True
    )
    np.testing.assert_array_equal(np.asarray(X), np.asarray(bunch.data))
    np.testing.assert_array_equal(y, bunch.target)


def test_defaults():
    bunch = make_multimodal_classification()
    assert bunch.data.modalities == {"a": 12, "b": 12}
    assert len(bunch.data) == len(bunch.target) == 1000
    assert set(bunch.target) == {0, 1}


def test_classes_are_shuffled():
    _, y = make_multimodal_classification(1000, random_state=0, return_X_y=True)
    assert 400 < (y[1:] != y[:-1]).sum() < 600


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_same_seed_same_bytes_and_no_global_random_state(interaction):
    np.random.seed(7)  # noqa: NPY002 (the global state is what this test watches)
    before = np.random.get_state()  # noqa: NPY002
    settings = {"interaction": interaction, "missing": 0.2, "missing_pattern": "class"}
    first, again, other, fresh = (
        np.asarray(make_multimodal_classification(200, random_state=seed, **settings).data)
        for seed in (3, np.random.RandomState(3), 4, None)
    )
    after = np.random.get_state()  # noqa: NPY002
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    assert first.tobytes() != fresh.tobytes()
    assert all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))


def test_generator_as_random_state():
    generators = np.random.default_rng(5), np.random.default_rng(5)
    first, again = (make_multimodal_classification(50, random_state=generator) for generator in generators)
    np.testing.assert_array_equal(np.asarray(first.data), np.asarray(again.data))


def test_missing_leaves_everything_else_as_it_was():
    complete = make_multimodal_classification(500, random_state=0)
    for pattern in ("random", "class"):
        holes = make_multimodal_classification(
            500, missing={"a": 0.3, "b": 0.2}, missing_pattern=pattern, random_state=0
        )
        np.testing.assert_array_equal(holes.target, complete.target)
        np.testing.assert_array_equal(presence_mask(holes.data), holes.present)
        for m, name in enumerate(holes.data.modalities):
            there = holes.present[:, m]
            np.testing.assert_array_equal(holes.data[name][there], complete.data[name][there])
            assert np.isnan(holes.data[name][~there]).all()
            assert 0 < there.sum() < 500


# --------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_samples": 0}, ValueError, "n_samples must be at least 1, got 0"),
        ({"n_samples": 2.5}, TypeError, "n_samples must be an integer"),
        ({"n_samples": 3, "n_classes": 4}, ValueError, "n_samples=3 is less than n_classes=4"),
        ({"n_classes": 1}, ValueError, "n_classes must be at least 2, got 1"),
        ({"n_classes": True}, TypeError, "n_classes must be an integer"),
        ({"modalities": {}}, ValueError, "modalities is empty"),
        ({"modalities": 12}, TypeError, "modalities must map"),
        ({"modalities": {"a": 0, "b": 2}}, ValueError, "modality 'a' has width 0"),
        ({"modalities": {"a": 2.0}}, TypeError, "modality 'a': expected a width"),
        ({"modalities": {"a": slice(0, 3)}}, TypeError, "modality 'a': expected a width"),
        ({"modalities": {"a": (2, 3, 4)}}, TypeError, "modality 'a': expected a width"),
        ({"modalities": {3: 2}}, TypeError, "name must be a non-empty string"),
        ({"interaction": "xor"}, ValueError, r"interaction must be one of \['redundant', .*got 'xor'"),
        ({"interaction": "synergy", "modalities": {"a": 9}}, ValueError, "'synergy' needs two modalities"),
        ({"interaction": "mixed", "modalities": {"a": 9}}, ValueError, "'mixed' needs two modalities"),
        ({"interaction": "mixed", "modalities": {"a": 9, "b": 2}}, ValueError, "'b' needs 3 columns"),
        ({"difficulty": {"c": 1.0}}, ValueError, r"names the unknown modality 'c'; there are \['a'"),
        ({"difficulty": {"a": -1.0}}, ValueError, r"difficulty\['a'\] must be finite and at least 0, got -1.0"),
        ({"difficulty": {"a": np.nan}}, ValueError, r"difficulty\['a'\] must be finite and at least 0"),
        ({"difficulty": {"a": np.inf}}, ValueError, r"difficulty\['a'\] must be finite and at least 0"),
        ({"difficulty": {"a": "hard"}}, TypeError, r"difficulty\['a'\] must be a number"),
        ({"difficulty": [1.0, 2.0]}, TypeError, "difficulty must map modality names to numbers"),
        ({"missing": {"c": 0.1}}, ValueError, "missing names the unknown modality 'c'"),
        ({"missing": {"a": 1.2}}, ValueError, r"missing\['a'\] must be finite and lie between 0 and 1, got 1.2"),
        ({"missing": {"a": 0.7, "b": 0.5}}, ValueError, "add up to 1.2: .* at most 1 can be missing"),
        ({"missing": 0.1, "modalities": {"a": 3}}, ValueError, "at most 0 can be missing"),
        ({"missing_pattern": "rows"}, ValueError, r"must be one of .*'a-only', 'b-only'.*found 'rows'"),
        ({"missing": 0.2, "missing_pattern": "a-only"}, ValueError, r"must be 0; found missing\['a'\] = 0.2"),
        ({"class_sep": -1.0}, ValueError, "class_sep must be finite and at least 0, got -1.0"),
        ({"class_sep": np.nan}, ValueError, "class_sep must be finite"),
    ],
)
def test_errors_name_the_argument_and_what_was_found(arguments, error, message):
    with pytest.raises(error, match=message):
        make_multimodal_classification(**arguments)


# ------------------------------------------------------------------------------------------ several labels in a row


@pytest.mark.parametrize("interaction", ["redundant", "unique"])
def test_several_labels_have_a_known_optimum(interaction):
    sep, noise = 3.0, 0.5
    options = {"n_labels": 4, "interaction": interaction, "class_sep": sep, "difficulty": noise, "random_state": 0}
    bunch = make_multimodal_classification(4000, **options)
    Y, latents = bunch.target, bunch.latents
    assert Y.shape == (4000, 4)
    assert (Y.sum(axis=0) == 2000).all()
    assert abs(np.corrcoef(Y.T) - np.eye(4)).max() < 0.06  # labels are independent of each other
    # the best that one can do with the first modality: the side of its dimension of the label
    seen = bunch.data.blocks["a"] @ latents.maps["a"].T
    sides = np.sign(latents.centres[1] - latents.centres[0])
    best = ((seen * sides > 0) == Y).mean(axis=0)
    np.testing.assert_allclose(best, norm.cdf(sep / 2 / np.sqrt(1 + noise**2)), atol=0.02)
    clf = LateFusionClassifier(C=0.1).fit(bunch.data[:2000], Y[:2000])
    found = (clf.predict_proba_by_modality(bunch.data[2000:])["a"] > 0.5) == Y[2000:]
    np.testing.assert_allclose(found.mean(axis=0), best, atol=0.03)
    assert latents.symbols[{"redundant": "shared", "unique": "own"}[interaction]].shape == (4000, 2, 4)
    if interaction == "unique":
        by_chance = (clf.predict_proba_by_modality(bunch.data[2000:])["b"] > 0.5) == Y[2000:]
        np.testing.assert_allclose(by_chance.mean(axis=0), 0.5, atol=0.05)


@pytest.mark.parametrize("interaction", ["synergy", "mixed"])
def test_labels_of_every_interaction(interaction):
    X, Y = make_multimodal_classification(
        300, n_labels=3, interaction=interaction, missing=0.2, random_state=1, return_X_y=True
    )
    assert Y.shape == (300, 3)
    other, again = make_multimodal_classification(300, n_labels=3, interaction=interaction, random_state=1, return_X_y=True)
    np.testing.assert_array_equal(again, Y)  # what is missing changes nothing else
    there = ~np.isnan(X.blocks["a"])
    np.testing.assert_array_equal(X.blocks["a"][there], other.blocks["a"][there])
    if interaction == "synergy":
        symbols = make_multimodal_classification(300, n_labels=3, interaction=interaction, random_state=1).latents.symbols
        np.testing.assert_array_equal(symbols["synergy"].sum(axis=1) % 2, Y)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n_labels": 13}, "n_labels=13 takes 13 dimensions of every modality: modality 'a' has 12"),
        ({"n_labels": 5, "interaction": "mixed"}, "n_labels=5 takes 15 dimensions"),
        ({"n_labels": 3, "n_classes": 3}, "n_classes=3 must be 2"),
        ({"n_labels": 1}, "n_labels"),
        ({"n_labels": 3, "missing": 0.1, "missing_pattern": "class"}, "not with n_labels"),
    ],
)
def test_labels_that_cannot_be_made(options, match):
    with pytest.raises(ValueError, match=match):
        make_multimodal_classification(50, **options)
