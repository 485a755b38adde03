"""What a late-fusion classifier says of its modalities: their own heads, their features, their contributions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skmmal._arrays import at_least_float32, integer, off_device
from skmmal._fitted import OpenedModel
from skmmal._labels import known_codes, known_indicator
from skmmal._random import RandomState
from skmmal.classifier._prior import LinearSourceWithPrior, PriorMixin
from skmmal.contributions import EXACT_MODALITIES, PERMUTATIONS, contributions
from skmmal.heads import LinearHeads
from skmmal.modalities._rows import check_same_rows, rows_of
from skmmal.reading import Reading, accuracies, read
from skmmal.reading._late_fusion import LateFusionSource
from skmmal.reading._linear_heads import LinearSource
from skmmal.reading._ready import ReadyModel

__all__ = ["ModalityAnswersMixin", "source_of"]


def source_of(model: ReadyModel, X: Any, **options: Any) -> LateFusionSource:
    """What reads a fitted classifier: its arrays where its heads are linear, its network otherwise.

    Parameters
    ----------
    model : ReadyModel
        The classifier, and what stands before it.
    X : container of rows
        As they come, before the steps of a Pipeline.
    **options
        As of `LateFusionSource`.

    Returns
    -------
    LateFusionSource
    """
    has_prior = model.final.prior is not None
    if isinstance(model.final.heads_, LinearHeads):
        return (LinearSourceWithPrior if has_prior else LinearSource)(model, X, **options)
    from skmmal.reading import NetworkSource

    class NetworkSourceWithPrior(PriorMixin, NetworkSource):
        """What a classifier with a network and a prior says of rows."""

    return (NetworkSourceWithPrior if has_prior else NetworkSource)(model, X, **options)


class ModalityAnswersMixin:
    """Verbs of a classifier with a head for each modality."""

    classes_: np.ndarray
    multilabel_: bool
    modalities_: dict[str, Any]
    ablation_point: str

    def read(self, X: Any) -> Reading:
        """Read rows: what all heads say of them and see of them, each answer computed once.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.

        Returns
        -------
        skmmal.reading.Reading
        """
        check_is_fitted(self)
        return read(self, X)

    def _source(self, X: Any) -> LateFusionSource:
        """A source for one question: it keeps no embeddings for another one."""
        check_is_fitted(self)
        return source_of(ReadyModel(OpenedModel(self), X), X, once=True)

    def embed(self, X: Any) -> dict[str, np.ndarray]:
        """Return what the last layer of the fused classifier sees of each modality.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.

        Returns
        -------
        dict of str to ndarray of shape (n_samples, D_m)
            An absent modality is zero (also where a learned embedding stands in for it: that is not the row's own).

        Notes
        -----
        Concat and sum fusion, and heads of your own: the encoders' outputs; without encoders the features, as a
        read-only view of X where no conversion is needed. Fusions that gate or attend: each modality's summand of the
        vector that the last layer classifies, so that the fused logits are linear in it. BADGE works on the gradient of
        that layer, by the sum; BMMAL weighs the summands, one block per modality as in every fusion.
        """
        source = self._source(X)
        return dict(zip(self.modalities_, map(_in_memory, source.blocks), strict=True))

    def embed_by_modality(self, X: Any) -> dict[str, np.ndarray]:
        """Return what each modality's own head sees: with token grids under fusions that gate or attend, their mean.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.

        Returns
        -------
        dict of str to ndarray of shape (n_samples, d_m)
            An absent modality is zero. With concat and sum fusion the same as `embed`.
        """
        source = self._source(X)
        return dict(zip(self.modalities_, map(_in_memory, source.own_blocks), strict=True))

    def predict_proba_by_modality(self, X: Any) -> dict[str, np.ndarray]:
        """Class probabilities of each modality's own head.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.

        Returns
        -------
        dict of str to ndarray of shape (n_samples, n_classes)
            Where the modality is absent, what its head says of a zero embedding (its intercept alone), or of the
            learned one.
        """
        source = self._source(X)
        found = source.forward(lambda part: [source.target.probabilities(logits) for logits in part.own_logits()])
        return dict(zip(self.modalities_, found, strict=True))

    def score_by_modality(self, X: Any, y: Any) -> dict[str, float]:
        """Accuracy of each modality's own head on the rows that have it, and of the fused head.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.
        y : array-like of shape (n_samples,), or indicator matrix
            True labels; one that is not in `classes_` counts as a mistake. Of several labels all must be right.

        Returns
        -------
        dict of str to float
            By modality name, then ``"fused"``. NaN for a modality that no row has.
        """
        check_same_rows({**rows_of(X, "X"), "y": y})
        source = self._source(X)
        y = known_indicator(y, self.classes_, "y") if self.multilabel_ else column_or_1d(off_device(y))
        check_consistent_length(source.present, y)
        hits = {head: source.target.hits(labels, y) for head, labels in source.predictions.items()}
        return accuracies(hits, source.modality_names, source.present)

    def shapley_values(
        self,
        X: Any,
        y: Any = None,
        *,
        n_permutations: int | str | None = "auto",
        random_state: RandomState = 0,
        return_standard_error: bool = False,
    ) -> Any:
        """Shapley values of the modalities for the probability of a class, or the mean one of the labels' states.

        The value of a coalition is the fused head's probability when the other modalities are taken away, at
        `ablation_point`. After the encoder (the default, and the paper's place) they then look as they do where they
        are missing: an embedding of zeros, or the learned one that the network was trained to see.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.
        y : array-like of shape (n_samples,), or indicator matrix; optional
            The classes, or states of the labels; by default the predicted ones.
        n_permutations : int, "auto" or None, default="auto"
            A number: the values are estimated from that many random orders of the modalities, the same ones for all
            rows (`skmmal.contributions.sampled_shapley_values`). ``None``: they are exact, over all 2^M coalitions of
            M modalities, M at most 20. ``"auto"``: exact up to 12 modalities, 256 orders beyond.
        random_state : int, RandomState, Generator or None, default=0
            Draws the orders. A number, as by default, makes repeated calls agree.
        return_standard_error : bool, default=False
            Whether to return, too, the standard errors of estimated values; those of exact ones are zero.

        Returns
        -------
        shapley_values : ndarray of float64, shape (n_samples, n_modalities)
            Rows sum to (probability with all modalities) − (with none), also where they are estimated; an absent
            modality has zero.
        standard_errors : ndarray of float64, shape (n_samples, n_modalities)
            Only with `return_standard_error`.

        Notes
        -----
        With concat and sum fusion, M matrix products of the embeddings serve all coalitions, and a coalition costs
        little: exact values of up to 15 modalities take less time than 256 orders. Other fusions, and learned
        embeddings of missing modalities, evaluate the head for each coalition. Encoders run once. Rows go through in
        chunks of bounded size, whatever their number.
        """
        values, errors, _ = self._shapley_values(X, y, n_permutations, random_state)
        return (values, errors) if return_standard_error else values

    def modality_contributions(
        self, X: Any, y: Any = None, *, n_permutations: int | str | None = "auto", random_state: RandomState = 0
    ) -> np.ndarray:
        """Share of each modality in the probability of a class: normalised absolute Shapley values.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.
        y : array-like of shape (n_samples,), or indicator matrix; optional
            The classes, or states of the labels; by default the predicted ones.
        n_permutations : int, "auto" or None, default="auto"
            Random orders of the modalities from which they are estimated; ``None``: exact (see `shapley_values`).
        random_state : int, RandomState, Generator or None, default=0
            Draws the orders.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_modalities)
            Rows sum to one; an absent modality has zero.
        """
        values, _, present = self._shapley_values(X, y, n_permutations, random_state)
        return contributions(values, present)

    def _shapley_values(
        self, X: Any, y: Any, n_permutations: int | str | None, random_state: RandomState
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shapley values, their standard errors, and which modality is there in which row."""
        check_is_fitted(self)
        n_permutations = _number_of_permutations(n_permutations, len(self.modalities_))
        check_same_rows({**rows_of(X, "X"), "y": y})
        targets = None
        if y is not None and self.multilabel_:
            targets = known_indicator(y, self.classes_, "y")
        elif y is not None:
            targets = known_codes(column_or_1d(off_device(y)), self.classes_, "y")
        source = self._source(X)
        if targets is not None:
            check_consistent_length(source.present, targets)
        values, errors = source.shapley_values(targets, n_permutations=n_permutations, random_state=random_state)
        return values, errors, source.present

    def predict_proba_with(self, X: Any, modalities: Sequence[str]) -> np.ndarray:
        """Class probabilities of the fused head when only some modalities are kept.

        Parameters
        ----------
        X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
            Rows with the modalities that it was fitted on; one that is NaN in a row is missing there.
        modalities : sequence of str
            Names of the modalities to keep; none is allowed. The others are taken away at `ablation_point`.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes)

        Raises
        ------
        ValueError
            A name is not among the modalities.
        """
        check_is_fitted(self)
        if isinstance(modalities, str) or not isinstance(modalities, Iterable):
            raise TypeError(f"modalities must be a sequence of names, got {modalities!r}")
        modalities = list(modalities)
        for name in modalities:
            if name not in self.modalities_:
                raise ValueError(f"modalities names the unknown modality {name!r}; there are {list(self.modalities_)}")
        kept = np.array([name in modalities for name in self.modalities_])
        (probabilities,) = self._source(X).forward(
            lambda part: [part.target.probabilities(part.coalition_logits(kept, self.ablation_point))]
        )
        return probabilities


def _in_memory(block: Any) -> np.ndarray:
    """A block as an array to compute with."""
    return np.asarray(at_least_float32(block))


def _number_of_permutations(given: Any, n_modalities: int) -> int | None:
    """How many permutations are sampled for Shapley values; ``None``: they are exact."""
    if given is None or isinstance(given, str):
        if given not in ("auto", None):
            raise ValueError(f"n_permutations must be an integer, 'auto' or None, got {given!r}")
        return None if given is None or n_modalities <= EXACT_MODALITIES else PERMUTATIONS
    return integer(given, "n_permutations", 4)
