"""Kernels of convolution and pooling: geometry, memory order, what they hand over, and networks that run on them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_checks import KERNELS, WINDOWS, all_cases, check

import minprune as mp
from minprune import backends
from minprune.errors import ShapeError
from minprune.gradcheck import check_op
from minprune.kernels import convolution, correlate, filters, layout
from minprune.kernels.cases import Case
from minprune.kernels.convolution import conv_kernel
from minprune.kernels.filters import FEW, HEIGHTS, MANY, dots_loops, gather_loops, height_for
from minprune.kernels.layout import batch_last, is_batch_last, seen, seen_by
from minprune.kernels.pooling import max_pool_grad_kernel, max_pool_kernel
from minprune.kernels.vectors import BYTES, TILE
from minprune.kernels.window_cases import ARGUMENTS, SMALL, Setting, lying_otherwise
from minprune.models import lenet5
from minprune.ops import AvgPool, Conv, MaxPool, exact
from minprune.ops.conv import conv, conv_grad_W, conv_grad_x
from minprune.ops.pool import max_pool, max_pool_grad

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def call(reference: Any, N: int, dtype: Any = np.float32, **changed: Any) -> Any:
    s = Setting(**{**vars(Setting(N, 2, 3, (5, 5), (3, 3))), **changed})
    return ARGUMENTS[reference](s, dtype, np.random.default_rng(0))


# Kernel and reference -------------------------------------------------------------------------------------------------


def test_a_wrong_kernel_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_one_place(x: Any, *args: Any) -> Any:
        return conv(np.roll(x, 1, axis=-1), *args)

    monkeypatch.setitem(KERNELS, conv, off_by_one_place)
    (case,) = [case for case in all_cases(conv, FLOATS[0]) if case.label == "odd"]
    with pytest.raises(AssertionError, match=r"conv, odd, at \(0, 0, 0, 0\): expected .*, got"):
        check(conv, case)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Setting, Any, np.random.Generator, bool]:
    """Any setting in which the window fits, with one spatial axis or two."""
    axes = draw(st.integers(1, 2))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    groups, kernel, padding, dilation = draw(st.integers(1, 3)), each(1, 4), each(0, 2), each(1, 2)
    spans = [d * (k - 1) + 1 - 2 * p for k, p, d in zip(kernel, padding, dilation, strict=True)]
    size = tuple(max(span, k, 1) + draw(st.integers(0, 4)) for span, k in zip(spans, kernel, strict=True))
    channels, filters = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 13))
    N = draw(st.sampled_from([0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 65]))
    setting = Setting(N, channels, filters, size, kernel, each(1, 3), padding, dilation, groups)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return setting, draw(st.sampled_from(FLOATS)), rng, draw(st.booleans())


@given(windows())
@settings(max_examples=80)
def test_kernels_agree_with_their_references_for_any_window_size_and_order(drawn: tuple[Any, ...]) -> None:
    setting, dtype, rng, side_by_side = drawn
    for reference in WINDOWS:
        args = ARGUMENTS[reference](setting, dtype, rng)
        if side_by_side:
            args = tuple(lying_otherwise(a)["samples side by side"] if isinstance(a, np.ndarray) else a for a in args)
        check(reference, Case(str(setting), args))


def test_a_kernel_that_does_not_fit_is_refused_as_by_the_reference() -> None:
    x, W = np.ones((16, 1, 2, 9), np.float32), np.ones((2, 1, 3, 3), np.float32)
    with mp.backend("numba"), pytest.raises(ShapeError, match=r"a kernel of \(3, 3\) .* does not fit on \(2, 9\)"):
        conv(x, W, None, (1, 1), (0, 0), (1, 1), 1)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_nan_and_infinity_reach_the_places_that_see_them_and_no_others(dtype: Any) -> None:
    x, W = np.ones((20, 2, 6, 6), dtype), np.ones((3, 2, 3, 3), dtype)
    x[19, 1, 0, 0], x[2, 0, 5, 5] = np.nan, np.inf
    z = conv_kernel(x, W, None, (1, 1), (0, 0), (1, 1), 1)
    assert np.isnan(z[19, :, 0, 0]).all()
    assert np.isposinf(z[2, :, 3, 3]).all()
    assert np.isfinite(z).sum() == z.size - 6


def test_pooling_hands_nan_on_and_sends_no_gradient_into_its_window() -> None:
    x = batch_last((16, 1, 2, 4), np.float32)[0]
    x[...] = np.arange(8).reshape(2, 4)
    x[3, 0, 0, 0] = np.nan
    best = max_pool_kernel(x, (2, 2), (2, 2), (0, 0))
    assert np.isnan(best[3, 0, 0, 0])
    assert np.isnan(best).sum() == 1
    bar = max_pool_grad_kernel(np.ones_like(best), x, best, (2, 2), (2, 2), (0, 0))
    np.testing.assert_array_equal(bar[3, 0], [[0, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(bar[4, 0], [[0, 0, 0, 0], [0, 1, 0, 1]])


def test_at_a_tie_the_first_entry_of_a_window_gets_all_of_the_gradient() -> None:
    x, g = np.zeros((16, 1, 2, 2)), np.full((16, 1, 1, 1), 5.0)
    bar = max_pool_grad_kernel(g, x, max_pool(x, (2, 2), (2, 2), (0, 0)), (2, 2), (2, 2), (0, 0))
    assert (bar == [[5, 0], [0, 0]]).all()


def test_twice_the_same_gives_the_same_bytes_in_every_thread() -> None:
    rng = np.random.default_rng(0)
    x, W, b, *moves = ARGUMENTS[conv](SMALL["one more"], np.float32, rng)
    g = np.ones(conv(x, W, b, *moves).shape, np.float32)

    def all_of_it() -> bytes:
        found = KERNELS[conv](x, W, b, *moves), KERNELS[conv_grad_W](g, x, W.shape, *moves)
        return b"".join(array.tobytes() for array in found)

    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(all_of_it())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {all_of_it()}


def test_a_sample_gets_the_same_bytes_whatever_batch_it_comes_in() -> None:
    x, W, b, *moves = ARGUMENTS[conv](SMALL["one more"], np.float32, np.random.default_rng(0))
    whole = conv_kernel(x, W, b, *moves)
    for count in (1, 7, 16, 20):
        assert conv_kernel(x[:count], W, b, *moves).tobytes() == whole[:count].tobytes()


# The parts ------------------------------------------------------------------------------------------------------------


def test_the_loops_of_gather_say_what_it_computes() -> None:
    panel, weights = np.arange(12.0), np.array([1.0, 10.0, 100.0, 1000.0])  # 2 entries × 2 filters
    C, lines, picks = np.zeros(8), np.array([0, 6]), np.array([1, 0])
    gather_loops(2, 1, panel, 1, lines, picks, 2, weights, np.array([0.5, -9999.0]), C, 1, 4, 2, 2, True)
    # filter 0: 100 · panel[1 + 0 + j] + 1 · panel[1 + 6 + j]
    np.testing.assert_array_equal(C, [0, 0.5 + 100 + 7, 0.5 + 200 + 8, 0, 0, 0, 0, 0])


def test_the_loops_of_dots_say_what_they_compute() -> None:
    lanes = BYTES // 8
    G, panel, D = np.ones(4 * lanes), np.arange(6.0 * lanes), np.full(4, 100.0)
    shifts, at = np.array([0, lanes]), np.array([0, 2 * lanes])
    dots_loops(2, G, 0, 2 * lanes, 2, panel, shifts, at, D, 0, 2, 1, 2)
    first = sum(range(lanes)) + sum(range(2 * lanes, 3 * lanes))
    np.testing.assert_array_equal(D, [100 + first, 100 + first + 2 * lanes * lanes, 100, 100])


@pytest.mark.parametrize(("count", "height"), [(1, 1), (3, 4), (6, 8), (16, 8), (20, 10), (32, 8), (50, 10), (64, 8)])
def test_blocks_are_as_high_as_wastes_least(count: int, height: int) -> None:
    assert height_for(count, MANY) == height


def test_the_tile_fits_into_the_registers() -> None:
    registers = 16 if TILE.bits == 256 else 32
    for heights, there in ((HEIGHTS, registers), (FEW, 16), (MANY, 32)):
        assert max(height * wide + wide + 1 for height, wide in heights.items()) <= there
    needed = filters.ACROSS * filters.DOWN + filters.ACROSS + 1
    assert needed <= registers


def test_both_tables_of_an_axis_tell_of_the_same_pairs() -> None:
    for axis in ((9, 3, 2, 1, 2, 3), (5, 2, 3, 2, 1, 3), (4, 4, 1, 0, 1, 1)):
        forth, back = seen(*axis), seen_by(*axis)
        pairs = {(p, k, u) for (p, k), u in np.ndenumerate(forth) if u >= 0}
        assert pairs == {(p, k, u) for (u, k), p in np.ndenumerate(back) if p >= 0}


def test_a_list_is_moved_on_where_the_next_place_sees_the_same() -> None:
    table = seen(7, 3, 1, 1, 1, 7)
    moved = [correlate.moved(table, place) for place in range(1, 7)]
    assert moved == [0, 1, 1, 1, 1, 0]  # at both ends an entry lies in the padding
    assert [correlate.moved(seen_by(6, 2, 2, 0, 1, 3), place) for place in (1, 2)] == [0, 0]


def test_memory_that_is_batch_last_stays_in_it_through_convolution_and_pooling() -> None:
    x = np.ones((16, 2, 8, 8), np.float32)
    z = conv_kernel(x, np.ones((3, 2, 3, 3), np.float32), None, (1, 1), (1, 1), (1, 1), 1)
    y = max_pool_kernel(np.maximum(z, 0), (2, 2), (2, 2), (0, 0))
    assert is_batch_last(z)
    assert is_batch_last(y)
    assert np.shares_memory(y.reshape(16, -1), y)  # flattening copies nothing
    assert layout.as_rows(y).base is not None


@pytest.mark.parametrize("padding", [(0, 0), (1, 1)], ids=["no padding", "padding"])
def test_the_gradient_by_W_reads_whole_vectors_of_samples_as_they_lie(padding: tuple[int, int]) -> None:
    g, x, *settings_ = call(conv_grad_W, 32, padding=padding)
    last = [lying_otherwise(array)["samples side by side"] for array in (g, x)]
    most, (ready_G, ready_X) = convolution.tile_for(last[1], last[0], 9, 18, padding)
    assert most == 32 * 4 // BYTES
    assert np.shares_memory(ready_G, last[0])
    assert np.shares_memory(ready_X, last[1]) == (not any(padding))
    check(conv_grad_W, Case("side by side", (*last, *settings_)))


def test_the_gradient_by_W_packs_what_lies_otherwise_or_is_large_and_used_often() -> None:
    g, x = (batch_last((256, 16, 4, 300), np.float32)[0] for _ in range(2))
    packs = {
        "used often": convolution.tile_for(x, g, 100, 200, (0, 0)),
        "in C order": convolution.tile_for(np.ascontiguousarray(x), np.ascontiguousarray(g), 100, 10, (0, 0)),
        "no whole vectors": convolution.tile_for(x[:255], g[:255], 100, 10, (0, 0)),
        "not writable": convolution.tile_for(x, np.broadcast_to(g, g.shape), 100, 10, (0, 0)),
    }
    assert {name for name, (_, memory) in packs.items() if len(memory[0]) or len(memory[1])} == set()
    assert len(convolution.tile_for(x, g, 100, 10, (0, 0))[1][0]) == g.size


# Handing over ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which kernels ran."""
    seen_: list[str] = []
    for name, found in backends._kernels.items():
        if kernel := found.get("numba"):

            def run(*args: Any, name: str = name, kernel: Any = kernel, **named: Any) -> Any:
                seen_.append(name.rpartition(".")[2])
                return kernel.run(*args, **named)

            monkeypatch.setitem(found, "numba", backends.Kernel(run, kernel.takes))
    return seen_


