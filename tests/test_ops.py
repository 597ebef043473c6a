"""The book of ops: every op on every case of `op_cases`, every entry; and the conventions that an op states."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from matplotlib.mathtext import MathTextParser
from op_cases import CASES, Case, eighths

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

every_case = pytest.mark.parametrize("case", CASES, ids=str)
exact_case = pytest.mark.parametrize("case", [case for case in CASES if case.op.exact], ids=str)
every_op = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)


@every_case
def test_every_entry_of_every_gradient_agrees_with_its_witnesses(case: Case) -> None:
    report = check_op(case.op, *case.args, **case.options)
    assert report.ok, str(report)
    asked = {finding.witness for finding in report.findings}
    assert asked >= {"complex step", "central difference"}
    assert ("exact rationals" in asked) == case.op.exact
    assert sum(finding.kinks for finding in report.findings) == 0


@exact_case
def test_gradients_equal_the_rational_ones_to_the_last_bit_where_nothing_is_divided_by_three(case: Case) -> None:
    report = check_op(case.op, *case.args, **case.options)
    allowed = {finding.allowed for finding in report.findings if finding.witness == "exact rationals"}
    assert allowed == {0.0 if case.dyadic else 1e-12}


@every_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_forward_and_backward_keep_the_kind_of_number(case: Case, dtype: Any) -> None:
    call = case.call(lambda a: a.astype(dtype))
    assert call.out.dtype == dtype
    reference = case.call().out
    assert np.allclose(call.out, reference, rtol=1e-4, atol=1e-4)
    if np.dtype(dtype).kind == "f":
        g = np.ones_like(call.out)
        assert {call.op.grad(arg)(call, g).dtype for arg in call.op.rules if getattr(call, arg) is not None} == {
            g.dtype
        }


@exact_case
def test_rationals_come_out_as_rationals_with_the_value_that_floats_have(case: Case) -> None:
    out = case.call(exact).out
    assert all(isinstance(value, Fraction | int) for value in out.flat)
    floats = case.call().out
    difference = np.abs(out.astype(float) - floats) if out.size else np.zeros(1)
    assert difference.max() <= (0 if case.dyadic else 1e-15)


@pytest.mark.parametrize("case", [case for case in CASES if not case.op.exact], ids=str)
def test_transcendental_ops_refuse_rationals_by_name(case: Case) -> None:
    with pytest.raises(DtypeError, match=f"{case.op.name} is transcendental"):
        case.call(exact)


def _combined(op: type[Op], terms: list[Term]) -> Any:
    values = [term.value for term in terms]
    return max(values) if op.combine == "max" else sum(values)


@every_case
def test_terms_make_the_entry_that_they_explain(case: Case) -> None:
    call = case.call(exact) if case.op.exact else case.call()
    entries = list(np.ndindex(call.out.shape))
    for position in np.random.default_rng(0).permutation(len(entries))[:5]:
        index = entries[position]
        terms = call.op.terms(call, index)
        made = _combined(case.op, terms)
        if case.op.exact:
            assert made == call.out[index]
        else:
            assert made == pytest.approx(call.out[index], rel=1e-12, abs=1e-14)
        assert terms
        assert all(term.tex for term in terms)


@every_case
def test_labels_of_terms_render(case: Case) -> None:
    call = case.call()
    for index in list(np.ndindex(call.out.shape))[:1]:
        for term in call.op.terms(call, index)[:3]:
            MathTextParser("path").parse(f"${term.tex}$")


@every_op
def test_every_formula_renders(op: type[Op]) -> None:
    for formula in (op.formula, *op.rules.values()):
        MathTextParser("path").parse(f"${formula}$")


@every_op
def test_every_op_states_shapes_and_a_source_or_example(op: type[Op]) -> None:
    assert "->" in op.shapes
    assert op.__doc__ is not None
    assert "Examples" in op.__doc__


@every_case
def test_arguments_that_are_strided_views_give_the_same(case: Case) -> None:
    def strided(array: Any) -> Any:
        spread = np.repeat(array, 2, axis=-1) if array.ndim else array
        return spread[..., ::2] if array.ndim else array

    plain, views = case.call(), case.call(strided)
    assert np.allclose(plain.out, views.out, rtol=1e-14, atol=0)
    g = np.ones_like(plain.out)
    for arg in case.op.rules:
        if getattr(plain, arg) is not None:
            assert np.allclose(case.op.grad(arg)(plain, g), case.op.grad(arg)(views, g), rtol=1e-14, atol=1e-15)


@every_case
def test_ops_leave_their_arguments_alone(case: Case) -> None:
    before = [None if arg is None else arg.copy() for arg in case.args]
    call = case.call()
    for arg in case.op.rules:
        if getattr(call, arg) is not None:
            case.op.grad(arg)(call, np.ones_like(call.out))
    for old, new in zip(before, case.args, strict=True):
        assert old is None or np.array_equal(old, new)


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
