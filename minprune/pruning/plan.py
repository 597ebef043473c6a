"""A plan: which neurons go. It belongs to the structure it was made for, and can be saved and read again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import FileError, PlanError, StructureError
from ..files import atomic_write
from ..neurons import check_neuron, fingerprint, staying
from ..nn import Graph

FORMAT = "minprune plan 1"


class Plan:
    """Which neurons of which groups are to be dropped.

    Parameters
    ----------
    drop : mapping
        Group name -> indices of the neurons to drop.
    fingerprint : str
        The structure it was made for; "" fits any network that has these neurons.
    reason : str
        How it came about, in words.

    Attributes
    ----------
    drop : dict
        Group name -> sorted list of int; groups that lose nothing are left out.

    Examples
    --------
    >>> plan = Plan({"dense1": [2, 0]})
    >>> plan.drop
    {'dense1': [0, 2]}
    >>> print(plan.explain())
    by hand: drops 2 neurons
      dense1: 0, 2
    """

    def __init__(self, drop: Mapping[str, Iterable[int]], fingerprint: str = "", reason: str = "by hand") -> None:
        self.drop: dict[str, list[int]] = {}
        for group, neurons in drop.items():
            if not isinstance(neurons, Iterable):
                raise PlanError(f"{group}: expected a list of neurons, got {neurons!r}")
            wanted = list(neurons)
            for j in wanted:
                if isinstance(j, bool) or not hasattr(j, "__index__"):
                    raise PlanError(f"{group}: {j!r} is no neuron; expected whole numbers")
            if wanted:
                self.drop[group] = sorted({int(j) for j in wanted})
        self.fingerprint = fingerprint
        self.reason = reason

    def __len__(self) -> int:
        return sum(len(neurons) for neurons in self.drop.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and (self.drop, self.fingerprint) == (other.drop, other.fingerprint)

    __hash__ = None  # type: ignore[assignment]  # it holds lists

    def __repr__(self) -> str:
        return f"<Plan ({self.reason}): {', '.join(f'{g} −{len(n)}' for g, n in self.drop.items()) or 'nothing'}>"

    def explain(self) -> str:
        """What it will do and why, in words."""
        lines = [f"{self.reason}: drops {len(self)} neurons"]
        lines += [f"  {group}: {', '.join(map(str, neurons))}" for group, neurons in self.drop.items()]
        return "\n".join(lines)

    def check(self, net: Graph) -> None:
        """Refuse a network that the plan was not made for, or a removal that must not happen.

        Raises
        ------
        StructureError
            When the network has another structure, or lacks a group or neuron.
        PlanError
            When an output would lose neurons, or a group or a layer all of its own.
        """
        if self.fingerprint and self.fingerprint != fingerprint(net):
            raise StructureError(
                f"this plan was made for another network (structure {self.fingerprint}, this one is {fingerprint(net)})"
            )
        for name, neurons in self.drop.items():
            for j in (neurons[0], neurons[-1]):
                group = check_neuron(net, name, j)
            if group.stays:
                raise PlanError(f"{name}: {group.stays}; its neurons are never removed")
            if len(neurons) == group.size:
                raise PlanError(f"{name}: the plan would drop all {group.size} neurons; at least one must stay")
        for array, axes in staying(net, self.drop).items():  # a group can be made by several layers together
            if not all(len(positions) for positions in axes.values()):
                raise PlanError(f"{array}: the plan would leave nothing of it; at least one of its neurons must stay")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON."""
        content = {"format": FORMAT, "fingerprint": self.fingerprint, "reason": self.reason, "drop": self.drop}
        with atomic_write(path) as file:
            file.write(json.dumps(content, indent=1).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read a plan.

        Raises
        ------
        FileError
            When the file is no plan.
        """
        try:
            content: Any = json.loads(Path(path).read_bytes())
            if content["format"] != FORMAT:
                raise FileError(f"{path}: expected format {FORMAT!r}, got {content['format']!r}")
            return cls(dict(content["drop"]), str(content["fingerprint"]), str(content["reason"]))
        except FileError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FileError(f"{path}: is no plan ({type(error).__name__}: {error})") from None
