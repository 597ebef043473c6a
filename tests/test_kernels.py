"""Kernels: equal to their references on every case, handing over what they do not take, and kept where they can be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_checks import DENSE, IN_PLACE, KERNELS, WAYS, all_cases, check, check_in_place, check_way

import minprune as mp
from minprune import backends
from minprune.cli import main
from minprune.errors import MinpruneError
from minprune.gradcheck import check_op
from minprune.kernels import cpu, dense, gemm, keeping
from minprune.kernels.cases import SMALL, Case, cases, layouts
from minprune.kernels.cpu import TILES, Target, Tile, choose_tile, target
from minprune.kernels.dense import matrices
from minprune.kernels.vectors import BYTES, TILE, tile_loops
from minprune.models import mlp
from minprune.ops import Affine, exact
from minprune.ops.affine import affine, affine_grad_W, affine_grad_x

CHECKS = Path(__file__).with_name("kernel_checks.py")
KEPT = Path(__file__).with_name("kernel_kept.py")
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
NAMES = [reference.__name__ for reference in KERNELS]


def in_a_process(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    found = subprocess.run(command, capture_output=True, text=True, env=os.environ | environ, check=False)
    assert found.returncode == 0, found.stderr
    return found


# Kernel and reference -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("reference", KERNELS, ids=NAMES)
def test_a_kernel_agrees_with_its_reference_on_every_case(reference: Any, dtype: Any) -> None:
    for case in all_cases(reference, dtype):
        check(reference, case)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_a_program_agrees_with_affine_on_every_case(way: str, dtype: Any) -> None:
    for case in cases(affine, dtype):
        check_way(way, case)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("reference", IN_PLACE, ids=[reference.__name__ for reference in IN_PLACE])
def test_a_step_of_an_optimiser_leaves_what_its_reference_leaves(reference: Any, dtype: Any) -> None:
    check_in_place(reference, dtype)


def test_every_function_with_a_kernel_has_cases() -> None:
    with_kernel = {name for name, found in backends.table().items() if "numba" in found}
    assert {f"{function.__module__}.{function.__qualname__}" for function in [*KERNELS, *IN_PLACE]} == with_kernel


def test_a_wrong_kernel_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_summand_short(g: Any, W: Any) -> Any:
        found = g @ W
        found[0, 0] -= g[0, -1] * W[-1, 0]
        return found

    monkeypatch.setitem(KERNELS, affine_grad_x, one_summand_short)
    (case,) = [case for case in cases(affine_grad_x, FLOATS[0]) if case.label == "tile"]
    with pytest.raises(AssertionError, match=r"affine_grad_x, tile, at \(0, 0\): expected .*, got"):
        check(affine_grad_x, case)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[Any, ...]:
    dtype = draw(st.sampled_from(FLOATS))
    N, I, J = (draw(st.integers(0, 70)) for _ in range(3))  # noqa: E741
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def one(*shape: int) -> Any:
        array = rng.standard_normal(shape).astype(dtype)
        return draw(st.sampled_from([array, *layouts(array).values()]))

    return one(N, I), one(J, I), draw(st.sampled_from([None, one(J)])), one(N, J)


@given(arrays())
@settings(max_examples=60)
def test_kernels_agree_with_their_references_for_any_sizes_strides_and_kinds(drawn: tuple[Any, ...]) -> None:
    x, W, b, g = drawn
    for reference, args in ((affine, (x, W, b)), (affine_grad_x, (g, W)), (affine_grad_W, (g, x))):
        check(reference, Case(f"{x.shape} {W.shape}", args))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_relu_is_fused_into_the_last_part_of_a_sum(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for M, K, N in ((5, 3, 50), (9, 1300, 31)):
        A, B, b = (rng.standard_normal(shape).astype(dtype) for shape in ((M, K), (K, N), (N,)))
        plain = gemm.product(A, B, b)
        assert (plain < 0).any()
        np.testing.assert_array_equal(gemm.product(A, B, b, relu=True), np.maximum(plain, 0))


def test_nan_and_infinity_stay_in_their_row_and_pass_the_relu() -> None:
    A, B = np.ones((20, 30), np.float32), np.ones((30, 50), np.float32)
    A[19, 3], A[2, 0] = np.nan, np.inf
    for relu in (False, True):
        found = gemm.product(A, B, relu=relu)
        assert np.isnan(found[19]).all()
        assert np.isposinf(found[2]).all()
        assert (np.delete(found, [2, 19], axis=0) == 30).all()


def test_twice_the_same_gives_the_same_bytes_in_every_thread() -> None:
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((130, 700)).astype(np.float32), rng.standard_normal((700, 60)).astype(np.float32)
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(gemm.product(A, B).tobytes())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {gemm.product(A, B).tobytes()}


# Other widths, and no compiler ----------------------------------------------------------------------------------------


def test_plain_python_does_the_same_where_the_jit_is_off() -> None:
    found = in_a_process(str(CHECKS), "float64", "small", NUMBA_DISABLE_JIT="1")
    assert found.stdout.split() == [str(TILE.bits), "function"]


NARROWER = [width for width in target().widths if width != TILE.bits]


@pytest.mark.parametrize(
    ("width", "dtype"),
    [
        pytest.param(width, dtype, marks=() if (width, dtype.name) == (256, "float32") else pytest.mark.slow)
        for width in NARROWER
        for dtype in FLOATS
    ],
    ids=str,
)
def test_every_width_that_this_cpu_has_agrees_too(width: int, dtype: Any) -> None:
    found = in_a_process(str(CHECKS), dtype.name, MINPRUNE_KERNEL_WIDTH=str(width))
    assert found.stdout.split()[0] == str(width)


@pytest.mark.parametrize(
    ("triple", "features", "widths"),
    [
        ("x86_64-unknown-linux-gnu", "+avx2,+fma,+avx512f", (512, 256, 128, 0)),
        ("x86_64-pc-windows-msvc", "-avx512f,+avx2,+fma", (256, 128, 0)),
        ("x86_64-unknown-linux-gnu", "+avx2,-fma", (0,)),
        ("arm64-apple-darwin22", "+neon", (128, 0)),
        ("aarch64-unknown-linux-gnu", "", (128, 0)),
        ("powerpc64le-unknown-linux-gnu", "+vsx", (0,)),
    ],
)
def test_the_widths_follow_from_the_features(triple: str, features: str, widths: tuple[int, ...]) -> None:
    assert Target(triple, "some-cpu", features).widths == widths
    assert choose_tile(widths, {}).bits == widths[0]


def test_a_tile_fits_into_the_registers() -> None:
    for tile, registers in ((TILES[512], 32), (TILES[256], 16), (TILES[128], 32)):
        assert tile.rows * tile.vectors + tile.vectors + 1 <= registers
    assert str(TILES[256]) == "256-bit vectors in tiles of 4 × 3"
    assert str(Tile(0, 4, 2)) == "plain loops"


@pytest.mark.parametrize("asked", ["512", "7", "wide"])
def test_a_width_that_the_cpu_does_not_have_is_refused(asked: str) -> None:
    message = rf"MINPRUNE_KERNEL_WIDTH is '{asked}'; this CPU has 256, 128, 0 \(0: plain loops\)"
    with pytest.raises(MinpruneError, match=message):
        choose_tile((256, 128, 0), {"MINPRUNE_KERNEL_WIDTH": asked})


def test_the_loops_of_the_micro_kernel_say_what_it_computes() -> None:
    A, panel = np.arange(6.0).reshape(2, 3), np.zeros((2, 1 * cpu.TILES[TILE.bits].bytes // 8))
    panel[:, :2] = [[1, 2], [3, -4]]
    C = np.full((2, 3), 10.0)
    tile_loops(1, A, 0, 1, 2, panel.ravel(), np.array([0.0, 1, 2]), C, 1, 2, 2, True, True)
    np.testing.assert_array_equal(C, [[10, 1 + 1 + 6, 0], [10, 1 + 4 + 15, 0]])
    tile_loops(1, A, 0, 1, 2, panel.ravel(), np.empty(0), C, 1, 1, 2, False, False)
    np.testing.assert_array_equal(C[0], [10, 8 + 7, 0 + 2 - 8])


# Handing over ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which kernels ran."""
    seen: list[str] = []
    for name, found in backends._kernels.items():
        if kernel := found.get("numba"):

            def run(*args: Any, name: str = name, kernel: Any = kernel) -> Any:
                seen.append(name.rpartition(".")[2])
                return kernel.run(*args)

            monkeypatch.setitem(found, "numba", backends.Kernel(run, kernel.takes))
    return seen


