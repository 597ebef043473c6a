"""How much can go for a given loss: fractions are tried by bisection, and every trial is kept."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from ..errors import DataError, PlanError
from ..evaluation import Evaluation
from ..formats.state_files import Keeper, Kept, Within
from ..pruning.deciding import Strategy
from ..pruning.results import PruneResult

STEPS = 6  # fractions are told apart to 1/64
SAME = 1e-9  # accuracies are counts divided by counts: closer than this is equal
Run = Callable[[Strategy, Keeper], PruneResult]


def largest_within(run: Run, strategy: Callable[[float], Strategy], max_loss: float, keeper: Keeper) -> PruneResult:
    r"""The pruning that removes most of those that lose at most so much, by bisection along the fraction removed.

    $\max f$ subject to $A - A_f \leq p$, as if $A_f$ fell with f: not always so, but then what is found still holds.

    Parameters
    ----------
    run : function
        Prunes by a strategy, anew and always in the same way.
    strategy : function
        From a fraction to a strategy.
    max_loss : float
        Of accuracy (or R²) on what `run` evaluates on.
    keeper : Keeper
        Keeps what was tried, and where the trial that is under way stands.

    Raises
    ------
    PlanError
        When even the smallest fraction loses more.
    DataError
        When `max_loss` is no fraction.
    """
    if not 0 <= max_loss <= 1:
        raise DataError(f"--max-loss is {max_loss}, expected a fraction of accuracy from 0 to 1")
    kept = keeper.kept()
    tried: list[list[float]] = [] if kept is None else [[float(f), float(lost)] for f, lost in kept.said["tried"]]
    low, high, best = 0.0, 1.0, None
    for step in range(STEPS):
        fraction = (low + high) / 2
        if step < len(tried):
            result, lost = None, tried[step][1]
        else:
            result, lost = _trial(run, strategy(fraction), Within(keeper, Kept({"tried": tried}), "trial"))
            tried.append([fraction, lost])
            keeper.keep(Kept({"tried": tried}))
        if lost <= max_loss + SAME:
            low, best = fraction, result
        else:
            high = fraction
    found = best or (run(strategy(low), Within(keeper, Kept({"tried": tried}), "trial")) if low else None)
    if found is None or not len(found.plan):
        lost = next((lost for fraction, lost in reversed(tried) if fraction == high), inf)
        raise PlanError(
            f"nothing can go: removing {high:.3g} of the neurons already loses {lost:.4f}, allowed are {max_loss:.4g}; "
            "allow more, fine-tune (--epochs) or repair (--repair)"
        )
    return found


def _trial(run: Run, strategy: Strategy, keeper: Keeper) -> tuple[PruneResult | None, float]:
    try:
        result = run(strategy, keeper)
    except PlanError:  # so many cannot go
        return None, inf
    return result, _quality(result.before) - _quality(result.after)


def _quality(found: Evaluation) -> float:
    quality = found.r2 if found.accuracy is None else found.accuracy
    if quality is None:
        raise DataError("the targets do not vary, so nothing can be said to be lost; give other data")
    return quality
