"""Compare strategies the way the papers do: run, record, resume, test."""

from skmmal.experiment.common_range import UnfinishedWarning, common_range
from skmmal.experiment.evaluations import Adversarial, Evaluation, MissingRates, Noise
from skmmal.experiment.ranks import average_ranks, critical_difference, friedman
from skmmal.experiment.results import ExperimentResults
from skmmal.experiment.runner import run_experiment
from skmmal.experiment.statistics import (
    area_under_curve,
    compare,
    labels_saved,
    labels_to_reach,
    pairwise_matrix,
)
from skmmal.experiment.stopping import stopping_history, stopping_points

__all__ = [
    "Adversarial",
    "Evaluation",
    "ExperimentResults",
    "MissingRates",
    "Noise",
    "UnfinishedWarning",
    "area_under_curve",
    "average_ranks",
    "common_range",
    "compare",
    "critical_difference",
    "friedman",
    "labels_saved",
    "labels_to_reach",
    "pairwise_matrix",
    "run_experiment",
    "stopping_history",
    "stopping_points",
]
