"""By how much whole units of rows lower the variance of a Gaussian process: greedy V-optimal designs of groups."""

from __future__ import annotations

import numpy as np

from skmmal.selection._gaussian_process import Process
from skmmal.selection._units import UnitBenefits, Units

__all__ = ["VarianceGains"]

class VarianceGains(UnitBenefits):
    """By how much ``Σ_j v_j Var(j)`` falls when all rows of a unit are observed; with ``"best"`` its best row alone.

    For the rows G of a unit that is ``tr((C_GG + s² I)⁻¹ M_GG)``, M = C diag(v) C. Blocks of C and M are kept for every
    unit, and follow what is observed row by row; all in float64.

    Parameters
    ----------
    process : Process
        Of all rows, in memory; it is conditioned on what is taken.
    units : Units

    Raises
    ------
    ValueError
        Units are so large that their pairs of rows do not fit in memory.
    """

    nothing_is_random = False

    def __init__(self, process: Process, units: Units) -> None:
        self._process, self._units = process, units
        self._by_row = units.score == "best"
        if not self._by_row:
            units.check_pairs()
        process.moments(precise=True)  # and all that follows
        self._blocks = [(some, rows, *process.blocks(rows)) for some, rows in units.by_size()]

    def present(self, rates: np.ndarray) -> np.ndarray:
        units = self._units
        found = np.zeros(len(units.codes) if self._by_row else units.n_units)
        for some, rows, of_c, of_m in self._blocks:
            noisy = of_c + self._process.noise * np.eye(rows.shape[1])
            found[some] = np.maximum(np.trace(np.linalg.solve(noisy, of_m), axis1=1, axis2=2), 0.0)
        return units.of_rows(found) if self._by_row else units.of_sums(found)

    def take(self, unit: int) -> None:
        for row in self._units.rows(unit):
            own, weighted = self._process.directions(np.array([row]))
            a, e = (np.asarray(self._process.values(each), dtype=np.float64)[:, 0] for each in (own, weighted))
            d, t = a[row] + self._process.noise, e[row]
            for _, rows, of_c, of_m in self._blocks:
                left, right, ahead = a[rows][:, :, None], a[rows][:, None, :], e[rows]
                of_m -= (left * ahead[:, None, :] + ahead[:, :, None] * right) / d - left * right * (t / d**2)
                of_c -= left * right / d
            self._process.observe(own, np.array([d]))
