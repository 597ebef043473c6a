"""Progress bars: anything that takes over two seconds shows one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def bar(description: str, total: float | None, *, show: bool, unit: str = "count") -> Iterator[Any]:
    """A progress bar on stderr, as a function `advance(by=1, text="")`.

    Parameters
    ----------
    description : str
        What is being done.
    total : float or None
        How many units there are; None where nobody knows.
    show : bool
        With False the same function is handed out, and nothing is drawn.
    unit : {"count", "bytes"}
        How the numbers are written.

    Yields
    ------
    advance : callable
        Call it with the number of units done since the last call and, optionally, a text to show behind the bar.

    Examples
    --------
    >>> with bar("scoring", 3, show=False) as advance:
    ...     for _ in range(3):
    ...         advance()
    """
    if not show:
        yield lambda by=1, text="": None
        return
    from rich.console import Console  # rich takes tens of milliseconds to import: only where something is drawn
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    counter = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    columns = ("{task.description}", BarColumn(), counter, TimeRemainingColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, text="")

        def advance(by: float = 1, text: str = "") -> None:
            progress.update(task, advance=by, text=text)

        yield advance


def track(items: Iterable[T], description: str, *, show: bool, total: int | None = None) -> Iterator[T]:
    """Iterate over `items` with a progress bar.

    Examples
    --------
    >>> list(track([1, 2], "counting", show=False))
    [1, 2]
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(description, total, show=show) as advance:
        for item in items:
            yield item
            advance()
