"""The loop the methods hook into: curves, solvers, and how much the modalities' own losses train the encoders."""

import numpy as np
import pytest
import torch
from samples import make_blocks

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.heads import EpochRows, TrainingHooks
from skmmal.heads._training import make_optimizer, scale_gradients

CURVES = ("loss_curve_by_head_", "discrepancy_", "balancing_log_")


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
def test_curves(tiny, n_modalities):
    """Of one full batch: what the network said before the step."""
    problem = tiny(n_modalities)
    before = problem.copy()
    curves = problem.run(n_epochs=2).curves
    losses = [float(v) for v in problem.losses(before)]
    np.testing.assert_allclose(curves.losses[0], losses, rtol=1e-9)
    assert curves.objective[0] == pytest.approx(np.mean(losses))
    if n_modalities == 1:
        assert np.isnan(curves.ratios[0]).all()
    else:
        np.testing.assert_allclose(curves.ratios[0], problem.ratios(before), rtol=1e-9)
    assert len(curves.objective) == len(curves.losses) == len(curves.ratios) == 2


def test_curves_of_many_batches_are_means_over_rows(tiny):
    """A learning rate of zero: all batches see the same network, so the epoch's means are those of one batch."""
    problem, whole = tiny(3, n=17), tiny(3, n=17)
    for each in (problem, whole):
        each.module.requires_grad_(True)

    class Still(TrainingHooks):
        def gradients(self, step):
            self.run.optimizer.zero_grad(set_to_none=True)

    many = problem.run(Still(), batch_size=4).curves
    one = whole.run(Still()).curves
    np.testing.assert_allclose(many.losses, one.losses, rtol=1e-9)
    np.testing.assert_allclose(many.ratios, one.ratios, rtol=1e-9)


def test_a_modality_without_rows_has_no_curve(tiny):
    problem = tiny(missing=0.0)
    problem.present[:, 1] = False
    curves = problem.run().curves
    assert np.isfinite(curves.losses[0][:2]).all()
    assert np.isnan(curves.losses[0][2])
    assert np.isnan(curves.ratios[0]).all()


def test_the_classifier_keeps_the_curves():
    blocks, y = make_blocks(n=100, missing=0.2)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(encoder_dim=4, max_iter=7, random_state=0).fit(X, y)
    assert list(clf.loss_curve_by_head_) == ["fused", "image", "text"]
    assert list(clf.discrepancy_) == ["image", "text"]
    assert {len(curve) for curve in (*clf.loss_curve_by_head_.values(), *clf.discrepancy_.values())} == {7}
    assert clf.balancing_log_ == []
    a, b = (np.array(clf.discrepancy_[name]) for name in ("image", "text"))
    np.testing.assert_allclose(a * b, 1.0, rtol=1e-5)  # of two modalities, each is ahead as far as the other is behind
    clf.set_params(encoder_dim=None, max_iter=100).fit(X, y)  # convex: there are no epochs
    assert not any(hasattr(clf, name) for name in CURVES)
    clf.set_params(solver="adamw", max_iter=3).fit(X, y)  # fixed features: nothing is left behind
    assert len(clf.loss_curve_by_head_["text"]) == 3
    assert not hasattr(clf, "discrepancy_")


def test_the_discrepancy_sees_which_modality_is_easy():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    easy = 3.0 * np.eye(3)[y] + 0.3 * rng.standard_normal((300, 3))
    X = MultimodalArray({"easy": easy, "noise": rng.standard_normal((300, 3))})
    clf = LateFusionClassifier(encoder_dim=8, max_iter=20, learning_rate=0.01, random_state=0).fit(X, y)
    assert clf.discrepancy_["easy"][-1] > 1.2
    assert clf.loss_curve_by_head_["noise"][-1] > clf.loss_curve_by_head_["easy"][-1]


# ---------------------------------------------------------------------------------------------- unimodal weight


@pytest.mark.parametrize("weight", [0.0, 0.3, 2.0])
def test_unimodal_weight(tiny, weight):
    """Encoders follow the fused loss + weight × the modalities' own; the own heads learn as ever."""
    problem = tiny()
    before = problem.copy()
    fused, *own = (problem.gradients(before, lambda w, head=head: problem.losses(w)[head] / 3) for head in range(3))
    expected = {}
    for name in before:
        factor = weight if name.startswith("encoders") else 1.0
        expected[name] = fused[name] + factor * sum(each[name] for each in own)
    problem.run(unimodal_weight=weight)
    problem.assert_stepped(before, expected)


