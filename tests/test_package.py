"""The package itself: what importing it costs, and that every public name is where it says."""

from __future__ import annotations

import subprocess
import sys

import pytest

import minprune
import minprune as mp


def test_importing_loads_no_heavy_package() -> None:
    code = (
        "import minprune, sys; print([n for n in ('numba', 'matplotlib', 'rich', 'torch', 'onnx') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_training_and_pruning_load_no_numba_matplotlib_or_extra() -> None:
    code = (
        "import minprune as mp, sys\n"
        "net = mp.Sequential(mp.Dense(64, 8), mp.ReLU(), mp.Dense(8, 10))\n"
        "mp.fit(net, mp.data.digits(), epochs=1, progress=False)\n"
        "mp.prune(net, mp.data.digits())\n"
        "print([n for n in ('numba', 'matplotlib', 'torch', 'sklearn') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [name for name in dir(mp) if not name.startswith("_")])
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(mp, name) is not None


def test_an_unknown_name_is_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="minprune has no 'prunes'"):
        _ = mp.prunes


def test_no_module_hides_a_public_name() -> None:
    for name in dir(mp):
        getattr(mp, name)
    for name in minprune._HOME:
        assert not isinstance(getattr(mp, name), type(sys)), name
