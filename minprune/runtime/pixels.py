"""The part of a network that works on images, one sample after the other: the channels of a pixel side by side.

The same parts as on tiles (`images`), and forwards only: what a program has for small batches. Every value has one
image, around which there is room for the zeros that the convolutions behind it want to see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch
from math import prod
from typing import Any

import numpy as np

from ..errors import StructureError
from ..kernels import pixels as kernels
from ..kernels.keeping import Compiled
from ..kernels.layout import aligned
from ..ops import Array
from ..ops.windows import Sizes
from .images import ImagePlan
from .passing import AnyLayer, Same
from .tile import Call, Part
from .windows import Filters, Largest, Means, Windows, lists


@dataclass
class Image:
    """A value of one sample.

    Attributes
    ----------
    pixels : array (H + 2 · margin, W + 2 · margin, pitch)
        With zeros around it.
    channels : int
        How many of them there are.
    margin : tuple of int
        Rows above and below, columns before and behind.
    """

    pixels: Array
    channels: int
    margin: Sizes

    @property
    def inside(self) -> Array:
        """The image alone, (H, W, pitch)."""
        down, along = self.margin
        rows, columns = self.pixels.shape[:2]
        return self.pixels[down : rows - down, along : columns - along]

    @property
    def as_network(self) -> Array:
        """Viewed as one sample of a network, (1, C, H, W)."""
        return self.inside[None, :, :, : self.channels].transpose(0, 3, 1, 2)


Images = Mapping[str, Image]


@singledispatch
def bind(part: Part, images: Images, held: dict[str, Any]) -> Call:
    """A call that computes a part's target; what is made of its weights is taken from `held`, or put there."""
    raise StructureError(f"{part.name}: {type(part).__name__} does not run on pixels")


@bind.register
def _(part: Filters, images: Images, held: dict[str, Any]) -> Call:
    X, Z, w = images[part.sources[0]], images[part.target], part.windows
    if depthwise(part):
        if part.name not in held:
            held[part.name] = channelwise(part.W, part.bias, Z)
        return by_windows(kernels.depthwise_pixels, X, Z, w, held[part.name], part.relu)
    if part.name not in held:
        held[part.name] = panels_of(part)
    kernel, places, shape = kernels.correlate_pixels[Z.pixels.dtype], met(w, X, Z, part.width), grouped(part)
    panels, bias = held[part.name]
    flat, out, relu = X.pixels.reshape(-1), Z.pixels.reshape(-1), part.relu
    return lambda: kernel(flat, shape, *places, panels, bias, relu, out)


@bind.register
def _(part: Means, images: Images, held: dict[str, Any]) -> Call:
    X, Z, entries = images[part.sources[0]], images[part.target], prod(part.windows.kernel)
    if part.name not in held:
        W = np.full((Z.channels, 1, *part.windows.kernel), 1 / entries, Z.pixels.dtype)
        held[part.name] = channelwise(W, np.zeros(0), Z)
    return by_windows(kernels.depthwise_pixels, X, Z, part.windows, held[part.name], False)


@bind.register
def _(part: Largest, images: Images, held: dict[str, Any]) -> Call:
    Z = images[part.target]
    nothing = np.zeros((0, 0), Z.pixels.dtype), np.zeros(0, Z.pixels.dtype)
    return by_windows(kernels.largest_pixels, images[part.sources[0]], Z, part.windows, nothing, False)


@bind.register
def _(part: Same, images: Images, held: dict[str, Any]) -> Call:
    X, Z = (images[value].inside[..., : images[part.target].channels] for value in (part.sources[0], part.target))
    return lambda: np.maximum(X, 0, out=Z)


@bind.register
def _(part: AnyLayer, images: Images, held: dict[str, Any]) -> Call:
    return part.on([images[source].as_network for source in part.sources], images[part.target].as_network)


def depthwise(part: Filters) -> bool:
    """Whether every channel has one filter of its own."""
    return part.width == part.filters == 1 and part.groups > 1


def grouped(part: Filters) -> tuple[int, int, int]:
    """Groups, and filters and channels of each."""
    return part.groups, part.filters, part.width


def panels_of(part: Filters) -> tuple[Array, Array]:
    """Weights and bias as `correlate_pixels` reads them."""
    groups, filters, channels = grouped(part)
    W = part.W.reshape(groups, filters, channels, *part.windows.kernel)
    room = kernels.pitch(filters, W.dtype)
    panels = aligned((groups * room * channels * prod(part.windows.kernel),), W.dtype)
    kernels.pack_panels[W.dtype](W, panels)
    bias = aligned((groups * filters + room,), W.dtype)
    bias[...] = 0
    bias[: len(part.bias)] = part.bias
    return panels, bias


