"""CUDA: kernels agree with NumPy in the simulator and on a GPU, and are assembled for devices that are elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import minprune as mp
from minprune.errors import MinpruneError
from minprune.ops import OPS

HERE = Path(__file__).parent
CHECKS = HERE / "cuda_checks.py"
COMPILED = HERE / "cuda_assembly.py"
INSTALLED = importlib.util.find_spec("numba_cuda") is not None
SIMULATOR = {"NUMBA_ENABLE_CUDASIM": "1"}
needs_package = pytest.mark.skipif(
    not INSTALLED and sys.platform != "linux", reason="numba-cuda is not there for this system"
)


def in_a_process(*words: str, **environ: str) -> str:
    """Run Python in this checkout with another environment, and return what it said."""
    environ = os.environ | environ | {"PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, *words]
    found = subprocess.run(command, capture_output=True, text=True, env=environ, check=False, cwd=HERE.parent)
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    return found.stdout


def checked(*words: str, **environ: str) -> int:
    """Run checks in a process of their own, where NumPy's references have one thread; how many passed."""
    said = in_a_process("-m", "pytest", "-q", "-p", "no:cacheprovider", str(CHECKS), *words, **environ)
    (passed,) = re.findall(r"(\d+) passed", said)
    return int(passed)


def gpu() -> bool:
    """Whether there is a device and a driver."""
    if not INSTALLED:
        return False
    from numba import cuda

    return bool(cuda.is_available())


# In the simulator, and on a GPU ---------------------------------------------------------------------------------------


@needs_package
def test_kernels_and_networks_agree_with_numpy_in_the_simulator() -> None:
    assert checked(**SIMULATOR) > 100


@needs_package
@pytest.mark.slow
def test_kernels_and_networks_agree_with_numpy_in_the_simulator_in_every_case() -> None:
    assert checked("-m", "slow", **SIMULATOR) > 100


@needs_package
@pytest.mark.slow
def test_tiles_and_grids_as_large_as_on_a_gpu_agree_with_numpy() -> None:
    assert checked("-m", "slow", "-k", "full_size", MINPRUNE_CUDA_FULL="1", **SIMULATOR) == 3


@needs_package
def test_what_the_benchmark_times_agrees_with_numpy() -> None:
    said = in_a_process("bench/device.py", "--check", **SIMULATOR)
    assert said.endswith("4 results agree with NumPy's\n")


@pytest.mark.skipif(not gpu(), reason="there is no GPU")
def test_kernels_and_networks_agree_with_numpy_on_the_gpu() -> None:
    assert checked("-m", "slow or not slow", NUMBA_ENABLE_CUDASIM="0") > 200


# Compiled -------------------------------------------------------------------------------------------------------------


@needs_package
def test_every_kernel_compiles_and_assembles_without_spilling_registers() -> None:
    said = in_a_process(str(COMPILED), "float32", "8.0", NUMBA_ENABLE_CUDASIM="0")
    assert re.search(r"^\d+ kernels, 0 with spills, 0 in double precision that should not be$", said, re.MULTILINE)


@needs_package
@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "cc"), [("float64", "8.0"), ("float32", "9.0"), ("float64", "9.0")])
def test_every_kernel_compiles_for_other_devices_and_kinds_of_numbers(dtype: str, cc: str) -> None:
    said = in_a_process(str(COMPILED), dtype, cc, NUMBA_ENABLE_CUDASIM="0")
    assert re.search(r"^\d+ kernels, 0 with spills", said, re.MULTILINE)


# The backend ----------------------------------------------------------------------------------------------------------

CHOOSE = """
import minprune as mp
try:
    mp.backend("cuda")
except Exception as error:
    print(type(error).__name__, error)
"""


@needs_package
@pytest.mark.skipif(gpu(), reason="there is a GPU")
def test_without_a_device_the_backend_is_refused_in_one_line() -> None:
    with pytest.raises(MinpruneError, match="backend 'cuda' needs an NVIDIA GPU and its driver, and finds none; use"):
        mp.backend("cuda")
    assert mp.backend() == "numpy"


def test_without_numba_cuda_the_backend_is_refused_in_one_line() -> None:
    said = in_a_process("-c", f"import sys\nsys.modules['numba_cuda'] = None\n{CHOOSE}")
    assert said == (
        "MissingPackageError backend 'cuda' needs numba-cuda (0.30 or later), which is not installed; "
        "pip install 'minprune[cuda]'\n"
    )


@needs_package
def test_the_simulator_is_a_device() -> None:
    assert in_a_process("-c", f"{CHOOSE}\nprint(mp.backend())", **SIMULATOR) == "cuda\n"


@needs_package
def test_the_table_says_what_cuda_takes() -> None:
    from minprune.kernels import cuda

    assert len(cuda.calls.PAIRS) == 11
    table = mp.backends.table()
    assert table["minprune.ops.conv.conv_grad_W"]["cuda"] == "float32 or float64"
    assert table["minprune.sparse.csr_affine"]["cuda"] == "float32 or float64"


@needs_package
def test_every_op_but_those_of_training_runs_on_the_device_with_all_its_rules() -> None:
    from minprune.kernels.cuda.rules import BACKWARD, FORWARD

    assert {op.name for op in set(OPS) - set(FORWARD)} == {
        *("batch_norm_train", "dropout", "kl_divergence", "mean", "matmul", "power")
    }
    assert set(BACKWARD) == {(op, arg) for op in FORWARD for arg in op.rules}


@needs_package
def test_a_shared_array_is_made_once_in_the_simulator() -> None:
    from minprune.kernels.cuda.simulator import Allocations

    allocations, found = Allocations(), []
    assert allocations.get("left") is None  # whoever finds none makes it, and the others wait
    other = threading.Thread(target=lambda: found.append(allocations.get("left")))
    other.start()
    other.join(0.05)
    assert other.is_alive()
    allocations["left"] = "made"
    other.join(5)
    assert found == ["made"]


@needs_package
def test_a_wrong_kernel_is_found_out() -> None:
    """The checks are worth what they find: one product too few in the sum of a tile."""
    wrong = (
        "import sys, pytest\n"
        "from minprune.kernels.cuda import tiles\n"
        "tiles.DEPTH -= 1  # of what is multiplied, not of what is fetched\n"
        f"sys.exit(pytest.main(['-q', '-x', '-p', 'no:cacheprovider', {str(CHECKS)!r}, '-k', 'affine-float32']))"
    )
    with pytest.raises(AssertionError, match=r"AssertionError: .*, at .*: expected .*, got"):
        in_a_process("-c", wrong, **SIMULATOR)
