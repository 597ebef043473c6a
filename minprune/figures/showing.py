"""Showing a figure where it is made: in a notebook below its cell, elsewhere as a file."""

from __future__ import annotations

import io
import sys
from importlib import import_module
from pathlib import Path

from matplotlib.figure import Figure

from .drawing import save

FOLDER = "minprune-tutorials"
NOTEBOOK_DPI = 90  # half of what paper needs; a notebook with five pictures stays below 200 kB


def show(figure: Figure, name: str) -> None:
    """Show a figure in a notebook; anywhere else write it as ``minprune-tutorials/NAME.png`` and say so.

    Parameters
    ----------
    figure : Figure
    name : str
        What the picture shows, as the name of a file without its suffix; in a notebook the text beside it.

    Examples
    --------
    >>> import os, tempfile
    >>> from minprune.figures.drawing import new_figure
    >>> os.chdir(tempfile.mkdtemp())
    >>> show(new_figure(2, 1), "nothing")
    figure: minprune-tutorials/nothing.png
    """
    if not _in_notebook():
        path = Path(FOLDER) / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        save(figure, path)
        print(f"figure: {path.as_posix()}")
        return
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=NOTEBOOK_DPI, metadata={"Software": None})
    shown = {"image/png": drawn.getvalue(), "text/plain": f"figure: {name}"}
    import_module("IPython.display").display(shown, raw=True)


def _in_notebook() -> bool:
    """Whether cells of a notebook are being run: then IPython has been imported, and has a kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
