"""Optimisers: how gradients become changes of the parameters; and the memory they keep between steps.

An optimiser is a small immutable description. What it remembers (momentum, running averages) stands apart, in an
`OptimizerState`: so it can be handed from one training to the next, and cut down together with a pruned network.

Weight decay acts on all parameters, biases and batch-norm included, as the formulas of the papers say; nothing is
exempted behind the reader's back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, sqrt
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import MinpruneError, StructureError
from .ops import Array

IntArray = NDArray[np.integer[Any]]


@dataclass
class OptimizerState:
    """What an optimiser remembers between steps.

    Parameters
    ----------
    step : int
        How many steps were made.
    slots : dict
        For each parameter its memory by name: ``slots["dense1.W"]["m"]`` has the shape of ``dense1.W``.

    Examples
    --------
    >>> state, params = OptimizerState(), {"b": np.array([1.0, 2.0])}
    >>> SGD(0.5, momentum=0.9).update(params, {"b": np.array([2.0, 4.0])}, state, lr=0.5)
    >>> state.step, state.slots["b"]["velocity"]
    (1, array([2., 4.]))
    """

    step: int = 0
    slots: dict[str, dict[str, Array]] = field(default_factory=dict)

    def memory(self, name: str, param: Array, *slots: str) -> list[Array]:
        """Give the slots of one parameter; in the first step they are made, full of zeros.

        Raises
        ------
        StructureError
            When they are missing later, or have another shape than the parameter.
        """
        if self.step <= 1 and name not in self.slots:
            self.slots[name] = {slot: np.zeros_like(param) for slot in slots}
        held = self.slots.get(name, {})
        for slot in slots:
            if slot not in held:
                raise StructureError(f"{name}: the optimiser's state has no {slot!r}; it belongs to another optimiser")
            if held[slot].shape != param.shape:
                raise StructureError(
                    f"{name}: the optimiser's {slot!r} has shape {held[slot].shape}, expected {param.shape}; "
                    "cut it down with state.sliced(keep)"
                )
        return [held[slot] for slot in slots]

    def sliced(self, keep: Mapping[str, Mapping[int, IntArray | Sequence[int]]]) -> OptimizerState:
        """Cut the memory down to the neurons that stay.

        Parameters
        ----------
        keep : mapping
            ``{parameter: {axis: indices that stay}}``. Parameters that are not named keep all of their memory.

        Returns
        -------
        OptimizerState
            A new one, with copies.

        Examples
        --------
        >>> state = OptimizerState(1, {"W": {"m": np.arange(6).reshape(3, 2)}})
        >>> state.sliced({"W": {0: [0, 2]}}).slots["W"]["m"]
        array([[0, 1],
               [4, 5]])
        """
        return OptimizerState(
            self.step,
            {
                name: {slot: _taken(array, keep.get(name, {})) for slot, array in held.items()}
                for name, held in self.slots.items()
            },
        )

    def copy(self) -> OptimizerState:
        """A state of its own with the same contents."""
        return self.sliced({})


def _taken(array: Array, keep: Mapping[int, IntArray | Sequence[int]]) -> Array:
    array = array.copy()
    for axis, indices in keep.items():
        array = array.take(indices, axis=axis)
    return array


class Optimizer(Protocol):
    """What `fit` needs: a learning rate, and an update of the parameters in place."""

    @property
    def lr(self) -> float:
        """The learning rate, before a schedule scales it."""

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array], state: OptimizerState, lr: float) -> None:
        """Change the parameters that `grads` names, and the state, in place."""


@dataclass(frozen=True)
class SGD:
    r"""Stochastic gradient descent, with momentum where it is asked for.

    $v \leftarrow \mu v + g,\; \theta \leftarrow \theta - \eta v$; with Nesterov's look ahead $\theta \leftarrow \theta
    - \eta (g + \mu v)$. Weight decay λ adds $\lambda \theta$ to g.

    Parameters
    ----------
    lr : float
        The learning rate η.
    momentum : float
        μ, at least 0 and below 1.
    nesterov : bool
        Whether to look ahead; needs momentum.
    weight_decay : float
        λ.

    Raises
    ------
    MinpruneError
        For settings outside of these ranges.

    Notes
    -----
    Sources: Rumelhart, Hinton and Williams 1986, equation 9 (momentum); Sutskever et al. 2013, *On the importance of
    initialization and momentum*, equations 3 and 4 (Nesterov), in the form of Bengio et al. 2013, equation 7. The
    learning rate stands outside of v, so that v keeps its meaning when a schedule changes η.

    Examples
    --------
    >>> params = {"b": np.array([1.0])}
    >>> SGD(lr=0.25).update(params, {"b": np.array([2.0])}, OptimizerState(), lr=0.25)
    >>> params["b"]
    array([0.5])
    """

    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        require(self, isfinite(self.lr) and self.lr > 0, "lr", "a number above 0")
        require(self, 0 <= self.momentum < 1, "momentum", "at least 0 and below 1")
        require(self, not self.nesterov or self.momentum > 0, "momentum", "above 0 with nesterov=True")
        require(self, 0 <= self.weight_decay < np.inf, "weight_decay", "a number of at least 0")

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array], state: OptimizerState, lr: float) -> None:
        """Make one step in place; `lr` is the learning rate of this step."""
        state.step += 1
        for name, g in grads.items():
            param = params[name]
            if self.weight_decay:
                g = g + self.weight_decay * param
            if self.momentum:
                (velocity,) = state.memory(name, param, "velocity")
                velocity *= self.momentum
                velocity += g
                g = g + self.momentum * velocity if self.nesterov else velocity
            param -= lr * g


@dataclass(frozen=True)
class Adam:
    r"""Gradient descent with a step of its own for every weight, from running averages of the gradient and its square.

    $m \leftarrow \beta_1 m + (1 - \beta_1) g,\; v \leftarrow \beta_2 v + (1 - \beta_2) g^2,\;
    \theta \leftarrow \theta - \eta\, \hat{m} / (\sqrt{\hat{v}} + \varepsilon)$ with $\hat{m} = m / (1 - \beta_1^t)$
    and $\hat{v} = v / (1 - \beta_2^t)$. Weight decay λ adds $\lambda \theta$ to g; `AdamW` keeps it apart.

    Parameters
    ----------
    lr : float
        The learning rate η: about the size of a step of every weight.
    betas : pair of float
        β₁ and β₂, each at least 0 and below 1.
    epsilon : float
        ε, above 0.
    weight_decay : float
        λ.

    Raises
    ------
    MinpruneError
        For settings outside of these ranges.

    Notes
    -----
    Source: Kingma and Ba 2015, *Adam: a method for stochastic optimization*, algorithm 1.

    Examples
    --------
    >>> params = {"b": np.array([1.0])}
    >>> Adam(lr=0.25).update(params, {"b": np.array([2.0])}, OptimizerState(), lr=0.25)
    >>> params["b"].round(6)
    array([0.75])
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        require(self, isfinite(self.lr) and self.lr > 0, "lr", "a number above 0")
        require(self, len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "betas", "two, from 0 to below 1")
        require(self, 0 < self.epsilon < np.inf, "epsilon", "a number above 0")
        require(self, 0 <= self.weight_decay < np.inf, "weight_decay", "a number of at least 0")

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array], state: OptimizerState, lr: float) -> None:
        """Make one step in place; `lr` is the learning rate of this step."""
        state.step += 1
        for name, g in grads.items():
            param = params[name]
            self._step(param, self._decayed(param, g, lr), state.memory(name, param, "m", "v"), state.step, lr)

    def _decayed(self, param: Array, g: Array, lr: float) -> Array:
        """Weight decay as part of the gradient (L2 regularisation)."""
        return g + self.weight_decay * param if self.weight_decay else g

    def _step(self, param: Array, g: Array, memory: list[Array], t: int, lr: float) -> None:
        (m, v), (beta1, beta2) = memory, self.betas
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        root = np.sqrt(v)
        root *= 1 / sqrt(1 - beta2**t)
        root += self.epsilon
        param -= (lr / (1 - beta1**t)) * m / root


