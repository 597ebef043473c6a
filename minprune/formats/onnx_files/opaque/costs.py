"""What running a node costs, told from sizes alone: about as many steps as numbers pass through an arithmetic unit."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from .allowed import RECURRENT
from .settings import Settings

Sizes = list[tuple[int, ...]]
LONGEST_WALK = 1024  # steps of a recurrent node, places of a kernel: they are taken in Python
STEP = 5_000  # one of them, in numbers
FUSED = 4  # multiply-adds in the time of one other step
# Numbers that pass through Python or through several functions, or are sorted.
SLOW = {"Erf": 50, "Gelu": 50, "Softplus": 20, "Mish": 20, "TopK": 50, "Resize": 50}


def cost(node: Any, read: Sizes, made: Sizes) -> int:
    """About how many steps a node takes.

    Parameters
    ----------
    node : NodeProto
    read, made : lists of sizes
        Of its inputs and outputs, those that are left out left out.

    Examples
    --------
    >>> from onnx import helper
    >>> cost(helper.make_node("MatMul", ["a", "b"], ["y"]), [(10, 20), (20, 30)], [(10, 30)])
    2600
    """
    numbers = sum(prod(sizes) for sizes in read + made) * SLOW.get(node.op_type, 1)
    return numbers + (MORE[node.op_type](node, read, made) if node.op_type in MORE else 0)


def _recurrent(node: Any, read: Sizes, made: Sizes) -> int:
    steps, samples = read[0][:2]
    return steps * samples * (prod(read[1]) + prod(read[2])) // FUSED + max(steps, samples) * STEP


def _conv_transpose(node: Any, read: Sizes, made: Sizes) -> int:
    places = prod(read[1][2:])
    return prod(read[0]) * prod(read[1][1:]) // FUSED + places * (prod(made[0]) + STEP)


def _einsum(node: Any, read: Sizes, made: Sizes) -> int:
    letters = Settings(node).word("equation").replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for word, shape in zip(letters, read, strict=False):
        for letter, size in zip(word, shape, strict=False):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return prod(sizes.values())


def _product(node: Any, read: Sizes, made: Sizes) -> int:
    return prod(made[0]) * max(read[0][-2:]) // FUSED


MORE: dict[str, Callable[[Any, Sizes, Sizes], int]] = {
    **dict.fromkeys(RECURRENT, _recurrent),
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "MatMul": _product,
    "Gemm": _product,
}


def too_long(op: str, read: Sizes) -> bool:
    """Whether a node takes more steps, in Python, than anyone would wait for."""
    walked = max(read[0][:2]) if op in RECURRENT else prod(read[1][2:]) if op == "ConvTranspose" else 0
    return walked > LONGEST_WALK