@pytest.mark.parametrize("kind", [object, np.complex128, np.float16, np.int64, np.dtype(">f8")])
def test_other_kinds_of_numbers_run_the_reference(kind: Any, calls: list[str]) -> None:
    x, W, moves = np.ones((16, 1, 3, 3), kind), np.ones((2, 1, 2, 2), kind), ((1, 1), (0, 0), (1, 1), 1)
    g = conv(x, W, None, *moves)
    with mp.backend("numba"):
        assert (conv(x, W, None, *moves) == g).all()
        assert conv_grad_x(g, W, x.shape, *moves).shape == x.shape
        assert conv_grad_W(g, x, W.shape, *moves).shape == W.shape
    assert calls == []


ONE = {"kernel": (1, 1)}


@pytest.mark.parametrize(
    ("reference", "args", "ran"),
    [
        (conv, call(conv, 16), True),
        (conv, call(conv, 15), False),
        (conv, call(conv, 8, np.float64), True),
        (conv, call(conv, 7, np.float64), False),
        (conv, call(conv, 31, **ONE), False),
        (conv, call(conv, 32, **ONE), True),
        (conv, call(conv, 0), False),
        (conv_grad_x, call(conv_grad_x, 16), True),
        (conv_grad_x, call(conv_grad_x, 15), False),
        (conv_grad_x, call(conv_grad_x, 16, C=1), False),
        (conv_grad_W, call(conv_grad_W, 16), True),
        (conv_grad_W, call(conv_grad_W, 16, C=1), True),
        (conv_grad_W, call(conv_grad_W, 15), False),
        (max_pool, call(max_pool, 128), False),
        (max_pool, (lying_otherwise(call(max_pool, 16)[0])["samples side by side"], (2, 2), (2, 2), (0, 0)), True),
        (max_pool, (lying_otherwise(call(max_pool, 15)[0])["samples side by side"], (2, 2), (2, 2), (0, 0)), False),
    ],
)
def test_a_kernel_takes_what_it_was_measured_to_be_faster_for(
    reference: Any, args: Any, ran: bool, calls: list[str]
) -> None:
    expected = reference(*args)
    with mp.backend("numba"):
        np.testing.assert_allclose(reference(*args), expected, rtol=1e-3, atol=1e-4)
    measured = reference is max_pool or TILE.bits in (512, 256)
    assert calls == [reference.__name__] * (ran and measured)


