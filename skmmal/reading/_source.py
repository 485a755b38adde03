"""Where the arrays of a reading come from: the base of all sources, and arrays that are there already."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from skmmal._targets import ONE_CLASS, Target
from skmmal.modalities import MultimodalArray, as_multimodal, presence_mask
from skmmal.reading._linear import LinearHead
from skmmal.reading._posterior import state_weights
from skmmal.reading._rows import zero_where_absent

__all__ = ["FUSED", "ArraysSource", "RowAnswers", "Source", "SourceError"]

FUSED = "fused"


class SourceError(TypeError):
    """A source cannot answer what was asked."""


def gradient_dtype(blocks: Iterable[np.ndarray]) -> type:
    """In which type gradients are kept, of which these blocks are the other factor."""
    return np.float64 if any(block.dtype == np.float64 for block in blocks) else np.float32


class RowAnswers(ABC):
    """What a model says of N rows, and what it sees of them.

    Subclasses answer with cached properties, so that everything is computed when first asked for, and once. What a
    model does not have is an error that says so; arrays have one entry for each of the N rows, also those that lack a
    modality: a `Head` leaves them out.
    """

    name: str = "the model"
    """What error messages call it."""
    final: Any = None
    """The classifier behind it, if there is one."""
    target: Target = ONE_CLASS
    """Whether a row has one class or several labels."""
    is_fitted: bool = True
    """Whether there is a fitted model."""
    ranks: bool = False
    """Whether only a ranking comes of the answers, for which encoders may run in single precision."""
    has_own_heads: bool = False
    """Whether modalities have heads of their own."""
    shares_last_layer: bool = False
    """Whether the modalities share the weights of the fused head's last layer, as where a fusion gates or attends."""

    @abstractmethod
    def __len__(self) -> int:
        """Number N of rows."""

    def check_fitted(self) -> None:  # noqa: B027
        """Raise `NotFittedError` where there is no fitted model; by default there is one."""

    @property
    def classes(self) -> np.ndarray | None:
        """Names of the K classes, or ``None`` where they have none."""
        return None

    @property
    @abstractmethod
    def probabilities(self) -> np.ndarray:
        """Class probabilities of the fused head, shape (N, K), float64; rows sum to one."""

    def of_probabilities(self, function: Callable[[np.ndarray], Sequence[np.ndarray]]) -> list[np.ndarray]:
        """What a function makes of the fused head's probabilities, each row for itself.

        Sources of rows that lie in files go through them a chunk at a time, and hold the probabilities of no others.

        Parameters
        ----------
        function : callable
            From probabilities (n, K) to arrays with n entries.

        Returns
        -------
        list of ndarray
            With an entry for each of the N rows.
        """
        return list(function(self.probabilities))

    def read_heads(self) -> bool:
        """Read what all heads say of the rows, for those who are about to ask for more than one.

        Sources that go through the rows themselves then do so once.

        Returns
        -------
        bool
            Whether it did.
        """
        return False

    def forget_probabilities(self) -> bool:
        """Let go of probabilities that can be made again, of rows that lie in files.

        Returns
        -------
        bool
            Whether it did.
        """
        return False

    @cached_property
    def gradients(self) -> np.ndarray:
        """Gradient (N, K) of the loss by the fused head's logits, in float32 unless the features are of float64."""
        # probabilities first: a network's pass for them makes the blocks on the way
        return self.target.residuals(self.probabilities, gradient_dtype(self.blocks))

    @property
    def probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """Class probabilities of each modality's own head; of rows that lack it they mean nothing."""
        raise SourceError(
            f"{self.name} has no predict_proba_by_modality: it has no head for a modality alone, "
            "which this strategy needs with `on` other than 'fused'; use a LateFusionClassifier"
        )

    @property
    def contributions(self) -> np.ndarray:
        """Contribution of each modality to the predicted class's probability, shape (N, M)."""
        raise SourceError(
            f"{self.name} has no modality_contributions, which this strategy needs; use a LateFusionClassifier"
        )

    @property
    def prior_probabilities(self) -> np.ndarray | None:
        """What was known of each row before there were labels, shape (N, K); ``None``: nothing."""
        return None

    @property
    @abstractmethod
    def modality_names(self) -> list[str]:
        """Names of the M modalities, in the order of `blocks`."""

    @property
    @abstractmethod
    def present(self) -> np.ndarray:
        """Which row has which modality, bool of shape (N, M)."""

    @property
    @abstractmethod
    def blocks(self) -> Sequence[np.ndarray]:
        """What the fused head sees of each modality, M blocks (N, D_m) as they are stored; absent rows zero."""

    @property
    def own_blocks(self) -> Sequence[np.ndarray]:
        """What each modality's own head sees, M blocks (N, d_m): mostly the same."""
        return self.blocks

    @property
    def features(self) -> MultimodalArray:
        """The rows in blocks, before any encoder; NaN where a row lacks a modality."""
        raise SourceError(f"{self.name} has no features")