def affine_of(N: int, I: int, J: int, dtype: Any = np.float32) -> Any:  # noqa: E741
    return np.ones((N, I), dtype), np.ones((J, I), dtype), np.ones(J, dtype)


@pytest.mark.parametrize(
    ("reference", "args", "ran"),
    [
        (affine, affine_of(32, 784, 300), True),
        (affine, affine_of(32, 784, 300, np.float64), True),
        (affine, affine_of(1, 784, 300), False),
        (affine, affine_of(15, 784, 300), False),
        (affine, affine_of(32, 10, 10), False),
        (affine, affine_of(0, 784, 300), False),
        (affine_grad_x, affine_of(8, 300, 784)[:1] + affine_of(8, 784, 300)[1:2], True),
        (affine_grad_x, affine_of(7, 300, 784)[:1] + affine_of(8, 784, 300)[1:2], False),
        (affine_grad_W, (np.ones((64, 100)), np.ones((64, 300))), True),
        (affine_grad_W, (np.ones((65, 100)), np.ones((65, 300))), False),
        (affine_grad_W, (np.ones((1, 100)), np.ones((1, 300))), True),
        (affine_grad_W, (np.ones((2, 100)), np.ones((2, 300))), False),
        (affine_grad_W, (np.ones((128, 7)), np.ones((128, 3000))), False),
    ],
)
def test_a_kernel_takes_the_sizes_for_which_it_was_measured_to_be_faster(
    reference: Any, args: Any, ran: bool, calls: list[str]
) -> None:
    expected = reference(*args)
    with mp.backend("numba"):
        np.testing.assert_allclose(reference(*args), expected, rtol=1e-5)
    assert calls == [reference.__name__] * (ran and TILE.bits == 512)  # other CPUs: the next test


