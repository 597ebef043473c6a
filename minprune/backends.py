"""Which implementation runs: a registry of kernels and one context variable.

NumPy functions marked `@accelerable` are the references: they say what is computed. A kernel registers itself as an
accelerator of one of them, for one backend; there is no way to register a kernel without its reference. A kernel that
does not take every argument (rationals, or sizes where NumPy is faster) comes with the rule by which it takes them;
everything else runs the reference, and `table` shows the rules.

Which backend is in force is the only global state of the package, and it is a context variable: threads and tasks do
not disturb each other. Numba, and the kernels written with it, are imported when the backend is first chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

from .errors import MinpruneError

P = ParamSpec("P")
R = TypeVar("R")

NAMES = ("numpy", "numba", "cuda")
_active: ContextVar[str] = ContextVar("minprune_backend", default="numpy")


@dataclass(frozen=True)
class Kernel:
    """What runs in place of a reference, and which arguments it takes."""

    run: Callable[..., Any]
    takes: Callable[..., bool]

    @property
    def rule(self) -> str:
        """The rule in words: the first line of its docstring."""
        return (self.takes.__doc__ or self.takes.__name__).strip().splitlines()[0]


_kernels: dict[str, dict[str, Kernel]] = {}  # reference name -> backend -> kernel


def everything(*args: Any, **kwargs: Any) -> bool:
    """everything"""  # noqa: D403 (it stands in a table)
    return True


def accelerable(reference: Callable[P, R]) -> Callable[P, R]:
    """Mark a NumPy function as a reference that kernels may accelerate.

    The returned function runs the kernel of the backend in force, or the reference where that backend has none or
    its kernel does not take the arguments.

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
        kernel = kernels.get(_active.get())
        if kernel is None or not kernel.takes(*args, **kwargs):
            return reference(*args, **kwargs)
        return kernel.run(*args, **kwargs)

    return run


def accelerates(
    reference: Callable[..., Any], name: str, takes: Callable[..., bool] = everything
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as the kernel of `reference` for backend `name`, instead of one it may have.

    Parameters
    ----------
    reference : function
        Marked `@accelerable`; the kernel takes the same arguments.
    name : {"numba", "cuda"}
        The backend.
    takes : function
        From the same arguments to whether the kernel takes them. The first line of its docstring is the rule in words.

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

    _load(name)  # first: what is registered later is what runs

    def register(kernel: Callable[..., Any]) -> Callable[..., Any]:
        _kernels[key][name] = Kernel(kernel, takes)
        return kernel

    return register


def _load(name: str) -> None:
    """Import the package's own kernels for a backend, once."""
    if name != "numpy":
        import_module({"numba": ".kernels", "cuda": ".kernels.cuda"}[name], __package__)


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
        The backend to use from here on, or within a `with` block. Without a name nothing changes. Naming "numba" or
        "cuda" imports its kernels; each is compiled when it is first called (`minprune warmup` does it ahead for
        "numba"). What they take is in `table`; everything else runs NumPy. "cuda" takes every array to the device and
        back; `minprune.kernels.cuda.Program` keeps a whole network there. It has run in Numba's simulator, but not
        on a GPU yet.

    Returns
    -------
    str or context manager
        The backend in force, or a context manager that restores the one before on leaving.

    Raises
    ------
    MinpruneError
        When the name is unknown, no kernel is registered for it (it would run NumPy under another name), or there is
        no device for "cuda".
    MissingPackageError
        When numba-cuda is not installed.

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
    _load(name)
    if name != "numpy" and not any(name in kernels for kernels in _kernels.values()):
        raise MinpruneError(f"backend {name!r} has no kernels in this version; use backend('numpy')")
    if name == "cuda":
        from .kernels.cuda import require_device

        require_device()
    return _Choice(name)


def table() -> dict[str, dict[str, str]]:
    """Every accelerable function, the backends that have a kernel for it, and what each takes.

    Whatever a kernel does not take, and every function without one, runs the NumPy reference. The kernels of "numba"
    and "cuda" are listed once that backend has been chosen, since they are imported then.

    Examples
    --------
    >>> table()["minprune.ops.affine.affine"]["numpy"]
    'everything'
    """
    rules = {key: {name: kernel.rule for name, kernel in sorted(found.items())} for key, found in _kernels.items()}
    return {key: {"numpy": "everything", **rules[key]} for key in sorted(rules)}


def _key(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