def met(w: Windows, X: Image, Z: Image, channels: int) -> tuple[Array, Array, Array]:
    """Where in X every place begins, how far on every entry of a filter is, and where in Z the places lie."""
    _, wide, pitch = X.pixels.shape
    (top, left), (rows, columns) = (m - p for m, p in zip(X.margin, w.padding, strict=True)), w.out
    y, x = np.arange(rows)[:, None], np.arange(columns)
    places = ((y * w.stride[0] + top) * wide + x * w.stride[1] + left) * pitch
    (down, along), c = (np.arange(k) * d for k, d in zip(w.kernel, w.dilation, strict=True)), np.arange(channels)
    entries = (down[:, None, None] * wide + along[:, None]) * pitch + c
    targets = ((y + Z.margin[0]) * Z.pixels.shape[1] + x + Z.margin[1]) * Z.pixels.shape[2]
    return places.ravel(), entries.ravel(), targets.ravel()


def channelwise(W: Array, b: Array, Z: Image) -> tuple[Array, Array]:
    """One filter (C, 1, …) and one bias for every channel, as `depthwise_pixels` reads them: (entries, pitch)."""
    pitch = Z.pixels.shape[2]
    weights, bias = np.zeros((prod(W.shape[2:]), pitch), W.dtype), np.zeros(pitch, W.dtype)
    weights[:, : len(W)] = W.reshape(len(W), -1).T
    bias[: len(b)] = b
    return weights, bias


def by_windows(compiled: Compiled, X: Image, Z: Image, w: Windows, weights: tuple[Array, Array], relu: bool) -> Call:
    """A call of a kernel that looks at every channel by itself."""
    kernel, room, (W, bias) = compiled[Z.pixels.dtype], lists(prod(w.kernel)), weights
    sees = *w.forward, kernels.runs(w.forward[1])
    return lambda: kernel(X.pixels, X.margin, sees, room, W, bias, relu, Z.pixels, Z.margin)


class PixelPlan:
    """A plan's parts on pixels.

    Attributes
    ----------
    parts, ends, inputs, inside
        As those of the plan on tiles that it was made from.
    """

    form, samples = "pixels", 1
    saved, reasons = 0, ()  # all weights are there, and there is one kernel

    def __init__(self, plan: ImagePlan, held: dict[str, Any] | None = None) -> None:
        self.plan = plan
        self.parts, self.ends, self.inputs, self.inside = plan.parts, plan.ends, plan.inputs, plan.inside
        self._held: dict[str, Any] = {} if held is None else held  # weights, which all copies share
        images = {value: self._image(value) for value in (*plan.begins, *(part.target for part in self.parts))}
        self._begins = [(name, images[name], self._size(name)) for name in plan.begins]
        self._ends = [(end, images[end], self._size(end)) for end in self.ends]
        self._calls = [bind(part, images, self._held) for part in self.parts]

    def another(self) -> PixelPlan:
        """The same plan with buffers of its own, so that another thread can run it; the weights are shared."""
        return PixelPlan(self.plan, self._held)

    def forward(self, values: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        """From the inputs (N, …) to the ends (N, …), which are contiguous."""
        entered = self.plan.entered(values)
        count, dtype = len(entered[self._begins[0][0]]), self.plan.net.dtype
        given = [(image, entered[name].reshape(count, *size)) for name, image, size in self._begins]
        wanted = [(image, out[end].reshape(count, *size)) for end, image, size in self._ends]
        turn_in, turn_out = kernels.to_pixels[dtype], kernels.from_pixels[dtype]
        for n in range(count):
            for image, x in given:
                turn_in(x[n], *image.margin, image.pixels)
            for call in self._calls:
                call()
            for image, x in wanted:
                turn_out(image.pixels, *image.margin, x[n])

    def _image(self, value: str) -> Image:
        """Room for a value, in vectors of channels; an input that only convolutions read has room for its own."""
        channels, rows, columns = self._size(value)
        readers = [part for part in self.parts if value in part.sources]
        filters = [part for part in readers if isinstance(part, Filters)]
        down, along = (max([0, *(part.windows.padding[axis] for part in filters)]) for axis in (0, 1))
        tight = value in self.plan.begins and all(isinstance(part, Filters) and not depthwise(part) for part in readers)
        deep = channels if tight else kernels.pitch(channels, self.plan.net.dtype)
        pixels = aligned((rows + 2 * down, columns + 2 * along, deep), self.plan.net.dtype)
        pixels[...] = 0
        return Image(pixels, channels, (down, along))

    def _size(self, value: str) -> tuple[int, int, int]:
        """Channels, rows and columns; a value of fewer axes has 1 of what it lacks."""
        shape = (*self.plan.shapes[value][:1], *(1, 1), *self.plan.shapes[value][1:])
        return shape[0], shape[-2], shape[-1]

    def __repr__(self) -> str:
        return f"<PixelPlan of {len(self.parts)} layers, one sample at a time>"
