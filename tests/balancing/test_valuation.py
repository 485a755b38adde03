"""Valuations: truth tables, sum rules, and the training sets made of them."""

from itertools import permutations, product

import numpy as np
import pytest
import torch

from skmmal.balancing import ModalityValuation, SampleValuation, n_modality_copies, sample_copies, valuations

BOTH = np.ones((1, 2), dtype=bool)


def correct_of(table):
    """`correct` of one row from a table: set of kept modalities → whether the prediction is right."""
    return lambda kept: np.array([table.get(frozenset(np.flatnonzero(kept).tolist()), False)])


@pytest.mark.parametrize(
    ("both", "first", "second", "expected"),
    [
        (1, 1, 1, (1, 1)),
        (1, 1, 0, (1.5, 0.5)),
        (1, 0, 1, (0.5, 1.5)),
        (1, 0, 0, (1, 1)),
        (0, 1, 0, (0.5, -0.5)),
        (0, 0, 1, (-0.5, 0.5)),
        (0, 1, 1, (0, 0)),
        (0, 0, 0, (0, 0)),
    ],
)
def test_the_truth_table_of_two(both, first, second, expected):
    table = {frozenset({0, 1}): both, frozenset({0}): first, frozenset({1}): second}
    assert valuations(correct_of(table), BOTH)[0].tolist() == pytest.approx(expected)


def test_three_modalities_by_orders_of_arrival():
    """All 2^7 tables: the average gain over the orders in which modalities come; values sum to 3 or 0."""
    sets = [frozenset(np.flatnonzero(kept).tolist()) for kept in product([0, 1], repeat=3) if any(kept)]
    for outcome in product([False, True], repeat=7):
        table = dict(zip(sets, outcome, strict=True))
        found = valuations(correct_of(table), np.ones((1, 3), dtype=bool))[0]
        assert found.sum() == pytest.approx(3.0 * table[frozenset({0, 1, 2})])
        expected = np.zeros(3)
        for order in permutations(range(3)):
            for at, m in enumerate(order):
                after, before = frozenset(order[: at + 1]), frozenset(order[:at])
                gain = len(after) * table[after] - len(before) * table.get(before, False)
                expected[m] += gain / 6
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_absent_modalities_are_worth_nothing():
    present = np.array([[True, False], [False, True], [True, True]])
    found = valuations(lambda kept: np.array([kept[0], True, False]), present)
    np.testing.assert_allclose(found, [[1, 0], [0, 1], [0, 0]], atol=1e-12)
    # with three, of which one is absent, the other two play the game of two
    three = np.array([[True, True, False]])
    table = {frozenset({0}): True, frozenset({0, 1}): True, frozenset({0, 2}): True, frozenset({0, 1, 2}): True}
    np.testing.assert_allclose(valuations(correct_of(table), three)[0], [1.5, 0.5, 0.0], atol=1e-12)


def test_copies_of_samples():
    values = np.array([[1.5, 0.5], [1.0, 1.0 - 1e-13], [0.0, -0.5], [1 / 3, 2 / 3], [0.4, -0.1]])
    copies = sample_copies(values, np.ones((5, 2), dtype=bool))
    assert copies.tolist() == [[0, 1], [0, 0], [2, 3], [2, 1], [1, 2]]
    assert sample_copies(values, np.zeros((5, 2), dtype=bool)).sum() == 0


def test_copies_of_modalities():
    assert n_modality_copies(np.array([1.0, 0.25]), 100, 1.0) == (1, 50)
    assert n_modality_copies(np.array([0.2, 1.1]), 100, 0.5) == (0, 30)
    assert n_modality_copies(np.array([0.7, 0.7]), 100, 1.0)[1] == 0
    # three: the largest gap (0.9) against the mean of the others (0.15)
    assert n_modality_copies(np.array([1.0, 0.1, 0.7]), 120, 1.0) == (1, 60)
    assert n_modality_copies(np.array([np.nan, 0.4, np.nan]), 100, 1.0)[1] == 0
    assert n_modality_copies(np.array([np.nan, 0.4, 1.0]), 100, 1.0) == (1, 40)


def correct_by_hand(problem, weights):
    """Correct predictions of every coalition, from the forward pass written out in the fixture."""
    z = problem.embeddings(weights)

    def correct(kept):
        shown = [v * float(k) for v, k in zip(z, kept, strict=True)]
        logits = torch.cat(shown, dim=1) @ weights["head.fused.weight"].T + weights["head.fused.bias"]
        return (logits.argmax(dim=1) == problem.y).numpy()

    return correct


