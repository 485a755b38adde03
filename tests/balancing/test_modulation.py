"""OGM, OGM-GE, OPM and OPM+OGM against hand computations."""

import numpy as np
import pytest
import torch

from skmmal.balancing import OGM, OGMGE, OPM, OPMOGM, ogm_coefficients, opm_drop_probabilities
from skmmal.heads._scores import discrepancy_ratios, discrepancy_sums


def mean_loss(tiny):
    return lambda weights: torch.stack(tiny.losses(weights)).mean()


def same_weights(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.module.parameters(), b.module.parameters(), strict=True))


# ------------------------------------------------------------------------------------------------------ ratios


def test_ratios_of_two_full_modalities_are_the_papers():
    scores = torch.tensor([[0.9, 0.2], [0.5, 0.4]])
    ratios = discrepancy_ratios(*discrepancy_sums(scores, torch.ones(2, 2, dtype=torch.bool), torch.ones(2)))
    np.testing.assert_allclose(ratios, [1.4 / 0.6, 0.6 / 1.4], rtol=1e-6)


def test_ratios_of_three_full_modalities_compare_with_the_mean_of_the_others():
    scores = torch.rand(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ratios = discrepancy_ratios(*discrepancy_sums(scores, torch.ones(20, 3, dtype=torch.bool), torch.ones(20)))
    sums = scores.sum(dim=0).numpy()
    expected = [sums[m] / np.mean(np.delete(sums, m)) for m in range(3)]
    np.testing.assert_allclose(ratios, expected)


def test_missingness_is_not_mistaken_for_weakness():
    """Two equally good modalities; the second is absent from half the rows, and those are easy or hard."""
    rng = np.random.default_rng(0)
    for lost_rows_are in (0.9, 0.1):
        quality = np.r_[np.full(50, 0.5), np.full(50, lost_rows_are)]
        scores = torch.from_numpy(np.column_stack([quality, quality]) + rng.normal(0, 1e-3, (100, 2)))
        present = torch.ones(100, 2, dtype=torch.bool)
        present[50:, 1] = False
        ratios = discrepancy_ratios(*discrepancy_sums(scores, present, torch.ones(100, dtype=torch.float64)))
        np.testing.assert_allclose(ratios, 1.0, atol=1e-3)


def test_nothing_to_compare_with():
    present = torch.tensor([[True, False], [False, True]])
    ratios = discrepancy_ratios(*discrepancy_sums(torch.rand(2, 2), present, torch.ones(2)))
    assert ratios.isnan().all()
    assert ogm_coefficients(ratios, 0.8).tolist() == [1.0, 1.0]
    assert opm_drop_probabilities(ratios, 0.5, 0.5).tolist() == [0.0, 0.0]


def test_a_weight_of_two_is_a_row_twice():
    generator = torch.Generator().manual_seed(1)
    scores, present = torch.rand(9, 3, generator=generator), torch.rand(9, 3, generator=generator) > 0.3
    weights = torch.ones(9)
    weights[4] = 2.0
    twice = [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]
    for a, b in zip(
        discrepancy_sums(scores, present, weights),
        discrepancy_sums(scores[twice], present[twice], torch.ones(10)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


# --------------------------------------------------------------------------------------------------------- OGM


@pytest.mark.parametrize("n_modalities", [2, 3])
def test_one_step_of_ogm(tiny, n_modalities):
    problem = tiny(n_modalities)
    before = problem.copy()
    expected = problem.gradients(before, mean_loss(problem))
    ratios = problem.ratios(before)
    assert (ratios > 1).any()
    for m, ratio in enumerate(ratios):
        k = 1 - np.tanh(0.7 * ratio) if ratio > 1 else 1.0
        expected[f"encoders.{m}.layers.0.weight"] *= k
    done = problem.run(OGM(alpha=0.7, stop=1))
    problem.assert_stepped(before, expected)
    assert [line["coefficient"] < 1 for line in done.log] == (ratios > 1).tolist()


def test_one_step_of_ogm_ge(tiny):
    problem = tiny()
    before = problem.copy()
    expected = problem.gradients(before, mean_loss(problem))
    ratios = problem.ratios(before)
    generator = torch.Generator().manual_seed(5)
    torch.randperm(len(problem.y), generator=generator)  # the order of the epoch's rows is drawn first
    for m, ratio in enumerate(ratios):
        name = f"encoders.{m}.layers.0.weight"
        gradient = expected[name]
        noise = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)
        k = 1 - np.tanh(0.7 * ratio) if ratio > 1 else 1.0
        expected[name] = k * gradient + (float(np.std(gradient.numpy(), ddof=1)) + 1e-8) * noise
    problem.run(OGMGE(alpha=0.7, stop=1))
    problem.assert_stepped(before, expected)


def test_noise_of_a_single_weight_is_not_nan(tiny):
    problem = tiny(width=1)
    problem.x = [x[:, :1].contiguous() for x in problem.x]
    problem.module.encoders = type(problem.module.encoders)(
        type(e)(1, [1], 0.0, torch.Generator().manual_seed(0)) for e in problem.module.encoders
    )
    problem.module.to(torch.float64)
    problem.run(OGMGE(), n_epochs=4)
    assert all(torch.isfinite(p).all() for p in problem.module.parameters())


@pytest.mark.parametrize("solver", ["adamw", "sgd"])
def test_step_modulation_scales_what_the_optimiser_does(tiny, solver):
    plain, problem = tiny(), tiny()
    before = plain.copy()
    plain.run(solver=solver)
    problem.run(OGM(alpha=0.7, stop=1, modulate="step"), solver=solver)
    for m, ratio in enumerate(plain.ratios(before)):
        k = 1 - np.tanh(0.7 * ratio) if ratio > 1 else 1.0
        for part in ("weight", "bias"):
            name = f"encoders.{m}.layers.0.{part}"
            moved = dict(plain.module.named_parameters())[name].detach() - before[name]
            found = dict(problem.module.named_parameters())[name].detach() - before[name]
            np.testing.assert_allclose(found.numpy(), k * moved.numpy(), atol=1e-12)


def test_adamw_undoes_a_constant_factor(tiny):
    """Why the published rule is weak there: the first step is the same with any coefficient."""
    plain, problem = tiny(), tiny()
    plain.run(solver="adamw")
    problem.run(OGM(alpha=0.7, stop=1), solver="adamw")
    for p, q in zip(plain.module.parameters(), problem.module.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), atol=1e-4)


@pytest.mark.parametrize("method", [OGM(alpha=0.0, stop=1.0), OGM(alpha=0.0, modulate="step"), OGM(stop=0)])
def test_ogm_without_strength_or_epochs_is_plain_training(tiny, method):
    plain, problem = tiny(), tiny()
    plain.run(n_epochs=5, batch_size=4)
    problem.run(method, n_epochs=5, batch_size=4)
    assert same_weights(plain, problem)


def test_the_window(tiny):
    for start, stop, epochs in [(0, 0.5, [0, 1, 2, 3]), (2, 5, [2, 3, 4]), (0.25, 1.0, [2, 3, 4, 5, 6, 7]), (9, 1.0, [])]:
        log = tiny().run(OGM(start=start, stop=stop), n_epochs=8).log
        assert sorted({line["epoch"] for line in log}) == epochs
    # after the window the steps are whole again
    run = tiny().run(OGM(stop=1, modulate="step"), n_epochs=2).run
    assert {group["lr"] for group in run.optimizer.param_groups} == {run.learning_rate}


def test_ogm_with_a_head_that_is_not_linear(tiny):
    """The modalities' own heads are compared."""
    from skmmal.heads import Fusion

    class Product(Fusion):
        def forward(self, embeddings):
            return sum(self.unimodal_logits(embeddings)) * torch.cat(embeddings, dim=1).mean(dim=1, keepdim=True)

    problem = tiny(fusion=Product, missing=0.0)
    own = [
        torch.softmax(s, dim=1)[torch.arange(len(problem.y)), problem.y]
        for s in problem.module.head.unimodal_logits(problem.embeddings(problem.copy()))
    ]
    sums = [float((problem.w * s.detach()).sum()) for s in own]
    done = problem.run(OGM(alpha=0.5, stop=1.0))
    ratios = [sums[0] / sums[1], sums[1] / sums[0]]
    expected = [1 - np.tanh(0.5 * r) if r > 1 else 1.0 for r in ratios]
    np.testing.assert_allclose([line["coefficient"] for line in done.log], expected, rtol=1e-9)
    np.testing.assert_allclose(done.curves.ratios[0], ratios, rtol=1e-9)


# --------------------------------------------------------------------------------------------------------- OPM


def hidden_by_hand(problem, ratios, base_rate, strength, q_generator):
    """What OPM hides in the first batch: the order of rows is drawn, then whether to, then what."""
    order = torch.randperm(len(problem.y), generator=q_generator)
    torch.rand((), generator=q_generator)
    draws = torch.rand(problem.present.shape, generator=q_generator, dtype=torch.float64)
    q = np.array([np.clip(base_rate * (1 + strength * np.tanh(r - 1)), 0, 1) if r > 1 else 0.0 for r in ratios])
    hidden = torch.zeros_like(problem.present)
    hidden[order] = problem.present[order] & (draws < torch.from_numpy(q))
    return q, hidden


@pytest.mark.parametrize("n_modalities", [2, 3])
@pytest.mark.parametrize("seed", [5, 6])
def test_one_step_of_opm(tiny, n_modalities, seed):
    problem = tiny(n_modalities, missing=0.2)
    before = problem.copy()
    ratios = problem.ratios(before)
    q, hidden = hidden_by_hand(problem, ratios, 0.6, 0.5, torch.Generator().manual_seed(seed))
    assert hidden.any()
    theta = q.mean()  # embeddings of equal widths
    kept = problem.present & ~hidden

    def seen_by_fused(z):
        return [v * (1 / (1 - theta) * kept[:, m : m + 1]) for m, v in enumerate(z)]

    def loss(weights):
        row_weights = problem.w * kept.any(dim=1)
        return torch.stack(problem.losses(weights, seen_by_fused, kept, row_weights)).mean()

    done = problem.run(OPM(0.6, strength=0.5, execution_rate=1.0, start=0), seed=seed)
    problem.assert_stepped(before, problem.gradients(before, loss))
    np.testing.assert_allclose([line["drop_probability"] for line in done.log], q, rtol=1e-9)
    np.testing.assert_allclose(
        [line["dropped"] for line in done.log], (hidden.sum(dim=0) / problem.present.sum(dim=0)).numpy(), rtol=1e-6
    )


def test_theta_is_weighted_by_width():
    ratios = torch.tensor([3.0, 0.5], dtype=torch.float64)
    q = opm_drop_probabilities(ratios, 0.4, 1.0)
    assert q.tolist() == pytest.approx([0.4 * (1 + np.tanh(2.0)), 0.0])
    assert opm_drop_probabilities(ratios, 0.9, 1.0)[0] == 1.0
    assert opm_drop_probabilities(torch.tensor([1.0]), 0.9, 1.0)[0] == 0.0


def test_rows_that_lose_everything_do_not_count(tiny):
    """A single modality ahead with certainty of being hidden: rows with it alone are left out, nothing is NaN."""
    problem = tiny(missing=0.6, seed=3)
    before = problem.copy()
    ahead = int(np.argmax(problem.ratios(before)))
    kept = problem.present.clone()
    kept[:, ahead] = False
    assert not kept.any(dim=1).all()
    factor = 1 / (1 - 0.5)  # q is (1, 0) and the widths are equal

    def loss(weights):
        def seen(z):
            return [v * factor * kept[:, m : m + 1] for m, v in enumerate(z)]

        fused, *own = problem.losses(weights, seen, problem.present, problem.w * kept.any(dim=1))
        own[ahead] = own[ahead] * 0.0
        return torch.stack([fused, *own]).mean()

    problem.run(OPM(1.0, execution_rate=1.0, start=0))
    problem.assert_stepped(before, problem.gradients(before, loss))


@pytest.mark.parametrize("method", [OPM(0.0), OPM(execution_rate=0.0), OPM(start=4)])
def test_opm_without_strength_or_epochs_is_plain_training(tiny, method):
    plain, problem = tiny(), tiny()
    plain.run(n_epochs=4)
    problem.run(method, n_epochs=4)  # full batches: the rows' order does not matter
    for p, q in zip(plain.module.parameters(), problem.module.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), atol=1e-12)


