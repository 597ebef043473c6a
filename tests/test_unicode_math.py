"""Formulas as text: every formula of the book is readable in a terminal."""

from __future__ import annotations

import pytest
from op_cases import CASES, Case

from minprune.errors import DataError
from minprune.ops import LOSSES, OPS
from minprune.scores import CRITERIA
from minprune.unicode_math import to_unicode, width

FORMULAS = {
    **{op.name: op.formula for op in (*OPS, *LOSSES.values())},
    **{f"{op.name} by {arg}": formula for op in (*OPS, *LOSSES.values()) for arg, formula in op.rules.items()},
    **{criterion.name: criterion.formula for criterion in CRITERIA.values()},
}


@pytest.mark.parametrize("name", FORMULAS)
def test_every_formula_of_ops_losses_and_criteria_renders_without_a_leftover(name: str) -> None:
    text = to_unicode(FORMULAS[name])
    assert not set("\\{}\u2003") & set(text.replace("{j}", ""))  # shapley speaks of the set {j}
    assert "  " not in text.replace("   ", "")
    assert text == text.strip()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_term_of_every_op_renders(case: Case) -> None:
    call = case.call()
    if call.out.size:
        for term in case.op.terms(call, (0,) * call.out.ndim):
            assert not set("\\{}") & set(to_unicode(term.tex))


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"z = x W^\top + b", "z = x Wᵀ + b"),
        (r"W_{10,2} x_{2}", "W₁₀,₂ x₂"),
        (r"x_{0,-1}", "x₀,₋₁"),
        (r"z_{n,o,p} = \sum_{c,k} W_{o,c,k}", "zₙ,ₒ,ₚ = ∑_(c,k) W_(o,c,k)"),
        (r"y = \sigma(x) = \frac{1}{1 + e^{-x}}", "y = σ(x) = 1/(1 + e⁻ˣ)"),
        (r"e^{(-1.5)} + e^{0.25}", "e^(−1.5) + e^(0.25)"),
        (r"\frac{1}{2} (y - t)^2", "(1/2) (y − t)²"),
        (r"\frac{1}{2N}", "1/(2N)"),
        (r"\frac{\partial y_{0}}{\partial x_{12}}", "(∂y₀)/(∂x₁₂)"),
        (r"1 \,/\, \left( \frac{1}{N} \sum_n |s_{nj}| \right)", "1 / ( (1/N) ∑ₙ |sₙⱼ| )"),
        (r"\bar{\gamma} = \hat{x}", "γ\u0304 = x\u0302"),
        (r"1/{\pm 0} = +\infty", "1/±0 = +∞"),
        (r"\sum_{S \not\ni j}", "∑_(S ∌ j)"),
        (r"a, \quad b", "a,   b"),
        (r"-2.5 \cdot 10^{-17}", "−2.5 · 10⁻¹⁷"),
        (r"\sqrt{x}", "√(x)"),
        (r"\sqrt{(a)(b)}", "√((a)(b))"),
        (r"\left| x \right|", "| x |"),
        (r"\mathrm{dense1[0]}", "dense1[0]"),
    ],
)
def test_a_formula_reads_as_a_person_would_write_it(tex: str, text: str) -> None:
    assert to_unicode(tex) == text


@pytest.mark.parametrize(
    ("tex", "message"),
    [
        (r"\binom{a}{b}", r"the formula '\\\\binom\{a\}\{b\}' holds \\binom, which the text form does not know"),
        ("x_{1", r"the formula 'x_\{1' lacks a '\}'"),
        ("x}", r"the formula 'x\}' has a '\}' too many"),
        ("x_", "the formula 'x_' ends where something should follow"),
        (r"\frac{1}", "ends where something should follow"),
    ],
)
def test_what_is_no_formula_of_ours_is_refused(tex: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        to_unicode(tex)


def test_an_accent_takes_no_column() -> None:
    assert width(to_unicode(r"\bar{x}_{0}")) == 2
