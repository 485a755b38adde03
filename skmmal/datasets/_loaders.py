"""The small real data that ships with the package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from skmmal._arrays import integer, one_of
from skmmal.modalities import MultimodalArray

DIGITS_VIEWS = ("fou", "fac", "kar", "pix", "zer", "mor")
EMOJI_TARGETS = ("category", "subcategory")


def load_emoji(*, target: str = "category", min_samples_per_class: int = 1, return_X_y: bool = False) -> Any:
    """Load emoji as image and text features (classification).

    One row for each emoji of Unicode's list without flags and components. ``image`` is the picture as
    EfficientNet-lite0 sees it, ``text`` the name as all-MiniLM-L6-v2 reads it. The two complement each other.

    ================  =====================================
    Rows              1636
    Modalities        image 1280, text 384 (float32)
    category          8 classes of 85 to 386 rows
    subcategory       95 classes of 1 to 82 rows
    ================  =====================================

    Parameters
    ----------
    target : {"category", "subcategory"}, default="category"
    min_samples_per_class : int, default=1
        Rows of classes with fewer rows than this are left out, and the classes with them. Of the 95
        subcategories 68 have 8 rows or more.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    bunch : Bunch
        With ``data`` (`MultimodalArray`), ``target`` (ndarray of int, shape (n_samples,)), ``target_names``
        (ndarray of str, shape (n_classes,), alphabetical), ``names`` and ``codepoints`` (ndarrays of str,
        shape (n_samples,)) and ``DESCR`` (origin, preprocessing and credits).
    (data, target) : tuple if `return_X_y` is True
        The two of that name in the Bunch.

    Raises
    ------
    ValueError
        `target` is unknown, or fewer than two classes have enough rows.

    Examples
    --------
    >>> from skmmal.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> emoji.data
    MultimodalArray(1636 rows: image 1280, text 384)
    >>> str(emoji.names[0]), str(emoji.target_names[emoji.target[0]])
    ('hash key', 'Symbols')
    >>> X, y = load_emoji(target="subcategory", min_samples_per_class=8, return_X_y=True)
    >>> len(X), len(set(y))
    (1493, 68)
    """
    one_of(target, "target", EMOJI_TARGETS)
    least = integer(min_samples_per_class, "min_samples_per_class", 1)
    arrays = _load_npz("emoji_features.npz", ("image", "text", "names", "codepoints", target))
    classes, codes, counts = np.unique(arrays[target], return_inverse=True, return_counts=True)
    enough = counts >= least
    if enough.sum() < 2:
        raise ValueError(
            f"min_samples_per_class={least} leaves {enough.sum()} of the classes of {target!r}, and two are "
            f"needed; the second largest has {np.sort(counts)[-2]} rows"
        )
    rows = np.flatnonzero(enough[codes])
    y = (np.cumsum(enough) - 1)[codes[rows]].astype(np.int64)
    data = MultimodalArray({name: arrays[name][rows].astype(np.float32) for name in ("image", "text")})
    if return_X_y:
        return data, y
    return Bunch(
        data=data,
        target=y,
        target_names=classes[enough],
        names=arrays["names"][rows],
        codepoints=arrays["codepoints"][rows],
        DESCR=_read_description("emoji_features.md"),
    )


def load_digits_views(views: str | Sequence[str] | None = None, *, return_X_y: bool = False) -> Any:
    """Load handwritten digits seen in up to six ways (UCI "Multiple Features", classification).

    ======  =======  =======================================
    View    Columns  What
    ======  =======  =======================================
    fou     76       Fourier coefficients of the shape
    fac     216      profile correlations
    kar     64       Karhunen-Loève coefficients
    pix     240      pixel averages in 2 × 3 windows (0-6)
    zer     47       Zernike moments
    mor     6        morphological features
    ======  =======  =======================================

    2000 rows, 200 of each digit, sorted by digit. The views' units differ by orders of magnitude: scale them.

    Parameters
    ----------
    views : str or sequence of str, default=None
        The views to load, in this order; None is all six, in the order of the table.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    bunch : Bunch
        With ``data`` (`MultimodalArray` of float32, one modality for each view), ``target`` (ndarray of int,
        shape (2000,)), ``target_names`` (ndarray of str, shape (10,)) and ``DESCR`` (origin and credits).
    (data, target) : tuple if `return_X_y` is True
        The two of that name in the Bunch.

    Raises
    ------
    ValueError
        A view is unknown or named twice, or none is named.

    Examples
    --------
    >>> from skmmal.datasets import load_digits_views
    >>> X, y = load_digits_views(["zer", "kar"], return_X_y=True)
    >>> X
    MultimodalArray(2000 rows: zer 47, kar 64)
    """
    names = _check_views(views)
    arrays = _load_npz("uci_mfeat.npz", (*names, "y"))
    data = MultimodalArray({name: arrays[name].astype(np.float32) for name in names})
    y = arrays["y"].astype(np.int64)
    if return_X_y:
        return data, y
    return Bunch(
        data=data,
        target=y,
        target_names=np.array([str(digit) for digit in range(10)]),
        DESCR=_read_description("uci_mfeat.md"),
    )


def _check_views(views: str | Sequence[str] | None) -> list[str]:
    if views is None:
        return list(DIGITS_VIEWS)
    if not isinstance(views, Iterable):
        raise TypeError(f"views must be a view's name or a list of names, got {views!r}")
    names = [views] if isinstance(views, str) else list(views)
    if not names:
        raise ValueError(f"views is empty; choose from {list(DIGITS_VIEWS)}")
    for position, name in enumerate(names):
        if name not in DIGITS_VIEWS:
            raise ValueError(f"unknown view {name!r}; there are {list(DIGITS_VIEWS)}")
        if name in names[:position]:
            raise ValueError(f"view {name!r} is named twice in {names}; there are {list(DIGITS_VIEWS)}")
    return names


def _load_npz(filename: str, keys: Sequence[str]) -> dict[str, np.ndarray]:
    with (
        (files("skmmal.datasets") / "data" / filename).open("rb") as stream,
        np.load(stream, allow_pickle=False) as archive,
    ):
        return {key: archive[key] for key in keys}


def _read_description(filename: str) -> str:
    return (files("skmmal.datasets") / "data" / filename).read_text(encoding="utf-8")
