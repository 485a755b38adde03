"""The late-fusion classifier: one head per modality and one on all of them, over precomputed features."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from skmmal._arrays import off_device
from skmmal._labels import known_indicator
from skmmal._random import RandomState
from skmmal._sklearn import HasMethods, Interval, StrOptions, fit_context
from skmmal._targets import target_of
from skmmal._torch import import_torch
from skmmal.balancing import Balancing
from skmmal.classifier._coefficients import CoefficientsMixin
from skmmal.classifier._fitting import FittingMixin
from skmmal.classifier._modality_answers import ModalityAnswersMixin, source_of
from skmmal.classifier._new_heads import BATCH_SOLVERS, CONVEX_SOLVERS
from skmmal.classifier._saved import SavedMixin
from skmmal.heads import FusionFactory, LinearHeads
from skmmal.modalities._rows import check_same_rows, rows_of

if TYPE_CHECKING:
    from skmmal.heads import LateFusionModule

__all__ = ["LateFusionClassifier"]


class LateFusionClassifier(
    FittingMixin, SavedMixin, ModalityAnswersMixin, CoefficientsMixin, ClassifierMixin, BaseEstimator
):
    """Late fusion of precomputed features: a classifier per modality and one on the fused embedding.

    All heads are trained, on the mean of their cross-entropies. A modality may be missing from a row (its block
    is entirely NaN): its own head does not count the row, and the fused head sees what `missing` says.

    Parameters
    ----------
    modalities : mapping, optional
        Which columns of a plain matrix belong to which modality: ``{"image": 2048, "text": 768}`` (widths, in
        order), slices, lists of columns or of column names; ``(tokens, dim)`` for a flattened token grid. On a table
        (pandas, polars, pyarrow) also a prefix of column names (``"image__"``) or a callable that selects columns
        (``sklearn.compose.make_column_selector("^image__")``): what a ColumnTransformer with pandas output needs. Other
        forms of X (MultimodalArray, mapping, DataFrame with two column levels, table with a vector in each cell) carry
        their layout. ``None`` on a plain matrix is one modality named ``"X"``.
    fusion : str, FusionFactory or callable, default="concat"
        ``"concat"``: a linear classifier on the concatenated embeddings. ``"sum"``: the mean of the unimodal
        logits. ``"nl-gate"``: the first modality's tokens attend to all modalities' (`skmmal.heads.NLGate`).
        ``"gated"``: gates choose between the modalities (`skmmal.heads.GatedUnit`). ``"attention"``: a weighted mean
        of one vector per modality (`skmmal.heads.AttentionPooling`). The last three also come with settings:
        ``NLGate(query="video", n_heads=4)``. A callable ``(widths, n_classes, generator)`` returns a
        `skmmal.heads.Fusion` of your own.
    encoder_dim : int, sequence of int, mapping or None, default=None
        Hidden widths of an MLP encoder for every modality, or by modality name. ``None``: the features themselves.
        With the fusions that gate or attend, the encoder of a ``(tokens, dim)`` modality works on every token;
        otherwise on the flattened grid.
    dropout : float, default=0.0
        Dropout after every hidden layer (on the features where there is no encoder), in training.
    balancing : str, Balancing or None, default=None
        How training keeps the encoders of all modalities even: a name (see `skmmal.balancing.available_balancings`) or
        an object, as ``OGM(alpha=0.5)``; it is not changed. Except for ``"modality-dropout"`` there must be an
        encoder: on fixed features nothing is left behind. ``"crmt"`` brings a fusion of its own. For the methods that
        scale gradients, ``solver="sgd"`` is the setting they were published with; AdamW undoes part of it.
    missing : {"zero", "token"}, default="zero"
        What the fused head sees of a missing modality. ``"zero"``: an embedding of zeros; fusions that gate or attend
        leave the modality out. ``"token"``: a learned embedding, one per modality, zero at first; rows that lack the
        modality train it, and `modality_dropout` does. Learned together with its weights it is no convex problem:
        ``"auto"`` then means ``adamw``.
    ablation_point : {"embedding", "input"}, default="embedding"
        Where `shapley_values` takes a modality away. ``"embedding"``: after the encoder, as if it were missing (the
        BMMAL paper zeroes it there). ``"input"``: its features are zeroed.
    modality_dropout : float, default=0.0
        Probability of taking a present modality as missing in a training batch (``adamw`` only).
    solver : {"auto", "lbfgs", "newton-cg", "adamw", "sgd"}, default="auto"
        ``"lbfgs"`` finds the unique optimum of the convex case (no encoder, no dropout, concat or sum fusion);
        ``"newton-cg"`` is another name for it. ``"adamw"`` trains in mini-batches in float32 (predictions are made in
        float64), and so does ``"sgd"``, gradient descent with momentum 0.9, which needs larger learning rates.
        ``"auto"``: ``"lbfgs"`` in the convex case (without `balancing`), otherwise ``"adamw"``.
    C : float, default=1.0
        Convex solvers: inverse regularisation as in scikit-learn's ``LogisticRegression``. Each head minimises
        ``C * sum of losses + ½‖W‖²``, intercepts free (with two classes, W is one row as there). With sum fusion
        the heads share their weights, and so do the losses. With ``warm_start="anchor"`` the penalty is on the distance
        from former weights.
    modality_weights : mapping of str to float, optional
        A factor above zero for some modalities (one for the others), in front of the **fused** head: below one, it
        relies less on that modality, as on one that is mostly noise. With concat fusion it is fitted on ``w_m X_m``,
        which is a penalty ``1 / w_m²`` times as strong on its weights of the modality. With sum fusion its logits are
        the mean of ``w_m`` times the modalities'. The weights become part of `coef_`, so that everything else
        (`predict`, `embed`, contributions, strategies) goes by the features as they are. The modalities' own heads
        know nothing of them (with sum fusion they share their weights with the fused one). Convex solvers only.
        `LateFusionClassifierCV` finds `C` and them.
    max_iter : int, default=200
        Solver iterations; epochs for ``adamw`` and ``sgd``.
    tol : float or "auto", default="auto"
        The convex solver stops when every head's objective is within `tol`, relatively, of its optimum. ``"auto"`` is
        1e-8 up to 100 million rows × features × classes, and 1e-2 beyond, where test accuracy no longer changes. Small
        problems (up to 100,000) are solved to the last digits, whatever `tol` is, as long as `max_iter` allows.
    learning_rate : float, default=0.001
        Of ``adamw`` and ``sgd``.
    weight_decay : float, default=0.01
        Of ``adamw`` and ``sgd``. Intercepts do not decay.
    batch_size : int, default=128
        Rows of a step of ``adamw`` and ``sgd``.
    class_weight : dict, list of dict, "balanced" or None
        As in scikit-learn's ``LogisticRegression``. ``"balanced"`` counts sample weights:
        ``Σ w / (n_classes Σ_class w)``, over the classes that have rows. With several labels in a row it is about the
        two states of each label: ``"balanced"``, ``{label: {0: …, 1: …}}``, or such weights in a list, one for each
        label (or ``None``).
    warm_start : bool or "anchor", default=False
        True: start from the last fit's weights. The convex solvers then reach **the same optimum** as from zero, in
        fewer iterations: it is unique, and what the rows of the last fit taught is forgotten unless they are among
        the new ones. A fit on fewer rows than the last one therefore warns. ``adamw`` and ``sgd`` go on from there for
        `max_iter` epochs.

        ``"anchor"``: to go on from a trained model with few rows (convex solvers only). The penalty is then the
        distance from the weights the model came with: each head minimises
        ``C * sum of losses + ½‖W − W₀‖² + ½‖m − m₀‖²``. W₀ are the anchor's weights, less their mean over its classes
        (which changes no probability); m are the logits of the mean row that the anchor was fitted on, m₀ the
        anchor's. Without the last term intercepts would run away from every class that has no new row. With a small
        C, or with rows that it predicts well, the model stays what it was; with many rows the anchor no longer
        matters. Classes of the anchor are kept, whether or not `y` has them; a new class is anchored at zero. The
        anchor is the first model that such a fit found (by `fit`, or by `load`), and stays it over further fits, so
        that a growing set of labels is not counted several times: `anchor_`. ``del clf.anchor_`` makes the present
        model the next one, as for batches of which none comes again. An estimator that is not fitted has no anchor,
        and is fitted as usual.
    device : str, default="auto"
        A torch device; ``"auto"`` is CUDA where there is one.
    random_state : int, RandomState, Generator or None
        Draws initial weights, batches and masks of ``adamw`` and ``sgd``; the convex solvers draw nothing.
    verbose : int, default=0
        ``adamw``, ``sgd``: print the loss every `verbose` epochs.
    unimodal_weight : float, default=1.0
        How much the modalities' own losses train the encoders, beside the fused loss with weight 1 (``adamw``,
        ``sgd``). The own heads learn in any case. With 0 the encoders learn from the fused loss alone: the setting
        most balancing methods were published in, and the one in which modalities are left behind most.

    prior : object with `predict_proba`, str or None, default=None
        What is known of the classes before there are labels: an object that is asked about the same X (as
        `ZeroShotPrior`; its ``classes_``, if it has any, are the default of `classes` in `fit`), or the name of a block
        of X that holds a probability for each class, which then is no modality. The fused head's probabilities are
        multiplied by it: ``log p = log p_model + prior_weight_ · log p_prior − log Z``. The heads of the modalities,
        contributions and `predict_proba_with` are the model's own. A classifier with a prior can be fitted on no rows,
        ``fit(X[:0], [], classes=...)``; it then answers as the prior does.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes, or names of the labels: 0 to L − 1, or a DataFrame's columns.
    multilabel_ : bool
        Whether `y` was an indicator matrix: several labels a row.
    modalities_ : dict of str to slice or ndarray of int
        Columns of each modality in the packed matrix.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X was a DataFrame with plain string columns.
    coef_ : ndarray of shape (n_classes, n_features), or (1, n_features) with two classes
        Weights of the fused head, in the columns of the packed matrix; with two classes the second one's less the first
        one's. Only where it is linear in the features: with concat and sum fusion and without encoders. An absent
        modality counts as zeros (with ``missing="token"``, as its learned embedding).
    intercept_ : ndarray of shape (n_classes,), or (1,) with two classes
        Intercepts of the fused head, where there is `coef_`.
    heads_ : skmmal.heads.LinearHeads or skmmal.heads.LateFusionModule
        What was fitted: arrays of weights where the heads are linear in the features (concat and sum fusion, no
        encoders, no dropout, ``missing="zero"``), a torch network otherwise.
    module_ : skmmal.heads.LateFusionModule
        The same as a torch network, on the CPU. That of linear heads is made when it is first asked for, on the memory
        of the arrays.
    anchor_ : skmmal.heads.LinearHeads
        With ``warm_start="anchor"``, from the second fit on: the heads whose weights the penalty pulls towards.
    n_iter_ : int
        Iterations of the solver (the most of any head), or epochs.
    loss_curve_ : list of float
        Convex solvers: sum of the heads' objectives from the start on. ``adamw``, ``sgd``: mean objective of every
        epoch.
    loss_curve_by_head_ : dict of str to list of float
        ``adamw``, ``sgd``: mean cross-entropy of every epoch, of the ``"fused"`` head and of each modality's on the
        rows that have it; as training saw them, with dropout.
    discrepancy_ : dict of str to list of float
        ``adamw``, ``sgd`` with encoders or balancing: how far each modality is ahead of the others, by epoch. The
        ratio of the probabilities that their shares of the fused logits give to the true class, over the rows that
        have both. Above 1: ahead. NaN where no row has another modality.
    prior_weight_ : float
        With `prior`: its weight, that of least log loss in predictions of the labelled rows held out in five folds,
        with ``½ (weight − 1)²`` added, so that few rows leave it near 1; 1 without rows. The folds take five more fits.
    unmet_probability_ : float
        With `prior`: 1 / (n + K), what the model itself gives to each of the K classes that is not among its n rows
        (not zero, so that the prior has a say in them).
    balancing_log_ : list of dict
        ``adamw``, ``sgd``: what the balancing method did, one entry per epoch and modality (``pandas.DataFrame``
        takes it); empty without one.

    See Also
    --------
    skmmal.ModalityScaler : Put it before; raw blocks of different scale cost accuracy.
    skmmal.query.BMMAL : The strategy that uses `embed` and `modality_contributions`.

    Notes
    -----
    With linear heads on fixed features the objective is convex and, for concat fusion, the heads share nothing:
    they are M + 1 separate softmax regressions. With fewer rows than features each is solved in the span of the
    rows. Features are centred for the solver, not for the objective: an offset that is large beside what a column
    varies by loses no direction. Where it is lost before (in the dtype of X, or in the float32 of ``adamw`` and
    ``sgd``), a warning names the column.

    A class without training rows (see `classes` in `fit`) gets probability zero. So it does in the own head of a
    modality that all its rows lack: every head is fitted over the classes that occur in its rows. With only one
    class that has probability one there; where no row has the modality, its head says the same of every row: with
    concat fusion, that all classes are equally probable.

    Several labels a row: each head is one logistic regression for each label, over the rows that it counts and whose
    state of the label is known (encoders are trained on the sum of these losses). `predict` then returns an indicator
    matrix, `predict_proba` one probability for each label, and `score` the share of rows all of whose labels are right.
    A label whose state is the same in all rows that a head counts has no optimum there: the head says the smoothed
    rate ``(n₁ + ½) / (n + 1)`` of every row. The value of a coalition, for `shapley_values` and
    `modality_contributions`, is the mean over the labels of the probability of the predicted (or given) state: our
    extension.

    References
    ----------
    .. [1] Shen et al., "Towards balanced active learning for multimodal classification", ACM MM 2023
       (arXiv 2306.08306), sections 3 and 4: the heads, their loss, contributions. Contributions for more than two
       modalities are Shapley values, exact for up to twelve, our extension.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> clf = LateFusionClassifier(C=0.01).fit(X[::2], y[::2])
    >>> {name: round(score, 2) for name, score in clf.score_by_modality(X[1::2], y[1::2]).items()}
    {'fou': 0.77, 'zer': 0.82, 'fused': 0.82}
    """

    _anchor_classes: np.ndarray

    reading_source = staticmethod(source_of)
    """Makes what reads this classifier (see `skmmal.reading`)."""

    _parameter_constraints: dict = {
        "modalities": [Mapping, None],
        "fusion": [str, HasMethods("build"), callable],
        "encoder_dim": [Interval(Integral, 1, None, closed="left"), "array-like", Mapping, None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "balancing": [str, Balancing, None],
        "missing": [StrOptions({"zero", "token"})],
        "ablation_point": [StrOptions({"embedding", "input"})],
        "modality_dropout": [Interval(Real, 0, 1, closed="left")],
        "solver": [StrOptions({"auto", *BATCH_SOLVERS, *CONVEX_SOLVERS})],
        "C": [Interval(Real, 0, None, closed="neither")],
        "modality_weights": [Mapping, None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "warm_start": ["boolean", StrOptions({"anchor"})],
        "device": [str],
        "random_state": ["random_state", np.random.Generator],
        "verbose": ["verbose"],
        "unimodal_weight": [Interval(Real, 0, None, closed="left")],
        "prior": [str, HasMethods("predict_proba"), None],
    }

    def __init__(
        self,
        modalities: Mapping[str, Any] | None = None,
        *,
        fusion: str | FusionFactory | Callable[..., Any] = "concat",
        encoder_dim: int | Sequence[int] | Mapping[str, Any] | None = None,
        dropout: float = 0.0,
        balancing: str | Balancing | None = None,
        missing: str = "zero",
        ablation_point: str = "embedding",
        modality_dropout: float = 0.0,
        solver: str = "auto",
        C: float = 1.0,
        modality_weights: Mapping[str, float] | None = None,
        max_iter: int = 200,
        tol: float | str = "auto",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        batch_size: int = 128,
        class_weight: dict | list | str | None = None,
        warm_start: bool | str = False,
        device: str = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
        unimodal_weight: float = 1.0,
        prior: Any = None,
    ) -> None:
        self.modalities = modalities
        self.fusion = fusion
        self.encoder_dim = encoder_dim
        self.dropout = dropout
        self.balancing = balancing
        self.missing = missing
        self.ablation_point = ablation_point
        self.modality_dropout = modality_dropout
        self.solver = solver
        self.C = C
        self.modality_weights: str | Mapping[str, float] | None = modality_weights
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.unimodal_weight = unimodal_weight
        self.prior = prior

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, classes: Any = None) -> LateFusionClassifier:
        """Train all heads.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Labelled rows; a modality that is NaN in a row is missing there.
        y : array-like of shape (n_samples,), or of shape (n_samples, n_labels)
            Labels, numbers or strings. An indicator matrix (zeros and ones, dense, sparse or a DataFrame whose columns
            name the labels) says which of several labels each row has; NaN in it: nobody knows, and that label of that
            row counts nowhere.
        sample_weight : array-like of shape (n_samples,), optional
            A row of weight zero changes nothing, as if it were not there: a class with no other rows is not among
            `classes_` (unless `classes` has it). A row of weight 2 counts as two, exactly for the convex solvers.
        classes : array-like of shape (n_classes,), optional
            All classes, in the order of the columns of `predict_proba`; `y` may hold only some of them. With an
            indicator matrix, the names of its columns.

        Returns
        -------
        LateFusionClassifier

        Raises
        ------
        ValueError
            Data that cannot be used (the message names modality and row), labels outside `classes`, or
            parameters that contradict each other. Whatever ends a fit, the estimator stays as it was: a model that
            was fitted before answers as before.
        """
        # all of it happens to a copy: whatever ends a fit early leaves the estimator as it was
        work = copy.copy(self)
        work._fit(X, y, sample_weight, classes)
        self.__dict__ = work.__dict__
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Fused logits.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes), or (n_samples,) with two classes
            One column for each label where rows have several. With two classes, the second one's logit minus the first
            one's.
        """
        (logits,) = self._source(X).forward(lambda part: [part.fused_logits()])
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 and not self.multilabel_ else logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities of the fused head.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes)
            Columns as in `classes_`; rows sum to one, unless they have several labels.
        """
        (probabilities,) = self._source(X).forward(lambda part: [part.target.probabilities(part.fused_logits())])
        return probabilities

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class of the fused head, or the labels that are more probable than not.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.

        Returns
        -------
        ndarray of shape (n_samples,), or indicator matrix of int, shape (n_samples, n_labels)
            Of the dtype of `classes_`.
        """
        (predicted,) = self._source(X).forward(lambda part: [part.target.predicted(part.fused_logits())])
        return target_of(self).named(predicted, self.classes_)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy of the fused head; of several labels, the share of rows all of whose labels are right.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.
        y : array-like of shape (n_samples,), or indicator matrix
            True labels; one that is not in `classes_` counts as a mistake.
        sample_weight : array-like of shape (n_samples,), optional
            How much each row counts, by default all the same.

        Returns
        -------
        float
            Between 0 and 1.
        """
        check_is_fitted(self)
        check_same_rows({**rows_of(X, "X"), "y": y})
        y = known_indicator(y, self.classes_, "y") if self.multilabel_ else off_device(y)
        return super().score(X, y, off_device(sample_weight))

    @property
    def module_(self) -> LateFusionModule:
        """The fitted heads as a torch network."""
        if not isinstance(self.heads_, LinearHeads):
            return self.heads_
        import_torch("a network of linear heads (module_)")
        from skmmal.heads._linear_network import as_network

        return as_network(self.heads_)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "heads_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.modalities is not None
        tags.classifier_tags.multi_label = True
        return tags
