"""Named settings of the generator, one for each pitfall of multimodal active learning."""

from __future__ import annotations

from typing import Any

from skmmal._arrays import one_of
from skmmal._random import RandomState
from skmmal.datasets._generators import make_multimodal_classification

_MODALITIES = {"a": 32, "b": 32}
_CLASS_SEP = 4.0

# one thing at a time differs from "interaction-redundant", where nothing goes wrong
_SETTINGS: dict[str, dict[str, Any]] = {
    "interaction-redundant": {},
    "missing": {"missing": {"a": 0.3, "b": 0.3}},
    "missing-class": {"missing": {"a": 0.3, "b": 0.3}, "missing_pattern": "class"},
    "missing-one": {"missing": {"a": 0.5}, "missing_pattern": "b-only"},
    "difficulty": {"difficulty": {"b": 2.0}},
    "interaction-unique": {"interaction": "unique"},
    "interaction-synergy": {"interaction": "synergy"},
    "interaction-mixed": {"interaction": "mixed"},
}

MIND_THE_GAP_PITFALLS: tuple[str, ...] = tuple(_SETTINGS)
"""Names that `make_mind_the_gap` takes, the control first."""


def make_mind_the_gap(
    pitfall: str,
    n_samples: int = 2000,
    *,
    n_classes: int = 4,
    random_state: RandomState = None,
    return_X_y: bool = False,
) -> Any:
    """Generate a data set that isolates one pitfall of multimodal active learning.

    **A reconstruction.** Of "Mind the Gap" the abstract could be read, not the generator: it names three
    pitfalls, each isolated by synthetic data, namely missing modalities, differences in modality difficulty,
    and interaction structure. The settings that follow are ours. All have the modalities ``a`` and ``b`` of
    32 columns and clusters 4 spreads apart, and differ in one thing from the first:

    - ``"interaction-redundant"``: each modality tells the whole label. The control.
    - ``"missing"``: either modality is missing from 30 % of the rows at random, never both.
    - ``"missing-class"``: the same rates, but a is missing more often from the later classes, b from the
      earlier.
    - ``"missing-one"``: half of the rows have b only.
    - ``"difficulty"``: b's noise has a standard deviation of 2.0, that of a is 0.5.
    - ``"interaction-unique"``: only a knows the label, b is at chance.
    - ``"interaction-synergy"``: only both together know the label, each alone is at chance.
    - ``"interaction-mixed"``: a third of the rows each of shared, own and synergistic information.

    With one `random_state` the labels are the same in all of them; with the first five the signal is, too.

    Parameters
    ----------
    pitfall : str
        One of the names above, all of which are in ``skmmal.datasets.MIND_THE_GAP_PITFALLS``.
    n_samples : int, default=2000
        Number of rows.
    n_classes : int, default=4
        Number of classes, balanced.
    random_state : int, RandomState, Generator or None, default=None
        None draws fresh entropy. numpy's global generator is not used.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    bunch : Bunch
        As of `make_multimodal_classification`, and ``pitfall``, the name.
    (data, target) : tuple if `return_X_y` is True
        The two of that name in the Bunch.

    Raises
    ------
    ValueError
        The pitfall is unknown, or there are fewer rows than classes.

    References
    ----------
    Eisenhardt, Jeong and Buettner, "Mind the Gap: a framework for assessing pitfalls in multimodal active
    learning", arXiv:2603.29677, 2026 (abstract).

    Examples
    --------
    >>> from skmmal.datasets import MIND_THE_GAP_PITFALLS, make_mind_the_gap
    >>> for pitfall in MIND_THE_GAP_PITFALLS[:3]:
    ...     bunch = make_mind_the_gap(pitfall, 500, random_state=0)
    ...     print(pitfall, bunch.data.shape, bool(bunch.present.all()))
    interaction-redundant (500, 64) True
    missing (500, 64) False
    missing-class (500, 64) False
    """
    one_of(pitfall, "pitfall", MIND_THE_GAP_PITFALLS)
    bunch = make_multimodal_classification(
        n_samples,
        _MODALITIES,
        n_classes=n_classes,
        class_sep=_CLASS_SEP,
        random_state=random_state,
        **_SETTINGS[pitfall],
    )
    if return_X_y:
        return bunch.data, bunch.target
    bunch.pitfall = pitfall
    bunch.DESCR = (
        f"Mind the Gap (a reconstruction from the abstract of arXiv:2603.29677), pitfall: {pitfall}.\n\n{bunch.DESCR}"
    )
    return bunch
