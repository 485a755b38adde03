"""CRMT: certifiably more robust fusion, by large unimodal margins and re-weighted modalities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import normalize

from skmmal.balancing._base import ABOVE_ZERO, EPOCHS, NOT_NEGATIVE, Balancing, n_epochs_of
from skmmal.heads import ConcatFusion, Step, TrainingRun

__all__ = ["CRMT", "CRMTFusion", "certified_margins", "margin_penalty"]

_FACTOR = 0.1
_FLOOR = 1e-5
_SMALLEST_SPREAD = 1e-12
_EVALUATED_ROWS = 1024


def margin_penalty(scores: Sequence[torch.Tensor], labels: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Penalty on small unimodal margins: ``log(Σ_m Σ_{k ≠ y} exp(s_mk − s_my) + 1e-5)`` of each row.

    Parameters
    ----------
    scores : sequence of M tensors of shape (n, K)
        s_m.
    labels : int64 tensor of shape (n,)
        Columns y of the true classes.
    present : bool tensor of shape (n, M)
        Absent modalities are left out of the sum.

    Returns
    -------
    tensor of shape (n,)

    Examples
    --------
    >>> import torch
    >>> s = torch.tensor([[2.0, 1.0]])
    >>> margin_penalty([s, s], torch.tensor([0]), torch.tensor([[True, True]])).exp()
    tensor([0.7358])
    """
    stacked = torch.stack(list(scores), dim=1)  # (n, M, K)
    own = labels[:, None, None].expand(-1, stacked.shape[1], 1)
    shortfall = stacked - stacked.gather(2, own)
    counted = present[:, :, None] & torch.ones_like(stacked, dtype=torch.bool).scatter(2, own, False)
    floor = stacked.new_full((len(stacked), 1), _FLOOR).log()
    terms = shortfall.masked_fill(~counted, float("-inf")).flatten(1)
    return torch.logsumexp(torch.cat([terms, floor], dim=1), dim=1)


def certified_margins(
    scores: torch.Tensor,
    factors: torch.Tensor,
    intercept: torch.Tensor,
    slopes: torch.Tensor,
    labels: torch.Tensor,
    present: torch.Tensor,
) -> torch.Tensor:
    """Lower bound on how far a row's features may move before its class changes.

    ``(Σ_m (a_my s_my − a_mj s_mj) + b_y − b_j) / √(Σ_m (a_my τ_my + a_mj τ_mj)²)``, j the best class but y.

    Parameters
    ----------
    scores : tensor of shape (n, M, K)
        s_mk; K at least 2. That of an absent modality is zero, or what is learned to stand in for it.
    factors : tensor of shape (M, K)
        a_mk.
    intercept : tensor of shape (K,)
        b_k.
    slopes : tensor of shape (M, K)
        τ_mk, how fast s_mk may change with the features of modality m.
    labels : int64 tensor of shape (n,)
        Columns y of the true classes.
    present : bool tensor of shape (n, M)
        Absent modalities are left out of the second sum: they do not move.

    Returns
    -------
    tensor of shape (n,)
        Negative where the class is wrong already.

    Examples
    --------
    >>> import torch
    >>> scores, one = torch.tensor([[[2.0, 1.0], [3.0, 1.0]]]), torch.ones(2, 2)
    >>> certified_margins(scores, one, torch.zeros(2), one, torch.tensor([0]), torch.tensor([[True, True]]))
    tensor([1.0607])
    """
    logits = (factors * scores).sum(dim=1) + intercept
    own = labels[:, None]
    runner_up = logits.detach().scatter(1, own, float("-inf")).argmax(dim=1, keepdim=True)
    margin = (logits.gather(1, own) - logits.gather(1, runner_up))[:, 0]
    reach = (factors * slopes).T  # (K, M)
    spread = ((reach[labels] + reach[runner_up[:, 0]]) * present).norm(dim=1)
    return margin / spread.clamp_min(_SMALLEST_SPREAD)


