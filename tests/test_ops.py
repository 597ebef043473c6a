"""The book of ops: every op on every case of `op_cases`, every entry."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from matplotlib.mathtext import MathTextParser
from op_cases import CASES, Case

from minprune.errors import DtypeError
from minprune.gradcheck import check_op
from minprune.ops import OPS, Op, Term, exact

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
