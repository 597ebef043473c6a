"""Exact reductions: what a network can lose without any change, while its inputs stay in a box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ...certificate import Certificate, Record
from ...errors import MinpruneError
from ...neurons import NOBODY, NeuronGroup, staying
from ...nn import Graph
from ...ops import Array, exact
from ...provenance import digest
from ...rounding import rounding_bound
from .composing import composable, composed, makes_it_smaller
from .intervals import read_box
from .redundancy import FINDERS, Survey
from .substitution import Substitute, substituted

TRIALS = 64  # inputs that both networks are compared on


@dataclass(frozen=True)
class Step:
    """One neuron that left, or one layer that was multiplied into the next.

    Attributes
    ----------
    kind : str
        "idle", "dead", "constant", "duplicate", "dependent" or "merged".
    group : str
        The group of neurons.
    neurons : tuple of int
        Which, numbered as in the network that was given (of a group that only came about, a grouped convolution having
        become depthwise, as in that group).
    why : str
        The reason, in words; neurons are numbered there as they were at that moment.
    """

    kind: str
    group: str
    neurons: tuple[int, ...]
    why: str


@dataclass(frozen=True, eq=False)
class Reduction:
    """What `reduce_exactly` did.

    Attributes
    ----------
    net : Graph
        The smaller network.
    steps : tuple of Step
        What was done, in order.
    kept : tuple of str
        What was found and had to be kept, and why; numbered as in the smaller network.
    max_difference : float
        The largest difference of any output, both networks in float64 (rationals: exactly).
    bound : float
        What rounding may cause: four times the larger of ε · K · S, with K the sum of all fan-ins and S the largest
        value met, at least 1, and the bound of `minprune.rounding` at the output that differs most, which knows how
        later weights amplify. In float64, or in the network's own floats where weights or biases were changed and had
        to be stored in them. 0 for rationals.
    inputs : str
        What they were compared on.
    """

    net: Graph
    steps: tuple[Step, ...]
    kept: tuple[str, ...]
    max_difference: float
    bound: float
    inputs: str

    def __str__(self) -> str:
        count = sum(len(step.neurons) for step in self.steps if step.kind != "merged")
        layers = sum(step.kind == "merged" for step in self.steps)
        lines = [f"{count} neuron{'s' * (count != 1)} removed, {layers} layer{'s' * (layers != 1)} merged"]
        together: dict[tuple[str, str], list[Step]] = {}
        for step in self.steps:
            together.setdefault((step.group, step.kind), []).append(step)
        for (group, kind), steps in together.items():
            neurons = [str(j) for step in steps for j in step.neurons]
            shown = ", ".join(neurons[:12]) + (f" and {len(neurons) - 12} more" if len(neurons) > 12 else "")
            lines.append(f"  {group}, {kind}: {shown} ({steps[0].why}{', …' if len(steps) > 1 else ''})")
        lines += [f"  kept: {note}" for note in self.kept]
        return "\n".join([*lines, self.verdict])

    def as_dict(self) -> dict[str, Any]:
        """All but the network, for programs."""
        steps = [{"kind": s.kind, "group": s.group, "neurons": list(s.neurons), "why": s.why} for s in self.steps]
        proof = {"max_difference": self.max_difference, "bound": self.bound, "inputs": self.inputs}
        return {"steps": steps, "kept": list(self.kept), **proof}

    @property
    def verdict(self) -> str:
        """The comparison in a line."""
        return (
            f"given ≡ reduced: largest difference {self.max_difference:.2g}, bound {self.bound:.2g}, on {self.inputs}"
        )


def reduce_exactly(net: Graph, box: Any) -> Reduction:
    r"""Take out of a network what makes no difference for any input in a box.

    A neuron j leaves whose output is, on the whole box, $a_j = \sum_i c_i a_i + d$: to the weights of those that read
    it, $w_{ki} \leftarrow w_{ki} + c_i w_{kj}$ and $b_k \leftarrow b_k + w_{kj} d$. That is so for neurons which are

    * *idle*: all outgoing weights are 0 (whatever they output);
    * *dead*: 0 on the whole box, and *constant*: they do not vary on it;
    * *duplicate*: of the same weights as another, or behind ReLU and the like of c > 0 times these;
    * *dependent*: without a kink on the box, and combinations of others that have none: of such neurons no more are
      needed than they read values.

    A dense layer whose neurons all have no kink on the box is *merged* into the dense layer that reads it, $W_2 W_1$
    and $W_2 b_1 + b_2$, unless that made the network larger. All is repeated until nothing is found. What the box does
    to neurons, interval bounds tell: see `interval_bounds`. They are sound and not tight, so not all that is redundant
    is found.

    Features of the input that are idle or fixed by the box leave too; the network takes the same inputs as before.

    Parameters
    ----------
    net : Graph
        Of floats or rationals. Is not changed.
    box : (low, high), or a mapping from input to that
        Numbers, or arrays that broadcast to the shape of one sample. Outside of it the smaller network may compute
        something else.

    Returns
    -------
    Reduction
        ``.net``, what was done and why, and the largest difference met on inputs in the box.

    Raises
    ------
    DataError, ShapeError, StructureError, DtypeError
        As `interval_bounds`.
    MinpruneError
        When both networks differ by more than rounding (which would be a defect of minprune).

    Notes
    -----
    Rationals come out equal. In floats sums are taken in another order, what is folded is rounded once, and multiples
    and combinations are known as such when they are off by no more than 8 ε of rows of size 1.

    Source: Serra, Kumar and Ramalingam 2020, *Lossless compression of deep neural networks* (stable neurons; merging,
    and dependent linear neurons); Srinivas and Babu 2015, *Data-free parameter pruning for deep neural networks*
    (duplicates).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.ReLU(), mp.Dense(3, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense1.b"] = [[1.0, -1.0], [-1.0, -2.0], [2.0, -2.0]], [0.0, 0.0, 0.0]
    >>> net.params["dense2.W"] = [[1.0, 5.0, 3.0]]
    >>> found = reduce_exactly(net, (0, 1))
    >>> [(step.kind, step.neurons) for step in found.steps]
    [('dead', (1,)), ('duplicate', (2,))]
    >>> found.net.params["dense2.W"]
    array([[7.]])
    """
    ends = read_box(net, box)
    small = net.copy()
    numbers = {name: list(range(group.size)) for name, group in net.neurons.items()}
    steps: list[Step] = []
    while True:
        survey = Survey(small, ends)
        found = next(((kind, some) for kind in FINDERS if (some := _free(survey, kind))), None)
        merger = next((g for g in _straight_layers(survey) if makes_it_smaller(small, g)), None) if not found else None
        if found:
            steps += [_written(found[0], substitute, numbers) for substitute in found[1]]
            before, small = small, substituted(small, found[1])
            numbers = _counted_off(numbers, found[1], before, small)
        elif merger:
            merged = tuple(numbers.pop(merger.name, range(merger.size)))
            steps.append(Step("merged", merger.name, merged, "all are linear on the box"))
            small = composed(small, merger)
        else:
            return _proved(net, small, ends, tuple(steps), tuple(_notes(survey)))


def _notes(survey: Survey) -> Iterator[str]:
    """What is still there, and why."""
    for group in _open_groups(survey.net):
        for find in FINDERS.values():
            yield from find(survey, group)[1]
    for group in _straight_layers(survey):
        yield f"{group.name}: all its neurons are linear on the box, but merged it would be larger"


def _straight_layers(survey: Survey) -> list[NeuronGroup]:
    return [group for group in _open_groups(survey.net) if composable(survey, group)]


def _open_groups(net: Graph) -> list[NeuronGroup]:
    return [group for group in net.neurons.values() if not group.stays]


def _free(survey: Survey, kind: str) -> list[Substitute]:
    """What one finder finds in all groups, except that no group and no layer loses all."""
    net = survey.net
    found = [substitute for group in _open_groups(net) for substitute in FINDERS[kind](survey, group)[0]]
    while True:
        drop: dict[str, list[int]] = {}
        for substitute in found:
            drop.setdefault(substitute.group, []).append(substitute.neuron)
        stays = staying(net, drop)
        kept = {
            (name, int(piece.owner[piece.owner != NOBODY][0]))
            for name in drop
            for piece in net.neurons[name].slices
            if not len(stays[piece.array][piece.axis])
        }
        if not kept:
            return found
        found = [substitute for substitute in found if (substitute.group, substitute.neuron) not in kept]


def _written(kind: str, substitute: Substitute, numbers: dict[str, list[int]]) -> Step:
    own = numbers.get(substitute.group)
    j = own[substitute.neuron] if own else substitute.neuron
    return Step(kind, substitute.group, (j,), substitute.why)


def _counted_off(
    numbers: dict[str, list[int]], found: list[Substitute], before: Graph, after: Graph
) -> dict[str, list[int]]:
    """Keep book of the numbers that the neurons had in the given network, for groups that are still made as before."""
    left = {}
    for name, old in numbers.items():
        gone = {substitute.neuron for substitute in found if substitute.group == name}
        makers = [[p.array for p in net.neurons[name].produced] for net in (before, after) if name in net.neurons]
        if len(makers) == 2 and makers[0] == makers[1]:
            left[name] = [number for j, number in enumerate(old) if j not in gone]
    return left


def _proved(
    net: Graph, small: Graph, box: Mapping[str, tuple[Array, Array]], steps: tuple[Step, ...], notes: tuple[str, ...]
) -> Reduction:
    """Compare both networks on inputs in the box."""
    pair = (net, small) if net.dtype == object else (net.astype(np.float64), small.astype(np.float64))
    xs = inputs_within(box)
    values = [each.run(each.take(xs), each.arrays) for each in pair]
    differences = np.abs(values[0][net.output] - values[1][small.output])
    difference = float(differences.max())
    changed = any(step.kind not in ("idle", "dead") for step in steps)  # weights that had to be stored anew
    bound = 0.0 if net.dtype == object else _rounding(net if changed else pair[0], xs, differences, values)
    half = TRIALS // 2
    found = Reduction(small, steps, notes, difference, bound, f"{half} corners of the box and {half} inputs in it")
    if not difference <= bound:
        raise MinpruneError(f"the reduction failed its check ({found.verdict}); please report it")
    proof = Certificate(difference, bound, True, found.inputs, "given ≡ reduced")
    how = {kind: sum(step.kind == kind for step in steps) for kind in dict.fromkeys(step.kind for step in steps)}
    small.history = (*net.history, Record("reduce", digest(net), digest(small), how=how, certificate=proof))
    return found


def _rounding(net: Graph, xs: Mapping[str, Array], differences: Array, values: list[dict[str, Array]]) -> float:
    """What rounding in the network's floats can do to the output that differs most: see `Reduction.bound`."""
    sample, *output = (int(i) for i in np.unravel_index(int(np.argmax(differences)), differences.shape))
    one = {name: value[[sample]] for name, value in net.take(xs).items()}
    fan_in = sum(int(np.prod(array.shape[1:])) for array in net.params.values() if array.ndim > 1)
    largest = max(float(np.abs(value).max(initial=1)) for some in values for value in some.values())
    return 4 * max(rounding_bound(net, one, tuple(output)), float(np.finfo(net.dtype).eps) * fan_in * largest)


def inputs_within(box: Mapping[str, tuple[Array, Array]], count: int = TRIALS) -> dict[str, Array]:
    """Seeded inputs: for the first half corners of the box, the lowest and the highest first; the others inside it.

    Examples
    --------
    >>> inputs_within({"x": (np.array([0.0]), np.array([8.0]))}, 4)["x"].tolist()
    [[0.0], [8.0], [4.0], [2.0]]
    """
    rng = np.random.default_rng(0)
    xs = {}
    for name, (low, high) in box.items():
        corners = rng.integers(0, 2, (count // 2, *low.shape)) * 8
        corners[:1], corners[1:2] = 0, 8
        eighths = np.concatenate([corners, rng.integers(0, 9, (count - count // 2, *low.shape))])
        share = exact(eighths) * Fraction(1, 8) if low.dtype == object else eighths / 8
        xs[name] = low + (high - low) * share
    return xs
