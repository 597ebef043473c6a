"""What a criterion is, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..datasets.samples import rows
from ..errors import DataError
from ..neurons import NeuronGroup
from ..nn import Graph
from ..ops import Array

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Context:
    """What a criterion may look at: the network, the groups to score, and the data.

    Attributes
    ----------
    net : Graph
    groups : tuple of NeuronGroup
        Those that are to be scored.
    x, y : array (or mapping of arrays for several inputs) or None
        The samples, where the criterion needs them.
    loss : str
        A key of `minprune.ops.LOSSES`.
    batch_size : int
        How many samples to take at a time.
    rng : Generator
        For criteria that draw.
    progress : bool
        Whether to show a bar.
    weights : tuple of str
        The parameters whose weights are to be scored, where it is weights that are scored.
    """

    net: Graph
    groups: tuple[NeuronGroup, ...]
    x: Any
    y: Any
    loss: str
    batch_size: int
    rng: np.random.Generator
    progress: bool
    weights: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many samples there are."""
        first = next(iter(self.x.values())) if isinstance(self.x, Mapping) else self.x
        return len(first)

    def batches(self) -> Iterator[tuple[Any, Any]]:
        """The samples, a batch at a time; where there are no labels, None in their place."""
        for start in range(0, self.count, self.batch_size):
            batch = slice(start, start + self.batch_size)
            yield rows(self.x, batch), None if self.y is None else self.y[batch]


@dataclass(frozen=True, eq=False)
class Terms:
    """What the score of one neuron is made of.

    Attributes
    ----------
    of : str
        What a term belongs to: "sample", "weight", "neuron" …
    values : array (m,) of float64
        The terms.
    reduction : {"mean", "sum", "root of the sum", "product"}
        How they come together.
    score : float
        What becomes of that.
    label : callable
        From the number of a term to its name; by default the number.
    columns : mapping
        What the terms are made of: a heading -> (m,).
    """

    of: str
    values: Vector
    reduction: str
    score: float
    label: Callable[[int], str] = str
    columns: Mapping[str, Vector] = field(default_factory=dict)

    @property
    def reduced(self) -> float:
        """The terms, brought together."""
        if self.reduction == "product":
            return float(self.values.prod())
        total = float(self.values.sum())
        if self.reduction == "root of the sum":
            return float(np.sqrt(total))
        return total / len(self.values) if self.reduction == "mean" else total


@dataclass(frozen=True)
class Criterion:
    """A rule that gives every neuron a number: the larger, the more it deserves to stay.

    A subclass states its `name`, `formula`, what it `needs`, its `source`, and `score`; `score_weights`, where it makes
    sense for single weights too; and `terms`, where a score is made of something that can be shown.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()  # of "data", "labels", "gradient", "curvature"
    source: ClassVar[str]

    def score(self, context: Context) -> dict[str, Vector]:
        """The scores of every group in `context.groups`, by its name."""
        raise TypeError(f"{type(self).__name__} states no score(context)")

    def score_weights(self, context: Context) -> dict[str, Array]:
        """The scores of every weight of the parameters in `context.weights`, by their names; refused by default."""
        raise DataError(f"{self.name} scores neurons only; for weights take another criterion, such as magnitude_l1")

    def terms(self, context: Context, j: int) -> Terms | None:
        """What the score of neuron j of the only group in `context.groups` is made of; None where that is not told."""
        return None

    @classmethod
    def scores_weights(cls) -> bool:
        """Whether it scores single weights too."""
        return cls.score_weights is not Criterion.score_weights


@dataclass(frozen=True, eq=False)
class Scores(Mapping[str, Vector]):
    """Scores by group: ``s["dense1"]`` is an array (n,), larger = keep; +inf means "never remove".

    Of weights by parameter: ``s["dense1.W"]`` has the parameter's shape.

    Attributes
    ----------
    criterion : str
        The rule that made them.
    by_group : dict
        Group name -> (n,) float64, or parameter name -> float64 of its shape.
    fingerprint : str
        Of the network they were made for; see `minprune.neurons.fingerprint`.
    by : {"neuron", "weight"}
        What was scored.
    net : Graph or None
        The network that was scored, for strategies that ask what a neuron costs.

    Raises
    ------
    DataError
        When a score is NaN.

    Examples
    --------
    >>> s = Scores("by hand", {"dense1": np.array([0.5, 2.0])})
    >>> s["dense1"]
    array([0.5, 2. ])
    >>> Scores("by hand", {"dense1": np.array([np.nan])})
    Traceback (most recent call last):
    minprune.errors.DataError: by hand: the score of dense1[0] is not a number
    """

    criterion: str
    by_group: Mapping[str, Vector]
    fingerprint: str = ""
    by: str = "neuron"
    net: Graph | None = None

    def __post_init__(self) -> None:
        for group, values in self.by_group.items():
            lost = np.argwhere(np.isnan(values))
            if len(lost):
                place = ", ".join(map(str, lost[0]))
                raise DataError(f"{self.criterion}: the score of {group}[{place}] is not a number")

    def __getitem__(self, group: str) -> Vector:
        return self.by_group[group]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_group)

    def __len__(self) -> int:
        return len(self.by_group)

    def __repr__(self) -> str:
        lines = (f"{group} ({v.size}): {v.min():.3g} … {v.max():.3g}" for group, v in self.by_group.items())
        return f"<{self.criterion}: {'; '.join(lines)}>"
