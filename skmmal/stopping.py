"""When to stop labelling: criteria that look at the rounds so far and give advice. They halt nothing themselves."""

from skmmal.experiment.stopping import *  # noqa: F403
from skmmal.experiment.stopping import __all__ as __all__
