"""OPM and OGM together."""

from __future__ import annotations

from skmmal.balancing._base import EPOCHS, MODULATE, NOT_NEGATIVE
from skmmal.balancing._ogm import OGM
from skmmal.balancing._opm import OPM
from skmmal.heads import Step, TrainingRun

__all__ = ["OPMOGM"]


class OPMOGM(OPM):
    """Prediction and gradient modulation: `OPM` in the forward pass, `OGM` in the backward pass.

    Parameters
    ----------
    base_rate, strength, execution_rate : float, default=0.5, 0.5 and 0.7
        Of `OPM`.
    start, stop : int or float, default=0.05 and 1.0
        Of `OPM`.
    alpha : float, default=0.8
        Of `OGM`.
    modulate : {"gradient", "step"}, default="gradient"
        Of `OGM`.
    ogm_start, ogm_stop : int or float, default=0.05 and 0.6
        `start` and `stop` of `OGM`.

    See Also
    --------
    OPM, OGM : What is ours in each, and why OGM's part is weakened under AdamW.

    Notes
    -----
    Published with AdamW (learning rate 5e-5): prediction modulation from epoch 5 of 100 on, gradient modulation from
    epoch 5 to 60, α between 0.8 and 1. Both compare the modalities on the embeddings before anything is hidden.

    References
    ----------
    .. [1] Wei et al., "On-the-fly modulation for balanced multimodal learning", TPAMI 2024 (arXiv 2410.11582).

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.balancing import OPMOGM
    >>> LateFusionClassifier(encoder_dim=8, balancing=OPMOGM(alpha=1.0), solver="sgd").balancing
    OPMOGM(alpha=1.0)
    """

    _parameter_constraints: dict = {
        **OPM._parameter_constraints,
        "alpha": NOT_NEGATIVE,
        "modulate": MODULATE,
        "ogm_start": EPOCHS,
        "ogm_stop": EPOCHS,
    }

    def __init__(
        self,
        base_rate: float = 0.5,
        *,
        strength: float = 0.5,
        execution_rate: float = 0.7,
        start: float = 0.05,
        stop: float = 1.0,
        alpha: float = 0.8,
        modulate: str = "gradient",
        ogm_start: float = 0.05,
        ogm_stop: float = 0.6,
    ) -> None:
        super().__init__(base_rate, strength=strength, execution_rate=execution_rate, start=start, stop=stop)
        self.alpha = alpha
        self.modulate = modulate
        self.ogm_start = ogm_start
        self.ogm_stop = ogm_stop

    def begin(self, run: TrainingRun) -> None:
        super().begin(run)
        self._ogm = OGM(self.alpha, start=self.ogm_start, stop=self.ogm_stop, modulate=self.modulate)
        self._ogm.begin(run)

    def gradients(self, step: Step) -> None:
        self._ogm.gradients(step)

    def end_epoch(self, epoch: int) -> None:
        super().end_epoch(epoch)
        self._ogm.end_epoch(epoch)