class Source(RowAnswers):
    """What a model says of N rows, and what it would say elsewhere: at new points, in draws, fitted on other rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.reading import Reading, Source
    >>> reading = Reading.from_arrays(np.array([[0.9, 0.1], [0.5, 0.5]]))
    >>> isinstance(reading.source, Source)
    True
    """

    def linear_head(self, head: str, width: int) -> LinearHead | None:
        """Weights and intercepts of a head whose logits are linear in its features, if it is one.

        Parameters
        ----------
        head : str
            ``"fused"`` or a modality's name.
        width : int
            Number of columns that they multiply.

        Returns
        -------
        pair of ndarrays of shapes (K, width) and (K,), or None
            ``None`` where the head is not known to be linear in so many columns.
        """
        return None

    def is_linear_in_features(self, head: str) -> bool:
        """Whether nothing but a linear map lies between the features and a head's logits, as far as can be told.

        Parameters
        ----------
        head : str
            ``"fused"`` or a modality's name.

        Returns
        -------
        bool
        """
        return True

    def logits_at(self, head: str, features: np.ndarray) -> np.ndarray | None:
        """Logits of a head at new points, up to a constant per row.

        Parameters
        ----------
        head : str
            ``"fused"`` or a modality's name.
        features : ndarray of shape (n, D)
            In the columns that the head sees, the modalities' side by side.

        Returns
        -------
        ndarray of shape (n, K), or None
            ``None``: a linear map of the features will do.
        """
        return None

    def draws(
        self, head: str, n_draws: int, rng: np.random.RandomState, source: str, joint: bool
    ) -> Iterator[np.ndarray] | None:
        """Class probabilities under draws of the model.

        Parameters
        ----------
        head : str
            ``"fused"`` or a modality's name.
        n_draws : int
            A committee gives as many as it has members.
        rng : RandomState
            Draws masks of dropout.
        source : {"auto", "committee", "dropout", "laplace"}
            What to draw from, see `Head.draws`.
        joint : bool
            Whether a draw is one network for all rows.

        Returns
        -------
        iterator of ndarray of float64, shape (N, K), or None
            ``None``: there is nothing to draw from, and a Laplace posterior will do.

        Raises
        ------
        ValueError
            The model has no members or no dropout, and `source` asks for them.
        """
        if source in ("committee", "dropout"):
            what = "members that predict on their own" if source == "committee" else "dropout"
            raise ValueError(f"source={source!r}, but {self.name} has no {what}")
        return None

    def prior(self, codes: np.ndarray) -> tuple[float, np.ndarray | None]:
        """What a Laplace posterior needs to know of how the model was fitted.

        Parameters
        ----------
        codes : ndarray of int, shape (n_labeled,), or of shape (n_labeled, L)
            Columns of the labelled rows' classes, or which labels they have, NaN where nobody knows.

        Returns
        -------
        precision : float
            Of the Gaussian prior that the model's penalty stands for.
        weights : ndarray of shape (n_labeled,) or (n_labeled, L), or None
            Of the labelled rows, or of each label of each; ``None``: all are one.
        """
        return 1.0, state_weights(None, codes) if codes.ndim == 2 else None

    def network(self) -> Any:
        """The network itself, for gradients (see `NetworkSource`)."""
        raise SourceError(f"{self.name} has no network to differentiate; use a LateFusionClassifier")

    def out_of_fold(self, y: Any, n_folds: int, seed: int) -> Source:
        """What models say of each of these rows that were fitted on the other folds.

        Parameters
        ----------
        y : array-like of shape (N,)
            Labels of the rows.
        n_folds : int
            At most as many as there are rows.
        seed : int
            Draws the folds.

        Returns
        -------
        Source
            Of the same rows.

        Raises
        ------
        SourceError
            The model cannot be fitted again.
        """
        raise SourceError(f"{self.name} cannot be fitted again, which is needed for predictions on held-out folds")


