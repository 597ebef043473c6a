"""Commands that show what is there: formulas, data sets, the document's example and program."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from .. import fetching
from .. import worked as worked_example
from ..datasets.known import SETS
from ..errors import DataError
from ..ops import OPS
from ..reports import table
from ..scores import CRITERIA
from ..unicode_math import to_unicode
from .shared import Outcome


def formulas(args: Namespace) -> Outcome:
    """The formula sheet."""
    if args.criteria:
        from ..scores import criteria

        text = criteria() if args.tex else criteria(write=to_unicode)
        return text, {c.name: {"formula": c.formula, "source": c.source} for c in CRITERIA.values()}
    chosen = [op for op in OPS if args.op in (None, op.name)]
    if not chosen:
        raise DataError(f"no op is called {args.op!r}; there are {', '.join(op.name for op in OPS)}")
    write = str if args.tex else to_unicode
    blocks = []
    for op in chosen:
        lines = [f"{op.name}: {op.shapes}", f"  forward  {write(op.formula)}"]
        lines += [f"  {f'by {arg}':7}  {write(formula)}" for arg, formula in op.rules.items()]
        lines += [f"  kink     {op.kink}"] if op.kink else []
        blocks.append("\n".join(lines))
    content = {
        op.name: {"formula": op.formula, "rules": op.rules, "shapes": op.shapes, "kink": op.kink} for op in chosen
    }
    return "\n\n".join(blocks), content


def data(args: Namespace) -> Outcome:
    """List or fetch data sets."""
    if args.name is None:
        rows = [(name, known.title, known.licence, known.home) for name, known in SETS.items()]
        text = table(("name", "what", "licence", "home"), rows, left=4)
        return f"{text}\n\ninto {fetching.root_folder()}", {name: known.home for name, known in SETS.items()}
    folder = fetching.fetch(args.name)
    return f"{args.name} is in {folder}", {"name": args.name, "folder": str(folder)}


def worked(args: Namespace) -> Outcome:
    """The document's worked example."""
    found = {output: worked_example.example(output) for output in ("sigmoid", "linear")}
    content = {
        output: {"loss": w.rec.loss, "picks": w.picks, "printed": w.printed.tolist()} for output, w in found.items()
    }
    return worked_example.report(), content


def listing(args: Namespace) -> Outcome:
    """The document's program."""
    from ..listing import run

    return run(Path(args.out), hidden=args.hidden, seed=args.seed)