@pytest.mark.parametrize(("bits", "forward", "by_W"), [(512, True, True), (256, True, False), (128, False, False)])
def test_what_was_not_measured_is_left_to_numpy(
    bits: int, forward: bool, by_W: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "AVX512", bits == 512)
    monkeypatch.setattr(convolution, "AVX2", bits == 256)
    assert convolution.takes_conv(*call(conv, 32, **ONE)) == forward
    assert convolution.takes_grad_x(*call(conv_grad_x, 32)) == forward
    assert convolution.takes_grad_W(*call(conv_grad_W, 32, **ONE)) == by_W


def test_shapes_that_do_not_belong_together_are_left_to_the_reference_to_refuse(calls: list[str]) -> None:
    x, W, b, *moves = call(conv, 16)
    g, _, shape, *_ = call(conv_grad_x, 16)
    wrong = [
        lambda: conv(x[:, :1], W, b, *moves),
        lambda: conv(x, W, b[1:], *moves),
        lambda: conv_grad_x(g[..., 1:], W, shape, *moves),
        lambda: conv_grad_x(g[:, 1:], W, shape, *moves),
        lambda: conv_grad_W(g, x[1:], W.shape, *moves),
        lambda: conv_grad_W(g, x, (3, 2, 2, 3), *moves),
    ]
    with mp.backend("numba"):
        for refused in wrong:
            with pytest.raises(ValueError, match=r"reshape|matmul|broadcast"):
                refused()
    assert calls == []


