"""
D² sampling, and its law
========================

BADGE and BMMAL draw their batches by D² sampling: each row with a probability proportional to its squared distance
from what was drawn before. skmmal draws blocks of candidates and thins them; the law is still exactly that of drawing
one at a time. Here it is held against the law worked out by hand.
"""

# %%
# Seven points. All sequences of three have a probability that can be written down.

from itertools import permutations

import matplotlib.pyplot as plt
import numpy as np

from skmmal.selection import d2_sampling

points = np.array([[0.0, 0.0], [0.4, 0.1], [2.0, 0.2], [2.2, 0.6], [0.3, 2.0], [2.6, 2.4], [3.6, 0.2]])
sq_distances = ((points[:, np.newaxis] - points) ** 2).sum(axis=2)


def probability(sequence):
    """Of drawing these points in this order; the first one is uniform."""
    value, nearest = 1 / len(points), sq_distances[sequence[0]]
    for point in sequence[1:]:
        value *= nearest[point] / nearest.sum()
        nearest = np.minimum(nearest, sq_distances[point])
    return value


law = {sequence: probability(sequence) for sequence in permutations(range(len(points)), 3)}
print(f"{len(law)} sequences, probabilities sum to {sum(law.values()):.6f}")

# %%
# 4,000 draws, and how far they are from the law. χ² comes out within a standard deviation of its degrees of freedom,
# where a sampler of this law puts it.

rng = np.random.RandomState(0)
n_draws = 4_000
counts = dict.fromkeys(law, 0)
for _ in range(n_draws):
    counts[tuple(d2_sampling(points, 3, first="random", random_state=rng).tolist())] += 1
expected, observed = (np.array([table[key] for key in law]) for table in (law, counts))
expected = expected * n_draws
chi_square = ((observed - expected) ** 2 / expected).sum()
print(f"χ² = {chi_square:.0f}, {len(law) - 1} degrees of freedom, standard deviation {np.sqrt(2 * (len(law) - 1)):.0f}")

# %%
# Left: the points, as large as they are often drawn. The two at the lower left are near each other: a batch rarely
# has both. Right: every sequence, drawn against expected; the band is two standard deviations of counting.

share = np.array([sum(count for key, count in counts.items() if point in key) for point in range(7)]) / n_draws
together = sum(count for key, count in counts.items() if {0, 1} <= set(key)) / n_draws
print(f"share of the draws that have both points at the lower left: {together:.3f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.scatter(*points.T, s=1400 * share, color="C0", alpha=0.8)
for point, value in zip(points, share, strict=True):
    left.annotate(f"{value:.2f}", point, ha="center", va="center", fontsize="x-small", color="white")
left.set(xlim=(-0.6, 4.2), ylim=(-0.6, 3), title="Share of the draws that have the point", aspect="equal")
line = np.linspace(0, 1.1 * expected.max(), 200)
right.fill_between(line, line - 2 * np.sqrt(line), line + 2 * np.sqrt(line), color="0.5", alpha=0.25, linewidth=0)
right.plot(line, line, color="0.5", linestyle="-", linewidth=1)
right.scatter(expected, observed, s=12, color="C4")
right.set(xlabel="expected draws of a sequence", ylabel="drawn", title=f"All {len(law)} sequences")
plt.show()
