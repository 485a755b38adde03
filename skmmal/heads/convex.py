"""The convex case: softmax regressions over linear maps of fixed features, solved to their unique optimum.

Each head h has logits ``Σ_j c_hj (Z_j W_j + b_j)``; the objective is the sum over heads of weighted cross-entropies
plus ``l2/2 Σ_j ‖W_j‖²``. A single softmax regression is one head over one map; sum fusion is M + 1 heads that share
M maps.

Features are first centred (the intercept takes up the mean) and rotated onto the principal axes of the labelled rows.
With fewer rows than features the optimum lies in the span of the rows, so this loses nothing and shrinks the problem to
n × n; and on those axes a diagonal preconditioner is a good one. The solver is Newton's method with conjugate
gradients; `skmmal.heads.lbfgs` is the one for many rows.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from sklearn.exceptions import ConvergenceWarning

from skmmal.heads.axes import PrincipalAxes

Tensors = list[torch.Tensor]

OUT_OF_REACH = -1e30
"""Logit of a class that a head does not know: finite, so that it may be multiplied by zero."""

_MAX_CG = 1000
_CG_REDUCTION = 0.1
_CG_FINEST = 1e-6
"""Smallest reduction of the residual that is worth asking for."""
_ARMIJO = 1e-4
_VALUE_ROUNDING = 1e-13
"""Relative change of the objective below which only the decrements tell whether a step gains anything."""
POLISHED = 1e-26
"""Decrement, relative to the objective, at which the weights are right to their last digits but one or two."""


@dataclass
class LinearMap:
    """Weights (D, K) and intercept (K,) of one linear map."""

    weight: torch.Tensor
    intercept: torch.Tensor


@dataclass
class Solution:
    """What the solver found."""

    maps: list[LinearMap]
    objective: float
    n_iter: int
    loss_curve: list[float]
    converged: bool


class LinearHeads:
    """The objective, its gradient and its curvature, in the coordinates' weights.

    Parameters of map j are one tensor (r_j + 1, K) whose last row is the intercept.

    Parameters
    ----------
    axes : list of J PrincipalAxes
    onehot : tensor of shape (n, K)
    row_weights : tensor of shape (H, n)
        C × sample weight; zero where a head does not see a row.
    mixing : tensor of shape (H, J)
        c_hj.
    l2 : float
    offset : list of H tensors of shape (n, K) or (1, K), optional
        Fixed logits that are added to the heads' own; `OUT_OF_REACH` for a class that the head does not know.
    intercepts : bool, default=True
        Whether there are intercepts; otherwise they are held at zero.
    """

    def __init__(
        self,
        axes: list[PrincipalAxes],
        onehot: torch.Tensor,
        row_weights: torch.Tensor,
        mixing: torch.Tensor,
        l2: float,
        offset: Tensors | None = None,
        intercepts: bool = True,
    ) -> None:
        self.axes, self.onehot, self.row_weights, self.mixing, self.l2 = axes, onehot, row_weights, mixing, l2
        self._offset = offset
        ones = onehot.new_full((len(onehot), 1), 1.0 if intercepts else 0.0)
        self._designs = [torch.cat([a.Z, ones], dim=1) for a in axes]
        self._penalty = []
        for a in axes:
            penalty = onehot.new_full((a.Z.shape[1] + 1, 1), l2)
            penalty[-1] = 0.0
            self._penalty.append(penalty)

    def zeros(self) -> Tensors:
        """Parameters that are all zero."""
        return [self.onehot.new_zeros(d.shape[1], self.onehot.shape[1]) for d in self._designs]

    def _mix(self, parameters: Tensors) -> Tensors:
        per_map = [design @ part for design, part in zip(self._designs, parameters, strict=True)]
        if self.mixing.numel() == 1:  # a single softmax regression
            return per_map
        return [sum(c * logits for c, logits in zip(row, per_map, strict=True)) for row in self.mixing]

    def _unmix(self, per_head: Tensors, parameters: Tensors) -> Tensors:
        """Gradient of Σ_h <per_head_h, logits_h> + penalty with respect to the parameters."""
        out = []
        for j, (design, penalty) in enumerate(zip(self._designs, self._penalty, strict=True)):
            total = (
                per_head[0]
                if len(self._designs) == 1
                else sum(c * residual for c, residual in zip(self.mixing[:, j], per_head, strict=True))
            )
            part = torch.addcmul(design.T @ total, penalty, parameters[j])
            # a shift of all intercepts changes nothing; what rounding leaves of its slope would, for want of curvature
            part[-1] -= part[-1].mean()
            out.append(part)
        return out

    def log_probabilities(self, parameters: Tensors) -> Tensors:
        """Logarithms of the heads' class probabilities, H tensors of shape (n, K)."""
        logits = self._mix(parameters)
        if self._offset is not None:
            logits = [own + fixed for own, fixed in zip(logits, self._offset, strict=True)]
        return [torch.log_softmax(each, dim=1) for each in logits]

    def evaluate(self, parameters: Tensors) -> tuple[float, Tensors, Tensors]:
        """Objective, gradient, and the heads' probabilities."""
        value = 0.0
        residuals, probabilities = [], []
        for weights, log_p in zip(self.row_weights, self.log_probabilities(parameters), strict=True):
            value -= float(torch.sum(weights * (log_p * self.onehot).sum(dim=1)))
            p = log_p.exp()
            probabilities.append(p)
            residuals.append(weights[:, None] * (p - self.onehot))
        for penalty, part in zip(self._penalty, parameters, strict=True):
            value += 0.5 * float(torch.sum(penalty * part.square()))
        return value, self._unmix(residuals, parameters), probabilities

    def curvature_product(self, direction: Tensors, probabilities: Tensors) -> Tensors:
        """Product of the Hessian with `direction`."""
        curved = []
        for weights, p, change in zip(self.row_weights, probabilities, self._mix(direction), strict=True):
            scaled = p * change
            curved.append(weights[:, None] * (scaled - p * scaled.sum(dim=1, keepdim=True)))
        return self._unmix(curved, direction)

    def curvatures(self, probabilities: Tensors) -> Tensors:
        """Curvature of the loss along each logit of each map, ``Σ_h c_hj² w_h p_h (1 − p_h)``: J tensors (n, K)."""
        per_head = [w[:, None] * p * (1 - p) for w, p in zip(self.row_weights, probabilities, strict=True)]
        return [sum(c**2 * each for c, each in zip(column, per_head, strict=True)) for column in self.mixing.T]

    def preconditioner(self, probabilities: Tensors) -> Tensors:
        """Inverse of the diagonal that the Hessian has if every row has its class's average curvature."""
        inverse = []
        for axes, curvature in zip(self.axes, self.curvatures(probabilities), strict=True):
            total = curvature.sum(dim=0)
            slopes = self.l2 + axes.variances[:, None] * (total / len(self.onehot))
            inverse.append(1.0 / torch.cat([slopes, total[None]]).clamp_min(1e-12))
        return inverse

    def maps(self, parameters: Tensors) -> list[LinearMap]:
        """The parameters as maps of the features; intercepts are centred over the classes."""
        found = []
        for axes, part in zip(self.axes, parameters, strict=True):
            weight = axes.to_features(part[:-1])
            intercept = part[-1] - axes.mean_logits(weight)
            found.append(LinearMap(weight, intercept - intercept.mean()))
        return found

    def parameters(self, maps: list[LinearMap]) -> Tensors:
        """The parameters of given maps (their part in the rows' span)."""
        return [
            torch.cat([axes.from_features(m.weight), (m.intercept + axes.mean_logits(m.weight))[None]])
            for axes, m in zip(self.axes, maps, strict=True)
        ]


