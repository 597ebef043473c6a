"""Progress bars: anything that takes over two seconds shows one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = 1.0  # seconds before a bar appears


@contextmanager
def bar(description: str, total: float | None, *, show: bool, unit: str = "count") -> Iterator[Any]:
    """A progress bar on stderr, as a function `advance(by=1, text="")`; what is done within a second shows none.

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
    started, done, drawn = perf_counter(), 0.0, None

    def advance(by: float = 1, text: str = "") -> None:
        nonlocal done, drawn
        done += by
        if show and drawn is None and perf_counter() - started >= PATIENCE:
            drawn = _Drawn(description, total, unit)
        if drawn is not None:
            drawn.update(done, text)

    try:
        yield advance
    finally:
        if drawn is not None:
            drawn.progress.stop()


class _Drawn:
    """A bar on the screen."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        from rich.console import Console  # takes tens of milliseconds to import: only where something is drawn
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        counter = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
        columns = ("{task.description}", BarColumn(), counter, TimeRemainingColumn(), TextColumn("{task.fields[text]}"))
        self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.progress.add_task(description, total=total, text="")
        self.progress.start()

    def update(self, done: float, text: str) -> None:
        self.progress.update(self.task, completed=done, text=text)


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
