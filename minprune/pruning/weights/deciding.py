"""Deciding about weights: the strategies of `minprune.pruning.deciding`, one weight or one block of weights at a time.

The lowest scores go first; at a tie the one that comes first in its parameter, row by row. +∞ is never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from ...errors import PlanError
from ...ops import Array
from ...scores import Scores
from ...sparse import as_blocks, as_matrix, check_block
from ..deciding import Global, PerLayer, Strategy, Threshold
from ..ranking import comparable
from .plan import WeightPlan

Kept = dict[str, Array]  # parameter -> bool for every weight or block that has a score


def decide_weights(scores: Scores, strategy: Strategy, block: tuple[int, int] | None = None) -> WeightPlan:
    r"""Choose which weights stay: what `decide` does with scores of weights.

    With blocks B: $I_B = \frac{1}{|B|} \sum_{i,j \in B} I_{ij}$, and whole blocks stay or go.

    Parameters
    ----------
    scores : Scores
        From ``score(net, …, by="weight")``.
    strategy : Global, PerLayer or Threshold
        As for neurons; what is counted are weights, or blocks. Weights that are masked already score −∞, so they are
        part of what the strategy drops: ``Global(0.9)`` means nine tenths in all.
    block : (int, int), optional
        Rows and columns of a block in the matrix (outputs, inputs · kernel entries) that a parameter is taken for.
        Blocks at the edges may be smaller: the mean is taken over what they have, so that they are judged alike.

    Returns
    -------
    WeightPlan
        For networks of the structure that was scored.

    Raises
    ------
    PlanError
        When the strategy would empty a parameter, cannot find as many weights as it should drop, or is none of these.

    Notes
    -----
    Source: Han et al. 2015, *Learning both weights and connections*, section 3 (per layer); blocks: Narang et al.
    2017, *Block-sparse recurrent neural networks* (there the largest modulus of a block counts, here the mean).

    Examples
    --------
    >>> scores = Scores("by hand", {"dense1.W": np.array([[1.0, 5.0], [2.0, 3.0]])}, by="weight")
    >>> decide_weights(scores, Global(2)).keep["dense1.W"]
    array([[False,  True],
           [False,  True]])
    >>> decide_weights(scores, Global(1), block=(1, 2)).keep["dense1.W"]
    array([[ True,  True],
           [False, False]])
    """
    block = (1, 1) if block is None else check_block(block)
    units = _units(scores, block)
    kept = _kept({name: means.ravel() for name, means in units.items()}, strategy)
    keep = {}
    for name, values in scores.items():
        whole = kept[name].reshape(units[name].shape).repeat(block[0], axis=0).repeat(block[1], axis=1)
        keep[name] = whole[: len(values), : prod(values.shape[1:])].reshape(values.shape)
    blocks = "" if block == (1, 1) else f", blocks of {block[0]}×{block[1]}"
    return WeightPlan(keep, scores.fingerprint, f"{scores.criterion}, {strategy}{blocks}")


def part_of(strategy: Strategy, share: float, scores: Scores, block: tuple[int, int] | None = None) -> Strategy:
    """The strategy that masks this share of what the given one does in the end.

    Examples
    --------
    >>> part_of(Global(0.9), 0.5, Scores("by hand", {"dense1.W": np.ones((10, 4))}, by="weight"))
    Global(amount=18, at_least=1, normalise='none')
    """
    units = _units(scores, (1, 1) if block is None else check_block(block))
    sizes = {name: values.size for name, values in units.items()}
    return strategy.part(share, sizes, sizes)  # from the dense network: weights that went before are counted anew


def _units(scores: Scores, block: tuple[int, int]) -> dict[str, Array]:
    """The scores of all blocks, by parameter (r, c)."""
    return {name: _means(as_matrix(values), block) for name, values in scores.items()}


def _means(scores: Array, block: tuple[int, int]) -> Array:
    """The mean over every block, where a weight that is gone already (−∞) counts as 0; −∞ where all of it is gone."""
    gone = np.isneginf(scores)
    sums = as_blocks(np.where(gone, 0, scores), block).sum(axis=(2, 3))
    sizes = as_blocks(np.ones(scores.shape), block).sum(axis=(2, 3))
    return np.where(as_blocks(~gone, block).any(axis=(2, 3)), sums / sizes, -np.inf)


def _kept(scores: Mapping[str, Array], strategy: Strategy) -> Kept:
    """What a strategy leaves of flat scores."""
    if isinstance(strategy, Threshold):
        limit = strategy.limit(Scores("", scores))
        kept = {name: values >= limit for name, values in scores.items()}
        for name, stay in kept.items():
            if not stay.any():
                raise PlanError(f"{name}: all {stay.size} scores lie below the threshold {limit:.4g}; one must stay")
        return kept
    if isinstance(strategy, PerLayer):
        amounts = strategy.amounts({name: values.size for name, values in scores.items()})
        kept = {name: np.ones(values.size, dtype=bool) for name, values in scores.items()}
        for name, amount in amounts.items():
            kept.update(_without_lowest({name: scores[name]}, amount, strategy.at_least, name))
        return kept
    if isinstance(strategy, Global):
        count = strategy.count({name: values.size for name, values in scores.items()})
        levels = comparable(Scores("", scores), strategy.normalise)
        return _without_lowest(levels, count, strategy.at_least, "Global")
    raise PlanError(f"weights are chosen by Global, PerLayer or Threshold, got {strategy!r}")


def _without_lowest(scores: Mapping[str, Array], count: int, at_least: int, what: str) -> Kept:
    """All but the `count` lowest of all together; the highest `at_least` of each parameter stay in any case."""
    candidates = {}
    for name, values in scores.items():
        spared = np.argsort(values, kind="stable")[max(0, values.size - at_least) :]
        candidates[name] = values.copy()
        candidates[name][spared] = np.inf
    pooled = np.concatenate(list(candidates.values()))
    spare = int((pooled < np.inf).sum())
    if count > spare:
        raise PlanError(
            f"{what}: {count} of {pooled.size} were to go, but only {spare} can: "
            f"{at_least} of each parameter must stay, and so must all with a score of +∞; take less"
        )
    kept = np.ones(pooled.size, dtype=bool)
    kept[np.argsort(pooled, kind="stable")[:count]] = False
    ends = np.cumsum([values.size for values in scores.values()])[:-1]
    return dict(zip(scores, np.split(kept, ends), strict=True))
