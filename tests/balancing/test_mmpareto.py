"""MMPareto: the minimum-norm point, and one step by hand."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from skmmal.balancing import MMPareto, pareto_weights


@pytest.mark.parametrize("seed", range(20))
def test_weights_in_a_conflict(seed):
    """The shortest vector between the two, found by search; its inner products with both are equal and not negative."""
    rng = np.random.default_rng(seed)
    g_f, g_u = rng.standard_normal((2, 6)) * rng.uniform(0.5, 2.0, (2, 1))
    if g_f @ g_u > 0:
        g_u = -g_u
    a, b = (float(v) for v in pareto_weights(torch.from_numpy(g_f), torch.from_numpy(g_u)))
    assert a + b == pytest.approx(1.0)
    best = minimize_scalar(lambda t: np.linalg.norm(t * g_f + (1 - t) * g_u), bounds=(0, 1), method="bounded")
    assert a == pytest.approx(best.x, abs=1e-4)
    direction = a * g_f + b * g_u
    assert direction @ g_f == pytest.approx(direction @ g_u)
    assert direction @ g_f >= 0


def test_weights_without_a_conflict_and_at_the_ends():
    g = torch.tensor([1.0, 2.0])
    assert [float(v) for v in pareto_weights(g, torch.tensor([3.0, -1.0]))] == [0.5, 0.5]
    # one gradient is so small that the shortest vector is itself: the published bounds
    assert float(pareto_weights(1e-6 * g, -g)[0]) == pytest.approx(0.999)
    assert float(pareto_weights(g, -1e-6 * g)[0]) == pytest.approx(0.001)
    for zero in (torch.zeros(2), torch.zeros(2)):
        a, b = pareto_weights(zero, zero)
        assert torch.isfinite(a)
        assert float(a + b) == 1.0


def gradients_by_hand(problem, gamma):
    before = problem.copy()
    n_heads = len(problem.x) + 1
    expected = problem.gradients(before, lambda w: torch.stack(problem.losses(w)).mean())
    alphas, conflicts = [], []
    for m in range(len(problem.x)):
        parts = [f"encoders.{m}.layers.0.weight", f"encoders.{m}.layers.0.bias"]
        each = [
            problem.gradients(before, lambda w, head=head: problem.losses(w)[head] / n_heads) for head in (0, m + 1)
        ]
        g_f, g_u = (np.concatenate([g[name].numpy().ravel() for name in parts]) for g in each)
        alpha = 0.5
        if g_f @ g_u <= 0:
            alpha = np.clip(((g_u - g_f) @ g_u) / ((g_f - g_u) @ (g_f - g_u)), 0.001, 0.999)
        for name in parts:
            f, u = each[0][name], each[1][name]
            h = 2 * alpha * f + 2 * (1 - alpha) * u
            expected[name] = gamma * h * max(1.0, float((f + u).norm() / h.norm()))
        alphas.append(alpha)
        conflicts.append(float(g_f @ g_u < 0))
    return before, expected, alphas, conflicts


@pytest.mark.parametrize("n_modalities", [2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_one_step(tiny, n_modalities, seed):
    problem = tiny(n_modalities, seed=seed)
    before, expected, alphas, conflicts = gradients_by_hand(problem, 1.3)
    done = problem.run(MMPareto(gamma=1.3))
    problem.assert_stepped(before, expected)
    np.testing.assert_allclose([line["fused_weight"] for line in done.log], alphas, rtol=1e-6)
    assert [line["conflict"] for line in done.log] == conflicts


def test_the_seeds_above_have_conflicts_and_agreements(tiny):
    found = [gradients_by_hand(tiny(seed=seed), 1.0)[3] for seed in range(6)]
    assert 0 < np.mean(found) < 1


def test_without_conflict_the_gradient_is_gamma_times_the_plain_one(tiny):
    """A fused head that is the mean of the modalities' heads, rows all alike: both losses want the same."""
    from skmmal.heads import SumFusion

    plain, problem, longer = (tiny(fusion=SumFusion, missing=0.0, n=3, n_classes=3, seed=1) for _ in range(3))
    before = plain.copy()
    plain.run()
    assert {line["conflict"] for line in problem.run(MMPareto(gamma=1.0)).log} == {0.0}
    longer.run(MMPareto(gamma=2.5))
    for (name, p), q, r in zip(
        plain.module.named_parameters(), problem.module.parameters(), longer.module.parameters(), strict=True
    ):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), atol=1e-12)
        factor = 2.5 if name.startswith("encoders") else 1.0
        np.testing.assert_allclose(
            (r.detach() - before[name]).numpy(), factor * (p.detach() - before[name]).numpy(), atol=1e-12
        )


def test_a_modality_that_no_row_of_a_batch_has(tiny):
    problem = tiny(missing=0.0)
    problem.present[:, 1] = False
    problem.x[1] *= 0
    before = problem.copy()
    problem.run(MMPareto(), n_epochs=3)
    for name, parameter in problem.module.named_parameters():
        assert torch.isfinite(parameter).all()
        if name.startswith("encoders.1"):
            assert torch.equal(parameter.detach(), before[name])


def test_identity_encoders_are_left_alone(tiny):
    from skmmal.heads import ConcatFusion, Encoder, LateFusionModule

    problem = tiny(missing=0.0)
    generator = torch.Generator().manual_seed(0)
    encoders = [Encoder(3, [4], 0.0, generator), Encoder(4, [], 0.0, generator)]
    problem.module = LateFusionModule(encoders, ConcatFusion([4, 4], 3, generator)).to(torch.float64)
    done = problem.run(MMPareto(), n_epochs=2)
    assert done.curves.objective[1] < done.curves.objective[0]
