"""When to stop labelling: criteria that look at the rounds so far and give advice. They halt nothing themselves."""

from __future__ import annotations

from skmmal.experiment.stopping import (
    Advice,
    Budget,
    ClassificationChange,
    ConfidenceThreshold,
    MaxRounds,
    OverallUncertainty,
    Patience,
    PerformanceChange,
    PredictedFChange,
    RoundState,
    SelectedAccuracy,
    StabilizingPredictions,
    StoppingCriterion,
    TargetAccuracy,
    as_criteria,
    available_criteria,
    get_criterion,
    kappa,
)

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