def test_mixed_kinds_run_the_reference(calls: list[str]) -> None:
    x, W, moves = np.ones((16, 1, 3, 3), np.float32), np.ones((2, 1, 2, 2)), ((1, 1), (0, 0), (1, 1), 1)
    with mp.backend("numba"):
        assert conv(x, W, None, *moves).dtype == np.float64
        assert conv(x, W.astype(np.float32), np.ones(2), *moves).dtype == np.float64
    assert calls == []


def test_every_witness_of_a_gradient_agrees_with_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def any_size(*args: Any, **named: Any) -> bool:
        taken = layout.floats(*(arg for arg in args if isinstance(arg, np.ndarray)))
        ran.append(taken)
        return taken

    for reference in WINDOWS:
        found = backends._kernels[f"{reference.__module__}.{reference.__name__}"]
        monkeypatch.setitem(found, "numba", backends.Kernel(found["numba"].run, any_size))
    rng = np.random.default_rng(0)
    x, W, b = rng.permutation(2 * 4 * 16).reshape(2, 4, 4, 4) / 8, rng.integers(-4, 4, (2, 2, 3, 2)) / 4, np.ones(2)
    moves = {"stride": (2, 1), "padding": (1, 0)}
    with mp.backend("numba"):
        assert check_op(Conv, x, W, b, **moves, dilation=(1, 2), groups=2).ok
        assert check_op(MaxPool, x, kernel=(3, 2), **moves).ok
        assert check_op(AvgPool, x, kernel=(3, 2), **moves).ok
    assert set(ran) == {True, False}  # floats ran in the kernels; rationals and complex numbers did not


