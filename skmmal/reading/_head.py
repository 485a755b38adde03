"""A head of a reading: what it says of its rows, what it sees of them, and what it would say elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Self

import numpy as np
from scipy.special import softmax

from skmmal._arrays import at_least_float32
from skmmal._probabilities import log_probabilities
from skmmal._random import RandomState, check_rng, draw_seed
from skmmal._targets import Target
from skmmal.modalities._lazy import rows_of_block
from skmmal.modalities._mapped import released_chunks
from skmmal.reading._linear import LinearHead, fit_stand_in
from skmmal.reading._posterior import LaplacePosterior
from skmmal.reading._source import FUSED, gradient_dtype
from skmmal.selection._dense import unit_rows

__all__ = ["Head"]


class HeadFeatures:
    """A head's rows, and what it sees of them; parameters and attributes as of `Head`."""

    def __init__(self, reading: Any, name: str) -> None:
        self.name = name
        self._reading = reading
        self._source = reading.source
        self._index = None if name == FUSED else self._source.modality_names.index(name)
        if self._index is None:
            self.positions = np.arange(len(reading))
        else:
            self.positions = np.flatnonzero(self._source.present[reading.taken, self._index])
        everywhere = len(self.positions) == len(reading)
        self.rows = reading.rows if everywhere else reading.rows[self.positions]
        self._is_whole = everywhere and reading.is_whole

    def __len__(self) -> int:
        return len(self.positions)

    def _own(self, values: np.ndarray) -> np.ndarray:
        """The head's rows of what the source has for all."""
        return values if self._is_whole else rows_of_block(values, self.rows)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Put values of the head's rows in their places among all rows of the reading; the others are zero.

        Parameters
        ----------
        values : ndarray of shape (n, ...)
            One entry for each of the head's rows.

        Returns
        -------
        ndarray with as many rows as the reading
        """
        n_rows = len(self._reading)
        if len(values) == n_rows:
            return values
        out = np.zeros((n_rows, *values.shape[1:]), dtype=values.dtype)
        out[self.positions] = values
        return out

    def find(self, positions: np.ndarray) -> np.ndarray:
        """Where some rows of the reading are among the head's, without those that lack the modality.

        Parameters
        ----------
        positions : ndarray of int
            Of rows of the reading.

        Returns
        -------
        ndarray of int
        """
        return np.flatnonzero(np.isin(self.positions, positions))

    @property
    def modality_names(self) -> list[str]:
        """Names of the modalities that the head sees."""
        return self._source.modality_names if self._index is None else [self.name]

    @cached_property
    def present(self) -> np.ndarray:
        """Which row has which of them, bool of shape (n, M)."""
        if self._index is None:
            return self._own(self._source.present)
        return np.ones((len(self), 1), dtype=bool)

    @cached_property
    def blocks(self) -> list[np.ndarray]:
        """What the head sees of each modality, M blocks (n, D_m); absent rows zero.

        They are as they are stored, which may be in float16: for kernels that convert a chunk at a time.
        """
        if self._index is None:
            return [self._own(block) for block in self._source.blocks]
        return [self._own(at_least_float32(self._source.own_blocks[self._index]))]

    @cached_property
    def features(self) -> np.ndarray:
        """The blocks side by side as one matrix of its own, shape (n, D), at least float32."""
        return self.matrix()

    def matrix(self, *below: Self) -> np.ndarray:
        """`features` as an array that the caller may change, and that nobody keeps.

        Parameters
        ----------
        *below : Head
            Heads whose rows are put below, in the same columns.

        Returns
        -------
        ndarray of shape (n, D)
        """
        heads = (self, *below)
        # a block may be a view into a frame or a packed matrix: in one memory order, products round in one way
        ends = np.cumsum([0, *(block.shape[1] for block in self.blocks)])
        dtype = np.result_type(np.float32, *(block.dtype for head in heads for block in head.blocks))
        whole = np.empty((sum(map(len, heads)), ends[-1]), dtype)
        first = 0
        for head in heads:
            for rows in released_chunks(head.blocks, int(ends[-1])):
                into = slice(first + rows.start, first + rows.stop)
                for block, start, end in zip(head.blocks, ends[:-1], ends[1:], strict=True):
                    whole[into, start:end] = block[rows]
            first += len(head)
        return whole

    @cached_property
    def unit_features(self) -> np.ndarray:
        """`features` scaled to rows of length one; rows of zeros stay zero."""
        return unit_rows(self.matrix(), copy=False)

    @cached_property
    def layer_blocks(self) -> list[np.ndarray]:
        """What the last layer of the head sees: `blocks`, or their sum where the modalities share that layer.

        An absent modality has no part in either, nor has a token that stands in for it.
        """
        if self._index is None and self._source.shares_last_layer:
            return [np.sum([at_least_float32(block) for block in self.blocks], axis=0)]
        return self.blocks

    @cached_property
    def layer_features(self) -> np.ndarray:
        """`layer_blocks` as one matrix."""
        return self.features if self.layer_blocks is self.blocks else at_least_float32(self.layer_blocks[0])


class HeadOnRows(HeadFeatures):
    """What a head says of its rows; parameters and attributes as of `Head`."""

    @cached_property
    def labelled(self) -> Self:
        """The same head on the labelled rows."""
        return type(self)(self._reading.labelled, self.name)

    @cached_property
    def codes(self) -> np.ndarray:
        """Columns of the rows' classes, shape (n,), or which labels they have, (n, L); without labels, as predicted."""
        if self._reading.y is None:
            return self._source.target.decided(self.probabilities)
        return self._reading.codes[self.positions]

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Class probabilities, shape (n, K), float64."""
        self._source.check_fitted()
        if self._index is None:
            return self._own(self._source.probabilities)
        by_modality = self._source.probabilities_by_modality
        if self.name not in by_modality:
            raise ValueError(
                f"{self._source.name}.predict_proba_by_modality returned {list(by_modality)}, but no {self.name!r}"
            )
        return self._own(by_modality[self.name])

    @cached_property
    def residuals(self) -> np.ndarray:
        """Gradient (n, K) of the loss, at the predicted target ŷ, by the logits: ``p − onehot(ŷ)`` or ``p − ŷ``."""
        return self._source.target.residuals(self.probabilities)

    @cached_property
    def gradients(self) -> np.ndarray:
        """The residuals as a factor of gradients: in float32, unless the blocks that are the other factor are wider."""
        if self._index is None:
            self._source.check_fitted()
            return self._own(self._source.gradients)
        return self._source.target.residuals(self.probabilities, gradient_dtype(self.layer_blocks))

    def of_probabilities(self, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """What a function makes of the probabilities, each row for itself: where rows lie in files, some at a time.

        Parameters
        ----------
        function : callable
            From probabilities (n, K) to an array with n entries.

        Returns
        -------
        ndarray
            With an entry for each of the head's rows.
        """
        if self._index is not None or "probabilities" in vars(self):
            return function(self.probabilities)
        self._source.check_fitted()
        return self._own(self._source.of_probabilities(lambda probabilities: [function(probabilities)])[0])


class Head(HeadOnRows):
    """One classifier's say on the rows of a reading: the fused one's, or a modality's own.

    Everything has one entry for each of the head's rows: those of the reading that have its modality.

    Parameters
    ----------
    reading : Reading
        Whose rows it speaks of.
    name : str
        ``"fused"`` or a modality's name.

    Attributes
    ----------
    positions : ndarray of int
        The head's rows, as positions in the reading.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> reading = LateFusionClassifier().fit(X[::20], y[::20]).read(X[1:6])
    >>> reading.head.probabilities.shape, reading.head.features.shape
    ((5, 10), (5, 123))
    """

    @property
    def target(self) -> Target:
        """Whether a row has one class or several labels."""
        return self._source.target

    @property
    def is_predicted(self) -> bool:
        """Whether `codes` are what the head predicts, for want of labels."""
        return self._reading.y is None

    @property
    def is_linear_in_features(self) -> bool:
        """Whether nothing but a linear map lies between the model's features and the logits, as far as can be told."""
        return self._source.is_linear_in_features(self.name)

    @cached_property
    def log_probabilities(self) -> np.ndarray:
        """Their logarithms: the logits up to a constant per row, shape (n, K)."""
        return log_probabilities(self.probabilities)

    @cached_property
    def linear(self) -> LinearHead:
        """Weights (K, D) and intercepts (K,) that multiply `layer_features`.

        Where the probabilities are not the softmax of a linear map of these, a ridge regression of their logarithms
        stands in.
        """
        probabilities = self.probabilities
        known = self._source.linear_head(self.name, sum(block.shape[1] for block in self.layer_blocks))
        if known is not None:
            predicted = softmax(self.layer_features @ known[0].T + known[1], axis=1)
            if np.allclose(predicted, probabilities, atol=1e-5):
                return known
        return fit_stand_in(self.layer_features, probabilities)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Logits at new points, up to a constant per row.

        Parameters
        ----------
        features : ndarray of shape (n_points, D)
            In the columns of `features`.

        Returns
        -------
        ndarray of shape (n_points, K)
        """
        logits = self._source.logits_at(self.name, features)
        if logits is None:
            weights, intercepts = self.linear
            logits = features @ weights.T + intercepts
        return logits

    def draws(
        self, n_draws: int, random_state: RandomState = None, *, source: str = "auto", joint: bool = False
    ) -> Iterator[np.ndarray]:
        """Class probabilities under draws from the model's posterior, one array (n, K) after the other.

        Parameters
        ----------
        n_draws : int
            A committee gives as many as it has members.
        random_state : int, RandomState, Generator or None
            Draws the masks of dropout, or from the Laplace posterior; members of a committee need none.
        source : {"auto", "committee", "dropout", "laplace"}, default="auto"
            ``"committee"``: the members of a committee or of a scikit-learn forest, bagging or voting ensemble.
            ``"dropout"``: passes with dropout on (on the CPU). ``"laplace"``: a Laplace posterior of the head
            (see `skmmal.query.BALD`). ``"auto"``: the first of the three that the model has.
        joint : bool, default=False
            Whether a draw is one network for all rows. By default it need only be right for each row on its own.

        Returns
        -------
        iterator of ndarray of float64, shape (n, K)

        Raises
        ------
        ValueError
            The model has no members or no dropout, and `source` asks for them.
        """
        rng = check_rng(random_state)
        found = self._source.draws(self.name, n_draws, rng, source, joint)
        if found is not None:
            return (self._own(draw) for draw in found)
        sample = self.laplace.joint_samples if joint else self.laplace.marginal_samples
        return sample(self.target.logits(self.probabilities), self.layer_features, n_draws, rng)

    @cached_property
    def laplace(self) -> LaplacePosterior:
        """Laplace posterior of the head, from the labelled rows; its prior is the classifier's penalty."""
        labelled, target = self.labelled, self.target
        if len(labelled) == 0:
            nothing = np.empty((0, self.probabilities.shape[1]))
            precision, _ = self._source.prior(target.decided(nothing))
            return LaplacePosterior(np.empty((0, self.layer_features.shape[1])), nothing, precision, target=target)
        precision, weights = self._source.prior(labelled.codes)
        return LaplacePosterior(labelled.layer_features, labelled.probabilities, precision, weights, target)

    def out_of_fold(self, n_folds: int = 4, random_state: RandomState = 0) -> np.ndarray:
        """What the head says of each row when it was fitted on the other folds, shape (n, K).

        The rows are the labelled ones. A class that has no row in the other folds has probability zero.

        Parameters
        ----------
        n_folds : int, default=4
            At most as many as there are rows.
        random_state : int, RandomState, Generator or None, default=0
            Draws the folds.

        Returns
        -------
        ndarray of float64, shape (n, K)

        Raises
        ------
        TypeError, ValueError
            The model cannot be fitted again, or the rows have no labels.
        """
        reading = self._reading
        if reading.y is None:
            raise ValueError("predictions on held-out folds need the labels of the rows: give y")
        if not reading.is_whole:
            raise ValueError("predictions on held-out folds are those of all labelled rows, not of some of them")
        held_out = self._source.out_of_fold(reading.y, n_folds, draw_seed(check_rng(random_state)))
        return Head(type(reading)(held_out, y=reading.y), self.name).probabilities