@dataclass(frozen=True)
class AdamW(Adam):
    r"""`Adam` with weight decay apart from the gradient.

    $\theta \leftarrow (1 - \eta \lambda)\, \theta$, then Adam's step with the bare gradient.

    Parameters
    ----------
    lr, betas, epsilon
        As for `Adam`.
    weight_decay : float
        λ; it is scaled by the learning rate of the step.

    Raises
    ------
    MinpruneError
        As `Adam`.

    Notes
    -----
    Source: Loshchilov and Hutter 2019, *Decoupled weight decay regularization*, algorithm 2.

    Examples
    --------
    >>> params = {"b": np.array([1.0])}
    >>> AdamW(lr=0.25, weight_decay=1.0).update(params, {"b": np.array([0.0])}, OptimizerState(), lr=0.25)
    >>> params["b"]
    array([0.75])
    """

    weight_decay: float = 0.01

    def _decayed(self, param: Array, g: Array, lr: float) -> Array:
        """Weight decay beside the gradient: shrink the weights, leave g alone."""
        param *= 1 - lr * self.weight_decay
        return g


def clipped(grads: Mapping[str, Array], limit: float) -> dict[str, Array]:
    r"""Shorten gradients whose common length is above a limit; their direction stays.

    $g \leftarrow g \cdot \min(1, c / \lVert g \rVert)$, where the norm runs over all parameters together.

    Parameters
    ----------
    grads : mapping
        Gradients by parameter.
    limit : float
        c, above 0.

    Returns
    -------
    dict
        The gradients themselves where they are short enough, else scaled copies.

    Notes
    -----
    Source: Pascanu, Mikolov and Bengio 2013, *On the difficulty of training recurrent neural networks*, algorithm 1.

    Examples
    --------
    >>> clipped({"W": np.array([3.0]), "b": np.array([4.0])}, 1.0)
    {'W': array([0.6]), 'b': array([0.8])}
    """
    norm = sqrt(sum(float(np.vdot(g, g)) for g in grads.values()))
    return dict(grads) if norm <= limit else {name: g * (limit / norm) for name, g in grads.items()}


def require(spec: object, condition: bool, name: str, expected: str) -> None:
    """Refuse a setting that does not meet the condition, by its name."""
    if not condition:
        raise MinpruneError(f"{type(spec).__name__}: {name} is {getattr(spec, name)!r}, expected {expected}")
