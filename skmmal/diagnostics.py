"""How evenly a fitted classifier uses its modalities, and how good the modalities are on their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import column_or_1d

from skmmal._arrays import number, numeric, off_device
from skmmal._fitted import require_fitted
from skmmal._labels import known_indicator
from skmmal._targets import SEVERAL_LABELS
from skmmal.contributions import EXACT_MODALITIES, sampled_shapley_values, shapley_values
from skmmal.reading import read
from skmmal.reading._late_fusion import LateFusionSource
from skmmal.reading._passes import Pass

__all__ = ["accuracy_shapley", "cluster_purity", "linear_probe", "shapley_imbalance"]


def accuracy_shapley(estimator: Any, X: Any, y: Any) -> dict[str, float]:
    """Shapley value of each modality for the accuracy of the fused head.

    The value of a coalition is the accuracy with the other modalities taken away from every row, as
    `LateFusionClassifier.predict_proba_with` does; that of no modality at all is the accuracy of the head on nothing
    (every embedding zero, with the default settings).

    Parameters
    ----------
    estimator : fitted LateFusionClassifier, or Pipeline or search with one
        Left as it is.
    X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        Test rows, in any form that the estimator takes, or a `skmmal.reading.Reading` of them.
    y : array-like of shape (n_samples,), or indicator matrix of shape (n_samples, L)
        Their labels; where a row has several, all must be right.

    Returns
    -------
    dict of str to float
        By modality. The sum is the accuracy with all modalities minus that with none. Exact up to 12 modalities;
        with more, estimated from 256 orders of them (`skmmal.contributions.sampled_shapley_values`).

    Raises
    ------
    TypeError
        The classifier cannot leave modalities out.

    See Also
    --------
    shapley_imbalance : One number for how far they are apart.
    skmmal.LateFusionClassifier.shapley_values : Of a class's probability, row by row.

    References
    ----------
    .. [1] "BalanceBenchmark", arXiv 2502.10816: Shapley values of the test accuracy. There the input is zeroed; see
       `ablation_point` of `LateFusionClassifier`.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.diagnostics import accuracy_shapley, shapley_imbalance
    >>> X, y = load_digits_views(["fou", "mor"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> clf = LateFusionClassifier(C=0.1).fit(X[::2], y[::2])
    >>> values = accuracy_shapley(clf, X[1::2], y[1::2])
    >>> {name: round(value, 2) for name, value in values.items()}
    {'fou': 0.37, 'mor': 0.39}
    >>> round(shapley_imbalance(values), 2)
    0.03
    """
    source = _source_of(estimator, X)
    if source.target is SEVERAL_LABELS:  # all labels of a row must be right
        codes = known_indicator(y, np.asarray(source.classes), "y")
    else:  # −1, of no class: never right
        codes = pd.Index(np.asarray(source.classes)).get_indexer(pd.Index(_labels(y, source)))
    point = source.final.ablation_point

    def values(part: Pass) -> list[np.ndarray]:
        hits, n_modalities = part.coalition_hits(codes[part.rows], point), len(source.modality_names)
        if n_modalities <= EXACT_MODALITIES:
            return [shapley_values(hits, n_modalities)]
        return [sampled_shapley_values(hits, n_modalities, random_state=0)[0]]

    # Shapley values add up: those of the accuracy are the mean of the rows'
    by_row = source.forward(values, width=source.coalitions_width)[0]
    return dict(zip(source.modality_names, by_row.mean(axis=0).tolist(), strict=True))


def shapley_imbalance(values: Mapping[str, float] | Sequence[float] | np.ndarray) -> float:
    """Mean distance between the Shapley values of two modalities; 0 with one modality.

    Parameters
    ----------
    values : mapping or sequence
        One for each modality, as `accuracy_shapley` returns them.

    Returns
    -------
    float

    References
    ----------
    .. [1] "BalanceBenchmark", arXiv 2502.10816.

    Examples
    --------
    >>> shapley_imbalance([0.5, 0.25, 0.25]) == 0.5 / 3
    True
    """
    numbers = numeric(list(values.values()) if isinstance(values, Mapping) else values, "values", 1, finite=True)
    distances = [abs(a - b) for a, b in combinations(numbers, 2)]
    return float(np.mean(distances)) if distances else 0.0


def linear_probe(
    estimator: Any, X_train: Any, y_train: Any, X_test: Any, y_test: Any, *, C: float = 1.0, max_iter: int = 1000
) -> dict[str, float]:
    """Accuracy of a new logistic regression on each encoder's output.

    How well the classes can be separated linearly in what an encoder makes of its modality, whatever the
    classifier's own heads make of it. Without encoders, in the features themselves.

    Parameters
    ----------
    estimator : fitted LateFusionClassifier, or Pipeline or search with one
        Left as it is.
    X_train : array-like, DataFrame, mapping or MultimodalArray of shape (n_train, n_features)
        Rows to fit the probe on: those that the classifier was fitted on, as a rule.
    y_train : array-like of shape (n_train,)
        Their labels.
    X_test : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        Rows to measure on.
    y_test : array-like of shape (n_samples,)
        Their labels.
    C : float, default=1.0
        Of scikit-learn's ``LogisticRegression``; the encoder's output is standardised first.
    max_iter : int, default=1000
        Of scikit-learn's ``LogisticRegression``.

    Returns
    -------
    dict of str to float
        By modality, over the rows that have it; NaN where no test row does.

    Raises
    ------
    ValueError
        Fewer than two classes among the training rows that have a modality.

    References
    ----------
    .. [1] Alain and Bengio, "Understanding intermediate layers using linear classifier probes", 2016
       (arXiv 1610.01644).

    Examples
    --------
    >>> from skmmal import LateFusionClassifier, ModalityScaler
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.diagnostics import linear_probe
    >>> X, y = load_digits_views(["fou", "mor"], return_X_y=True)
    >>> X = ModalityScaler().fit_transform(X)
    >>> clf = LateFusionClassifier(C=0.1).fit(X[::2], y[::2])
    >>> scores = linear_probe(clf, X[::2], y[::2], X[1::2], y[1::2])
    >>> {name: round(score, 1) for name, score in scores.items()}
    {'fou': 0.8, 'mor': 0.7}
    """
    number(C, "C", 0)
    train, test = _source_of(estimator, X_train), _source_of(estimator, X_test)
    y_train, y_test = _labels(y_train, train, "y_train"), _labels(y_test, test, "y_test")
    encoded, encoded_test = _encodings(train), _encodings(test)
    scores = {}
    for m, name in enumerate(encoded):
        rows, rows_test = train.present[:, m], test.present[:, m]
        n_classes = len(np.unique(y_train[rows]))
        if n_classes < 2:
            raise ValueError(
                f"modality {name!r}: y_train has {n_classes} classes in the {int(rows.sum())} rows that have it; a "
                "probe needs two"
            )
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=max_iter))
        probe.fit(encoded[name][rows], y_train[rows])
        scores[name] = float("nan")
        if rows_test.any():
            scores[name] = float(probe.score(encoded_test[name][rows_test], y_test[rows_test]))
    return scores


def cluster_purity(estimator: Any, X: Any, y: Any) -> dict[str, float]:
    """Purity of the clusters in each encoder's output: how well the classes are separated without labels.

    k-means with as many clusters as there are classes among the rows that have the modality, each column scaled to
    [−1, 1]; then the share of the rows that have their cluster's commonest class. A purity that is much higher on
    the training rows than on others says that an encoder fits those too well.

    Parameters
    ----------
    estimator : fitted LateFusionClassifier, or Pipeline or search with one
        Left as it is.
    X : array-like, DataFrame, mapping or MultimodalArray of shape (n_samples, n_features)
        Rows, in any form that the estimator takes, or a `skmmal.reading.Reading` of them.
    y : array-like of shape (n_samples,)
        Their labels.

    Returns
    -------
    dict of str to float
        By modality, over the rows that have it; NaN where none does.

    See Also
    --------
    skmmal.balancing.DiagnosingRelearning : Balances by it.

    References
    ----------
    .. [1] Wei et al., "Diagnosing and re-learning for balanced multimodal learning", ECCV 2024 (arXiv 2407.09705),
       section 3.2.

    Examples
    --------
    >>> from skmmal import LateFusionClassifier
    >>> from skmmal.datasets import load_digits_views
    >>> from skmmal.diagnostics import cluster_purity
    >>> X, y = load_digits_views(["fou", "mor"], return_X_y=True)
    >>> clf = LateFusionClassifier(C=0.1).fit(X, y)
    >>> {name: round(value, 1) for name, value in cluster_purity(clf, X, y).items()}
    {'fou': 0.6, 'mor': 0.7}
    """
    from skmmal.balancing import purity

    source = _source_of(estimator, X)
    _, codes = np.unique(_labels(y, source), return_inverse=True)
    purities = {}
    for m, (name, values) in enumerate(_encodings(source).items()):
        rows = source.present[:, m]
        n_clusters = len(np.unique(codes[rows]))
        purities[name] = purity(values[rows], codes[rows], n_clusters) if rows.any() else float("nan")
    return purities


def _source_of(estimator: Any, X: Any) -> LateFusionSource:
    """The reading of rows by a network."""
    require_fitted(estimator)
    source = read(estimator, X).source
    if not isinstance(source, LateFusionSource):
        raise TypeError(f"{source.name} has no network, which this needs; use a LateFusionClassifier")
    return source


def _encodings(source: LateFusionSource) -> dict[str, np.ndarray]:
    """Each encoder's output (n, D_m)."""
    # `embed` is what the last layer sees, which with fusions that gate or attend is not an encoder's own output
    outputs = source.forward(lambda part: part.embeddings)
    return dict(zip(source.modality_names, outputs, strict=True))


def _labels(y: Any, source: LateFusionSource, argument: str = "y") -> np.ndarray:
    y = column_or_1d(off_device(y))
    if len(y) != len(source):
        raise ValueError(f"{argument} has {len(y)} labels, there are {len(source)} rows")
    return y
