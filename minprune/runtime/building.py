"""From a network to steps: which form every value takes, and which kernel every dense layer.

Two programs are made, one on rows and one on strips; in each, every dense layer gets the kernel that was the fastest
when they were tried on this machine; and of the two programs the faster one is taken.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..errors import StructureError
from ..kernels.columns import by_columns
from ..kernels.gemm import pack_all, panels_for
from ..kernels.rows import by_eights
from ..kernels.strips import LOW, PADDED, TALL, Parts, aligned, aligned_copy, padded, strip_buffer, tiled
from ..layers import Dense, Flatten, ReLU
from ..nn import Graph
from ..ops import Array
from ..wiring import Node
from . import steps as kinds
from .images import ImagePlan
from .kept_weights import seconds
from .pixels import PixelPlan
from .steps import Affine, Step, Workspace

FULL = 0.8  # of the weights kept: above, no sparse kernel is tried
BLOCKS = (1, 4, 16)  # rows of a block
SINGLE = 8  # samples that are worth going through one by one, if their zeros save something


class Builder:
    """Adds steps one after the other, and keeps account of the form in which every value is there.

    A buffer is named after its value and its form: "dense1:rows", "dense1:strips".
    """

    def __init__(self, net: Graph, form: str, batch_size: int, images: ImagePlan | PixelPlan | None = None) -> None:
        if net.input_shapes is None:
            raise StructureError("compile: the network does not know the shape of its inputs; give it input_shape=…")
        self.net, self.form, self.batch_size, self.images = net, form, batch_size, images
        self.shapes = net.value_shapes(net.input_shapes)
        self.there = {f"{name}:rows" for name in net.inputs}
        self.steps: list[Step] = []
        self.readers = {name: [n for n, node in net.nodes.items() if name in node.inputs] for name in self.shapes}

    def build(self) -> list[Step]:
        """All steps, the output in rows at the end."""
        fused: set[str] = set() if self.images is None else self._together(self.images)
        for name, node in self.net.nodes.items():
            if name in fused:
                continue
            if isinstance(node.layer, Dense) and len(self.shapes[node.inputs[0]]) == 1:
                relu = self._relu_behind(name)
                fused |= {relu} if relu else set()
                self._dense(name, node, relu)
            elif self._channelwise(name, node):
                self._on_strips(name, node)
            else:
                self._on_rows(name, node)
        self._need(self.net.output, "rows")
        return self.steps

    def _together(self, plan: ImagePlan | PixelPlan) -> set[str]:
        """All layers that work on images as one step, with a Flatten that alone reads its result; returns all these."""
        (end,) = plan.ends
        done = {name for name in plan.inside if name in self.net.nodes}
        target = end
        if end != self.net.output and len(self.readers[end]) == 1:
            (reader,) = self.readers[end]
            if isinstance(self.net.nodes[reader].layer, Flatten):
                target = reader
        macs = sum(self.net.nodes[name].layer.macs(self.shapes[name]) for name in done)
        macs -= plan.saved
        nbytes = sum(array.nbytes for name, array in self.net.arrays.items() if name.rpartition(".")[0] in done)
        sources = tuple(f"{name}:rows" for name in plan.inputs)
        name = f"{plan.parts[0].name} … {target}"
        step = kinds.Images(name, sources, f"{target}:rows", plan.form, "", macs, nbytes, plan)
        how = f"{len(plan.parts)} layers, {plan.samples} sample(s) at a time through all of them"
        step.why = "; ".join([how, *plan.reasons])
        self.add(step)
        return done | {target}

    def _relu_behind(self, name: str) -> str | None:
        """The ReLU that alone reads a value."""
        if name == self.net.output or len(self.readers[name]) != 1:
            return None
        (reader,) = self.readers[name]
        return reader if isinstance(self.net.nodes[reader].layer, ReLU) else None

    def _behind_relu(self, value: str) -> bool:
        """Whether a value is what a ReLU hands on."""
        node = self.net.nodes.get(value)
        if node is not None and isinstance(node.layer, Flatten):
            node = self.net.nodes.get(node.inputs[0])
        return node is not None and isinstance(node.layer, ReLU)

    def _channelwise(self, name: str, node: Node) -> bool:
        """Whether a layer can run on strips: all that it reads is there so, and no channel is moved."""
        shape = self.shapes[name]
        same = node.layer.flow in ("same", "add") and len(shape) == 1
        sources = [f"{source}:strips" in self.there and self.shapes[source] == shape for source in node.inputs]
        return same and all(sources)

    def _need(self, value: str, form: str) -> str:
        """The buffer of a value in a form; a conversion is added where it is not there so."""
        buffer = f"{value}:{form}"
        if buffer not in self.there:
            kind, other = (kinds.ToStrips, "rows") if form == "strips" else (kinds.FromStrips, "strips")
            self.add(kind(value, (f"{value}:{other}",), buffer, kernel=f"to {form}"))
        return buffer

    def add(self, step: Step) -> None:
        """Take a step into the program."""
        self.steps.append(step)
        self.there.add(step.target)

    def _own(self, name: str) -> dict[str, Array]:
        return {short: self.net.arrays[f"{name}.{short}"] for short in self.net.array_names[name]}

    def _on_rows(self, name: str, node: Node) -> None:
        sources = tuple(self._need(source, "rows") for source in node.inputs)
        macs = node.layer.macs(self.shapes[name])
        own = self._own(name)
        nbytes = sum(array.nbytes for array in own.values())
        step = kinds.LayerRows(name, sources, f"{name}:rows", "as the network", "", macs, nbytes)
        step.layer, step.own = node.layer, own
        step.why = "by the layer itself: kernels of the numba backend where they take it, and NumPy"
        self.add(step)

    def _on_strips(self, name: str, node: Node) -> None:
        sources = tuple(f"{source}:strips" for source in node.inputs)
        own = self._own(name)
        step = kinds.LayerStrips(name, sources, f"{name}:strips", "NumPy on strips")
        step.layer, step.own, step.channels = node.layer, own, tuple(self.shapes[s][0] for s in node.inputs)
        self.add(step)

    def _dense(self, name: str, node: Node, relu: str | None) -> None:
        """Try every kernel on numbers like those that it will see, and take the fastest."""
        source = self._need(node.inputs[0], self.form)
        target = f"{relu or name}:{self.form}"
        tried = self._candidates(name, (source,), target, relu is not None)
        inputs, outputs = self.shapes[node.inputs[0]][0], self.shapes[name][0]
        space = Workspace(
            {
                source: buffer((inputs,), self.form, self.batch_size, self.net.dtype),
                target: buffer((outputs,), self.form, self.batch_size, self.net.dtype),
            },
            self.batch_size,
        )
        rng, given = np.random.default_rng(0), space.arrays[source]
        given[...] = rng.random(given.shape)
        if self._behind_relu(node.inputs[0]):
            given[rng.random(given.shape) < 0.5] = 0  # as many as there are where nothing is known
        for step in tried:
            step.seconds = shortest(step, space)
        # No trial knows how many of an input's numbers are 0, and by columns they can only save.
        best = min(tried, key=lambda step: step.seconds * (0.9 if isinstance(step, kinds.DenseColumns) else 1))
        best.why = ", ".join(f"{step.kernel} {step.seconds * 1e6:,.1f} µs" for step in tried)
        best.name = f"{name} + {relu}" if relu else name
        self.add(best)

    def _candidates(self, name: str, sources: tuple[str, ...], target: str, relu: bool) -> list[Affine]:
        W = aligned_copy(self.net.arrays[f"{name}.W"])
        kept = self.net.masks.get(f"{name}.W", W != 0)
        bias = aligned((padded(len(W)) + PADDED,), W.dtype)
        bias[: len(W)] = self.net.arrays.get(f"{name}.b", 0)
        common: dict[str, Any] = {"bias": bias, "relu": relu, "macs": W.size, "nbytes": W.nbytes}
        share = kept.sum() / max(1, W.size)
        few = share < FULL and W.shape[1] <= np.iinfo(np.uint16).max
        if self.form == "rows":
            found: list[Affine] = [
                kinds.DenseRows(name, sources, target, "dense, row by row", W=by_eights(W, bias[: len(W)]), **common)
            ]
            if self.batch_size <= SINGLE and W.shape[1] <= np.iinfo(np.uint16).max:
                stored = by_columns(W)
                found.append(kinds.DenseColumns(name, sources, target, "dense, by columns", W=stored, **common))
            if self.batch_size > 1:
                pack_all(W.T, panels := panels_for(W.T))
                found.append(kinds.ProductRows(name, sources, target, "dense, tiles", W=W, panels=panels, **common))
            if few:
                matrix = kinds.csr(W, kept)
                own = {"macs": matrix[0].size, "nbytes": sum(array.nbytes for array in matrix)}
                found.append(kinds.SparseRows(name, sources, target, "CSR", matrix=matrix, **common | own))
            return found
        found = [
            kinds.DenseStrips(name, sources, target, f"dense, {rows} at a time", tiles=tiled(W, rows), **common)
            for rows in (LOW, TALL)
        ]
        for rows in BLOCKS if few else ():
            parts = Parts.of(W, kept, rows)
            if parts.values.size <= W.size:
                nbytes = parts.values.nbytes + parts.columns.nbytes + parts.offsets.nbytes
                own = {"macs": parts.values.size, "nbytes": nbytes}
                kernel = "CSR" if rows == 1 else f"{rows}×1 blocks"
                found.append(kinds.SparseStrips(name, sources, target, kernel, parts=parts, **common | own))
        return found


def buffer(shape: tuple[int, ...], form: str, count: int, dtype: Any) -> Array:
    """Room for a value of so many samples, in rows or in strips."""
    if form == "strips":
        return strip_buffer(count, prod(shape), dtype)
    return aligned((count, *shape), dtype)


def shortest(step: Step, space: Workspace) -> float:
    """The shortest of a few calls' times, in seconds."""
    return seconds(step.bind(space))