@pytest.mark.parametrize("n_modalities", [2, 3])
def test_an_epoch_of_sample_valuation(tiny, n_modalities):
    """One full-batch step on the rebuilt set equals the gradient on explicit copies of the rows."""
    problem = tiny(n_modalities)
    before = problem.copy()
    present = problem.present.numpy()
    copies = sample_copies(valuations(correct_by_hand(problem, before), present), present)
    assert copies.sum() > 0
    rows, kept = list(range(12)), [present[i] for i in range(12)]
    for m in range(n_modalities):
        for i in range(12):
            for _ in range(copies[i, m]):
                rows.append(i)
                kept.append(np.arange(n_modalities) == m)
    grown = tiny(n_modalities)
    grown.x, grown.y, grown.w = [x[rows] for x in problem.x], problem.y[rows], problem.w[rows]
    grown.present = torch.from_numpy(np.array(kept))
    expected = grown.gradients(before, lambda w: torch.stack(grown.losses(w)).mean())
    done = problem.run(SampleValuation(warm_up=0), batch_size=len(rows))
    problem.assert_stepped(before, expected)
    assert [line["copies"] for line in done.log] == copies.sum(axis=0).tolist()


def test_an_epoch_of_modality_valuation(tiny):
    problem = tiny(n=40, missing=0.3, seed=6)
    before = problem.copy()
    values = valuations(correct_by_hand(problem, before), problem.present.numpy())
    method = ModalityValuation(alpha=5.0, subset=1.0, warm_up=0)
    chosen = []
    original = method.epoch_rows
    method.epoch_rows = lambda epoch: chosen.append(original(epoch)) or chosen[-1]
    done = problem.run(method)
    ((rows, kept),) = chosen
    generator = torch.Generator().manual_seed(5)
    drawn = torch.randint(40, (40,), generator=generator).numpy()
    present = problem.present.numpy()
    means = [values[drawn, m][present[drawn, m]].mean() for m in range(2)]
    weakest, n_copies = n_modality_copies(np.array(means), 40, 5.0)
    assert n_copies > 0
    extra_rows, extra_kept = rows[40:].numpy(), kept[40:].numpy()
    assert len(extra_rows) == n_copies
    assert present[extra_rows, weakest].all()
    assert (extra_kept == (np.arange(2) == weakest)).all()
    assert rows[:40].tolist() == list(range(40))
    assert kept[:40].all()
    np.testing.assert_allclose(
        [line["valuation"] for line in done.log], [values[present[:, m], m].mean() for m in range(2)]
    )


def test_no_alpha_adds_no_rows(tiny):
    plain, problem = tiny(), tiny()
    plain.run(n_epochs=3)
    problem.run(ModalityValuation(alpha=0.0, warm_up=0), n_epochs=3)
    for p, q in zip(plain.module.parameters(), problem.module.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("method", [SampleValuation, ModalityValuation])
def test_the_warm_up_is_plain_training(tiny, method):
    plain, problem = tiny(), tiny()
    plain.run(n_epochs=3, batch_size=5)
    assert problem.run(method(warm_up=3), n_epochs=3, batch_size=5).log == []
    for p, q in zip(plain.module.parameters(), problem.module.parameters(), strict=True):
        assert torch.equal(p, q)
    log = tiny().run(method(warm_up=0.5), n_epochs=5).log
    assert sorted({line["epoch"] for line in log}) == [3, 4]


def test_a_learned_embedding_stands_in_for_what_is_taken_away(tiny):
    """Coalitions see the network as it sees rows that lack the modality."""
    from skmmal.heads import ConcatFusion, Encoder, LateFusionModule

    problem = tiny(missing=0.0)
    generator = torch.Generator().manual_seed(0)
    encoders = [Encoder(3 + m, [4], 0.0, generator) for m in range(2)]
    problem.module = LateFusionModule(encoders, ConcatFusion([4, 4], 3, generator), learned_absence=True)
    problem.module.to(torch.float64)
    with torch.no_grad():
        for token in problem.module.absent:
            token.uniform_(-3, 3, generator=generator)
    seen = {}

    class Spy(SampleValuation):
        def _correct(self, rows):
            correct = super()._correct(rows)
            for kept in product([False, True], repeat=2):
                there = torch.tensor(kept).expand(12, -1)
                with torch.no_grad():
                    logits = self.run.module(self.run.data.blocks, there)
                seen[kept] = bool((correct(np.array(kept)) == (logits.argmax(dim=1) == problem.y).numpy()).all())
            return correct

    problem.run(Spy(warm_up=0))
    assert seen == dict.fromkeys(product([False, True], repeat=2), True)