class ArraysSource(Source):
    """Arrays that somebody else's model made.

    Parameters
    ----------
    probabilities : array-like of shape (N, K), optional
    features : mapping of str to array-like, MultimodalArray, or array-like of shape (N, D), optional
        What the last layer sees of each modality.
    by_modality : mapping of str to array-like of shape (N, K), optional
    contributions : array-like of shape (N, M), optional
    classes : array-like of shape (K,), optional
    target : Target, default=ONE_CLASS
        Whether a row has one class or several labels.
    """

    name = "the reading"

    def __init__(
        self,
        probabilities: Any,
        features: Any,
        by_modality: Mapping[str, Any] | None,
        contributions: Any,
        classes: Any,
        target: Target = ONE_CLASS,
    ) -> None:
        self.target = target
        self._features = None if features is None else as_multimodal(features)
        self.is_fitted = probabilities is not None
        given = {} if probabilities is None else {"probabilities": probabilities}
        given.update({f"by_modality[{name!r}]": values for name, values in (by_modality or {}).items()})
        if self._features is None and not given:
            raise ValueError("a reading needs probabilities, features, or both; got neither")
        self._n_rows = len(self._features) if self._features is not None else len(next(iter(given.values())))
        self._probabilities = self._checked(probabilities, "probabilities") if probabilities is not None else None
        self._classes = None if classes is None else np.asarray(classes)
        n_classes = None if self._probabilities is None else self._probabilities.shape[1]
        if self._classes is not None and self._classes.shape != (n_classes or len(self._classes),):
            raise ValueError(f"classes has shape {self._classes.shape}, and probabilities {n_classes} columns")
        self.has_own_heads = by_modality is not None
        self._by_modality = self._own_probabilities(by_modality)
        self._contributions = contributions
        if contributions is not None:
            self._contributions = np.asarray(contributions, dtype=np.float64)
            expected = (self._n_rows, len(self.modality_names))
            if self._contributions.shape != expected or not np.isfinite(self._contributions).all():
                raise ValueError(f"contributions must be finite, of shape {expected}, found {np.shape(contributions)}")

    def _checked(self, values: Any, source: str, rows: np.ndarray | None = None) -> np.ndarray:
        fused = getattr(self, "_probabilities", None)
        n_classes = None if fused is None else fused.shape[1]
        n_rows = self._n_rows if rows is None else len(rows)
        return self.target.checked(
            values, n_rows=n_rows, n_classes=n_classes, source=source, argument="the reading", rows=rows
        )

    def _own_probabilities(self, by_modality: Mapping[str, Any] | None) -> dict[str, np.ndarray] | None:
        """Probabilities of the modalities' own heads, in the modalities' order; absent rows may hold anything."""
        if by_modality is None:
            return None
        if self._features is None:
            return {name: self._checked(values, f"by_modality[{name!r}]") for name, values in by_modality.items()}
        if set(by_modality) != set(self.modality_names):
            raise ValueError(f"by_modality has {list(by_modality)}, features have {self.modality_names}")
        own = {}
        for m, name in enumerate(self.modality_names):
            values = np.array(by_modality[name], dtype=np.float64)
            if values.ndim != 2 or len(values) != self._n_rows:
                raise ValueError(f"by_modality[{name!r}] has shape {values.shape}, and there are {self._n_rows} rows")
            rows = np.flatnonzero(self.present[:, m])
            values[rows] = self._checked(values[rows], f"by_modality[{name!r}]", rows)
            own[name] = values
        return own

    def __len__(self) -> int:
        return self._n_rows

    def check_fitted(self) -> None:
        """Raise `SourceError` where there are no probabilities."""
        if not self.is_fitted:
            raise SourceError("the reading has no probabilities, which this strategy needs")

    @property
    def classes(self) -> np.ndarray | None:
        """Names of the classes, if they were given."""
        return self._classes

    @property
    def probabilities(self) -> np.ndarray:
        """Class probabilities, shape (N, K)."""
        self.check_fitted()
        assert self._probabilities is not None
        return self._probabilities

    @property
    def probabilities_by_modality(self) -> Mapping[str, np.ndarray]:
        """Class probabilities of each modality's own head."""
        if self._by_modality is None:
            raise SourceError("the reading has no by_modality, probabilities of the modalities' own heads")
        return self._by_modality

    @property
    def contributions(self) -> np.ndarray:
        """Contributions as they were given."""
        if self._contributions is None:
            raise SourceError("the reading has no contributions, which this strategy needs")
        return self._contributions

    @property
    def modality_names(self) -> list[str]:
        """Names of the modalities."""
        return list(self.features.blocks if self._features is not None else self._by_modality or {})

    @cached_property
    def present(self) -> np.ndarray:
        """Which row has which modality."""
        return presence_mask(self.features)

    @cached_property
    def blocks(self) -> Sequence[np.ndarray]:
        """The features."""
        return zero_where_absent(self.features, self.present)

    @property
    def features(self) -> MultimodalArray:
        """The features as they were given."""
        if self._features is None:
            raise SourceError("the reading has no features, which this strategy needs")
        return self._features
