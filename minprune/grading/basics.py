"""Exercises of tutorials 1 to 4: one neuron, forward, backward, what belongs to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..ops import Array
from ..ops.activations import sigmoid
from .exercise import Exercise

Cases = Iterator[tuple[Any, ...]]
EXAMPLE = (np.array([1.0, 2.0, 3.0]), np.array([0.3, 0.3, 0.1]), -0.1)  # h1


def weighted_sum(x: Array, w: Array, b: float) -> Any:
    """The sum Σ w x + b."""
    return w @ x + b


def slope_by_weights(x: Array, w: Array, b: float) -> Array:
    """∂a/∂w = a (1 − a) x."""
    a = sigmoid(w @ x + b)
    return a * (1 - a) * x


def cost_without(x: Array, w: Array, b: float, t: float) -> Any:
    """½ (0 − t)² − ½ (a − t)²."""
    a = sigmoid(w @ x + b)
    return (t**2 - (a - t) ** 2) / 2


def neurons(rng: np.random.Generator) -> Cases:
    """Arguments x, w, b: that of the tutorial, and others with other numbers of inputs."""
    yield EXAMPLE
    for inputs in (1, 4, 7):
        yield rng.normal(size=inputs), rng.normal(size=inputs), float(rng.normal())


def neurons_with_targets(rng: np.random.Generator) -> Cases:
    """The same, and a target."""
    for case in neurons(rng):
        yield (*case, float(rng.random()))


def layer(x: Array, W: Array, b: Array) -> Array:
    """σ(x Wᵀ + b)."""
    return sigmoid(x @ W.T + b)


def mean_loss(y: Array, t: Array) -> Any:
    """The mean over samples of ½ Σ_k (y_k − t_k)²."""
    return ((y - t) ** 2).sum(axis=1).mean() / 2


def layers(rng: np.random.Generator) -> Cases:
    """Arguments x (N, I), W (J, I), b (J,), square ones and others."""
    for samples, inputs, size in ((1, 3, 5), (4, 3, 3), (3, 5, 2)):
        yield rng.normal(size=(samples, inputs)), rng.normal(size=(size, inputs)), rng.normal(size=size)


def outputs(rng: np.random.Generator) -> Cases:
    """Arguments y, t (N, K)."""
    for shape in ((1, 2), (4, 3), (5, 1)):
        yield rng.normal(size=shape), rng.normal(size=shape)


def sensitivities(o: Array, t: Array, W: Array) -> Array:
    """((o − t) o (1 − o)) W, (N, K)(K, J) -> (N, J)."""
    return ((o - t) * o * (1 - o)) @ W


def weight_gradient(g: Array, h: Array) -> Array:
    """gᵀ h / N, (K, N)(N, J) -> (K, J)."""
    return g.T @ h / len(h)


def central_difference(f: Callable[[Array], float], w: Array, step: float) -> Array:
    """(f(w + step e_i) − f(w − step e_i)) / 2 step for every i."""
    steps = step * np.eye(len(w))
    return np.array([(f(w + e) - f(w - e)) / (2 * step) for e in steps])


def heads(rng: np.random.Generator) -> Cases:
    """Arguments o, t (N, K) and W (K, J)."""
    for samples, out, hidden in ((1, 2, 5), (3, 4, 2), (2, 2, 2)):
        yield rng.random((samples, out)), rng.random((samples, out)), rng.normal(size=(out, hidden))


def gradients_and_inputs(rng: np.random.Generator) -> Cases:
    """Arguments g (N, K) and h (N, J)."""
    for samples, out, hidden in ((1, 2, 5), (4, 3, 3), (3, 2, 4)):
        yield rng.normal(size=(samples, out)), rng.normal(size=(samples, hidden))


def functions(rng: np.random.Generator) -> Cases:
    """A function of a vector, a place and a step; of a cube the difference is not the derivative."""

    def cubes(w: Array) -> float:
        """Σ w³."""
        return float((w**3).sum())

    def waves(w: Array) -> float:
        """Σ (i + 1) sin w_i."""
        return float(np.arange(1, len(w) + 1) @ np.sin(w))

    yield cubes, np.array([1.0, -2.0]), 0.5
    yield waves, rng.normal(size=3), 0.1


def numbers_of_one_neuron(inputs: int, readers: int) -> int:
    """Weights in, a bias, weights out."""
    return inputs + 1 + readers


def swapped(W1: Array, b1: Array, W2: Array, i: int, j: int) -> tuple[Array, Array, Array]:
    """Rows of W1 and b1 and columns of W2, exchanged."""
    order = np.arange(len(b1))
    order[[i, j]] = j, i
    return W1[order], b1[order], W2[:, order]


def sizes(rng: np.random.Generator) -> Cases:
    """How many inputs, how many readers."""
    yield 3, 2
    yield 64, 10
    yield int(rng.integers(5, 50)), 1


def networks_and_pairs(rng: np.random.Generator) -> Cases:
    """Arguments W1 (J, I), b1 (J,), W2 (K, J), and two neurons."""
    for inputs, hidden, out in ((3, 5, 2), (4, 4, 4), (2, 6, 1)):
        i, j = rng.choice(hidden, 2, replace=False).tolist()
        shapes = ((hidden, inputs), hidden, (out, hidden))
        yield (*(rng.normal(size=shape) for shape in shapes), i, j)


ONE, TWO, THREE, FOUR = "01_one_neuron", "02_forward", "03_backward", "04_five_neurons_four_arrays"
BASICS = (
    Exercise(ONE, "weighted_sum", "return z = w·x + b of one neuron, a number", weighted_sum, neurons),
    Exercise(ONE, "slope_by_weights", "return ∂a/∂w of a = σ(w·x + b), an array like w", slope_by_weights, neurons),
    Exercise(
        ONE,
        "cost_without",
        "return by how much the loss ½(a − t)² changes when 0 is read instead of a = σ(w·x + b)",
        cost_without,
        neurons_with_targets,
    ),
    Exercise(TWO, "layer", "return h = σ(x Wᵀ + b) for all samples and neurons, (N, J)", layer, layers),
    Exercise(TWO, "mean_loss", "return the mean over samples of ½ Σ_k (y_k − t_k)², a number", mean_loss, outputs),
    Exercise(
        THREE,
        "sensitivities",
        "return ∂ℓ/∂h (N, J) for o = σ(h Wᵀ + b) and ℓ = ½ Σ_k (o_k − t_k)², from o, t and W",
        sensitivities,
        heads,
    ),
    Exercise(
        THREE,
        "weight_gradient",
        "return ∂L/∂W (K, J) of z = h Wᵀ + b, from g = ∂ℓ/∂z (N, K) and h (N, J); L is the mean over samples",
        weight_gradient,
        gradients_and_inputs,
    ),
    Exercise(
        THREE,
        "central_difference",
        "return (f(w + step e_i) − f(w − step e_i)) / (2 step) for every entry i of w, an array like w",
        central_difference,
        functions,
    ),
    Exercise(
        FOUR,
        "numbers_of_one_neuron",
        "return how many parameters belong to a neuron that reads that many inputs and is read by that many readers",
        numbers_of_one_neuron,
        sizes,
    ),
    Exercise(
        FOUR,
        "swapped",
        "return W1, b1, W2 of the network in which hidden neurons i and j have changed places",
        swapped,
        networks_and_pairs,
    ),
)
