"""A network on the device: answers, gradients and training steps, with explicit ends.

up      `inputs` and `targets`, when samples come; the weights, once
there   every value, every gradient, the optimiser's memory, the weights
down    `network`, and whatever somebody asks for with `to_host`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import DtypeError, ShapeError, StructureError
from ...layers import Dropout, Shape
from ...nn import Graph
from ...ops import Array
from ...targets import prepare_targets
from . import pointwise, steps
from .memory import Device, to_device, to_host
from .trail import Trail

Inputs = Mapping[str, Device]


class Program:
    """A network whose arrays lie on the device.

    Parameters
    ----------
    net : Graph
        Of float32 or float64. Its arrays are copied to the device, and it is not changed.

    Raises
    ------
    DtypeError
        For other kinds of numbers.

    Examples
    --------
    What crosses between the two memories is written down::

        program = Program(net)                                    # the weights go up
        x, t = program.inputs(samples.x), program.targets(samples.y, "cross_entropy")
        for _ in range(100):
            losses = program.step(x, t, "cross_entropy", mp.Adam(1e-3))
        print(to_host(losses).mean())                             # the losses come down
        net = program.network()                                   # the weights come down
    """

    def __init__(self, net: Graph) -> None:
        if net.dtype not in (np.float32, np.float64):
            raise DtypeError(f"the network holds {net.dtype}; only float32 and float64 go to the device")
        self.net = net
        self.arrays = {name: _up(array) for name, array in net.arrays.items()}
        self.memory = steps.Memory()
        self._kept = {name: to_device(kept.astype(net.dtype)) for name, kept in net.masks.items()}
        self._trails: dict[tuple[Shape, ...], Trail] = {}
        self._close_masks()

    def inputs(self, *xs: Any) -> dict[str, Device]:
        """Check samples as the network does, and copy them to the device: one array by the name of each input."""
        return {name: to_device(x) for name, x in self.net.take(*xs).items()}

    def targets(self, y: Any, loss: str) -> Device:
        """Check targets as the loss does, and copy them to the device."""
        if self.net.input_shapes is None:
            raise ShapeError("the network does not tell the shape of a sample; make it with input_shape=")
        output = self.net.value_shapes(self.net.input_shapes)[self.net.output]
        t = prepare_targets(y, (len(np.asarray(y)), *output), loss, self.net.dtype)
        return _up(t)

    def network(self) -> Graph:
        """The network with the weights that are on the device now: they come down."""
        kinds = {name: array.dtype for name, array in self.net.arrays.items()}
        return self.net.with_arrays({name: to_host(array).astype(kinds[name]) for name, array in self.arrays.items()})

    def __call__(self, x: Inputs) -> Device:
        """Compute the output in evaluation mode: inputs on the device -> (N, …), on the device."""
        return self.trail(x).forward(self.arrays | dict(x))

    def gradients(self, x: Inputs, t: Device, loss: str) -> tuple[Device, dict[str, Device]]:
        """The losses of the samples (N,), and the gradient of their mean by every parameter; all on the device."""
        trail = self.trail(x)
        run = trail.run(self.arrays | dict(x))
        losses = run.losses(t, loss)
        lines = {name: trail.lines[name] for name in self.net.params}
        bars = run.back(losses, 1 / max(1, losses.out.size), lines.values())
        return losses.out, {name: bars[line] for name, line in lines.items()}

    def step(self, x: Inputs, t: Device, loss: str, optimizer: Any, lr: float | None = None) -> Device:
        """Change the weights once, as `minprune.fit` does for a batch; the losses before it (N,), on the device.

        Raises
        ------
        StructureError
            When the network has batch-norm or dropout, which are not trained here.
        DataError
            For an optimiser that is not SGD, Adam or AdamW.
        """
        for name, node in self.net.nodes.items():
            if node.layer.kind == "batchnorm" or (isinstance(node.layer, Dropout) and node.layer.p):
                raise StructureError(f"{name} works differently in training, which the device cannot do; use mp.fit")
        losses, grads = self.gradients(x, t, loss)
        for name, kept in self._kept.items():
            grads[name] = pointwise.pointwise(pointwise.times_loop, grads[name], kept)
        params = {name: self.arrays[name] for name in self.net.params}
        steps.update(optimizer, params, grads, self.memory, optimizer.lr if lr is None else lr)
        self._close_masks()
        return losses

    def trail(self, x: Inputs) -> Trail:
        """The network's tape for samples of these shapes."""
        shapes = tuple(tuple(x[name].shape[1:]) for name in self.net.inputs)
        if shapes not in self._trails:
            self._trails[shapes] = Trail(self.net, dict(zip(self.net.inputs, shapes, strict=True)))
        return self._trails[shapes]

    def _close_masks(self) -> None:
        """Set the weights that are not kept to 0."""
        for name, kept in self._kept.items():
            self.arrays[name] = pointwise.pointwise(pointwise.times_loop, self.arrays[name], kept)


def _up(array: Array) -> Device:
    """Copy to the device; indices and labels become int64, which is what kernels take."""
    return to_device(array.astype(np.int64) if array.dtype.kind in "iu" else array)
