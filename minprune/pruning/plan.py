"""A plan: which neurons go. It belongs to the structure it was made for, and can be saved and read again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import check_network
from ..errors import FileError, PlanError, StructureError, one_line
from ..files import atomic_write, size_of
from ..neurons import check_neuron, fingerprint, staying
from ..nn import Graph
from ..scores import Scores, Vector
from .reasons import Evidence

FORMAT = "minprune plan 2"
FORMATS = ("minprune plan 1", FORMAT)  # the first has neither evidence nor sizes
MOST_BYTES = 16 << 20  # of a plan's file: a million neurons and more
SHOWN = 12  # neurons of a group that are named before a text says how many more there are


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
    evidence : mapping, optional
        Group name -> what the choice there rested on; `decide` knows it.
    sizes : mapping, optional
        "params", "macs", "bytes" -> (of the network, of what is left of it); `decide` knows them where the network is
        known.

    Attributes
    ----------
    drop : dict
        Group name -> sorted list of int; groups that lose nothing are left out.
    fingerprint, reason, evidence, sizes
        As given.

    Examples
    --------
    >>> plan = Plan({"dense1": [2, 0]})
    >>> plan.drop
    {'dense1': [0, 2]}
    >>> print(plan.explain())
    by hand: drops 2 neurons
      dense1: 0, 2
    """

    def __init__(
        self,
        drop: Mapping[str, Iterable[int]],
        fingerprint: str = "",
        reason: str = "by hand",
        evidence: Mapping[str, Evidence] | None = None,
        sizes: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
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
        self.evidence = dict(evidence or {})
        self.sizes = dict(sizes or {})

    def __len__(self) -> int:
        return sum(len(neurons) for neurons in self.drop.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and (self.drop, self.fingerprint) == (other.drop, other.fingerprint)

    __hash__ = None  # type: ignore[assignment]  # it holds lists

    def __repr__(self) -> str:
        return f"<Plan ({self.reason}): {', '.join(f'{g} −{len(n)}' for g, n in self.drop.items()) or 'nothing'}>"

    def explain(self) -> str:
        """What it will do and why, in words: a line for every group, and what the network's sizes become.

        Examples
        --------
        >>> import minprune as mp
        >>> net = mp.Sequential(mp.Dense(2, 4), mp.ReLU(), mp.Dense(4, 1))
        >>> net.params["dense1.W"] = [[3, 0], [0, 1], [2, 0], [0, 5]]
        >>> print(mp.decide(mp.score(net, criterion="magnitude_l1"), mp.Global(0.5)).explain())
        magnitude_l1, Global(amount=0.5, at_least=1, normalise='none'): drops 2 neurons
          dense1: 2 of 4 go: 1, 2; scores 1 … 2 go, 3 … 5 stay
        parameters 17 → 9, MACs 12 → 6, bytes 68 → 36
        """
        lines = [f"{self.reason}: drops {len(self)} neurons"]
        lines += [f"  {group}: {self._group(group)}" for group in {**self.evidence, **self.drop}]
        if self.sizes:
            names = {"params": "parameters", "macs": "MACs", "bytes": "bytes"}
            changes = (f"{names[name]} {before:,} → {after:,}" for name, (before, after) in self.sizes.items())
            lines.append(", ".join(changes))
        return "\n".join(lines)

    def _group(self, group: str) -> str:
        """What happens in one group."""
        gone = self.drop.get(group, [])
        named = ", ".join(map(str, gone[:SHOWN])) + f" and {len(gone) - SHOWN} more" * (len(gone) > SHOWN)
        if group not in self.evidence:
            return named
        why = self.evidence[group]
        return f"{len(gone)} of {why.size} go{f': {named}' * bool(gone)}; {why}"

    def why(self, group: str, j: int, scores: Scores) -> str:
        """Why one neuron goes or stays: its score, its place among its group's, and where the line was drawn.

        Parameters
        ----------
        group, j
            The neuron.
        scores : Scores
            Those that the plan was decided on (a plan does not hold them).

        Raises
        ------
        PlanError
            When the scores are not of this group, or lack the neuron.

        Examples
        --------
        >>> import numpy as np
        >>> from minprune.pruning.deciding import Global, decide
        >>> scores = Scores("by hand", {"dense1": np.array([0.5, np.inf, 0.2, 0.9])})
        >>> plan = decide(scores, Global(2))
        >>> for j in range(4):
        ...     print(plan.why("dense1", j, scores))
        dense1[0] goes: score 0.5, 2nd lowest of 4; the lowest that stays in dense1 is 0.9
        dense1[1] stays: score +∞ is never dropped
        dense1[2] goes: score 0.2, 1st lowest of 4; the lowest that stays in dense1 is 0.9
        dense1[3] stays: score 0.9, 3rd lowest of 4; the highest that goes in dense1 is 0.5
        """
        if group not in scores or not 0 <= j < len(scores[group]):
            known = ", ".join(f"{name} ({len(values)})" for name, values in scores.items())
            raise PlanError(f"{group}[{j}]: no score for this neuron; there are some for {known}")
        return _why(group, j, scores[group], self.drop.get(group, []))

    def check(self, net: Graph) -> None:
        """Refuse a network that the plan was not made for, or a removal that must not happen.

        Raises
        ------
        StructureError
            When the network has another structure, or lacks a group or neuron.
        PlanError
            When an output would lose neurons, or a group or a layer all of its own.
        """
        check_network(net, "a plan")
        if self.fingerprint and self.fingerprint != fingerprint(net):
            raise StructureError(
                f"this plan was made for another network (structure {self.fingerprint}, this one is "
                f"{fingerprint(net)}); score this network and decide anew"
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

    def as_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        evidence = {group: found.as_dict() for group, found in self.evidence.items()}
        content = {"format": FORMAT, "fingerprint": self.fingerprint, "reason": self.reason, "drop": self.drop}
        return content | {"evidence": evidence, "sizes": self.sizes}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON."""
        with atomic_write(path) as file:
            file.write(json.dumps(self.as_dict(), indent=1).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read a plan; also one that an earlier minprune wrote.

        Raises
        ------
        FileError
            When the file is no plan.
        """
        try:
            size_of(path, MOST_BYTES)
            return cls.from_dict(json.loads(Path(path).read_bytes()))
        except FileError as error:
            raise FileError(f"{path}: {one_line(error)}") from None
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise FileError(f"{path}: is no plan ({type(error).__name__}: {one_line(error)})") from None

    @classmethod
    def from_dict(cls, content: Any) -> Plan:
        """What `as_dict` made; for anything else a FileError, or whatever a wrong value makes Python raise."""
        if content["format"] not in FORMATS:
            raise FileError(f"expected format {FORMAT!r}, got {content['format']!r}")
        old = content["format"] != FORMAT
        return cls(
            dict(content["drop"]),
            str(content["fingerprint"]),
            str(content["reason"]),
            {} if old else {group: Evidence.from_dict(found) for group, found in content["evidence"].items()},
            {} if old else {name: _pair(content["sizes"][name]) for name in content["sizes"]},
        )


def _pair(sizes: Any) -> tuple[int, int]:
    before, after = map(int, sizes)
    return before, after


def _why(group: str, j: int, values: Vector, gone: list[int]) -> str:
    """Why neuron j of a group goes or stays."""
    score, neuron = values[j], f"{group}[{j}]"
    if score == np.inf and j not in gone:
        return f"{neuron} stays: score +∞ is never dropped"
    place = int((values < score).sum() + (values[:j] == score).sum()) + 1  # at a tie the lower index comes first
    rank = f"score {score:.4g}, {_ordinal(place)} lowest of {len(values)}"
    rest = np.setdiff1d(np.arange(len(values)), gone)
    if j in gone:
        return f"{neuron} goes: {rank}; the lowest that stays in {group} is {values[rest].min():.4g}"
    if not gone:
        return f"{neuron} stays: {rank}; none of {group} goes"
    held = ", so its layer could not spare it" if score < values[gone].max() else ""
    return f"{neuron} stays: {rank}; the highest that goes in {group} is {values[gone].max():.4g}{held}"


def _ordinal(number: int) -> str:
    """Write a place as one says it.

    Examples
    --------
    >>> [_ordinal(n) for n in (1, 2, 3, 4, 11, 22, 113)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd', '113th']
    """
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
