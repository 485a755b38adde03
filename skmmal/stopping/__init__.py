"""When to stop labelling: criteria that look at the rounds so far and give advice. They halt nothing themselves."""

from skmmal.stopping._base import Advice, RoundState, StoppingCriterion
from skmmal.stopping._budget import Budget
from skmmal.stopping._by_name import as_criteria, available_criteria, get_criterion
from skmmal.stopping._classification_change import ClassificationChange
from skmmal.stopping._confidence import ConfidenceThreshold
from skmmal.stopping._max_rounds import MaxRounds
from skmmal.stopping._overall_uncertainty import OverallUncertainty
from skmmal.stopping._patience import Patience
from skmmal.stopping._performance_change import PerformanceChange
from skmmal.stopping._predicted_f_change import PredictedFChange
from skmmal.stopping._predictions import kappa
from skmmal.stopping._selected_accuracy import SelectedAccuracy
from skmmal.stopping._stabilizing_predictions import StabilizingPredictions
from skmmal.stopping._target_accuracy import TargetAccuracy

__all__ = [
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
]
