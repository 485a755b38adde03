"""The synthetic suite of partial information decomposition (PID)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import Bunch

from skmmal._arrays import integer, one_of
from skmmal._random import RandomState, check_rng
from skmmal.modalities import MultimodalArray

PARTS = ("0", "1", "01")
"""Latents: private to modality 0, private to modality 1, in both."""

VARIANCE = 1.5
DROPOUT = 0.2


class _Recipe(NamedTuple):
    """Share of each latent's dimensions that make the label, in the order of `PARTS`."""

    shares: tuple[float, float, float]
    redrawn: bool
    """The mixes draw which dimensions anew for every row; the pure settings use all of them."""


PID_SETTINGS = {
    "redundancy": _Recipe((0, 0, 1), False),
    "uniqueness0": _Recipe((1, 0, 0), False),
    "uniqueness1": _Recipe((0, 1, 0), False),
    "synergy": _Recipe((1, 1, 0), False),
    "mix1": _Recipe((0.5, 0.5, 0.5), True),
    "mix2": _Recipe((1, 0.5, 0.5), True),
    "mix3": _Recipe((1, 1, 0.5), True),
    "mix4": _Recipe((0.5, 0.5, 1), True),
    "mix5": _Recipe((0, 0.5, 0.5), True),
    "mix6": _Recipe((0, 0.5, 1), True),
}


def make_pid_classification(
    setting: str = "redundancy",
    n_samples: int = 20_000,
    *,
    n_classes: int = 2,
    latent_dim: int = 5,
    transform_dim: int = 32,
    random_state: RandomState = None,
    return_X_y: bool = False,
) -> Any:
    """Generate a data set of the PID synthetic suite: two modalities, ten settings.

    Latents ``w_0``, ``w_1`` and ``w_01`` of `latent_dim` dimensions have variance 1.5. Modality m shows
    ``[w_m T_m, w_01 T_01]`` with fixed maps T drawn from the uniform distribution on [0, 1]. The label comes
    from the score ``sigmoid(mean(dropout(v)))``, with dropout of 0.2 and v

    - ``w_01`` for ``"redundancy"``, ``w_0`` for ``"uniqueness0"``, ``w_1`` for ``"uniqueness1"``;
    - ``[w_0, w_1]`` for ``"synergy"``. **This synergy is additive**: each modality alone is informative. For
      one where each alone is at chance, see `make_multimodal_classification`;
    - for ``"mix1"`` to ``"mix6"`` a part of each latent, its dimensions drawn anew in every row: of
      (w_0, w_1, w_01) the shares are mix1 (.5, .5, .5), mix2 (1, .5, .5), mix3 (1, 1, .5), mix4 (.5, .5, 1),
      mix5 (0, .5, .5), mix6 (0, .5, 1), rounded down to whole dimensions.

    The rows, sorted by score, are cut into `n_classes` classes of equal size.

    Parameters
    ----------
    setting : str, default="redundancy"
        One of the ten above.
    n_samples : int, default=20000
        The suite's size. Where it is no multiple of `n_classes`, class sizes differ by one.
    n_classes : int, default=2
        The suite's generator cuts 32 classes by default, its training command speaks of 2.
    latent_dim : int, default=5
        Dimensions of each latent.
    transform_dim : int, default=32
        Columns of each map, so a modality is ``2 * transform_dim`` wide.
    random_state : int, RandomState, Generator or None, default=None
        None draws fresh entropy. numpy's global generator is not used.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    bunch : Bunch
        With ``data`` (`MultimodalArray` of float64, modalities ``"0"`` and ``"1"``), ``target`` (int codes in
        the order of the score), ``target_names``, ``latents`` (Bunch: ``factors``, latent name to an array of
        shape (n_samples, latent_dim); ``maps``; ``score`` of shape (n_samples,)) and ``DESCR``.
    (data, target) : tuple if `return_X_y` is True
        The two of that name in the Bunch.

    Raises
    ------
    TypeError, ValueError
        The setting is unknown, or a count is too small.

    References
    ----------
    Liang et al., "Quantifying & modeling multimodal interactions: an information decomposition framework",
    NeurIPS 2023, with the authors' generator (pliang279/PID, ``synthetic/generate_data.py``, and the mixes of
    ``synthetic/experiments/generate_data.sh``). Written anew from its formulae: same distribution, other
    random numbers. The suite's 70/15/15 split is left to the user.

    Examples
    --------
    >>> from skmmal.datasets import make_pid_classification
    >>> X, y = make_pid_classification("mix1", 100, random_state=0, return_X_y=True)
    >>> X
    MultimodalArray(100 rows: 0 64, 1 64)
    """
    one_of(setting, "setting", list(PID_SETTINGS))
    n_classes = integer(n_classes, "n_classes", 2)
    n_samples = integer(n_samples, "n_samples", n_classes)
    latent_dim = integer(latent_dim, "latent_dim", 1)
    transform_dim = integer(transform_dim, "transform_dim", 1)
    recipe = PID_SETTINGS[setting]
    if sum(int(share * latent_dim) for share in recipe.shares) == 0:
        raise ValueError(
            f"latent_dim={latent_dim} leaves setting {setting!r} no dimension to make the label from; use 2 or more"
        )

    rng = check_rng(random_state)
    maps = {part: rng.uniform(size=(latent_dim, transform_dim)) for part in PARTS}
    factors = {part: np.sqrt(VARIANCE) * rng.standard_normal((n_samples, latent_dim)) for part in PARTS}
    data = MultimodalArray(
        {m: np.hstack([factors[part] @ maps[part] for part in (m, "01")]) for m in ("0", "1")},
    )
    score = _score([factors[part] for part in PARTS], recipe, rng)
    y = np.empty(n_samples, dtype=np.int64)
    y[np.argsort(score, kind="stable")] = np.arange(n_samples) * n_classes // n_samples
    if return_X_y:
        return data, y
    return Bunch(
        data=data,
        target=y,
        target_names=np.array([str(code) for code in range(n_classes)]),
        latents=Bunch(factors=factors, maps=maps, score=score),
        DESCR=(
            f"PID synthetic suite, setting {setting!r}: {n_samples} rows, {n_classes} classes of equal "
            "size.\n\n"
            f"Shares of the latents (own of 0, own of 1, common) in the label: {recipe.shares}.\n"
            "Liang et al., Quantifying & modeling multimodal interactions, NeurIPS 2023."
        ),
    )


def _score(factors: list[np.ndarray], recipe: _Recipe, rng: np.random.RandomState) -> np.ndarray:
    """Score of each row: the mean of the latents' chosen dimensions after dropout, through a sigmoid."""
    chosen = []
    for w, share in zip(factors, recipe.shares, strict=True):
        n_dims = int(share * w.shape[1])
        if recipe.redrawn:
            order = np.argsort(rng.uniform(size=w.shape), axis=1)[:, :n_dims]
            chosen.append(np.take_along_axis(w, order, axis=1))
        else:
            chosen.append(w[:, :n_dims])
    v = np.hstack(chosen)
    kept = rng.uniform(size=v.shape) >= DROPOUT
    return 1 / (1 + np.exp(-np.where(kept, v / (1 - DROPOUT), 0.0).mean(axis=1)))
