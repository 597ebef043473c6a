"""A weight plan: which single weights stay, and the masks that it puts on a network.

Neurons can be taken out, and the arrays get smaller. Single weights cannot: they are set to 0, a mask keeps them there,
and what makes use of the zeros is another way to store them (see `minprune.sparse`; `save` does so by itself).
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...certificate import Record
from ...errors import FileError, PlanError, ShapeError, StructureError, one_line
from ...files import atomic_write, size_of
from ...neurons import fingerprint
from ...nn import Graph
from ...ops import Array
from ...provenance import digest

FORMAT = "minprune weight plan 1"
MOST_BYTES = 256 << 20  # of a plan's file: a billion weights


class WeightPlan:
    """Which weights of which parameters are kept; the others are to be 0.

    Parameters
    ----------
    keep : mapping
        Parameter name -> array of bool in its shape, True where the weight is kept.
    fingerprint : str
        The structure it was made for; "" fits any network that has these parameters.
    reason : str
        How it came about, in words.

    Attributes
    ----------
    keep : dict
        As given; parameters that lose nothing are left out.

    Raises
    ------
    PlanError
        When a mask is no array of bool.

    Examples
    --------
    >>> plan = WeightPlan({"dense1.W": np.array([[True, False], [True, True]])})
    >>> print(plan.explain())
    by hand: drops 1 of 4 weights
      dense1.W: 1 of 4 (25.0 %)
    """

    def __init__(self, keep: Mapping[str, Any], fingerprint: str = "", reason: str = "by hand") -> None:
        self.keep: dict[str, Array] = {}
        for name, mask in keep.items():
            kept = np.array(mask)
            if kept.dtype != np.bool_:
                raise PlanError(f"{name}: expected an array of bool (True: kept), got {kept.dtype}")
            if not kept.all():
                self.keep[name] = kept
        self.fingerprint = fingerprint
        self.reason = reason

    def __len__(self) -> int:
        """How many weights go."""
        return sum(int((~kept).sum()) for kept in self.keep.values())

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, WeightPlan)
            and (self.fingerprint, self.keep.keys()) == (other.fingerprint, other.keep.keys())
            and all(np.array_equal(kept, other.keep[name]) for name, kept in self.keep.items())
        )

    __hash__ = None  # type: ignore[assignment]  # it holds arrays

    def __repr__(self) -> str:
        gone = (f"{name} −{(~kept).sum()}" for name, kept in self.keep.items())
        return f"<WeightPlan ({self.reason}): {', '.join(gone) or 'nothing'}>"

    def explain(self) -> str:
        """What it will do and why, in words; parameters that lose nothing are not counted."""
        lines = [f"{self.reason}: drops {len(self):,} of {sum(k.size for k in self.keep.values()):,} weights"]
        for name, kept in self.keep.items():
            gone = int((~kept).sum())
            lines.append(f"  {name}: {gone:,} of {kept.size:,} ({100 * gone / kept.size:.1f} %)")
        return "\n".join(lines)

    def check(self, net: Graph) -> None:
        """Refuse a network that the plan was not made for, or a plan that would leave nothing of a parameter.

        Raises
        ------
        StructureError, ShapeError
            When the network has another structure, or lacks a parameter of this name and shape.
        PlanError
            When a parameter would lose all its weights.
        """
        if self.fingerprint and self.fingerprint != fingerprint(net):
            raise StructureError(
                f"this plan was made for another network (structure {self.fingerprint}, this one is {fingerprint(net)})"
            )
        for name, kept in self.keep.items():
            if name not in net.params:
                raise StructureError(f"no parameter is called {name!r}; there are {', '.join(net.params)}")
            if kept.shape != net.params[name].shape:
                raise ShapeError(f"{name}: expected a mask of shape {net.params[name].shape}, got {kept.shape}")
            if not kept.any():
                raise PlanError(f"{name}: the plan would drop all {kept.size} weights; at least one must stay")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON, each mask as its bits in base64."""
        keep = {
            name: {"shape": kept.shape, "bits": base64.b64encode(np.packbits(kept).tobytes()).decode()}
            for name, kept in self.keep.items()
        }
        content = {"format": FORMAT, "fingerprint": self.fingerprint, "reason": self.reason, "keep": keep}
        with atomic_write(path) as file:
            file.write(json.dumps(content, indent=1).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WeightPlan:
        """Read a plan.

        Raises
        ------
        FileError
            When the file is no weight plan.
        """
        try:
            size_of(path, MOST_BYTES)
            content: Any = json.loads(Path(path).read_bytes())
            if content["format"] != FORMAT:
                raise FileError(f"expected format {FORMAT!r}, got {content['format']!r}")
            keep = {name: _unpacked(name, entry) for name, entry in dict(content["keep"]).items()}
            return cls(keep, str(content["fingerprint"]), str(content["reason"]))
        except FileError as error:
            raise FileError(f"{path}: {one_line(error)}") from None
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise FileError(f"{path}: is no weight plan ({type(error).__name__}: {one_line(error)})") from None


def _unpacked(name: str, entry: Any) -> Array:
    """One mask from a file: the bits must be as many as the shape says, before any memory is taken."""
    shape, bits = entry["shape"], base64.b64decode(entry["bits"], validate=True)
    if not isinstance(shape, list) or any(type(size) is not int or size < 1 for size in shape):
        raise FileError(f"{name}: its shape is {shape!r}, expected sizes of at least 1")
    if len(bits) != -(-prod(shape) // 8):
        raise FileError(f"{name}: expected {-(-prod(shape) // 8):,} bytes of bits, got {len(bits):,}")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=prod(shape)).astype(bool).reshape(shape)


def mask_weights(net: Graph, plan: WeightPlan) -> Graph:
    r"""Set weights to 0 and keep them there: what `mask` does with a weight plan.

    $W \leftarrow W \odot M$ with M = 1 where a weight is kept. A weight that was masked before stays masked.

    Parameters
    ----------
    net : Graph
        Is not changed.
    plan : WeightPlan
        Which weights.

    Returns
    -------
    Graph
        A network of its own: the same shapes, zeros in place of the dropped weights, and in ``masks`` which are kept.
        `fit` leaves the masked ones at 0, `remove` cuts the masks with the parameters, `save` stores what is kept.

    Raises
    ------
    StructureError, ShapeError, PlanError
        When the plan does not fit; see `WeightPlan.check`.

    Notes
    -----
    Source: Han et al. 2015, *Learning both weights and connections for efficient neural networks*, section 3; spec A1.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 1))
    >>> net.params["dense1.W"] = [[3.0, -4.0], [1.0, 2.0]]
    >>> masked = mp.mask(net, mp.decide(mp.score(net, criterion="magnitude_l1", by="weight"), mp.PerLayer(0.5)))
    >>> masked.params["dense1.W"]
    array([[ 3., -4.],
           [ 0.,  0.]], dtype=float32)
    """
    plan.check(net)
    masks = dict(net.masks)
    for name, kept in plan.keep.items():
        masks[name] = kept & masks[name] if name in masks else kept.copy()
        if not masks[name].any():
            raise PlanError(f"{name}: nothing of it would be left: all that the plan keeps is masked already")
    arrays = {name: array.copy() for name, array in net.arrays.items()}
    masked = Graph.assemble(net.nodes, net.inputs, net.output, arrays, net.input_shapes, masks)
    masked.close_masks()
    counts = {name: int(kept.sum()) for name, kept in masks.items()}
    masked.history = (*net.history, Record("mask weights", digest(net), digest(masked), how={"kept": counts}))
    return masked
