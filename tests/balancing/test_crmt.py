"""CRMT: the head, the penalty, the certified margins, both steps."""

import numpy as np
import pytest
import torch
from samples import make_blocks

from skmmal import LateFusionClassifier, MultimodalArray
from skmmal.balancing import CRMT, CRMTFusion, certified_margins, margin_penalty


def directions_by_hand(weight, widths):
    found = []
    for part in np.split(weight, np.cumsum(widths)[:-1], axis=1):
        centred = part - part.mean(axis=1, keepdims=True) if part.shape[1] > 1 else part
        found.append(centred / np.linalg.norm(centred, axis=1, keepdims=True))
    return found


def head_of(widths, n_classes, seed=0):
    head = CRMTFusion(widths, n_classes, torch.Generator().manual_seed(seed)).to(torch.float64)
    with torch.no_grad():
        head.mixing.weight.uniform_(0.1, 0.9, generator=torch.Generator().manual_seed(seed + 1))
        head.fused.bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(seed + 2))
    return head


def test_the_head():
    rng = np.random.default_rng(0)
    head = head_of([4, 3, 1], 5)
    z = [rng.standard_normal((6, width)) for width in (4, 3, 1)]
    weights = directions_by_hand(head.fused.weight.detach().numpy(), [4, 3, 1])
    for m, w in enumerate(weights):
        np.testing.assert_allclose(np.linalg.norm(w, axis=1), 1.0)
        np.testing.assert_allclose(head.directions()[m].detach().numpy(), w)
    a = head.factors.detach().numpy()
    expected = sum(a[m] * (z[m] @ weights[m].T) for m in range(3)) + head.fused.bias.detach().numpy()
    tensors = [torch.from_numpy(v) for v in z]
    np.testing.assert_allclose(head(tensors).detach().numpy(), expected)
    partial, intercept = head.partial_logits(tensors)
    np.testing.assert_allclose((sum(partial) + intercept).detach().numpy(), expected)
    fresh = CRMTFusion([4, 3], 5, torch.Generator().manual_seed(0))
    assert (fresh.factors == 0.1).all()


def test_the_last_layer_is_what_it_says():
    head = head_of([4, 3], 5)
    z = [torch.randn(7, width, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) for width in (4, 3)]
    weight, intercept = head.last_layer()
    torch.testing.assert_close(torch.cat(z, dim=1) @ weight.T + intercept, head(z))


def test_the_penalty():
    rng = np.random.default_rng(1)
    s, y, present = rng.standard_normal((3, 8, 4)) * 3, rng.integers(0, 4, 8), rng.random((8, 3)) > 0.4
    found = margin_penalty([torch.from_numpy(v) for v in s], torch.from_numpy(y), torch.from_numpy(present))
    for i in range(8):
        terms = [
            np.exp(s[m, i, k] - s[m, i, y[i]]) for m in range(3) if present[i, m] for k in range(4) if k != y[i]
        ]
        assert float(found[i]) == pytest.approx(np.log(sum(terms) + 1e-5), abs=1e-10)
    huge = margin_penalty([torch.tensor([[1e4, 0.0]])], torch.tensor([1]), torch.tensor([[True]]))
    assert float(huge) == pytest.approx(1e4)


def margins_by_hand(s, a, b, tau, y, present):
    found = []
    for i in range(len(y)):
        h = b + sum(a[m] * s[i, m] for m in range(len(a)))
        j = max((k for k in range(len(b)) if k != y[i]), key=lambda k: h[k])
        spread = sum((a[m, y[i]] * tau[m, y[i]] + a[m, j] * tau[m, j]) ** 2 for m in range(len(a)) if present[i, m])
        found.append((h[y[i]] - h[j]) / np.sqrt(spread))
    return np.array(found)


def test_certified_margins():
    rng = np.random.default_rng(2)
    s, a, b, tau = rng.standard_normal((9, 3, 4)), rng.random((3, 4)), rng.standard_normal(4), rng.random((3, 4)) + 0.1
    y, present = rng.integers(0, 4, 9), rng.random((9, 3)) > 0.3
    present[~present.any(axis=1), 0] = True
    found = certified_margins(*(torch.from_numpy(v) for v in (s, a, b, tau, y, present)))
    np.testing.assert_allclose(found, margins_by_hand(s, a, b, tau, y, present))


