"""What training makes small: the loss of a network's outputs on targets, its gradients, and the checks of targets."""

from __future__ import annotations

from typing import Any

import numpy as np

from .data import check_labels
from .errors import DataError, MinpruneError, ShapeError
from .layers import Softmax, Training
from .nn import Graph
from .ops import LOSSES, Array, Mean
from .tensor import Tape, apply, backward

EVALUATION_BATCH = 1024  # samples at a time where no gradients are needed; it changes memory, not results


def choose_loss(loss: str | None, y: Array) -> str:
    """Name the loss: the one asked for, or by the kind of targets (integers: cross_entropy, else mse).

    Raises
    ------
    MinpruneError
        When there is no loss of that name.

    Examples
    --------
    >>> choose_loss(None, np.array([0, 2])), choose_loss(None, np.array([0.5]))
    ('cross_entropy', 'mse')
    """
    if loss is None:
        return "cross_entropy" if y.dtype.kind in "iu" else "mse"
    if loss not in LOSSES:
        raise MinpruneError(f"unknown loss {loss!r}; expected one of {', '.join(LOSSES)}")
    return loss


def prepare_targets(y: Array, outputs: int, loss: str, dtype: Any = np.float32) -> Array:
    """Turn what a user gives as targets into what the loss op takes.

    Parameters
    ----------
    y : array
        For cross_entropy: class numbers (N,) or rows that sum to one (N, K). For the squared losses: numbers (N, K),
        or (N,) where the network has a single output.
    outputs : int
        K, how many outputs the network has.
    loss : {"cross_entropy", "mse", "half_squared_error"}
        The loss.
    dtype : numpy float dtype
        The network's.

    Returns
    -------
    array
        Class numbers (N,) int64, or rows (N, K) of the dtype.

    Raises
    ------
    DataError, DtypeError, ShapeError
        For labels out of range or of the wrong kind, see `minprune.data.check_labels`; and for class numbers or other
        shapes where a squared loss needs (N, K).

    Examples
    --------
    >>> prepare_targets(np.array([0.5, 2.0]), 1, "mse")
    array([[0.5],
           [2. ]], dtype=float32)
    """
    if loss == "cross_entropy":
        check_labels(y, outputs)
        return y.astype(np.int64 if y.ndim == 1 else dtype)
    if y.ndim == 1 and outputs == 1:
        y = y[:, None]
    if y.ndim == 1 and y.dtype.kind in "iu":
        raise DataError(
            f"y holds class numbers, and {loss} compares with {outputs} outputs per sample; "
            f"use loss='cross_entropy', or one-hot rows: np.eye({outputs})[y]"
        )
    if y.shape[1:] != (outputs,):
        raise ShapeError(f"{loss}: expected targets of shape (N, {outputs}), one per output; y has shape {y.shape}")
    return y.astype(dtype)


def take_samples(net: Graph, x: Any, y: Array, loss: str) -> tuple[Array, Array]:
    """Check samples against a network and a loss; give both as the network computes with them.

    Raises
    ------
    DataError, DtypeError, ShapeError
        When x does not fit the network, its output does not suit a loss, or y does not suit the loss.

    Examples
    --------
    >>> from minprune.layers import Dense
    >>> from minprune.nn import Sequential
    >>> x, t = take_samples(Sequential(Dense(2, 3)), np.eye(2), np.array([0, 2]), "cross_entropy")
    >>> x.dtype, t
    (dtype('float32'), array([0, 2]))
    """
    values = net.take(x)
    shape = net.value_shapes({name: value.shape[1:] for name, value in values.items()})[net.output]
    if len(shape) != 1:
        wanted = "expected (N, K); end with Flatten or GlobalAvgPool2d"
        raise ShapeError(f"{net.output}: the output is (N, {', '.join(map(str, shape))}), {wanted}")
    if loss == "cross_entropy" and isinstance(net.nodes[net.output].layer, Softmax):
        raise ShapeError(f"{net.output}: cross_entropy takes the scores before a softmax; leave the last layer out")
    return values[net.inputs[0]], prepare_targets(y, shape[0], loss, net.dtype)


def loss_and_gradients(
    net: Graph, x: Any, t: Array, loss: str, training: Training | None = None
) -> tuple[float, dict[str, Array], Array]:
    r"""Run a batch forward and back: the mean loss, its gradient by every parameter, and the output.

    $L = \frac{1}{N} \sum_n \ell(\mathrm{net}(x_n), t_n)$ and $\partial L / \partial \theta$.

    Parameters
    ----------
    net : Graph
        The network. It is not changed, except that batch-norm moves its running averages in training mode.
    x : array (N, …) or mapping of arrays
        The batch.
    t : array
        Targets, as `prepare_targets` makes them.
    loss : str
        The name of the loss.
    training : Training, optional
        Puts the layers into training mode: dropout at work, batch-norm with the batch's own statistics.

    Returns
    -------
    loss : float
    gradients : dict
        By parameter, each in its shape.
    output : array (N, K)

    Examples
    --------
    >>> from minprune.layers import Dense
    >>> from minprune.nn import Sequential
    >>> net = Sequential(Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"] = [[1.0, 2.0]]
    >>> loss_and_gradients(net, np.array([[1.0, 1.0]]), np.array([[2.0]]), "half_squared_error")[:2]
    (0.5, {'dense1.W': array([[1., 1.]]), 'dense1.b': array([1.])})
    """
    tape = Tape()
    params = {name: tape.watch(value) for name, value in net.params.items()}
    output = net.run(net.take(x), {**params, **net.buffers}, training)[net.output]
    mean = apply(Mean, apply(LOSSES[loss], output, t))
    grads = backward(mean, wrt=params.values())
    return float(mean.value), {name: grads[tensor] for name, tensor in params.items()}, output.value


def loss_and_accuracy(net: Graph, x: Array, t: Array, loss: str) -> tuple[float, float | None]:
    """Judge a network on samples, in evaluation mode: the mean loss and, for cross_entropy, the share it gets right.

    Parameters
    ----------
    net, x, t, loss
        As for `loss_and_gradients`.

    Returns
    -------
    loss : float
    accuracy : float or None
        From 0 to 1; the first of equally large outputs counts as the answer.

    Examples
    --------
    >>> from minprune.layers import Identity
    >>> from minprune.nn import Sequential
    >>> loss, accuracy = loss_and_accuracy(Sequential(Identity()), np.eye(2), np.array([0, 0]), "cross_entropy")
    >>> round(loss, 4), accuracy
    (0.8133, 0.5)
    """
    total, right = 0.0, 0
    for start in range(0, len(x), EVALUATION_BATCH):
        batch = slice(start, start + EVALUATION_BATCH)
        output = net(x[batch])
        total += float(apply(LOSSES[loss], output, t[batch]).sum(dtype=np.float64))
        right += correct(output, t[batch]) if loss == "cross_entropy" else 0
    return total / len(x), right / len(x) if loss == "cross_entropy" else None


def correct(output: Array, t: Array) -> int:
    """Count the samples whose largest output is at the target class.

    Examples
    --------
    >>> correct(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    1
    """
    labels = t if t.ndim == 1 else t.argmax(axis=1)
    return int(np.count_nonzero(output.argmax(axis=1) == labels))
