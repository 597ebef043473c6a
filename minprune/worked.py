r"""The document's worked example (4.3): 3 inputs, 5 hidden neurons, 2 outputs, number by number.

The document gives the architecture, the input and the target, but neither weights nor activation: those here are
fixed such that the printed rule removes exactly the two neurons that the document names, h1 and h3 (spec D1, D6).

`printed` are the right-hand sides as the document writes them, $\sum_i (y_i - o_i)\, \partial o_i / \partial h_j$;
their correction is $\partial L / \partial h_j = \sum_i (o_i - y_i)\, \partial o_i / \partial h_j$: the same with the
other sign (spec D3, D4).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .layers import Dense, Sigmoid
from .nn import Graph, Sequential
from .pruning.deciding import Global, decide
from .pruning.plan import Plan
from .pruning.surgery import mask, remove
from .recording import Recording, record
from .scores import Scores, score

Numbers = NDArray[np.float64]

X = [[1.0, 2.0, 3.0]]
TARGET = [[0.0, 1.0]]
WEIGHTS: dict[str, Any] = {
    "dense1.W": [[0.3, 0.3, 0.1], [0.3, -0.1, -0.3], [0.1, 0.2, 0.4], [0.4, 0.3, -0.2], [-0.4, 0.4, 0.3]],
    "dense1.b": [-0.1, -0.2, 0.1, 0.0, -0.3],
    "dense2.W": [[-0.9, -0.1, -0.7, -0.6, -0.1], [0.6, -0.4, 0.7, -0.6, -0.5]],
    "dense2.b": [0.2, 0.1],
}
LOSS = "half_squared_error"  # spec D2
RULES = (
    "inverse_sensitivity",
    "inverse_sensitivity_signed",
    "sensitivity",
    "taylor",
    "taylor_signed",
    "leave_one_out",
)
PRINTED_SIGNS = "inverse of 4.3 as printed"  # 1 / printed right-hand side, without a modulus (spec D6)


def network(output: str = "sigmoid", dtype: Any = np.float64) -> Graph:
    """The example's network, with a sigmoid or a linear output.

    Parameters
    ----------
    output : {"sigmoid", "linear"}
        The linear one is the case of spec B5.
    dtype : numpy float dtype
        Of its arrays.

    Examples
    --------
    >>> network()(X).round(4)
    array([[0.1772, 0.579 ]])
    """
    if output not in ("sigmoid", "linear"):
        raise DataError(f"output is {output!r}, expected 'sigmoid' or 'linear'")
    last = [Sigmoid()] if output == "sigmoid" else []
    net = Sequential(Dense(3, 5), Sigmoid(), Dense(5, 2), *last, dtype=dtype)
    for name, values in WEIGHTS.items():
        net.params[name] = values
    return net


@dataclass(frozen=True, eq=False)
class WorkedExample:
    """Every number of section 4.3, computed by the engine.

    Attributes
    ----------
    net : Graph
    rec : Recording
        Forward and backward: ``rec["dense1"].z`` is z1, ``.a`` is h, ``.grad_a`` is ∂L/∂h, and so on.
    printed : array (5,)
        The document's right-hand sides for ∂L/∂h_j.
    scores : dict
        Rule -> scores of h1 … h5; besides the rules of `RULES` also `PRINTED_SIGNS`.
    picks : dict
        Rule -> the pair it removes, counted from 0.
    loss_without : dict
        The loss without one neuron (j,) or two (i, j).
    """

    net: Graph
    rec: Recording
    printed: Numbers
    scores: dict[str, Scores]
    picks: dict[str, list[int]]
    loss_without: dict[tuple[int, ...], float]

    def change(self, *neurons: int) -> float:
        """By how much the loss changes without these neurons."""
        return self.loss_without[neurons] - self.rec.loss


def example(output: str = "sigmoid") -> WorkedExample:
    """Work through the example.

    Parameters
    ----------
    output : {"sigmoid", "linear"}

    Returns
    -------
    WorkedExample

    Notes
    -----
    Source: spec D1 to D7 (document 4.3).

    Examples
    --------
    >>> worked = example()
    >>> round(worked.rec.loss, 6)
    0.104341
    >>> worked.picks["inverse_sensitivity"], round(worked.loss_without[0, 2], 6)  # h1 and h3, and what it does
    ([0, 2], 0.322879)
    >>> worked.picks["taylor"], round(worked.loss_without[1, 3], 6)
    ([1, 3], 0.077998)
    """
    net = network(output)
    rec = record(net, X, TARGET, loss=LOSS)
    printed = printed_right_hand_sides(rec)
    scores = {rule: score(net, (X, TARGET), rule, loss=LOSS) for rule in RULES}
    scores[PRINTED_SIGNS] = Scores(PRINTED_SIGNS, {"dense1": 1 / printed})
    loss_without = {
        gone: record(mask(net, Plan({"dense1": gone})), X, TARGET, loss=LOSS).loss
        for count in (1, 2)
        for gone in combinations(range(5), count)
    }
    picks = {rule: decide(found, Global(2)).drop["dense1"] for rule, found in scores.items()}
    return WorkedExample(net, rec, printed, scores, picks, loss_without)


def printed_right_hand_sides(rec: Recording) -> Numbers:
    r"""What the document prints for ∂L/∂h_j: $\sum_i (y_i - o_i)\, g'(z_i)\, w_{ij}$ (spec D3, D4; the sign is wrong).

    Parameters
    ----------
    rec : Recording
        Of the example.

    Returns
    -------
    array (5,)
    """
    o, W = rec.output[0], rec.net.params["dense2.W"]
    slope = o * (1 - o) if "sigmoid2" in rec.net.nodes else np.ones_like(o)  # g'(z)
    return ((np.array(TARGET[0]) - o) * slope) @ W  # (2,)(2,5) -> (5,)


def printed_linear_shortcut(rec: Recording) -> Numbers:
    r"""What 4.2 claims for a linear output (B5): $\partial y / \partial o_i = 1$, so $s_i = \partial L / \partial y$.

    Taken literally every hidden neuron gets the same number, and no ranking exists. The correct slope goes through the
    outgoing weights: $s_j = \sum_k w_{kj}\, \partial L / \partial y_k$, which is ``rec["dense1"].grad_a``.

    Parameters
    ----------
    rec : Recording
        Of the example, best with the linear output.

    Returns
    -------
    array (5,)

    Examples
    --------
    >>> worked = example("linear")
    >>> printed_linear_shortcut(worked.rec).round(4)
    array([-2.2166, -2.2166, -2.2166, -2.2166, -2.2166])
    >>> worked.rec["dense1"].grad_a[0].round(4)
    array([0.9728, 0.4261, 0.5976, 1.33  , 0.4942])
    """
    slope: Numbers = rec["dense2"].grad_a[0]  # ∂L/∂y_k
    return np.full(5, slope.sum())


def pruned() -> Graph:
    """The document's last step: h1 and h3 removed, a 3-3-2 network (spec D7).

    Examples
    --------
    >>> pruned().params["dense1.W"].shape
    (3, 3)
    """
    return remove(network(), Plan({"dense1": [0, 2]}))


def report() -> str:
    """The example as text: what is printed, what is right, and what each rule's choice does to the loss.

    Examples
    --------
    >>> print(report().splitlines()[3])
    The document's example (4.3): 3-5-2, x = [1, 2, 3], target [0, 1], sigmoid output
    """
    from .reports import table

    lines = [
        "Forward, backward and scores of the document's 3-5-2 example, the signs it prints beside the right ones,",
        "and what the pair that each rule removes does to the loss. The weights are ours: the document gives none.\n",
    ]
    for output in ("sigmoid", "linear"):
        worked = example(output)
        lines.append(f"The document's example (4.3): 3-5-2, x = [1, 2, 3], target [0, 1], {output} output")
        lines.append(f"o = {worked.rec.output[0].round(6)}, L = {worked.rec.loss:.6f}")
        correct = worked.rec["dense1"].grad_a[0]
        rows: list[tuple[Any, ...]] = [
            (f"h{j + 1}", worked.rec["dense1"].a[0, j], worked.printed[j], correct[j], worked.change(j))
            for j in range(5)
        ]
        lines.append(table(("neuron", "output", "∂L/∂h printed", "∂L/∂h correct", "L without − L"), rows))
        picks = [
            (rule, "{" + ", ".join(f"h{j + 1}" for j in pair) + "}", worked.change(*pair))
            for rule, pair in worked.picks.items()
        ]
        lines.append(table(("rule", "removes", "L without − L"), picks, left=2) + "\n")
    lines.append(
        "To learn: a low printed score means a large effect, so the rule removes what matters; but five neurons and"
    )
    lines.append("one sample decide nothing between rules (with the linear output it picks the best pair).")
    return "\n".join(lines)
