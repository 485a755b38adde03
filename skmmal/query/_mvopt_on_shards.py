"""MVOPT's random features and search where the rows are spread over workers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from skmmal.query._mvopt_beliefs import beliefs_of, drawn_rows, unsureness, width_and_centre
from skmmal.query._sharpening import exponents
from skmmal.reading import Reading
from skmmal.reading._sharded import ShardedReading, View
from skmmal.selection._gaussian_kernels import fourier_features
from skmmal.selection._gaussian_process import FeatureProcess
from skmmal.selection._v_optimal import Design, Guess

__all__ = ["ShardedDesign"]


class ShardedDesign:
    """What greedy search asks of rows (see `Design`), spread over workers.

    Every shard has the features of its rows and the same matrices S and F (Q × Q); F is summed over the shards once.
    A block of picks sends the candidates' features here, and the block's directions there.

    Parameters
    ----------
    shards : ShardedReading
    strategy : MVOPT
    rng : RandomState
        Draws the random features.
    """

    def __init__(self, shards: ShardedReading, strategy: Any, rng: np.random.RandomState) -> None:
        self.noise, self._shards = strategy.noise, shards
        names = shards.modality_names
        order = sorted(range(len(names)), key=lambda m: str(names[m]))
        uses_weights = any(shards.ask(_is_unsure))
        widths, centres = zip(*(width_and_centre(self._drawn(m)) for m in order), strict=True)
        settings = {
            "order": order,
            "uses_weights": uses_weights,
            "uses_beliefs": uses_weights and strategy.kernel == "predictions",
            "sq_widths": widths,
            "centres": centres,
            "n_components": strategy.n_components,
            "noise": strategy.noise,
            "rng": copy.deepcopy(rng),
        }
        rng.randint(2)  # the next query draws other features
        targets = shards.ask(_begin, settings)
        self._process: FeatureProcess = shards.ask_one(_without_rows)
        self._set_target(targets)
        self._positions = np.empty(0, dtype=np.intp)
        self._features = np.empty((0, 0))

    def _drawn(self, m: int) -> np.ndarray:
        """Rows of a modality that its width and centre come of, those of one machine."""
        counts = np.array(self._shards.ask(_n_present, m))
        n_known = self._shards.ask_one(_n_known, m)
        of_pool, of_known = drawn_rows(int(counts.sum()), n_known)
        ends = counts.cumsum()
        owners = np.searchsorted(ends, of_pool, side="right")
        own = [of_pool[owners == w] - (ends[w] - counts[w]) for w in range(len(counts))]
        drawn = self._shards.ask(_present_rows, m, own=own)
        return np.concatenate([*drawn, self._shards.ask_one(_known_rows, m, of_known)])

    def _set_target(self, parts: list[np.ndarray]) -> None:
        self._process.target = sum(parts[1:], parts[0])

    def __len__(self) -> int:
        return sum(self._shards.counts)

    def refresh(self, precise: bool) -> None:
        """Compute c and t of all rows anew."""
        if precise:
            self._set_target(self._shards.ask(_precise_target))
        self._shards.ask(_refresh, self._process.target, precise)

    def highest(self, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the available rows of highest gain, in the order of the rows, and their gains as far as tracked."""
        answers = self._shards.ask(_highest, n_rows)
        rows = np.concatenate([own + start for (own, _, _), start in zip(answers, self._shards.starts, strict=True)])
        gains, features = (np.concatenate([each[at] for each in answers]) for at in (1, 2))
        best = np.lexsort((rows, -gains))[:n_rows]
        best = best[np.argsort(rows[best])]
        self._positions, self._features = rows[best], features[best]
        return rows[best], gains[best]

    def directions(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors that give the columns of C and M of the rows that `highest` returned."""
        return self._process.directions_of(self._features)

    def values(self, directions: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """What the vectors give in these rows."""
        return self._features.astype(np.float64) @ directions

    def check(self, guess: Guess, G: np.ndarray, H: np.ndarray, rows: np.ndarray, c: np.ndarray, t: np.ndarray) -> int:
        """Bring all rows' c and t up to date; return how many picks none of the other rows surpasses."""
        own = []
        for start, count in zip(self._shards.starts, self._shards.counts, strict=True):
            mine = (rows >= start) & (rows < start + count)
            own.append((rows[mine] - start, c[mine], t[mine]))
        found = self._shards.ask(_check, guess, G, H, own=own)
        n_right = min(found)
        if max(found) > n_right:
            self._shards.ask(_check_less, n_right, own=[each if each > n_right else None for each in found])
        return n_right

    def observe(self, directions: np.ndarray, variances: np.ndarray, chosen: np.ndarray) -> None:
        """Condition on picks."""
        self._process.observe(directions, variances)
        dealt, _ = self._shards.dealt(chosen)
        own = [chosen[:0] if mine is None else mine for mine in dealt]
        self._shards.ask(_observe, directions, variances, own=own)


# ------------------------------------------------------------------------------------------------- on the shards


def _is_unsure(view: View) -> bool:
    weights = unsureness(view.reading, exponents(view.reading.labelled))
    return weights is not None and bool(weights.max() > 0)


def _n_present(view: View, m: int) -> int:
    return int(view.reading.present[:, m].sum())


def _n_known(view: View, m: int) -> int:
    known = view.reading.labelled
    return int(known.present[:, m].sum()) if len(known) else 0


def _present_rows(view: View, m: int, numbers: np.ndarray) -> np.ndarray:
    return _rows_there(view.reading, m, numbers)


def _known_rows(view: View, m: int, numbers: np.ndarray) -> np.ndarray:
    known = view.reading.labelled
    return _rows_there(known, m, numbers) if len(known) else view.reading.head.blocks[m][:0]


def _rows_there(reading: Reading, m: int, numbers: np.ndarray) -> np.ndarray:
    """Rows of a modality, numbered among those that have it."""
    return np.asarray(reading.head.blocks[m][np.flatnonzero(reading.present[:, m])[numbers]])


def _begin(view: View, settings: dict[str, Any]) -> np.ndarray:
    """Make the random features of a shard's rows, and return its part in F."""
    pool, order, known = view.reading, settings["order"], view.reading.labelled
    both = [pool, known]
    powers = exponents(known)
    beliefs = [beliefs_of(each, order, np.float32, powers) for each in both] if settings["uses_beliefs"] else None
    features, labelled = fourier_features(
        [[each.head.blocks[m] for m in order] for each in both],
        [each.present[:, order] for each in both],
        settings["sq_widths"],
        settings["n_components"],
        extra=beliefs,
        centres=settings["centres"],
        random_state=copy.deepcopy(settings["rng"]),
    )
    weights = unsureness(pool, powers) if settings["uses_weights"] else None
    weights = np.ones(len(pool)) if weights is None else weights
    process = FeatureProcess(features, labelled, weights, settings["noise"])
    view.kept["known features"] = labelled
    available = np.ones(len(pool), dtype=bool) if pool.candidates is None else pool.candidates
    view.kept["design"] = Design(process, available)
    return process.target


def _without_rows(view: View) -> FeatureProcess:
    known = view.kept["known features"]
    return FeatureProcess(known[:0], known, np.empty(0), view.kept["design"].noise)


def _precise_target(view: View) -> np.ndarray:
    return view.kept["design"].process.own_target(precise=True)


def _refresh(view: View, target: np.ndarray, precise: bool) -> None:
    design = view.kept["design"]
    design.process.target = target
    design.refresh(precise)


def _highest(view: View, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    design = view.kept["design"]
    rows, gains = design.highest(n_rows)
    return rows, gains, design.process.features_of(rows)


def _check(view: View, guess: Guess, G: np.ndarray, H: np.ndarray, own: tuple) -> int:
    return view.kept["design"].check(guess, G, H, *own)


def _check_less(view: View, n_right: int, _found: int) -> None:
    view.kept["design"].check_less(n_right)


def _observe(view: View, directions: np.ndarray, variances: np.ndarray, chosen: np.ndarray) -> None:
    view.kept["design"].observe(directions, variances, chosen)