def test_the_margin_certifies():
    """No step shorter than it changes the class, where the scores are linear in the features (τ is exact)."""
    rng = np.random.default_rng(3)
    head = head_of([5, 4], 3)
    z = [torch.from_numpy(rng.standard_normal((40, width))) for width in (5, 4)]
    tau = torch.ones(2, 3, dtype=torch.float64)  # directions have length one
    predicted = head(z).argmax(dim=1)
    present = torch.ones(40, 2, dtype=torch.bool)
    scores = torch.stack(head.scores(z), dim=1)
    margin = certified_margins(scores, head.factors, head.fused.bias, tau, predicted, present).detach()
    assert (margin > 0).all()
    for _ in range(200):
        step = [torch.from_numpy(rng.standard_normal(v.shape)) for v in z]
        length = torch.sqrt(sum((v**2).sum(dim=1) for v in step))
        moved = [v + d * (0.999 * margin / length)[:, None] for v, d in zip(z, step, strict=True)]
        assert torch.equal(head(moved).argmax(dim=1), predicted)


def crmt_forward(problem, weights):
    z = problem.embeddings(weights)
    parts = weights["head.fused.weight"].split([v.shape[1] for v in z], dim=1)
    scores = []
    for v, part in zip(z, parts, strict=True):
        centred = part - part.mean(dim=1, keepdim=True)
        scores.append(v @ (centred / centred.norm(dim=1, keepdim=True)).T)
    a = weights["head.mixing.weight"]
    return scores, sum(a[:, m] * s for m, s in enumerate(scores)) + weights["head.fused.bias"], z


@pytest.mark.parametrize("n_modalities", [2, 3])
def test_the_first_step(tiny, n_modalities):
    problem = tiny(n_modalities, fusion=CRMTFusion)
    before = problem.copy()
    rows = torch.arange(len(problem.y))

    def loss(weights):
        scores, logits, z = crmt_forward(problem, weights)
        each = -torch.log_softmax(logits, dim=1)[rows, problem.y]
        fused = (problem.w * each).sum() / problem.w.sum()
        total = 0.0
        for m, s in enumerate(scores):
            gaps = torch.exp(s - s[rows, problem.y][:, None])
            total = total + (gaps.sum(dim=1) - 1.0) * problem.present[:, m]  # without the class itself
        penalty = (problem.w * torch.log(total + 1e-5)).sum() / problem.w.sum()
        own = []
        for m, v in enumerate(z):
            logits_m = v @ weights[f"head.unimodal.{m}.weight"].T + weights[f"head.unimodal.{m}.bias"]
            each = -torch.log_softmax(logits_m, dim=1)[rows, problem.y]
            w = problem.w * problem.present[:, m]
            own.append((w * each).sum() / w.sum())
        return torch.stack([fused + 1.7 * penalty, *own]).mean()

    expected = problem.gradients(before, loss)
    done = problem.run(CRMT(rho=1.7, second_step=0))
    problem.assert_stepped(before, expected)
    assert done.curves.objective[0] == pytest.approx(float(loss(before)))
    # the curves of the heads are cross-entropies, without the penalty
    logits = crmt_forward(problem, before)[1]
    each = -torch.log_softmax(logits, dim=1)[rows, problem.y]
    assert done.curves.losses[0][0] == pytest.approx(float((problem.w * each).sum() / problem.w.sum()))


def test_the_second_step(tiny):
    """One epoch, one batch: plain gradient ascent on the mean certified margin, of the factors alone."""
    first, problem = tiny(fusion=CRMTFusion), tiny(fusion=CRMTFusion)
    first.run(CRMT(second_step=0), n_epochs=2)
    after_first = first.copy()
    done = problem.run(CRMT(second_step=1, second_learning_rate=0.5, second_weight_decay=0.2), n_epochs=2)
    scores = torch.stack(crmt_forward(first, after_first)[0], dim=1).numpy()
    tau = np.zeros((2, 3))
    parts = np.split(after_first["head.fused.weight"].numpy(), 2, axis=1)
    for m, part in enumerate(parts):
        centred = part - part.mean(axis=1, keepdims=True)
        direction = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        w = after_first[f"encoders.{m}.layers.0.weight"].numpy()
        b = after_first[f"encoders.{m}.layers.0.bias"].numpy()
        for i in np.flatnonzero(problem.present[:, m].numpy()):
            active = (w @ problem.x[m][i].numpy() + b) > 0
            slopes = np.linalg.norm((direction * active) @ w, axis=1)  # gradient of s_mk in row i
            tau[m] = np.maximum(tau[m], slopes)
    a = after_first["head.mixing.weight"].numpy().T
    arrays = [torch.from_numpy(v) for v in (tau, scores)]
    factors = torch.from_numpy(a.copy()).requires_grad_()
    bias = after_first["head.fused.bias"]
    margins = certified_margins(arrays[1], factors, bias, arrays[0], problem.y, problem.present)
    np.testing.assert_allclose(
        margins.detach(), margins_by_hand(scores, a, bias.numpy(), tau, problem.y.numpy(), problem.present.numpy())
    )
    objective = -(problem.w * margins).sum() / problem.w.sum()
    (gradient,) = torch.autograd.grad(objective, factors)
    expected = a - 0.5 * 0.1 * (gradient.numpy() + 0.2 * a)
    np.testing.assert_allclose(problem.module.head.factors.detach().numpy(), expected, atol=1e-10)
    for name, value in after_first.items():
        if name != "head.mixing.weight":
            assert torch.equal(dict(problem.module.named_parameters())[name].detach(), value), name
    assert [line["epoch"] for line in done.log] == [1, 1, 2, 2]
    m0 = problem.present[:, 0]
    assert done.log[0]["margin"] == pytest.approx(float(margins[m0].mean().detach()))
    assert done.log[2]["factor"] == pytest.approx(expected[0].mean())