def test_unimodal_weight_of_one_changes_nothing():
    z = [torch.randn(3, 2, generator=torch.Generator().manual_seed(0))]
    assert scale_gradients(z, 1.0) is z
    assert torch.equal(scale_gradients(z, 0.37)[0], z[0])
    blocks, y = make_blocks(n=60)
    quick = {"encoder_dim": 4, "max_iter": 3, "random_state": 0}
    a = LateFusionClassifier(**quick).fit(MultimodalArray(blocks), y)
    b = LateFusionClassifier(**quick, unimodal_weight=1.0).fit(MultimodalArray(blocks), y)
    c = LateFusionClassifier(**quick, unimodal_weight=0.0).fit(MultimodalArray(blocks), y)
    X = MultimodalArray(blocks)
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    assert not np.allclose(a.predict_proba(X), c.predict_proba(X))
    with pytest.raises(ValueError, match="'unimodal_weight' parameter"):
        LateFusionClassifier(unimodal_weight=-1.0).fit(X, y)


# ------------------------------------------------------------------------------------------------------ solvers


def test_one_step_of_sgd_and_the_momentum_of_the_second(tiny):
    problem = tiny()
    start = problem.copy()
    first = problem.gradients(start, lambda w: torch.stack(problem.losses(w)).mean())
    middle = {name: start[name] - 0.1 * first[name] for name in start}
    second = problem.gradients(middle, lambda w: torch.stack(problem.losses(w)).mean())
    problem.run(n_epochs=2)
    problem.assert_stepped(middle, {name: 0.9 * first[name] + second[name] for name in start})


def test_groups_of_the_optimiser(tiny):
    problem = tiny(3)
    optimizer = make_optimizer(problem.module, "adamw", 0.1, 0.05)
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in problem.module.parameters()}
    assert len(grouped) == len(list(problem.module.parameters()))
    for group in optimizer.param_groups:
        assert len({p.ndim > 1 for p in group["params"]}) == 1
        assert group["weight_decay"] == (0.05 if group["params"][0].ndim > 1 else 0.0)
        if group["encoder"] is not None:
            own = {id(p) for p in problem.module.encoders[group["encoder"]].parameters()}
            assert {id(p) for p in group["params"]} <= own
    assert {group["encoder"] for group in optimizer.param_groups} == {0, 1, 2, None}


def test_sgd_without_encoders():
    blocks, y = make_blocks(n=120)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(solver="sgd", learning_rate=0.1, max_iter=100, random_state=0).fit(X, y)
    assert clf.score(X, y) >= LateFusionClassifier(C=1.0).fit(X, y).score(X, y) - 0.02


# -------------------------------------------------------------------------------------------------------- hooks


def test_hooks_are_called_in_the_order_they_stand_in(tiny):
    called = []

    class Spy(TrainingHooks):
        def __getattribute__(self, name):
            if name in vars(TrainingHooks) and not name.startswith("_") and name != "run":
                called.append(name)
            return super().__getattribute__(name)

    tiny().run(Spy(), batch_size=6, n_epochs=1)
    step = ["mask", "fused_input", "losses", "backward", "gradients"]
    assert called == ["begin", "epoch_rows", *step, *step, "end_epoch", "finish"]
    assert [name for name in vars(TrainingHooks) if name in called] == list(dict.fromkeys(called))


def test_rows_of_an_epoch(tiny):
    """Rows that are chosen, repeated and masked are the data of the epoch."""
    rows, kept = torch.tensor([3, 3, 7, 0]), torch.tensor([[True, False], [True, True], [False, True], [True, True]])

    class Chosen(TrainingHooks):
        def epoch_rows(self, epoch):
            return EpochRows(rows, kept)

    problem, explicit = tiny(missing=0.0), tiny(missing=0.0)
    problem.run(Chosen(), batch_size=12)
    explicit.x = [x[rows] * kept[:, m : m + 1] for m, x in enumerate(explicit.x)]
    explicit.y, explicit.w, explicit.present = explicit.y[rows], explicit.w[rows], kept
    explicit.run(batch_size=12)
    for p, q in zip(problem.module.parameters(), explicit.module.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), atol=1e-12)


def test_embed_of_a_run_is_without_dropout(tiny):
    from skmmal.heads import ConcatFusion, Encoder, LateFusionModule

    problem = tiny()
    generator = torch.Generator().manual_seed(0)
    encoders = [Encoder(3 + m, [4], 0.5, generator) for m in range(2)]
    problem.module = LateFusionModule(encoders, ConcatFusion([4, 4], 3, generator)).to(torch.float64)
    seen = []

    class Look(TrainingHooks):
        def end_epoch(self, epoch):
            rows = torch.tensor([5, 1])
            seen.append((self.run.embed(rows), [z[rows] for z in problem.embeddings(problem.copy())]))
            assert encoders[0].layers[2].generator is self.run.generator

    problem.run(Look(), n_epochs=2)
    for found, expected in seen:
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)
    assert encoders[0].layers[2].generator is None
