"""Optimisers: what to do with gradients. How fast to do it, when, is said in `learning_rates`.

An optimiser is an immutable description. What it remembers between steps (momentum, running averages) is an
`OptimizerState` of its own, so that it can be handed on, saved, or follow the neurons that survive a removal.
Every parameter is treated alike, biases and batch-norm included, as PyTorch does by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, sqrt
from typing import Protocol

import numpy as np

from .backends import accelerable
from .errors import DataError, StructureError
from .neurons import Ids
from .ops import Array


@dataclass
class OptimizerState:
    """What an optimiser remembers between steps.

    Attributes
    ----------
    step : int
        How many steps were taken.
    slots : dict
        Parameter name -> slot name -> array of the parameter's shape: ``slots["dense1.W"]["m"]``.

    Examples
    --------
    >>> state = OptimizerState(1, {"dense1.b": {"m": np.array([1.0, 2.0, 3.0])}})
    >>> state.sliced({"dense1.b": {0: np.array([0, 2])}}).slots["dense1.b"]["m"]
    array([1., 3.])
    """

    step: int = 0
    slots: dict[str, dict[str, Array]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<OptimizerState: step {self.step}, {len(self.slots)} parameters>"

    def memory(self, param: str, like: Array, *names: str) -> list[Array]:
        """Give the remembered arrays of one parameter; zeros where nothing is remembered of it yet.

        Raises
        ------
        StructureError
            When the state was left by another kind of optimiser, or belongs to a parameter of another shape.
        """
        held = self.slots.setdefault(param, {})
        if not held:
            held.update({name: np.zeros_like(like) for name in names})
        if set(held) != set(names):
            raise StructureError(
                f"{param}: the optimiser's state holds {', '.join(held)}, expected {', '.join(names)}; "
                "it was left by another kind of optimiser, start a fresh one"
            )
        for name in names:
            if held[name].shape != like.shape:
                raise StructureError(
                    f"{param}: the optimiser's state has shape {held[name].shape}, expected {like.shape}; "
                    "cut it down with sliced"
                )
        return [held[name] for name in names]

    def sliced(self, stays: Mapping[str, Mapping[int, Ids]]) -> OptimizerState:
        """The state for a smaller network: every array loses the same positions as its parameter.

        Parameters
        ----------
        stays : mapping
            Parameter -> axis -> the positions that stay; see `minprune.neurons.staying`. Others stay whole.
        """
        slots = {}
        for param, arrays in self.slots.items():
            slots[param] = {name: array.copy() for name, array in arrays.items()}
            for axis, positions in stays.get(param, {}).items():
                slots[param] = {name: np.take(array, positions, axis) for name, array in slots[param].items()}
        return OptimizerState(self.step, slots)


class Optimizer(Protocol):
    """Anything that can take a step."""

    @property
    def lr(self) -> float:
        """The learning rate, before any schedule."""

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array], state: OptimizerState, lr: float) -> None:
        """Change the parameters, in place, and the state."""


def require(spec: object, name: str, condition: bool, expected: str) -> None:
    """Refuse a setting that does not meet the condition, by its name."""
    if not condition:
        raise DataError(f"{type(spec).__name__}: {name} is {getattr(spec, name)!r}, expected {expected}")


@accelerable
def momentum_step(theta: Array, g: Array, velocity: Array, lr: float, momentum: float, nesterov: bool) -> None:
    r"""Change a parameter and its velocity, in place, by one step of `SGD`.

    Examples
    --------
    >>> theta, velocity = np.array([1.0]), np.array([2.0])
    >>> momentum_step(theta, np.array([1.0]), velocity, 0.5, 0.5, False)
    >>> theta, velocity
    (array([0.]), array([2.]))
    """
    velocity *= momentum
    velocity += g
    theta -= lr * (g + momentum * velocity if nesterov else velocity)


@accelerable
def adam_step(
    theta: Array, g: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], epsilon: float, step: int
) -> None:
    r"""Change a parameter and its two averages, in place, by step number `step` of `Adam`; the first is 1.

    Examples
    --------
    >>> theta, m, v = np.array([1.0]), np.array([0.0]), np.array([0.0])
    >>> adam_step(theta, np.array([2.0]), m, v, 0.25, (0.5, 0.5), 1e-8, 1)
    >>> theta.round(6), m, v
    (array([0.75]), array([1.]), array([2.]))
    """
    beta1, beta2 = betas
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    root = np.sqrt(v)
    root /= sqrt(1 - beta2**step)
    root += epsilon
    theta -= lr / (1 - beta1**step) * m / root


@dataclass(frozen=True)
class SGD:
    r"""Stochastic gradient descent, with momentum if wanted.

    $v \leftarrow \mu v + g$, $\theta \leftarrow \theta - \eta v$; with Nesterov's look-ahead
    $\theta \leftarrow \theta - \eta (g + \mu v)$. Weight decay adds $\lambda \theta$ to g.

    Parameters
    ----------
    lr : float
        η.
    momentum : float
        μ, at least 0 and below 1.
    nesterov : bool
        Whether to look ahead; needs momentum.
    weight_decay : float
        λ.

    Raises
    ------
    DataError
        For settings out of these ranges.

    Notes
    -----
    Source: Sutskever et al. 2013, *On the importance of initialization and momentum*, equations 1 to 4, in the form
    that PyTorch uses (η outside v).

    Examples
    --------
    >>> theta = {"b": np.array([1.0])}
    >>> SGD(lr=0.5).update(theta, {"b": np.array([1.0])}, OptimizerState(), lr=0.5)
    >>> theta["b"]
    array([0.5])
    """

    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        require(self, "lr", 0 < self.lr < inf, "a number above 0")
        require(self, "momentum", 0 <= self.momentum < 1, "at least 0 and below 1")
        require(self, "momentum", self.momentum > 0 or not self.nesterov, "above 0 with nesterov=True")
        require(self, "weight_decay", 0 <= self.weight_decay < inf, "a number of at least 0")

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array], state: OptimizerState, lr: float) -> None:
        """One step."""
        state.step += 1
        for name, theta in params.items():
            g = grads[name] + self.weight_decay * theta if self.weight_decay else grads[name]
            if self.momentum:
                (velocity,) = state.memory(name, theta, "velocity")
                momentum_step(theta, g, velocity, lr, self.momentum, self.nesterov)
            else:
                theta -= lr * g


@dataclass(frozen=True)
class Adam:
    r"""Steps of a size that does not depend on the gradient's.

    $m \leftarrow \beta_1 m + (1-\beta_1) g$, $v \leftarrow \beta_2 v + (1-\beta_2) g^2$,
    $\theta \leftarrow \theta - \eta\, \hat{m} / (\sqrt{\hat{v}} + \varepsilon)$ with $\hat{m} = m/(1-\beta_1^t)$ and
    $\hat{v} = v/(1-\beta_2^t)$. Weight decay adds $\lambda \theta$ to g; for the decoupled kind see `AdamW`.

    Parameters
    ----------
    lr : float
        η.
    betas : (float, float)
        β₁, β₂.
    epsilon : float
        ε.
    weight_decay : float
        λ.

    Raises
    ------
    DataError
        For settings out of range.

    Notes
    -----
    Source: Kingma and Ba 2015, *Adam*, algorithm 1.

    Examples
    --------
    >>> theta = {"b": np.array([1.0])}
    >>> Adam().update(theta, {"b": np.array([123.0])}, OptimizerState(), lr=0.25)
    >>> theta["b"].round(6)
    array([0.75])
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        require(self, "lr", 0 < self.lr < inf, "a number above 0")
        require(self, "betas", len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "two from 0 to below 1")
        require(self, "epsilon", 0 < self.epsilon < inf, "a number above 0")
        require(self, "weight_decay", 0 <= self.weight_decay < inf, "a number of at least 0")

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array], state: OptimizerState, lr: float) -> None:
        """One step."""
        state.step += 1
        for name, theta in params.items():
            g = grads[name] + self.weight_decay * theta if self.weight_decay else grads[name]
            self._step(name, theta, g, state, lr)

    def _step(self, name: str, theta: Array, g: Array, state: OptimizerState, lr: float) -> None:
        m, v = state.memory(name, theta, "m", "v")
        adam_step(theta, g, m, v, lr, self.betas, self.epsilon, state.step)


