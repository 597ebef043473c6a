"""Scores: how much a neuron matters, by many rules. `CRITERIA` is the one list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

import numpy as np

from ..arguments import check_network
from ..datasets.samples import as_samples
from ..errors import DataError, PlanError, StructureError
from ..neurons import NeuronGroup, check_neuron, fingerprint, hidden
from ..nn import Graph
from ..ops import Array
from ..reports import table
from ..targets import choose_loss
from .activations import ActivationMean, ActivationOutgoing, ActivationRms, Apoz
from .base import Context, Criterion, Scores, Terms, Vector
from .baselines import Random
from .conductance import Conductance
from .curvature import Curvature, Taylor2
from .filters import BnScale, Fpgm
from .initial import Grasp, Snip
from .linearised import Nisp, Synflow
from .magnitude import Lamp, MagnitudeL1, MagnitudeL1Outgoing, MagnitudeL2, MagnitudeL2Outgoing, MagnitudeProduct
from .obd import Obd
from .oracle import LeaveOneOut
from .shapley import Shapley
from .spec import (
    InverseSensitivity,
    InverseSensitivityMean,
    InverseSensitivitySigned,
    Sensitivity,
    SensitivitySigned,
)
from .surgeon import Obs
from .taylor import Fisher, Taylor, TaylorMean, TaylorSigned, TaylorSquared

CRITERIA: dict[str, type[Criterion]] = {
    criterion.name: criterion
    for criterion in (
        InverseSensitivity,
        InverseSensitivityMean,
        InverseSensitivitySigned,
        Sensitivity,
        SensitivitySigned,
        Taylor,
        TaylorMean,
        TaylorSigned,
        TaylorSquared,
        Fisher,
        Curvature,
        Taylor2,
        Obs,
        Obd,
        Snip,
        Grasp,
        Conductance,
        MagnitudeL1,
        MagnitudeL2,
        MagnitudeL1Outgoing,
        MagnitudeL2Outgoing,
        MagnitudeProduct,
        Lamp,
        Synflow,
        Nisp,
        BnScale,
        Fpgm,
        ActivationMean,
        ActivationRms,
        Apoz,
        ActivationOutgoing,
        Random,
        Shapley,
        LeaveOneOut,
    )
}

__all__ = ["CRITERIA", "Context", "Criterion", "Scores", "Terms", "Vector", "criteria", "score"]


def criteria(write: Callable[[str], str] = str) -> str:
    """A table of all criteria: name, what they score, what they need, formula, source.

    Parameters
    ----------
    write : callable
        How a formula is written; as it is, in TeX, unless `minprune.unicode_math.to_unicode` is given.

    Examples
    --------
    >>> print(criteria().splitlines()[0].split())
    ['criterion', 'scores', 'needs', 'formula', 'source']
    """
    rows = [
        (
            *(c.name, "neuron, weight" if c.scores_weights() else "neuron"),
            *(", ".join(c.needs) or "weights", write(c.formula), c.source),
        )
        for c in CRITERIA.values()
    ]
    return table(("criterion", "scores", "needs", "formula", "source"), rows, left=5)


def score(
    net: Graph,
    data: Any = None,
    criterion: str | Criterion = "taylor",
    *,
    loss: str | None = None,
    by: str = "neuron",
    groups: tuple[str, ...] | list[str] | None = None,
    rng: int | np.random.Generator = 0,
    batch_size: int = 1024,
    progress: bool = True,
    **options: Any,
) -> Scores:
    """Score the neurons of a network, or its weights: the larger, the more they deserve to stay.

    Parameters
    ----------
    net : Graph
        Is not changed; it is run in evaluation mode.
    data : (x, y), an object with .x and .y, a Dataset (its training part), or None
        What the criterion looks at. Criteria that look at weights only need none.
    criterion : str or Criterion
        A name from `criteria()`, or an instance.
    loss : str, optional
        By default cross-entropy for integer y, else mse. To be named where the criterion needs a loss, but no labels,
        and there are none.
    by : {"neuron", "weight"}
        What is scored.
    groups : names, optional
        Which groups to score: by default all hidden ones. Name ``"input"`` to score input features. By weight: which
        parameters, by default the W of every layer.
    rng : int or Generator
        For criteria that draw.
    batch_size : int
        How many samples to take at a time; memory grows with it, the result does not depend on it.
    progress : bool
        Show a bar.
    **options
        Settings of the criterion.

    Returns
    -------
    Scores
        Group -> (n,) float64; by weight parameter -> float64 of its shape, −∞ for weights that are masked already.

    Raises
    ------
    DataError
        For an unknown criterion or option, for data that is missing or cannot be used, or a score that is not a number.
    StructureError
        When `net` is no network, or there is no such group or parameter.
    PlanError
        When a group is named whose neurons are never removed, or there is no group to score.

    Notes
    -----
    Source: spec 3.2.1 (document), B; each criterion names its own.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 1))
    >>> net.params["dense1.W"] = [[3.0, 4.0], [0.0, 1.0]]
    >>> score(net, criterion="magnitude_l2")["dense1"]
    array([5., 1.])
    """
    if by not in ("neuron", "weight"):
        raise DataError(f"by is {by!r}, expected 'neuron' or 'weight'")
    check_network(net, "score")
    criterion = _as_criterion(criterion, options)
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise DataError(f"batch_size is {batch_size!r}, expected a whole number of at least 1")
    x = y = None
    if "data" in criterion.needs:
        x, y = as_samples(data, labels="labels" in criterion.needs)
    if loss is None and y is None and "gradient" in criterion.needs:
        raise DataError(f"{criterion.name}: without labels it cannot be told which loss; name it with loss=")
    chosen = chosen_groups(net, hidden(net) if groups is None else groups) if by == "neuron" else ()
    weights = _weights(net, groups) if by == "weight" else ()
    generator = np.random.default_rng(rng)
    context = Context(net, chosen, x, y, loss or choose_loss(y), batch_size, generator, progress, weights)
    found = criterion.score(context) if by == "neuron" else _gone_first(net, criterion.score_weights(context))
    return Scores(criterion.name, found, fingerprint(net), by, net)


def _gone_first(net: Graph, found: dict[str, Array]) -> dict[str, Array]:
    """The scores of weights, −∞ where they are masked already: they stay the first to go, whatever the criterion."""
    return {name: np.where(net.masks[name], s, -np.inf) if name in net.masks else s for name, s in found.items()}


def _as_criterion(criterion: str | Criterion, options: dict[str, Any]) -> Criterion:
    """A criterion by its name and options, or the instance that was given."""
    if isinstance(criterion, Criterion):
        if options:
            raise DataError(f"{criterion.name}: options ({', '.join(options)}) go with a name, not with an instance")
        return criterion
    if criterion not in CRITERIA:
        raise DataError(f"unknown criterion {criterion!r}; expected one of {', '.join(CRITERIA)}")
    rule = CRITERIA[criterion]
    known = [field.name for field in fields(rule)]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise DataError(f"{criterion}: unknown option {unknown[0]!r}; expected {', '.join(known) or 'none'}")
    return rule(**options)


def chosen_groups(net: Graph, names: Iterable[str]) -> tuple[NeuronGroup, ...]:
    """The groups of these names, each once; refuse those whose neurons are never removed."""
    if isinstance(names, str):
        raise PlanError(f"groups is {names!r}, expected a list of names: [{names!r}]")
    chosen = tuple(check_neuron(net, name, 0) for name in dict.fromkeys(names))
    if not chosen:
        raise PlanError("nothing to score: the network has no hidden neurons; name groups=, such as ['input']")
    for group in chosen:
        if group.stays:
            raise PlanError(f"{group.name}: {group.stays}; its neurons are never removed, so they have no score")
    return chosen


def _weights(net: Graph, names: Iterable[str] | None) -> tuple[str, ...]:
    """The parameters of these names, each once; by default every W: biases and batch-norm are no connections."""
    if isinstance(names, str):
        raise PlanError(f"groups is {names!r}, expected a list of parameter names: [{names!r}]")
    available = [name for name in net.params if name.endswith(".W")]
    chosen = tuple(available if names is None else dict.fromkeys(names))
    for name in chosen:
        if name not in available:
            raise StructureError(f"no weights are called {name!r}; there are {', '.join(available) or 'none'}")
    if not chosen:
        raise PlanError("nothing to score: the network has no layer with weights")
    return chosen
