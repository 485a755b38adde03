"""Generated multimodal data whose interaction between modalities is known.

Every modality shows a *symbol*, one of as many as there are classes, as a cluster in its features. The
interaction says how the symbols make the label. So the best possible accuracy of each modality, and of all of
them, can be worked out, and a strategy can be tested against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.linalg import helmert
from sklearn.utils import Bunch

from skmmal._arrays import integer, number, one_of
from skmmal._random import RandomState, check_rng
from skmmal.datasets._missing import check_missing_pattern, draw_missing
from skmmal.modalities import MultimodalArray, resolve_layout

INTERACTIONS = ("redundant", "unique", "synergy", "mixed")
DEFAULT_MODALITIES = {"a": 12, "b": 12}
DEFAULT_NOISE = 0.5
BLANK = -1
"""Symbol of a part that shows nothing in this row (only in ``"mixed"``)."""


def make_multimodal_classification(
    n_samples: int = 1000,
    modalities: Mapping[str, int | tuple[int, int]] | None = None,
    *,
    n_classes: int = 2,
    n_labels: int | None = None,
    interaction: str = "redundant",
    difficulty: Mapping[str, float] | float | None = None,
    missing: Mapping[str, float] | float | None = None,
    missing_pattern: str = "random",
    class_sep: float = 6.0,
    random_state: RandomState = None,
    return_X_y: bool = False,
) -> Any:
    """Generate a classification problem with a known interaction between its modalities.

    Every modality shows a symbol out of `n_classes`, as one of that many equally distant cluster centres,
    plus a spread of standard deviation 1 around it; a random rotation carries both into the modality's
    columns, where noise is added. The interaction says how the symbols make the label:

    - ``"redundant"``: every modality shows the label, with the same spread. Each one alone knows nearly as
      much as all together (within 2 points of accuracy at the defaults).
    - ``"unique"``: the first modality shows the label. The others show random symbols: they have clusters
      too, and are at chance.
    - ``"synergy"``: the label is the sum of all the symbols modulo `n_classes` (for two classes and two
      modalities the exclusive or). Any strict subset of the modalities is independent of the label, and no
      linear model can learn it.
    - ``"mixed"``: every modality has three parts, one for each kind: *shared* (the same in all modalities),
      *own*, and *synergy*. In each row one of them shows the label and the others are blank: a third of the
      rows is shared, a third belongs to one modality (each as often), a third is synergy. So one modality
      knows ``1/3 + 1/(3 M)`` of the rows and is at chance in the rest.

    Classes are balanced. For a given `random_state` labels, signal and the shape of the noise are the same
    whatever `difficulty`, `missing` and `missing_pattern` are, so that their effect can be seen alone.

    Parameters
    ----------
    n_samples : int, default=1000
        At least `n_classes`.
    modalities : mapping of str to int or (int, int), default={"a": 12, "b": 12}
        Width of each modality, or ``(tokens, dim)`` of a flattened token grid. The signal takes
        ``min(n_classes - 1, narrowest width)`` dimensions of every modality (three times that in ``"mixed"``,
        which needs three columns or more). With fewer dimensions than ``n_classes - 1`` the centres are a
        lattice.
    n_classes : int, default=2
        Number of classes, and of symbols.
    n_labels : int, optional
        Rows have that many labels, or none of them, in place of one class: an indicator matrix. Each label is a problem
        of two classes of its own, independent of the others, which takes one dimension of every modality (three in
        ``"mixed"``); half of the rows have it. The best possible prediction looks at those dimensions alone.
    interaction : {"redundant", "unique", "synergy", "mixed"}, default="redundant"
        ``"synergy"`` and ``"mixed"`` need two modalities or more.
    difficulty : mapping of str to float, or float, default=0.5
        Standard deviation of the noise that is added to each column of a modality; modalities that are not
        named have 0.5, a number serves all. The clusters' own spread is 1, their distance `class_sep`.
    missing : mapping of str to float, or float, default=0
        Share of the rows from which a modality is missing, between 0 and 1; modalities that are not named are
        never missing, a number serves all. Every row keeps at least one modality, and the rates hold all the
        same: they may sum to at most ``n_modalities - 1``.
    missing_pattern : {"random", "class"} or "<modality>-only", default="random"
        ``"random"``: independent of the data and, as far as no row may be empty, from each other.
        ``"class"``: the rates rise along the classes for one modality, fall for the next, as steeply as the
        rates allow, so that absence tells something about the label. ``"b-only"`` (or ``"b"``): one draw per
        row takes the other modalities away together, so that only modality b is left (where their rates
        differ, the rows of the smaller are among those of the larger); b's own rate must be 0.
    class_sep : float, default=6.0
        Distance of neighbouring cluster centres, in units of the clusters' spread. In scikit-learn's
        ``make_classification`` it is half of a distance.
    random_state : int, RandomState, Generator or None, default=None
        None draws fresh entropy. numpy's global generator is not used.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    bunch : Bunch
        With

        - ``data``: `MultimodalArray` of float64, a missing block is all NaN;
        - ``target``: ndarray of int, shape (n_samples,), or (n_samples, n_labels) of zeros and ones;
        - ``target_names``: ndarray of str, shape (n_classes,) or (n_labels,);
        - ``present``: ndarray of bool, shape (n_samples, n_modalities);
        - ``latents``: Bunch of what the data was made from: ``symbols`` (part to an int array of shape
          (n_samples, n_modalities), -1 is blank; with `n_labels` one more axis, of the labels), ``factors``
          (modality to an array of shape (n_samples, n_factors): centre plus spread, the parts side by side, label
          after label), ``maps`` (modality to an array with orthonormal rows, of shape (n_factors, width); a block is
          ``factors @ map`` plus noise), ``centres`` (n_classes, dimension of a part) and ``noise`` (modality to
          standard deviation);
        - ``DESCR``: what was asked for, in words.
    (data, target) : tuple if `return_X_y` is True
        The two of that name in the Bunch.

    Raises
    ------
    TypeError, ValueError
        An argument is out of range, names an unknown modality, or the missing rates leave rows with nothing.

    See Also
    --------
    make_pid_classification : The published suite whose "synergy" is additive.
    make_mind_the_gap : Named settings of this generator, one for each pitfall.

    Notes
    -----
    The three kinds are those of partial information decomposition (Liang et al., "Quantifying & modeling
    multimodal interactions", NeurIPS 2023); the construction is ours.

    Examples
    --------
    >>> from skmmal.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(
    ...     200, {"image": 16, "text": 8}, n_classes=4, missing={"text": 0.25},
    ...     random_state=0, return_X_y=True,
    ... )
    >>> X
    MultimodalArray(200 rows: image 16, text 8)
    >>> [int((y == code).sum()) for code in range(4)]
    [50, 50, 50, 50]
    """
    layout = _check_modalities(DEFAULT_MODALITIES if modalities is None else modalities)
    names = list(layout)
    _check_classes(n_samples, n_classes)
    n_parts = _check_interaction(interaction, layout)
    noise = _per_modality("difficulty", difficulty, names, default=DEFAULT_NOISE, upper=np.inf)
    rates = _per_modality("missing", missing, names, default=0.0, upper=1.0)
    check_missing_pattern(missing_pattern, rates)
    _check_labels(n_labels, n_classes, missing_pattern, layout, n_parts)
    number(class_sep, "class_sep", 0, closed=True)

    rng = check_rng(random_state)
    widths = {name: int(np.prod(width)) for name, width in layout.items()}
    centres = class_sep * unit_centres(n_classes, min(n_classes - 1, min(widths.values()) // n_parts))
    if n_labels is None:
        y = balanced_labels(n_samples, n_classes, rng)
        symbols = draw_symbols(interaction, y, n_classes, len(names), rng)
        factors = _draw_factors(symbols, centres, names, rng)
    else:
        y, symbols, factors = _draw_labels(n_samples, n_labels, interaction, centres, names, rng)
    blocks, maps = {}, {}
    for name, width in widths.items():
        maps[name] = _random_orthonormal(factors[name].shape[1], width, rng)
        blocks[name] = factors[name] @ maps[name] + noise[name] * rng.standard_normal((n_samples, width))
    # drawn last: the features do not depend on what goes missing
    gone = draw_missing(rates, missing_pattern, y, n_classes, rng)
    for m, block in enumerate(blocks.values()):
        block[gone[:, m]] = np.nan
    data = MultimodalArray(blocks, layout)
    if return_X_y:
        return data, y
    return Bunch(
        data=data,
        target=y,
        target_names=np.array([str(code) for code in range(n_classes if n_labels is None else n_labels)]),
        present=~gone,
        latents=Bunch(symbols=symbols, factors=factors, maps=maps, centres=centres, noise=noise),
        DESCR=_describe(n_samples, layout, n_classes, n_labels, interaction, noise, rates, missing_pattern, class_sep),
    )


# ---------------------------------------------------------------------------------------------- computation


def balanced_labels(n_samples: int, n_classes: int, rng: np.random.RandomState) -> np.ndarray:
    """Shuffled class codes whose counts differ by one at most."""
    return rng.permutation(np.arange(n_samples) % n_classes)


def unit_centres(n_classes: int, n_dims: int) -> np.ndarray:
    """Centres whose nearest distance is 1: a simplex, or a lattice where there are too few dimensions."""
    if n_dims == n_classes - 1:
        return helmert(n_classes).T / np.sqrt(2)
    side = 1
    while side**n_dims < n_classes:
        side += 1
    points = np.zeros((n_classes, n_dims))
    rest = np.arange(n_classes)
    for dim in range(n_dims):  # the coordinates are the digits of the class code, in base `side`
        rest, points[:, dim] = np.divmod(rest, side)
    return points - points.mean(axis=0)


def draw_symbols(
    interaction: str, y: np.ndarray, n_classes: int, n_modalities: int, rng: np.random.RandomState
) -> dict[str, np.ndarray]:
    """Draw the symbols that each part of each modality shows: part name to (n_samples, n_modalities)."""
    n = len(y)
    shared = np.repeat(y[:, np.newaxis], n_modalities, axis=1)
    if interaction == "redundant":
        return {"shared": shared}
    random = rng.randint(n_classes, size=(n, n_modalities))
    if interaction == "unique":
        random[:, 0] = y
        return {"own": random}
    # all but the last are free, so any subset without one of them is uniform whatever the label is
    random[:, -1] = (y - random[:, :-1].sum(axis=1)) % n_classes
    if interaction == "synergy":
        return {"synergy": random}
    ticket = rng.randint(3 * n_modalities, size=n)[:, np.newaxis]
    columns = np.arange(n_modalities)
    return {
        "shared": np.where(ticket < n_modalities, shared, BLANK),
        "own": np.where(ticket == n_modalities + columns, shared, BLANK),
        "synergy": np.where(ticket >= 2 * n_modalities, random, BLANK),
    }


def _draw_factors(
    symbols: Mapping[str, np.ndarray], centres: np.ndarray, names: list[str], rng: np.random.RandomState
) -> dict[str, np.ndarray]:
    """Centre plus spread of every part, side by side; the shared part is the same in all modalities."""
    at = np.vstack([centres, np.zeros(centres.shape[1])])  # BLANK, the last row: the centroid
    parts = []
    for part, shown in symbols.items():
        n_draws = 1 if part == "shared" else len(names)
        parts.append(at[shown] + rng.standard_normal((len(shown), n_draws, centres.shape[1])))
    side_by_side = np.concatenate(parts, axis=2)
    return {name: side_by_side[:, m] for m, name in enumerate(names)}


def _draw_labels(
    n_samples: int,
    n_labels: int,
    interaction: str,
    centres: np.ndarray,
    names: list[str],
    rng: np.random.RandomState,
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Draw labels, symbols and factors, one problem of two classes for each label."""
    states, symbols, factors = [], [], []
    for _ in range(n_labels):
        states.append(balanced_labels(n_samples, 2, rng))
        symbols.append(draw_symbols(interaction, states[-1], 2, len(names), rng))
        factors.append(_draw_factors(symbols[-1], centres, names, rng))
    shown = {part: np.stack([of_label[part] for of_label in symbols], axis=2) for part in symbols[0]}
    return np.column_stack(states), shown, {name: np.hstack([each[name] for each in factors]) for name in names}


def _random_orthonormal(n_rows: int, n_columns: int, rng: np.random.RandomState) -> np.ndarray:
    """Orthonormal rows, uniformly distributed (a QR decomposition whose signs are fixed)."""
    q, r = np.linalg.qr(rng.standard_normal((n_columns, n_rows)))
    return (q * np.sign(np.diag(r))).T


# ----------------------------------------------------------------------------------------------- validation


def _check_classes(n_samples: int, n_classes: int) -> None:
    if integer(n_samples, "n_samples", 1) < integer(n_classes, "n_classes", 2):
        raise ValueError(f"every class needs a row: n_samples={n_samples} is less than n_classes={n_classes}")


def _check_labels(n_labels: Any, n_classes: int, pattern: str, layout: Mapping[str, Any], n_parts: int) -> None:
    if n_labels is None:
        return
    integer(n_labels, "n_labels", 2)
    if n_classes != 2:
        raise ValueError(f"n_labels={n_labels} makes labels that a row has or has not: n_classes={n_classes} must be 2")
    if pattern == "class":
        raise ValueError("missing_pattern='class' goes along the classes of rows that have one; not with n_labels")
    for name, width in layout.items():
        if np.prod(width) < n_labels * n_parts:
            raise ValueError(
                f"n_labels={n_labels} takes {n_labels * n_parts} dimensions of every modality: modality {name!r} has "
                f"{width}"
            )


def _check_modalities(modalities: Any) -> dict[str, Any]:
    """Widths and grids by name; the checks and their messages are those of every other layout."""
    total = 0
    if isinstance(modalities, Mapping):
        for name, width in modalities.items():
            parts = width if isinstance(width, tuple) and len(width) == 2 else (width,)
            if not all(isinstance(part, Integral) and not isinstance(part, bool) for part in parts):
                raise TypeError(f"modality {name!r}: expected a width or a (tokens, dim) grid, got {width!r}")
            total += int(np.prod(parts))
    return dict(resolve_layout(modalities, total).widths)


def _check_interaction(interaction: str, layout: Mapping[str, Any]) -> int:
    """Return the number of parts of each modality."""
    one_of(interaction, "interaction", INTERACTIONS)
    if interaction in ("synergy", "mixed") and len(layout) < 2:
        raise ValueError(f"interaction {interaction!r} needs two modalities or more, found {list(layout)}")
    if interaction != "mixed":
        return 1
    for name, width in layout.items():
        if np.prod(width) < 3:
            raise ValueError(
                f"interaction 'mixed' gives each modality three parts: modality {name!r} needs 3 columns or "
                f"more, found {width}"
            )
    return 3


def _per_modality(argument: str, values: Any, names: list[str], *, default: float, upper: float) -> dict[str, float]:
    """Spread a number, or a mapping that names some modalities, over all of them."""
    if values is None:
        values = {}
    elif isinstance(values, Real) and not isinstance(values, bool):
        values = dict.fromkeys(names, values)
    elif not isinstance(values, Mapping):
        raise TypeError(f"{argument} must map modality names to numbers, or be a number, got {values!r}")
    for name in values:
        if name not in names:
            raise ValueError(f"{argument} names the unknown modality {name!r}; there are {names}")
    return {name: number(values.get(name, default), f"{argument}[{name!r}]", 0, upper, closed=True) for name in names}


def _describe(
    n_samples: int,
    layout: Mapping[str, Any],
    n_classes: int,
    n_labels: int | None,
    interaction: str,
    noise: Mapping[str, float],
    rates: Mapping[str, float],
    pattern: str,
    class_sep: float,
) -> str:
    what = f"{n_classes} balanced classes" if n_labels is None else f"{n_labels} labels, each in half of the rows"
    lines = [
        f"Generated multimodal classification problem, interaction: {interaction}.",
        "",
        f"{n_samples} rows, {what}, class_sep {class_sep:g}.",
        "",
        f"modality: width, noise, missing rate (missing pattern {pattern!r})",
    ]
    lines += [f"{name}: {width}, {noise[name]:g}, {rates[name]:g}" for name, width in layout.items()]
    return "\n".join(lines)
