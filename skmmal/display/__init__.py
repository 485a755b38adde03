"""Figures of experiments, in scikit-learn's manner; they need the ``plot`` extra."""

from skmmal.display.classes import ClassGainDisplay
from skmmal.display.curves import (
    ContributionDisplay,
    DominanceWeightDisplay,
    LearningCurveDisplay,
    ModalityCurveDisplay,
)
from skmmal.display.matrix import CriticalDifferenceDisplay, PairwiseMatrixDisplay
from skmmal.display.robustness import RobustnessDisplay
from skmmal.display.selection import SelectionGridDisplay
from skmmal.display.training import TrainingCurvesDisplay

__all__ = [
    "ClassGainDisplay",
    "ContributionDisplay",
    "CriticalDifferenceDisplay",
    "DominanceWeightDisplay",
    "LearningCurveDisplay",
    "ModalityCurveDisplay",
    "PairwiseMatrixDisplay",
    "RobustnessDisplay",
    "SelectionGridDisplay",
    "TrainingCurvesDisplay",
]
