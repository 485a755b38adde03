"""Where a balancing method may act on the training; torch is imported by what trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

    from skmmal.heads._batches import Batches
    from skmmal.heads._network import LateFusionModule

__all__ = ["EpochRows", "Step", "TrainingHooks", "TrainingRun"]

_EVALUATED_ROWS = 8192


@dataclass
class TrainingRun:
    """One training: what the loop and the hooks share.

    Parameters
    ----------
    module : LateFusionModule
        The network, which is trained in place.
    data : Batches
        Labelled rows, those of weight zero left out.
    seen : bool tensor of shape (K,)
        Classes with rows.
    names : list of str
        Names of the M modalities.
    optimizer : torch.optim.Optimizer
        Of `make_optimizer`.
    n_epochs : int
        Times that the loop goes through the rows.
    batch_size : int
        Rows of a step of the optimizer; the last one of an epoch may have fewer.
    learning_rate : float
        The optimizer's at the start, before any method changes that of an encoder.
    unimodal_weight : float
        How much the modalities' own losses train the encoders, beside the fused loss with weight 1.
    generator : torch.Generator
        On the device of `data`.
    log : list of dict
        What a method has to say of itself; see `record`.

    Examples
    --------
    >>> from skmmal.heads import TrainingRun
    >>> callable(TrainingRun.record)  # what a balancing method notes goes to the classifier's balancing_log_
    True
    """

    module: LateFusionModule
    data: Batches
    seen: torch.Tensor
    names: list[str]
    optimizer: torch.optim.Optimizer
    n_epochs: int
    batch_size: int
    learning_rate: float
    unimodal_weight: float
    generator: torch.Generator
    log: list[dict[str, Any]] = field(default_factory=list)

    def embed(self, rows: torch.Tensor, present: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Encode some rows without dropout.

        Parameters
        ----------
        rows : int64 tensor of shape (n,)
            Rows of the data.
        present : bool tensor of shape (n, M), optional
            Modalities that are taken as present; by default those that the rows have.

        Returns
        -------
        list of M tensors of shape (n, D_m)
        """
        import torch

        there = self.data.present[rows] if present is None else present
        self.module.set_dropout_generator(None)
        with torch.no_grad():
            parts = [
                self.module.embed([block[some] for block in self.data.blocks], mask)
                for some, mask in zip(rows.split(_EVALUATED_ROWS), there.split(_EVALUATED_ROWS), strict=True)
            ]
        self.module.set_dropout_generator(self.generator)
        return [torch.cat(values) for values in zip(*parts, strict=True)]

    def record(self, epoch: int, **values: Any) -> None:
        """Note something of every modality: the log has a line for each epoch and modality.

        Parameters
        ----------
        epoch : int
            From 0. What is recorded of one epoch at several times stands in the same lines.
        **values : tensor of shape (M,)
            What is noted, by the name of its column.
        """
        if not self.log or self.log[-1]["epoch"] != epoch:
            self.log += [{"epoch": epoch, "modality": name} for name in self.names]
        columns = {key: column.tolist() for key, column in values.items()}
        for m, line in enumerate(self.log[-len(self.names) :]):
            line.update({key: column[m] for key, column in columns.items()})


@dataclass
class Step:
    """One mini-batch on its way through the network.

    Parameters
    ----------
    epoch : int
        From 0.
    batch : Batches
        The rows of the step.
    embeddings : list of M tensors of shape (n, D_m)
        Outputs of the encoders, through which gradients flow back.
    discrepancy : pair of tensors of shape (M,) or None
        Of `discrepancy_sums`, on these embeddings; ``None`` where nobody asks.

    Examples
    --------
    >>> from dataclasses import fields
    >>> from skmmal.heads import Step
    >>> [field.name for field in fields(Step)][:3]
    ['epoch', 'batch', 'embeddings']
    """

    epoch: int
    batch: Batches
    embeddings: list[torch.Tensor]
    discrepancy: tuple[torch.Tensor, torch.Tensor] | None

    @property
    def ratios(self) -> torch.Tensor:
        """Discrepancy ratios (M,) of the batch."""
        from skmmal.heads._scores import discrepancy_ratios

        assert self.discrepancy is not None
        return discrepancy_ratios(*self.discrepancy)


class EpochRows(NamedTuple):
    """The rows an epoch goes through.

    Parameters
    ----------
    rows : int64 tensor of shape (n,)
        Rows of the data; one may come several times.
    kept : bool tensor of shape (n, M), optional
        Modalities that are left in each; the others are taken as absent.

    Examples
    --------
    >>> import torch
    >>> from skmmal.heads import EpochRows
    >>> EpochRows(torch.tensor([0, 1, 1])).kept is None  # the second row twice, with all its modalities
    True
    """

    rows: torch.Tensor
    kept: torch.Tensor | None = None


class TrainingHooks:
    """Where a balancing method may act on the training; these do nothing.

    `begin` is called once, then for every epoch `epoch_rows`, its steps, and `end_epoch`; in the end `finish`. The
    hooks of a step are called in the order in which they stand here.

    Examples
    --------
    >>> from skmmal.balancing import OGM
    >>> from skmmal.heads import TrainingHooks
    >>> isinstance(OGM(), TrainingHooks)
    True
    """

    run: TrainingRun

    def begin(self, run: TrainingRun) -> None:
        """Remember the run.

        Parameters
        ----------
        run : TrainingRun
            What the loop and the hooks share.
        """
        self.run = run

    def epoch_rows(self, epoch: int) -> EpochRows:
        """Choose the rows of an epoch.

        Parameters
        ----------
        epoch : int
            From 0.

        Returns
        -------
        EpochRows
        """
        import torch

        return EpochRows(torch.arange(len(self.run.data), device=self.run.data.labels.device))

    def mask(self, present: torch.Tensor) -> torch.Tensor:
        """Declare modalities of a batch absent before they are encoded.

        Parameters
        ----------
        present : bool tensor of shape (n, M)
            Which row of the batch has which modality.

        Returns
        -------
        bool tensor of shape (n, M)
        """
        return present

    def fused_input(self, step: Step) -> list[torch.Tensor]:
        """Change the embeddings that the fused head sees, and what of the batch counts.

        Parameters
        ----------
        step : Step
            The batch, encoded.

        Returns
        -------
        list of M tensors of shape (n, D_m)
        """
        return step.embeddings

    def losses(self, step: Step, losses: list[torch.Tensor]) -> list[torch.Tensor]:
        """Add to the heads' losses.

        Parameters
        ----------
        step : Step
            The batch, encoded.
        losses : list of M + 1 tensors of shape ()
            The fused head's, then the modalities'.

        Returns
        -------
        list of M + 1 tensors of shape ()
        """
        return losses

    def backward(self, objective: torch.Tensor, losses: list[torch.Tensor]) -> None:
        """Fill in the gradients.

        Parameters
        ----------
        objective : tensor of shape ()
            Mean of the `losses`.
        losses : list of M + 1 tensors of shape ()
            The fused head's, then the modalities'.
        """
        objective.backward()

    def gradients(self, step: Step) -> None:
        """Change the gradients before the optimiser's step.

        Parameters
        ----------
        step : Step
            The batch, encoded.
        """

    def end_epoch(self, epoch: int) -> None:
        """Act on the network after an epoch.

        Parameters
        ----------
        epoch : int
            From 0.
        """

    def finish(self) -> None:
        """Act on the network after the last epoch."""
