"""Tiny trainings in float64, and the same forward pass written out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skmmal.heads import Batches, ConcatFusion, Encoder, LateFusionModule, TrainingHooks, TrainingRun
from skmmal.heads._training import make_optimizer, train

LEARNING_RATE = 0.1


class Tiny:
    """A network of M encoders (linear, ReLU), rows with random weights and missing modalities, in float64."""

    def __init__(self, n_modalities=2, n=12, n_classes=3, missing=0.3, seed=0, fusion=ConcatFusion, width=4):
        rng = np.random.default_rng(seed)
        self.x = [torch.from_numpy(rng.standard_normal((n, 3 + m))) for m in range(n_modalities)]
        self.y = torch.from_numpy(np.arange(n) % n_classes)
        present = rng.random((n, n_modalities)) >= missing
        present[~present.any(axis=1), 0] = True
        self.present = torch.from_numpy(present)
        self.x = [x * self.present[:, m : m + 1] for m, x in enumerate(self.x)]
        self.w = torch.from_numpy(rng.random(n) + 0.5)
        self.n_classes = n_classes
        generator = torch.Generator().manual_seed(seed)
        encoders = [Encoder(x.shape[1], [width], 0.0, generator) for x in self.x]
        self.module = LateFusionModule(encoders, fusion([width] * n_modalities, n_classes, generator))
        self.module.to(torch.float64)

    def copy(self):
        """The weights of the network, by name."""
        return {name: p.detach().clone() for name, p in self.module.named_parameters()}

    def run(self, hooks=None, *, n_epochs=1, solver="sgd", batch_size=None, seed=5, unimodal_weight=1.0, dropout=0.0):
        """Train; full batches where nothing else is said. The first step of SGD is learning rate × gradient."""
        run = TrainingRun(
            self.module,
            Batches(self.x, self.present, self.y, self.w),
            torch.bincount(self.y, minlength=self.n_classes) > 0,
            [f"m{m}" for m in range(len(self.x))],
            make_optimizer(self.module, solver, LEARNING_RATE, 0.0),
            n_epochs=n_epochs,
            batch_size=batch_size or len(self.y),
            learning_rate=LEARNING_RATE,
            unimodal_weight=unimodal_weight,
            generator=torch.Generator().manual_seed(seed),
        )
        curves = train(run, hooks or TrainingHooks(), modality_dropout=dropout, verbose=0)
        return SimpleNamespace(run=run, curves=curves, log=run.log)

    # ---------------------------------------------------------------------------- the same, by hand

    def embeddings(self, weights):
        return [
            torch.relu(x @ weights[f"encoders.{m}.layers.0.weight"].T + weights[f"encoders.{m}.layers.0.bias"])
            * self.present[:, m : m + 1]
            for m, x in enumerate(self.x)
        ]

    def losses(self, weights, seen_by_fused=None, counted=None, row_weights=None):
        """Weighted mean cross-entropies: fused, then each modality's."""
        z = self.embeddings(weights)
        counted = self.present if counted is None else counted
        row_weights = self.w if row_weights is None else row_weights
        fused = torch.cat(z if seen_by_fused is None else seen_by_fused(z), dim=1)
        logits = [fused @ weights["head.fused.weight"].T + weights["head.fused.bias"]]
        logits += [
            values @ weights[f"head.unimodal.{m}.weight"].T + weights[f"head.unimodal.{m}.bias"]
            for m, values in enumerate(z)
        ]
        masks = [torch.ones(len(self.y), dtype=torch.bool), *counted.T]
        found = []
        for values, mask in zip(logits, masks, strict=True):
            each = -torch.log_softmax(values, dim=1)[torch.arange(len(self.y)), self.y]
            found.append((row_weights * mask * each).sum() / (row_weights * mask).sum())
        return found

    def scores(self, weights):
        """True-class probabilities of the modalities' shares of a concat head, with b / M each, as numpy."""
        z, n_modalities = self.embeddings(weights), len(self.x)
        parts = weights["head.fused.weight"].split([v.shape[1] for v in z], dim=1)
        return np.stack(
            [
                torch.softmax(v @ part.T + weights["head.fused.bias"] / n_modalities, dim=1)[
                    torch.arange(len(self.y)), self.y
                ].numpy()
                for v, part in zip(z, parts, strict=True)
            ],
            axis=1,
        )

    def ratios(self, weights):
        """Discrepancy ratios with loops: each modality against the others of the same row."""
        scores, present, w = self.scores(weights), self.present.numpy(), self.w.numpy()
        found = []
        for m in range(len(self.x)):
            own = others = 0.0
            for i in range(len(w)):
                rest = [scores[i, k] for k in range(len(self.x)) if k != m and present[i, k]]
                if present[i, m] and rest:
                    own += w[i] * scores[i, m]
                    others += w[i] * np.mean(rest)
            found.append(own / others)
        return np.array(found)

    def gradients(self, weights, loss):
        """Gradients of ``loss(weights)`` by parameter name."""
        leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
        names = list(leaves)
        found = torch.autograd.grad(loss(leaves), [leaves[name] for name in names], allow_unused=True)
        return {
            name: torch.zeros_like(weights[name]) if g is None else g for name, g in zip(names, found, strict=True)
        }

    def assert_stepped(self, before, gradients):
        """The network moved from `before` by one step of gradient descent."""
        for name, parameter in self.module.named_parameters():
            expected = before[name] - LEARNING_RATE * gradients[name]
            np.testing.assert_allclose(parameter.detach().numpy(), expected.numpy(), atol=1e-10, err_msg=name)


@pytest.fixture
def tiny():
    """`Tiny`, to be called with its arguments."""
    return Tiny
