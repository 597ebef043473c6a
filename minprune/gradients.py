"""The loss of a batch and its gradients: what every step of training begins with. By a plan, where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .backends import backend
from .datasets.samples import rows
from .distillation import Distillation
from .errors import StructureError
from .layers import Training
from .nn import Graph
from .ops import LOSSES, Array, Mean
from .tensor import Tape, Tensor, apply, backward

if TYPE_CHECKING:
    from .runtime.plans import NetPlan


def loss_and_gradients(
    net: Graph,
    x: Any,
    t: Array,
    loss: str,
    training: Training | None = None,
    soft: tuple[Distillation, Array] | None = None,
    plan: NetPlan | None = None,
) -> tuple[float, dict[str, Array]]:
    """The mean loss of a batch, and its gradient by every parameter.

    Parameters
    ----------
    net : Graph
        Is not changed, but for batch-norm's running statistics when training.
    x : array (N, …), or mapping of arrays
        The batch.
    t : array
        Targets in the form that the loss takes; see `minprune.targets.prepare_targets`.
    loss : str
        A key of `minprune.ops.LOSSES`.
    training : Training, optional
        With it dropout and batch-norm are in training mode; without it in evaluation mode.
    soft : (Distillation, array (N, K)), optional
        What a teacher answers to these samples, and how much that counts beside the targets.
    plan : NetPlan, optional
        Computes the layers that it knows, forwards and backwards; the tape has the others.

    Returns
    -------
    loss : float
    gradients : dict
        By parameter name; those of planned layers are overwritten by the next call with the same plan.

    Examples
    --------
    >>> import numpy as np
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 1), dtype=np.float64)
    >>> net.params["dense1.W"] = [[2.0]]
    >>> loss, grads = loss_and_gradients(net, np.array([[3.0]]), np.array([[5.0]]), "half_squared_error")
    >>> loss, grads["dense1.W"]
    (0.5, array([[3.]]))
    """
    tape, values, planned = Tape(), net.take(x), set() if plan is None else plan.inside
    ends: dict[str, Tensor] = {}
    if plan is not None:
        if training is None and plan.trains:
            raise StructureError("this plan is for training: batch-norm or dropout are among its layers")
        plan.load(net.arrays)
        ends = {end: tape.watch(rows) for end, rows in plan.forward(values, training).items()}
    params = {name: tape.watch(array) for name, array in net.params.items() if name.rpartition(".")[0] not in planned}
    y = net.run({**values, **ends}, {**net.buffers, **params}, training, without=planned)[net.output]
    losses = apply(LOSSES[loss], y, t) if soft is None else soft[0].losses(y, t, soft[1], loss)
    L = apply(Mean, losses)
    bars = backward(L, wrt=[*params.values(), *ends.values()])
    grads = {name: bars[param] for name, param in params.items()}
    if plan is not None:
        grads |= plan.backward({end: bars[tensor] for end, tensor in ends.items()})
    return float(L.value), {name: grads[name] for name in net.params}


def plan_for(net: Graph, x: Any, batch_size: int) -> NetPlan | str:
    """Plan a training on such x; or why there is no plan, and the tape has all layers.

    Raises
    ------
    ShapeError
        When x does not fit the network.
    """
    if backend() != "numba":
        return f"backend {backend()}"
    from .runtime.planning import plan_network

    first = net.take(rows(x, slice(1)))
    shapes = net.value_shapes({name: value.shape[1:] for name, value in first.items()})
    plan = plan_network(net, shapes, "weights")
    if not isinstance(plan, str) and plan.images is not None and 2 * batch_size < plan.images.samples:
        return f"batches of {batch_size} fill less than half a tile of {plan.images.samples}"
    return plan
