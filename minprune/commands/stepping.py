"""The command `step`: a network followed number by number, on a screen of its own or all at once."""

from __future__ import annotations

import shutil
from argparse import Namespace
from dataclasses import dataclass
from typing import Any

from .. import terminal
from .. import worked as worked_example
from ..datasets.samples import as_samples, count, rows
from ..errors import DataError
from ..formats import load
from ..nn import Graph
from ..pruning.deciding import Global
from ..tracing import Focus, Trace, trace
from ..tracing.text import COLUMNS, heading, step_text
from ..tracing.tracer import RULES
from .pruning import fraction_of
from .shared import Outcome, for_network

HELP = "n next · p back · 12 Enter or 12 g: to step 12 · g first · G last · q quit"


def step(args: Namespace) -> Outcome:
    """Follow a network, step by step or all at once."""
    net, x, y, loss = network_and_samples(args)
    amount = args.remove
    worked_default = args.model is None and amount is None
    strategy = Global(2) if worked_default else fraction_of(0.5 if amount is None else amount, "global")
    found = trace(net, x, y, loss, strategy, args.criteria or RULES, Focus(args.layer, args.neuron), rng=args.seed)
    if args.json:
        return "", found.as_dict()
    if args.all or not terminal.is_interactive():
        return _introduced(found, args), {}
    last = play(found)
    return f"left at step {last + 1} of {len(found.steps)}: {found.steps[last].title}", {}


def _introduced(found: Trace, args: Namespace) -> str:
    """All steps, behind a line that says which sample it is."""
    if args.model is None:
        return found.to_text()
    sample = f"training sample {args.sample or 0} of {args.data}, target {found.y[0]}; it is sample 0 here"
    return f"{args.model}: {sample}\n\n{found.to_text()}"


def network_and_samples(args: Namespace, samples: int = 1) -> tuple[Graph, Any, Any, str | None]:
    """The document's example with its sample, or a saved network with so many training samples from one on."""
    if args.model is None:
        if args.sample is not None:
            raise DataError("the document's example has one sample; leave --sample out, or name a network and data")
        net = worked_example.network("linear" if args.linear else "sigmoid")
        return net, worked_example.X, worked_example.TARGET, worked_example.LOSS
    if args.linear:
        raise DataError("--linear is the document's example with a linear output; leave it out for a saved network")
    if args.data is None:
        raise DataError(f"{args.model}: name the data beside the network, such as digits")
    net = load(args.model)
    x, y = as_samples(for_network(net, args, args.data))
    n = args.sample or 0
    if not 0 <= n < count(x):
        raise DataError(f"{args.data}: no training sample {n}; expected 0 to {count(x) - 1}")
    return net, rows(x, slice(n, n + samples)), y[n : n + samples], None


@dataclass
class Place:
    """Where a reader is: the step, the digits typed so far, a word to say, and whether to stop."""

    total: int
    at: int = 0
    typed: str = ""
    note: str = ""
    done: bool = False

    def press(self, key: str) -> None:
        """Do what a key says.

        Examples
        --------
        >>> place = Place(total=91)
        >>> for key in ("n", "n", "p", "1", "2", "enter"):
        ...     place.press(key)
        >>> place.at
        11
        """
        self.note = ""
        if len(key) == 1 and key in "0123456789":
            self.typed += key
            return
        typed, self.typed = self.typed, ""
        if key in ("enter", "g") and typed:
            self._jump(int(typed))
        elif key in ("n", "enter"):
            self._jump(self.at + 2, "this is the last step")
        elif key == "p":
            self._jump(self.at, "this is the first step")
        elif key in ("g", "home"):
            self.at = 0
        elif key in ("G", "end"):
            self.at = self.total - 1
        elif key == "q":
            self.done = True
        else:
            self.note = f"{key!r} does nothing"

    def _jump(self, number: int, otherwise: str = "") -> None:
        if 1 <= number <= self.total:
            self.at = number - 1
        else:
            self.note = otherwise or f"there is no step {number}"


def play(found: Trace) -> int:
    """Show one step at a time, as the keys say; the step that was shown last."""
    place = Place(len(found.steps))
    with terminal.keys() as read:
        while not place.done:
            print(_screen(found, place) if read else _page(found, place, COLUMNS), end="", flush=True)
            for key in [read()] if read else _line():
                place.press(key)
    return place.at


def _line() -> list[str]:
    """The keys that a line stands for: ``12`` jumps, nothing goes on."""
    try:
        line = input().strip()
    except EOFError:
        return ["q"]
    return [*line, "enter"] if line.isdigit() or not line else [*line]


def _page(found: Trace, place: Place, columns: int) -> str:
    phase = heading(found.steps[place.at].phase)
    last = place.note or (f"to step {place.typed}: Enter or g" if place.typed else HELP)
    return f"{phase}\n\n{step_text(found.steps, place.at, columns)}\n\n{last}\n"


def _screen(found: Trace, place: Place) -> str:
    """A page cut to the screen."""
    columns, height = shutil.get_terminal_size()
    *lines, last = _page(found, place, min(COLUMNS, columns)).splitlines()
    room = height - 2
    if len(lines) > room:
        lines = [*lines[: room - 1], f"  … {len(lines) - room + 1} more lines: a larger window, or --all"]
    return terminal.CLEAR + "\n".join([*lines, last[:columns]])
