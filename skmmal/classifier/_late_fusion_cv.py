"""The late-fusion classifier that finds its penalty and its modalities' weights in the labeled rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import check_consistent_length

from skmmal._arrays import off_device
from skmmal._random import RandomState
from skmmal._sklearn import StrOptions, fit_context
from skmmal.classifier._divisions import divided, rows_that_decide
from skmmal.classifier._fitting import Strength, check_modality_weights
from skmmal.classifier._late_fusion import LateFusionClassifier
from skmmal.classifier._search import Choice, Grid, choose
from skmmal.heads.convex import LabeledRows
from skmmal.modalities._rows import check_same_rows, rows_of

__all__ = ["LateFusionClassifierCV"]

_CS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_WEIGHTS = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
_MOST, _MOST_OF_LARGE = 60, 14
"""Candidates that are tried, and of a problem so large that a share of the rows decides."""
_TOL_OF_LARGE, _LARGEST_C_OF_LARGE = 1e-3, 10.0
"""What ``tol="auto"`` means there, and the largest C of the default ones: a large C needs many iterations."""


class LateFusionClassifierCV(LateFusionClassifier):
    """Late fusion whose C and weights of modalities are chosen by cross-validation.

    A fused head on all features can be worse than the head of its best modality, where another one is mostly noise;
    and no C suits both 40 and 4,000 labels. This classifier chooses both by the rows that the heads of a fold were not
    fitted on, and is `LateFusionClassifier` with ``C=C_, modality_weights=modality_weights_`` from there on.

    Parameters
    ----------
    modalities : mapping, optional
        As of `LateFusionClassifier`.
    Cs : array-like of float, default=(0.003, 0.01, 0.03, ..., 30.0)
        The values of C that are tried. The one nearest to 1 is where the search begins.
    modality_weights : "auto", mapping of str to float or None, default="auto"
        ``"auto"``: found, as powers of two from 1 to 1/32, the largest of them 1. A mapping: those, as of
        `LateFusionClassifier`. ``None``: all are one.
    cv : int, cross-validation splitter, iterable of (train, test) or None, default=None
        The folds. ``None``: four; a number: as many. Rows of a class are dealt to them in turn, so that a class need
        not have as many rows as there are folds. With `groups` in `fit` a group is in one fold as a whole. A splitter
        gets the rows whose weight is not zero; pairs of positions are of all rows.
    calibrate : bool, default=True
        Divide the logits of the fused head by a temperature that is fitted on the same out-of-fold predictions, and
        held near one while there are few (log T has a standard deviation of 0.3 beforehand). No prediction changes.
    fusion : {"concat", "sum"}, default="concat"
        As of `LateFusionClassifier`. With sum fusion the heads share their weights, and so the temperature.
    ablation_point : {"embedding", "input"}, default="embedding"
        As of `LateFusionClassifier`.
    max_iter : int, default=200
        Iterations of the last fit.
    tol : float or "auto", default="auto"
        Of the last fit, as of `LateFusionClassifier`.
    class_weight : dict, "balanced" or None
        As of `LateFusionClassifier`; it counts in the search, too.
    warm_start : bool, default=False
        Start the last fit from the former weights. The search is made anew, and finds what it would have found.
    random_state : int, RandomState, Generator or None
        Nothing is drawn; it is there for tools that set it.

    Attributes
    ----------
    C_ : float
        The chosen C, of all heads.
    modality_weights_ : dict of str to float
        The chosen factors in front of the fused head.
    temperature_ : float
        What the fused logits were divided by, in `heads_` and `coef_` already.
    cv_results_ : dict of str to ndarray or list
        What was tried: ``params`` (dicts), ``mean_test_score`` (minus the mean out-of-fold cross-entropy after
        tempering), ``rank_test_score``, ``gain`` and ``standard_error`` (of the mean loss, beside the first candidate,
        which has C nearest to 1 and weights of one) and ``temperature``. Empty where no row could be held out.
    best_index_ : int
        Which candidate was chosen: not the one of the highest score, where that is no clear improvement.
    best_params_ : dict
        Its C and modality_weights.
    best_score_ : float
        Its mean_test_score; NaN where nothing could be held out.
    classes_ : ndarray of shape (n_classes,)
        All other attributes, from this one on, are those of `LateFusionClassifier`.

    See Also
    --------
    LateFusionClassifier : The same with C and weights given; also with encoders, other fusions and balancing.

    Notes
    -----
    *The loss.* Every candidate's out-of-fold logits are divided by the one temperature that suits them best before
    their cross-entropy is taken. With few rows the plain cross-entropy prefers a small C, whose heads say little of
    any row, and the strategies that go by probabilities are then misled. Rows of a class that the rest of the folds
    lacks do not count.

    *Several labels a row.* Every known label of a held-out row is a case of its own, of the two classes "has it not"
    and "has it"; C, weights and temperature are those of all labels together. Labels whose state is the same in all
    rows that a fold trains on do not count there. Rows are dealt to the folds by their sets of labels, and standard
    errors are those over rows.

    *The search.* It begins at C = 1 and weights of one and changes C, one modality's weight, or C and all weights but
    one against each other, by two positions and, around what is better than the first one, by one, as long as loss
    and prior become better. The prior is normal in log C (standard deviation 2) and log w (1.5), and counts as much as
    one row's loss counts.

    *When in doubt.* The best candidate is taken where its gain over the first one, after the prior, is more than one
    and a half standard errors of the gain (over groups, if there are). Otherwise the candidate is whose gain is largest
    after as much is taken off: with few or noisy rows that is the first one itself. One standard error, as usual, would
    be too few for the best of some twenty candidates: on clean features it cost 0.3 points of accuracy.

    *Its cost.* The folds of a candidate are solved together, to a relative precision of 2e-3, from the best candidate's
    weights. Beyond 100 million rows × features × classes, 15 % of the rows (and no fewer than make up that number)
    decide, at most 14 candidates are tried (otherwise 60), the default `Cs` end at 10, and ``tol="auto"`` is 1e-3. The
    modalities' own heads are fitted once, with `C_`.

    References
    ----------
    .. [1] Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2nd edition, section 7.10: the
       rule of one standard error.
    .. [2] Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2: the temperature.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal import LateFusionClassifier, LateFusionClassifierCV, MultimodalArray
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(600) % 3
    >>> X = MultimodalArray({"noise": rng.normal(size=(600, 60)), "signal": rng.normal(size=(600, 5)) + y[:, None] / 2})
    >>> clf = LateFusionClassifierCV().fit(X[:150], y[:150])
    >>> clf.modality_weights_["noise"] < clf.modality_weights_["signal"]
    True
    >>> clf.score(X[150:], y[150:]) > LateFusionClassifier().fit(X[:150], y[:150]).score(X[150:], y[150:])
    True
    """

    C_: float
    modality_weights_: dict[str, float]
    temperature_: float

    # a convex problem, whose penalty is what is searched for
    encoder_dim = None
    dropout = 0.0
    balancing = None
    missing = "zero"
    prior = None
    modality_dropout = 0.0
    solver = "lbfgs"
    device = "auto"

    _parameter_constraints: dict = {
        **{
            name: LateFusionClassifier._parameter_constraints[name]
            for name in ("modalities", "ablation_point", "max_iter", "tol", "class_weight", "random_state")
        },
        "Cs": ["array-like"],
        "modality_weights": [StrOptions({"auto"}), Mapping, None],
        "cv": ["cv_object"],
        "calibrate": ["boolean"],
        "fusion": [StrOptions({"concat", "sum"})],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        modalities: Mapping[str, Any] | None = None,
        *,
        Cs: Sequence[float] = _CS,
        modality_weights: str | Mapping[str, float] | None = "auto",
        cv: Any = None,
        calibrate: bool = True,
        fusion: str = "concat",
        ablation_point: str = "embedding",
        max_iter: int = 200,
        tol: float | str = "auto",
        class_weight: dict | str | None = None,
        warm_start: bool = False,
        random_state: RandomState = None,
    ) -> None:
        self.modalities = modalities
        self.Cs = Cs
        self.modality_weights = modality_weights
        self.cv = cv
        self.calibrate = calibrate
        self.fusion = fusion
        self.ablation_point = ablation_point
        self.max_iter = max_iter
        self.tol = tol
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, classes: Any = None, groups: Any = None
    ) -> LateFusionClassifierCV:
        """Choose C and the modalities' weights, then train all heads on all rows.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Labeled rows; a modality that is NaN in a row is missing there.
        y : array-like of shape (n_samples,), or indicator matrix of shape (n_samples, n_labels)
            Labels, numbers or strings; or which of several labels each row has, as of `LateFusionClassifier.fit`.
        sample_weight : array-like of shape (n_samples,), optional
            As of `LateFusionClassifier.fit`; a row of weight 2 counts as two in the search, too.
        classes : array-like of shape (n_classes,), optional
            All classes, in the order of the columns of `predict_proba`; `y` may hold only some of them.
        groups : array-like of shape (n_samples,), optional
            One name a row (patient, video, speaker): rows of a group are not held out from each other, and what a
            candidate gains is compared with how much that varies from group to group.

        Returns
        -------
        LateFusionClassifierCV

        Raises
        ------
        ValueError
            As of `LateFusionClassifier.fit`; or `Cs`, `cv` or `groups` cannot be used.
        """
        if groups is not None:
            check_same_rows({**rows_of(X, "X"), "y": y, "groups": groups})
            groups = np.unique(column_or_1d(off_device(groups)), return_inverse=True)[1]
            check_consistent_length(y, groups)
        self._groups: np.ndarray | None = groups
        try:
            return super().fit(X, y, sample_weight, classes=classes)
        finally:
            self.__dict__.pop("_groups", None)

    def _strength(self, data: LabeledRows, places: np.ndarray, *, is_sum: bool) -> Strength:
        deciding, most, tol = rows_that_decide(data), _MOST, self.tol
        is_large = len(deciding) < len(data)
        grid, groups = self._grid(is_large), None if self._groups is None else self._groups[places]
        if is_large:
            most, tol = _MOST_OF_LARGE, _TOL_OF_LARGE if tol == "auto" else tol
            data, places, groups = data.at(deciding), places[deciding], None if groups is None else groups[deciding]
        folds = divided(data, self.cv, places, groups, len(self.classes_))
        chosen = choose(grid, data, folds, is_sum=is_sum, most=most, clusters=groups)
        self._keep(chosen)
        return Strength(chosen.C, chosen.factors, tol, self.temperature_)

    def _grid(self, is_large: bool) -> Grid:
        """What is tried."""
        names, given = list(self._widths), self.modality_weights
        fixed = None if given == "auto" and len(names) > 1 else [1.0] * len(names)
        if isinstance(given, Mapping):
            fixed = list(check_modality_weights(given, names).values())
        Cs = check_array(self.Cs, ensure_2d=False, dtype=np.float64, input_name="Cs")
        if Cs.ndim != 1 or not (Cs > 0).all():
            raise ValueError(f"Cs must be a list of positive numbers, got {self.Cs!r}")
        if is_large and tuple(Cs) == _CS:
            Cs = Cs[Cs <= _LARGEST_C_OF_LARGE]
        return Grid(np.unique(Cs).tolist(), _WEIGHTS, fixed, len(names))

    def _keep(self, chosen: Choice) -> None:
        """Set the attributes that tell of the search."""
        results, names = dict(chosen.results), list(self._widths)
        weights = [dict(zip(names, factors, strict=True)) for factors in results.pop("modality_weights")]
        pairs = zip(results.pop("C"), weights, strict=True)
        self.C_, self.modality_weights_ = chosen.C, dict(zip(names, chosen.factors, strict=True))
        self.temperature_ = chosen.temperature if self.calibrate else 1.0
        scores = np.array(results["mean_test_score"])
        self.cv_results_ = {
            "params": [{"C": C, "modality_weights": of_modalities} for C, of_modalities in pairs],
            **{name: np.array(values) for name, values in results.items()},
            "rank_test_score": np.array([1 + int((scores > score).sum()) for score in scores], dtype=np.int64),
        }
        self.best_params_ = {"C": self.C_, "modality_weights": self.modality_weights_}
        self.best_index_ = chosen.index
        self.best_score_ = float(scores[chosen.index]) if len(scores) else float("nan")
