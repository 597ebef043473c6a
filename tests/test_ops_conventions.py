"""What an op must state to be loaded, what its calls refuse, and the conventions that it keeps."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from op_cases import eighths

from minprune.errors import DataError, DtypeError, MinpruneError, ShapeError
from minprune.gradcheck import check_op
from minprune.ops import (
    LOSSES,
    OPS,
    Add,
    Affine,
    AvgPool,
    BatchNormTrain,
    CrossEntropy,
    GlobalAvgPool,
    HalfSquaredError,
    LeakyReLU,
    MaxPool,
    Mean,
    MeanSquaredError,
    Mul,
    Op,
    ReLU,
    Sigmoid,
    Softmax,
    Take,
    Tanh,
    Term,
    exact,
    rule,
    run,
)
from minprune.tensor import apply

# What an op must state ----------------------------------------------------------------------------------------------


def _define(**members: Any) -> type[Op]:
    whole = {
        "name": "twice",
        "args": ("x",),
        "formula": "y = 2 x",
        "shapes": "x -> y",
        "forward": lambda c: 2 * c.x,
        "terms": lambda c, index: [Term("2 x", (2, c.x[index]))],
        "grad_x": rule(r"\bar{x} = 2 g")(lambda c, g: 2 * g),
    }
    return type("Twice", (Op,), {k: v for k, v in (whole | members).items() if v is not None})


def test_a_whole_op_loads_and_computes() -> None:
    twice = _define()
    assert twice.rules == {"x": r"\bar{x} = 2 g"}
    assert check_op(twice, eighths(2, 2)).ok


@pytest.mark.parametrize("need", ["name", "args", "formula", "shapes", "forward", "terms"])
def test_an_op_that_lacks_something_does_not_load(need: str) -> None:
    with pytest.raises(TypeError, match=f"op Twice lacks {need}"):
        _define(**{need: None})


def test_an_argument_without_a_rule_does_not_load() -> None:
    with pytest.raises(TypeError, match=r"op twice: rules for \[\], but its arguments are \['x'\]"):
        _define(grad_x=None)


def test_a_rule_for_no_argument_does_not_load() -> None:
    with pytest.raises(TypeError, match=r"rules for \['w', 'x'\], but its arguments are \['x'\]"):
        _define(grad_w=rule("w")(lambda c, g: g))


def test_a_rule_for_a_constant_does_not_load() -> None:
    with pytest.raises(TypeError, match=r"rules for \['x'\], but its arguments are \[\]"):
        _define(constants=("x",))


def test_a_rule_without_its_formula_does_not_load() -> None:
    with pytest.raises(TypeError, match="the rule for x has no formula; mark it with @rule"):
        _define(grad_x=lambda c, g: 2 * g)


# What a call refuses ------------------------------------------------------------------------------------------------


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(MinpruneError, match="avg_pool has no option step; its options: kernel, stride, padding"):
        apply(AvgPool, eighths(1, 1, 2, 2), step=(1, 1))
    with pytest.raises(MinpruneError, match="relu has no option slope; its options: none"):
        apply(ReLU, eighths(1, 1), slope=0.1)


def test_a_wrong_number_of_arguments_is_refused() -> None:
    with pytest.raises(MinpruneError, match=r"affine takes x, W, b \(None: left out\), got 2 argument\(s\)"):
        apply(Affine, eighths(1, 1), eighths(1, 1))


def test_text_is_refused() -> None:
    with pytest.raises(DtypeError, match="relu: x holds <U1, expected numbers"):
        apply(ReLU, np.array(["a"]))


def test_rationals_among_floats_are_refused() -> None:
    with pytest.raises(DtypeError, match="add: b holds float64 among rationals"):
        apply(Add, exact([1]), np.array([0.5]))


@pytest.mark.parametrize("op", [HalfSquaredError, MeanSquaredError], ids=lambda op: op.name)
def test_targets_that_would_be_stretched_are_refused(op: type[Op]) -> None:
    with pytest.raises(ShapeError, match=rf"{op.name}: t has shape \(3,\), expected that of y, \(3, 1\)"):
        apply(op, eighths(3, 1), eighths(3))


@pytest.mark.parametrize(
    ("t", "error", "message"),
    [
        (np.array([-1, 0]), DataError, "labels go from -1 to 0, expected 0 to 2"),
        (np.array([0, 3]), DataError, "labels go from 0 to 3, expected 0 to 2"),
        (np.array([0.0, 1.0]), DataError, "t holds float64, expected integer labels, or rows"),
        (np.eye(3)[:1], ShapeError, r"t has shape \(1, 3\), expected \(2,\) labels or \(2, 3\) rows"),
        (np.array([0]), ShapeError, r"t has shape \(1,\)"),
    ],
)
def test_labels_that_are_no_classes_are_refused(t: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"cross_entropy: {message}"):
        apply(CrossEntropy, eighths(2, 3), t)


def test_a_mask_is_no_index() -> None:
    with pytest.raises(DtypeError, match=r"take: index holds bool, expected integers; of a mask take np.flatnonzero"):
        apply(Take, eighths(2, 2), np.array([True, False]))


# Conventions --------------------------------------------------------------------------------------------------------


def _gradient(op: type[Op], *args: Any, **options: Any) -> Any:
    call = run(op, args, options)
    return call.op.grad(op.args[0])(call, np.ones_like(call.out))


def test_relu_has_slope_0_at_0() -> None:
    assert np.array_equal(_gradient(ReLU, np.array([[-1.0, 0.0, -0.0, 1.0]])), [[0, 0, 0, 1]])


def test_leaky_relu_has_its_small_slope_at_0() -> None:
    assert np.array_equal(_gradient(LeakyReLU, np.array([[-1.0, 0.0, 1.0]]), slope=0.5), [[0.5, 0.5, 1]])


def test_leaky_relu_shrinks_integers_too() -> None:
    assert np.array_equal(apply(LeakyReLU, np.array([[-2, 4]]), slope=0.25), [[-0.5, 4.0]])


def test_max_pool_gives_a_tie_to_the_first_entry_in_row_order() -> None:
    x = np.array([[[[1.0, 7.0], [7.0, 7.0]]]])
    assert np.array_equal(_gradient(MaxPool, x), [[[[0, 1], [0, 0]]]])
    assert np.array_equal(_gradient(MaxPool, np.zeros((1, 1, 2, 2))), [[[[1, 0], [0, 0]]]])


def test_max_pool_takes_the_entry_before_the_padding() -> None:
    x = np.array([[[-5.0, -7.0]]])
    assert np.array_equal(apply(MaxPool, x, kernel=(2,), stride=(1,), padding=(1,)), [[[-5.0, -5.0, -7.0]]])


@pytest.mark.parametrize(("op", "options"), [(ReLU, {}), (LeakyReLU, {}), (MaxPool, {}), (Tanh, {}), (Sigmoid, {})])
def test_not_a_number_is_handed_on(op: type[Op], options: dict[str, Any]) -> None:
    for place in range(4):
        x = np.ones((1, 1, 2, 2))
        x.flat[place] = np.nan
        assert np.isnan(apply(op, x, **options)).any()


def test_sigmoid_saturates_without_overflow() -> None:
    x = np.array([[-1000.0, 0.0, 1000.0]])
    assert np.array_equal(apply(Sigmoid, x), [[0, 0.5, 1]])
    assert np.array_equal(_gradient(Sigmoid, x), [[0, 0.25, 0]])


def test_softmax_of_large_scores_sums_to_one() -> None:
    x = np.array([[1000.0, -1000.0, 1000.0]])
    assert np.array_equal(apply(Softmax, x), [[0.5, 0, 0.5]])
    assert np.isfinite(_gradient(Softmax, x)).all()


def test_cross_entropy_of_large_logits_is_their_distance() -> None:
    y = np.array([[1000.0, -1000.0], [1000.0, -1000.0]])
    assert np.array_equal(apply(CrossEntropy, y, np.array([0, 1])), [0, 2000])
    assert np.array_equal(_gradient(CrossEntropy, y, np.array([0, 1])), [[0, 0], [1, -1]])


def test_labels_and_one_hot_rows_give_the_same_cross_entropy() -> None:
    y, t = eighths(3, 4), np.array([2, 0, 3])
    assert np.array_equal(apply(CrossEntropy, y, t), apply(CrossEntropy, y, np.eye(4)[t]))


def test_batch_norm_gives_every_channel_mean_0_and_variance_1() -> None:
    y = apply(BatchNormTrain, eighths(8, 2, 3), np.ones(2), np.zeros(2), epsilon=0.0)
    assert np.allclose(y.mean(axis=(0, 2)), 0, atol=1e-15)
    assert np.allclose(y.var(axis=(0, 2)), 1)


def test_batch_norm_keeps_its_epsilon_among_integers() -> None:
    y = apply(BatchNormTrain, np.array([[1], [1]]), np.ones(1), np.ones(1))
    assert np.array_equal(y, [[1.0], [1.0]])


def test_rationals_stay_exact_where_all_entries_are_plain_zeros() -> None:
    dead = apply(ReLU, exact(-np.ones((1, 1, 2, 2))))
    for op, options in ((AvgPool, {}), (GlobalAvgPool, {})):
        assert not any(isinstance(value, float) for value in apply(op, dead, **options).flat)
    row = dead.reshape(1, 4)
    for op in (HalfSquaredError, MeanSquaredError):
        assert not any(isinstance(value, float) for value in apply(op, row, row).flat)
    assert isinstance(apply(Mean, row[0]).item(), Fraction)


def test_terms_name_the_places_of_the_image_not_of_the_padded_one() -> None:
    call = run(MaxPool, (eighths(1, 1, 3),), {"kernel": (2,), "stride": (1,), "padding": (1,)})
    assert [term.tex for term in MaxPool.terms(call, (0, 0, 0))] == ["x_{0,-1}", "x_{0,0}"]


def test_values_without_axes_stay_arrays() -> None:
    for op in (Add, Mul):
        call = run(op, (np.array(2.0), np.array(3.0)), {})
        assert isinstance(call.out, np.ndarray)
        assert isinstance(op.grad("a")(call, np.array(1.0)), np.ndarray)


def test_the_list_of_ops_names_each_once_and_holds_all_losses() -> None:
    names = [op.name for op in OPS]
    assert len(set(names)) == len(names)
    assert set(LOSSES) == {"half_squared_error", "mse", "cross_entropy"}
    assert set(LOSSES.values()) <= set(OPS)


def test_terms_of_activations_name_the_neuron() -> None:
    call = run(ReLU, (eighths(2, 3),), {})
    assert [term.tex for term in ReLU.terms(call, (1, 2))] == [r"x_{2}\,[x_{2} > 0]"]