@pytest.mark.parametrize(("bits", "rows"), [(512, 16), (256, 128), (128, None), (0, None)])
def test_what_was_not_measured_is_left_to_numpy(bits: int, rows: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "AVX512", bits == 512)
    monkeypatch.setattr(dense, "AVX2", bits == 256)
    taken = [N for N in (1, 15, 16, 127, 128) if dense.takes_affine(*affine_of(N, 784, 300))]
    assert taken == [N for N in (16, 127, 128) if rows and rows <= N]
    g, W, x = np.ones((32, 300)), np.ones((300, 784)), np.ones((32, 784))
    assert dense.takes_grad_x(g, W) == dense.takes_grad_W(g, x) == (bits == 512)


@pytest.mark.parametrize("kind", [object, np.complex128, np.float16, np.int64, np.dtype(">f8"), np.longdouble])
def test_other_kinds_of_numbers_run_the_reference(kind: Any, calls: list[str]) -> None:
    for N in (1, 32):
        x, W, b = affine_of(N, 100, 70, kind)
        for args, reference in (
            ((x, W, b), affine),
            ((x, W.T[:, :100].copy()), affine_grad_x),
            ((x, x), affine_grad_W),
        ):
            if reference is affine_grad_x:
                args = (np.ones((N, 70), kind), W)
            with mp.backend("numba"):
                assert (reference(*args) == reference(*args)).all()
    assert calls == []


class Marked(np.ndarray):
    """A subclass, which may define what a product is."""


