"""Figures of experiments, in scikit-learn's manner; they need the ``plot`` extra."""

from skmmal.display.classes import ClassGainDisplay
from skmmal.display.curves import (
    ContributionDisplay,
    DominanceWeightDisplay,
    LearningCurveDisplay,
    ModalityCurveDisplay,
)
from skmmal.display.matrix import CriticalDifferenceDisplay, PairwiseMatrixDisplay
from skmmal.display.selection import SelectionGridDisplay

__all__ = [
    "ClassGainDisplay",
    "ContributionDisplay",
    "CriticalDifferenceDisplay",
    "DominanceWeightDisplay",
    "LearningCurveDisplay",
    "ModalityCurveDisplay",
    "PairwiseMatrixDisplay",
    "SelectionGridDisplay",
]
