"""When to stop labelling: criteria that look at the rounds so far, and what they would have saved."""

from skmmal._registry import entries
from skmmal.experiment.stopping._base import Advice, RoundState, StoppingCriterion
from skmmal.experiment.stopping._budget import Budget
from skmmal.experiment.stopping._classification_change import ClassificationChange
from skmmal.experiment.stopping._confidence import ConfidenceThreshold
from skmmal.experiment.stopping._max_rounds import MaxRounds
from skmmal.experiment.stopping._overall_uncertainty import OverallUncertainty
from skmmal.experiment.stopping._patience import Patience
from skmmal.experiment.stopping._performance_change import PerformanceChange
from skmmal.experiment.stopping._predicted_f_change import PredictedFChange
from skmmal.experiment.stopping._predictions import kappa
from skmmal.experiment.stopping._registry import as_criteria, available_criteria, get_criterion
from skmmal.experiment.stopping._replay import stopping_history, stopping_points
from skmmal.experiment.stopping._selected_accuracy import SelectedAccuracy
from skmmal.experiment.stopping._stabilizing_predictions import StabilizingPredictions
from skmmal.experiment.stopping._target_accuracy import TargetAccuracy

__all__ = [
    "CRITERIA",
    "Advice",
    "Budget",
    "ClassificationChange",
    "ConfidenceThreshold",
    "MaxRounds",
    "OverallUncertainty",
    "Patience",
    "PerformanceChange",
    "PredictedFChange",
    "RoundState",
    "SelectedAccuracy",
    "StabilizingPredictions",
    "StoppingCriterion",
    "TargetAccuracy",
    "as_criteria",
    "available_criteria",
    "get_criterion",
    "kappa",
    "stopping_history",
    "stopping_points",
]

CRITERIA: dict[str, type[StoppingCriterion]] = {name: entry.load() for name, entry in entries("stopping").items()}
"""Classes by name."""