def test_execution_rate(tiny):
    executed = []
    method = OPM(1.0, execution_rate=0.3, start=0)
    original = method.fused_input

    def spy(step):
        found = original(step)
        executed.append(found is not step.embeddings)
        return found

    method.fused_input = spy
    tiny(n=400, missing=0.0).run(method, batch_size=1)
    assert np.mean(executed) == pytest.approx(0.3, abs=0.07)


def test_opm_and_ogm_together(tiny):
    """Gradients of OPM's loss, then OGM's coefficients, of the same ratios."""
    problem = tiny()
    before = problem.copy()
    ratios = problem.ratios(before)
    q, hidden = hidden_by_hand(problem, ratios, 0.5, 0.5, torch.Generator().manual_seed(5))
    kept = problem.present & ~hidden

    def loss(weights):
        def seen(z):
            return [v / (1 - q.mean()) * kept[:, m : m + 1] for m, v in enumerate(z)]

        return torch.stack(problem.losses(weights, seen, kept, problem.w * kept.any(dim=1))).mean()

    expected = problem.gradients(before, loss)
    for m, ratio in enumerate(ratios):
        expected[f"encoders.{m}.layers.0.weight"] *= 1 - np.tanh(0.9 * ratio) if ratio > 1 else 1.0
    done = problem.run(OPMOGM(execution_rate=1.0, start=0, alpha=0.9, ogm_start=0, ogm_stop=1))
    problem.assert_stepped(before, expected)
    assert len(done.log) == 2
    assert set(done.log[0]) == {"epoch", "modality", "drop_probability", "dropped", "coefficient", "slowed"}
