"""The tape: what it writes down, and the walk back."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

import numpy as np
import pytest
from op_cases import eighths

from minprune.errors import DtypeError, MinpruneError, ShapeError
from minprune.ops import Add, Affine, Mean, Mul, Op, ReLU, Tanh, Term, exact, rule
from minprune.tensor import Tape, Tensor, apply, backward


class Spied(Op):
    """A sum that remembers which of its rules were asked."""

    name = "spied"
    args = ("a", "b")
    formula = "y = a + b"
    shapes = "a (N,), b (N,) -> y (N,)"
    asked: list[str] = []

    def forward(c: Any) -> Any:
        return c.a + c.b

    @rule("g")
    def grad_a(c: Any, g: Any) -> Any:
        Spied.asked.append("a")
        return g

    @rule("g")
    def grad_b(c: Any, g: Any) -> Any:
        Spied.asked.append("b")
        return g

    def terms(c: Any, index: tuple[int, ...]) -> list[Term]:
        return [Term("a", (c.a[index],)), Term("b", (c.b[index],))]


def watched(*arrays: Any) -> list[Tensor]:
    tape = Tape()
    return [tape.watch(array) for array in arrays]


def test_arrays_compute_without_a_tape() -> None:
    y = apply(Add, np.array([1.0]), [2.0])
    assert isinstance(y, np.ndarray)
    assert np.array_equal(y, [3.0])


def test_a_tensor_writes_the_call_on_its_tape() -> None:
    tape = Tape()
    x = tape.watch([1.0, -1.0])
    y = apply(ReLU, x)
    assert len(tape.records) == 2
    record = tape.records[y.index]
    assert record.call.op is ReLU
    assert record.sources == {"x": x.index}
    assert record.value is y.value
    assert y.shape == (2,)


def test_plain_arrays_beside_tensors_are_constants() -> None:
    (x,) = watched(np.array([2.0]))
    y = apply(Mul, x, np.array([5.0]))
    grads = backward(y)
    assert np.array_equal(grads[x], [5.0])
    assert len(x.tape.records) == 2


def test_a_value_used_twice_gets_the_sum_of_both_uses() -> None:
    (x,) = watched(np.array([3.0]))
    assert np.array_equal(backward(apply(Mul, x, x))[x], [6.0])


def test_a_diamond_sums_over_its_branches() -> None:
    (x,) = watched(np.array([0.5]))
    left, right = apply(Mul, x, np.array([3.0])), apply(Tanh, x)
    grads = backward(apply(Mul, left, right))
    assert grads[x] == pytest.approx(3 * np.tanh(0.5) + 1.5 * (1 - np.tanh(0.5) ** 2))
    assert np.array_equal(grads[left], right.value)
    assert np.array_equal(grads[right], left.value)


def test_gradients_of_intermediate_values_are_kept() -> None:
    x, b = watched(eighths(2), eighths(2, seed=1))
    middle = apply(Mul, x, b)
    y = apply(Mean, middle)
    grads = backward(y)
    assert np.array_equal(grads[middle], [0.5, 0.5])
    assert grads[y] == 1
    assert list(grads) == [x, b, middle, y]
    assert len(grads) == 4


def test_a_chain_of_10000_steps_needs_no_recursion_and_little_time() -> None:
    tape = Tape()
    x = y = tape.watch(np.array([1.0]))
    one = np.array([1.0])
    start = time.perf_counter()
    for _ in range(10_000):
        y = apply(Add, y, one)
    grads = backward(y, wrt=[x])
    assert time.perf_counter() - start < 5
    assert np.array_equal(y.value, [10_001.0])
    assert np.array_equal(grads[x], [1.0])


def test_every_walk_gives_a_fresh_map() -> None:
    (x,) = watched(np.array([3.0]))
    y = apply(Mul, x, x)
    first, second = backward(y), backward(y)
    assert first is not second
    assert np.array_equal(first[x], [6.0])
    assert np.array_equal(second[x], [6.0])


def test_a_later_line_of_the_tape_does_not_change_an_earlier_gradient() -> None:
    (x,) = watched(np.array([3.0]))
    y = apply(Mul, x, x)
    apply(Mul, y, x)
    assert np.array_equal(backward(y)[x], [6.0])


def test_wrt_computes_the_same_as_without() -> None:
    x, W, b = watched(eighths(3, 2), eighths(4, 2, seed=1), eighths(4, seed=2))
    y = apply(Mean, apply(Mean, apply(Tanh, apply(Affine, apply(ReLU, x), W, b))))
    every = backward(y)
    for asked in ([x], [W], [b, x], [x, W, b]):
        some = backward(y, wrt=asked)
        assert {t.index for t in some} == {t.index for t in asked}
        for tensor in asked:
            assert np.array_equal(some[tensor], every[tensor])


def test_wrt_asks_only_the_rules_that_it_needs() -> None:
    a, b = watched(np.array([1.0]), np.array([2.0]))
    y = apply(Spied, a, b)
    Spied.asked.clear()
    backward(y, wrt=[b])
    assert Spied.asked == ["b"]
    Spied.asked.clear()
    backward(y)
    assert sorted(Spied.asked) == ["a", "b"]


def test_the_gradient_by_an_intermediate_value_can_be_asked_for() -> None:
    x, b = watched(np.array([2.0]), np.array([5.0]))
    middle = apply(Mul, x, b)
    grads = backward(apply(Mul, middle, middle), wrt=[middle])
    assert np.array_equal(grads[middle], [20.0])


def test_a_gradient_that_was_not_asked_for_is_refused() -> None:
    a, b = watched(np.array([1.0]), np.array([2.0]))
    grads = backward(apply(Mul, a, b), wrt=[a])
    with pytest.raises(KeyError, match="its gradient was not asked for; name it in wrt="):
        grads[b]
    assert b not in grads


def test_a_tensor_that_the_output_does_not_depend_on_has_gradient_zero() -> None:
    x, unused = watched(np.array([1.0]), eighths(2, 3))
    y = apply(Mul, x, x)
    for grads in (backward(y), backward(y, wrt=[x, unused])):
        assert np.array_equal(grads[unused], np.zeros((2, 3)))


def test_another_tape_is_refused() -> None:
    (a,), (b,) = watched(np.array([1.0])), watched(np.array([2.0]))
    with pytest.raises(MinpruneError, match="add: its arguments stand on different tapes; watch them all on one"):
        apply(Add, a, b)
    y = apply(Add, a, a)
    with pytest.raises(KeyError, match="stands on another tape"):
        backward(y)[b]
    with pytest.raises(MinpruneError, match="of wrt stands on another tape than y"):
        backward(y, wrt=[b])


def test_an_output_of_several_numbers_needs_a_seed() -> None:
    (x,) = watched(eighths(2, 3))
    with pytest.raises(ShapeError, match=r"y has shape \(2, 3\), expected a single number, or give seed="):
        backward(apply(ReLU, x))


def test_a_seed_of_another_shape_is_refused() -> None:
    (x,) = watched(eighths(2, 3))
    with pytest.raises(ShapeError, match=r"seed has shape \(3,\), expected the shape of y, \(2, 3\)"):
        backward(apply(ReLU, x), seed=np.ones(3))


def test_the_seed_is_the_upstream_gradient() -> None:
    x, b = watched(eighths(2, 3), eighths(2, 3, seed=1))
    seed = eighths(2, 3, seed=2)
    assert np.array_equal(backward(apply(Mul, x, b), seed=seed)[x], seed * b.value)


def test_one_number_in_any_shape_needs_no_seed() -> None:
    (x,) = watched(np.array([[3.0]]))
    assert np.array_equal(backward(apply(Mul, x, x))[x], [[6.0]])


@pytest.mark.parametrize(
    ("value", "kind"), [(exact([1]), "object"), (np.array([1j]), "complex128"), (np.array([1]), "int64")]
)
def test_rationals_complex_numbers_and_integers_do_not_go_backward(value: Any, kind: str) -> None:
    (x,) = watched(value)
    y = apply(Mul, x, x)
    assert y.value.dtype == kind
    with pytest.raises(DtypeError, match=f"y holds {kind}; rationals and complex numbers go forward only"):
        backward(y)


def test_gradients_have_the_shape_and_precision_of_their_values() -> None:
    x, W, b = watched(*(a.astype(np.float32) for a in (eighths(3, 2), eighths(4, 2, seed=1), eighths(4, seed=2))))
    grads = backward(apply(Affine, x, W, b), seed=np.ones((3, 4)))
    for tensor in (x, W, b):
        assert grads[tensor].shape == tensor.shape
        assert grads[tensor].dtype == np.float32


def test_an_argument_can_be_left_out() -> None:
    x, W = watched(eighths(3, 2), eighths(4, 2, seed=1))
    grads = backward(apply(Affine, x, W, None), seed=np.ones((3, 4)))
    assert np.array_equal(grads[W], np.ones((4, 3)) @ x.value)


def test_a_tensor_shows_its_line_its_op_its_shape_and_its_numbers() -> None:
    (x,) = watched(eighths(2, 3))
    assert repr(x) == "<Tensor 0 watched (2, 3) float64>"
    assert repr(apply(ReLU, x)) == "<Tensor 1 relu (2, 3) float64>"


def test_two_names_of_one_line_are_the_same_tensor() -> None:
    (x,), (other,) = watched(np.array([1.0])), watched(np.array([1.0]))
    assert x == Tensor(x.tape, 0)
    assert x != other
    assert dict(backward(apply(Mul, x, x)))[x] == 2


def test_a_tape_is_freed_as_soon_as_nobody_holds_it() -> None:
    gc.disable()
    try:
        tape = Tape()
        x = tape.watch(eighths(2, 3))
        y = apply(Mean, apply(Mean, apply(Tanh, apply(ReLU, x))))
        grads = backward(y)
        gone = weakref.ref(tape)
        del tape, x, y, grads
        assert gone() is None
    finally:
        gc.enable()
