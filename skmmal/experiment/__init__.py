"""Compare strategies the way the papers do: run, record, resume, test."""

from skmmal.experiment._annotator import NoisyAnnotator
from skmmal.experiment._common_range import UnfinishedWarning, common_range
from skmmal.experiment._evaluations import Adversarial, Evaluation, MissingRates, Noise
from skmmal.experiment._oracle import Oracle
from skmmal.experiment._ranks import average_ranks, critical_difference, friedman
from skmmal.experiment._results import ExperimentResults
from skmmal.experiment._runner import run_experiment
from skmmal.experiment._statistics import (
    area_under_curve,
    compare,
    labels_saved,
    labels_to_reach,
    pairwise_matrix,
)
from skmmal.experiment._stopping import stopping_history, stopping_points

__all__ = [
    "Adversarial",
    "Evaluation",
    "ExperimentResults",
    "MissingRates",
    "Noise",
    "NoisyAnnotator",
    "Oracle",
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
