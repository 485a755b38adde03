"""Fill the class layers of linear heads from labelled rows: which heads are solved together, and how."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skmmal.heads.convex._blocks import Blocks, mean_rows
from skmmal.heads.convex._lbfgs import Solution, solve
from skmmal.heads.convex._losses import Loss, SigmoidLoss, SoftmaxLoss
from skmmal.heads.convex._problem import LinearMap, Problem

__all__ = ["Anchor", "LabeledRows", "Task", "fit_layers", "task_of_fused_head"]

_OUT_OF_REACH = -1e30
"""Logit of a class that a head does not know: finite, so that it may be multiplied by zero."""
_LARGE = 10**8
"""Rows × features × classes beyond which ``tol="auto"`` is loose."""
_TIGHT, _LOOSE = 1e-8, 1e-2
"""What ``tol="auto"`` means for small and for large problems; the solver ends well below what it reckons."""
_FEW_PRODUCTS = 10**5
"""Rows × features × classes up to which the last digits of the optimum cost next to nothing."""


@dataclass
class LabeledRows:
    """Rows that count.

    Parameters
    ----------
    blocks : list of M ndarrays of shape (n, D_m)
        What stands in rows that lack the modality does not matter.
    present : bool ndarray of shape (n, M)
        Which row has which modality.
    labels : int ndarray of shape (n,), or float ndarray of shape (n, K)
        Classes, from 0 to K − 1; or, of several labels in a row, one for each that it has, zero for each that it has
        not, NaN where nobody knows.
    weights : ndarray of shape (n,)
        Positive.
    label_weights : ndarray of shape (n, K), optional
        With several labels in a row, factors of each label's loss; all are one by default.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.heads.convex import LabeledRows
    >>> rows = LabeledRows([np.ones((4, 2))], np.ones((4, 1), dtype=bool), np.array([0, 1, 0, 1]), np.ones(4))
    >>> len(rows.labels)
    4
    """

    blocks: list[np.ndarray]
    present: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    label_weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, positions: np.ndarray) -> LabeledRows:
        """Return some of the rows.

        Parameters
        ----------
        positions : int ndarray
            Which of the rows, in which order.

        Returns
        -------
        LabeledRows
        """
        blocks = [block[positions] for block in self.blocks]
        factors = None if self.label_weights is None else self.label_weights[positions]
        return LabeledRows(blocks, self.present[positions], self.labels[positions], self.weights[positions], factors)

    @property
    def has_several_labels(self) -> bool:
        """Whether a row may have several labels, or none."""
        return self.labels.ndim == 2

    def losses(self, classes: np.ndarray, met: np.ndarray, weights: np.ndarray) -> list[Loss]:
        """Losses of heads over some classes.

        Parameters
        ----------
        classes : int ndarray of shape (k,)
            Columns of the classes.
        met : bool ndarray of shape (H, K)
            Which classes each head knows.
        weights : ndarray of shape (H, n)
            Of the rows in each head; a softmax's rows of classes that none of the heads knows have weight zero.

        Returns
        -------
        list of Loss
        """
        if not self.has_several_labels:
            places = np.zeros(met.shape[1], dtype=np.intp)
            places[classes] = np.arange(len(classes))
            return [SoftmaxLoss(places[self.labels], of_head) for of_head in weights]
        states = self.labels[:, classes].T
        is_known = ~np.isnan(states)
        factors = is_known if self.label_weights is None else self.label_weights[:, classes].T * is_known
        states = np.where(is_known, states, 0.0)
        return [
            SigmoidLoss(states, factors * known[classes, None] * of_head)
            for known, of_head in zip(met, weights, strict=True)
        ]


@dataclass
class Anchor:
    """A model that the penalty pulls towards.

    Parameters
    ----------
    layers : list of LinearMap
        As the layers that are fitted.
    known : bool ndarray of shape (M + 1, K)
        Which classes each of its heads knows; towards zero it pulls the others.
    centre : list of M ndarrays of shape (D_m,)
        A row; in place of intercepts, which are free otherwise, its logits are held.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.heads.convex import Anchor, LinearMap
    >>> layers = [LinearMap(np.zeros((2, 3)), np.zeros(2)) for _ in ("fused", "own")]
    >>> Anchor(layers, np.ones((2, 2), dtype=bool), [np.zeros(3)]).known.shape
    (2, 2)
    """

    layers: list[LinearMap]
    known: np.ndarray
    centre: list[np.ndarray]


@dataclass
class Task:
    """Heads that are solved together: the first of them (0 is the fused one), their layers and their classes.

    With an anchor the parameters of the problem are changes from the anchor's.
    """

    first: int
    layers: list[int]
    classes: np.ndarray
    problem: Problem
    anchored: np.ndarray | float = 0.0

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to tell apart, and a row to learn it from."""
        least = 2 if self.problem.is_shared else 1
        return len(self.classes) >= least and any(loss.weights.any() for loss in self.problem.losses)

    def tie(self, anchor: Anchor) -> None:
        """Let the parameters be changes from an anchor's."""
        known, layers = anchor.known[self.first][self.classes], self._taken(anchor.layers)
        if self.problem.is_shared:
            layers = [_centred(each, known) for each in layers]
        self.anchored = self.problem.parameters(layers)
        images = self.problem.mix(self.problem.blocks.images([(self.problem, self.anchored)])[0])
        self.problem.offset = self.problem.offset_by(images)

    def start(self, layers: list[LinearMap]) -> np.ndarray:
        """Return the parameters of given layers."""
        return self.problem.parameters(self._taken(layers)) - self.anchored

    def fill(self, layers: list[LinearMap], part: np.ndarray) -> None:
        """Put parameters into the layers."""
        for j, found in zip(self.layers, self.problem.maps(part + self.anchored), strict=True):
            layers[j].weight[self.classes] = found.weight
            layers[j].intercept[self.classes] = found.intercept

    def _taken(self, layers: list[LinearMap]) -> list[LinearMap]:
        return [LinearMap(layers[j].weight[self.classes], layers[j].intercept[self.classes]) for j in self.layers]