def test_mixed_kinds_subclasses_and_wrong_shapes_run_the_reference(calls: list[str]) -> None:
    x, W, b = affine_of(32, 100, 70)
    with mp.backend("numba"):
        assert affine(x, W.astype(float), b).dtype == np.float64
        assert affine(x, W, b.astype(float)).dtype == np.float64
        assert isinstance(affine(x.view(Marked), W, b), Marked)
        with pytest.raises(ValueError, match="matmul"):
            affine(x, W[:, 1:], b)
        with pytest.raises(ValueError, match="broadcast"):
            affine(x, W, b[1:])
        with pytest.raises(ValueError, match="matmul"):
            affine_grad_x(x, W)
        with pytest.raises(ValueError, match="matmul"):
            affine_grad_W(x, x[1:])
        assert affine(np.ones((2, 3, 5)), np.ones((4, 5)), None).shape == (2, 3, 4)
    assert calls == []


def test_rationals_stay_exact_under_the_kernels() -> None:
    net = mlp(4, (5,), 3, rng=0).astype(Fraction)
    x = exact(np.random.default_rng(0).integers(-3, 4, (1, 4)))
    plain = net(x)
    with mp.backend("numba"):
        assert (net(x) == plain).all()
    assert isinstance(plain[0, 0], Fraction)


def test_every_witness_of_a_gradient_agrees_with_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def any_size(first: Any, second: Any, *others: Any) -> bool:
        ran.append(first.dtype.kind * matrices(first, second))
        return matrices(first, second)

    for reference in DENSE:
        found = backends._kernels[f"{reference.__module__}.{reference.__name__}"]
        monkeypatch.setitem(found, "numba", backends.Kernel(found["numba"].run, any_size))
    rng = np.random.default_rng(0)
    x, W, b = rng.integers(-4, 4, (3, 12)) / 4, rng.integers(-4, 4, (11, 12)) / 4, rng.integers(-4, 4, 11) / 4
    with mp.backend("numba"):
        assert check_op(Affine, x, W, b).ok
    assert set(ran) >= {"f", ""}  # floats ran in the kernels; rationals and complex numbers did not


def test_the_table_says_what_each_kernel_takes() -> None:
    rule = backends.table()["minprune.ops.affine.affine"]["numba"]
    assert rule.startswith("float32 or float64, 200,000 multiply-adds")


# Networks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_twenty_steps_of_training_agree_with_numpy(
    dtype: Any, tolerance: float, planned: bool, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not planned:
        monkeypatch.setattr("minprune.train.plan_for", lambda *_: "the tape was asked for")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20 * 64, 196)).astype(dtype), rng.integers(0, 10, 20 * 64)
    nets = []
    for name in ("numpy", "numba"):
        net = mlp(196, (160, 120), 10, rng=0).astype(dtype)
        with mp.backend(name):
            history = mp.fit(
                net, (x, y), epochs=1, batch_size=64, optimizer=mp.SGD(0.05), keep="last", rng=0, progress=False
            )
        assert history.plan.startswith("<Plan") is (planned and name == "numba")
        nets.append(net)
    for name, array in nets[0].params.items():
        assert array.dtype == dtype
        np.testing.assert_allclose(nets[1].params[name], array, rtol=0, atol=tolerance, err_msg=name)
    if TILE.bits == 512 and not planned:
        assert {"affine", "affine_grad_x", "affine_grad_W"} <= set(calls)


# Keeping --------------------------------------------------------------------------------------------------------------


def test_importing_and_choosing_numpy_load_no_numba_and_choosing_numba_does() -> None:
    code = (
        "import sys, minprune as mp; mp.backend('numpy'); from minprune.backends import table; table();"
        "print('numba' in sys.modules); mp.backend('numba'); print('numba' in sys.modules, mp.backend())"
    )
    assert in_a_process("-c", code).stdout.split() == ["False", "True", "numba"]


@pytest.mark.parametrize("what", ["source", "versions", "cpu", "tile"])
def test_the_folder_depends_on_all_that_decides_what_a_kernel_becomes(what: str) -> None:
    one: dict[str, Any] = {
        "source": "a",
        "versions": ("1", "2"),
        "cpu": ("x86", "znver4", "+fma"),
        "tile": "plain loops",
    }
    other = one | {what: ("b",) if isinstance(one[what], tuple) else "b"}
    assert keeping.digest(**one) == keeping.digest(**one)
    assert keeping.digest(**one) != keeping.digest(**other)


