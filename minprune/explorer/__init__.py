"""The explorer: a trace as one self-contained web page that draws, steps, and computes again what it shows.

The page is complete as HTML: title, formulas (as MathML), numbers, source lines. Its script shows one step at a time,
and replays the trace's op program with neurons held at zero: one small function per op, in ``assets/ops.js``, each
checked against the trace whenever the page is opened.
"""

from .making import RULES, explore

__all__ = ["RULES", "explore"]
