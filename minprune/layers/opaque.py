"""A step that is executed as it stands in an ONNX file, and that nothing is pruned through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import prod
from typing import Any

import numpy as np

from ..errors import DtypeError, StructureError
from ..ops import Array, Call, Op, Term, rule
from ..tensor import apply
from .base import Layer, Shape, Training, expect

HOW = ("together", "each", "bare")


@dataclass(frozen=True)
class Opaque(Layer):
    """Nodes of an ONNX file, kept as they are; $y_n = f(x_n)$ with f whatever they compute of a sample.

    What it reads stays whole: no neuron that it sees is ever removed. It has no gradient, and what it computes is not
    counted among multiply-accumulates, nor its constants among parameters. It is made by importing a file
    (`minprune.load`), which tries it out first; see `minprune.formats.onnx_files.opaque`.

    Parameters
    ----------
    op_type, node : str
        The kind of the node that makes the value, and what it is called in errors.
    shapes : tuple of shapes
        What it reads of a sample, as the file sees it.
    out : shape
        What it makes of a sample, as the file sees it; a single number without axes is a value of shape (1,).
    how : {"together", "each", "bare"}
        A batch at once; one sample at a time, in a batch of one; one sample at a time, without a batch axis.
    model : str
        The nodes and their constants: an ONNX model in base64.

    Raises
    ------
    StructureError
        For sizes below 1, nothing to read, or another `how`.

    Examples
    --------
    >>> from onnx import helper
    >>> from minprune.formats.onnx_files.opaque.executing import packed
    >>> ends = [[helper.make_tensor_value_info(name, 1, ("N", 2))] for name in "xy"]
    >>> graph = helper.make_graph([helper.make_node("Sign", ["x"], ["y"])], "g", *ends)
    >>> layer = Opaque("Sign", "y", ((2,),), (2,), "together", packed(helper.make_model(graph)))
    >>> layer.compute(np.array([[-3.0, 0.5]]))
    array([[-1.,  1.]])
    """

    op_type: str
    node: str
    shapes: tuple[Shape, ...] = field(repr=False)
    out: Shape = field(repr=False)
    how: str = field(repr=False)
    model: str = field(repr=False)
    kind = "opaque"
    flow = "mixed"
    many_inputs = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", tuple(tuple(shape) for shape in self.shapes))
        object.__setattr__(self, "out", tuple(self.out))
        sizes = [*self.out, *(size for shape in self.shapes for size in shape)]
        if self.how not in HOW or not self.shapes or min(sizes, default=1) < 1:
            raise StructureError(f"{self.told}: shapes {self.shapes} to {self.out}, {self.how!r}: expected sizes ≥ 1")

    @property
    def told(self) -> str:
        """How it is called in an error: its op and name in the file."""
        return f"{self.op_type} {self.node[:100]!r}"

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return apply(op_of(len(xs)), *xs, layer=self)

    def out_shape(self, *shapes: Shape) -> Shape:
        fits = len(shapes) == len(self.shapes)
        fits = fits and all(prod(a) == prod(b) for a, b in zip(shapes, self.shapes, strict=True))
        expect(fits, ", ".join(f"({', '.join(map(str, ('N', *shape)))})" for shape in self.shapes), *shapes)
        return self.out or (1,)

    def compute(self, *xs: Array) -> Array:
        """The values of a batch.

        Raises
        ------
        DtypeError
            For anything but floats: the file's ops have no other versions.
        DataError
            Where the ops cannot compute these inputs.
        """
        from ..formats.onnx_files.opaque.executing import execute

        dtype = xs[0].dtype
        if dtype.kind != "f":
            raise DtypeError(f"{self.told} is kept as it is in the file and computes with floats, got {dtype}")
        count, batch = len(xs[0]), () if self.how == "bare" else (1,)
        if self.how == "together":
            y = execute(self, [x.reshape(count, *shape) for x, shape in zip(xs, self.shapes, strict=True)])
        else:
            each = [
                execute(self, [x[n].reshape(batch + shape) for x, shape in zip(xs, self.shapes, strict=True)])
                for n in range(count)
            ]
            y = np.stack(each) if each else np.zeros((0, *self.out))
        return np.ascontiguousarray(y.reshape(count, *(self.out or (1,))), dtype=dtype)


@cache
def op_of(count: int) -> type[Op]:
    """The op of an opaque node that reads so many values: it goes forward only."""
    args = tuple(f"x{place}" for place in range(1, count + 1))

    def forward(c: Call) -> Array:
        computed: Array = c.layer.compute(*(vars(c)[arg] for arg in args))
        return computed

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        return [Term(r"f(x)", (c.out[index],))]

    @rule(r"\text{none}")
    def grad(c: Call, g: Array) -> Array:
        raise StructureError(
            f"{c.layer.told} is kept as it is in the file and has no gradient, so none reaches what is before it: "
            "score there by magnitude_l2, activation_rms or leave_one_out, or name the groups behind it alone; "
            "nothing before it can be trained"
        )

    said = {
        "name": "opaque",
        "args": args,
        "options": {"layer": None},
        "formula": r"y = f(x)",
        "shapes": "x (N, …) -> y (N, …)",
        "exact": False,
        "forward": forward,
        "terms": terms,
    }
    return type("OpaqueOp", (Op,), said | {f"grad_{arg}": grad for arg in args})
