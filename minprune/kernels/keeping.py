"""Compiling loops when they are first needed, and keeping what was compiled for the next process.

Numba's own cache looks only at the file of the function. What a kernel becomes also depends on the instructions in
`vectors.py`, on the versions, on the CPU and on the tile that was chosen. So the kernels have a folder of their own in
the user's cache, whose name is a digest of all of these: a change of any makes another folder.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Set
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import config, njit, types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserWideCacheLocator

from .. import __version__
from ..files import user_cache
from .cpu import target
from .vectors import TILE

# `True` would let the compiler take it that there is no NaN and no infinity.
FASTMATH = frozenset({"reassoc", "contract"})


def digest(*, source: str, versions: tuple[str, ...], cpu: tuple[str, ...], tile: str) -> str:
    """A name for all that decides what a kernel becomes.

    Examples
    --------
    >>> one = digest(source="a", versions=("1",), cpu=("x86",), tile="plain loops")
    >>> one == digest(source="b", versions=("1",), cpu=("x86",), tile="plain loops")
    False
    """
    return hashlib.sha256(repr((source, versions, cpu, tile)).encode()).hexdigest()[:16]


@cache
def folder() -> Path:
    """Where compiled kernels are kept: below NUMBA_CACHE_DIR if it is set, or else in the user's cache."""
    source = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py")))
    found = target()
    name = digest(
        source=source,
        versions=(__version__, numba.__version__, llvmlite.__version__),
        cpu=(found.triple, found.cpu, found.features),
        tile=str(TILE),
    )
    root = Path(config.CACHE_DIR) if config.CACHE_DIR else user_cache() / "kernels"
    return root / name


@cache
def can_be_kept() -> bool:
    """Whether the folder is there, or can be made, and takes files. Where it does not, every process compiles anew."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder()):
            return True
    except OSError:
        return False


class _Locator(UserWideCacheLocator):
    def get_cache_path(self) -> str:
        return os.fspath(folder())

    def get_source_stamp(self) -> str:
        return folder().name


class _Impl(CompileResultCacheImpl):
    _locator_classes = [_Locator]


class _Keeper(FunctionCache):
    """Numba's cache of one function, in our folder."""

    _impl_class = _Impl

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:  # the disk is full, or the folder has gone: the kernel itself is there and runs
            warnings.warn(f"{self.cache_path}: a kernel was compiled but not kept: {error.strerror}", stacklevel=2)


COMPILED: list[Compiled] = []  # all there are, for `warming`


class Compiled:
    """Loops that Numba compiles for a kind of numbers when they are first asked for it.

    Parameters
    ----------
    loops : function
        Plain Python, which runs as it is with NUMBA_DISABLE_JIT=1.
    signature : function
        From the Numba type of the numbers to the signature; arrays that are only read take any strides, so that each
        kind of numbers is compiled once.
    fastmath : set of str
        What the compiler may do to sums and products.
    """

    def __init__(
        self, loops: Callable[..., Any], signature: Callable[[Any], Any], fastmath: Set[str] = FASTMATH
    ) -> None:
        self.loops, self.signature, self.fastmath = loops, signature, fastmath
        self.made: dict[np.dtype[Any], Callable[..., Any]] = {}
        COMPILED.append(self)

    def __getitem__(self, dtype: np.dtype[Any]) -> Callable[..., Any]:
        """The function for a kind of numbers."""
        if dtype not in self.made:
            self.made[dtype] = self._make(dtype)
        return self.made[dtype]

    def _make(self, dtype: np.dtype[Any]) -> Callable[..., Any]:
        if config.DISABLE_JIT:
            return self.loops
        made = njit(nogil=True, fastmath=set(self.fastmath), error_model="numpy")(self.loops)
        if can_be_kept():
            made._cache = _Keeper(self.loops)
        made.compile(self.signature(numba.from_dtype(dtype)))
        made.disable_compile()  # arrays of other layouts and flags are converted to the one signature
        return made


def compiled(
    signature: Callable[[Any], Any], fastmath: Set[str] = FASTMATH
) -> Callable[[Callable[..., Any]], Compiled]:
    """Mark loops to be compiled when they are needed."""
    return lambda loops: Compiled(loops, signature, fastmath)


def read(number: Any, ndim: int, layout: str = "A") -> Any:
    """The type of an array that is only read: any strides and alignment, writable or not."""
    return types.Array(number, ndim, layout, readonly=True, aligned=False)


def written(number: Any, ndim: int) -> Any:
    """The type of an array of ours that is written: contiguous."""
    return types.Array(number, ndim, "C")
