"""Figures and reports of experiments; they need the ``plot`` extra."""

from skmmal.display._classes import ClassGainDisplay
from skmmal.display._curves import (
    ContributionDisplay,
    DominanceWeightDisplay,
    LearningCurveDisplay,
    ModalityCurveDisplay,
)
from skmmal.display._matrix import CriticalDifferenceDisplay, PairwiseMatrixDisplay
from skmmal.display._report import write_comparison, write_report
from skmmal.display._robustness import RobustnessDisplay
from skmmal.display._selection import SelectionGridDisplay
from skmmal.display._training import TrainingCurvesDisplay

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
    "write_comparison",
    "write_report",
]
