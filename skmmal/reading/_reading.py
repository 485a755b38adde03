"""A pool, or labelled rows, as a model reads them: heads, their probabilities and features, presence, contributions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from skmmal._arrays import at_least_float32, boolean
from skmmal._labels import several_labels
from skmmal._targets import ONE_CLASS, SEVERAL_LABELS
from skmmal.modalities._lazy import rows_of_block
from skmmal.reading._head import Head
from skmmal.reading._selected_rows import SelectedRows
from skmmal.reading._source import FUSED, ArraysSource
from skmmal.selection import Embedding, OuterProductEmbedding, StackedEmbedding

__all__ = ["ALL", "Reading"]

ALL = "all"


class Reading(SelectedRows):
    """What a model says of rows, for every head; each answer is computed when first asked for, and once.

    `skmmal.reading.read` makes it from a model and X, `from_arrays` from arrays of a model that is not ours. A reading
    listens to the fused head, or to those that `on` picked; `head` is the first of them, and `present`,
    `modality_names` and `contributions` are about what that one sees.

    Parameters
    ----------
    source : Source
        What answers for the rows: a model's, or that of arrays.
    rows : ndarray of int, optional
        Rows of the source, by default all.
    on : str, default="fused"
        ``"fused"``, ``"all"``, or a modality that all the rows have.
    y : array-like, optional
        Labels of the rows.
    candidates : ndarray of bool, optional
        Which of the rows may be picked, by default all.
    labelled : Reading, optional
        The labelled rows that go with a pool, by default none.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> X, y = load_digits_views(["fou", "zer"], return_X_y=True)
    >>> reading = LateFusionClassifier().fit(X[::20], y[::20]).read(X[1:6])
    >>> len(reading), list(reading.heads), reading.contributions.shape
    (5, ['fused', 'fou', 'zer'], (5, 2))
    """

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
        multilabel: bool = False,
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
        y : array-like of shape (N,), or of shape (N, K) with several labels in a row; optional
            Labels of the rows.
        multilabel : bool, default=False
            Whether rows have several labels: probabilities are then those of K labels, each for itself, and rows of
            them need not sum to one.

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
        target = SEVERAL_LABELS if boolean(multilabel, "multilabel") else ONE_CLASS
        source = ArraysSource(probabilities, features, by_modality, contributions, classes, target)
        several = several_labels(y) if multilabel else None
        return cls(source, y=y if several is None else several[0])

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
        """Listen to one head, or to all.

        Parameters
        ----------
        name : str
            ``"fused"``, ``"all"``, or a modality.

        Returns
        -------
        Reading
            For a modality, of the rows that have it.
        """
        labelled = None if self._labelled is None else self._labelled.on(name)
        if name in (FUSED, ALL):
            return self._with(np.arange(len(self)), name, labelled)
        return self._with(Head(self, name).positions, name, labelled)

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
        self.source.read_heads()
        n_heads = 1.0 + self.present.sum(axis=1)
        # divided before they are added: some strategies' scores go up to the largest float
        shares = [scores / n_heads for scores in self.by_head(score)]
        largest = np.finfo(np.float64).max
        with np.errstate(over="ignore"):  # thirds of the largest float can add up to more, by rounding
            return np.clip(np.sum(shares, axis=0), -largest, largest)

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
        return self.source.contributions[self.taken]

    @property
    def probabilities_by_modality(self) -> dict[str, np.ndarray] | None:
        """Class probabilities (N, K) by the modalities' own heads; ``None`` where there are none.

        What a head says of rows that lack its modality means nothing: a `Head` has the others only.
        """
        if not self.source.has_own_heads:
            return None
        return {name: values[self.taken] for name, values in self.source.probabilities_by_modality.items()}

    def forget_probabilities(self) -> None:
        """Let go of the probabilities of rows that lie in files; they are made again where somebody asks for them."""
        if self.source.forget_probabilities():
            for head in (self.head, *vars(self).get("heads", {}).values()):
                vars(head).pop("probabilities", None)

    @cached_property
    def codes(self) -> np.ndarray:
        """Columns of the rows' classes, shape (N,), or which labels they have, (N, L), NaN where nobody knows.

        Without labels, those that are predicted.
        """
        if self.y is None or len(self) == 0:
            return self.source.target.decided(self.head.probabilities)
        labels = np.asarray(self.y)
        if labels.ndim == 2:
            return labels
        names = self.source.classes
        found = pd.Index(np.unique(labels) if names is None else names).get_indexer(pd.Index(labels))
        if (found < 0).any():
            row = int(np.flatnonzero(found < 0)[0])
            raise ValueError(f"y_labeled has {labels[row]!s} in row {row}, a class the model lacks")
        return found

    @cached_property
    def gradient_embedding(self) -> Embedding:
        """Gradients of the cross-entropy, at the predicted class, by the last layers' weights: ``(p − onehot(ŷ)) ⊗ h``.

        With several heads these are all of theirs side by side, in factors. The fused head's gradient is
        ``r ⊗ (z_1, …, z_M)``, that of modality m's head is ``r_m ⊗ z_m``. Together they are the blocks
        ``(r, r_m) ⊗ z_m``: every block of features is multiplied once, not once a head. Where the modalities share the
        last layer the fused head's is ``r ⊗ h``, and the heads have nothing in common.
        """
        if len(self.listening) == 1:
            return OuterProductEmbedding(self.head.gradients, self.head.layer_blocks)
        fused, *own = self.by_head(lambda head: head.gradients)
        residuals = dict.fromkeys(self.modality_names, np.zeros_like(fused))  # of a modality that no row has
        residuals.update(zip((head.name for head in self.listening[1:]), own, strict=True))
        own_blocks = [at_least_float32(rows_of_block(block, self.taken)) for block in self.source.own_blocks]
        own_of = dict(zip(self.modality_names, own_blocks, strict=True))
        if self.source.shares_last_layer:
            others = [OuterProductEmbedding(left, own_of[name]) for name, left in residuals.items()]
            return StackedEmbedding([OuterProductEmbedding(fused, self.head.layer_blocks), *others])
        parts = []
        same = [own is block for own, block in zip(self.source.own_blocks, self.source.blocks, strict=True)]
        blocks = [at_least_float32(block) for block in self.head.blocks]
        for name, block, is_own in zip(self.modality_names, blocks, same, strict=True):
            if is_own:
                parts.append(OuterProductEmbedding(np.hstack([fused, residuals[name]]), block))
            else:
                parts.append(OuterProductEmbedding(fused, block))
                parts.append(OuterProductEmbedding(residuals[name], own_of[name]))
        return StackedEmbedding(parts)
