"""A pool, or labelled rows, as a model reads them: heads, their probabilities and features, presence, contributions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from skmmal._arrays import at_least_float32
from skmmal._random import RandomState, check_rng, draw_seed
from skmmal.reading._linear import LinearHead, fit_stand_in, log_probabilities
from skmmal.reading._posterior import LaplacePosterior
from skmmal.reading._source import FUSED, ArraysSource, Source
from skmmal.selection import Embedding, OuterProductEmbedding, StackedEmbedding

__all__ = ["ALL", "FUSED", "Head", "Reading"]

ALL = "all"


class Reading:
    """What a model says of rows, for every head; each answer is computed when first asked for, and once.

    `skmmal.reading.read` makes it from a model and X, `from_arrays` from arrays of a model that is not ours. A reading
    listens to the fused head, or to those that `on` picked; `head` is the first of them, and `present`,
    `modality_names` and `contributions` are about what that one sees.

    Parameters
    ----------
    source : Source
    rows : ndarray of int, optional
        Rows of the source, by default all.
    on : str, default="fused"
        ``"fused"``, ``"all"``, or a modality that all the rows have.
    y : array-like, optional
        Labels of the rows.
    candidates : ndarray of bool, optional
        Which of the rows may be picked, by default all.

    Attributes
    ----------
    labelled : Reading
        The labelled rows that go with a pool; without any rows unless there are some.
    """

    def __init__(
        self,
        source: Source,
        *,
        rows: np.ndarray | None = None,
        on: str = FUSED,
        y: Any = None,
        candidates: np.ndarray | None = None,
        labelled: Reading | None = None,
    ) -> None:
        self.source = source
        self.rows = np.arange(len(source)) if rows is None else rows
        self.y = y
        self.candidates = candidates
        self._on = on
        self._labelled = labelled

    @classmethod
    def from_arrays(
        cls,
        probabilities: Any = None,
        *,
        features: Any = None,
        by_modality: Mapping[str, Any] | None = None,
        contributions: Any = None,
        classes: Any = None,
        y: Any = None,
    ) -> Reading:
        """Make a reading from arrays of any model: fine-tuned, in another framework, behind an interface.

        Strategies take it in place of `X_pool` (and another one in place of `X_labeled`), with ``None`` as the
        estimator. One that needs an array which is not there says so.

        Parameters
        ----------
        probabilities : array-like of shape (N, K), optional
            Class probabilities; rows sum to one.
        features : mapping of str to array-like of shape (N, D_m), MultimodalArray or array-like, optional
            What the model's last layer sees of each modality; rows that lack one are NaN in its block.
        by_modality : mapping of str to array-like of shape (N, K), optional
            Class probabilities by each modality alone; where the modality is absent they may be anything.
        contributions : array-like of shape (N, M), optional
            Each modality's share in the predicted class's probability, for BMMAL (see `skmmal.contributions`).
        classes : array-like of shape (K,), optional
            Names of the classes, to find labels' columns by; by default the labels that occur, sorted.
        y : array-like of shape (N,), optional
            Labels of the rows.

        Returns
        -------
        Reading

        Raises
        ------
        TypeError, ValueError
            Arrays that do not go together, or probabilities that are no distributions.

        Examples
        --------
        >>> import numpy as np
        >>> from skmmal.query import BADGE, MarginSampling
        >>> from skmmal.reading import Reading
        >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
        >>> pool = Reading.from_arrays(p, features={"image": np.eye(3), "text": np.ones((3, 2))})
        >>> MarginSampling().query(None, pool, 1), BADGE(random_state=0).query(None, pool, 1)
        (array([1]), array([1]))
        """
        return cls(ArraysSource(probabilities, features, by_modality, contributions, classes), y=y)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Reading({len(self)} rows of {self.source.name})"

    # ------------------------------------------------------------------------------------------------ the heads

    @cached_property
    def heads(self) -> dict[str, Head]:
        """All heads by name: ``"fused"``, then the modalities that some row has."""
        modalities = {name: Head(self, name) for name in self.source.modality_names if name != FUSED}
        return {FUSED: Head(self, FUSED), **{name: head for name, head in modalities.items() if len(head)}}

    @cached_property
    def listening(self) -> list[Head]:
        """The heads that count, by `on`."""
        return list(self.heads.values()) if self._on == ALL else [self.head]

    @cached_property
    def head(self) -> Head:
        """The head that counts, the fused one where all do."""
        return Head(self, FUSED if self._on == ALL else self._on)

    def on(self, name: str) -> Reading:
        """Listen to one head, or to all: for a modality, the rows that have it."""
        labelled = None if self._labelled is None else self._labelled.on(name)
        if name in (FUSED, ALL):
            return self._with(np.arange(len(self)), name, labelled)
        return self._with(Head(self, name).positions, name, labelled)

    def take(self, positions: np.ndarray) -> Reading:
        """Some of the rows, with the same labelled ones."""
        return self._with(positions, self._on, self._labelled)

    def _with(self, positions: np.ndarray, on: str, labelled: Reading | None) -> Reading:
        everything = len(positions) == len(self)
        y = self.y if self.y is None or everything else np.asarray(self.y)[positions]
        candidates = None if self.candidates is None else self.candidates[positions]
        rows = self.rows if everything else self.rows[positions]
        return Reading(self.source, rows=rows, on=on, y=y, candidates=candidates, labelled=labelled)

    def by_head(self, function: Callable[[Head], np.ndarray]) -> list[np.ndarray]:
        """Call a function with every head that counts; zero where a row lacks the head's modality.

        Parameters
        ----------
        function : callable
            Takes a `Head`, and returns an array with one entry for each of its rows.

        Returns
        -------
        list of ndarray
            One for each head, with one entry for each row of the reading.
        """
        return [head.spread(function(head)) for head in self.listening]

    def mean_score(self, score: Callable[[Head], np.ndarray]) -> np.ndarray:
        """Mean of a score over the heads that count and have a say in the row: those whose modality it has.

        Parameters
        ----------
        score : callable
            Takes a `Head`, and returns the scores of its rows.

        Returns
        -------
        ndarray of shape (N,)
        """
        if len(self.listening) == 1:
            return self.listening[0].spread(score(self.listening[0]))
        n_heads = 1.0 + self.present.sum(axis=1)
        # divided before they are added: some strategies' scores go up to the largest float
        shares = [scores / n_heads for scores in self.by_head(score)]
        largest = np.finfo(np.float64).max
        with np.errstate(over="ignore"):  # thirds of the largest float can add up to more, by rounding
            return np.clip(np.sum(shares, axis=0), -largest, largest)

    # ------------------------------------------------------------------------------------------------- the rows

    @property
    def labelled(self) -> Reading:
        """The labelled rows that go with these; none unless there are some."""
        return self.take(np.empty(0, dtype=np.intp)) if self._labelled is None else self._labelled

    @property
    def is_fitted(self) -> bool:
        """Whether there is a fitted model."""
        return self.source.is_fitted

    @property
    def modality_names(self) -> list[str]:
        """Names of the modalities that the head sees."""
        return self.head.modality_names

    @property
    def present(self) -> np.ndarray:
        """Which row has which of them, bool of shape (N, M)."""
        return self.head.present

    @cached_property
    def contributions(self) -> np.ndarray:
        """Contribution of each of them to the predicted class's probability, shape (N, M)."""
        if self.head.name != FUSED:
            return np.ones((len(self), 1))
        self.source.check_fitted()
        return self.source.contributions[self._taken]

    @property
    def probabilities_by_modality(self) -> dict[str, np.ndarray] | None:
        """Class probabilities (N, K) by the modalities' own heads; ``None`` where there are none.

        What a head says of rows that lack its modality means nothing: a `Head` has the others only.
        """
        if not self.source.has_own_heads:
            return None
        return {name: values[self._taken] for name, values in self.source.probabilities_by_modality.items()}

    @cached_property
    def codes(self) -> np.ndarray:
        """Columns of the rows' classes, shape (N,); without labels, of the predicted classes."""
        if self.y is None or len(self) == 0:
            return self.head.probabilities.argmax(axis=1)
        labels = np.asarray(self.y)
        names = self.source.classes
        found = pd.Index(np.unique(labels) if names is None else names).get_indexer(pd.Index(labels))
        if (found < 0).any():
            row = int(np.flatnonzero(found < 0)[0])
            raise ValueError(f"y_labeled has {labels[row]!s} in row {row}, a class the model lacks")
        return found

    @property
    def _taken(self) -> np.ndarray | slice:
        """The rows, as an index that copies nothing where they are all."""
        return slice(None) if len(self.rows) == len(self.source) else self.rows

    def highest(self, scores: np.ndarray, n_instances: int) -> tuple[np.ndarray, np.ndarray]:
        """The candidates of highest score, highest first, and their scores; on ties the lowest row.

        Parameters
        ----------
        scores : ndarray of shape (N,)
        n_instances : int

        Returns
        -------
        rows : ndarray of int, shape (n_instances,)
        scores : ndarray of shape (n_instances,)
        """
        order = np.argsort(-scores, kind="stable")
        if self.candidates is not None:
            order = order[self.candidates[order]]
        order = order[:n_instances]
        return order, scores[order]

    @property
    def candidate_rows(self) -> np.ndarray | None:
        """The candidates' positions, in order; ``None`` where all rows are."""
        return None if self.candidates is None else np.flatnonzero(self.candidates)

    # -------------------------------------------------------------------------------------------- the gradients

    @cached_property
    def gradient_embedding(self) -> Embedding:
        """Gradients of the cross-entropy, at the predicted class, by the last layers' weights: ``(p − onehot(ŷ)) ⊗ h``.

        With several heads these are all of theirs side by side, in factors. The fused head's gradient is
        ``r ⊗ (z_1, …, z_M)``, that of modality m's head is ``r_m ⊗ z_m``. Together they are the blocks
        ``(r, r_m) ⊗ z_m``: every block of features is multiplied once, not once a head. Where the modalities share the
        last layer the fused head's is ``r ⊗ h``, and the heads have nothing in common.
        """
        if len(self.listening) == 1:
            return OuterProductEmbedding(self.head.residuals, self.head.layer_blocks)
        fused, *own = self.by_head(lambda head: head.residuals)
        residuals = dict(zip((head.name for head in self.listening[1:]), own, strict=True))
        own_blocks = [at_least_float32(block[self._taken]) for block in self.source.own_blocks]
        own_of = dict(zip(self.modality_names, own_blocks, strict=True))
        if self.source.shares_last_layer:
            others = [OuterProductEmbedding(left, own_of[name]) for name, left in residuals.items()]
            return StackedEmbedding([OuterProductEmbedding(fused, self.head.layer_blocks), *others])
        parts = []
        same = [own is block for own, block in zip(self.source.own_blocks, self.source.blocks, strict=True)]
        blocks = [at_least_float32(block) for block in self.head.blocks]
        for name, block, is_own in zip(self.modality_names, blocks, same, strict=True):
            if name in residuals and is_own:
                parts.append(OuterProductEmbedding(np.hstack([fused, residuals[name]]), block))
                continue
            parts.append(OuterProductEmbedding(fused, block))
            if name in residuals:
                parts.append(OuterProductEmbedding(residuals[name], own_of[name]))
        return StackedEmbedding(parts)