def solve(
    problem: LinearHeads,
    *,
    initial: list[LinearMap] | None = None,
    max_iter: int = 100,
    tol: float = 1e-8,
    polish: bool = False,
) -> Solution:
    """Minimise the objective.

    Parameters
    ----------
    problem : LinearHeads
    initial : list of LinearMap, optional
        Where to start; used if it is better than zero.
    max_iter : int
    tol : float
        Stop once the estimated distance to the optimum is below `tol` times the objective.
    polish : bool, default=False
        Then go on, within `max_iter`, until rounding ends it.

    Returns
    -------
    Solution
    """
    start = problem.zeros()
    if initial is not None:
        former = problem.parameters(initial)
        start = _best_start(problem, [start, former, _fit_misfits(problem, former)])
    parameters, curve, converged = _newton_cg(problem, start, max_iter, tol)
    if polish and converged:
        parameters = _polished(problem, parameters, curve, max_iter)
    return Solution(problem.maps(parameters), curve[-1], max(1, len(curve) - 1), curve, converged)


def warn_if_not_converged(solutions: list[Solution], max_iter: int) -> None:
    """Warn, as scikit-learn does, when a solver ran out of iterations."""
    if not all(solution.converged for solution in solutions):
        warnings.warn(
            f"the solver did not converge within max_iter={max_iter} iterations; increase max_iter, raise tol or "
            "scale the features (ModalityScaler)",
            ConvergenceWarning,
            stacklevel=8,
        )


def _best_start(problem: LinearHeads, starts: list[Tensors]) -> Tensors:
    values = [problem.evaluate(start)[0] for start in starts]
    return starts[min(range(len(starts)), key=values.__getitem__)]


