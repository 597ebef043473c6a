"""Exercises of tutorials 5 to 7: removals, scores, the document's listing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import Array
from ..ops.activations import sigmoid
from .basics import Cases
from .exercise import Exercise


def removed(W1: Array, b1: Array, W2: Array, drop: list[int]) -> tuple[Array, Array, Array]:
    """Rows of W1 and b1, columns of W2."""
    keep = [j for j in range(len(b1)) if j not in drop]
    return W1[keep], b1[keep], W2[:, keep]


def masked_output(x: Array, W1: Array, b1: Array, W2: Array, b2: Array, drop: list[int]) -> Array:
    """(m σ(x W1ᵀ + b1)) W2ᵀ + b2."""
    h = sigmoid(x @ W1.T + b1)
    h[:, drop] = 0
    return h @ W2.T + b2


def costs(h: Array, W: Array, b: Array, t: Array) -> Array:
    """L(without j) − L for every j."""
    gates = 1 - np.eye(h.shape[1])

    def loss(h: Array) -> float:
        return float(((h @ W.T + b - t) ** 2).sum(axis=1).mean() / 2)

    return np.array([loss(h * gate) - loss(h) for gate in gates])


def networks_to_cut(rng: np.random.Generator) -> Cases:
    """Arguments W1, b1, W2 and which go."""
    for inputs, hidden, out, drop in ((3, 5, 2, [0, 2]), (2, 4, 4, [3]), (4, 6, 1, [5, 1, 2])):
        yield *(rng.normal(size=shape) for shape in ((hidden, inputs), hidden, (out, hidden))), drop


def networks_to_mask(rng: np.random.Generator) -> Cases:
    """Arguments x, W1, b1, W2, b2 and which are masked."""
    for samples, (W1, b1, W2, drop) in zip((1, 3, 2), networks_to_cut(rng), strict=True):
        yield rng.normal(size=(samples, W1.shape[1])), W1, b1, W2, rng.normal(size=len(W2)), drop


def heads_with_targets(rng: np.random.Generator) -> Cases:
    """Arguments h (N, J), W (K, J), b (K,), t (N, K)."""
    for samples, hidden, out in ((1, 5, 2), (4, 3, 3)):
        shapes = ((samples, hidden), (out, hidden), out, (samples, out))
        yield tuple(rng.normal(size=shape) for shape in shapes)


def taylor(a: Array, s: Array) -> Array:
    """mean_n |a s|."""
    return np.abs(a * s).mean(axis=0)


def second_order(h: Array, s: Array, W: Array) -> Array:
    """−h s + ½ h² Σ_k w_kj²."""
    return -h * s + h**2 * (W**2).sum(axis=0) / 2


def lowest(scores: Array, count: int) -> Array:
    """Indices of the lowest, ascending."""
    return np.sort(np.argsort(scores, kind="stable")[:count])


def activations_and_slopes(rng: np.random.Generator) -> Cases:
    """Arguments a, s (N, n), of both signs."""
    for shape in ((1, 5), (6, 3)):
        yield rng.normal(size=shape), rng.normal(size=shape)


def one_sample(rng: np.random.Generator) -> Cases:
    """Arguments h, s (J,), W (K, J)."""
    for hidden, out in ((5, 2), (3, 4)):
        yield rng.normal(size=hidden), rng.normal(size=hidden), rng.normal(size=(out, hidden))


def score_lists(rng: np.random.Generator) -> Cases:
    """Scores with ties and +∞, and how many go."""
    yield np.array([3.0, -1.0, 2.0, 0.5]), 2
    yield np.array([1.0, 0.0, 1.0, 1.0, np.inf]), 3
    yield rng.normal(size=8), 5


def listing_score(s: Array) -> Array:
    """1 / |mean_n s|; +∞ where the mean is 0."""
    mean = np.abs(s.mean(axis=0))
    return np.divide(1.0, mean, out=np.full(mean.shape, np.inf), where=mean > 0)


def agreement(outputs: Array, targets: Array) -> Any:
    """How often the largest output is the right one."""
    return (outputs.argmax(axis=1) == targets.argmax(axis=1)).mean()


def slopes(rng: np.random.Generator) -> Cases:
    """Arguments s (N, n), some of which cancel."""
    yield (np.array([[-0.5, 0.25, 0.5], [0.5, 0.25, 0.25]]),)
    yield (rng.normal(size=(4, 5)),)


def outputs_and_targets(rng: np.random.Generator) -> Cases:
    """Outputs and one-hot targets (N, K)."""
    for samples, classes in ((2, 2), (8, 3)):
        yield rng.random((samples, classes)), np.eye(classes)[rng.integers(classes, size=samples)]


FIVE, SIX, SEVEN = "05_what_if_it_leaves", "06_scores_against_the_truth", "07_the_listing_repaired"
REMOVAL = (
    Exercise(
        FIVE,
        "removed",
        "return W1, b1, W2 without the hidden neurons in the list drop",
        removed,
        networks_to_cut,
    ),
    Exercise(
        FIVE,
        "masked_output",
        "return h W2ᵀ + b2 for h = σ(x W1ᵀ + b1) in which the neurons of the list drop are set to 0",
        masked_output,
        networks_to_mask,
    ),
    Exercise(
        FIVE,
        "costs",
        "return L(without j) − L for every neuron j; y = h Wᵀ + b, L the mean over samples of ½ Σ_k (y_k − t_k)²",
        costs,
        heads_with_targets,
    ),
    Exercise(
        SIX,
        "taylor",
        "return the score mean_n |a s| of every neuron, from a and s (N, n)",
        taylor,
        activations_and_slopes,
    ),
    Exercise(
        SIX,
        "second_order",
        "return each neuron's exact cost for y = h Wᵀ + b and ½ Σ_k (y_k − t_k)², from h, s = ∂ℓ/∂h and W; one sample",
        second_order,
        one_sample,
    ),
    Exercise(
        SIX,
        "lowest",
        "return the ascending indices of the lowest scores, count of them; of equal ones the lower index goes",
        lowest,
        score_lists,
    ),
    Exercise(
        SEVEN,
        "listing_score",
        "return 1/|mean over samples of s| for every neuron, from s (N, n); where the mean is 0 it is infinite",
        listing_score,
        slopes,
    ),
    Exercise(
        SEVEN,
        "agreement",
        "return the fraction of samples whose largest output is where the target is largest",
        agreement,
        outputs_and_targets,
    ),
)