def test_the_second_step_widens_the_margins():
    blocks, y = make_blocks(n=150)
    clf = LateFusionClassifier(
        encoder_dim=8, balancing=CRMT(second_step=50, second_learning_rate=1.0), max_iter=20, learning_rate=0.02,
        random_state=0, weight_decay=0.0,
    )  # fmt: skip
    log = clf.fit(MultimodalArray(blocks), y).balancing_log_
    assert all(after["margin"] > before["margin"] for before, after in zip(log[:2], log[2:], strict=True))


def test_no_penalty_is_training_of_the_head(tiny):
    plain, problem = tiny(fusion=CRMTFusion), tiny(fusion=CRMTFusion)
    plain.run(n_epochs=4, batch_size=5)
    problem.run(CRMT(rho=0.0, second_step=0), n_epochs=4, batch_size=5)
    for p, q in zip(plain.module.parameters(), problem.module.parameters(), strict=True):
        assert torch.equal(p, q)


def test_classes_without_rows_take_no_part(tiny):
    problem = tiny(fusion=CRMTFusion, n_classes=4)
    problem.y = problem.y % 3  # class 3 has no rows
    other = tiny(fusion=CRMTFusion, n_classes=4)
    other.y = other.y % 3
    with torch.no_grad():
        for each in (problem, other):
            each.module.head.fused.bias[3] = -100.0
            each.module.head.fused.weight[3] = 0.0
            for head in each.module.head.unimodal:
                head.bias[3] = -100.0
        other.module.head.mixing.weight[3] = 7.0
    for each in (problem, other):
        each.run(CRMT(), n_epochs=6)
    for p, q in zip(problem.module.encoders.parameters(), other.module.encoders.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), atol=1e-12)


def test_a_class_that_comes_with_warm_start():
    blocks, y = make_blocks(n=90)
    X = MultimodalArray(blocks)
    few = np.flatnonzero(y != 2)
    clf = LateFusionClassifier(
        encoder_dim=8, balancing="crmt", warm_start=True, max_iter=60, learning_rate=0.02, random_state=0
    )
    clf.fit(X[few], y[few], classes=[2, 0, 1])
    assert (clf.predict_proba(X)[:, 0] < 1e-20).all()
    assert (clf.module_.head.factors[:, 0] == 0).all()
    clf.fit(X, y, classes=[2, 0, 1])
    assert clf.score(X, y) > 0.9
    grown = LateFusionClassifier(
        encoder_dim=8, balancing="crmt", warm_start=True, max_iter=60, learning_rate=0.02, random_state=0
    )
    grown.fit(X[few], y[few]).fit(X, y)  # and one more column
    assert grown.score(X, y) > 0.9


def test_contributions_are_exact():
    blocks, y = make_blocks(n=60, missing=0.2)
    X = MultimodalArray(blocks)
    clf = LateFusionClassifier(encoder_dim=4, balancing="crmt", max_iter=5, random_state=0).fit(X, y)
    z = [torch.from_numpy(v) for v in clf.embed(X).values()]
    with torch.no_grad():
        full = torch.softmax(clf.module_.head(z), dim=1).max(dim=1)
        none = torch.softmax(clf.module_.head([0 * v for v in z]), dim=1)
    expected = full.values - none[torch.arange(60), full.indices]
    np.testing.assert_allclose(clf.shapley_values(X).sum(axis=1), expected, atol=1e-10)


def test_a_modality_that_no_row_has():
    rng = np.random.default_rng(0)
    X = {"a": rng.standard_normal((8, 2)), "b": np.full((8, 2), np.nan)}
    clf = LateFusionClassifier(encoder_dim=2, balancing="crmt", max_iter=2, random_state=0).fit(X, np.arange(8) % 2)
    assert np.isfinite(clf.predict_proba(X)).all()
