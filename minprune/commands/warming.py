"""The command that compiles ahead."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from ..reports import duration, table
from .shared import Outcome


def warmup(args: Namespace) -> Outcome:
    """Compile all kernels."""
    from ..kernels.cpu import target  # imports Numba
    from ..kernels.keeping import can_be_kept, folder
    from ..kernels.vectors import TILE
    from ..kernels.warming import warm_up

    found = warm_up()
    kept = can_be_kept()
    rows = [(row.kernel, row.dtype, row.how, duration(row.seconds)) for row in found]
    where = f"kept in {folder()}" if kept else f"not kept: {folder()} cannot be written; every process compiles anew"
    text = f"{table(('kernel', 'numbers', 'how', 'time'), rows, left=3)}\n\n{target().cpu}: {TILE}\n{where}"
    content = {
        "cpu": target().cpu,
        "tile": str(TILE),
        "folder": str(folder()),
        "kept": kept,
        "kernels": [asdict(row) for row in found],
    }
    return text, content