class Head:
    """One classifier's say on the rows of a reading: the fused one's, or a modality's own.

    Everything has one entry for each of the head's rows: those of the reading that have its modality.

    Parameters
    ----------
    reading : Reading
    name : str
        ``"fused"`` or a modality's name.

    Attributes
    ----------
    positions : ndarray of int
        The head's rows, as positions in the reading.
    """

    def __init__(self, reading: Reading, name: str) -> None:
        self.name = name
        self._reading = reading
        self._source = reading.source
        self._index = None if name == FUSED else self._source.modality_names.index(name)
        if self._index is None:
            self.positions = np.arange(len(reading))
        else:
            self.positions = np.flatnonzero(self._source.present[reading._taken, self._index])
        self.rows = reading.rows if len(self.positions) == len(reading) else reading.rows[self.positions]

    def __len__(self) -> int:
        return len(self.positions)

    def _own(self, values: np.ndarray) -> np.ndarray:
        """The head's rows of what the source has for all."""
        return values if len(self.rows) == len(self._source) else values[self.rows]

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Put values of the head's rows in their places among all rows of the reading; the others are zero.

        Parameters
        ----------
        values : ndarray with as many rows as the head

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

        Returns
        -------
        ndarray of int
        """
        return np.flatnonzero(np.isin(self.positions, positions))

    @cached_property
    def labelled(self) -> Head:
        """The same head on the labelled rows."""
        return Head(self._reading.labelled, self.name)

    @cached_property
    def codes(self) -> np.ndarray:
        """Columns of the rows' classes, shape (n,); without labels, of the classes that this head predicts."""
        if self._reading.y is None:
            return self.probabilities.argmax(axis=1)
        return self._reading.codes[self.positions]

    # ----------------------------------------------------------------------------------------- what it says

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
    def log_probabilities(self) -> np.ndarray:
        """Their logarithms: the logits up to a constant per row, shape (n, K)."""
        return log_probabilities(self.probabilities)

    @cached_property
    def residuals(self) -> np.ndarray:
        """Gradient of the cross-entropy, at the predicted class, by the logits: ``p − onehot(ŷ)``, shape (n, K)."""
        residuals = self.probabilities.copy()
        residuals[np.arange(len(self)), residuals.argmax(axis=1)] -= 1.0
        return residuals

    # --------------------------------------------------------------------------------------- what it sees

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
        blocks = [at_least_float32(block) for block in self.blocks]
        # a block may be a view into a frame or a packed matrix: in one memory order, products round in one way
        return np.ascontiguousarray(blocks[0]) if self._index is not None else np.concatenate(blocks, axis=1)

    @cached_property
    def layer_blocks(self) -> list[np.ndarray]:
        """What the last layer of the head sees: `blocks`, or their sum where the modalities share that layer.

        An absent modality has no part in either, nor has a token that stands in for it.
        """
        if self._sums:
            return [np.sum([at_least_float32(block) for block in self.blocks], axis=0)]
        return self.blocks

    @cached_property
    def layer_features(self) -> np.ndarray:
        """`layer_blocks` as one matrix."""
        return at_least_float32(self.layer_blocks[0]) if self._sums else self.features

    @property
    def _sums(self) -> bool:
        return self._index is None and self._source.shares_last_layer

    # ------------------------------------------------------------------------------------- at new points

    @property
    def is_linear_in_features(self) -> bool:
        """Whether nothing but a linear map lies between the model's features and the logits, as far as can be told."""
        return self._source.is_linear_in_features(self.name)

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
        return sample(self.log_probabilities, self.layer_features, n_draws, rng)

    @cached_property
    def laplace(self) -> LaplacePosterior:
        """Laplace posterior of the head, from the labelled rows; its prior is the classifier's penalty."""
        labelled = self.labelled
        codes = labelled.codes if len(labelled) else np.empty(0, dtype=np.intp)
        precision, weights = self._source.prior(codes)
        if len(labelled) == 0:
            n_columns, n_classes = self.layer_features.shape[1], self.probabilities.shape[1]
            return LaplacePosterior(np.empty((0, n_columns)), np.empty((0, n_classes)), precision)
        return LaplacePosterior(labelled.layer_features, labelled.probabilities, precision, weights)

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
        if len(reading.rows) != len(self._source):
            raise ValueError("predictions on held-out folds are those of all labelled rows, not of some of them")
        held_out = self._source.out_of_fold(reading.y, n_folds, draw_seed(check_rng(random_state)))
        return Head(Reading(held_out, y=reading.y), self.name).probabilities


