"""Generated problems with known answers, and the small real data that ships with the package."""

from skmmal.datasets._generators import make_multimodal_classification
from skmmal.datasets._loaders import load_digits_views, load_emoji
from skmmal.datasets._mind_the_gap import MIND_THE_GAP_PITFALLS, make_mind_the_gap
from skmmal.datasets._pid import make_pid_classification

__all__ = [
    "MIND_THE_GAP_PITFALLS",
    "load_digits_views",
    "load_emoji",
    "make_mind_the_gap",
    "make_multimodal_classification",
    "make_pid_classification",
]