class CRMTFusion(ConcatFusion):
    """Linear fusion of unimodal scores with directions of length one: ``h_k = Σ_m a_mk s_mk + b_k``.

    ``s_mk = w̃_mk · z_m``, where w̃_mk is row k of the weights of modality m, centred and divided by its length. (The
    entries of a single-column embedding are not centred.)

    Parameters
    ----------
    widths : sequence of int
        Widths D_m of the embeddings.
    n_classes : int
        K.
    generator : torch.Generator or None
        Draws the initial weights; the factors a start at 0.1.

    Examples
    --------
    >>> import torch
    >>> from skmmal.balancing import CRMTFusion
    >>> head = CRMTFusion([3, 2], 4, torch.Generator().manual_seed(0))
    >>> head([torch.ones(5, 3), torch.ones(5, 2)]).shape
    torch.Size([5, 4])
    """

    def __init__(self, widths: Sequence[int], n_classes: int, generator: torch.Generator | None = None) -> None:
        super().__init__(widths, n_classes, generator)
        # a layer, as its rows belong to classes
        self.mixing = nn.utils.skip_init(nn.Linear, len(self.widths), n_classes, bias=False)
        nn.init.constant_(self.mixing.weight, _FACTOR)

    @property
    def factors(self) -> torch.Tensor:
        """The factors a, shape (M, K)."""
        return self.mixing.weight.T

    def directions(self) -> list[torch.Tensor]:
        """Return the unit vectors w̃ of each modality.

        Returns
        -------
        list of M tensors of shape (K, D_m)
            Zero where the weights are.
        """
        weights = self.fused.weight.split(self.widths, dim=1)
        return [normalize(w - w.mean(dim=1, keepdim=True) if w.shape[1] > 1 else w, dim=1) for w in weights]

    def scores(self, embeddings: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the unimodal scores s_m.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, D_m)
            Of the encoders.

        Returns
        -------
        list of M tensors of shape (n, K)
        """
        return [z @ w.T for z, w in zip(embeddings, self.directions(), strict=True)]

    def partial_logits(self, embeddings: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return each modality's share ``a_m s_m`` of the fused logits, and the intercept.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, D_m)
            Of the encoders.

        Returns
        -------
        shares : list of M tensors of shape (n, K)
        intercept : tensor of shape (K,)
        """
        return [a * s for a, s in zip(self.factors, self.scores(embeddings), strict=True)], self.fused.bias

    def forward(self, embeddings: list[torch.Tensor]) -> torch.Tensor:
        """Return the fused logits.

        Parameters
        ----------
        embeddings : list of M tensors of shape (n, D_m)
            Of the encoders.

        Returns
        -------
        tensor of shape (n, K)
        """
        partial, intercept = self.partial_logits(embeddings)
        return torch.stack(partial).sum(dim=0) + intercept


