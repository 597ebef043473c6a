"""Where something was measured: machine, versions, threads. A number without them says little."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

MISSING = "not installed"
OURS = ("numpy", "numba")


@cache
def openblas() -> str:
    """The kernels that NumPy's OpenBLAS has chosen for this CPU; "unknown" where NumPy has another BLAS.

    Examples
    --------
    >>> openblas() != ""
    True
    """
    for path in (Path(np.__file__).parent.parent / "numpy.libs").glob("*openblas*"):
        name = getattr(ctypes.CDLL(str(path)), "scipy_openblas_get_corename64_", None)
        if name is not None:
            name.restype = ctypes.c_char_p
            return str(name().decode())
    return "unknown"


def surroundings(libraries: Sequence[str] = OURS, threads: int = 1) -> dict[str, Any]:
    """Machine, versions, threads, and how busy the machine is.

    Parameters
    ----------
    libraries : sequence of str
        Distributions whose versions count; those that are not there are "not installed".
    threads : int
        How many each of them uses.

    Returns
    -------
    dict
        ``platform cpu cores python openblas threads load``, and one entry for each library; for JSON.

    Examples
    --------
    >>> surroundings(("nobody-has-this",))["nobody-has-this"]
    'not installed'
    """
    from .kernels.cpu import target  # imports Numba

    found: dict[str, Any] = {"platform": platform.platform(), "cpu": target().cpu, "cores": os.cpu_count()}
    found["python"] = platform.python_version()
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = MISSING
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None  # Windows has none
    return found | {"openblas": openblas(), "threads": threads, "load": load}


def described(found: Mapping[str, Any]) -> str:
    """The same for people, in two lines; a third names what is missing.

    Examples
    --------
    >>> machine = {"platform": "Linux", "cpu": "zen4", "cores": 2, "python": "3.11", "torch": "not installed"}
    >>> print(described(machine | {"openblas": "SkylakeX", "threads": 1, "load": 0.5}))
    Linux, 2 cores (zen4), load 0.5
    python 3.11; OpenBLAS for SkylakeX; threads: 1
    not installed, so passed over: torch
    """
    own = ("platform", "cpu", "cores", "openblas", "threads", "load")
    libraries = {name: told for name, told in found.items() if name not in own}
    missing = [name for name, told in libraries.items() if told == MISSING]
    versions = ", ".join(f"{name} {told}" for name, told in libraries.items() if told != MISSING)
    load = "" if found["load"] is None else f", load {found['load']}"
    lines = [f"{found['platform']}, {found['cores']} cores ({found['cpu']}){load}"]
    lines.append(f"{versions}; OpenBLAS for {found['openblas']}; threads: {found['threads']}")
    return "\n".join([*lines, *([f"{MISSING}, so passed over: {', '.join(missing)}"] if missing else [])])