@dataclass(frozen=True)
class AdamW(Adam):
    r"""Adam whose weight decay does not pass through the running averages.

    $\theta \leftarrow (1 - \eta\lambda)\, \theta$, then Adam's step with the plain gradient.

    Parameters
    ----------
    lr, betas, epsilon
        As for `Adam`.
    weight_decay : float
        λ.

    Notes
    -----
    Source: Loshchilov and Hutter 2019, *Decoupled weight decay regularization*, algorithm 2.

    Examples
    --------
    >>> theta = {"b": np.array([1.0])}
    >>> AdamW(weight_decay=0.5).update(theta, {"b": np.array([0.0])}, OptimizerState(), lr=0.5)
    >>> theta["b"]
    array([0.75])
    """

    weight_decay: float = 0.01

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array], state: OptimizerState, lr: float) -> None:
        """One step."""
        state.step += 1
        for name, theta in params.items():
            theta *= 1 - lr * self.weight_decay
            self._step(name, theta, grads[name], state, lr)


def clip(grads: Mapping[str, Array], most: float) -> dict[str, Array]:
    r"""Shorten all gradients together where their common length exceeds a bound.

    $g \leftarrow g \cdot \min(1, c / \lVert g \rVert)$, the norm over all parameters.

    Notes
    -----
    Source: Pascanu, Mikolov and Bengio 2013, *On the difficulty of training recurrent neural networks*, algorithm 1.

    Examples
    --------
    >>> clip({"b": np.array([3.0, 4.0])}, most=1.0)["b"]
    array([0.6, 0.8])
    """
    length = sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in grads.values()))
    return dict(grads) if length <= most else {name: g * (most / length) for name, g in grads.items()}
