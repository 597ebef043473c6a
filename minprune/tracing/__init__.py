r"""Tracing: forward, backward, scores, decision, removal and check as one list of steps, one formula and result each.

Everything comes from where it is computed: formulas from the ops' and criteria's own records, numbers from the tape,
summands from the ops' terms and the slopes of their rules. The trace is computed in float64, whatever the network's
dtype, so that sums come out as they are shown.

The JSON, ``"minprune trace 1"``
--------------------------------
`Trace.to_json` writes one object; front ends read nothing else. Numbers are JSON numbers that round-trip exactly;
infinite ones (scores, padding of a max-pool) are the texts ``"inf"`` and ``"-inf"``; there is no NaN. TeX is of the
subset that `minprune.unicode_math` knows. All indices count from 0.

``format``
    ``"minprune trace 1"``.
``network``
    ``inputs`` {name: shape of a sample}; ``nodes``, in order, each ``{name, kind, layer (text), inputs [names],
    shape}``; ``groups``, each ``{name, size, stays (why none can go, or ""), values {value: [neuron of each channel,
    −1: none of this group]}}``; ``output`` (a node), ``loss`` (its name), ``samples`` (how many), ``dtype`` (the
    network's own).
``focus``
    ``{layer, neuron, sample}``, each null where it is not restricted.
``sources``
    Where things are computed: a list of ``{file, line, code}``.
``steps``
    A list; each step has

    * ``phase``: forward, backward, scores, decision, removal or check, in this order;
    * ``title``, ``says``: texts; ``formula`` (of the record), ``written`` (for this entry), ``plugged`` (with numbers,
      to six digits): TeX, or "";
    * ``exact``: whether the numbers in ``plugged`` are whole rather than cut;
    * ``result``: a number, or null where ``detail`` holds the outcome;
    * ``terms``: all summands, each ``{tex, plugged, names [of the factors, or empty], factors [numbers], value,
      exact, columns {heading: number}}``; ``combine``: how they make the result: sum, max, mean, product, root of
      the sum, "sum over samples / N", or order (a ranking: nothing is added);
    * ``where`` {letter of the formula: name of a value, "∂ℓ/∂name" or "∂L/∂name"}, ``shapes`` {letter or array: shape};
    * ``source``: which of ``sources``, or null; ``about``: ``{kind (value, gradient, neuron, plan, array or network),
      name, index, sample, group, neuron}``, null where it does not apply;
    * ``detail``, by phase: forward ``{}``; backward ``{through (a value, or several that are added), part (whether
      others are to be added)}``; scores ``{of (what a term belongs to), reduced, source}``; decision ``{criterion, drop
      {group: [neurons]}, order [{group, neuron, score, goes}], why}``; removal ``{axis, dropped, kept, before, after}``
      or, last, ``{sizes {params, macs, bytes: [before, after]}}``; check ``{masked, removed, difference, bound, ok,
      inputs}`` or ``{plan, drop, loss, without}``.
``scores``
    {criterion: ``{formula, source, by_group {group: [score of each neuron]}}``}.
``values``, ``gradients``
    {input or node: array}, {input, node or parameter: array}; gradients by values are those of each sample's own loss,
    by parameters of the mean loss. An array is ``{shape, data}``, data flat in row order.
``program``
    What computes the losses again: ``arrays`` {name: array}; ``ops``, in order, each ``{op (a name of
    `minprune.ops.OPS`), inputs {argument: name of a value, or null}, options, output (name), node, shape}``; ``gates``
    {group: [``{array, owner}``]}: to mask neuron j, set every entry of the arrays whose owner is j to 0; ``values``
    {input or node: name of the value that holds it}, since a node without an op (dropout) hands on what it reads;
    ``output``, ``losses``, ``loss``: names of values.

``values``, ``gradients`` and ``program`` are null for a network of more than 100,000 numbers.
"""

from .focus import Focus
from .steps import PHASES, About, Source, Step
from .tracer import LIMIT, Trace, trace

__all__ = ["LIMIT", "PHASES", "About", "Focus", "Source", "Step", "Trace", "trace"]