def test_the_table_says_what_each_kernel_takes() -> None:
    table = backends.table()
    assert table["minprune.ops.conv.conv"]["numba"].startswith("float32 or float64")
    assert "side by side" in table["minprune.ops.pool.max_pool"]["numba"]


# Networks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_twenty_steps_of_training_lenet_agree_with_numpy(
    dtype: Any, tolerance: float, planned: bool, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not planned:
        monkeypatch.setattr("minprune.train.plan_for", lambda *_: "the tape was asked for")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20 * 32, 1, 16, 16)).astype(dtype), rng.integers(0, 10, 20 * 32)
    nets = []
    for name in ("numpy", "numba"):
        net = lenet5((1, 16, 16), 10, widths=(6, 11, 30), rng=0).astype(dtype)
        with mp.backend(name):
            history = mp.fit(
                net, (x, y), epochs=1, batch_size=32, optimizer=mp.SGD(0.02), keep="last", rng=0, progress=False
            )
        assert history.plan.startswith("<Plan") is (planned and name == "numba")
        nets.append(net)
    for name, array in nets[0].params.items():
        assert array.dtype == dtype
        np.testing.assert_allclose(nets[1].params[name], array, rtol=0, atol=tolerance, err_msg=name)
    if TILE.bits == 512 and not planned:
        assert {"conv", "conv_grad_x", "conv_grad_W", "max_pool", "max_pool_grad"} <= set(calls)


def test_rationals_stay_exact_under_the_kernels() -> None:
    x = exact(np.arange(16 * 9).reshape(16, 1, 3, 3))
    plain = max_pool(x, (2, 2), (1, 1), (0, 0))
    with mp.backend("numba"):
        assert (max_pool(x, (2, 2), (1, 1), (0, 0)) == plain).all()
        assert max_pool_grad(plain, x, plain, (2, 2), (1, 1), (0, 0)).dtype == object