def fit_layers(
    layers: list[LinearMap],
    rows: LabeledRows,
    met: np.ndarray,
    *,
    C: float,
    max_iter: int,
    tol: float | str,
    warm: bool = False,
    anchor: Anchor | None = None,
    modality_weights: Sequence[float] | None = None,
) -> tuple[int, list[float]]:
    """Solve for the weights of linear heads.

    Parameters
    ----------
    layers : list of LinearMap
        Filled in, for the classes that their heads know. M + 1 of them, the fused head's first, are independent heads;
        M of them are sum fusion's, whose fused logits are the mean of the others. With `warm` they are where to start.
    rows : LabeledRows
        What the heads are fitted on; each modality's own on the rows that have it.
    met : bool ndarray of shape (M + 1, K)
        Which classes each head knows, the fused head first.
    C : float
        Inverse strength of the penalty.
    max_iter : int
        Iterations after which the solver stops with a ConvergenceWarning.
    tol : float or "auto"
        How far, relatively, objectives may be above the optimum. ``"auto"``: 1e-8 for small problems, 1e-2 for large.
    warm : bool, default=False
        Whether `layers` are where to start; otherwise zero is.
    anchor : Anchor, optional
        A model that the penalty pulls towards; zero by default.
    modality_weights : sequence of M floats, optional
        Factors of the blocks before the fused head; all are one by default. A factor f is a penalty ``1 / f²`` times as
        strong on the fused head's weights of the block, zero leaves the block out. The layers are filled in with
        weights of the features as they were given. With sum fusion, whose heads share their weights, the fused logits
        are the mean of the others' times these factors.

    Returns
    -------
    n_iter : int
        The most of any head.
    loss_curve : list of float
        Sum of the heads' objectives from the start on.

    Examples
    --------
    >>> import numpy as np
    >>> from skmmal.heads.convex import LabeledRows, LinearMap, fit_layers
    >>> block = np.array([[-1.0], [0.5], [1.0], [-0.5]])
    >>> rows = LabeledRows([block], np.ones((4, 1), dtype=bool), np.array([0, 1, 1, 0]), np.ones(4))
    >>> layers = [LinearMap(np.zeros((2, 1)), np.zeros(2)) for _ in ("fused", "own")]
    >>> n_iter, losses = fit_layers(layers, rows, np.ones((2, 2), dtype=bool), C=1.0, max_iter=100, tol="auto")
    >>> layers[0].weight.ravel().round(3)
    array([-0.472,  0.472])
    """
    means = mean_rows(rows.blocks, rows.present, rows.weights) if anchor is None else anchor.centre
    shares = rows.weights @ rows.present / rows.weights.sum() if anchor is None else np.ones(len(rows.blocks))
    blocks = Blocks(rows.blocks, rows.present, means, shares)
    tasks = _tasks(blocks, rows, met, C, modality_weights, is_tied=len(layers) == len(rows.blocks), anchor=anchor)
    n_products = len(rows) * sum(blocks.widths) * int(met[0].sum())
    if isinstance(tol, str):
        tol = _LOOSE if n_products > _LARGE else _TIGHT
    needed = [task for task in tasks if task.is_needed]
    found = solve(
        [task.problem for task in needed],
        [task.start(layers) if warm else None for task in needed],
        max_iter=max_iter,
        tol=tol,
        polish=n_products <= _FEW_PRODUCTS,
    )
    solutions = []
    for task in tasks:
        # one class has probability one, and without rows all classes are alike
        nothing = Solution(np.zeros(task.problem.shape), [0.0], True)
        solutions.append(found.pop(0) if task.is_needed else nothing)
        task.fill(layers, solutions[-1].part)
    return _summary(solutions, max_iter)


