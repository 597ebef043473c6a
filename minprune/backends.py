"""Which implementation runs: a registry of kernels and one context variable.

NumPy functions marked `@accelerable` are the references: they say what is computed. A kernel registers itself as an
accelerator of one of them, for one backend; there is no way to register a kernel without its reference. Which backend
is in force is the only global state of the package, and it is a context variable: threads and tasks do not disturb
each other.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from .errors import MinpruneError

P = ParamSpec("P")
R = TypeVar("R")

NAMES = ("numpy", "numba", "cuda")
_active: ContextVar[str] = ContextVar("minprune_backend", default="numpy")
_kernels: dict[str, dict[str, Callable[..., Any]]] = {}  # reference name -> backend -> kernel


def accelerable(reference: Callable[P, R]) -> Callable[P, R]:
    """Mark a NumPy function as a reference that kernels may accelerate.

    The returned function runs the kernel of the backend in force, or the reference where that backend has none.

    Examples
    --------
    >>> @accelerable
    ... def double(x):
    ...     return 2 * x
    >>> double(4)
    8
    """
    kernels = _kernels.setdefault(_key(reference), {})

    @wraps(reference)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        kernel = kernels.get(_active.get(), reference)
        return kernel(*args, **kwargs)

    return run


def accelerates(reference: Callable[..., Any], name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as the kernel of `reference` for backend `name`.

    Raises
    ------
    MinpruneError
        When `reference` is not `@accelerable` or the backend is unknown.
    """
    key = _key(reference)
    if key not in _kernels:
        raise MinpruneError(f"{key} is not @accelerable: a kernel needs a NumPy reference")
    if name not in NAMES[1:]:
        raise MinpruneError(f"backend {name!r} takes no kernels; expected one of {NAMES[1:]}")

    def register(kernel: Callable[..., Any]) -> Callable[..., Any]:
        _kernels[key][name] = kernel
        return kernel

    return register


class _Choice:
    """The backend just chosen; as a context manager it restores the one before."""

    def __init__(self, name: str) -> None:
        self._token = _active.set(name)
        self.name = name

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *exc: object) -> None:
        _active.reset(self._token)

    def __repr__(self) -> str:
        return f"<backend {self.name}>"


def backend(name: str | None = None) -> Any:
    """Tell which backend runs, or choose one.

    Parameters
    ----------
    name : {"numpy", "numba", "cuda"}, optional
        The backend to use from here on, or within a `with` block. Without a name nothing changes.

    Returns
    -------
    str or context manager
        The backend in force, or a context manager that restores the one before on leaving.

    Raises
    ------
    MinpruneError
        When the name is unknown, or no kernel is registered for it (it would run NumPy under another name).

    Examples
    --------
    >>> backend()
    'numpy'
    >>> with backend("numpy") as name:
    ...     print(name)
    numpy
    """
    if name is None:
        return _active.get()
    if name not in NAMES:
        raise MinpruneError(f"unknown backend {name!r}; expected one of {', '.join(NAMES)}")
    if name != "numpy" and not any(name in kernels for kernels in _kernels.values()):
        raise MinpruneError(f"backend {name!r} has no kernels in this version; use backend('numpy')")
    return _Choice(name)


def table() -> dict[str, tuple[str, ...]]:
    """Every accelerable function and the backends that have a kernel for it; the others run the NumPy reference.

    Examples
    --------
    >>> "numpy" in table()["minprune.ops.affine.affine"]
    True
    """
    return {key: ("numpy", *sorted(kernels)) for key, kernels in sorted(_kernels.items())}


def _key(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
