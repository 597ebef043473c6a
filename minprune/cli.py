"""The command line: ``minprune demo``, ``minprune train …``. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from . import __version__
from .errors import MinpruneError
from .usage import COMMANDS

# One BLAS thread, unless the user has set another number. NumPy reads it when it is first imported, by the command.
# The matrices here are small: a second thread gains little, and where another program wants its core, the two wait for
# each other (a demo of half a minute took two). And "same seed, same bytes" holds at a fixed number of threads.
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")


def main(argv: Sequence[str] | None = None) -> int:
    r"""Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        By default the process's own arguments.

    Returns
    -------
    int
        0 done, 1 the work failed, 2 wrong usage, 130 interrupted.

    Examples
    --------
    >>> main(["formulas", "--op", "relu"])
    relu: x (N, …) -> y (N, …)
      forward  y = x [x > 0]
      by x     x̄ = g [x > 0]
      kink     at x = 0 the slope is 0
    0
    """
    args = _parser().parse_args(argv)
    args.words = list(sys.argv[1:] if argv is None else argv)  # for a report that says how to do it again
    for variable in THREADS:
        os.environ.setdefault(variable, "1")
    try:
        text, content = getattr(import_module(".commands", __package__), args.command)(args)
    except MinpruneError as error:
        print(f"minprune {args.command}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"minprune {args.command}: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"minprune {args.command}: interrupted{f'; {stop}' if str(stop) else ''}", file=sys.stderr)
        return 130
    code = _print(json.dumps(content) if args.json else text)
    if "failed" in content:  # the command did its work, and what it says is no
        print(f"minprune {args.command}: {content['failed']}", file=sys.stderr)
        return 1
    return code


def _print(text: str) -> int:
    """Print; a reader that has gone away (``minprune worked | head``) is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it exits
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minprune", description="Importance-scored neuron pruning: score, remove, check, measure."
    )
    parser.add_argument("--version", action="version", version=f"minprune {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (description, example, arguments) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=description,
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("--json", action="store_true", help="print JSON instead of text")
        arguments(command.add_argument)
    return parser
