"""Sensitivity scan: what each layer can spare while the others stay whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..datasets.samples import as_splits
from ..errors import DataError, PlanError
from ..evaluation import Evaluation, evaluate
from ..nn import Graph
from ..progress import bar
from ..pruning.deciding import PerLayer, decide
from ..pruning.repair import Repair
from ..pruning.surgery import remove
from ..reports import table
from ..scores import Criterion, Scores, score

FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Spared:
    """The network without a fraction of one group, all others whole.

    `loss`, `accuracy` and `rmse` are as in an `Evaluation`, or None where so many cannot go (one neuron stays, and so
    do those with a score of +∞).
    """

    group: str
    fraction: float
    removed: int
    loss: float | None
    accuracy: float | None
    rmse: float | None


@dataclass(frozen=True)
class Scan:
    """What each group can spare. `print` it for a table.

    Attributes
    ----------
    rows : list of Spared
        Per group and fraction.
    sizes : dict
        Group -> how many neurons it has.
    dense : Evaluation
        The network as it is.
    scores : Scores
        By which the neurons were chosen.
    evaluated_on : str
        "validation" or "training" data.
    """

    rows: list[Spared]
    sizes: dict[str, int]
    dense: Evaluation
    scores: Scores
    evaluated_on: str

    @property
    def measure(self) -> str:
        """What the table and the figure show: "accuracy", or "rmse" where there are no classes."""
        return "rmse" if self.dense.accuracy is None else "accuracy"

    def curves(self) -> dict[str, tuple[list[float], list[float]]]:
        """Group -> (fractions, accuracy or rmse), from 0 removed up, for `plots.sensitivity_scan`.

        Fractions that cannot go are left out.
        """
        curves = {}
        for group in self.sizes:
            known = [(r.fraction, getattr(r, self.measure)) for r in self.rows if r.group == group]
            known = [(0.0, getattr(self.dense, self.measure)), *(pair for pair in known if pair[1] is not None)]
            curves[group] = ([fraction for fraction, _ in known], [value for _, value in known])
        return curves

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        about = {"criterion": self.scores.criterion, "evaluated_on": self.evaluated_on, "sizes": self.sizes}
        return about | {"rows": [asdict(row) for row in self.rows], "dense": self.dense.as_dict()}

    def __str__(self) -> str:
        fractions = list(dict.fromkeys(row.fraction for row in self.rows))
        lines: list[tuple[Any, ...]] = []
        for group, size in self.sizes.items():
            rows = [row for row in self.rows if row.group == group]
            for measure in (self.measure, "loss"):
                name, count = (group, size) if measure != "loss" else ("", None)
                lines.append((name, measure, count, getattr(self.dense, measure), *(getattr(r, measure) for r in rows)))
        head = ("group", "", "neurons", "dense", *(f"{fraction:.0%}" for fraction in fractions))
        note = f"each group alone, the lowest by {self.scores.criterion} removed; evaluated on {self.evaluated_on} data"
        return f"{table(head, lines, left=2)}\n{note}"


def sensitivity_scan(
    net: Graph,
    data: Any,
    criterion: str | Criterion = "taylor",
    fractions: Iterable[float] = FRACTIONS,
    *,
    repair: str | Repair | None = None,
    groups: list[str] | tuple[str, ...] | None = None,
    loss: str | None = None,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
) -> Scan:
    r"""Remove each fraction of each group alone, and look what it costs.

    $L(\mathrm{without\ the\ } \lfloor f n_g \rfloor \mathrm{\ lowest\ of\ group\ } g)$ for every f and g.

    Parameters
    ----------
    net : Graph
        Is not changed.
    data : (x, y), Samples or Dataset
        Scores and repair see the training part; evaluation the validation part where there is one. The test part is
        never touched.
    criterion : str or Criterion
        Which neurons of a group go first; see `minprune.criteria`.
    fractions : floats
        Of each group's neurons, from 0 to below 1.
    repair : {None, "mean", "least_squares", …} or a repair
        See `remove`.
    groups : names, optional
        By default all hidden ones.
    loss : str, optional
        By default cross-entropy for integer y, else mse.
    rng : int or Generator
        For criteria that draw.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Scan

    Raises
    ------
    DataError
        For a fraction out of range, or none; otherwise as `score` and `remove`.

    Notes
    -----
    A layer that spares much alone need not spare it while others shrink too. Source: Li et al. 2017, *Pruning filters
    for efficient ConvNets*, and Han et al. 2015, *Learning both weights and connections for efficient neural networks*,
    who both plan the fraction of each layer by such a scan.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(64, 16), mp.ReLU(), mp.Dense(16, 8), mp.ReLU(), mp.Dense(8, 10))
    >>> scan = sensitivity_scan(net, mp.data.digits(), "magnitude_l2", [0.25, 0.5])
    >>> [(row.group, row.fraction, row.removed) for row in scan.rows]
    [('dense1', 0.25, 4), ('dense1', 0.5, 8), ('dense2', 0.25, 2), ('dense2', 0.5, 4)]
    """
    wanted = [float(fraction) for fraction in dict.fromkeys(fractions)]
    outside = [fraction for fraction in wanted if not 0 <= fraction < 1]
    if outside or not wanted:
        raise DataError(f"fractions: expected numbers from 0 to below 1, got {outside[0] if outside else 'none'}")
    train, valid = as_splits(data)
    judge = train if valid is None else valid
    scores = score(net, train, criterion, loss=loss, groups=groups, rng=rng, progress=progress)
    rows = []
    with bar("scanning", len(scores) * len(wanted), show=progress) as advance:
        for group in scores:
            for fraction in wanted:
                rows.append(_without(net, scores, group, fraction, repair, train, judge, loss))
                advance(text=f"{group} without {fraction:.0%}")
    dense = evaluate(net, judge, loss=loss, runtime=(), progress=False)
    sizes = {group: len(values) for group, values in scores.items()}
    return Scan(rows, sizes, dense, scores, "training" if valid is None else "validation")


def _without(
    net: Graph,
    scores: Scores,
    group: str,
    fraction: float,
    repair: str | Repair | None,
    train: Any,
    judge: Any,
    loss: str | None,
) -> Spared:
    """The network without that fraction of that group."""
    try:
        plan = decide(scores, PerLayer({group: fraction}))
        plan.check(net)
    except PlanError:  # so many cannot go
        return Spared(group, fraction, 0, None, None, None)
    found = evaluate(remove(net, plan, repair, train), judge, loss=loss, runtime=(), progress=False)
    return Spared(group, fraction, len(plan), found.loss, found.accuracy, found.rmse)