def _summary(solutions: list[Solution], max_iter: int) -> tuple[int, list[float]]:
    """Iterations and curve of all heads together; warn as scikit-learn does when iterations ran out."""
    if not all(solution.converged for solution in solutions):
        warnings.warn(
            f"the solver did not converge within max_iter={max_iter} iterations; increase max_iter, raise tol or "
            "scale the features (ModalityScaler)",
            ConvergenceWarning,
            stacklevel=7,
        )
    length = max(len(solution.loss_curve) for solution in solutions)
    curves = [s.loss_curve + s.loss_curve[-1:] * (length - len(s.loss_curve)) for s in solutions]
    return max(solution.n_iter for solution in solutions), [sum(values) for values in zip(*curves, strict=True)]


def _tasks(
    blocks: Blocks,
    rows: LabeledRows,
    met: np.ndarray,
    C: float,
    modality_weights: Sequence[float] | None,
    *,
    is_tied: bool,
    anchor: Anchor | None,
) -> list[Task]:
    """Independent heads are solved each on its own; with sum fusion, whose heads share their weights, all at once."""
    is_anchored = anchor is not None
    tasks = [task_of_fused_head(blocks, rows, met, C, modality_weights, is_tied=is_tied, is_anchored=is_anchored)]
    for m in range(0 if is_tied else len(blocks.widths)):
        own = [{m: 1.0}]
        tasks.append(_task(blocks, rows, met, C, own, np.ones((1, 1)), first=1 + m, is_anchored=is_anchored))
    if anchor is not None:
        for task in tasks:
            task.tie(anchor)
    return tasks


def task_of_fused_head(
    blocks: Blocks,
    rows: LabeledRows,
    met: np.ndarray,
    C: float,
    modality_weights: Sequence[float] | None,
    *,
    is_tied: bool,
    is_anchored: bool = False,
) -> Task:
    """Return the fused head's problem; with sum fusion, the modalities' own heads are part of it.

    Parameters
    ----------
    blocks : Blocks
    rows, met, C, modality_weights
        As of `fit_layers`; `rows` may hold rows of weight zero, and their classes need not be met.
    is_tied : bool
        Whether the fused head is the mean of the others.
    is_anchored : bool, default=False
        Whether the problem is to be tied to an anchor.

    Returns
    -------
    Task
    """
    n_modalities = len(blocks.widths)
    factors = [1.0] * n_modalities if modality_weights is None else list(map(float, modality_weights))
    if not is_tied:
        everything = dict(enumerate(factors))
        return _task(blocks, rows, met, C, [everything], np.ones((1, 1)), first=0, is_anchored=is_anchored)
    mixing = np.vstack([np.array([factors]) / n_modalities, np.eye(n_modalities)])
    own = [{m: 1.0} for m in range(n_modalities)]
    return _task(blocks, rows, met, C, own, mixing, first=0, is_anchored=is_anchored)


def _task(
    blocks: Blocks,
    rows: LabeledRows,
    met: np.ndarray,
    C: float,
    factors: list[dict[int, float]],
    mixing: np.ndarray,
    *,
    first: int,
    is_anchored: bool,
) -> Task:
    """Heads from the `first` one on, whose logits mix maps of some blocks."""
    heads = slice(first, first + len(mixing))
    counts = C * np.vstack([rows.weights, rows.weights * rows.present.T])[heads]
    classes = np.flatnonzero(met[first])
    known = met[heads][:, classes]
    is_shared = not rows.has_several_labels
    is_offset = is_shared and not known.all()
    problem = Problem(
        blocks,
        rows.losses(classes, met[heads], counts),
        mixing,
        factors,
        len(classes),
        # scikit-learn's two-class objective has one weight vector, the difference of ours
        2.0 if is_shared and len(classes) == 2 else 1.0,
        counts_absent=first == 0,
        offset=[np.where(of_head, 0.0, _OUT_OF_REACH)[:, None] for of_head in known] if is_offset else None,
        ties_intercepts=is_anchored,
    )
    return Task(first, list(range(first, first + len(factors))), classes, problem)


def _centred(given: LinearMap, known: np.ndarray) -> LinearMap:
    """A map less its mean over the classes it knows, which changes no probability; zero for the others.

    A class that is new is then anchored at the mean logit of the others.
    """
    share = known / max(known.sum(), 1)
    weight = (given.weight - share @ given.weight) * known[:, None]
    return LinearMap(weight, (given.intercept - share @ given.intercept) * known)
