"""Exercises of tutorials 8, 10 and 12: repair, single weights, choosing."""

from __future__ import annotations

import numpy as np

from ..ops import Array
from .basics import Cases
from .exercise import Exercise


def mean_repair(W: Array, b: Array, a: Array, drop: list[int]) -> tuple[Array, Array]:
    """W without the columns, and b plus what these columns gave on average."""
    keep = [j for j in range(W.shape[1]) if j not in drop]
    return W[:, keep], b + W[:, drop] @ a[:, drop].mean(axis=0)


def least_squares(a: Array, z: Array) -> tuple[Array, Array]:
    """W (K, J) and b (K,) that minimise Σ (a Wᵀ + b − z)²."""
    solution = np.linalg.lstsq(np.column_stack([a, np.ones(len(a))]), z, rcond=None)[0]
    return solution[:-1].T, solution[-1]


def readers(rng: np.random.Generator) -> Cases:
    """Arguments W (K, J), b (K,), a (N, J), drop."""
    for out, hidden, drop in ((2, 5, [0, 2]), (3, 4, [3])):
        yield rng.normal(size=(out, hidden)), rng.normal(size=out), rng.random((10, hidden)), drop


def fits(rng: np.random.Generator) -> Cases:
    """Arguments a (N, J) and z (N, K), more samples than unknowns."""
    for samples, hidden, out in ((20, 3, 2), (12, 4, 1)):
        yield rng.random((samples, hidden)), rng.normal(size=(samples, out))


def smallest_zeroed(W: Array, fraction: float) -> Array:
    """The floor(fraction · size) entries of smallest modulus set to 0."""
    zeroed = W.copy()
    zeroed.ravel()[np.argsort(np.abs(W).ravel(), kind="stable")[: int(fraction * W.size)]] = 0
    return zeroed


def compressed_rows(W: Array) -> tuple[Array, Array, Array]:
    """CSR: values, their columns, and where each row begins and the last one ends."""
    rows, columns = np.nonzero(W)
    return W[rows, columns], columns, np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(W)))])


def matrices_and_fractions(rng: np.random.Generator) -> Cases:
    """Arguments W, fraction."""
    yield np.array([[0.5, -0.1], [0.2, -2.0]]), 0.5
    yield rng.normal(size=(4, 5)), 0.33
    yield rng.normal(size=(3, 3)), 0.0


def sparse_matrices(rng: np.random.Generator) -> Cases:
    """Matrices with zeros, and with an empty row."""
    yield (np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0]]),)
    yield (rng.normal(size=(5, 4)) * (rng.random((5, 4)) < 0.4),)


def pareto_front(quality: Array, cost: Array) -> Array:
    """Indices of the points that no other is at least as good as in both and better in one, ascending."""
    better = (quality[:, None] >= quality) & (cost[:, None] <= cost)  # row i is no worse than column j
    strictly = (quality[:, None] > quality) | (cost[:, None] < cost)
    return np.flatnonzero(~(better & strictly).any(axis=0))


def smallest_good_enough(quality: Array, size: Array, at_least: float) -> int:
    """The smallest of those whose quality suffices."""
    return int(np.argmin(np.where(quality >= at_least, size, np.inf)))


def points(rng: np.random.Generator) -> Cases:
    """Quality and cost, some of them equal."""
    yield np.array([0.9, 0.8, 0.95, 0.8]), np.array([3.0, 1.0, 5.0, 2.0])
    yield np.array([0.9, 0.9, 0.7]), np.array([2.0, 2.0, 2.0])
    yield rng.random(12), rng.random(12)


def points_and_limits(rng: np.random.Generator) -> Cases:
    """The same and a limit that some reach."""
    for quality, cost in points(rng):
        yield quality, cost, float(np.sort(quality)[len(quality) // 2])


EIGHT, TEN, TWELVE = "08_prune_repair_finetune", "10_weights_instead_of_neurons", "12_choosing"
PRACTICE = (
    Exercise(
        EIGHT,
        "mean_repair",
        "return W and b of z = a Wᵀ + b without the neurons of drop, each replaced by its mean over samples",
        mean_repair,
        readers,
    ),
    Exercise(
        EIGHT,
        "least_squares",
        "return W (K, J) and b (K,) for which the sum of the squares of a Wᵀ + b − z is least",
        least_squares,
        fits,
    ),
    Exercise(
        TEN,
        "smallest_zeroed",
        "return a copy of W in which the floor(fraction · W.size) entries of smallest modulus are 0",
        smallest_zeroed,
        matrices_and_fractions,
    ),
    Exercise(
        TEN,
        "compressed_rows",
        "return values, columns and starts of what is not 0, row by row; row r is entries starts[r] to starts[r + 1]",
        compressed_rows,
        sparse_matrices,
    ),
    Exercise(
        TWELVE,
        "pareto_front",
        "return the ascending indices of the points that no other equals in quality and cost and beats in one",
        pareto_front,
        points,
    ),
    Exercise(
        TWELVE,
        "smallest_good_enough",
        "return the index of the smallest size among those whose quality is at_least or more",
        smallest_good_enough,
        points_and_limits,
    ),
)