class CRMT(Balancing):
    """Certifiable robust multimodal training: large margins of every modality, then factors that make the most of them.

    It brings its own fusion, so the classifier's `fusion` stays ``"concat"``: ``h_k = Σ_m a_mk s_mk + b_k`` with
    directions of length one (see `CRMTFusion`). In training, a penalty on small margins of every modality joins the
    fused loss: ``rho · mean log(Σ_m Σ_{k ≠ y} exp(s_mk − s_my) + 1e-5)``. Afterwards only the factors a are trained,
    to make the certified margins large (see `certified_margins`).

    Parameters
    ----------
    rho : float, default=2.0
        Weight ρ of the penalty.
    second_step : int or float, default=1/3
        Epochs of the second step, after the `max_iter` of the first: a number (int), or a share of `max_iter`
        (float); 0 leaves it out.
    second_learning_rate : float, default=0.03
        Learning rate of the second step (plain SGD), as a multiple of the classifier's.
    second_weight_decay : float, default=0.01
        Decay of the factors in the second step.

    Notes
    -----
    Published with ``solver="sgd"``; it works with either solver.

    Published τ are the largest gradients of the fused logits. Ours: the largest gradients of s_mk with respect to
    the features of modality m, which do not contain the factors twice; any number of modalities; absent ones are
    left out of the penalty, of τ and of what may move; classes without rows take no part. The fused logits stay
    linear in the embeddings: contributions are exact. The published variants with adversarial training and Mixup are
    not built.

    `balancing_log_` has before and after the second step (by the number of its last epoch) the mean `factor` of each
    modality, and the mean certified `margin` of the rows with it.

    References
    ----------
    .. [1] Yang et al., "Quantifying and enhancing multi-modal robustness with modality preference", ICLR 2024
       (arXiv 2402.06244).

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.balancing import CRMT
    >>> from skmmal.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(n_samples=200, random_state=0, return_X_y=True)
    >>> clf = LateFusionClassifier(encoder_dim=8, balancing=CRMT(rho=1.0), max_iter=6, random_state=0).fit(X, y)
    >>> clf.module_.head.factors.shape
    torch.Size([2, 2])
    """

    fusion = CRMTFusion

    _parameter_constraints: dict = {
        "rho": NOT_NEGATIVE,
        "second_step": EPOCHS,
        "second_learning_rate": ABOVE_ZERO,
        "second_weight_decay": NOT_NEGATIVE,
    }

    def __init__(
        self,
        rho: float = 2.0,
        *,
        second_step: float = 1 / 3,
        second_learning_rate: float = 0.03,
        second_weight_decay: float = 0.01,
    ) -> None:
        self.rho = rho
        self.second_step = second_step
        self.second_learning_rate = second_learning_rate
        self.second_weight_decay = second_weight_decay

    @torch.no_grad()
    def begin(self, run: TrainingRun) -> None:
        super().begin(run)
        head = run.module.head
        assert isinstance(head, CRMTFusion)
        self._head = head
        self._classes = torch.nonzero(run.seen).squeeze(1)
        self._position = torch.cumsum(run.seen, dim=0) - 1
        weights = head.fused.weight
        idle = run.seen & (weights == 0).all(dim=1)
        if idle.any():
            # a class without rows in the last fit (`warm_start`): zero has no direction, and no gradient to find one
            weights[idle] = weights.new_empty(int(idle.sum()), weights.shape[1]).uniform_(
                -1.0, 1.0, generator=run.generator
            )
            head.mixing.weight[idle] = _FACTOR

    def losses(self, step: Step, losses: list[torch.Tensor]) -> list[torch.Tensor]:
        if self.rho == 0 or len(self._classes) < 2:
            return losses
        scores = [s[:, self._classes] for s in self._head.scores(step.embeddings)]
        penalty = margin_penalty(scores, self._position[step.batch.labels], step.batch.present)
        weights = step.batch.weights
        mean = (weights * penalty).sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
        return [losses[0] + self.rho * mean, *losses[1:]]

    def finish(self) -> None:
        run = self.run
        n_epochs = n_epochs_of(self.second_step, run.n_epochs)
        if n_epochs == 0 or len(self._classes) < 2:
            return
        rows = torch.arange(len(run.data), device=run.data.labels.device)
        with torch.no_grad():
            scores = torch.stack(self._head.scores(run.embed(rows)), dim=1)[:, :, self._classes]
        labels = self._position[run.data.labels]
        slopes = self._slopes()[:, self._classes]
        intercept = self._head.fused.bias.detach()[self._classes]
        factors = self._head.factors.detach()[:, self._classes].clone().requires_grad_()
        rate = self.second_learning_rate * run.learning_rate
        optimizer = torch.optim.SGD([factors], lr=rate, weight_decay=self.second_weight_decay)

        def margins(of: torch.Tensor) -> torch.Tensor:
            return certified_margins(scores[of], factors, intercept, slopes, labels[of], run.data.present[of])

        self._log(run.n_epochs - 1, factors, margins(rows))
        for _ in range(n_epochs):
            order = torch.randperm(len(rows), generator=run.generator, device=rows.device)
            for batch in order.split(run.batch_size):
                weights = run.data.weights[batch]
                optimizer.zero_grad(set_to_none=True)
                (-(weights * margins(batch)).sum() / weights.sum()).backward()
                optimizer.step()
        self._log(run.n_epochs - 1 + n_epochs, factors, margins(rows))
        with torch.no_grad():
            self._head.mixing.weight[self._classes] = factors.T

    def _slopes(self) -> torch.Tensor:
        """Largest gradient τ (M, K) of each unimodal score with respect to the features, over the rows with them."""
        data, module = self.run.data, self.run.module
        slopes = torch.zeros_like(self._head.factors)
        module.set_dropout_generator(None)
        for m, (encoder, directions) in enumerate(zip(module.encoders, self._head.directions(), strict=True)):
            having = torch.nonzero(data.present[:, m]).squeeze(1)
            for rows in having.split(_EVALUATED_ROWS) if len(having) else ():
                block = data.blocks[m][rows].requires_grad_()
                scores = encoder(block) @ directions.detach().T
                for k in self._classes.tolist():
                    (gradient,) = torch.autograd.grad(scores[:, k].sum(), block, retain_graph=True)
                    slopes[m, k] = torch.maximum(slopes[m, k], gradient.norm(dim=1).max())
        module.set_dropout_generator(self.run.generator)
        return slopes.detach()

    def _log(self, epoch: int, factors: torch.Tensor, margins: torch.Tensor) -> None:
        present = self.run.data.present.to(margins.dtype)
        means = (margins[:, None] * present).sum(dim=0) / present.sum(dim=0)
        self.run.record(epoch, factor=factors.mean(dim=1), margin=means)
