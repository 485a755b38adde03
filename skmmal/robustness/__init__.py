"""Accuracy under what goes wrong in use: modalities that are missing, noise, adversarial steps.

Each function returns a tidy table: ``kind``, ``modality`` (which was disturbed, or ``"all"``), ``level``, ``repeat``,
``head`` (``"fused"``, or the modality whose own classifier is measured), ``accuracy``, and ``disturbed``: the share
of the modality's blocks that were changed.

The disturbances act on the features that the classifier sees: the steps of a pipeline before it are applied first.
"""

from skmmal.robustness._adversarial import ATTACK_LEVELS, adversarial_curve, adversarial_examples
from skmmal.robustness._measured import ALL
from skmmal.robustness._missing import RATES, missing_curve
from skmmal.robustness._noise import NOISE_LEVELS, noise_curve

__all__ = [
    "ALL",
    "ATTACK_LEVELS",
    "NOISE_LEVELS",
    "RATES",
    "adversarial_curve",
    "adversarial_examples",
    "missing_curve",
    "noise_curve",
]