def _fit_misfits(problem: LinearHeads, start: Tensors) -> Tensors:
    """Move `start` as little as possible so that the rows it misjudges are fitted too.

    New rows pull on the former optimum with large gradients where the curvature is small, and a Newton step from
    there overshoots. This solves ``min ½ ‖W − W_start‖²_H + Σ_misjudged loss`` first, which is as small as there are
    misjudged rows; H is the curvature of the penalty and, on average over classes, of the other rows.
    """
    log_p = problem.log_probabilities(start)
    likelihood = torch.stack([(each.exp() * problem.onehot).sum(dim=1) for each in log_p]).mean(dim=0)
    misjudged = (likelihood < 0.5) & (problem.row_weights > 0).any(dim=0)
    rows = torch.nonzero(misjudged).squeeze(1)
    if not 0 < len(rows) <= len(problem.onehot) // 2:
        return start
    others = [each.exp() * ~misjudged[:, None] for each in log_p]
    # in coordinates divided by these roots, H is the penalty alone
    roots = [
        torch.sqrt(1 + axes.variances * float(curvature.mean()) / problem.l2)
        for axes, curvature in zip(problem.axes, problem.curvatures(others), strict=True)
    ]
    small = LinearHeads(
        [PrincipalAxes(axes.Z[rows] / root) for axes, root in zip(problem.axes, roots, strict=True)],
        problem.onehot[rows],
        problem.row_weights[:, rows],
        problem.mixing,
        problem.l2,
        offset=[each[rows] for each in log_p],
        intercepts=False,
    )
    moved, _, _ = _newton_cg(small, small.zeros(), 30, 1e-3)
    return [
        torch.cat([part[:-1] + axes.to_features(change[:-1]) / root[:, None], part[-1:]])
        for part, axes, change, root in zip(start, small.axes, moved, roots, strict=True)
    ]


def _dot(a: Tensors, b: Tensors) -> float:
    return sum(float(torch.sum(x * y)) for x, y in zip(a, b, strict=True))


def _step(a: Tensors, length: float, b: Tensors) -> Tensors:
    return [torch.add(x, y, alpha=length) for x, y in zip(a, b, strict=True)]


def _newton_cg(
    problem: LinearHeads, parameters: Tensors, max_iter: int, tol: float
) -> tuple[Tensors, list[float], bool]:
    value, gradient, probabilities = problem.evaluate(parameters)
    curve = [value]
    for _ in range(max_iter):
        direction = _conjugate_gradients(problem, gradient, probabilities, value)
        decrement = -_dot(gradient, direction)  # twice the fall that the quadratic model promises
        if decrement <= tol * 1e-6 * abs(value):  # already there
            return parameters, curve, True
        rounding = _VALUE_ROUNDING * abs(value)
        last = decrement <= rounding  # the value cannot tell whether this step, the whole of it, gains anything
        length = 1.0
        while True:
            trial = _step(parameters, length, direction)
            new_value, new_gradient, new_probabilities = problem.evaluate(trial)
            if new_value <= value - _ARMIJO * length * decrement or (last and new_value <= value + rounding):
                break
            length /= 2
            if length < 1e-10:  # rounding: no better point along the direction
                return parameters, curve, True
        parameters, value, gradient, probabilities = trial, new_value, new_gradient, new_probabilities
        curve.append(min(value, curve[-1]))
        # the step has left about the share of the promised fall that conjugate gradients left of the residual
        if last or (length == 1.0 and _CG_REDUCTION**2 * decrement / 2 < tol * abs(value)):
            return parameters, curve, True
    return parameters, curve, False


def _polished(problem: LinearHeads, parameters: Tensors, curve: list[float], max_iter: int) -> Tensors:
    """Newton's whole steps from near the optimum, as long as each leaves less than half of the decrement."""
    value, gradient, probabilities = problem.evaluate(parameters)
    last = float("inf")
    while True:
        direction = _conjugate_gradients(problem, gradient, probabilities, value)
        decrement = -_dot(gradient, direction)
        if not POLISHED * abs(value) < decrement < last / 2 or len(curve) > max_iter:
            return parameters
        trial = _step(parameters, 1.0, direction)
        value, gradient, probabilities = problem.evaluate(trial)
        if value > curve[-1] + _VALUE_ROUNDING * abs(curve[-1]):
            return parameters
        parameters, last = trial, decrement
        curve.append(min(value, curve[-1]))


def _conjugate_gradients(problem: LinearHeads, gradient: Tensors, probabilities: Tensors, value: float) -> Tensors:
    """Solve H d = −g as far as the distance from the optimum warrants."""
    inverse = problem.preconditioner(probabilities)
    direction = [torch.zeros_like(g) for g in gradient]
    residual = [-g for g in gradient]
    scaled = [m * r for m, r in zip(inverse, residual, strict=True)]
    search = scaled
    energy = first = _dot(residual, scaled)
    reduction = (first / max(abs(value), 1e-300)) ** 0.5
    wanted = min(_CG_REDUCTION, max(reduction, _CG_FINEST)) ** 2 * first
    for _ in range(_MAX_CG):
        curved = problem.curvature_product(search, probabilities)
        bend = _dot(search, curved)
        if bend <= 0:  # rounding, in a direction without curvature
            break
        length = energy / bend
        direction = _step(direction, length, search)
        residual = _step(residual, -length, curved)
        scaled = [m * r for m, r in zip(inverse, residual, strict=True)]
        new_energy = _dot(residual, scaled)
        if new_energy <= wanted:
            break
        search = _step(scaled, new_energy / energy, search)
        energy = new_energy
    return direction
