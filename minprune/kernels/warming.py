"""Compiling all kernels ahead, so that the first call of a program does not have to."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from numba import config

from ..progress import track
from .gemm import NOTHING
from .keeping import COMPILED, Compiled


@dataclass(frozen=True)
class Warmed:
    """One kernel for one kind of numbers: how it came, and how long that took."""

    kernel: str
    dtype: str
    how: str
    seconds: float


def warm_up(progress: bool = True) -> list[Warmed]:
    """Compile every kernel for float32 and float64, or load what is kept.

    Parameters
    ----------
    progress : bool
        Whether to show a bar.

    Returns
    -------
    list of Warmed
    """
    pairs = [(kernel, dtype) for kernel in COMPILED for dtype in NOTHING]
    found = []
    for kernel, dtype in track(pairs, "compiling kernels", show=progress):
        started = perf_counter()
        known = dtype in kernel.made
        made = kernel[dtype]
        how = "was loaded already" if known else _how(made)
        found.append(Warmed(_name(kernel), dtype.name, how, perf_counter() - started))
    return found


def _how(made: object) -> str:
    if config.DISABLE_JIT:
        return "stays plain Python (NUMBA_DISABLE_JIT)"
    return "loaded" if sum(made.stats.cache_hits.values()) else "compiled"  # type: ignore[attr-defined]


def _name(kernel: Compiled) -> str:
    return kernel.loops.__name__
