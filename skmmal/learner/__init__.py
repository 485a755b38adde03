"""Active learning in modAL's words: a learner that holds its labelled rows, fits on them and queries for more."""

from skmmal.learner._learner import ActiveLearner

__all__ = ["ActiveLearner"]