def test_a_second_process_loads_what_the_first_has_compiled(tmp_path: Path) -> None:
    first, second = (in_a_process(str(KEPT), NUMBA_CACHE_DIR=str(tmp_path)).stdout.split() for _ in range(2))
    assert first[:4] == ["2.0", "4.0", "0", "True"]
    assert second[:4] == ["2.0", "4.0", "1", "True"]
    assert Path(first[4]).parent == tmp_path
    assert list(Path(first[4]).glob("*.nbc"))


def test_a_home_that_cannot_be_written_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a folder cannot be made below a file, not even by root")
    found = in_a_process("-W", "error", str(KEPT), XDG_CACHE_HOME=str(tmp_path / "file"), HOME=str(tmp_path / "file"))
    assert found.stdout.split()[:4] == ["2.0", "4.0", "0", "False"]


def test_a_disk_that_is_full_leaves_the_kernel_and_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    keeper = keeping._Keeper(gemm.gemm.loops)
    monkeypatch.setattr(keeping.FunctionCache, "save_overload", full)
    with pytest.warns(UserWarning, match="a kernel was compiled but not kept: No space left on device"):
        keeper.save_overload(None, None)


def test_warmup_compiles_all_and_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warmup", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {(row["kernel"], row["dtype"]) for row in content["kernels"]} == {
        (kernel.loops.__name__, dtype.name) for kernel in keeping.COMPILED for dtype in FLOATS
    }
    assert content["tile"] == str(TILE)
    assert main(["warmup"]) == 0
    text = capsys.readouterr().out
    assert "was loaded already" in text
    assert f"kept in {keeping.folder()}" in text


def test_warmup_says_when_nothing_can_be_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keeping, "can_be_kept", lambda: False)
    assert main(["warmup"]) == 0
    assert "cannot be written; every process compiles anew" in capsys.readouterr().out


def test_warmup_says_that_nothing_is_compiled_where_the_jit_is_off() -> None:
    found = in_a_process("-m", "minprune", "warmup", NUMBA_DISABLE_JIT="1")
    count = "import minprune.kernels; print(len(minprune.kernels.keeping.COMPILED))"
    expected = 2 * int(in_a_process("-c", count).stdout)
    assert found.stdout.count("stays plain Python (NUMBA_DISABLE_JIT)") == expected >= 2 * 20


def test_small_cases_include_an_empty_axis_each() -> None:
    assert {sizes.index(0) for sizes in SMALL.values() if 0 in sizes} == {0, 1, 2}


# The roof ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_measures_the_roof_does_what_it_says(dtype: Any) -> None:
    from minprune.kernels import machine as roof

    kind = np.dtype(dtype)
    lanes = BYTES // kind.itemsize
    for multiply_adds, reading in (
        (roof.multiply_adds[kind], roof.reading[kind]),
        (roof.spin_loops, roof.sweep_loops),
    ):
        memory = np.zeros((2 + roof.SPINNING, lanes), dtype)
        memory[:2] = np.arange(2 * lanes).reshape(2, lanes)
        multiply_adds(3, memory.reshape(-1))
        np.testing.assert_array_equal(memory[2:], np.tile(3 * memory[0] * memory[1], (roof.SPINNING, 1)))
        numbers, sums = np.arange(4 * roof.SWEEPING * lanes).astype(dtype), np.ones(roof.SWEEPING * lanes, dtype)
        reading(numbers, sums)
        np.testing.assert_array_equal(sums, numbers.reshape(4, -1).sum(axis=0))
    found = roof.machine(kind)
    assert found.peak > 1e8
    assert found.bandwidth > 1e8
    assert found.least(found.peak, 0) == pytest.approx(1)
    assert found.least(0, 2 * found.bandwidth) == pytest.approx(2)
